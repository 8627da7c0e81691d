# shellcheck shell=bash
# TCP on a link that loses, repeats or reorders packets. The faults are chosen by number, so that a new recording shows the same fact.

FACTS+=(tcp/lossy_retransmission_sack)
tcp_lossy_retransmission_sack() {
    title='Loss both ways, repaired with SACK'
    shows='Two segments lost in each direction: duplicate acknowledgements with SACK blocks, retransmissions, and both streams complete.'
    endpoints
    # Up: SYN, ACK, then data from 3. Down: SYN-ACK, acknowledgements of the upload, then data.
    lab_up up=drop:4,6 down=drop:8,10
    listen 'read 6000; send 6000; close'
    capture_start
    connect 'send 6000; read_eof; close'
    comment "tcp.options.sack_le && ip.src == $REMOTE4" 'the far side reports a hole in the upload'
    comment "tcp.options.sack_le && ip.src == $DEVICE4" 'the device reports a hole in the download'
    capture_stop pcapng
    expect_flows 1 31
    expect 1 "tcp.options.sack_le && ip.src == $REMOTE4"
    expect 1 "tcp.options.sack_le && ip.src == $DEVICE4"
    expect 2 "tcp.analysis.retransmission && ip.src == $DEVICE4 && tcp.len > 0"
    expect 2 "(tcp.analysis.retransmission || tcp.analysis.out_of_order) && ip.src == $REMOTE4 && tcp.len > 0"
    expect 1 "ip.src == $DEVICE4 && tcp.ack == 6002"
    expect 1 "ip.src == $REMOTE4 && tcp.ack >= 6001"
}

FACTS+=(tcp/syn_retransmitted)
tcp_syn_retransmitted() {
    title='The first SYN is lost, the second is answered'
    shows='The device sends the same SYN again after one second.'
    endpoints
    lab_up up=drop:1
    listen 'read 100; send 300; close'
    capture_start
    connect 'send 100; read_eof; close'
    comment 'tcp.analysis.retransmission && tcp.flags.syn == 1' 'the SYN again'
    capture_stop pcapng
    expect_flows 1 31
    expect 2 'tcp.flags.syn == 1 && tcp.flags.ack == 0'
}

FACTS+=(tcp/syn_ack_retransmitted)
tcp_syn_ack_retransmitted() {
    title='The SYN-ACK is lost; both sides try again'
    shows='One second later the device repeats its SYN and the far side its SYN-ACK.'
    endpoints
    lab_up down=drop:1
    listen 'read 100; send 300; close'
    capture_start
    connect 'send 100; read_eof; close'
    capture_stop pcapng
    expect_flows 1 31
    expect 2 'tcp.flags.syn == 1 && tcp.flags.ack == 0'
    expect 1 'tcp.flags.syn == 1 && tcp.flags.ack == 1'
}

FACTS+=(tcp/no_answer)
tcp_no_answer() {
    title='Nobody answers: the connect times out'
    shows='The SYN goes out at 0, 1 and 3 seconds; curl gives up after four.'
    client=$(software curl) server=none
    lab_up up=drop:1,2,3,4
    capture_start
    may_fail=1 device curl --silent --connect-timeout 4 "http://$REMOTE4/"
    capture_stop pcapng
    expect 3 'tcp.flags.syn == 1'
    expect_none "ip.src == $REMOTE4"
}

FACTS+=(tcp/out_of_order)
tcp_out_of_order() {
    title='Segments overtake each other in both directions, and one comes twice'
    shows='The receiver answers with SACK blocks until the late segment fills the hole; nothing is lost.'
    endpoints
    lab_up up=hold:4 down=hold:9 down=twice:12
    listen 'read 6000; send 6000; close'
    capture_start
    connect 'send 6000; read_eof; close'
    comment "tcp.options.sack_le && ip.src == $DEVICE4" 'the device has later bytes already'
    capture_stop pcapng
    expect_flows 1 31
    expect 1 "tcp.options.sack_le && ip.src == $REMOTE4"
    expect 1 "tcp.options.sack_le && ip.src == $DEVICE4"
}

FACTS+=(tcp/last_segment_lost)
tcp_last_segment_lost() {
    title='The last segment and its FIN are lost'
    shows='No later segment can reveal the hole: the far side'\''s tail loss probe repeats the end.'
    endpoints
    lab_up down=drop:4,5
    listen 'read 100; send 1900; close'
    capture_start
    connect 'send 100; read_eof; close'
    comment "ip.src == $REMOTE4 && tcp.seq > 1400" 'the probe: the first the device sees of the end'
    capture_stop pcapng
    expect_flows 1 31
    expect 1 "ip.src == $REMOTE4 && tcp.seq > 1400 && tcp.time_delta > 0.015"
    expect 1 "ip.src == $DEVICE4 && tcp.ack == 1902"
}
