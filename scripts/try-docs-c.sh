#!/usr/bin/env bash
# Does what docs/c.md says, as a new user would: makes its files, and runs each line of its shell blocks.
#
#   scripts/try-docs-c.sh [PELTON]    PELTON: the binary to build with, by default what cargo makes of this checkout
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD

# A checkout as far as the page needs it, so that nothing is left behind in this one.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/guest-sdk"
cp -r scripts "$work"
cp -r guest-sdk/c "$work/guest-sdk"
mkdir "$work/bin"
if [ $# -gt 0 ]; then
  ln -s "$(realpath "$1")" "$work/bin/pelton"
else
  printf '#!/bin/sh\nexec cargo run --quiet --manifest-path "%s/Cargo.toml" --bin pelton -- "$@"\n' "$root" > "$work/bin/pelton"
  chmod +x "$work/bin/pelton"
fi

# The page as one script: a shell block as it is, a C block into the file that is named in the line before it.
awk -v q="'" '
  /^`[a-z_\/]+\.c`:$/ { file = $0; gsub(/[`:]/, "", file) }
  /^```sh$/ { shell = 1; next }
  /^```c$/  { print "cat > " file " <<" q "END OF FILE" q; code = 1; next }
  /^```$/   { if (code) print "END OF FILE"; shell = code = 0; next }
  shell || code { print }
' docs/c.md > "$work/page.sh"
lines=$(grep -c '' "$work/page.sh")
[ "$lines" -gt 40 ] || { echo "try-docs-c: docs/c.md holds $lines lines to run; its form is not what this script reads" >&2; exit 1; }
cd "$work"
PATH="$work/bin:$PATH" bash -euo pipefail -x page.sh 2>&1 | grep -v '^+ cat$'
[ -s "$work/shop/shop.wasm" ] || { echo "try-docs-c: no shop.wasm" >&2; exit 1; }
echo "docs/c.md: every line runs"
