# shellcheck shell=bash
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

# Ends a process of ours: asks, waits up to STOP_SECONDS (20), then insists. Empty PID: nothing to do.
stop_process() { # PID
    local _
    [ -n "${1:-}" ] || return 0
    kill -TERM "$1" 2>/dev/null || true
    for _ in $(seq $((${STOP_SECONDS:-20} * 10))); do
        kill -0 "$1" 2>/dev/null || break
        sleep 0.1
    done
    kill -KILL "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}

# What a figure has to be read with: machine, disk ($work), commit, cores.
describe_machine() {
    echo "date: $(date -u +%FT%TZ)"
    echo "kernel: $(uname -srvm)"
    echo "cpu: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores"
    echo "memory: $(awk '/^MemTotal:/ { print int($2 / 1024) }' /proc/meminfo) MiB"
    echo "disk: $(df --output=fstype,source "$work" | tail -n 1 | tr -s ' ')"
    echo "udp buffers: $(cat /proc/sys/net/core/rmem_default) default, $(cat /proc/sys/net/core/rmem_max) max"
    echo "commit: $(git -C "$root_dir" describe --always --dirty --abbrev=12 2>/dev/null || echo unknown)"
    echo "compiler: $(rustc --version 2>/dev/null || echo unknown)"
    echo "engine on core $engine_core, callers on core $load_core"
}

# Sets bin_dir to where the binaries are: BIN_DIR where the caller gives it, else a release build.
find_binaries() {
    bin_dir=${BIN_DIR:-}
    if [ -z "$bin_dir" ]; then
        need cargo 'rustup; then: rustup default stable'
        (cd "$root_dir" && cargo build --release --bins -p holdfast-media -p holdfast-signaling \
            -p holdfast-load) >&2 || fail "the build failed"
        bin_dir=${CARGO_TARGET_DIR:-$root_dir/target}/release
    fi
    local binary
    for binary in holdfast-media holdfast-signaling holdfast-load; do
        [ -x "$bin_dir/$binary" ] || fail "no $bin_dir/$binary: make build"
    done
}

# In a network of its own ring and drop rule touch nobody else's packets: starts the calling script
# again within one. Without root it stays where it is.
enter_network() { # ARGUMENTS...
    [ -z "${INSIDE_NETWORK:-}" ] || { ip link set lo up; return 0; }
    [ "$(id -u)" = 0 ] || return 0
    need unshare util-linux
    need ip iproute2
    INSIDE_NETWORK=1 BIN_DIR=$bin_dir exec unshare --net -- "$0" "$@"
}

# Writes the configuration of a server of our own. What is not said here has its default.
write_config() { # FOLDER RECORDINGS SOCKET SIP_PORT MEDIA_PORTS CORE
    # Within the text below its quotes would be taken for the shell's.
    local commit=
    [ -z "${COMMIT_MS:-}" ] || commit="commit_interval = \"$COMMIT_MS ms\""
    cat <<TOML
[node]
name = "perf"
state_dir = "$1/state"
control_socket = "$3"
operator_socket = "$3.operator"

[sip]
listen = ["udp:127.0.0.1:$4", "tcp:127.0.0.1:$4"]
max_calls = ${MAX_CALLS:-2000}

[media]
ingest = "${INGEST:-udp}"
ports = "$5"
$commit
cores = [$6]

[recordings]
dir = "$2"
${PUBLISH_THREADS:+publish_threads = $PUBLISH_THREADS}
TOML
}

# Starts both processes with FOLDER/holdfast.toml and waits until they take calls; sets media_pid
# and signaling_pid. Their logs are FOLDER/media.log and FOLDER/signaling.log.
start_server() { # FOLDER SIP_PORT
    # The udp ingest has two sockets for each stream.
    ulimit -Sn "$(ulimit -Hn)" 2>/dev/null || true
    "$bin_dir/holdfast-media" --config "$1/holdfast.toml" >"$1/media.log" 2>&1 </dev/null &
    media_pid=$!
    "$bin_dir/holdfast-signaling" --config "$1/holdfast.toml" >"$1/signaling.log" 2>&1 </dev/null &
    signaling_pid=$!
    local _ name
    for _ in $(seq 60); do
        "$bin_dir/holdfast-load" options --target "127.0.0.1:$2" --timeout-ms 500 >/dev/null 2>&1 &&
            return 0
        for name in media signaling; do
            local pid=${name}_pid
            kill -0 "${!pid}" 2>/dev/null ||
                fail "holdfast-$name ended: $(tail -n 5 "$1/$name.log")"
        done
        sleep 0.2
    done
    fail "the server does not answer OPTIONS: $(tail -n 5 "$1/signaling.log" "$1/media.log")"
}

# Signaling first: it closes the calls, the engine then publishes them.
stop_server() {
    stop_process "${signaling_pid:-}"
    stop_process "${media_pid:-}"
    signaling_pid=
    media_pid=
}

# One of the counters that SIPp prints last, from $work/sipp.out.
counted() { # LABEL
    awk -F'|' -v label="$1" '$1 ~ label { value = $3 } END { print value + 0 }' "$work/sipp.out"
}

# Of the times in $work/invite.ms, which are sorted.
quantile() { # OF_1000
    awk -v part="$1" '{ value[NR] = $1 } END {
        at = int(NR * part / 1000); if (at * 1000 < NR * part) at++; print NR ? value[at] : "none" }' \
        "$work/invite.ms"
}

# Frames are injected by calls that wait for RCU: that is to be quick until restore_rcu.
expedite_rcu() {
    rcu_expedited=$(cat /sys/kernel/rcu_expedited)
    echo 1 2>/dev/null >/sys/kernel/rcu_expedited || say "frames come at a small rate: rcu_expedited is not ours"
}

restore_rcu() {
    [ -z "${rcu_expedited:-}" ] || echo "$rcu_expedited" 2>/dev/null >/sys/kernel/rcu_expedited || true
}

# Fills the memory with cache, as it is on a machine that has been up for long: reads a file of zeros that has no
# blocks. A virtual machine gives free memory back to its host, and then each page that a write takes first costs
# a fault of the host's, which is more than the write. FILL_MEMORY=0: leaves it as it is.
fill_memory() {
    [ "${FILL_MEMORY:-1}" = 1 ] || return 0
    local free_mib
    free_mib=$(awk '/^MemFree:/ { print int($2 / 1024) }' /proc/meminfo)
    [ "$free_mib" -gt 512 ] || return 0
    truncate -s "+$((free_mib - 256))M" "$work/zeros"
    # What was read before is there still, and costs a copy.
    cat "$work/zeros" >/dev/null
}

# Sets results to a new folder for NAME, which says what machine it is.
begin_results() { # NAME
    work=${WORK_DIR:-$perf_dir/runs/tmp}
    mkdir -p "$work"
    results=$perf_dir/runs/$(date +%F)-$(uname -n)/$1/$(date +%H%M%S)
    mkdir -p "$results"
    describe_machine >"$results/machine.txt"
}

# One measurement by perf/ingest/run: so many calls with the ring, or with NAME=srtp encrypted. Prints its line;
# fails where something was lost. Its raw results are kept where its own are.
ingest() { # CALLS NAME
    local srtp=0 lines field
    [ "$2" = ring ] || srtp=1
    # It has plain and encrypted in one run.
    lines=$(BIN_DIR=$bin_dir CALLS=$1 FEW_CALLS=0 UDP_CALLS=0 RTPENGINE_CALLS=0 SRTP=$srtp \
        PUBLISHED_NS_MAX=0 GROWTH_MAX=0 SRTP_MORE_NS_MAX=0 "$perf_dir/ingest/run") || true
    field=1
    [ "$srtp" = 0 ] || field=2
    grep '^calls=' <<<"$lines" | sed -n "${field}p"
    grep -q 'lossless=1' <<<"$lines"
}

# Runs a command with WORK_DIR on a file system that nothing was deleted from: ext4 gets dearer by that, and runs one
# after the other could not be compared. It lies in a sparse file under $work; without root it is $work itself.
on_fresh_disk() ( # GIB COMMAND...
    if [ "$(id -u)" != 0 ]; then
        shift
        WORK_DIR=$work "$@"
        exit
    fi
    need mkfs.ext4 e2fsprogs
    disk=$(mktemp -d "$work/disk.XXXXXX")
    trap 'umount "$disk/at" 2>/dev/null; rm -rf --one-file-system "$disk"' EXIT
    truncate -s "$1G" "$disk/image"
    mkdir "$disk/at"
    mkfs.ext4 -q -E lazy_itable_init=0,lazy_journal_init=0 "$disk/image" >&2
    mount -o loop "$disk/image" "$disk/at"
    shift
    WORK_DIR=$disk/at "$@"
)

# A figure of a line.
of_line() { # LINE KEY
    sed -n "s/.*\b$2=\([0-9.]*\).*/\1/p" <<<"$1"
}

# Draws an SVG of a file with columns, where there is gnuplot.
plot() { # FILE.svg GNUPLOT-COMMANDS
    if ! command -v gnuplot >/dev/null; then
        say "not drawn: ${1##*/} (apt-get install gnuplot-nox)"
        return 0
    fi
    gnuplot -e "set terminal svg size 800,500; set output '$1'; set grid; set key left top; $2" ||
        say "not drawn: ${1##*/}"
}

# Draws distributions in the text format of HdrHistogram: each line has the value that no more than its part of
# all exceeds. The last one, for all, is drawn to where it is the highest of twice as many.
plot_distributions() { # FILE.svg Y-LABEL FILE.hgrm...
    local svg=$1 label=$2 file curves=''
    shift 2
    for file in "$@"; do
        [ -s "$file" ] || continue
        curves+="${curves:+, }'$file' using (\$2 < 1 ? \$4 : 2 * \$3):1 with fsteps title '$(distribution_title "$file")'"
    done
    [ -n "$curves" ] || return 0
    plot "$svg" "set key above; set logscale x; set xrange [1:*]; set yrange [0:*]; set ylabel '$label'; set xlabel 'percentile'; \
set xtics ('0' 1, '50' 2, '90' 10, '99' 100, '99.9' 1000, '99.99' 10000, '99.999' 1e5, '99.9999' 1e6); plot $curves"
}

# NAME, its highest value and how many there are.
distribution_title() { # FILE.hgrm
    local name=${1##*/}
    awk -v name="${name%.hgrm}" -F'[=,\\]]' '/^#.Max/ { printf "%s: %d, at most %g", name, $4, $2 }' "$1" | tr _ ' '
}

# Writes the distribution of milliseconds, which are sorted, in the text format of HdrHistogram.
write_hgrm() { # FILE.ms FILE.hgrm
    awk '{ value[NR] = $1; sum += $1; squares += $1 * $1 } END {
        print "       Value     Percentile TotalCount 1/(1-Percentile)\n"
        if (NR) printf "%12.3f %2.12f %10d %14.2f\n", value[1], 0, 1, 1
        for (at = 1; at <= NR; at++) {
            if (at < NR && value[at + 1] == value[at]) continue
            printf "%12.3f %2.12f %10d", value[at], at / NR, at
            if (at < NR) printf " %14.2f", NR / (NR - at)
            print ""
        }
        mean = NR ? sum / NR : 0
        variance = NR ? squares / NR - mean * mean : 0
        printf "#[Mean    = %12.3f, StdDeviation   = %12.3f]\n", mean, sqrt(variance > 0 ? variance : 0)
        printf "#[Max     = %12.3f, Total count    = %12d]\n", value[NR], NR }' "$1" >"$2"
}

# From now on writes each second what memory both processes have resident, until stop_watching or until one is gone.
watch_memory() { # FILE.tsv
    echo '# seconds media_kib signaling_kib' >"$1"
    sample_memory "$media_pid" "$signaling_pid" >>"$1" &
    watcher_pid=$!
}

sample_memory() { # PID...
    local begun=${EPOCHREALTIME//[.,]/} line pid kib
    while :; do
        line=$(((${EPOCHREALTIME//[.,]/} - begun) / 1000))
        line=$((line / 1000)).$(printf %03d $((line % 1000)))
        for pid in "$@"; do
            kib=$(awk '/^VmRSS:/ { print $2 }' "/proc/$pid/status" 2>/dev/null)
            [ -n "$kib" ] || return 0
            line+=" $kib"
        done
        echo "$line"
        sleep 1
    done
}

# The same with descriptors and with pairs of ports in use, of the server of these settings.
watch_use() { # FILE.tsv CONFIG
    echo '# seconds media_kib signaling_kib media_descriptors signaling_descriptors port_pairs' >"$1"
    sample_memory "$media_pid" "$signaling_pid" | while read -r line; do
        echo "$line $(descriptors "$media_pid" | wc -l) $(descriptors "$signaling_pid" | wc -l)" \
            "$(status_of "$2" port_pairs)"
    done >>"$1" &
    watcher_pid=$!
}

# Descriptors of a process, sorted: paths without their numbers, and kinds such as socket.
descriptors() { # PID
    find "/proc/$1/fd" -type l -printf '%l\n' 2>/dev/null | sed 's/:\[.*//; s/[0-9]//g' | sort
}

# The first number of this name in the status of a server; nothing where it has none.
status_of() { # CONFIG NAME
    "$bin_dir/holdfast" status --json --config "$1" 2>/dev/null | tr -d ' \n' |
        grep -o "\"$2\":[0-9]*" | head -n 1 | cut -d : -f 2 || true
}

# Draws what watch_use wrote, without the memory.
plot_use() { # FILE.svg FILE.tsv
    plot "$1" "set key above; set xlabel 's'; set yrange [0:*]; plot '$2' using 1:4 with lines title 'descriptors of media', \
'$2' using 1:5 with lines title 'of signaling', '$2' using 1:6 with lines title 'pairs of ports in use'"
}

stop_watching() {
    [ -n "${watcher_pid:-}" ] || return 0
    kill "$watcher_pid" 2>/dev/null || true
    wait "$watcher_pid" 2>/dev/null || true
    watcher_pid=
}

# Draws what watch_memory wrote; a file's name is in the legend where there are several.
plot_memory() { # FILE.svg FILE.tsv...
    local svg=$1 file name curves=''
    shift
    for file in "$@"; do
        [ -s "$file" ] || continue
        name=''
        [ $# = 1 ] || { name=${file##*/} && name="${name%%.*}: "; }
        curves+="${curves:+, }'$file' using 1:(\$2 / 1024) with lines title '${name}media'"
        curves+=", '$file' using 1:(\$3 / 1024) with lines title '${name}signaling'"
    done
    [ -z "$curves" ] || plot "$svg" "set key above; set xlabel 's'; set ylabel 'MiB resident'; set yrange [0:*]; plot $curves"
}
