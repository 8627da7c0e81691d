#!/usr/bin/env bash
# The engine against stacks nobody here wrote: real clients through `replay live`, each compared with the same client
# without the tunnel. Needs root, /dev/net/tun and the tools below; without them it says so and ends with 0.
#
#   replay-cli/tests/live/run.sh PATH-TO-REPLAY [full]
#
# `full` adds the long checks (64 MB files, more MTUs).
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
replay=$(realpath "${1:?path to the replay binary}")
full=${2:-}
# shellcheck source=lab.sh
source "$here/lab.sh"
need ip nginx curl openssl socat iperf3 dig python3 ping traceroute sha256sum timeout
trap lab_down EXIT
failed=0 passed=0

verdict() { # name, status, detail
    if (($2 == 0)); then
        ((++passed))
        printf 'ok    %s\n' "$1"
    else
        ((++failed))
        printf 'FAIL  %s\n%s\n' "$1" "${3:-}"
    fi
}

# The same command by cable and through the tunnel: exit code and output must be equal.
same() { # name, command...
    local name=$1 direct through d t
    shift
    direct=$(in_ns dir timeout 60 "$@" 2>&1) && d=0 || d=$?
    through=$(in_ns cli timeout 60 "$@" 2>&1) && t=0 || t=$?
    [[ $d == "$t" && $direct == "$through" ]]
    verdict "$name" $? "  direct  ($d): ${direct:0:400}
  through ($t): ${through:0:400}"
}

# As `same`, but the direct run must also say what is expected: a comparison of two failures proves nothing.
same_and() { # name, pattern, command...
    local said
    said=$(in_ns dir timeout 60 "${@:3}" 2>&1)
    [[ $said == *$2* ]] || { verdict "$1" 1 "  without the tunnel: ${said:0:400}"; return; }
    same "$1" "${@:3}"
}

fetch='curl -sk --max-time 50 -o - -w %{http_code}/%{http_version}/%{size_download}/%{exitcode}'

sum_of() { sha256sum <"$dir/www/$1" | cut -d' ' -f1; }

http() { # address
    local size
    for size in 0 1 1000 65536 1048576 $big; do
        same_and "HTTP/1.1 $size B from $1" "" bash -c "$fetch http://$1/$size | sha256sum"
    done
    same_and "TLS HTTP/1.1 1 MB from $1" "" bash -c "$fetch --http1.1 https://$1/1048576 | sha256sum"
    same_and "TLS HTTP/2 1 MB from $1" "200/2 $(sum_of 1048576)" bash -c "
        curl -sk --max-time 50 --http2 -o '$dir/h2' -w '%{http_code}/%{http_version} ' https://$1/1048576
        sha256sum <'$dir/h2'; rm -f '$dir/h2'"
    for size in 0 1 65536 $big; do
        same_and "upload of $size B to $1" "201 $(sum_of "$size")" bash -c "
            curl -sS --max-time 50 -T '$dir/www/$size' -w '%{http_code} ' http://$1/up/$size
            sha256sum <'$dir/www/up/$size'; rm -f '$dir/www/up/$size'"
    done
}

downloads_in_parallel() {
    same_and '200 parallel downloads' " 200 $(sum_of 65536)" bash -c "
        curl -sS --no-progress-meter --parallel --parallel-immediate --parallel-max 200 --max-time 50 \
            -H 'Connection: close' 'http://$v4/65536?[1-200]' -o '$dir/par.#1'
        sha256sum '$dir'/par.* | cut -d' ' -f1 | sort | uniq -c; rm -f '$dir'/par.*"
}

endings() {
    local to
    for to in "$v4" "$v6"; do
        same_and "refused by $to" 'Connection refused' bash -c "exec 3<>/dev/tcp/$to/9"
    done
    for to in 192.0.2.99 2001:db8::99; do
        same_and "unreachable $to" 'connect: N' bash -c "exec 3<>/dev/tcp/$to/80"
    done
    # The server ends first with FIN, with RST, and the client first.
    in_ns srv socat TCP4-LISTEN:7001,fork,reuseaddr SYSTEM:'echo farewell' 2>/dev/null &
    in_ns srv python3 -c "$resetter" &
    in_ns srv socat TCP4-LISTEN:7003,fork,reuseaddr SYSTEM:'sha256sum' 2>/dev/null &
    in_ns srv socat TCP4-LISTEN:7004,fork,reuseaddr EXEC:cat 2>/dev/null &
    in_ns srv python3 -c "$hearer" &
    sleep 0.5
    same_and 'server closes first' farewell socat -t 5 - TCP4:$v4:7001,shut-none </dev/null
    same_and 'server resets' 'ECONNRESET' python3 -c "$listener"
    same_and 'client half-closes, the answer still comes' '  -' bash -c "socat -t 10 - TCP4:$v4:7003 <'$dir/www/1048576'"
    same_and 'client resets' "b'x' ECONNRESET" bash -c "rm -f '$dir/heard'; python3 -c '$quitter'
        for ((n = 0; n < 50; n++)); do [[ ! -s '$dir/heard' ]] || break; sleep 0.1; done; cat '$dir/heard'"
    same_and 'echo both ways' hello bash -c "echo hello | socat -t 3 - TCP4:$v4:7004"
}

# Reads until the end, and says what that was.
listener='
import errno, socket
s = socket.create_connection(("'$v4'", 7002))
heard = b""
try:
    while True:
        more = s.recv(100)
        if not more: break
        heard += more
    print(heard, "FIN")
except OSError as e:
    print(heard, errno.errorcode[e.errno])
'

# Accepts, says a word, and resets.
resetter='
import socket, struct, time
s = socket.create_server(("'$v4'", 7002))
while True:
    c, _ = s.accept()
    c.sendall(b"x")
    time.sleep(0.2)
    c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    c.close()
'

# Says a word, and resets.
quitter='
import socket, struct, time
s = socket.create_connection(("'$v4'", 7006))
s.sendall(b"x")
time.sleep(0.2)
s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
s.close()
'

# A server that accepts and never reads: the client stalls, the engine does not grow.
stalled_server() {
    in_ns srv python3 -c "
import socket, time
s = socket.create_server(('$v4', 7005))
held = []
while True: held.append(s.accept())" &
    sleep 0.3
    local before after
    before=$(resident)
    for _ in 1 2 3 4; do
        in_ns cli timeout 3 socat -u "OPEN:/dev/zero" TCP4:$v4:7005 2>/dev/null &
    done
    sleep 2.5
    after=$(resident)
    ((after - before < 8192))
    verdict 'a server that does not read leaves memory bounded' $? "  grew from $before to $after kB"
    sleep 1
}

resident() { awk '/VmRSS/ { print $2 }' "/proc/$(live_pid)/status"; }

# The client dies in the middle: the server sees the end, and no flow is left.
killed_client() {
    in_ns cli curl -sS --limit-rate 100k -o /dev/null "http://$v4/16777216" &
    sleep 0.7
    kill -KILL "$(ip netns pids replay-cli | head -1)" 2>/dev/null
    wait_for_no_peer
    verdict 'a client killed in mid-transfer leaves no connection at the server' $? \
        "$(in_ns srv ss -tn state established)"
}

wait_for_no_peer() {
    local n
    for ((n = 0; n < 60; n++)); do
        [[ -z $(in_ns srv ss -Htn state established sport = :80 dst 10.77.2.2) ]] && return 0
        sleep 0.1
    done
    return 1
}

names() {
    local to
    for to in "$v4" "$v6"; do
        same_and "dig over UDP at $to" 192.0.2.7 dig +short +tries=1 +time=3 @"$to" replay.test A
        same_and "dig over TCP at $to" 192.0.2.7 dig +short +tcp +tries=1 +time=3 @"$to" replay.test A
    done
}

throughput() {
    local how queue
    # The kernel's own 500 packets are fewer than a few uploads send at once: what overflows there is lost unseen.
    queue=$(in_ns cli cat /sys/class/net/replay0/tx_queue_len)
    ((queue >= 4096))
    verdict "the device's queue holds what uploads send at once" $? "  $queue packets"
    for how in '' -R '-u -b 50M' '-u -b 50M -R'; do
        # shellcheck disable=SC2086
        in_ns cli timeout 20 iperf3 -c $v4 -t 1 $how >"$dir/iperf" 2>&1
        verdict "iperf3 ${how:-up}" $? "$(tail -3 "$dir/iperf")"
    done
}

interactive() {
    in_ns srv openssl s_server -quiet -accept 7443 -cert "$dir/cert.pem" -key "$dir/key.pem" -rev >/dev/null 2>&1 &
    sleep 0.3
    same_and 'openssl, line by line' 'olleh' bash -c "(for w in hello hello hello; do echo \$w; sleep 0.1; done; sleep 0.3) |
        timeout 3 openssl s_client -quiet -connect $v4:7443 2>/dev/null || true"
}

# Needs an SSH server; a session with a key made for it, line by line and in bulk.
secure_shell() {
    local sshd key=$dir/ssh
    sshd=$(command -v sshd) || { echo 'SKIPPED: ssh, for want of sshd'; return; }
    [[ -s $key ]] || ssh-keygen -q -t ed25519 -N '' -f "$key"
    mkdir -p /run/sshd
    in_ns srv "$sshd" -D -e -f /dev/null -p 7022 -h "$key" -o "AuthorizedKeysFile=$key.pub" -o PidFile=none -o UsePAM=no \
        -o StrictModes=no -o PermitRootLogin=prohibit-password 2>"$dir/sshd.log" &
    wait_for in_ns srv bash -c "exec 3<>/dev/tcp/$v4/7022"
    local shell="ssh -q -F /dev/null -i $key -p 7022 -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null root@$v4"
    same_and 'ssh, line by line' 'echo:hello' bash -c "(for w in hello hello hello; do echo \$w; sleep 0.1; done) | $shell sed s/^/echo:/"
    same_and 'ssh, 1 MB each way' "$(sum_of 1048576)" bash -c "$shell cat <'$dir/www/1048576' | sha256sum"
}

pings() {
    local to
    for to in "$v4" "$v6"; do
        same_and "ping $to" ' 3 received' bash -c "ping -n -c 3 -i 0.2 -W 2 $to |
            grep -oE '.* bytes from .* ttl=[0-9]+|.* transmitted, .* received'"
    done
    in_ns cli timeout 20 traceroute -n -q 1 -w 1 -m 5 $v4 >"$dir/trace" 2>&1
    [[ $(wc -l <"$dir/trace") -ge 2 ]]
    verdict 'traceroute ends by itself' $? "$(cat "$dir/trace")"
}

big=8388608
mtus=(1500 1280 4064)
[[ $full != full ]] || big='16777216 67108864'

lab_up
servers_up
# Accepts, and writes down what it hears and how that ends.
hearer='
import errno, socket
s = socket.create_server(("'$v4'", 7006))
while True:
    c, _ = s.accept()
    heard = b""
    try:
        while more := c.recv(100): heard += more
        end = "FIN"
    except OSError as e:
        end = errno.errorcode[e.errno]
    open("'$dir'/heard", "w").write(f"{heard} {end}")
'
for size in 0 1 1000 65536 1048576 16777216 $big; do
    head -c "$size" /dev/urandom >"$dir/www/$size"
done
for mtu in "${mtus[@]}"; do
    printf '== MTU %s\n' "$mtu"
    tunnel_up "$mtu" --record "$dir/live.pcapng" --record-limit 64MiB || { failed=1; break; }
    http $v4
    http "[$v6]"
    endings
    if [[ $mtu == 1500 || $full == full ]]; then
        names
        interactive
        secure_shell
        pings
        downloads_in_parallel
        throughput
        stalled_server
        killed_client
    fi
    tunnel_down
    status=$?
    grep -q '^counters frames_in=' "$dir/live.out"
    verdict 'SIGTERM ends it with code 0 and the counters' $((status + $?)) "$(tail -n 5 "$dir/live.out"; cat "$dir/live.err")"
    grep -E '^(border|lag|inbox|turn) ' "$dir/live.out"
    pkill_listeners=$(in_ns srv ss -Hltnp 'sport >= :7000 and sport <= :7999' | grep -o 'pid=[0-9]*' | cut -d= -f2 | sort -u)
    [[ -z $pkill_listeners ]] || kill $pkill_listeners 2>/dev/null
done
# A capture of a small session, imported, passes as a scenario.
tunnel_up 1500 --record "$dir/small.pcapng"
in_ns cli curl -sS -o /dev/null "http://$v4/65536"
in_ns cli dig +short +tries=1 @$v4 replay.test A >/dev/null
in_ns cli bash -c 'exec 3<>/dev/tcp/192.0.2.99/80' 2>/dev/null
tunnel_down
(cd "$dir" && mkdir -p captures expectations && mv small.pcapng captures/ &&
    "$replay" import captures/small.pcapng -o expectations/small.json && "$replay" run expectations/small.json) >"$dir/import" 2>&1
verdict 'the recording, imported, passes as a scenario' $? "$(tail -30 "$dir/import")"

# Names through the system's resolver: the server asked is unreachable, and the recording has no payload.
tunnel_up 1500 --dns --record "$dir/names.pcapng" --snaplen 48
found=$(in_ns cli dig +short +tries=1 @192.0.2.99 localhost A)
[[ $found == 127.0.0.1 ]]
verdict 'an intercepted query is answered by the system of the engine' $? "$found"
tunnel_down
[[ $(stat -c %a "$dir/names.pcapng") == 600 ]] && ! grep -aq $'\tlocalhost' "$dir/names.pcapng"
verdict 'a recording is its owner'"'"'s, and a snap length keeps payload out' $? "$(ls -l "$dir")"
grep -qx "recorded $dir/names.pcapng" "$dir/live.err"
verdict 'the last words name the recording' $? "$(cat "$dir/live.err")"

printf '%s checks passed, %s failed\n' "$passed" "$failed"
((failed == 0))
