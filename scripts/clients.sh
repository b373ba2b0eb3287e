#!/usr/bin/env bash
# Foreign clients and the browser against a running demo (DESIGN §11).   scripts/clients.sh [SUITE...]
#
# Suites: node (openid-client, oauth4webapi, oidc-provider, rhea, fhir-kit-client, @medplum/core, an OpenAPI validator),
# python (python-qpid-proton with openssl cms, requests_oauth2client, Authlib, fhirpy, fhirclient, fhir.resources), java
# (Nimbus OAuth SDK, HAPI's FHIR client, JAX-WS, CXF, Qpid JMS), web (Chromium). All of them without arguments.
# Installs what they need into tests/clients and .tools/, starts a demo on free ports with a store of its own, stops it.
# A suite whose tool chain is missing is skipped with a line that says so. HELSENAV_BIN: use this binary.
# Exit code 0 when nothing failed.
set -uo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

suites=("$@")
[ $# -gt 0 ] || suites=(node python java web)
passed=0 failed=0 skipped=0
work="$(mktemp -d "${TMPDIR:-/tmp}/helsenav-clients.XXXXXX")"
demo_pid=

cleanup() {
  if [ -n "$demo_pid" ] && kill -INT "$demo_pid" 2>/dev/null; then
    for _ in $(seq 100); do kill -0 "$demo_pid" 2>/dev/null || break; sleep 0.1; done
    kill -KILL "$demo_pid" 2>/dev/null
  fi
  rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

skip() { note "skipped: $*"; skipped=$((skipped + 1)); }

# count NAME CODE PASSED FAILED: adds a suite; one that ended badly without a count is one failure.
count() {
  local p="${3:-0}" f="${4:-0}"
  if [ "$2" != 0 ] && [ "$f" = 0 ]; then f=1; fi
  passed=$((passed + p)); failed=$((failed + f))
  note "$1: $p passed, $f failed"
}

# What node --test says at the end, whichever reporter.
node_count() { awk -v word="$1" '($1 == "#" || $1 == "ℹ") && $2 == word {n += $3} END {print n + 0}' "$work/log"; }

start_demo() {
  local binary="${HELSENAV_BIN:-}"
  if [ -z "$binary" ]; then
    need_rust
    cargo build --locked -p helsenav || die "the hub does not build"
    binary="${CARGO_TARGET_DIR:-target}/debug/helsenav"
  fi
  # Settings of a hub in our own environment are not this demo's.
  local name
  for name in $(compgen -e HELSENAV_ || true); do unset "$name"; done
  # One suite starts a hub of its own.
  export HELSENAV_BIN; HELSENAV_BIN="$(realpath "$binary")"
  "$binary" demo --data "$work/data" --listen 127.0.0.1:0 --anchor 2026-11-23 --no-story >"$work/demo.log" 2>&1 &
  demo_pid=$!
  for _ in $(seq 600); do
    if [ -s "$work/data/facts.json" ] && grep -q "Helsenav is ready" "$work/demo.log"; then
      export HELSENAV_FACTS="$work/data/facts.json" ca="$work/data/demo-ca.pem"
      return 0
    fi
    kill -0 "$demo_pid" 2>/dev/null || break
    sleep 0.2
  done
  tail -30 "$work/demo.log" >&2
  die "the demo does not start"
}

suite_node() {
  need_node || { skip "node: no Node 20"; return; }
  ( cd tests/clients/node && npm ci --no-audit --no-fund --loglevel=error ) || { count node 1; return; }
  ( cd tests/clients/node && NODE_EXTRA_CA_CERTS="$ca" npm test --silent ) 2>&1 | tee "$work/log"
  count node "${PIPESTATUS[0]}" "$(node_count pass)" "$(node_count fail)"
}

suite_python() {
  command -v python3 >/dev/null 2>&1 || { skip "python: no python3"; return; }
  need openssl openssl
  command -v xmlsec1 >/dev/null 2>&1 || apt_install xmlsec1 || true
  local venv=.tools/python stamp=.tools/python/requirements.installed
  if ! cmp -s tests/clients/python/requirements.txt "$stamp"; then
    mkdir -p .tools
    [ -x "$venv/bin/pip" ] || python3 -m venv "$venv" >/dev/null 2>&1 ||
      { apt_install python3-venv && python3 -m venv "$venv" >/dev/null; } || { skip "python: no venv"; return; }
    # qpid-proton is built from source: a C compiler and the headers.
    command -v cc >/dev/null 2>&1 || apt_install build-essential || true
    local headers; headers="$(python3 -c 'import sysconfig; print(sysconfig.get_paths()["include"])')/Python.h"
    [ -f "$headers" ] || apt_install python3-dev || true
    [ -f /usr/include/openssl/ssl.h ] || apt_install libssl-dev || true
    command -v swig >/dev/null 2>&1 || apt_install swig || true
    note "installing the Python clients into $venv"
    "$venv/bin/pip" install -q --disable-pip-version-check -r tests/clients/python/requirements.txt ||
      { skip "python: its packages cannot be installed"; return; }
    cp tests/clients/python/requirements.txt "$stamp"
  fi
  ( cd tests/clients/python && REQUESTS_CA_BUNDLE="$ca" SSL_CERT_FILE="$ca" PYTHONDONTWRITEBYTECODE=1 \
      ../../../$venv/bin/python -m unittest -v ) 2>&1 | tee "$work/log"
  local code=${PIPESTATUS[0]} ran bad
  ran=$(sed -n 's/^Ran \([0-9]*\) test.*/\1/p' "$work/log")
  bad=$(sed -n 's/^FAILED (\(.*\))/\1/p' "$work/log" | tr -c '0-9\n' ' ' | awk '{for (i = 1; i <= NF; i++) n += $i} END {print n + 0}')
  ran=${ran:-0}
  count python "$code" "$((ran > bad ? ran - bad : 0))" "$bad"
}

# Programs that end before thorough compilation pays.
short=(-XX:TieredStopAtLevel=1 -XX:+UseSerialGC)

suite_java() {
  local tool
  for tool in java javac mvn keytool; do
    command -v "$tool" >/dev/null 2>&1 || { skip "java: no $tool (apt-get install default-jdk-headless maven)"; return; }
  done
  local out="$root/.tools/java"
  if ! cmp -s tests/clients/java/pom.xml "$out/pom.installed" || [ -n "$(find tests/clients/java/src -newer "$out/classes/Clients.class" -name '*.java' 2>&1)" ]; then
    # What was fetched before is enough; the network only when it is not.
    local maven=(mvn -q -B -f tests/clients/java/pom.xml dependency:copy-dependencies -DoutputDirectory="$out/lib" compile)
    "${maven[@]}" --offline >/dev/null 2>&1 || "${maven[@]}" || { skip "java: Maven cannot get the libraries"; return; }
    cp tests/clients/java/pom.xml "$out/pom.installed"
  fi
  keytool -importcert -noprompt -alias demo -file "$ca" -keystore "$work/trust.p12" -storepass changeit >/dev/null 2>&1
  java -Djavax.net.ssl.trustStore="$work/trust.p12" -Djavax.net.ssl.trustStorePassword=changeit \
    -cp "$out/classes:$out/lib/*" Clients "$HELSENAV_FACTS" 2>&1 | tee "$work/log"
  local code=${PIPESTATUS[0]}
  # wsimport makes clients of the descriptions that the demo serves; what it makes goes with the rest of the demo.
  java "${short[@]}" -Djava.io.tmpdir="$work" -cp "$out/classes:$out/lib/*" Soap "$HELSENAV_FACTS" "$root/tests/clients/java/src/soap" 2>&1 |
    tee -a "$work/log"
  [ "${PIPESTATUS[0]}" = 0 ] || code=1
  suite_cxf || code=1
  count java "$code" "$(grep -c '^ok - ' "$work/log")" "$(grep -c '^not ok - ' "$work/log")"
}

# CXF has a class path of its own: it and JAX-WS answer to the same service interface.
suite_cxf() {
  local out="$root/.tools/java-cxf" in="$root/tests/clients/java"
  if ! cmp -s "$in/cxf/pom.xml" "$out/pom.installed" || [ "$in/cxf/src/main/java/Cxf.java" -nt "$out/classes/Cxf.class" ]; then
    local maven=(mvn -q -B -f "$in/cxf/pom.xml" dependency:copy-dependencies -DoutputDirectory="$out/lib" compile)
    "${maven[@]}" --offline >/dev/null 2>&1 || "${maven[@]}" || { skip "java: Maven cannot get CXF"; return 0; }
    cp "$in/cxf/pom.xml" "$out/pom.installed"
  fi
  java "${short[@]}" -Djava.io.tmpdir="$work" -cp "$out/classes:$out/lib/*" Cxf "$HELSENAV_FACTS" "$in/cxf/src/cases" "$in/src/soap" 2>&1 | tee -a "$work/log"
  return "${PIPESTATUS[0]}"
}

suite_web() {
  need_node || { skip "web: no Node 20"; return; }
  grep -q '"e2e"' web/package.json 2>/dev/null || { skip "web: no browser tests"; return; }
  command -v chromium >/dev/null 2>&1 || apt_install chromium || { skip "web: no Chromium (apt-get install chromium)"; return; }
  [ -d web/node_modules ] || ( cd web && npm ci --no-audit --no-fund --loglevel=error ) || { count web 1; return; }
  # The pages are looked at after the story's day: her letter is there.
  note "playing the story to its end"
  node -e 'const base = JSON.parse(require("fs").readFileSync(process.env.HELSENAV_FACTS)).base
    fetch(base + "/demo/story", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ pace: 0, until: "end" }) })
      .then(async (r) => { if (!r.ok) console.log(await r.text()) })' || true
  ( cd web && NODE_EXTRA_CA_CERTS="$ca" npm run --silent e2e ) 2>&1 | tee "$work/log"
  count web "${PIPESTATUS[0]}" "$(node_count pass)" "$(node_count fail)"
}

start_demo
for suite in "${suites[@]}"; do
  say "Clients: $suite"
  case "$suite" in
    node | python | java | web) "suite_$suite" ;;
    *) sed -n '2,10s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
done
[ "$skipped" = 0 ] || note "$skipped suite(s) skipped"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
