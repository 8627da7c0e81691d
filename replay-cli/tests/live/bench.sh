#!/usr/bin/env bash
# What the tunnel costs, and how long its loop lets anything wait. Needs what run.sh needs; say the machine's load with
# the numbers, which it prints first.
#
#   replay-cli/tests/live/bench.sh PATH-TO-REPLAY [SECONDS]
#
# 1. Throughput of iperf3 and curl by cable and through `replay live`, one after the other, SECONDS each (default 5).
# 2. The loop's lag (how late its turns came), how long they took, and how long flows with news stood in line, under 128 TCP streams, with a burst of
#    100,000 datagrams up and another down.
# 3. Where each datagram of the bursts went: what arrived and what some counter names must be all. The exit code is 1
#    if they are not; speeds and lags are printed beside their aim, and fail nothing.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
replay=$(realpath "${1:?path to the replay binary}")
seconds=${2:-5}
# shellcheck source=lab.sh
source "$here/lab.sh"
need ip nginx curl openssl iperf3 python3 timeout
trap lab_down EXIT
status=0
datagrams=100000

# Bits a second of an iperf3 run: what the receiver got.
iperf() { # ns, arguments
    in_ns "$1" timeout $((seconds + 20)) iperf3 -J -c $v4 -t "$seconds" "${@:2}" |
        python3 -c 'import json, sys; print(int(json.load(sys.stdin)["end"]["sum_received"]["bits_per_second"]))'
}

# Bits a second of one download.
download() { # ns, bytes
    in_ns "$1" curl -sS -o /dev/null -w '%{speed_download}' "http://$v4/$2" | python3 -c 'print(int(float(input()) * 8))'
}

beside() { # name, command that takes a namespace first
    local direct through
    direct=$("$2" dir "${@:3}") && through=$("$2" cli "${@:3}") || { echo "FAIL  $1"; status=1; return; }
    python3 -c 'import sys
name, direct, through = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
print(f"{name:<28} {direct / 1e9:7.3f} Gbit/s by cable  {through / 1e9:7.3f} through  ratio {through / direct:.3f}")' \
        "$1" "$direct" "$through"
}

# Counters of the kernel: datagrams that a full socket or device lost in a namespace.
kernel_losses() { # ns
    in_ns "$1" python3 -c '
import glob
lost = 0
for path, prefix in (("/proc/net/snmp", "Udp:"), ("/proc/net/snmp6", "Udp6")):
    if prefix == "Udp:":
        names, values = [line.split()[1:] for line in open(path) if line.startswith(prefix)]
        counts = dict(zip(names, map(int, values)))
    else:
        counts = {name[4:]: int(value) for name, value in map(str.split, open(path)) if name.startswith(prefix)}
    lost += counts.get("RcvbufErrors", 0) + counts.get("SndbufErrors", 0)
for path in glob.glob("/sys/class/net/*/statistics/[rt]x_dropped"):
    lost += int(open(path).read())
print(lost)'
}

# A number of the last words of `replay live`; 0 if it is not named there.
said() { grep -oE "(^| )$1=[0-9]+" "$dir/live.out" | tail -1 | cut -d= -f2 | grep . || echo 0; }

# Everything sent has arrived, or a counter has it.
account() { # name, sent, arrived, losses as NAME=COUNT...
    local sum=$3 loss
    for loss in "${@:4}"; do sum=$((sum + ${loss#*=})); done
    printf '%s: sent %s, arrived %s, %s\n' "$1" "$2" "$3" "${*:4}"
    ((sum == $2)) || { status=1; printf 'FAIL  %s: %s datagrams are in no counter\n' "$1" $(($2 - sum)); }
}

lab_up
servers_up
head -c 67108864 /dev/urandom >"$dir/www/67108864"
uptime

tunnel_up 1500 || exit 1
beside 'iperf3, up' iperf
beside 'iperf3, down' iperf -R
beside 'iperf3, 8 streams up' iperf -P 8
beside 'iperf3, 8 streams down' iperf -P 8 -R
beside 'curl, 64 MB' download 67108864
tunnel_down || status=1
grep -E '^(lag|inbox|turn) ' "$dir/live.out"

echo "== 128 TCP streams and $datagrams datagrams each way"
for how in up down; do
    tunnel_up 1500 || exit 1
    # The burst shall meet the engine: a queue of the device's default 500 frames would lose most of it before.
    ip -n replay-cli link set replay0 txqueuelen $((datagrams + 10000))
    before_eng=$(kernel_losses eng) before_cli=$(kernel_losses cli) before_srv=$(kernel_losses srv)
    reverse=()
    [[ $how == up ]] || reverse=(-R)
    in_ns cli timeout 60 iperf3 -c $v4 -P 128 -t $((seconds + 5)) "${reverse[@]}" >"$dir/iperf" 2>&1 &
    streams=$!
    sleep 1
    if [[ $how == up ]]; then
        in_ns srv python3 "$here/datagrams.py" receive $v4 7100 >"$dir/received" &
        counting=$!
        sleep 0.3
        sent=$(in_ns cli python3 "$here/datagrams.py" send $v4 7100 $datagrams 1000)
        wait $counting
        received=$(<"$dir/received")
    else
        in_ns srv python3 "$here/datagrams.py" answer $v4 7100 $datagrams 1000 >"$dir/sent" &
        counting=$!
        sleep 0.3
        received=$(in_ns cli python3 "$here/datagrams.py" ask $v4 7100)
        wait $counting
        sent=$(<"$dir/sent")
    fi
    wait $streams || { status=1; tail -3 "$dir/iperf"; }
    kernel=$(($(kernel_losses eng) - before_eng + $(kernel_losses cli) - before_cli + $(kernel_losses srv) - before_srv))
    tunnel_down || status=1
    grep -E '^(border|lag|inbox|turn) ' "$dir/live.out"
    if [[ $how == up ]]; then
        account 'burst up' "$sent" "$received" "kernel=$kernel" "ring_overflow=$(said ring_overflow_frames)" \
            "host=$(said host_dropped_datagrams)" "dialer=$(said dialer_lost_datagrams)" \
            "engine=$(said udp_backpressure_drops)" "given_up=$(said udp_given_up)"
    else
        account 'burst down' "$sent" "$received" "kernel=$kernel" "inbox=$(said inbox_dropped_datagrams)" \
            "engine=$(said udp_backpressure_drops)" "device=$(said device_refused_frames)"
    fi
    p99=$(grep '^lag ' "$dir/live.out" | grep -o 'p99_us=[0-9]*' | cut -d= -f2)
    printf 'p99 lag %s us: %s\n' "$p99" "$( ((p99 < 5000)) && echo 'below the aim of 5 ms' || echo 'NOT below the aim of 5 ms')"
done
uptime
exit $status
