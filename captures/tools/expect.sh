# shellcheck shell=bash
# What a capture must show, asked of tshark. Sourced by record.sh; runs in both modes on $capture_file.

readonly CHECKSUMS=(-o ip.check_checksum:TRUE -o tcp.check_checksum:TRUE -o udp.check_checksum:TRUE)

# What the tools exchange on port 7000 is plain text: a dissector that guesses from content or from the other port may call it malformed.
readonly PLAIN_TEXT=(-d tcp.port==7000,data -d udp.port==7000,data)

dissect() { tshark -n -r "$capture_file" "${CHECKSUMS[@]}" "${PLAIN_TEXT[@]}" "$@" 2>/dev/null; }

# Every capture: within the budget, noted, no frame cut short, nothing malformed, every checksum right.
# unchecked=1: checksums were left to the interface, as on a real machine with offload.
expect_sound_file() {
    [[ -s $capture_file ]] || fail "no capture $capture_file"
    [[ -s $result.md ]] || fail "no note $fact.md"
    local size damage
    size=$(stat --format %s "$capture_file")
    ((size <= SIZE_LIMIT)) || fail "$size bytes, more than $SIZE_LIMIT"
    damage='frame.cap_len < frame.len || _ws.malformed'
    [[ -n ${unchecked-} ]] || damage+=' || ip.checksum.status == "Bad" || tcp.checksum.status == "Bad" || udp.checksum.status == "Bad"'
    expect_none "$damage"
}

# expect COUNT FILTER: at least COUNT frames match the display filter.
expect() {
    local found
    found=$(dissect -Y "$2" | wc -l) || fail "tshark could not answer: $2"
    ((found >= $1)) || fail "expected at least $1 frames, found $found: $2"
}

expect_none() {
    local found
    found=$(dissect -Y "$1" | wc -l) || fail "tshark could not answer: $1"
    ((found == 0)) && return
    dissect -Y "$1" >&2
    fail "expected no frame, found $found: $1"
}

# expect_flows COUNT COMPLETENESS: so many TCP connections, each with this tshark completeness in the end
# (1 SYN + 2 SYN-ACK + 4 ACK + 8 data + 16 FIN + 32 RST: 31 is a whole connection ended by FINs).
expect_flows() {
    local found
    found=$(dissect -Y 'tcp && !icmp' -T fields -e tcp.stream -e tcp.completeness |
        awk '{last[$1] = $2} END {for (flow in last) print last[flow]}' | sort | uniq -c | awk '{print $1 " of " $2}') ||
        fail 'tshark could not answer'
    [[ $found == "$1 of $2" ]] || fail "expected TCP flows by completeness: $1 of $2, found: ${found//$'\n'/, }"
}
