//! Why a frame went nowhere. Closed list: one doc line, one label, one counter each.

macro_rules! drop_reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $label:literal,)+) => {
        /// Why the engine did not act on a frame.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum DropReason { $($(#[doc = $doc])+ $name,)+ }

        impl DropReason {
            /// Every reason, in the order of their counters.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// Stable name in counters and reports.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)+ }
            }

            /// The name of its counter: `drop_` and the label.
            #[must_use]
            pub const fn counter(self) -> &'static str {
                match self { $(Self::$name => concat!("drop_", $label),)+ }
            }

            pub(crate) const fn help(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+),)+ }
            }
        }
    };
}

drop_reasons! {
    /// Not an IPv4 or IPv6 packet, or its lengths contradict each other.
    MalformedIp = "malformed_ip",
    /// The IPv4 header checksum is wrong (RFC 1122 section 3.2.1.2).
    BadIpChecksum = "bad_ip_checksum",
    /// The TCP or UDP header is cut short or contradicts itself.
    MalformedTransport = "malformed_transport",
    /// The TCP or UDP checksum is wrong.
    BadTransportChecksum = "bad_transport_checksum",
    /// An IPv6 UDP datagram without a checksum (RFC 8200 section 8.1).
    MissingChecksum = "missing_checksum",
    /// A source that no device can have: unspecified, loopback, multicast, broadcast, reserved.
    MartianSource = "martian_source",
    /// A destination that is no host: unspecified, loopback, reserved.
    MartianDestination = "martian_destination",
    /// An IPv6 link-local address: it is meant for the link, not for a tunnel (RFC 4291 section 2.5.6).
    LinkLocal = "link_local",
    /// A multicast or broadcast destination: not a flow.
    Multicast = "multicast",
    /// Port zero on either side.
    ZeroPort = "zero_port",
    /// A protocol that the engine does not terminate.
    UnknownProtocol = "unknown_protocol",
    /// An IPv6 packet that ends with its headers (RFC 8200 section 4.7).
    NoNextHeader = "no_next_header",
    /// More IPv6 extension headers, or options in one of them, than any packet has a reason for.
    ExtensionHeaders = "extension_headers",
    /// An IPv6 option that must not be passed over (RFC 8200 section 4.2).
    UnknownOption = "unknown_option",
    /// A routing header that asks to be forwarded (RFC 8200 section 4.4).
    SourceRouted = "source_routed",
    /// A datagram longer than `udp_path_mtu` that must not be split: it is answered by an ICMP error.
    TooBig = "too_big",
    /// An ICMP message that asks for no answer here.
    Icmp = "icmp",
    /// An ICMP error that quotes no open flow, or a segment that is not outstanding (RFC 5927 section 4.1).
    IcmpUnmatched = "icmp_unmatched",
    /// A fragment that contradicts others of its datagram, or for which there is no room.
    FragmentRefused = "fragment_refused",
    /// A TCP segment with flags that contradict each other (SYN with FIN) for a flow whose dial is pending.
    ContradictoryFlags = "contradictory_flags",
    /// A segment for a flow whose dial is pending, other than SYN and RST.
    Unsynchronised = "unsynchronised",
    /// A reset that is not exactly at the next expected byte (RFC 5961 section 3).
    ResetOutOfPlace = "reset_out_of_place",
    /// A segment that acknowledges what was never sent (RFC 9293 section 3.10.7.4).
    AckOfUnsent = "ack_of_unsent",
    /// A segment that acknowledges what was acknowledged more than a window ago (RFC 5961 section 5.2).
    AckTooOld = "ack_too_old",
    /// A segment whose timestamp is older than one that came before it (PAWS, RFC 7323 section 5.3).
    TimestampOld = "timestamp_old",
    /// A segment without a timestamp on a connection that has agreed on them (RFC 7323 section 3.2).
    TimestampMissing = "timestamp_missing",
    /// A reset for a tuple without a flow.
    ResetWithoutFlow = "reset_without_flow",
    /// No room for another flow, by count or by bytes.
    Admission = "admission",
    /// A datagram for a UDP flow whose queue toward the dialer is full.
    QueueFull = "queue_full",
    /// A datagram to an intercepted port 53 that is no query.
    NoQuery = "no_query",
    /// Output waits that the device has not taken: the answer was not built.
    OutputFull = "output_full",
    /// The engine is stopped.
    Stopped = "stopped",
}
