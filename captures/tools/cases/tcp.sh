# shellcheck shell=bash
# TCP on a clean link: how connections open, pause and end. Both ends are tools/endpoint.py unless the note says otherwise.

# listen 'STEPS' [OPTION]... and connect 'STEPS' [OPTION]...: the two ends of a connection to port 7000.
listen() { serve remote tcp 7000 "$PYTHON" "$tools/endpoint.py" listen "$REMOTE4" 7000 "$@"; }
connect() { device "$PYTHON" "$tools/endpoint.py" connect "$REMOTE4" 7000 "$@"; }
endpoints() { client=$(software python3) server=$(software python3); }

FACTS+=(tcp/refused)
tcp_refused() {
    title='A connection to a closed port is refused'
    shows='SYN, answered by RST-ACK at once; IPv4, then IPv6.'
    client=$(software socat) server=$(software)
    lab_up
    capture_start
    may_fail=1 device socat -u OPEN:/dev/null "TCP4:$REMOTE4:7009"
    may_fail=1 device socat -u OPEN:/dev/null "TCP6:[$REMOTE6]:7009"
    comment 'tcp.flags.reset == 1' 'refused'
    capture_stop pcapng
    expect 2 'tcp.flags.reset == 1 && tcp.flags.ack == 1 && tcp.seq == 1 && tcp.ack == 1'
    expect 2 'tcp.flags.syn == 1 && tcp.flags.ack == 0'
    expect 1 'ipv6 && tcp.flags.reset == 1'
}

FACTS+=(tcp/host_unreachable)
tcp_host_unreachable() {
    title='A connection to a host without a route: ICMP host unreachable'
    shows='The far side forwards, has no route, and quotes the SYN in an ICMP error; the connect fails at once.'
    client=$(software socat) server=$(software)
    lab_up
    setting remote net.ipv4.ip_forward=1
    log_command remote ip route add unreachable "$ABSENT4"
    ! recording || ip -n capture-remote route add unreachable "$ABSENT4"
    capture_start
    may_fail=1 device socat -u OPEN:/dev/null "TCP4:$ABSENT4:80,connect-timeout=5"
    comment 'icmp' 'host unreachable, quoting the SYN'
    capture_stop pcapng
    expect 1 'icmp.type == 3 && icmp.code == 1'
}

FACTS+=(tcp/device_closes_first)
tcp_device_closes_first() {
    title='A question, an answer, and the device closes'
    shows='socat at both ends, over IPv6; one line each way.'
    client=$(software socat) server=$(software socat)
    lab_up
    serve remote tcp 7000 socat "TCP6-LISTEN:7000,bind=[$REMOTE6]" PIPE
    capture_start
    device sh -c "(echo hello; sleep 0.3) | socat -t 0.1 - 'TCP6:[$REMOTE6]:7000'"
    capture_stop pcapng
    expect_flows 1 31
    expect 1 "ipv6 && tcp.flags.fin == 1 && ipv6.src == $DEVICE6"
}

FACTS+=(tcp/device_resets_midstream)
tcp_device_resets_midstream() {
    title='The device resets in the middle of a download'
    shows='After 2,000 bytes the device closes with SO_LINGER 0 while more is on its way (link delay 40 ms); what then arrives is answered by a bare RST each.'
    endpoints
    lab_up delay=40
    listen 'read 50; send 3000; wait 100ms; send 3000; wait 300ms'
    capture_start
    connect 'send 50; read 2000; wait 80ms; reset'
    pause 0.3
    comment 'tcp.flags.reset == 1' 'the device gives up'
    capture_stop pcapng
    expect 1 "tcp.flags.reset == 1 && tcp.flags.ack == 1 && ip.src == $DEVICE4"
    expect 1 "tcp.flags.reset == 1 && tcp.flags.ack == 0 && ip.src == $DEVICE4"
    expect_none "tcp.flags.fin == 1"
}

FACTS+=(tcp/remote_resets_midstream)
tcp_remote_resets_midstream() {
    title='The far side resets in the middle of an upload'
    shows='It answers 800 bytes, reads 1,000 of the next 1,500 and closes with SO_LINGER 0 while the device sends on (link delay 40 ms).'
    endpoints
    lab_up delay=40
    listen 'read 1000; send 800; read 1000; wait 100ms; reset'
    capture_start
    connect 'send 1000; read 800; send 1500; wait 130ms; send 1500; read_error'
    pause 0.2
    comment 'tcp.flags.reset == 1' 'the far side gives up'
    capture_stop pcapng
    expect 1 "tcp.flags.reset == 1 && tcp.flags.ack == 1 && ip.src == $REMOTE4"
    expect 1 "tcp.flags.reset == 1 && tcp.flags.ack == 0 && ip.src == $REMOTE4"
    expect 1 "ip.src == $DEVICE4 && tcp.seq == 2501 && tcp.len > 0"
    expect_none "tcp.flags.fin == 1"
}

FACTS+=(tcp/device_half_closes)
tcp_device_half_closes() {
    title='The device half-closes, the answer comes afterwards'
    shows='The device sends 500 bytes and its FIN; the far side reads to the end, waits 150 ms, answers 3,000 bytes and closes.'
    endpoints
    lab_up
    listen 'read_eof; wait 150ms; send 3000; close'
    capture_start
    connect 'send 500; shutdown; read_eof; close'
    comment "tcp.flags.fin == 1 && ip.src == $DEVICE4" 'the device has no more to say'
    comment "tcp.flags.fin == 1 && ip.src == $REMOTE4" 'the far side closes after its answer'
    capture_stop pcapng
    expect_flows 1 31
    expect 1 "tcp.flags.fin == 1 && ip.src == $DEVICE4 && tcp.ack == 1"
    expect 2 "ip.src == $REMOTE4 && tcp.len > 0 && tcp.ack == 502"
}

FACTS+=(tcp/remote_half_closes)
tcp_remote_half_closes() {
    title='The far side half-closes, the device still uploads'
    shows='The far side sends 300 bytes and its FIN first; the device uploads 2,500 bytes in two parts and closes last.'
    endpoints
    lab_up
    listen 'send 300; shutdown; read_eof; close'
    capture_start
    connect 'read_eof; send 2000; wait 150ms; send 500; close'
    comment "tcp.flags.fin == 1 && ip.src == $REMOTE4" 'the far side has no more to say'
    capture_stop pcapng
    expect_flows 1 31
    expect 2 "ip.src == $DEVICE4 && tcp.len > 0 && tcp.ack == 302"
}

FACTS+=(tcp/simultaneous_close)
tcp_simultaneous_close() {
    title='Both sides close at the same time'
    shows='Link delay 40 ms: the two FINs pass each other, neither acknowledges the other.'
    endpoints
    lab_up delay=40
    listen 'read 100; send 100; wait 240ms; close'
    capture_start
    connect 'send 100; read 100; wait 200ms; close'
    pause 0.5
    capture_stop pcapng
    expect_flows 1 31
    expect 1 "tcp.flags.fin == 1 && ip.src == $DEVICE4 && tcp.ack == 101"
    expect 1 "tcp.flags.fin == 1 && ip.src == $REMOTE4 && tcp.ack == 101"
}

FACTS+=(tcp/port_reused)
tcp_port_reused() {
    title='Two connections, one after the other, on the same four-tuple'
    shows='The far side closes first and stays in TIME-WAIT; the device connects again from port 40000 and is accepted.'
    endpoints
    lab_up
    listen 'read 100; send 200; close' --connections 2
    capture_start
    connect 'send 100; read_eof; close' --from-port 40000
    pause 0.3
    connect 'send 100; read_eof; close' --from-port 40000
    comment 'tcp.stream == 1 && tcp.flags.syn == 1' 'the same ports again'
    capture_stop pcapng
    expect_flows 2 31
    expect 2 'tcp.flags.syn == 1 && tcp.srcport == 40000'
}

FACTS+=(tcp/slow_reader_zero_window)
tcp_slow_reader_zero_window() {
    title='The device stops reading: its window goes to zero and opens again'
    shows='SO_RCVBUF 2,048 and 700 ms without a read; the far side probes the closed window, the device updates it, all 6,000 bytes arrive.'
    endpoints
    lab_up
    listen 'read 20; send 6000; close'
    capture_start
    connect 'send 20; wait 700ms; read_eof; close' --receive-buffer 2048
    comment "tcp.window_size == 0 && tcp.flags.reset == 0" 'the window is closed'
    capture_stop pcapng
    expect_flows 1 31
    expect 1 "ip.src == $DEVICE4 && tcp.window_size == 0 && tcp.flags.reset == 0"
    expect 1 "tcp.analysis.window_update && ip.src == $DEVICE4"
    expect 1 "ip.src == $DEVICE4 && tcp.ack == 6002"
}

FACTS+=(tcp/upload_stalls_then_resumes)
tcp_upload_stalls_then_resumes() {
    title='The far side stops reading: the upload stalls and goes on'
    shows='SO_RCVBUF 2,048 at the far side and 700 ms without a read; the device probes the closed window and finishes 6,000 bytes.'
    endpoints
    lab_up
    listen 'wait 700ms; read_eof; send 10; close' --receive-buffer 2048
    capture_start
    connect 'send 6000; shutdown; read_eof; close'
    comment "tcp.window_size == 0 && tcp.flags.reset == 0" 'the far side closes its window'
    capture_stop pcapng
    expect_flows 1 31
    expect 1 "ip.src == $REMOTE4 && tcp.window_size == 0 && tcp.flags.reset == 0"
    expect 1 "ip.src == $REMOTE4 && tcp.ack == 6002"
}

FACTS+=(tcp/idle_then_more_data)
tcp_idle_then_more_data() {
    title='Four seconds of silence, then more data both ways'
    shows='Nothing at all is on the link while the connection idles; the device speaks first afterwards.'
    endpoints
    lab_up
    listen 'read 100; send 400; read 200; send 600; read_eof; close'
    capture_start
    connect 'send 100; read 400; wait 4000ms; send 200; read 600; close'
    comment 'tcp.time_delta > 3' 'after four seconds of silence'
    capture_stop pcapng
    expect_flows 1 31
    expect 1 "tcp.time_delta > 3 && tcp.len == 200 && ip.src == $DEVICE4"
}

FACTS+=(tcp/keepalive_probes)
tcp_keepalive_probes() {
    title='Keep-alive probes on an idle connection'
    shows='The device probes after one second of silence, and again each second; each probe is answered by a bare acknowledgement.'
    endpoints
    lab_up
    listen 'read 100; send 100; read 100; close'
    capture_start
    connect 'send 100; read 100; wait 3500ms; send 100; read_eof; close' --keepalive 1
    comment 'tcp.analysis.keep_alive' 'one byte below the next sequence number'
    capture_stop pcapng
    expect_flows 1 31
    expect 2 "tcp.analysis.keep_alive && ip.src == $DEVICE4"
    expect 2 'tcp.analysis.keep_alive_ack'
}

FACTS+=(tcp/large_mtu)
tcp_large_mtu() {
    title='MTU 9000: segments of up to 8,948 bytes'
    shows='Maximum segment 8,960 in both SYNs; 3,000 bytes go up in one segment, 9,500 come down in two.'
    endpoints
    lab_up mtu=9000
    listen 'read 3000; send 9500; close'
    capture_start
    connect 'send 3000; read_eof; close'
    capture_stop pcapng
    expect_flows 1 31
    expect 2 'tcp.options.mss_val == 8960'
    expect 1 "tcp.len == 8948"
}

FACTS+=(tcp/segmentation_offload)
tcp_segmentation_offload() {
    title='Offloads on: frames larger than the MTU, checksums not filled in'
    shows='What most people'\''s captures look like: the interface was to cut the segments and sum them. MTU 1500, frames of several thousand bytes.'
    endpoints
    lab_up kind=direct
    listen 'read 5000; send 7000; close'
    capture_start
    connect 'send 5000; read_eof; close'
    unchecked=1 capture_stop pcapng
    expect_flows 1 31
    expect 1 'ip.len > 1500'
    expect 3 'tcp.checksum.status == "Bad"'
}

FACTS+=(tcp/bare_options)
tcp_bare_options() {
    title='A device without timestamps, SACK or window scaling'
    shows='The SYN carries the maximum segment size and nothing else; so does the answer.'
    endpoints
    lab_up
    setting device net.ipv4.tcp_timestamps=0 net.ipv4.tcp_sack=0 net.ipv4.tcp_window_scaling=0
    listen 'read 1000; send 4000; close'
    capture_start
    connect 'send 1000; read_eof; close'
    capture_stop pcap
    expect_flows 1 31
    expect_none 'tcp.options.timestamp.tsval || tcp.options.sack_perm || tcp.options.wscale'
}

FACTS+=(tcp/ecn_negotiated)
tcp_ecn_negotiated() {
    title='ECN is negotiated'
    shows='SYN with ECE and CWR, SYN-ACK with ECE, data as ECT(0).'
    endpoints
    lab_up
    setting device net.ipv4.tcp_ecn=1
    setting remote net.ipv4.tcp_ecn=1
    listen 'read 500; send 3000; close'
    capture_start
    connect 'send 500; read_eof; close'
    capture_stop pcapng
    expect_flows 1 31
    expect 1 'tcp.flags.syn == 1 && tcp.flags.ack == 0 && tcp.flags.ece == 1 && tcp.flags.cwr == 1'
    expect 1 'tcp.flags.syn == 1 && tcp.flags.ack == 1 && tcp.flags.ece == 1'
    expect 1 'ip.dsfield.ecn == 2 && tcp.len > 0'
}

FACTS+=(tcp/fast_open)
tcp_fast_open() {
    title='TCP Fast Open: the second SYN carries data'
    shows='The first connection fetches a cookie; the second sends its request of 200 bytes on the SYN, which the SYN-ACK acknowledges.'
    endpoints
    lab_up
    setting device net.ipv4.tcp_fastopen=1
    setting remote net.ipv4.tcp_fastopen=2
    listen 'read 200; send 400; close' --fast-open --connections 2
    capture_start
    connect 'send 200; read_eof; close' --fast-open
    connect 'send 200; read_eof; close' --fast-open
    comment 'tcp.flags.syn == 1 && tcp.len > 0' 'data on the SYN'
    capture_stop pcapng
    expect 1 "tcp.flags.syn == 1 && tcp.flags.ack == 0 && tcp.len == 200"
    expect 1 'tcp.flags.syn == 1 && tcp.flags.ack == 1 && tcp.ack == 201'
}

FACTS+=(tcp/loopback)
tcp_loopback() {
    title='A connection to 127.0.0.1, captured on lo'
    shows='Both ends are the device itself; MTU 65,536, checksums not filled in, MAC addresses all zero.'
    endpoints
    lab_up kind=direct
    serve device tcp 7000 "$PYTHON" "$tools/endpoint.py" listen 127.0.0.1 7000 'read 300; send 5000; close'
    vantage='device lo' capture_start
    device "$PYTHON" "$tools/endpoint.py" connect 127.0.0.1 7000 'send 300; read_eof; close'
    link_text='the loopback interface, MTU 65,536, offloads on'
    unchecked=1 capture_stop pcapng
    expect_flows 1 31
    expect 8 'ip.src == 127.0.0.1 && ip.dst == 127.0.0.1'
}
