#!/usr/bin/env bash
# Records this project's captures: real clients and servers on the kernel's own stack, in network namespaces that reach nothing else.
#
#   record.sh [AREA/FACT]...           record (all, or those named) and check; needs root on Debian, installs what it uses
#   record.sh --check [AREA/FACT]...   only check what is committed; needs tshark
#   record.sh --list                   the facts in order
#
# One function per capture, tools/cases/<area>.sh: what runs, then what the capture must show. Files are replaced one by one,
# each only after its recording went well. Ports, sequence numbers and times differ from one recording to the next.
set -euo pipefail

captures=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tools=$captures/tools
mode=record
FACTS=()
for part in lab expect cases/http cases/tls cases/tcp cases/tcp_loss cases/field cases/dns cases/udp cases/other; do
    # shellcheck source=/dev/null
    source "$tools/$part.sh"
done

readonly PACKAGES=(iproute2 tcpdump tshark wireshark-common ethtool procps nginx openssl dnsmasq-base curl bind9-dnsutils
    socat iputils-ping openssh-client openssh-server python3)

install_packages() {
    local missing=() package
    for package in "${PACKAGES[@]}"; do
        dpkg-query --show --showformat '${Status}' "$package" 2>/dev/null | grep --quiet 'ok installed' || missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    # The servers are wanted as programs, not as services of this machine.
    local policy=/usr/sbin/policy-rc.d
    if [[ ! -e $policy ]]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
        trap 'rm -f /usr/sbin/policy-rc.d' EXIT
    fi
    apt-get update
    DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "${missing[@]}"
    [[ -z $(trap -p EXIT) ]] || { rm -f "$policy"; trap - EXIT; }
}

# Each fact in a subshell of its own: a failure names the fact, cleans up and leaves the others to run.
run_fact() (
    fact=$1
    title='' shows='' client='' server='' capture_file='' work=''
    commands=() comments=()
    if recording; then
        work=$(mktemp -d)
        trap 'lab_down; rm -rf "$work"' EXIT
        trap 'exit 130' INT TERM
        lab_down
        result=$work/result
    else
        result=$captures/$fact
    fi
    "${fact//\//_}"
    ! recording || commit_result
    printf 'ok   %-38s %6s bytes\n' "$fact" "$(stat --format %s "$capture_file")"
)

# Puts the recording in the place of the one before.
commit_result() {
    mkdir -p "$(dirname "$captures/$fact")"
    rm -f "$captures/$fact".pcap "$captures/$fact".pcapng
    install --mode 644 "$result.md" "$captures/$fact.md"
    install --mode 644 "$capture_file" "$captures/$fact.${capture_file##*.}"
}

# The table at the end of README.md, one line per committed capture.
write_index() {
    local readme=$captures/README.md table fact file
    table=$(mktemp)
    sed '/^<!-- index/q' "$readme" >"$table"
    {
        printf '\n| capture | what it shows | file, link type | frames | bytes |\n|---|---|---|---:|---:|\n'
        for fact in "${FACTS[@]}"; do
            for file in "$captures/$fact".pcap*; do
                [[ -e $file ]] || continue
                printf '| [%s](%s.md) | %s | %s, %s | %s | %s |\n' "$fact" "$fact" "$(sed -n '1s/^# //p' "$captures/$fact.md")" \
                    "$(capinfos -Ttmr "$file" | cut -d, -f2 | sed 's/nsecpcap/pcap (ns)/')" \
                    "$(capinfos -TErm "$file" | cut -d, -f2)" "$(capinfos -TcrmM "$file" | cut -d, -f2)" "$(stat --format %s "$file")"
            done
        done
    } >>"$table"
    cat "$table" >"$readme"
    rm -f "$table"
}

main() {
    local wanted=() failures=0 status argument largest
    for argument in "$@"; do
        case $argument in
            --check) mode=check ;;
            --list) printf '%s\n' "${FACTS[@]}"; return ;;
            -*) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
            *) wanted+=("$argument") ;;
        esac
    done
    ((${#wanted[@]})) || wanted=("${FACTS[@]}")
    for argument in "${wanted[@]}"; do
        [[ " ${FACTS[*]} " == *" $argument "* ]] || { printf 'no such capture: %s (see --list)\n' "$argument" >&2; exit 2; }
    done
    if recording; then
        [[ $EUID == 0 ]] || { echo 'recording needs root (--check does not)' >&2; exit 2; }
        install_packages
    fi
    for argument in "${wanted[@]}"; do
        # Not in a condition: that would switch off `set -e` inside.
        set +e
        (set -e; run_fact "$argument")
        status=$?
        set -e
        ((status != 130)) || exit 130
        ((status == 0)) || { printf 'FAIL %s\n' "$argument"; failures=$((failures + 1)); }
    done
    ! recording || write_index
    largest=$(find "$captures" -name '*.pcap*' -printf '%s %P\n' | sort -n | tail -n 1)
    printf '%d of %d good; largest file %s bytes (limit %d)\n' $((${#wanted[@]} - failures)) "${#wanted[@]}" "$largest" "$SIZE_LIMIT"
    ((failures == 0))
}

main "$@"
