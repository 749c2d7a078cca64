#!/usr/bin/env bash
# Makes sure that there is a Python with the SDK of this checkout and componentize-py, which makes components of it.
#
#   scripts/toolchain-python.sh            `pelton build` finds the result by itself
#   scripts/toolchain-python.sh --force    makes it anew
#
# It is a virtual environment of a Python 3.11 or newer that is installed already (`python3`, or what PELTON_PYTHON names),
# with a pinned componentize-py from PyPI. Nothing is installed outside of it, and root is not needed. The SDK is not
# copied into it: it is taken from the checkout whose script ran last, or from PYTHONPATH.
#
# Cache: ${XDG_CACHE_HOME:-~/.cache}/pelton/toolchains/python
set -euo pipefail

componentize=componentize-py==0.25.0
mypy=mypy==2.4.1 # for the SDK's own tests
sdk=$(cd "$(dirname "$0")/../guest-sdk/python/src" && pwd -P)
cache="${XDG_CACHE_HOME:-$HOME/.cache}/pelton/toolchains/python"

say() { echo "toolchain-python: $*" >&2; }
die() { say "$*"; exit 1; }

case "${1:-}" in
  '') force= ;;
  --force) force=yes ;;
  *) sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
esac

python=${PELTON_PYTHON:-python3}
command -v "$python" >/dev/null || die "there is no $python. Install Python 3.11 or newer:
  Debian, Ubuntu  sudo apt-get install python3 python3-venv
  Fedora          sudo dnf install python3
  macOS           brew install python"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
  || die "$("$python" --version) is too old; install 3.11 or newer, and name it: PELTON_PYTHON=python3.12 $0"

# Where it came from: another version of what is pinned makes it anew.
wanted="$componentize $mypy for $("$python" -c 'import sys; print(sys.base_prefix, sys.version_info[:2])')"
ready() {
  [ "$(cat "$cache/made-of" 2>/dev/null)" = "$wanted" ] && "$cache/bin/python" -c 'import componentize_py, mypy' 2>/dev/null
}

mkdir -p "$(dirname "$cache")"
exec 9>"$cache.lock"
# Two at once: the second waits, and finds the work done. macOS has no flock; there the last one wins, whole.
if command -v flock >/dev/null; then flock 9; fi

if [ -n "$force" ] || ! ready; then
  say "making $cache with $componentize"
  # A virtual environment knows its own place, so it is made where it stays.
  rm -rf "$cache"
  "$python" -m venv "$cache" || die "$python can't make a virtual environment. On Debian and Ubuntu:
  sudo apt-get install python3-venv"
  "$cache/bin/python" -m pip --quiet --disable-pip-version-check install "$componentize" "$mypy" \
    || { rm -rf "$cache"; die "pip could not install $componentize and $mypy; PyPI must be reachable"; }
  echo "$wanted" > "$cache/made-of"
fi

packages=$("$cache/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
# Whole or not at all: a build may be reading it.
echo "$sdk" > "$packages/.pelton-sdk.$$"
mv "$packages/.pelton-sdk.$$" "$packages/pelton-sdk.pth"
say "ready: $("$cache/bin/python" --version), $componentize, the SDK of $sdk"
