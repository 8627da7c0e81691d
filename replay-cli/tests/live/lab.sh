# The laboratory: three ways to the same servers. Sourced by run.sh and bench.sh.
#
#   replay-srv   nginx, iperf3, socat, a name server at 192.0.2.1 and 2001:db8::1
#   replay-dir   a client with a cable to the servers: how things look without the tunnel
#   replay-eng   where `replay live` runs, with a cable to the servers as well
#   replay-cli   a client whose only route is the TUN that `replay live` made
v4=192.0.2.1
v6=2001:db8::1

need() {
    local missing=()
    [[ $(uname) == Linux ]] || missing+=('Linux')
    [[ $(id -u) == 0 ]] || missing+=('root')
    [[ -c /dev/net/tun ]] || missing+=('/dev/net/tun')
    local tool
    for tool in "$@"; do
        command -v "$tool" >/dev/null || missing+=("$tool")
    done
    if ((${#missing[@]} == 0)) && ! ip netns add replay-try 2>/dev/null; then
        missing+=('network namespaces')
    fi
    ip netns del replay-try 2>/dev/null || true
    ((${#missing[@]})) || return 0
    printf 'SKIPPED: the live test needs %s\n' "${missing[*]}"
    exit 0
}

in_ns() { ip netns exec "replay-$1" "${@:2}"; }

cable() { # NS, number: from replay-srv to NS
    local ns=$1 n=$2
    ip link add "s$n" netns replay-srv type veth peer name cable netns "replay-$ns"
    ip -n replay-srv address add "10.77.$n.1/24" dev "s$n"
    ip -n replay-srv -6 address add "fd77:$n::1/64" dev "s$n" nodad
    ip -n replay-srv link set "s$n" up
    ip -n "replay-$ns" address add "10.77.$n.2/24" dev cable
    ip -n "replay-$ns" -6 address add "fd77:$n::2/64" dev cable nodad
    ip -n "replay-$ns" link set cable up
    ip -n "replay-$ns" route add default via "10.77.$n.1"
    ip -n "replay-$ns" -6 route add default via "fd77:$n::1"
}

lab_up() {
    lab_down
    dir=$(mktemp -d)
    local ns
    for ns in srv dir eng cli; do
        ip netns add "replay-$ns"
        ip -n "replay-$ns" link set lo up
    done
    ip -n replay-srv address add $v4/32 dev lo
    ip -n replay-srv -6 address add $v6/128 dev lo nodad
    in_ns srv sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0 2>/dev/null || true
    cable dir 1
    cable eng 2
    ip -n replay-srv route add unreachable 192.0.2.99/32
    ip -n replay-srv -6 route add unreachable 2001:db8::99/128
}

lab_down() {
    local ns pids
    for ns in cli dir eng srv; do
        pids=$(ip netns pids "replay-$ns" 2>/dev/null) || continue
        [[ -z $pids ]] || kill -KILL $pids 2>/dev/null || true
        ip netns del "replay-$ns" 2>/dev/null || true
    done
    [[ -z ${dir:-} ]] || rm -rf "$dir"
}

servers_up() {
    mkdir -p "$dir/www/up" "$dir/body"
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=replay.test -keyout "$dir/key.pem" -out "$dir/cert.pem" 2>/dev/null
    sed "s|@DIR@|$dir|g" "$here/nginx.conf" >"$dir/nginx.conf"
    in_ns srv nginx -e "$dir/nginx.log" -c "$dir/nginx.conf" &
    in_ns srv python3 "$here/resolver.py" $v4 $v6 2>"$dir/resolver.log" &
    in_ns srv iperf3 -s -B $v4 >"$dir/iperf3.log" 2>&1 &
    wait_for in_ns srv bash -c "exec 3<>/dev/tcp/$v4/80"
    wait_for in_ns srv bash -c "exec 3<>/dev/tcp/$v6/53"
    wait_for in_ns srv bash -c "exec 3<>/dev/tcp/$v4/5201"
}

wait_for() {
    local n
    for ((n = 0; n < 200; n++)); do
        "$@" >/dev/null 2>&1 && return 0
        sleep 0.05
    done
    echo "never became ready: $*" >&2
    return 1
}

tunnel_up() { # MTU, further arguments of `replay live`
    local mtu=$1
    in_ns eng "$replay" live --tun replay0 --mtu "$mtu" --interval 200ms "${@:2}" >"$dir/live.out" 2>"$dir/live.err" &
    live=$!
    wait_for ip -n replay-eng link show replay0 || { cat "$dir/live.err" >&2; return 1; }
    ip -n replay-eng link set replay0 netns replay-cli
    ip -n replay-cli address add 10.9.0.2/24 dev replay0
    ip -n replay-cli -6 address add fd09::2/64 dev replay0 nodad
    ip -n replay-cli link set replay0 mtu "$mtu" up
    ip -n replay-cli route add default dev replay0
    ip -n replay-cli -6 route add default dev replay0
}

live_pid() { ip netns pids replay-eng | head -1; }

tunnel_down() { # ends `replay live` with SIGTERM; its exit code
    kill -TERM "$(live_pid)"
    local status=0
    wait "$live" || status=$?
    return $status
}
