# shellcheck shell=bash
# What users report: connections that hang. Both ends are tools/endpoint.py, as in tcp.sh.

FACTS+=(field/upload_stalls_device_gives_up)
field_upload_stalls_device_gives_up() {
    title='The server stops reading an upload, and the device gives up'
    shows='The server reads 3,000 of 12,000 bytes and no more; its window is zero, the device probes it, and resets after three seconds.'
    endpoints
    lab_up
    listen 'read 3000; wait 4000ms; close' --receive-buffer 4096
    capture_start
    connect 'send 12000; wait 3000ms; reset'
    comment "tcp.window_size == 0 && tcp.flags.reset == 0" 'the server closes its window'
    comment "tcp.flags.reset == 1 && ip.src == $DEVICE4" 'the app gives up'
    capture_stop pcapng
    expect 3 "ip.src == $REMOTE4 && tcp.window_size == 0 && tcp.flags.reset == 0"
    expect 1 "ip.src == $DEVICE4 && tcp.flags.reset == 1"
    expect_none "ip.src == $REMOTE4 && tcp.ack == 12001"
}

FACTS+=(field/upload_stalls_then_resumes)
field_upload_stalls_then_resumes() {
    title='The server stops reading an upload for three seconds, and resumes'
    shows='The server reads 3,000 bytes, waits with its window at zero, and reads the rest of 12,000 bytes.'
    endpoints
    lab_up
    listen 'read 3000; wait 3000ms; read_eof; send 10; close' --receive-buffer 4096
    capture_start
    connect 'send 12000; shutdown; read_eof; close'
    comment "tcp.window_size == 0 && tcp.flags.reset == 0" 'the server closes its window'
    capture_stop pcapng
    expect_flows 1 31
    expect 3 "ip.src == $REMOTE4 && tcp.window_size == 0 && tcp.flags.reset == 0"
    expect 1 "ip.src == $REMOTE4 && tcp.ack == 12002"
}
