#!/usr/bin/env bash
# Builds every example and every guest of the tests, in every language, with the `pelton` that is named or built here.
#
#   scripts/build-guests.sh [PELTON]
set -euo pipefail
cd "$(dirname "$0")/.."

# A project is a folder with the file that its language's projects have.
projects() {
  find examples tests/guests -name node_modules -prune -o -name target -prune -o -name bindings -prune -o \
    \( -name Cargo.toml -o -name package.json -o -name pyproject.toml -o -name go.mod -o -name '*.c' \) -print |
    grep -v '/tests/[^/]*$' | sed 's|/[^/]*$||' | sort -u | grep -v '^tests/guests$'
}

if [ $# -gt 0 ]; then pelton=("$1"); else pelton=(cargo run --quiet --bin pelton --); fi
mapfile -t all < <(projects)
"${pelton[@]}" build "${all[@]}"

# The one without an SDK is compiled by its own tools.
make --no-print-directory -C examples/typed-cpp module
"${pelton[@]}" build examples/typed-cpp/labels.wasm
