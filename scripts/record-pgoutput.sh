#!/bin/sh
# Records tests/recordings/pgN.bin and its text from real servers:
#
#     scripts/record-pgoutput.sh 14 15 16 17 18
#
# The servers are fetched (scripts/fetch-postgres.sh), listen on a socket in a temporary folder only, and are stopped
# and removed again. As root they run as PELTON_PG_USER, by default nobody.
set -eu

[ $# -gt 0 ] || { echo "usage: $0 14|15|16|17|18..." >&2; exit 2; }
here=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
as=
if [ "$(id -u)" = 0 ]; then
    user=${PELTON_PG_USER:-nobody}
    chown "$user" "$work"
    as="runuser -u $user --"
fi
stop() {
    if [ -s "$work/data/postmaster.pid" ]; then $as "$bin/pg_ctl" -D "$work/data" -m immediate -s stop || true; fi
    rm -rf "$work/data"
}
trap 'stop; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

cd "$here"
cargo build --quiet --example record-pgoutput
for version; do
    bin=$("$here/scripts/fetch-postgres.sh" "$version")
    major=${version%%.*}
    (
        cd "$work"
        $as "$bin/initdb" --pgdata "$work/data" --username postgres --auth trust --encoding UTF8 --locale C --no-sync \
            >/dev/null
        # autovacuum off: nothing but the script writes.
        $as "$bin/pg_ctl" -D "$work/data" -l "$work/log" -s -w start -o "-p 5432 -k $work -c listen_addresses='' \
            -c wal_level=logical -c fsync=off -c autovacuum=off" || { cat "$work/log" >&2; exit 1; }
    )
    cargo run --quiet --example record-pgoutput -- "host=$work user=postgres" "$here/tests/recordings/pg$major.bin"
    stop
    echo "recorded PostgreSQL $version: $(wc -c <"$here/tests/recordings/pg$major.bin") bytes"
done
PELTON_UPDATE_RECORDINGS=1 cargo test --quiet --lib pgoutput::recordings
