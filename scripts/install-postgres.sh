#!/bin/sh
# Makes sure that this machine has a PostgreSQL server of its own, 15 or newer, for `pelton demo` and the tests.
# Does nothing where there is one. As root on Debian and Ubuntu it installs one, without starting it; elsewhere it says
# what to install, and fails. The places it looks in are those of `pelton demo`; PELTON_PG_BIN goes before them all.
set -eu

oldest=15

# Succeeds if the folder $1 holds a server that is new enough.
usable() {
    [ -x "$1/postgres" ] && [ -x "$1/initdb" ] || return 1
    major=$("$1/postgres" --version 2>/dev/null | sed -n 's/.*(PostgreSQL) \([0-9]*\).*/\1/p')
    [ "${major:-0}" -ge "$oldest" ]
}

installed() {
    on_path=$(command -v postgres || true)
    if [ -n "$on_path" ] && usable "$(dirname "$(readlink -f "$on_path" 2>/dev/null || echo "$on_path")")"; then return 0; fi
    for folder in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /opt/homebrew/opt/postgresql@*/bin \
        /usr/local/opt/postgresql@*/bin /Applications/Postgres.app/Contents/Versions/*/bin; do
        if usable "$folder"; then return 0; fi
    done
    return 1
}

if [ -n "${PELTON_PG_BIN:-}" ]; then
    usable "$PELTON_PG_BIN" && exit 0
    echo "install-postgres: PELTON_PG_BIN=$PELTON_PG_BIN holds no PostgreSQL server, $oldest or newer" >&2
    exit 1
fi
if installed; then exit 0; fi

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "install-postgres: installing a PostgreSQL server by apt-get" >&2
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update
    # The server's package would make a cluster and start it. A setting of postgresql-common forbids that; it is put back
    # afterwards, for whoever wants a cluster later.
    conf=/etc/postgresql-common/createcluster.conf
    apt-get -qq install -y --no-install-recommends postgresql-common >&2
    if [ -f $conf ]; then
        cp -p $conf $conf.pelton
        trap 'mv -f $conf.pelton $conf' EXIT
        sed -i 's/^#* *create_main_cluster *=.*/create_main_cluster = false/' $conf
    fi
    apt-get -qq install -y --no-install-recommends postgresql >&2
    if installed; then exit 0; fi
    echo "install-postgres: this release has no PostgreSQL $oldest or newer. PostgreSQL's own archive has:
  /usr/share/postgresql-common/pgdg/apt.postgresql.org.sh && apt-get install postgresql-18" >&2
    exit 1
fi

echo "install-postgres: no PostgreSQL server found. Install one, $oldest or newer:
  Debian, Ubuntu  sudo apt-get install postgresql
  Fedora          sudo dnf install postgresql-server
  macOS           brew install postgresql@18
or name the folder of its initdb and postgres: PELTON_PG_BIN=FOLDER" >&2
exit 1
