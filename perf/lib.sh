# Shell functions that the tools under perf/ share. Sourced, never run.

perf_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root_dir=$(dirname "$perf_dir")

say() { printf '%s\n' "$*" >&2; }

fail() {
    printf '%s: %s\n' "$(basename "$(dirname "$0")")/run" "$*" >&2
    exit 1
}

# need COMMAND PACKAGE: stops with what to install where a command is missing.
need() {
    command -v "$1" >/dev/null 2>&1 || fail "$1 is missing: apt-get install $2"
}

# Whether a UDP or TCP port is bound by anyone on this machine, whatever the address.
port_is_taken() { # PORT
    local hex
    hex=$(printf ':%04X' "$1")
    cat /proc/net/udp /proc/net/udp6 /proc/net/tcp /proc/net/tcp6 2>/dev/null |
        awk -v port="$hex" 'substr($2, length($2) - 4) == port { found = 1 } END { exit !found }'
}

# Prints an even port from FIRST on that nobody has bound. Not reserved: bind it soon.
free_port() { # FIRST
    local port=$1
    while port_is_taken "$port"; do
        port=$((port + 2))
        [ "$port" -lt 65000 ] || fail "no free port from $1 on"
    done
    echo "$port"
}

has_ipv6_loopback() {
    grep -q '^00000000000000000000000000000001 ' /proc/net/if_inet6 2>/dev/null
}

# Waits until PORT is bound; fails where the process ends before.
wait_for_port() { # TRANSPORT PORT PID
    local _
    for _ in $(seq 100); do
        port_is_taken "$2" && return 0
        kill -0 "$3" 2>/dev/null || return 1
        sleep 0.05
    done
    return 1
}

# Ends a process of ours: asks, waits up to 20 s, then insists. Empty PID: nothing to do.
stop_process() { # PID
    local _
    [ -n "${1:-}" ] || return 0
    kill -TERM "$1" 2>/dev/null || true
    for _ in $(seq 200); do
        kill -0 "$1" 2>/dev/null || break
        sleep 0.1
    done
    kill -KILL "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}

# Builds the given packages; prints the folder of the binaries.
build() { # PROFILE PACKAGE...
    local profile=$1 flag=() package
    shift
    [ "$profile" = release ] && flag=(--release)
    for package in "$@"; do flag+=(-p "$package"); done
    need cargo 'rustup, then: rustup default stable'
    (cd "$root_dir" && cargo build --locked "${flag[@]}") >&2 || fail "the build failed"
    echo "${CARGO_TARGET_DIR:-$root_dir/target}/$profile"
}

# Writes a configuration for a server of our own below FOLDER.
write_config() { # FOLDER SIP_PORT HTTP_PORT FIRST_MEDIA_PORT LAST_MEDIA_PORT CORE
    cat <<TOML
[node]
name = "perf"
state_dir = "$1/state"
control_socket = "$1/control.sock"

[sip]
listen = ["udp:127.0.0.1:$2", "tcp:127.0.0.1:$2"]
advertise = "127.0.0.1"

[media]
ingest = "udp"
address = "127.0.0.1"
ports = "$4-$5"
cores = [$6]

[recordings]
dir = "$1/recordings"

[http]
listen = "127.0.0.1:$3"
TOML
}

# Starts both processes with FOLDER/holdfast.toml; sets media_pid and signaling_pid.
start_server() { # BIN_DIR FOLDER SIP_PORT LOAD_BINARY
    "$1/holdfast-media" --config "$2/holdfast.toml" >"$2/media.log" 2>&1 </dev/null &
    media_pid=$!
    "$1/holdfast-signaling" --config "$2/holdfast.toml" >"$2/signaling.log" 2>&1 </dev/null &
    signaling_pid=$!
    local _
    for _ in $(seq 60); do
        "$4" options --target "127.0.0.1:$3" --timeout-ms 500 >/dev/null 2>&1 && return 0
        kill -0 "$media_pid" 2>/dev/null || fail "holdfast-media ended: $(tail -n 5 "$2/media.log")"
        kill -0 "$signaling_pid" 2>/dev/null ||
            fail "holdfast-signaling ended: $(tail -n 5 "$2/signaling.log")"
        sleep 0.2
    done
    fail "the server does not answer OPTIONS: $(tail -n 5 "$2/signaling.log" "$2/media.log")"
}

# Signaling first: it closes the calls, the engine then publishes them.
stop_server() {
    stop_process "${signaling_pid:-}"
    stop_process "${media_pid:-}"
    signaling_pid=
    media_pid=
}
