# shellcheck shell=bash
# The laboratory: a device and a remote, each a network namespace with the kernel's own stack, and one link between them.
# Sourced by record.sh. Every function that touches the system returns at once when $mode is "check", so that
# a case can be read from top to bottom in both modes and only its expectations run.
#
#   capture-device                    capture-link                      capture-remote
#   192.0.2.2, 2001:db8:1::2   ---    tools/link.py: delay, faults  ---  198.51.100.10 and .53, 2001:db8:2::10
#   (tcpdump listens here)

readonly DEVICE4=192.0.2.2 DEVICE6=2001:db8:1::2
readonly REMOTE4=198.51.100.10 RESOLVER4=198.51.100.53 ABSENT4=198.51.100.77 REMOTE6=2001:db8:2::10
readonly NAMESPACES=(capture-device capture-link capture-remote)
readonly SIZE_LIMIT=20000
readonly PYTHON=/usr/bin/python3
# Neighbour discovery and multicast reports would stand before the first real packet; a case that wants them sets filter=''.
readonly QUIET='not arp and not (icmp6 and ip6[40] >= 130 and ip6[40] <= 143) and not (ip6 and ip6[6] == 0)'

capture_process=''

recording() { [[ $mode == record ]]; }
fail() { printf '%s: %s\n' "$fact" "$*" >&2; exit 1; }
inside() { ip netns exec "capture-$1" "${@:2}"; }

# Versions as the notes give them: the packages' own, without revision suffixes.
software() {
    recording || return 0
    local name
    for name in "$@"; do
        printf '%s %s, ' "$name" "$(dpkg-query --show --showformat '${Version}' "$name" | sed 's/^[0-9]*://; s/-.*//')"
    done
    printf 'TCP/IP of Linux %s (Debian %s)' "$(uname -r | cut -d- -f1)" "$(cut -d. -f1 /etc/debian_version)"
}

# --- the link ---------------------------------------------------------------------------------------------------------

# lab_up [kind=veth|tun|vlan|direct] [delay=MS] [mtu=N] [up=FAULT]... [down=FAULT]...
# `direct` is one veth pair with every offload left on; the other kinds pass through link.py with offloads off,
# so that each frame in the capture is one that really crossed.
lab_up() {
    local kind=veth delay=10 mtu=1500 faults=() setting
    for setting in "$@"; do
        case $setting in
            kind=*) kind=${setting#*=} ;;
            delay=*) delay=${setting#*=} ;;
            mtu=*) mtu=${setting#*=} ;;
            up=* | down=*) faults+=("--${setting%%=*}" "${setting#*=}") ;;
            *) fail "unknown link setting $setting" ;;
        esac
    done
    describe_link "$kind" "$delay" "$mtu" "${faults[*]}"
    recording || return 0

    local namespace
    for namespace in "${NAMESPACES[@]}"; do
        ip netns add "$namespace"
        ip -n "$namespace" link set lo up
        ip netns exec "$namespace" sysctl --quiet --write net.ipv6.conf.default.router_solicitations=0 net.ipv6.conf.default.accept_dad=0
    done
    case $kind in
        direct)
            veth capture-device eth0 capture-remote eth0 "$mtu" on
            ;;
        veth)
            veth capture-device eth0 capture-link near "$mtu" off
            veth capture-remote eth0 capture-link far "$mtu" off
            link packet:near packet:far --delay "$delay" "${faults[@]}"
            ;;
        vlan)
            veth capture-device eth0 capture-link near "$mtu" off
            veth capture-remote eth0 capture-link far "$mtu" off
            veth capture-link trunk0 capture-link trunk1 "$mtu" off
            link packet:near vlan:trunk0:42 --delay "$delay" "${faults[@]}"
            link vlan:trunk1:42 packet:far
            ;;
        tun)
            link tun:eth0:capture-device tun:eth1:capture-remote --delay "$delay" "${faults[@]}"
            ip -n capture-remote link set eth1 name eth0
            for namespace in capture-device capture-remote; do
                ip -n "$namespace" link set eth0 mtu "$mtu" up
            done
            ;;
    esac
    addresses
}

describe_link() {
    local kind=$1 delay=$2 mtu=$3 faults=$4
    case $kind in
        direct) link_text="one veth pair, MTU $mtu, checksum and segmentation offload on (the kernel's defaults)" ;;
        veth) link_text="veth, tools/link.py, veth; MTU $mtu, $delay ms each way, all offloads off" ;;
        vlan) link_text="veth, a trunk with 802.1Q tag 42 made by tools/link.py, veth; MTU $mtu, $delay ms each way, all offloads off" ;;
        tun) link_text="two TUN devices joined by tools/link.py; MTU $mtu, $delay ms each way, no offloads" ;;
    esac
    [[ -z $faults ]] || link_text+="; faults \`$faults\` (N-th TCP or UDP packet of that direction)"
}

veth() {
    local near_namespace=$1 near=$2 far_namespace=$3 far=$4 mtu=$5 offload=$6 end
    ip -n "$near_namespace" link add name "$near" mtu "$mtu" type veth peer name "$far" mtu "$mtu" netns "$far_namespace"
    for end in "$near_namespace $near" "$far_namespace $far"; do
        set -- $end
        [[ $offload == on ]] || ip netns exec "$1" ethtool --offload "$2" rx off tx off tso off gso off gro off >/dev/null 2>&1
        ip -n "$1" link set "$2" up
    done
}

addresses() {
    # Documentation MAC addresses (RFC 7042); a TUN device has none.
    ip -n capture-device link set eth0 address 00:00:5e:00:53:01 2>/dev/null || true
    ip -n capture-remote link set eth0 address 00:00:5e:00:53:02 2>/dev/null || true
    ip -n capture-device address add "$DEVICE4/24" dev eth0
    ip -n capture-device -6 address add "$DEVICE6/64" dev eth0 nodad
    ip -n capture-device route add default via "$REMOTE4" dev eth0 onlink
    ip -n capture-device -6 route add default via "$REMOTE6" dev eth0 onlink
    ip -n capture-remote address add "$REMOTE4/24" dev eth0
    ip -n capture-remote address add "$RESOLVER4/24" dev eth0
    ip -n capture-remote -6 address add "$REMOTE6/64" dev eth0 nodad
    ip -n capture-remote route add default via "$DEVICE4" dev eth0 onlink
    ip -n capture-remote -6 route add default via "$DEVICE6" dev eth0 onlink
}

link() {
    local ready
    ready=$(mktemp "$work/link.XXXX")
    ip netns exec capture-link "$PYTHON" "$tools/link.py" "$@" >"$ready" &
    await "link.py $*" grep --quiet READY "$ready"
}

# --- what runs at the two ends ----------------------------------------------------------------------------------------

# await WHAT COMMAND...: until the command succeeds, at most five seconds.
await() {
    local what=$1 attempt
    for ((attempt = 0; attempt < 100; attempt++)); do
        "${@:2}" && return 0
        sleep 0.05
    done
    fail "gave up waiting for $what"
}

listening() { inside "$1" ss --no-header --listening --numeric "--$2" "sport = :$3" | grep --quiet .; }

# serve NAMESPACE tcp|udp PORT COMMAND...: starts a server and waits until it listens.
serve() {
    local where=$1 protocol=$2 port=$3
    log_command "$where" "${@:4}"
    recording || return 0
    ip netns exec "capture-$where" "${@:4}" >"$work/server.log" 2>&1 </dev/null &
    await "$protocol port $port of the $where" listening "$where" "$protocol" "$port"
}

# device COMMAND...: runs the client, which must succeed; may_fail=1 for one whose failure is the fact.
device() {
    log_command device "$@"
    recording || return 0
    local status=0
    inside device "$@" >"$work/client.log" 2>&1 </dev/null || status=$?
    [[ $status == 0 || -n ${may_fail-} ]] || { cat "$work/client.log" >&2; fail "the client ended with $status"; }
}

# setting NAMESPACE KEY=VALUE...: kernel settings of one side.
setting() {
    log_command "$1" sysctl --write "${@:2}"
    recording || return 0
    inside "$1" sysctl --quiet --write "${@:2}"
}

pause() { ! recording || sleep "$1"; }

log_command() {
    local where=$1 line='' word
    shift
    for word in "$@"; do
        word=${word//$work/\$work}
        word=${word//$tools/tools}
        [[ $word == "$PYTHON" ]] && continue
        [[ $word =~ ^[]A-Za-z0-9_./:@%+=,\$[-]+$ ]] || word="'${word//\'/\'\\\'\'}'"
        line+=" $word"
    done
    commands+=("$where\$$line")
}

# --- the capture ------------------------------------------------------------------------------------------------------

# capture_start [TCPDUMP OPTION]...: listens on the device's eth0, or as $vantage ("NAMESPACE INTERFACE") says.
capture_start() {
    local where interface
    read -r where interface <<<"${vantage-device eth0}"
    vantage_text="the $where's $interface"
    local options=(--interface "$interface" --snapshot-length 0 "$@")
    local expression=${filter-$QUIET}
    tcpdump_text="tcpdump ${options[*]}${expression:+ '$expression'}"
    recording || return 0
    : >"$work/tcpdump.log"
    ip netns exec "capture-$where" tcpdump "${options[@]}" --immediate-mode --packet-buffered -Z root -w "$work/raw.pcap" ${expression:+"$expression"} 2>"$work/tcpdump.log" &
    capture_process=$!
    await tcpdump grep --quiet 'listening on' "$work/tcpdump.log"
}

# comment DISPLAY-FILTER TEXT: a packet comment for the first frame that the filter selects (pcapng only).
comment() { comments+=("$1" "$2"); }

# capture_stop pcap|pcapng: ends the capture and writes it, as it is or with its comments, to $result.
capture_stop() {
    local format=$1 index frame arguments=()
    if recording; then
        sleep 0.3
        kill -INT "$capture_process"
        wait "$capture_process" || true
        if [[ $format == pcapng ]]; then
            for ((index = 0; index < ${#comments[@]}; index += 2)); do
                frame=$(tshark -r "$work/raw.pcap" -Y "${comments[index]}" -T fields -e frame.number | head -n 1)
                [[ -n $frame ]] || fail "no frame for the comment \"${comments[index + 1]}\""
                arguments+=(-a "$frame:${comments[index + 1]}")
            done
            editcap -F pcapng --capture-comment "$title" "${arguments[@]}" "$work/raw.pcap" "$result.pcapng"
        else
            cp "$work/raw.pcap" "$result.pcap"
        fi
        write_note "$format"
        lab_down
    fi
    capture_file=$result.$format
    expect_sound_file
}

lab_down() {
    local process namespace
    for process in $(jobs -rp); do
        kill "$process" 2>/dev/null || true
        wait "$process" 2>/dev/null || true
    done
    for namespace in "${NAMESPACES[@]}"; do
        ! ip netns list | grep --quiet --word-regexp "$namespace" || ip netns delete "$namespace"
    done
    rm -rf /etc/netns/capture-device
    rmdir --ignore-fail-on-non-empty /etc/netns 2>/dev/null || true
}

write_note() {
    local format=$1
    {
        printf '# %s\n\n' "$title"
        printf '%s\n\n' "$shows"
        printf -- '- Client: %s. Server: %s.\n' "$client" "$server"
        printf -- '- Vantage: %s. Link: %s.\n' "$vantage_text" "$link_text"
        printf -- '- Capture: `%s`%s.\n' "$tcpdump_text" "$([[ $format == pcap ]] || printf ', then `editcap -F pcapng` with comments')"
        printf -- '- Licence: MIT OR Apache-2.0, recorded by this project (`captures/record.sh %s`).\n\n' "$fact"
        printf '    %s\n' "${commands[@]}"
    } >"$result.md"
}
