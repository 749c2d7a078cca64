#!/bin/sh
# Brings what Pelton needs besides Rust: a C compiler for its dependencies, a PostgreSQL server, Rust's WebAssembly target.
# As root on Debian and Ubuntu it installs what is missing; otherwise it says what to install, and fails.
set -eu
here=$(dirname "$0")

fail() {
    echo "check-deps: $1" >&2
    exit 1
}

command -v cargo >/dev/null || fail "cargo is missing. Install Rust: https://rustup.rs"

if ! command -v cc >/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "check-deps: installing a C compiler" >&2
        apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends gcc libc6-dev >&2
    else
        fail "a C compiler is missing.
  Debian, Ubuntu  sudo apt-get install build-essential
  Fedora          sudo dnf install gcc
  macOS           xcode-select --install"
    fi
fi

"$here/install-postgres.sh"
# It prints settings for cargo, which pelton finds by itself; what it does, it tells on stderr.
"$here/wasm-target.sh" >/dev/null
