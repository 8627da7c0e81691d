# shellcheck shell=bash
# UDP other than DNS, and ICMP: tools/datagrams.py, socat and ping.

FACTS+=(udp/burst)
udp_burst() {
    title='Forty datagrams at once, every fourth answered'
    shows='The device sends all forty before the first answer arrives; ten come back.'
    client=$(software python3) server=$(software python3)
    lab_up
    serve remote udp 7000 "$PYTHON" "$tools/datagrams.py" serve "$REMOTE4" 7000 --answer-every 4
    capture_start
    device "$PYTHON" "$tools/datagrams.py" send "$REMOTE4" 7000 --count 40 --size 120 --answers 10
    capture_stop pcapng
    expect 40 "udp && ip.src == $DEVICE4"
    expect 10 "udp && ip.src == $REMOTE4"
}

FACTS+=(udp/echo_ipv6)
udp_echo_ipv6() {
    title='Five datagrams echoed over IPv6'
    shows='One flow, question and answer in turn, by socat at the far end.'
    client=$(software python3) server=$(software socat)
    lab_up
    serve remote udp 7000 socat "UDP6-LISTEN:7000,bind=[$REMOTE6]" PIPE
    capture_start
    device "$PYTHON" "$tools/datagrams.py" send "$REMOTE6" 7000 --count 5 --size 200 --gap 40 --answers 5
    capture_stop pcap
    expect 5 "udp && ipv6.src == $DEVICE6"
    expect 5 "udp && ipv6.src == $REMOTE6"
}

FACTS+=(udp/fragmented)
udp_fragmented() {
    title='A datagram of 3,500 bytes in IPv4 fragments, both ways'
    shows='Three fragments up, three fragments down; the echo is the datagram itself.'
    client=$(software python3) server=$(software python3)
    lab_up
    serve remote udp 7000 "$PYTHON" "$tools/datagrams.py" serve "$REMOTE4" 7000
    capture_start
    device "$PYTHON" "$tools/datagrams.py" send "$REMOTE4" 7000 --size 3500 --answers 1
    capture_stop pcapng
    expect 2 "ip.src == $DEVICE4 && ip.flags.mf == 1"
    expect 2 "ip.src == $REMOTE4 && ip.flags.mf == 1"
    expect 2 'udp.length == 3508'
}

FACTS+=(udp/fragmented_ipv6)
udp_fragmented_ipv6() {
    title='A datagram of 3,500 bytes in IPv6 fragments; of the answer, the first arrives last'
    shows='Fragment headers both ways; the first fragment of the answer is overtaken by the other two.'
    client=$(software python3) server=$(software python3)
    lab_up down=hold:1
    serve remote udp 7000 "$PYTHON" "$tools/datagrams.py" serve "$REMOTE6" 7000
    capture_start
    device "$PYTHON" "$tools/datagrams.py" send "$REMOTE6" 7000 --size 3500 --answers 1
    capture_stop pcapng
    expect 3 "ipv6.src == $DEVICE6 && ipv6.fraghdr"
    expect 3 "ipv6.src == $REMOTE6 && ipv6.fraghdr"
}

FACTS+=(udp/port_unreachable)
udp_port_unreachable() {
    title='A datagram to a closed port'
    shows='The far side answers ICMP port unreachable, quoting the datagram; the socket reports a refusal. IPv4, then IPv6.'
    client=$(software python3) server=$(software)
    lab_up
    capture_start
    device "$PYTHON" "$tools/datagrams.py" send "$REMOTE4" 7009 --refused
    device "$PYTHON" "$tools/datagrams.py" send "$REMOTE6" 7009 --refused
    capture_stop pcapng
    expect 1 'icmp.type == 3 && icmp.code == 3'
    expect 1 'icmpv6.type == 1 && icmpv6.code == 4'
}

FACTS+=(icmp/echo)
icmp_echo() {
    title='Echo requests and replies, IPv4 and IPv6'
    shows='Three pings each, 56 bytes of payload; one of 2,000 bytes goes in fragments.'
    client=$(software iputils-ping) server=$(software)
    lab_up
    capture_start
    device ping -c 3 -i 0.2 "$REMOTE4"
    device ping -c 3 -i 0.2 "$REMOTE6"
    device ping -c 1 -s 2000 "$REMOTE4"
    capture_stop pcapng
    expect 4 'icmp.type == 0'
    expect 3 'icmpv6.type == 129'
    expect 2 'ip.flags.mf == 1'
}
