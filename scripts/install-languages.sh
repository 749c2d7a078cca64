#!/bin/sh
# Makes sure that this machine has what the toolchains of transforms in other languages than Rust are made with: Python with
# venv, Node.js with npm. As root on Debian and Ubuntu it installs what is missing; elsewhere it says what to install, and
# fails. Clang and Go are brought by scripts/toolchain-c.sh and scripts/toolchain-go.sh, without root.
set -eu

missing=""
# Debian leaves out of python3 what venv is made with.
python3 -c 'import ensurepip, venv' 2>/dev/null || missing="python3 python3-venv"
command -v node >/dev/null && command -v npm >/dev/null || missing="$missing nodejs npm"
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "install-languages: installing by apt-get: $missing" >&2
    apt-get -qq update
    # shellcheck disable=SC2086 # several names
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $missing >&2
    exit 0
fi

echo "install-languages: Python 3.11 or newer with venv, or Node.js 20 or newer with npm, is missing. Install them:
  Debian, Ubuntu  sudo apt-get install $missing
  Fedora          sudo dnf install python3 nodejs npm
  macOS           brew install python node" >&2
exit 1
