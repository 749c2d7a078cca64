#!/usr/bin/env bash
# Fetches what components of JavaScript and TypeScript are made with: componentize-js, esbuild, TypeScript.
#
#   scripts/toolchain-js.sh           what it does goes to stderr, the folder to stdout
#   scripts/toolchain-js.sh --force   fetches it anew
#
# A project that has these packages of its own does not need it: `npm install --save-dev esbuild typescript
# @bytecodealliance/componentize-js`. The versions here are pinned in scripts/toolchain-js/. They come from npm's registry;
# nothing is installed into the system, and root is not needed.
#
# Cache: ${XDG_CACHE_HOME:-~/.cache}/pelton/toolchains/js
set -euo pipefail

pinned=$(cd "$(dirname "$0")" && pwd)/toolchain-js
cache="${XDG_CACHE_HOME:-$HOME/.cache}/pelton/toolchains/js"

say() { echo "toolchain-js: $*" >&2; }
die() { say "$*"; exit 1; }

case "${1:-}" in
  '' | --force) ;;
  *) sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
esac

command -v node >/dev/null && command -v npm >/dev/null || die "there is no Node.js: install Node.js 20 or newer with npm, \
from https://nodejs.org, or by \`apt-get install nodejs npm\` or \`brew install node\`"
[ "$(node -p 'process.versions.node.split(".")[0]')" -ge 20 ] || die "Node.js $(node --version) is too old (Debian 12 and Ubuntu 24.04 \
have no newer one): install Node.js 20 or newer from https://nodejs.org"

ready() { cmp -s "$pinned/package.json" "$cache/package.json" && [ -d "$cache/node_modules/esbuild" ]; }

mkdir -p "$(dirname "$cache")"
exec 9>"$cache.lock"
if command -v flock >/dev/null; then flock 9; fi # two at once: the second waits, and finds the work done
if [ "${1:-}" != --force ] && ready; then
  say "using $cache"
  echo "$cache"
  exit 0
fi

work="$cache.making.$$"
trap 'rm -rf "$work"' EXIT
rm -rf "$work"
mkdir -p "$work"
cp "$pinned/package.json" "$work"
say "fetching the packages (400 MB unpacked)"
(cd "$work" && npm install --no-audit --no-fund --no-package-lock --ignore-scripts --loglevel=error >&2) || die "npm could not fetch the packages"
rm -rf "$cache"
mv "$work" "$cache"
ready || die "the toolchain in $cache is not whole; please report what is printed above"
say "ready: $(du -sh "$cache" | cut -f1) in $cache"
echo "$cache"
