//! The kinds of facts, and how long what lasts must last to be one.

/// Declares the kinds of facts with their stable names.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident $label:literal,)*) => {
        /// The kinds of facts, what hurts most first.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum FactKind { $($(#[$doc])* $kind,)* }

        impl FactKind {
            /// Every kind, in order.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// Its stable name.
            #[must_use]
            pub fn label(self) -> &'static str {
                match self { $(Self::$kind => $label,)* }
            }
        }
    };
}

kinds! {
    /// One side's window was closed for [`STALL_NS`] or longer: it did not read. `by` is that side.
    Stalled "stalled",
    /// SYNs that nothing ever answered.
    SynUnanswered "syn-unanswered",
    /// The SYN was answered with a reset.
    Refused "refused",
    /// DNS questions without an answer.
    DnsUnanswered "dns-unanswered",
    /// DNS answers that say the server failed (RFC 1035 section 4.1.1, response code 2).
    DnsServfail "dns-servfail",
    /// DNS answers that say there is no such name (response code 3).
    DnsNxdomain "dns-nxdomain",
    /// A QUIC handshake that nothing answered.
    QuicUnanswered "quic-unanswered",
    /// Full segments were lost again and again: routers may drop packets of that size without a word (RFC 2923 section 2.1).
    PmtuSuspect "pmtu-suspect",
    /// A reset before both sides had closed.
    Reset "reset",
    /// What one side sent was not acknowledged for [`UNACKNOWLEDGED_NS`] or longer. `by` is who did not.
    Unacknowledged "unacknowledged",
    /// Routers said that packets are too big (RFC 1191, RFC 8201).
    PacketTooBig "packet-too-big",
    /// Other ICMP errors about the flow.
    IcmpError "icmp-error",
    /// Datagrams that nothing answered.
    Unanswered "unanswered",
    /// One side closed, and the other one was [`HALF_CLOSED_NS`] or longer about it. `by` is the other one.
    HalfClosed "half-closed",
    /// A maximum segment size below what every host takes (RFC 9293 section 3.7.1, RFC 8200 section 5).
    MssLow "mss-low",
    /// Windows of zero.
    ZeroWindow "zero-window",
    /// Probes of a window of zero: one byte beyond it.
    ZeroWindowProbe "zero-window-probe",
    /// Segments that fill the other side's window.
    WindowFull "window-full",
    /// SYNs sent again.
    SynRetransmission "syn-retransmission",
    /// Segments sent again, by timeout as far as it shows.
    Retransmission "retransmission",
    /// Segments sent again after duplicate acknowledgements.
    FastRetransmission "fast-retransmission",
    /// Segments sent again though they had been acknowledged.
    SpuriousRetransmission "spurious-retransmission",
    /// Segments that others overtook.
    OutOfOrder "out-of-order",
    /// Acknowledgements that repeat the one before them.
    DuplicateAck "duplicate-ack",
    /// Keep-alives.
    KeepAlive "keep-alive",
    /// Neither closed by both sides nor reset when the capture ended.
    OpenAtEnd "open-at-end",
    /// How long DNS answers took.
    DnsAnswer "dns-answer",
    /// Round trips. `by` is who answered.
    Rtt "rtt",
}

/// How long a window is closed before that is a stall, nanoseconds: longer than any delayed acknowledgement.
pub const STALL_NS: u64 = 200_000_000;

/// How long bytes go without acknowledgement before that is a fact, nanoseconds: the initial retransmission timeout (RFC 6298).
pub const UNACKNOWLEDGED_NS: u64 = 1_000_000_000;

/// How long a half-closed flow waits before that is a fact, nanoseconds.
pub const HALF_CLOSED_NS: u64 = 1_000_000_000;
