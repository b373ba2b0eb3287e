#!/usr/bin/env bash
# Crash proof of the store and the exchange (DESIGN §7).   scripts/crash.sh [N]   N kills per engine (50)
#
# 1. The harness is tried itself: over a layer that loses unflushed writes the store passes, and a store that answers
#    before it flushes is caught.
# 2. SQLite, N kills; then N/2 more over that layer.
# 3. PostgreSQL, N kills, the server stopped hard every fifth time (a server of its own, see scripts/postgres.sh).
# 4. The message exchange through AMQP, N/5 kills on each engine (HELSENAV_KILL_CYCLES says otherwise, 0 leaves it out).
# Exit code 0 when nothing was lost. HELSENAV_CRASH_ENGINES="sqlite" leaves PostgreSQL out;
# HELSENAV_CRASH_BIN: use this harness instead of building it.
set -uo pipefail
cd "$(dirname "$0")/.."
cycles="${1:-50}"
case "$cycles" in '' | *[!0-9]*) echo "usage: scripts/crash.sh [N]" >&2; exit 2 ;; esac
engines="${HELSENAV_CRASH_ENGINES-sqlite postgres}"

harness="${HELSENAV_CRASH_BIN:-}"
if [ -z "$harness" ]; then
  cargo build --locked -p store --bin store-crash || exit 1
  harness="${CARGO_TARGET_DIR:-target}/debug/store-crash"
fi
passed=0 failed=0
part() { if "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi; }

if [ "$(uname)" = Linux ]; then
  part "$harness" --self-test
else
  echo "self-test and unsynced layer need Linux: skipped"
fi
case " $engines " in *" sqlite "*)
  part "$harness" --engine sqlite --cycles "$cycles"
  [ "$(uname)" != Linux ] || part "$harness" --engine sqlite --unsynced --cycles $(((cycles + 1) / 2))
esac
case " $engines " in *" postgres "*)
  part scripts/postgres.sh run "$harness" --engine postgres --cycles "$cycles"
esac
export HELSENAV_KILL_CYCLES="${HELSENAV_KILL_CYCLES:-$(((cycles + 4) / 5))}"
if [ "$HELSENAV_KILL_CYCLES" != 0 ]; then
  # the whole workspace, so that what `./test` has built is not built again with fewer features
  bus="cargo test --locked --workspace --test it"
  case " $engines " in *" sqlite "*) part $bus kill::a_kill_loses_nothing_on_sqlite -- --nocapture ;; esac
  case " $engines " in *" postgres "*) part scripts/postgres.sh run $bus kill::a_kill_loses_nothing_on_postgres -- --nocapture ;; esac
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
