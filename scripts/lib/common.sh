# What the scripts share. Sourced by scripts of this folder's parent, after `set -euo pipefail`.
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
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

# build PRESET [targets]: shows every tenth step and what fails, and nothing if there is nothing to do.
build() {
  local dir=$ROOT/build/$1
  shift
  if [ ! -e "$dir/.built" ]; then
    echo "Building in ${dir#"$ROOT"/} (the first time takes minutes)."
  fi
  NINJA_STATUS='[%f/%t] ' ninja -C "$dir" -j "$JOBS" "$@" </dev/null |
    sed -u -n -e '/^ninja: Entering/d' -e '/^ninja: no work to do/d' -e '/^\[[0-9]*0\/.*globbed/d' \
      -e '/^\[[0-9][0-9]*0\//p' -e '/^\[[0-9]*\/[0-9]*\] /!p' || return 1
  touch "$dir/.built"
}
