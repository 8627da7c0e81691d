#!/usr/bin/env bash
# Fetches a page through the tunnel of Examples/tunnel: a device of its own network namespace, whose only way out is the TUN.
#
#   tunnel.sh COMMAND...        COMMAND: what runs `tunnel`; takes root, /dev/net/tun, ip, curl and python3
set -euo pipefail
name=swift$$
server=192.0.2.$((1 + $$ % 250))
folder=$(mktemp -d)
cleanup() {
    status=$?
    exec 3>&- || true
    # The tunnel ends with its input, the namespace takes the device along.
    [[ -z ${tunnel:-} ]] || wait "$tunnel" 2>/dev/null || true
    [[ -z ${web:-} ]] || kill "$web" 2>/dev/null || true
    ip netns delete "$name" 2>/dev/null || true
    ip link delete "$name" 2>/dev/null || true
    ip address delete "$server/32" dev lo 2>/dev/null || true
    ((status == 0)) || cat "$folder/log" >&2 || true
    rm -rf "$folder"
    exit $status
}
trap cleanup EXIT

# The far side: a page on an address of this machine.
ip link set lo up
ip address add "$server/32" dev lo
head -c 300000 /dev/urandom > "$folder/page"
python3 -m http.server --bind "$server" --directory "$folder" 8080 >/dev/null 2>&1 &
web=$!
for ((i = 0; i < 100; i++)); do (: < "/dev/tcp/$server/8080") 2>/dev/null && break || sleep 0.1; done

# The tunnel stays here, and its device goes into the namespace.
ip tuntap add dev "$name" mode tun
mkfifo "$folder/input"
"$@" "$name" < "$folder/input" 2> "$folder/log" &
tunnel=$!
exec 3> "$folder/input"
for ((i = 0; i < 300; i++)); do grep -q 'is up' "$folder/log" && break || sleep 0.1; done
ip netns add "$name"
ip link set "$name" netns "$name"
inside() { ip netns exec "$name" "$@"; }
inside ip link set lo up
inside ip address add 198.18.0.1/24 dev "$name"
inside ip link set "$name" up
inside ip route add default dev "$name"
inside curl --fail --silent --show-error --max-time 30 --output "$folder/fetched" "http://$server:8080/page"
cmp "$folder/page" "$folder/fetched"
exec 3>&-
wait "$tunnel"
tunnel=
grep -q 'packets in' "$folder/log"
echo "a page of 300,000 bytes came through the tunnel whole: $(tail -n 1 "$folder/log")"
