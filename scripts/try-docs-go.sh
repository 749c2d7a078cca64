#!/usr/bin/env bash
# Does what docs/go.md says, as a new user would: makes its files, and runs each line of its shell blocks.
#
#   scripts/try-docs-go.sh [PELTON]    PELTON: the binary to build with, by default the one on PATH
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
pelton=$(command -v "${1:-pelton}") || { echo "try-docs-go: no pelton; name one" >&2; exit 2; }

# A checkout as far as the page needs it, so that nothing is left behind in this one.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin" "$work/guest-sdk"
cp -r "$root/scripts" "$work"
cp -r "$root/guest-sdk/go" "$work/guest-sdk"
ln -s "$(realpath "$pelton")" "$work/bin/pelton"

# The page as one script: a shell block as it is, a Go block into the file that is named in the line before it.
awk -v q="'" '
  /^`[a-z_\/]+\.go`:$/ { file = $0; gsub(/[`:]/, "", file) }
  /^```sh$/ { shell = 1; next }
  /^```go$/ { print "cat > " file " <<" q "END OF FILE" q; code = 1; next }
  /^```$/   { if (code) print "END OF FILE"; shell = code = 0; next }
  shell || code { print }
' docs/go.md > "$work/page.sh"
lines=$(grep -c '' "$work/page.sh")
[ "$lines" -gt 70 ] || { echo "try-docs-go: docs/go.md holds $lines lines to run; its form is not what this script reads" >&2; exit 1; }
cd "$work"
PATH="$work/bin:$PATH" bash -euo pipefail -x page.sh 2>&1 | grep -v '^+ cat$'
[ -s "$work/shop/shop.wasm" ] || { echo "try-docs-go: no shop.wasm" >&2; exit 1; }
echo "docs/go.md: every line runs"
