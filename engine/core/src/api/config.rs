//! Settings: every limit and timer, with unit, default and the reason for it.

use core::time::Duration;

use crate::api::log::{LogLevel, LogMask};
use crate::dns::RESOLVE_TIMEOUT;
use crate::flow::room;
use crate::tcp::ring::LARGEST;

mod named;

/// What the engine may use and how long it waits.
///
/// Limits of time are at least 1 ms where nothing else is said: no limit at all is [`Duration::MAX`]. What
/// [`Config::check`] refuses it names, with the range that is right.
///
/// **Memory.** Flows take at most `tcp_limit * (rx_limit + tx_limit + 2 KiB) + udp_limit * (udp_queue + 2 KiB)`
/// bytes, or [`Config::byte_budget`] if that is less: 33 MiB for TCP and 4 MiB for UDP at the default settings, if every
/// flow has all its rings full. What waits for nobody takes nothing: an idle flow holds about 1 KiB. Frames that wait for the device take `output_limit * mtu` beyond
/// that, if the host does not fetch them; fragments up to 1 MiB.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Largest IP packet toward the device, octets; 576 to 65,535. Default 1,500.
    pub mtu: usize,
    /// TTL and hop limit of every packet toward the device; 1 to 255 (RFC 9293 section 3.9.2, MUST-49). Default 64.
    pub hop_limit: u8,
    /// Most TCP flows at a time, pending dials included; 0 admits none. Default 128.
    pub tcp_limit: usize,
    /// Most UDP flows at a time; 0 admits none. Default 128.
    pub udp_limit: usize,
    /// Most TCP dials pending at a time; at least 1. `None`: as `tcp_limit`.
    pub pending_dials: Option<usize>,
    /// Most octets that all flows may be charged for. A TCP flow costs 1 KiB while its dial is pending, and 2 KiB
    /// and what its rings may hold from then on, which grows as they open; a UDP flow 2 KiB and the datagrams it holds, each with 64 octets. A dial that
    /// connects when nothing is left is closed again, with a reset. At least 2 KiB. `None`: what the limits allow.
    /// Default `None`.
    pub byte_budget: Option<usize>,
    /// How long a TCP flow may go without being established before a new one may take its place, if there is no
    /// other room; with 0 at once. This is what keeps a flood of SYNs from shutting others out. Default 3 s: two of its
    /// SYNs.
    pub admission_grace: Duration,
    /// Whether a short segment waits while another is unacknowledged (Nagle, RFC 9293 SHLD-7). Default no (MUST-17):
    /// the far side's own TCP has shaped the stream, and no link to the device needs sparing.
    pub nagle: bool,
    /// The only source of randomness: initial sequence numbers (RFC 6528) and the demux hash. A host
    /// draws it anew at every start; tests fix it. Default 1.
    pub seed: u64,
    /// Bytes that the device may send ahead of the dialer: the receive window of a TCP flow, 1 byte to 16 MiB. `None`: it
    /// opens with use, from 16 KiB or four segments, what is more, up to [`Config::rx_limit`]. A bound is no cost: a ring
    /// has memory for what it holds, and none while it is empty.
    pub rx_buffer: Option<usize>,
    /// Bytes that the dialer may bring ahead of the device, those that it has not acknowledged included; 1 byte to
    /// 16 MiB. `None`: it opens with use, up to [`Config::tx_limit`].
    pub tx_buffer: Option<usize>,
    /// How far the receive window opens that has no fixed size, bytes. It opens only while [`Config::byte_budget`] has
    /// room. Default 128 KiB.
    pub rx_limit: usize,
    /// The same for what the dialer may bring. Default 128 KiB.
    pub tx_limit: usize,
    /// Whether addresses that no device can mean are let in (loopback, IPv6 link-local and reserved ones).
    /// Default `Drop`.
    pub martians: Martians,
    /// What a device sees when no flow can be admitted. Default `Drop`: it tries again.
    pub admission_refusal: Refusal,
    /// What a device sees of a TCP dial that failed other than by a refusal, which is a reset always. Default `Reset`:
    /// an app is told at once, while many stacks take an ICMP error for a passing trouble. The ICMP error needs room
    /// within its rate limit, or a reset stands in.
    pub dial_failure: DialFailure,
    /// How long a dial may take before it counts as timed out. Default 75 s, as long as BSD's connect.
    pub dial_timeout: Duration,
    /// How long the device may take to complete a handshake. Default 4 min (RFC 5382 REQ-5: transitory).
    pub handshake_timeout: Duration,
    /// Idle limit of an established TCP flow. Default 2 h 4 min (RFC 5382 REQ-5).
    pub tcp_idle: Duration,
    /// Idle limit of a TCP flow with one side closed. Default 4 min (RFC 5382 REQ-5: transitory).
    pub tcp_half_closed: Duration,
    /// Idle limit of a TCP flow whose far side has ended, and whose device has acknowledged that but not closed
    /// (FIN-WAIT-2). Default 4 min (RFC 5382 REQ-5: transitory).
    pub tcp_fin_wait: Duration,
    /// After how much silence of the device it is probed (RFC 9293 section 3.8.4: off unless asked for, not below
    /// 2 h by default); at least 1 s. An answer counts as activity. `None`: never. Default `None`.
    pub keep_alive: Option<Duration>,
    /// How long after a probe the next one goes; at least 1 s. Default 75 s, as on BSD and Linux.
    pub keep_alive_interval: Duration,
    /// Probes in a row without an answer after which the flow is given up; at least 1. Default 9, as on Linux.
    pub keep_alive_probes: u32,
    /// How long a flow that the remote reset may take to deliver what came before; with 0 what is not delivered at once is
    /// lost. Default 10 s.
    pub linger: Duration,
    /// How long bytes may stay unacknowledged before the flow is given up (RFC 9293 section 3.8.3: R2 of at
    /// least 100 s). Default 120 s.
    pub retransmission_limit: Duration,
    /// Idle limit of a UDP flow (RFC 4787 REQ-5: at least 2 min, 5 min advised). Default 5 min.
    pub udp_idle: Duration,
    /// Idle limit of a UDP flow to port 53 (RFC 4787 REQ-5 allows less for well-known ports). Default 30 s.
    pub dns_idle: Duration,
    /// Which datagrams of a device's port share a flow and its dial (RFC 4787 section 4.1). Default: one flow for
    /// each destination, because a dialer's connected sockets have one.
    pub udp_mapping: UdpMapping,
    /// Whose datagrams a flow lets in (RFC 4787 section 5). Default: only those it has sent to.
    pub udp_filtering: UdpFiltering,
    /// Largest IP packet that the path beyond the dialer takes, octets. A longer UDP datagram that must not be
    /// split (IPv4 with DF, all of IPv6) is answered with fragmentation needed or packet too big, so that path
    /// MTU discovery of apps (RFC 8899) works through the engine. At least 68 (RFC 791). `None`: no limit is known.
    /// Default `None`.
    pub udp_path_mtu: Option<usize>,
    /// Octets that a UDP flow may keep while its dial is pending or its remote blocked; one datagram is always kept, with
    /// 0 no other. Default 24 KiB: a first flight of QUIC, and no more than 3 MiB for 128 flows.
    pub udp_queue: usize,
    /// Frames that may wait for the device before datagrams from remotes are dropped; at least 64. Default 4,096.
    pub output_limit: usize,
    /// What a change of path does to open flows. Default `Keep`.
    pub path_policy: PathPolicy,
    /// Whether a congestion window limits what is in flight toward the device (RFC 5681, RFC 6928). It opens within
    /// a few round trips, and shuts only if frames are lost. Default true.
    pub congestion_control: bool,
    /// The least time without an acknowledgement after which data is sent again (RFC 6298 section 2.4). What the round
    /// trip and its variation ask for counts if it is more. Default 200 ms, as kernels have it; 5 ms suits a device on
    /// the same host.
    pub min_rto: Duration,
    /// Whether the end of a flight is probed for after two round trips, before the timeout (RFC 8985 section 7).
    /// Default true.
    pub loss_probe: bool,
    /// How long an acknowledgement may wait for something to leave with it, at most 500 ms (RFC 9293 section 3.8.6.3).
    /// It does not wait for more than the second segment, nor beside a hole. `None`: it leaves in the same turn. Default
    /// `None`.
    pub ack_delay: Option<Duration>,
    /// How long a tuple that the device closed first is remembered, to answer late segments; with 0 they meet with resets.
    /// Default 10 s.
    pub tombstone: Duration,
    /// Whether queries to port 53 are answered by the host's [`Engine::resolved`](crate::Engine::resolved) instead of being
    /// dialed. Default no. Other ports, those of DNS over TLS and HTTPS among them, are never touched.
    pub dns_interception: bool,
    /// How long the host may take to resolve a name before the device is told SERVFAIL. Default 4 s, below the 5 s after
    /// which stubs ask again.
    pub resolve_timeout: Duration,
    /// Intercepted queries that may wait for the host, at least 1; one more is told SERVFAIL at once. Default 64.
    pub resolve_limit: usize,
    /// Addresses whose names are remembered, so that a dial carries one; what expires first makes room. 0 keeps none.
    /// Default 1,024, some 150 KiB.
    pub dns_names: usize,
    /// How long a tuple that the remote closed first is remembered: twice the maximum segment lifetime of RFC 9293
    /// section 3.4.2. No buffer is held for it, and a new SYN ends it. With 0 it is forgotten at once. Default 240 s.
    pub time_wait: Duration,
    /// The least weight of lines that come as [`Output::Log`](crate::Output::Log); `None`: no lines. Default `None`.
    pub log_level: Option<LogLevel>,
    /// What lines may be about. Default: everything.
    pub log_mask: LogMask,
    /// Whether lines show addresses and names in clear instead of keyed hashes. Default no.
    pub log_addresses: bool,
    /// How often the counters are written to the log, at level info. They ride on the first drain after the interval:
    /// an idle engine is not woken for them. At least 1 ms; `None`: never. Default `None`.
    pub metrics_interval: Option<Duration>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            mtu: 1500,
            hop_limit: 64,
            tcp_limit: 128,
            udp_limit: 128,
            pending_dials: None,
            byte_budget: None,
            admission_grace: Duration::from_secs(3),
            nagle: false,
            seed: 1,
            rx_buffer: None,
            tx_buffer: None,
            rx_limit: 128 << 10,
            tx_limit: 128 << 10,
            martians: Martians::Drop,
            admission_refusal: Refusal::Drop,
            dial_failure: DialFailure::Reset,
            dial_timeout: Duration::from_secs(75),
            handshake_timeout: Duration::from_secs(240),
            tcp_idle: Duration::from_secs(7440),
            tcp_half_closed: Duration::from_secs(240),
            tcp_fin_wait: Duration::from_secs(240),
            keep_alive: None,
            keep_alive_interval: Duration::from_secs(75),
            keep_alive_probes: 9,
            linger: Duration::from_secs(10),
            retransmission_limit: Duration::from_secs(120),
            udp_idle: Duration::from_secs(300),
            dns_idle: Duration::from_secs(30),
            udp_mapping: UdpMapping::AddressAndPortDependent,
            udp_filtering: UdpFiltering::AddressAndPortDependent,
            udp_path_mtu: None,
            udp_queue: 24_576,
            output_limit: 4096,
            path_policy: PathPolicy::Keep,
            congestion_control: true,
            min_rto: Duration::from_millis(200),
            loss_probe: true,
            ack_delay: None,
            tombstone: Duration::from_secs(10),
            dns_interception: false,
            resolve_timeout: RESOLVE_TIMEOUT,
            resolve_limit: 64,
            dns_names: 1024,
            time_wait: Duration::from_secs(240),
            log_level: None,
            log_mask: LogMask::ALL,
            log_addresses: false,
            metrics_interval: None,
        }
    }
}

impl Config {
    /// Settings for thousands of flows: rings of 4 KiB each way, so that 2,048 TCP flows take 20 MiB, and all flows
    /// together at most 32 MiB.
    #[must_use]
    pub fn many_flows() -> Self {
        Self {
            tcp_limit: 2048,
            udp_limit: 2048,
            byte_budget: Some(32 << 20),
            rx_buffer: Some(4096),
            tx_buffer: Some(4096),
            udp_queue: 16_384,
            ..Self::default()
        }
    }

    /// Settings for a tunnel on a phone, which is to fit 15 MB: an MTU of 4,064 bytes, 256 TCP and 256 UDP flows,
    /// which together take 9 MiB at most, rings of up to 64 KiB, and 512 frames toward the device (2 MiB).
    #[must_use]
    pub fn phone() -> Self {
        Self {
            mtu: 4064,
            tcp_limit: 256,
            udp_limit: 256,
            byte_budget: Some(9 << 20),
            rx_limit: 64 << 10,
            tx_limit: 64 << 10,
            output_limit: 512,
            ..Self::default()
        }
    }

    /// Settings for a desktop or a router, which are to fit 500 MB: 4,096 TCP and 4,096 UDP flows, rings of up to 1 MiB
    /// each way, so that one flow fills a path of some 100 ms at 80 Mbit/s, and 384 MiB for all flows together.
    #[must_use]
    pub fn desktop() -> Self {
        Self {
            tcp_limit: 4096,
            udp_limit: 4096,
            byte_budget: Some(384 << 20),
            rx_limit: 1 << 20,
            tx_limit: 1 << 20,
            output_limit: 16_384,
            ..Self::default()
        }
    }

    /// Pending dials in force.
    pub(crate) fn dial_limit(&self) -> usize {
        self.pending_dials.unwrap_or(self.tcp_limit)
    }

    /// Bytes of the receive window of a flow that has moved nothing yet.
    #[must_use]
    pub fn rx_ring(&self) -> usize {
        self.rx_buffer.unwrap_or_else(|| self.default_ring())
    }

    /// How far that opens with use.
    #[must_use]
    pub fn rx_most(&self) -> usize {
        self.rx_buffer
            .unwrap_or_else(|| self.rx_limit.max(self.default_ring()))
    }

    /// Bytes that the dialer of a flow may bring ahead that has moved nothing yet.
    #[must_use]
    pub fn tx_ring(&self) -> usize {
        self.tx_buffer.unwrap_or_else(|| self.default_ring())
    }

    /// How far that opens with use.
    #[must_use]
    pub fn tx_most(&self) -> usize {
        self.tx_buffer
            .unwrap_or_else(|| self.tx_limit.max(self.default_ring()))
    }

    fn default_ring(&self) -> usize {
        self.mtu
            .saturating_sub(40)
            .saturating_mul(4)
            .clamp(16_384, 65_535)
    }

    /// Checks what cannot be.
    ///
    /// # Errors
    /// The first setting out of its range.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.faults().into_iter().next().map_or(Ok(()), Err)
    }

    /// Every setting out of its range.
    #[must_use]
    pub fn faults(&self) -> Vec<ConfigError> {
        let mut faults = self.sizes_out_of_range();
        faults.extend(self.times_out_of_range());
        faults
    }

    fn sizes_out_of_range(&self) -> Vec<ConfigError> {
        let mut faults = Vec::new();
        let probes = usize::try_from(self.keep_alive_probes).unwrap_or(usize::MAX);
        for (setting, value, least, most, range) in [
            ("mtu", Some(self.mtu), 576, 65_535, "576 to 65,535 octets"),
            ("hop_limit", Some(self.hop_limit.into()), 1, 255, "1 to 255"),
            (
                "pending_dials",
                self.pending_dials,
                1,
                usize::MAX,
                "at least 1",
            ),
            (
                "byte_budget",
                self.byte_budget,
                room::MAPPING,
                usize::MAX,
                "at least 2,048 octets",
            ),
            ("rx_buffer", self.rx_buffer, 1, LARGEST, "1 byte to 16 MiB"),
            ("tx_buffer", self.tx_buffer, 1, LARGEST, "1 byte to 16 MiB"),
            (
                "rx_limit",
                Some(self.rx_limit),
                1,
                LARGEST,
                "1 byte to 16 MiB",
            ),
            (
                "tx_limit",
                Some(self.tx_limit),
                1,
                LARGEST,
                "1 byte to 16 MiB",
            ),
            (
                "keep_alive_probes",
                Some(probes),
                1,
                usize::MAX,
                "at least 1",
            ),
            (
                "udp_path_mtu",
                self.udp_path_mtu,
                68,
                usize::MAX,
                "at least 68 octets",
            ),
            (
                "output_limit",
                Some(self.output_limit),
                64,
                usize::MAX,
                "at least one batch of 64 frames",
            ),
            (
                "resolve_limit",
                Some(self.resolve_limit),
                1,
                usize::MAX,
                "at least 1",
            ),
        ] {
            if let Some(value) = value
                && !(least..=most).contains(&value)
            {
                faults.push(ConfigError {
                    setting,
                    value: value.to_string(),
                    range,
                });
            }
        }
        faults
    }

    fn times_out_of_range(&self) -> Vec<ConfigError> {
        let mut faults = Vec::new();
        let tick = (Duration::from_millis(1), "at least 1 ms");
        let second = (Duration::from_secs(1), "at least 1 s");
        for (setting, value, (least, range)) in [
            ("dial_timeout", Some(self.dial_timeout), tick),
            ("handshake_timeout", Some(self.handshake_timeout), tick),
            ("tcp_idle", Some(self.tcp_idle), tick),
            ("tcp_half_closed", Some(self.tcp_half_closed), tick),
            ("tcp_fin_wait", Some(self.tcp_fin_wait), tick),
            ("keep_alive", self.keep_alive, second),
            (
                "keep_alive_interval",
                Some(self.keep_alive_interval),
                second,
            ),
            (
                "retransmission_limit",
                Some(self.retransmission_limit),
                tick,
            ),
            ("udp_idle", Some(self.udp_idle), tick),
            ("dns_idle", Some(self.dns_idle), tick),
            ("resolve_timeout", Some(self.resolve_timeout), tick),
            ("metrics_interval", self.metrics_interval, tick),
            ("min_rto", Some(self.min_rto), tick),
            ("ack_delay", self.ack_delay, tick),
        ] {
            if let Some(value) = value.filter(|value| *value < least) {
                faults.push(ConfigError {
                    setting,
                    value: format!("{value:?}"),
                    range,
                });
            }
        }
        faults
    }
}

/// Whether loopback, link-local and reserved addresses are let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Martians {
    /// They are dropped with a reason.
    Drop,
    /// They are ordinary addresses: for captures of a loopback interface.
    Admit,
}

/// What a device sees of a refused admission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nothing; it retransmits its SYN and may be lucky.
    Drop,
    /// A reset at once; for UDP an ICMP error (administratively prohibited).
    Reset,
    /// An ICMP error (administratively prohibited), within its rate limit.
    Icmp,
}

/// What a device sees of a TCP dial that failed other than by a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialFailure {
    /// A reset.
    Reset,
    /// The ICMP error that a router would have sent: host unreachable (for a timeout as well), network unreachable,
    /// administratively prohibited. It quotes the SYN.
    Icmp,
}

/// Which datagrams of a device's port share a flow (RFC 4787 section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UdpMapping {
    /// One flow and one dial for each destination address and port.
    AddressAndPortDependent,
    /// One flow for all destinations of a device's address and port (REQ-1). It is dialed for the first of them,
    /// and [`Output::Datagram`](crate::Output::Datagram) says where each datagram goes.
    EndpointIndependent,
}

/// Whose datagrams a UDP flow lets in (RFC 4787 section 5). The others are counted as `udp_filtered`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UdpFiltering {
    /// Only from an address and port that the flow has sent to.
    AddressAndPortDependent,
    /// From any port of an address that the flow has sent to.
    AddressDependent,
    /// From anybody (REQ-8).
    EndpointIndependent,
}

/// What a change of path does to open flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathPolicy {
    /// Nothing; the dialer says which connections died.
    Keep,
    /// Every flow is closed, TCP with a reset, so that apps reconnect at once.
    Close,
    /// UDP flows and TCP flows that are not connected yet are closed toward the host and dialed anew, with what they
    /// hold; the device notices nothing. A TCP flow that was connected cannot go on over another connection: it is
    /// reset.
    Redial,
}

/// A setting out of its range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting} must be {range}, not {value}")]
#[non_exhaustive]
pub struct ConfigError {
    /// The field of [`Config`].
    pub setting: &'static str,
    /// What it was.
    pub value: String,
    /// What it may be, with its unit.
    pub range: &'static str,
}
