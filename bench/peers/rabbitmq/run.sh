#!/usr/bin/env bash
# RabbitMQ and our exchange under the same load in one run.   bench/peers/rabbitmq/run.sh [ROUNDS]   (3)
#
# Takes Debian's rabbitmq-server (AMQP 1.0 plugin, durable queue, durable messages, address /amq/queue/bench) and the
# release build of helsenav; both are started with data folders of their own and stopped again. Each round runs the same
# `load.mjs` on one after the other, because the machine has other things to do as well.
# MESSAGES (50000), ARGS (more options of load.mjs), HELSENAV_BIN.
set -euo pipefail
cd "$(dirname "$0")"
rounds="${1:-3}" messages="${MESSAGES:-50000}"
hub="${HELSENAV_BIN:-../../../target/release/helsenav}"
rabbit=/usr/lib/rabbitmq/bin
[ -x "$rabbit/rabbitmq-server" ] || apt-get install -y --no-install-recommends rabbitmq-server >/dev/null
[ -d node_modules/rhea ] || npm ci --no-audit --no-fund --loglevel=error
work="$(mktemp -d "${TMPDIR:-/tmp}/helsenav-rabbit.XXXXXX")"
hub_pid='' rabbit_pid=''
cleanup() {
  [ -z "$hub_pid" ] || kill "$hub_pid" 2>/dev/null || true
  if [ -n "$rabbit_pid" ]; then
    "$rabbit/rabbitmqctl" -q stop "$work/rabbit.pid" 2>/dev/null || kill "$rabbit_pid" 2>/dev/null || true
  fi
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT

port=$((20000 + RANDOM % 20000))
export RABBITMQ_NODENAME="bench$$@localhost" RABBITMQ_PID_FILE="$work/rabbit.pid" RABBITMQ_LOG_BASE="$work/log"
export RABBITMQ_MNESIA_BASE="$work/rabbit" RABBITMQ_CONFIG_FILE="$work/rabbitmq.conf" RABBITMQ_ENABLED_PLUGINS_FILE="$work/plugins"
export RABBITMQ_DIST_PORT=$((port + 1)) ERL_EPMD_ADDRESS=127.0.0.1 HOME="$work"
echo '[rabbitmq_amqp1_0].' >"$work/plugins"
cat >"$work/rabbitmq.conf" <<CONF
listeners.tcp.1 = 127.0.0.1:$port
CONF
"$rabbit/rabbitmq-server" >"$work/rabbit.log" 2>&1 &
rabbit_pid=$!
"$hub" demo --data "$work/hub" --listen 127.0.0.1:0 --anchor 2026-11-23 --no-story >"$work/hub.log" 2>&1 &
hub_pid=$!
for _ in $(seq 300); do
  if "$rabbit/rabbitmqctl" -q await_startup >/dev/null 2>&1; then break; fi
  sleep 0.2
done
for _ in $(seq 300); do
  if grep -q 'Helsenav is ready' "$work/hub.log"; then break; fi
  sleep 0.2
done
# A durable queue: what an AMQP 1.0 client cannot declare, the broker is told.
"$rabbit/rabbitmqctl" -q eval 'rabbit_amqqueue:declare(rabbit_misc:r(<<"/">>, queue, <<"bench">>), true, false, [], none, <<"bench">>).' >/dev/null

echo "$(date -u +%FT%TZ) $(uname -r), $(nproc) cores, load average $(cut -d' ' -f1-3 /proc/loadavg); RabbitMQ $(dpkg-query -W -f '${Version}' rabbitmq-server)"
# ticks PID: processor time of a process so far, in hundredths of a second.
ticks() { sed 's/.*) //' "/proc/$1/stat" | awk '{print $12 + $13}'; }
beam="$(cat "$work/rabbit.pid")"
one() { # NAME PID ARGS...
  local name="$1" pid="$2" before after; shift 2
  before="$(ticks "$pid")"
  line="$(node load.mjs --messages "$messages" ${ARGS:-} "$@")"
  sleep 1
  after="$(ticks "$pid")"
  echo "$name: $line; broker $(awk -v t=$((after - before)) -v n="$messages" 'BEGIN {printf "%.0f", t * 10000 / n}') us CPU each"
}
for _ in $(seq "$rounds"); do
  one RabbitMQ "$beam" --broker "127.0.0.1:$port" --user guest --password guest --address /amq/queue/bench
  one Helsenav "$hub_pid" --facts "$work/hub/facts.json"
done
