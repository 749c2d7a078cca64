#!/usr/bin/env bash
# Does what pages of docs/ say, as a new user would: writes the files that they show, and runs the command lines that they
# show, each page in a folder of its own beside a checkout called `pelton`, with two empty databases of a server that is
# made for it and taken away again.
#
#   scripts/try-docs.sh                            all pages that can be run
#   scripts/try-docs.sh docs/go.md docs/c.md       some
#   PELTON=FILE scripts/try-docs.sh …              with this pelton, instead of the one that the tests have built
#
# Run is every block of `sh`. A file is a block behind a paragraph that begins with its name: `shop.py`, …. Each line of a block
# of `text` must have been printed. All other blocks are for reading. What does not hold is named with its page and line.
set -euo pipefail

checkout=$(cd "$(dirname "$0")/.." && pwd -P)
here=$PWD
say() { echo "try-docs: $*" >&2; }
die() { say "$*"; exit 1; }

[ $# -gt 0 ] || set -- "$checkout"/docs/{transforms,typescript,python,go,c,without-sdk,testing}.md
for page; do [ -f "$page" ] || die "there is no page $page"; done

# --- Pelton -------------------------------------------------------------------------------------------------------

work=$(mktemp -d)
child=
stop() {
  trap '' INT TERM HUP
  if [ -n "$child" ]; then kill -TERM -- "-$child" 2>/dev/null && wait "$child" || true; fi
  if [ -s "$work/server/data/postmaster.pid" ]; then
    (cd / && "${as[@]}" "$bin/pg_ctl" -D "$work/server/data" -m immediate -s stop) || true
  fi
  cd / && rm -rf "$work"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

mkdir "$work/bin"
built=${PELTON:-${CARGO_TARGET_DIR:-$checkout/target}/debug/pelton}
if [ -x "$built" ]; then
  ln -s "$(cd "$(dirname "$built")" && pwd)/$(basename "$built")" "$work/bin/pelton"
elif [ -n "${PELTON:-}" ]; then
  die "PELTON is $PELTON, which is no program"
else
  say "building pelton, for the tests have not left one at $built"
  cargo build --quiet --manifest-path "$checkout/Cargo.toml" --bin pelton
  ln -s "$(cd "$(dirname "$built")" && pwd)/pelton" "$work/bin/pelton"
fi

# --- The server ---------------------------------------------------------------------------------------------------

# Where `make check-deps` finds or puts one: PELTON_PG_BIN, PATH, the folder of Debian's newest.
server_folder() {
  local on_path folder
  on_path=$(command -v postgres || true)
  on_path=$(readlink -f "$on_path" 2>/dev/null || echo "$on_path")
  for folder in "${PELTON_PG_BIN:-}" "${on_path%/*}" $(ls -dr /usr/lib/postgresql/*/bin /usr/pgsql-*/bin \
      /opt/homebrew/opt/postgresql@*/bin /usr/local/opt/postgresql@*/bin 2>/dev/null || true); do
    if [ -x "$folder/initdb" ] && [ -x "$folder/postgres" ]; then echo "$folder"; return; fi
  done
}
bin=$(server_folder)
[ -n "$bin" ] || die "no PostgreSQL server found: scripts/install-postgres.sh brings one, or says how"

# A server does not run as root.
as=()
mkdir "$work/server"
if [ "$(id -u)" = 0 ]; then
  as=(runuser -u "${PELTON_PG_USER:-nobody}" --)
  chown "${PELTON_PG_USER:-nobody}" "$work/server"
  chmod 711 "$work"
fi
(
  cd /
  "${as[@]}" "$bin/initdb" --pgdata "$work/server/data" --username postgres --auth trust --encoding UTF8 --locale C --no-sync >/dev/null
  "${as[@]}" "$bin/pg_ctl" -D "$work/server/data" -l "$work/server/log" -s -w start -o "-p 5432 -k $work/server \
    -c listen_addresses='' -c wal_level=logical -c max_replication_slots=50 -c max_wal_senders=50 -c fsync=off"
) || { cat "$work/server/log" >&2; die "the server did not start"; }

# --- The pages ----------------------------------------------------------------------------------------------------

# A page as a script whose lines have the numbers that they have in the page.
script_of() {
  awk '
    NR == 1 { print "trap '\''status=$?; echo \"$page:$LINENO: this line failed with $status: $BASH_COMMAND\" >&2'\'' ERR"; next }
    /^```/ && inside { inside = 0; print kind == "file" ? "end of the file" : ""; next }
    /^```/ {
      inside = 1
      kind = $0 == "```sh" ? "sh" : name != "" ? "file" : "other"
      if (kind == "file") { print "mkdir -p \"$(dirname " name ")\"; cat > " name " <<\"end of the file\"" } else print ""
      name = ""
      next
    }
    inside { print kind == "other" ? "" : $0; next }
    !inside && NF && !paragraph { name = ""; if (match($0, /^`[^` ]+\.[a-z]+`/)) name = substr($0, 2, RLENGTH - 2) }
    { paragraph = NF; print "" }
  ' "$1"
}

try() {
  local page=$1 name status=0 started=$SECONDS
  name=$(basename "$page" .md)
  shown=${page#"$checkout/"}
  say "$shown"
  script_of "$page" > "$work/$name.sh"
  ! grep -n ' && ' "$work/$name.sh" >&2 || die "$shown: the first half of a line with && may fail and nobody is told; make it two"
  grep -q '^pelton ' "$work/$name.sh" || die "$shown: no line of it runs pelton; is it written as this script reads it?"
  for database in source warehouse; do "${psql[@]}" -c "CREATE DATABASE \"$name $database\""; done
  export SOURCE_URL="postgres://postgres@/$name%20source?host=$work/server" \
    WAREHOUSE_URL="postgres://postgres@/$name%20warehouse?host=$work/server"
  mkdir "$work/$name"
  cd "$work/$name"
  ln -s "$checkout" pelton
  # A process group of its own, so that whatever it has started ends with it.
  set -m
  page=$shown bash -euE -o pipefail "$work/$name.sh" > "$work/$name.log" 2>&1 </dev/null &
  child=$!
  set +m
  wait "$child" || status=$?
  kill -TERM -- "-$child" 2>/dev/null || true
  child=
  cd "$here"
  # The next page makes slots of the same names.
  "${psql[@]}" -c "DO 'BEGIN WHILE EXISTS (SELECT FROM pg_replication_slots) LOOP
    PERFORM pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active; PERFORM pg_sleep(0.05);
  END LOOP; END'"
  if [ "$status" != 0 ]; then
    cat "$work/$name.log" >&2
    die "$shown does not do what it says (the last lines above tell which line)"
  fi
  while IFS=: read -r number line; do
    grep -qF -- "$line" "$work/$name.log" || { cat "$work/$name.log" >&2; die "$shown:$number: this line was not printed: $line"; }
  done < <(awk '/^```/ { inside = $0 == "```text"; next } inside { print NR ":" $0 }' "$page")
  say "$shown: every line runs ($((SECONDS - started)) s)"
}

psql=("$bin/psql" -q -h "$work/server" -U postgres)
unset PYTHONPATH PGHOST PGPORT PGUSER PGDATABASE PGPASSWORD PGSERVICE
export PATH="$work/bin:$PATH:$bin" PGOPTIONS=''
for page; do try "$(cd "$(dirname "$page")" && pwd -P)/$(basename "$page")"; done
