# shellcheck shell=bash
# DNS: dig and dnsmasq.

# The device's resolver is dnsmasq on the remote side, which knows example.com and nothing else.
name_server() {
    if recording; then
        mkdir -p /etc/netns/capture-device
        printf 'nameserver %s\noptions timeout:2 attempts:2\n' "$RESOLVER4" >/etc/netns/capture-device/resolv.conf
        sed "s/@RESOLVER4@/$RESOLVER4/; s/@REMOTE4@/$REMOTE4/; s/@REMOTE6@/$REMOTE6/; s/@TEXT@/$(printf 'long%.0s-' {1..36})/g" \
            "$tools/dnsmasq.conf" >"$work/dnsmasq.conf"
    fi
    serve remote udp 53 dnsmasq --conf-file="$work/dnsmasq.conf"
}

FACTS+=(dns/udp)
dns_udp() {
    title='A, AAAA, a CNAME and a name that does not exist, over UDP'
    shows='Four questions, each from a port of its own; TTL 300; the last answer is NXDOMAIN.'
    client=$(software bind9-dnsutils) server=$(software dnsmasq-base)
    lab_up
    name_server
    capture_start
    device dig "@$RESOLVER4" www.example.com A
    device dig "@$RESOLVER4" www.example.com AAAA
    device dig "@$RESOLVER4" alias.example.com A
    device dig "@$RESOLVER4" absent.example.com A
    comment 'dns.flags.rcode == 3' 'NXDOMAIN'
    capture_stop pcapng
    expect 4 'udp && dns.flags.response == 1'
    expect 1 "dns.a == $REMOTE4 && dns.cname == \"www.example.com\""
    expect 1 "dns.aaaa == $REMOTE6"
    expect 1 'dns.flags.rcode == 3'
}

FACTS+=(dns/tcp)
dns_tcp() {
    title='One question over TCP'
    shows='Two length bytes before each message; the whole exchange takes one connection.'
    client=$(software bind9-dnsutils) server=$(software dnsmasq-base)
    lab_up
    name_server
    capture_start
    device dig +tcp "@$RESOLVER4" www.example.com A
    capture_stop pcapng
    expect_flows 1 31
    expect 1 "tcp && dns.a == $REMOTE4"
}

FACTS+=(dns/truncated_then_tcp)
dns_truncated_then_tcp() {
    title='An answer too long for UDP is asked for again over TCP'
    shows='dig offers 512 bytes, the answer comes back with TC set, and the same question goes over TCP.'
    client=$(software bind9-dnsutils) server=$(software dnsmasq-base)
    lab_up
    name_server
    capture_start
    device dig +bufsize=512 "@$RESOLVER4" long.example.com TXT
    comment 'dns.flags.truncated == 1' 'TC: ask again over TCP'
    capture_stop pcapng
    expect_flows 1 31
    expect 1 'udp && dns.flags.truncated == 1'
    expect 1 'tcp && dns.txt'
}
