# What the scripts share; to be sourced from the repository's root.

# Everything that is downloaded or built for development only, outside the repository.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/mcpmqtt-dev

# Debian puts daemons where only root looks.
PATH=$PATH:/usr/sbin:/sbin

die() {
  echo "$(basename "$0"): $*" >&2
  exit 1
}

# help_of FILE: prints the comment at the script's head, which says what it does and how it is called.
help_of() {
  sed -n '2,${ /^#/!q; s/^# \{0,1\}//; p }' "$1"
}

# Each script sources this file with its own arguments, right after it has gone to the repository's root.
case ${1-} in
  -h | --help)
    [[ $0 == /* ]] && help_of "$0" || help_of "$OLDPWD/$0"
    exit 0
    ;;
esac

missing=()

# need COMMAND PACKAGE: the command, or the Debian package that has it, is needed.
need() {
  command -v "$1" >/dev/null || missing+=("$2")
}

# Installs what `need` did not find: as root; others are told the command.
install_missing() {
  ((${#missing[@]})) || return 0
  command -v apt-get >/dev/null || die "please install: ${missing[*]}"
  [[ $(id -u) == 0 ]] || die "please run: sudo apt-get install ${missing[*]}"
  echo "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  { apt-get update && apt-get install -y --no-install-recommends "${missing[@]}"; } >/dev/null 2>&1 ||
    die "cannot install ${missing[*]}; try: apt-get install ${missing[*]}"
  missing=()
}

target_directory() {
  cargo metadata --locked --no-deps --format-version 1 |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])'
}

workspace_version() {
  sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"$/\1/p' Cargo.toml
}

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# wait_for NAME COMMAND...: repeats the command until it succeeds, for at most 20 s.
wait_for() {
  local name=$1 end=$((SECONDS + 20))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < end)) || die "$name does not come up"
    sleep 0.05
  done
}

# made_from FILE DIRECTORY COMMAND...: makes the directory by the command, unless it was made from
# the same file before.
made_from() {
  local file=$1 directory=$2
  shift 2
  cmp -s "$file" "$directory/.made-from" && return
  rm -rf "$directory"
  mkdir -p "$directory"
  "$@" >&2 || die "cannot make $directory"
  cp "$file" "$directory/.made-from"
}

# python_with NAME REQUIREMENTS: prints a Python that has these packages, in $cache/NAME.
python_with() {
  local directory=$cache/$1 requirements=$2
  make_venv() {
    python3 -m venv "$directory" || die "python3 cannot make a venv; on Debian: apt-get install python3-venv"
    "$directory/bin/pip" install --quiet --disable-pip-version-check -r "$requirements"
  }
  made_from "$requirements" "$directory" make_venv
  echo "$directory/bin/python"
}

# Installs the Python program that this one is measured against, into $cache/original.
install_original() {
  python_with original tests/bench/original.txt >/dev/null
}

# Prints the Python that has the SDK.
sdk_python() {
  python_with sdk-python tests/sdk/requirements.txt
}

# Prints the Python that has the SDKs of those who offer models.
converters_python() {
  python_with converters tests/sdk/converters.txt
}

# Prints the Python that has the tools for what the program is made of.
supply_chain_python() {
  python_with supply-chain scripts/package/requirements.txt
}

# Prints the directory in which the TypeScript SDKs are installed.
sdk_node() {
  make_modules() {
    cp tests/sdk/package.json tests/sdk/package-lock.json "$cache/sdk-node/"
    npm --prefix "$cache/sdk-node" ci --ignore-scripts --no-audit --no-fund --silent
  }
  made_from tests/sdk/package-lock.json "$cache/sdk-node" make_modules
  echo "$cache/sdk-node"
}

# Prints the client made of the Rust SDK. It is a package of its own, which the product's lints and
# its oldest compiler do not concern.
sdk_rust() {
  cargo build --locked --quiet --manifest-path tests/sdk/rmcp/Cargo.toml \
    --target-dir "$cache/sdk-rust" >&2 || die "cannot build tests/sdk/rmcp"
  echo "$cache/sdk-rust/debug/mcpmqtt-rmcp-client"
}

# start_broker DIRECTORY [LINES]: a mosquitto on a free port (and with further LINES of configuration);
# prints nothing, sets `port` and `broker` (its process), which is a job of the caller.
start_broker() {
  port=$(free_port)
  printf 'listener %s 127.0.0.1\nallow_anonymous true\n%s\n' "$port" "${2-}" >"$1/mosquitto.conf"
  mosquitto -c "$1/mosquitto.conf" >>"$1/mosquitto.log" 2>&1 &
  broker=$!
  wait_for "mosquitto on port $port" mosquitto_pub -p "$port" -t ready -m 1
}

# start_plant DIRECTORY [LINES]: such a mosquitto, with sensors that have a value and devices that answer.
# What it starts are jobs of the caller.
start_plant() {
  local room
  start_broker "$@"
  for room in exampleroom1 exampleroom2; do
    mosquitto_pub -p "$port" -r -t "sensors/$room/temperature" -m 21.5
  done
  mosquitto_sub -p "$port" -t 'commands/+/request' -F %t | while read -r topic; do
    mosquitto_pub -p "$port" -t "${topic%request}response" -m '{"light":"off"}'
  done &
  wait_for "the responder" mosquitto_rr -V 311 -p "$port" -W 1 \
    -t commands/ready/request -e commands/ready/response -m get_status
}

# plant_config [KEYS]: prints the example configuration for that broker, with further members.
plant_config() {
  python3 - "$port" "${1:-{\}}" <<'EOF'
import json, sys
with open("config/examples/example_config.json") as file:
    config = json.load(file)
config["mqtt"].update(host="127.0.0.1", port=int(sys.argv[1]))
config.update(json.loads(sys.argv[2]))
print(json.dumps(config, indent=2))
EOF
}

# in_own_network ARGUMENT...: starts the script anew with these arguments, in a network that has nothing
# but loopback, so that ports are its own and nobody else is reached, and without the caller's variables.
# Returns when that is where it is.
in_own_network() {
  if [[ ${MCPMQTT_ALONE-} ]]; then
    ip link set lo up
    return
  fi
  local namespaces=(--net)
  [[ $(id -u) == 0 ]] || namespaces+=(--map-root-user)
  exec unshare "${namespaces[@]}" env -i PATH="$PATH" HOME="$HOME" MCPMQTT_ALONE=yes "scripts/$(basename "$0")" "$@"
}

# in_empty_network COMMAND...: runs the command in a network that has nothing but loopback, as the user who calls. Cargo
# is told not to look for one.
in_empty_network() {
  local user group
  user=$(id -u) group=$(id -g)
  if [[ $user == 0 ]]; then
    unshare --net sh -c 'ip link set lo up && exec "$@"' sh env CARGO_NET_OFFLINE=true "$@"
  else
    # Only root of a user namespace may raise an interface; the command gets the caller's own id again.
    unshare --map-root-user --net sh -c 'ip link set lo up && exec "$@"' sh \
      unshare --user --map-user="$user" --map-group="$group" env CARGO_NET_OFFLINE=true "$@"
  fi
}

# Whether there can be such a network, with the same families of addresses on loopback as here.
can_be_alone() {
  local ask='import socket
for family, address in (socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"):
    try:
        socket.socket(family).bind((address, 0))
        print(address)
    except OSError:
        pass'
  [[ $(in_empty_network python3 -c "$ask" 2>/dev/null) == "$(python3 -c "$ask")" ]]
}

# document_block FILE LANGUAGE WORD: prints the first block of a document in that language with that word.
document_block() {
  python3 - "$@" <<'EOF'
import re, sys
file, language, word = sys.argv[1:]
blocks = re.findall(rf"^```{language}\n(.*?)^```", open(file).read(), re.MULTILINE | re.DOTALL)
print(next(block for block in blocks if word in block), end="")
EOF
}

# start_operator DIRECTORY: such a mosquitto with the access list of config/OPERATOR.md, an operator who agrees to
# everything but `closed`, and DIRECTORY/published, where what is published below `line` is kept. What it starts are jobs of
# the caller.
start_operator() {
  # What watches `line` has no account. Started by root, mosquitto would become a user that may not read the list.
  { echo 'topic readwrite line/#' && document_block config/OPERATOR.md text "user mcpmqtt"; } >"$1/access"
  # With an unbounded queue, mosquitto 2.0.11 ends the connection of who publishes at QoS 1 what the list forbids.
  start_broker "$1" "user root"$'\n'"max_queued_messages 1000"$'\n'"acl_file $1/access"
  local topic question verdict
  mosquitto_sub -p "$port" -u operator -t plant/op/ask/+ -F '%t %p' | while read -r topic question; do
    verdict=allow
    [[ $question != *'"payload":"closed"'* ]] || verdict=deny
    mosquitto_pub -p "$port" -u operator -q 1 -t "plant/op/answer/${topic##*/}" -m "$verdict by Ana"
  done &
  wait_for "the operator" mosquitto_rr -V 311 -p "$port" -u operator -W 1 \
    -t plant/op/ask/ready -e plant/op/answer/ready -m '{}'
  mosquitto_sub -p "$port" -t 'line/#' -F '%t %p' >>"$1/published" &
  wait_for "who keeps what is published" is_published "$1" line/ready
}

# is_published DIRECTORY TOPIC: publishes there, and looks whether that, or what an earlier try has published, has come.
is_published() {
  mosquitto_pub -p "$port" -q 1 -t "$2" -m yes
  grep -q "^$2 " "$1/published"
}

# with_consent DIRECTORY COMMAND...: runs tests/sdk/python_consent.py or typescript_consent.mjs, by the command, and looks
# what it has published: what somebody agreed to, once, and nothing else.
with_consent() {
  local directory=$1 seen
  shift
  : >"$directory/published"
  "$@"
  # A topic of its own, since the mark of an earlier call may come twice, and late.
  marks=$((${marks-0} + 1))
  wait_for "what is published" is_published "$directory" "line/mark/$marks"
  seen=$(grep -v '^line/\(ready\|mark/[0-9]*\) ' "$directory/published")
  [[ $seen == $'line/lamp/set agreed\nline/gate/set cancelled\nline/gate/set unanswered\nline/valve/set open' ]] ||
    die "what is published is not what somebody agreed to: $seen"
}

# consent_config: prints the configuration of config/CONSENT.md for that broker, and a gate about which both are asked.
consent_config() {
  document_block config/CONSENT.md json '"consent"' | python3 -c '
import json, sys
config = json.load(sys.stdin)
config["mqtt"] = {"host": "127.0.0.1", "port": int(sys.argv[1]), "username": "mcpmqtt"}
gate = {"pattern": "line/gate/set", "permissions": ["write"], "description": "The gate.", "consent": "either"}
config["topics"].append(gate)
print(json.dumps(config, indent=2))' "$port"
}

# A function for awk: the name of a function as it is in every build. In Rust's names the numbers of crates and the
# references back, which depend on their length, differ; sequences of instructions that became functions have numbers.
stable_name() {
  cat <<'END'
function stable(name) {
  sub(/\.llvm\.[0-9]+$/, "", name)
  sub(/^OUTLINED_FUNCTION_[0-9_]+$/, "OUTLINED_FUNCTION", name)
  gsub(/Cs[0-9A-Za-z]+_/, "C", name)
  gsub(/B[0-9A-Za-z]*_/, "B_", name)
  return name
}
END
}
