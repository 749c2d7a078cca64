#!/usr/bin/env bash
# Does what a page says, from its first line to its last, in a folder of its own: the files that it shows are written, the
# command lines that it shows are run, against two databases of a server that is made for it and taken away again.
#
#   PELTON=target/debug/pelton scripts/try-docs.sh docs/python.md
#
# A file is a code block behind a line that begins with its name: `shop.py`, …; a command line a block of `sh`. Packages
# of this checkout that the page installs by name are built from it first.
set -euo pipefail

page=${1:?usage: scripts/try-docs.sh PAGE}
page=$(cd "$(dirname "$page")" && pwd)/$(basename "$page")
checkout=$(cd "$(dirname "$0")/.." && pwd)
pelton=$(cd "$(dirname "${PELTON:-$checkout/target/debug/pelton}")" && pwd)
bin=${PELTON_PG_BIN:-$(dirname "$(readlink -f "$(command -v postgres)")")}
work=$(mktemp -d)
as=
if [ "$(id -u)" = 0 ]; then
  as="runuser -u ${PELTON_PG_USER:-nobody} --"
  mkdir "$work/server" && chown "${PELTON_PG_USER:-nobody}" "$work/server" && chmod 711 "$work"
else
  mkdir "$work/server"
fi
stop() {
  if [ -s "$work/server/data/postmaster.pid" ]; then
    (cd / && $as "$bin/pg_ctl" -D "$work/server/data" -m immediate -s stop) || true
  fi
  rm -rf "$work"
}
trap stop EXIT
trap 'exit 1' INT TERM

(
  cd /
  $as "$bin/initdb" --pgdata "$work/server/data" --username postgres --auth trust --encoding UTF8 --locale C --no-sync >/dev/null
  $as "$bin/pg_ctl" -D "$work/server/data" -l "$work/server/log" -s -w start -o "-p 5432 -k $work/server \
    -c listen_addresses='' -c wal_level=logical -c fsync=off" || { cat "$work/server/log" >&2; exit 1; }
)
for database in source warehouse; do psql -q -h "$work/server" -U postgres -c "CREATE DATABASE $database"; done

# What the page does, as a script.
awk '
  /^```/ && inside { inside = 0; if (kind == "file") print "end of " FILENAME; next }
  /^```/ {
    inside = 1
    kind = $0 == "```sh" ? "sh" : name != "" ? "file" : "other"
    if (kind == "file") print "cat > " name " <<\"end of " FILENAME "\""
    next
  }
  inside { if (kind != "other") print; next }
  NF { name = ""; if (match($0, /^`[^`]+\.[a-z]+`/)) name = substr($0, 2, RLENGTH - 2) }
' "$page" > "$work/script"
sed -i.bak "s|end of $page|end of the file|" "$work/script"

if grep -q pelton-sdk "$work/script"; then
  python3 -m pip --quiet --disable-pip-version-check wheel --no-deps -w "$work/wheels" "$checkout/guest-sdk/python" >&2
  export PIP_FIND_LINKS="$work/wheels" PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_QUIET=1
fi
unset PYTHONPATH
export PATH="$pelton:$PATH" PGOPTIONS='' \
  SOURCE_URL="postgres://postgres@/source?host=$work/server" \
  WAREHOUSE_URL="postgres://postgres@/warehouse?host=$work/server"
mkdir "$work/here" && cd "$work/here"
ln -s "$checkout" pelton # pages that say "beside a checkout"
bash -euxo pipefail "$work/script"
echo "try-docs: all of $page" >&2
