# What the scripts share. Sourced by scripts of this folder's parent, after `set -euo pipefail`.
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
JOBS=${MORTISE_JOBS:-$(nproc 2>/dev/null || echo 2)}

# shellcheck source=packages.sh
. "$ROOT/scripts/lib/packages.sh"

# configure PRESET [cmake arguments]: quiet; the log is shown if it fails.
configure() {
  local preset=$1 log
  shift
  mkdir -p "$ROOT/build/$preset"
  log=$ROOT/build/$preset/configure.log
  if ! (cd "$ROOT" && cmake --preset "$preset" "$@") >"$log" 2>&1 </dev/null; then
    cat "$log" >&2
    echo "$0: cmake --preset $preset failed" >&2
    return 1
  fi
}

# build PRESET [targets]: says nothing if there is nothing to do.
build() {
  local dir=$ROOT/build/$1
  shift
  if ninja -C "$dir" -n "$@" 2>/dev/null | grep -q '^ninja: no work to do\.$'; then
    return 0
  fi
  if [ ! -e "$dir/.built" ]; then
    echo "Building in ${dir#"$ROOT"/} (the first time takes minutes)."
  fi
  if [ -t 1 ]; then
    ninja -C "$dir" -j "$JOBS" "$@"
  else
    # Without a terminal each step would be a line; one line in fifty is enough to see that it goes on.
    NINJA_STATUS='[%f/%t] ' ninja -C "$dir" -j "$JOBS" "$@" |
      awk '!/^\[[0-9]+\/[0-9]+\] (Building|Linking|Generating|Running|Creating|cd )/ || NR % 50 == 0 { print; fflush() }'
  fi
  touch "$dir/.built"
}
