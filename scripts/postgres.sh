#!/bin/sh
# A private PostgreSQL server for tests: own cluster in a temporary folder, free port and Unix socket, fsync on. Where
# openssl is at hand it also speaks TLS (FOLDER/tls/ca.pem is its authority; names localhost and 127.0.0.1).
#
#   scripts/postgres.sh start [FOLDER]   starts one; prints its URL as the last line (libpq form, over the socket)
#   scripts/postgres.sh url FOLDER       prints the URL again
#   scripts/postgres.sh crash FOLDER     stops it hard (as a power loss of the server process) and starts it again
#   scripts/postgres.sh stop FOLDER      stops it and removes the folder
#   scripts/postgres.sh run COMMAND …    starts one, runs the command with HELSENAV_PG_URL set, stops it again
#
# Installs the Debian package `postgresql` when no server is there. Runs the server as an ordinary user when called as
# root, because PostgreSQL refuses to run as root. Exit code 0, or 1 with a message.
set -eu

say() { echo "postgres.sh: $*" >&2; }
fail() { say "$*"; exit 1; }

find_bin() {
    for dir in /usr/lib/postgresql/*/bin /usr/local/pgsql/bin /opt/homebrew/opt/postgresql@*/bin; do
        [ -x "$dir/initdb" ] && found=$dir
    done
    if [ -z "${found:-}" ] && command -v initdb >/dev/null 2>&1; then
        found=$(dirname "$(command -v initdb)")
    fi
    echo "${found:-}"
}

ensure_bin() {
    BIN=$(find_bin)
    if [ -z "$BIN" ]; then
        command -v apt-get >/dev/null 2>&1 || fail "no PostgreSQL server found: please install postgresql 14 or newer"
        say "installing the Debian package postgresql"
        sudo=""
        [ "$(id -u)" = 0 ] || sudo="sudo"
        # the package would start a cluster of its own; it is not needed
        $sudo mkdir -p /etc/postgresql-common
        [ -e /etc/postgresql-common/createcluster.conf ] ||
            echo "create_main_cluster = false" | $sudo tee /etc/postgresql-common/createcluster.conf >/dev/null
        $sudo apt-get install -y -q --no-install-recommends postgresql >&2 ||
            { $sudo apt-get update -q >&2 && $sudo apt-get install -y -q --no-install-recommends postgresql >&2; } ||
            fail "cannot install postgresql; please run: apt-get install postgresql"
        BIN=$(find_bin)
        [ -n "$BIN" ] || fail "postgresql is installed but initdb is not found"
    fi
}

# The user that runs the server: ourselves, or `postgres` (or `nobody`) when we are root.
server_user() {
    if [ "$(id -u)" != 0 ]; then id -un; elif id postgres >/dev/null 2>&1; then echo postgres; else echo nobody; fi
}

as_server() {
    if [ "$(id -u)" = 0 ]; then
        # setpriv keeps the child ours and needs no PAM session
        setpriv --reuid="$(server_user)" --regid="$(id -g "$(server_user)")" --clear-groups -- env HOME="$FOLDER" "$@"
    else
        "$@"
    fi
}

free_port() {
    port=$((20000 + ($$ * 7 + $(date +%s)) % 30000))
    while grep -qi ":$(printf '%04X' $port) " /proc/net/tcp /proc/net/tcp6 2>/dev/null; do port=$((port + 1)); done
    echo "$port"
}

url() {
    [ -f "$FOLDER/port" ] || fail "no server in $FOLDER"
    echo "host=$FOLDER/socket port=$(cat "$FOLDER/port") user=helsenav dbname=postgres"
}

# An authority and the server's certificate, for a hundred days.
make_tls() {
    command -v openssl >/dev/null 2>&1 || return 1
    (
        set -e
        mkdir -p "$FOLDER/tls"
        cd "$FOLDER/tls"
        openssl req -x509 -newkey rsa:2048 -nodes -days 100 -subj "/CN=Test authority" -keyout ca.key -out ca.pem
        openssl req -newkey rsa:2048 -nodes -subj "/CN=localhost" -keyout server.key -out server.csr
        echo "subjectAltName=DNS:localhost,IP:127.0.0.1" >server.ext
        openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 100 -extfile server.ext -out server.pem
        chmod 600 server.key
    ) >"$FOLDER/tls.log" 2>&1 || return 1
    if [ "$(id -u)" = 0 ]; then chown -R "$(server_user)" "$FOLDER/tls"; fi
}

up() {
    as_server "$BIN/pg_ctl" -D "$FOLDER/data" -l "$FOLDER/server.log" -w -t 60 -s start >&2 ||
        { tail -20 "$FOLDER/server.log" >&2; fail "the server does not start"; }
}

start() {
    ensure_bin
    FOLDER=${1:-$(mktemp -d "${TMPDIR:-/tmp}/helsenav-pg.XXXXXX")}
    mkdir -p "$FOLDER/socket"
    chmod 755 "$FOLDER"
    [ "$(id -u)" = 0 ] && chown -R "$(server_user)" "$FOLDER"
    if [ ! -d "$FOLDER/data" ]; then
        as_server "$BIN/initdb" -D "$FOLDER/data" -U helsenav -A trust -E UTF8 --locale=C >"$FOLDER.initdb.log" 2>&1 ||
            { cat "$FOLDER.initdb.log" >&2; fail "initdb failed"; }
        rm -f "$FOLDER.initdb.log"
        PORT=$(free_port)
        echo "$PORT" >"$FOLDER/port"
        # full pages go to the log compressed: cheaply where the server can
        wal_compression=on
        ldd "$BIN/postgres" 2>/dev/null | grep -q liblz4 && wal_compression=lz4
        cat >>"$FOLDER/data/postgresql.conf" <<CONF
listen_addresses = '127.0.0.1'
port = $PORT
unix_socket_directories = '$FOLDER/socket'
max_connections = 200
shared_buffers = ${HELSENAV_PG_SHARED_BUFFERS:-256MB}
fsync = on
synchronous_commit = on
full_page_writes = on
max_wal_size = 4GB
checkpoint_timeout = 15min
wal_compression = $wal_compression
autovacuum_vacuum_cost_delay = 2ms
log_min_messages = warning
timezone = 'UTC'
CONF
        if make_tls; then
            cat >>"$FOLDER/data/postgresql.conf" <<CONF
ssl = on
ssl_cert_file = '$FOLDER/tls/server.pem'
ssl_key_file = '$FOLDER/tls/server.key'
CONF
        else
            rm -rf "$FOLDER/tls"
            say "without TLS: openssl is not there or made no certificate"
        fi
    fi
    up
    say "server in $FOLDER"
    url
}

case "${1:-}" in
start) shift; start "$@" ;;
url) FOLDER=${2:?folder}; url ;;
crash)
    FOLDER=${2:?folder}; ensure_bin
    as_server "$BIN/pg_ctl" -D "$FOLDER/data" -m immediate -w -t 60 -s stop >&2 || true
    up; url ;;
stop)
    FOLDER=${2:?folder}; ensure_bin
    as_server "$BIN/pg_ctl" -D "$FOLDER/data" -m fast -w -t 60 -s stop >&2 || true
    # only what `start` has made
    [ -f "$FOLDER/data/PG_VERSION" ] && rm -rf "$FOLDER"
    ;;
run)
    shift
    [ $# -gt 0 ] || fail "run: which command?"
    out=$(mktemp)
    "$0" start >"$out" || { rm -f "$out"; exit 1; }
    HELSENAV_PG_URL=$(tail -1 "$out"); rm -f "$out"
    export HELSENAV_PG_URL
    FOLDER=${HELSENAV_PG_URL#host=}; FOLDER=${FOLDER%%/socket*}
    export HELSENAV_PG_FOLDER="$FOLDER"
    trap '"$0" stop "$FOLDER"' EXIT
    trap 'exit 130' INT TERM
    "$@"
    ;;
*) sed -n '2,13p' "$0" | sed 's/^# \{0,1\}//' >&2; exit 2 ;;
esac
