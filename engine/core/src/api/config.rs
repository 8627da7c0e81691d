//! Settings: every limit and timer, with unit, default and the reason for it.

use core::time::Duration;

use crate::api::log::{LogLevel, LogMask};
use crate::dns::RESOLVE_TIMEOUT;
use crate::flow::room;
use crate::tcp::ring::LARGEST;

mod table;

pub use table::{ConfigError, Setting, Unit};
use table::{Value, settings};

const MILLISECOND: u64 = 1_000;
const SECOND: u64 = 1_000_000;

settings! {
    /// What the engine may use and how long it waits.
    ///
    /// Limits of time are at least 1 ms where nothing else is said: no limit at all is [`Duration::MAX`]. What
    /// [`Config::check`] refuses it names, with the range that is right.
    ///
    /// **Memory.** Flows take at most `tcp_limit * (rx_limit + tx_limit + 2 KiB) + udp_limit * (udp_queue + 2 KiB)`
    /// bytes, or [`Config::byte_budget`] if that is less: 33 MiB for TCP and 4 MiB for UDP at the default settings, if every
    /// flow has all its rings full. An empty ring takes nothing: an idle flow has about 1 KiB. Frames that wait for the device take `output_limit * mtu` beyond
    /// that, if the host does not fetch them; fragments up to 1 MiB.
    ///
    /// ```
    /// use engine::Config;
    ///
    /// let config = Config { mtu: 1280, tcp_limit: 64, ..Config::phone() };
    /// assert_eq!(config.check(), Ok(()));
    /// let error = Config { mtu: 100, ..config }.check().expect_err("too small");
    /// assert_eq!(error.to_string(), "mtu must be 576 to 65,535, not 100");
    /// ```
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Config {
        /// Largest IP packet toward the device, bytes; 576 to 65,535.
        mtu: usize, Count (576..=65_535) = 1500;
        /// TTL and hop limit of every packet toward the device; 1 to 255 (RFC 9293 section 3.9.2, MUST-49).
        hop_limit: u8, Count (1..=255) = 64;
        /// The only source of randomness: initial sequence numbers (RFC 6528) and the demux hash. `None`: `engine-driver` draws
        /// it from the system at every start. The engine has nothing to draw it from, and `Engine::new` refuses `None`, so that
        /// no host has predictable numbers unknowingly. Tests fix it; scenarios without one have 1.
        seed: Option<u64>, Count (..) = None;
        /// Whether addresses that no device can mean are let in (loopback, IPv6 link-local and reserved ones).
        martians: Martians, Word (..) = Martians::Drop;

        /// Whether the checksum of a TCP segment or UDP datagram of the device may be that of its pseudo header alone, as a
        /// kernel leaves it to a network card: for devices with checksum offload, whose packets cross no wire.
        partial_checksums: bool, Switch (..) = false;

        /// Most TCP flows at a time, pending dials included; 0 admits none.
        tcp_limit: usize, Count (..) = 128;
        /// Most UDP flows at a time; 0 admits none.
        udp_limit: usize, Count (..) = 128;
        /// Most TCP dials pending at a time; at least 1. `None`: as `tcp_limit`.
        pending_dials: Option<usize>, Count (1..) = None;
        /// Most bytes that all flows may be charged for. A TCP flow costs 1 KiB while its dial is pending, and 2 KiB
        /// and what its rings may hold from then on, which grows as they open; a UDP flow 2 KiB and the datagrams it holds, each with 64 bytes. A dial that
        /// connects when nothing is left is closed again, with a reset. At least 2 KiB. `None`: what the limits allow.
        byte_budget: Option<usize>, Bytes (room::MAPPING as u64..) = None;
        /// How long a TCP flow may go without being established before a new one may take its place, if there is no
        /// other room; with 0 at once. This is what keeps a flood of SYNs from shutting others out. Default 3 s: two of its
        /// SYNs.
        admission_grace: Duration, Time (..) = Duration::from_secs(3);
        /// What a device sees when no flow can be admitted. Default `Drop`: it tries again.
        admission_refusal: Refusal, Word (..) = Refusal::Drop;

        /// Bytes that the device may send ahead of the dialer: the receive window of a TCP flow, 1 byte to 16 MiB. `None`: it
        /// opens with use, from 16 KiB or four segments, what is more, up to [`Config::rx_limit`]. A bound is no cost: a ring
        /// has memory for what it holds, and none while it is empty.
        rx_buffer: Option<usize>, Bytes (1..=LARGEST as u64) = None;
        /// Bytes that the dialer may bring ahead of the device, those that it has not acknowledged included; 1 byte to
        /// 16 MiB. `None`: it opens with use, up to [`Config::tx_limit`].
        tx_buffer: Option<usize>, Bytes (1..=LARGEST as u64) = None;
        /// How far the receive window opens that has no fixed size, bytes. It opens only while [`Config::byte_budget`] has
        /// room. Default 128 KiB.
        rx_limit: usize, Bytes (1..=LARGEST as u64) = 128 << 10;
        /// The same for what the dialer may bring. Default 128 KiB.
        tx_limit: usize, Bytes (1..=LARGEST as u64) = 128 << 10;
        /// Whether a short segment waits while another is unacknowledged (Nagle, RFC 9293 SHLD-7). Default no (MUST-17):
        /// the far side's own TCP has shaped the stream, and no link to the device needs sparing.
        nagle: bool, Switch (..) = false;
        /// Whether a congestion window limits what is in flight toward the device (RFC 5681, RFC 6928). It opens within
        /// a few round trips, and shuts only if frames are lost.
        congestion_control: bool, Switch (..) = true;
        /// The least time without an acknowledgement after which data is sent again (RFC 6298 section 2.4). What the round
        /// trip and its variation ask for counts if it is more. Default 200 ms, as kernels have it; 5 ms suits a device on
        /// the same host.
        min_rto: Duration, Time (MILLISECOND..) = Duration::from_millis(200);
        /// Whether the end of a flight is probed for after two round trips, before the timeout (RFC 8985 section 7).
        loss_probe: bool, Switch (..) = true;
        /// Whether timestamps (RFC 7323) are agreed on with a device that offers them: a round trip out of every
        /// acknowledgement, and segments of another time round recognized by their age. They take 12 bytes of each segment. Default
        /// no: no window and no path to a device is so large that numbers come round within a segment's lifetime.
        timestamps: bool, Switch (..) = false;
        /// How long an acknowledgement may wait for something to leave with it, at most 500 ms (RFC 9293 section 3.8.6.3).
        /// It does not wait for more than the second segment, nor beside a hole. `None`: it leaves in the same turn. Default
        /// `None`.
        ack_delay: Option<Duration>, Time (MILLISECOND..) = None;
        /// How long bytes may stay unacknowledged before the flow is given up (RFC 9293 section 3.8.3: R2 of at
        /// least 100 s).
        retransmission_limit: Duration, Time (MILLISECOND..) = Duration::from_secs(120);
        /// After how much silence of the device it is probed (RFC 9293 section 3.8.4: off unless asked for, not below
        /// 2 h by default); at least 1 s. An answer counts as activity. `None`: never.
        keep_alive: Option<Duration>, Time (SECOND..) = None;
        /// How long after a probe the next one goes; at least 1 s. Default 75 s, as on BSD and Linux.
        keep_alive_interval: Duration, Time (SECOND..) = Duration::from_secs(75);
        /// Probes in a row without an answer after which the flow is given up; at least 1. Default 9, as on Linux.
        keep_alive_probes: u32, Count (1..) = 9;

        /// How long a dial may take before it counts as timed out. Default 75 s, as long as BSD's connect.
        dial_timeout: Duration, Time (MILLISECOND..) = Duration::from_secs(75);
        /// What a device sees of a TCP dial that failed other than by a refusal, which is a reset always. Default `Reset`:
        /// an app learns it at once, while many stacks take an ICMP error for a passing trouble. The ICMP error needs room
        /// within its rate limit, or a reset stands in.
        dial_failure: DialFailure, Word (..) = DialFailure::Reset;
        /// How long the device may take to complete a handshake. Default 4 min (RFC 5382 REQ-5: transitory).
        handshake_timeout: Duration, Time (MILLISECOND..) = Duration::from_secs(240);
        /// Idle limit of an established TCP flow. Default 2 h 4 min (RFC 5382 REQ-5).
        tcp_idle: Duration, Time (MILLISECOND..) = Duration::from_secs(7440);
        /// Idle limit of a TCP flow with one side closed. Default 4 min (RFC 5382 REQ-5: transitory).
        tcp_half_closed: Duration, Time (MILLISECOND..) = Duration::from_secs(240);
        /// Idle limit of a TCP flow whose far side has ended, and whose device has acknowledged that but not closed
        /// (FIN-WAIT-2). Default 4 min (RFC 5382 REQ-5: transitory).
        tcp_fin_wait: Duration, Time (MILLISECOND..) = Duration::from_secs(240);
        /// How long a flow that the remote reset may take to deliver what came before; with 0 what is not delivered at once is
        /// lost.
        linger: Duration, Time (..) = Duration::from_secs(10);
        /// How long a tuple that the device closed first is remembered, to answer late segments; with 0 they meet with resets.
        tombstone: Duration, Time (..) = Duration::from_secs(10);
        /// How long a tuple that the remote closed first is remembered: twice the maximum segment lifetime of RFC 9293
        /// section 3.4.2. No buffer is held for it, and a new SYN ends it. With 0 it is forgotten at once.
        time_wait: Duration, Time (..) = Duration::from_secs(240);

        /// Idle limit of a UDP flow (RFC 4787 REQ-5: at least 2 min, 5 min advised).
        udp_idle: Duration, Time (MILLISECOND..) = Duration::from_secs(300);
        /// Idle limit of a UDP flow to port 53 (RFC 4787 REQ-5 allows less for well-known ports).
        dns_idle: Duration, Time (MILLISECOND..) = Duration::from_secs(30);
        /// Which datagrams of a device's port share a flow and its dial (RFC 4787 section 4.1). Default: one flow for
        /// each destination, because a dialer's connected sockets have one.
        udp_mapping: UdpMapping, Word (..) = UdpMapping::AddressAndPortDependent;
        /// Whose datagrams a flow lets in (RFC 4787 section 5). Default: only those it has sent to.
        udp_filtering: UdpFiltering, Word (..) = UdpFiltering::AddressAndPortDependent;
        /// Largest IP packet that the path beyond the dialer takes, bytes. A longer UDP datagram that must not be
        /// split (IPv4 with DF, all of IPv6) is answered with fragmentation needed or packet too big, so that path
        /// MTU discovery of apps (RFC 8899) works through the engine. At least 68 (RFC 791). `None`: no limit is known.
        udp_path_mtu: Option<usize>, Count (68..) = None;
        /// Bytes that a UDP flow may keep while its dial is pending or its remote blocked; one datagram is always kept, with
        /// 0 no other. Default 24 KiB: a first flight of QUIC, and no more than 3 MiB for 128 flows.
        udp_queue: usize, Bytes (..) = 24_576;

        /// Whether queries to port 53 are answered by the host's [`Engine::resolved`](crate::Engine::resolved) instead of being
        /// dialed. Default no. Other ports, those of DNS over TLS and HTTPS among them, are never touched.
        dns_interception: bool, Switch (..) = false;
        /// How long the host may take to resolve a name before the device gets SERVFAIL. Default 4 s, below the 5 s after
        /// which stubs ask again.
        resolve_timeout: Duration, Time (MILLISECOND..) = RESOLVE_TIMEOUT;
        /// Intercepted queries that may wait for the host, at least 1; one more gets SERVFAIL at once.
        resolve_limit: usize, Count (1..) = 64;
        /// Addresses whose names are remembered, so that a dial carries one; what expires first makes room. 0 keeps none.
        /// Default 1,024, some 150 KiB.
        dns_names: usize, Count (..) = 1024;

        /// Frames that may wait for the device before datagrams from remotes are dropped; at least 64.
        output_limit: usize, Count (64..) = 4096;
        /// What a change of path does to open flows.
        path_policy: PathPolicy, Word (..) = PathPolicy::Keep;

        /// Whether lines show addresses and names in clear instead of keyed hashes.
        log_addresses: bool, Switch (..) = false;
        /// How often the counters are written to the log, at level info. They ride on the first drain after the interval:
        /// an idle engine is not woken for them. At least 1 ms; `None`: never.
        metrics_interval: Option<Duration>, Time (MILLISECOND..) = None;

        rust only:
        /// The least weight of lines that come as [`Output::Log`](crate::Output::Log); `None`: no lines.
        log_level: Option<LogLevel> = None;
        /// What lines may be about. Default: everything.
        log_mask: LogMask = LogMask::ALL;
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
    /// which together take 11 MiB at most, rings of up to 64 KiB, and 512 frames toward the device (2 MiB).
    #[must_use]
    pub fn phone() -> Self {
        Self {
            mtu: 4064,
            tcp_limit: 256,
            udp_limit: 256,
            byte_budget: Some(11 << 20),
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

    /// The seed that a host has drawn.
    pub(crate) fn drawn_seed(&self) -> Result<u64, ConfigError> {
        self.seed.ok_or_else(|| ConfigError {
            setting: "seed",
            value: "none".to_owned(),
            range: "drawn anew at every start".to_owned(),
        })
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
