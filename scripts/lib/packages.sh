# Installs what is missing of scripts/packages.txt. Sourced; needs ROOT. Says nothing if nothing is missing.

# The packages of the named sections, one a line.
packages_of() {
  local section
  for section in "$@"; do
    sed -e 's/#.*//' -e 's/[[:space:]]//g' "$ROOT/scripts/packages.txt" |
      awk -v want="[$section]" '/^\[/ { on = ($0 == want); next } on && NF'
  done
}

packages_missing() {
  local installed
  installed=$(dpkg-query -W -f='${db:Status-Abbrev} ${Package}\n' 2>/dev/null |
    awk '$1 == "ii" || $1 == "hi" { print $2 }' | sort -u)
  packages_of "$@" | sort -u | comm -23 - <(printf '%s\n' "$installed")
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  else
    sudo "$@"
  fi
}

# Debian starts a service when its package is installed. The tests want the program etcd, not a running
# one that holds port 2379; a policy-rc.d that answers 101 forbids the start. One that is there stays.
packages_apt() {
  local policy=/usr/sbin/policy-rc.d made=no rc=0
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null && made=yes
    as_root chmod 755 "$policy"
  fi
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 \
    -o Dpkg::Use-Pty=0 -y --no-install-recommends install "$@" </dev/null || rc=$?
  if [ "$made" = yes ]; then
    as_root rm -f "$policy"
  fi
  return "$rc"
}

packages_install() {
  if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    if command -v cmake >/dev/null && command -v ninja >/dev/null; then
      return 0  # Another system, set up by hand; CMake names what it misses.
    fi
    echo "$0: this is not a Debian or Ubuntu machine." >&2
    echo "Install what scripts/packages.txt lists (names are Debian 12's), then run this again." >&2
    return 1
  fi
  local missing log
  missing=$(packages_missing "$@")
  [ -n "$missing" ] || return 0
  if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
    echo "$0: these packages are missing, and there is no sudo to install them with:" $missing >&2
    return 1
  fi
  echo "Installing Debian packages:" $missing
  log=$(mktemp)
  # Package lists may be missing or out of date; they are fetched only if the install fails without.
  # shellcheck disable=SC2086
  if ! packages_apt $missing >"$log" 2>&1; then
    if ! { as_root apt-get -o Acquire::Retries=3 update && packages_apt $missing; } >"$log" 2>&1 </dev/null; then
      tail -n 30 "$log" >&2
      rm -f "$log"
      echo "$0: could not install:" $missing >&2
      return 1
    fi
  fi
  rm -f "$log"
  # What is not started now should not be started by the next boot either.
  if [ -d /run/systemd/system ] && grep -qx etcd-server <<<"$missing"; then
    as_root systemctl --quiet disable etcd.service 2>/dev/null || true
  fi
}
