# shellcheck shell=bash
# TLS: what the engine carries without looking inside.

certificate() {
    recording || return 0
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj /CN=www.example.com \
        -keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null
}

openssl_exchange() {
    local version=$1
    certificate
    serve remote tcp 443 openssl s_server -accept 443 -key "$work/key.pem" -cert "$work/cert.pem" "$version" -rev -quiet
    capture_start
    device sh -c "(echo hello; sleep 0.5) | openssl s_client -connect $REMOTE4:443 -servername www.example.com $version -brief"
}

FACTS+=(tls/tls13_handshake)
tls_tls13_handshake() {
    title='TLS 1.3: a full handshake and one line each way'
    shows='ECDSA P-256 certificate; the server reverses the line it is sent; close_notify from the device, then FINs.'
    client=$(software openssl) server=$(software openssl)
    lab_up
    openssl_exchange -tls1_3
    comment 'tls.handshake.type == 1' 'ClientHello'
    comment 'tls.handshake.type == 2' 'ServerHello and all that follows it, encrypted'
    capture_stop pcapng
    expect 1 'tls.handshake.type == 1 && tls.handshake.extensions_server_name == "www.example.com"'
    expect 1 'tls.handshake.type == 2 && tls.handshake.extensions.supported_version == 0x0304'
    expect 2 'tls.app_data'
    expect 1 'tcp.flags.fin == 1'
}

FACTS+=(tls/tls12_handshake)
tls_tls12_handshake() {
    title='TLS 1.2: a full handshake and one line each way'
    shows='As tls/tls13_handshake with one more round trip and the certificate in the clear.'
    client=$(software openssl) server=$(software openssl)
    lab_up
    openssl_exchange -tls1_2
    capture_stop pcapng
    expect 1 'tls.handshake.type == 11'
    expect 2 'tls.app_data'
    expect 1 'tcp.flags.fin == 1'
}

FACTS+=(tls/http2_get)
tls_http2_get() {
    title='HTTP/2 over TLS: two pages on one connection'
    shows='ALPN chooses h2; both streams share one TCP connection.'
    client=$(software curl openssl) server=$(software nginx openssl)
    lab_up
    certificate
    local tls_listen="listen 443 ssl http2; ssl_certificate $work/cert.pem; ssl_certificate_key $work/key.pem;"
    web_server one.txt:800 two.txt:1200
    capture_start
    device curl --silent --show-error --insecure --http2 --resolve "www.example.com:443:$REMOTE4" \
        --output /dev/null https://www.example.com/one.txt --output /dev/null https://www.example.com/two.txt
    capture_stop pcapng
    expect_flows 1 31
    expect 1 'tls.handshake.extensions_alpn_str == "h2"'
}
