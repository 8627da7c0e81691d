# shellcheck shell=bash
# HTTP/1.1 in clear text: curl and nginx.

# web_server PAGE:BYTES...: nginx on port 80 (and 443 for tls/) with pages of the given sizes; POST /upload stores and answers 201.
web_server() {
    recording || { log_command remote nginx -c nginx.conf; return 0; }
    local page
    mkdir -p "$work/pages" "$work/temp"
    for page in "$@"; do
        "$PYTHON" -c 'import sys; sys.path.insert(0, sys.argv[1]); import endpoint; sys.stdout.buffer.write(endpoint.text(int(sys.argv[2]), 0))' \
            "$tools" "${page#*:}" >"$work/pages/${page%:*}"
    done
    sed "s|@WORK@|$work|g; s|@TLS@|${tls_listen-}|g" "$tools/nginx.conf" >"$work/nginx.conf"
    chmod 755 "$work"
    serve remote tcp 80 nginx -p "$work" -e "$work/error.log" -c "$work/nginx.conf"
}

FACTS+=(http/get)
http_get() {
    title='One GET, answered in three segments, closed by the device'
    shows='Handshake, a request, a 4,000-byte page, and the FINs in both directions: the plainest flow there is.'
    client=$(software curl) server=$(software nginx)
    lab_up
    web_server page.txt:4000
    capture_start
    device curl --silent --show-error --output /dev/null "http://$REMOTE4/page.txt"
    comment 'http.request' 'the request'
    comment 'tcp.flags.fin == 1' 'the device closes first'
    capture_stop pcapng
    expect_flows 1 31
    expect 1 'http.response.code == 200 && http.content_length == 4000'
}

FACTS+=(http/keep_alive_two_requests)
http_keep_alive_two_requests() {
    title='Two requests on one connection'
    shows='curl asks for a second page on the connection it kept; the second request waits for the first answer.'
    client=$(software curl) server=$(software nginx)
    lab_up
    web_server first.txt:600 second.txt:900
    capture_start
    device curl --silent --show-error --output /dev/null "http://$REMOTE4/first.txt" --output /dev/null "http://$REMOTE4/second.txt"
    comment 'http.request.uri contains "second"' 'the second request on the same connection'
    capture_stop pcapng
    expect_flows 1 31
    expect 2 'http.response.code == 200'
}

FACTS+=(http/post_upload)
http_post_upload() {
    title='A POST of 6,000 bytes'
    shows='Most bytes go up. nginx reads the whole body before it answers 201.'
    client=$(software curl) server=$(software nginx)
    lab_up
    web_server body.txt:6000
    capture_start
    device curl --silent --show-error --fail --output /dev/null --data-binary "@$work/pages/body.txt" "http://$REMOTE4/upload"
    comment 'http.response.code == 201' 'the answer, after the whole body'
    capture_stop pcapng
    expect_flows 1 31
    expect 1 'http.response.code == 201'
    expect 1 'http.request.method == "POST" && http.content_length == 6000'
}

FACTS+=(http/parallel_connections)
http_parallel_connections() {
    title='Five connections at once'
    shows='curl opens five connections before the first answer comes, as a browser does; their segments interleave.'
    client=$(software curl) server=$(software nginx)
    lab_up
    web_server part1.txt:500 part2.txt:700 part3.txt:900 part4.txt:1100 part5.txt:1300
    capture_start
    device curl --silent --show-error --parallel --parallel-immediate --output /dev/null "http://$REMOTE4/part[1-5].txt"
    capture_stop pcapng
    expect_flows 5 31
    expect 5 'http.response.code == 200'
}

FACTS+=(http/ipv6_get)
http_ipv6_get() {
    title='One GET over IPv6'
    shows='The same flow as http/get with IPv6 headers and their smaller maximum segment (1,440).'
    client=$(software curl) server=$(software nginx)
    lab_up
    web_server page.txt:3000
    capture_start
    device curl --silent --show-error --output /dev/null "http://[$REMOTE6]/page.txt"
    capture_stop pcapng
    expect_flows 1 31
    expect 1 'ipv6 && http.response.code == 200'
    expect 1 'ipv6 && tcp.options.mss_val == 1440'
}

FACTS+=(http/name_then_get)
http_name_then_get() {
    title='A name is resolved, then fetched'
    shows='getaddrinfo asks for A and AAAA on one UDP socket; the connection that follows goes to an address of the answer.'
    client=$(software curl) server=$(software dnsmasq-base nginx)
    lab_up
    web_server page.txt:1000
    name_server
    capture_start
    device curl --silent --show-error --ipv4 --output /dev/null http://www.example.com/page.txt
    device curl --silent --show-error --output /dev/null http://alias.example.com/page.txt
    capture_stop pcapng
    expect_flows 2 31
    expect 3 'dns.flags.response == 1'
    expect 1 'ipv6 && http.response.code == 200'
}

FACTS+=(http/vlan_tagged)
http_vlan_tagged() {
    title='A GET on a trunk: 802.1Q tags on every frame'
    shows='Frames carry tag 42 between the two switches; ARP and neighbour discovery are left in.'
    client=$(software curl) server=$(software nginx)
    lab_up kind=vlan
    web_server page.txt:1500
    vantage='link trunk0' filter='' capture_start
    device curl --silent --show-error --output /dev/null "http://$REMOTE4/page.txt"
    capture_stop pcapng
    expect_flows 1 31
    expect 8 'vlan.id == 42 && tcp'
    expect_none 'tcp && !vlan'
    expect 1 'arp'
}

FACTS+=(http/any_interface)
http_any_interface() {
    title='A GET captured on all interfaces (LINUX_SLL2)'
    shows='tcpdump -i any: cooked headers with an interface index instead of MAC addresses; the ARP exchange is left in.'
    client=$(software curl) server=$(software nginx)
    lab_up
    web_server page.txt:1200
    vantage='device any' filter='' capture_start
    device curl --silent --show-error --output /dev/null "http://$REMOTE4/page.txt"
    capture_stop pcap
    expect_flows 1 31
    expect 8 'sll && tcp'
    expect 1 'sll && arp'
}

FACTS+=(http/cooked_v1)
http_cooked_v1() {
    title='A GET captured with cooked headers of version 1 (LINUX_SLL)'
    shows='As http/any_interface, with the older 16-byte header that many tools still write.'
    client=$(software curl) server=$(software nginx)
    lab_up
    web_server page.txt:1200
    vantage='device any' filter='tcp' capture_start -y LINUX_SLL
    device curl --silent --show-error --output /dev/null "http://$REMOTE4/page.txt"
    capture_stop pcap
    expect_flows 1 31
    expect 8 'sll && tcp'
}

FACTS+=(http/tun_device)
http_tun_device() {
    title='A GET through a TUN device: raw IP packets'
    shows='The vantage of a packet tunnel: link type RAW, no Ethernet, first IPv4 and then IPv6. The far side is a kernel, not an engine.'
    client=$(software curl) server=$(software nginx)
    lab_up kind=tun
    web_server page.txt:1600
    capture_start
    device curl --silent --show-error --output /dev/null "http://$REMOTE4/page.txt"
    device curl --silent --show-error --output /dev/null "http://[$REMOTE6]/page.txt"
    capture_stop pcap
    expect_flows 2 31
    expect 8 'raw && ip && tcp'
    expect 8 'raw && ipv6 && tcp'
}

FACTS+=(http/nanoseconds)
http_nanoseconds() {
    title='A GET with nanosecond timestamps'
    shows='A classic pcap file with the nanosecond magic number.'
    client=$(software curl) server=$(software nginx)
    lab_up
    web_server page.txt:1000
    capture_start --time-stamp-precision=nano
    device curl --silent --show-error --output /dev/null "http://$REMOTE4/page.txt"
    capture_stop pcap
    expect_flows 1 31
    expect 1 'http.response.code == 200'
}

FACTS+=(http/server_closes_http10)
http_server_closes_http10() {
    title='HTTP/1.0: the end of the answer is the server'\''s FIN'
    shows='No content length and no keep-alive: nginx closes first, the device acknowledges and closes after it.'
    client=$(software curl) server=$(software nginx)
    lab_up
    web_server page.txt:2000
    capture_start
    device curl --silent --show-error --http1.0 --output /dev/null "http://$REMOTE4/page.txt"
    comment 'tcp.flags.fin == 1' 'the server closes first'
    capture_stop pcapng
    expect_flows 1 31
    expect 1 "tcp.flags.fin == 1 && ip.src == $REMOTE4 && tcp.ack > 1"
}
