#!/usr/bin/env bash
# The tests of each SDK, and of the examples and guests that are written with it, in its own language and without
# WebAssembly. `make toolchains` brings what they need.
#
#   scripts/test-sdks.sh             all of them
#   scripts/test-sdks.sh go c        some
set -euo pipefail
cd "$(dirname "$0")/.."
toolchains="${XDG_CACHE_HOME:-$HOME/.cache}/pelton/toolchains"

# Runs a command in a folder, and tells which.
in_folder() {
  echo "==> $1: ${*:2}"
  (cd "$1" && "${@:2}")
}

test_js() {
  in_folder guest-sdk/js npm test --silent
  for project in examples/orders-ts examples/orders-js examples/audit-trail; do in_folder $project node ../../guest-sdk/js/build.mjs test; done
}

test_python() {
  local python="$toolchains/python/bin/python"
  in_folder guest-sdk/python "$python" -m unittest discover -s tests
  for project in examples/orders-python examples/pii-guard; do in_folder $project "$python" -m unittest; done
}

test_go() {
  local go
  go=$(scripts/toolchain-go.sh 2>/dev/null)
  for module in guest-sdk/go examples/orders-go examples/running-aggregates tests/guests/go/conformance tests/guests/go/lines; do
    in_folder $module "$go" vet ./...
    in_folder $module "$go" test ./...
  done
}

test_c() {
  in_folder guest-sdk/c make --no-print-directory test
  for project in examples/orders-c examples/outbox; do in_folder $project make --no-print-directory test; done
}

for language in "${@:-js python go c}"; do
  # A list in one word is what there is without arguments.
  for one in $language; do "test_$one"; done
done
