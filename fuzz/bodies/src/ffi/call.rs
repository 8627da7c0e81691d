//! The calls that an input can make, with their arguments.

use std::ffi::CString;
use std::ptr;

use arbitrary::Arbitrary;
use engine_ffi::*;
use replay::packet::Flags;

use super::host::Host;
use crate::engine::input::Frame;

#[derive(Arbitrary, Debug)]
pub(super) struct Plan {
    pub(super) config: Config,
    /// Which of the optional callbacks there are.
    pub(super) optional: u8,
    /// What callbacks answer, one after the other, over and over.
    pub(super) answers: [u8; 8],
    pub(super) calls: Vec<(Handle, bool, Call)>,
}

#[derive(Arbitrary, Debug)]
pub(super) enum Handle {
    Right,
    Null,
    Wrong(u8),
}

#[derive(Arbitrary, Debug)]
pub(super) struct Config {
    size: u8,
    mtu: u16,
    pool: u32,
    per_flow: u32,
    tcp_limit: u8,
    udp_limit: u8,
    flags: u8,
    dial_timeout_ms: u32,
}

impl Config {
    /// The MTU that the engine has, if it takes the settings.
    pub(super) fn mtu(&self) -> usize {
        if self.mtu == 0 { 1500 } else { self.mtu.into() }
    }

    pub(super) fn bridge(&self) -> BridgeConfig {
        let flag = |at: u8| u32::from(self.flags & (1 << at) != 0);
        BridgeConfig {
            size: match self.size {
                // A struct of another version's size: a shorter one loses fields.
                1 => 0,
                2 => 8,
                3 => u32::MAX,
                _ => size_of::<BridgeConfig>() as u32,
            },
            mtu: self.mtu.into(),
            packet_pool_bytes: self.pool.into(),
            per_flow_bytes: self.per_flow.into(),
            tcp_limit: (self.tcp_limit % 12).into(),
            udp_limit: (self.udp_limit % 12).into(),
            seed: 7,
            host_driven: 1,
            close_on_path_change: flag(0),
            dial_timeout_ms: self.dial_timeout_ms,
            admit_martians: flag(1),
            dns_interception: flag(2),
            reserved: flag(3),
            metrics_interval_ms: self.dial_timeout_ms,
            preset: flag(3),
        }
    }
}

/// A packet as C may describe one.
#[derive(Arbitrary, Debug)]
pub(super) enum Lent {
    Frame(Frame),
    Null(u16),
    Empty,
    Beyond,
    Endless,
}

#[derive(Arbitrary, Debug)]
pub(super) enum Call {
    Start,
    Stop,
    Free,
    /// Polls this many microseconds later.
    Poll(u32),
    PollAt(u64),
    /// Polls when the engine wants to be.
    PollDue,
    Packet(Lent),
    Packets(Vec<Lent>),
    /// The number of a flow counts back from the latest; beyond those it is a flow's number itself.
    DialResult(u8, u32),
    Data(u8, u16, bool),
    Room(u8),
    Datagram(u8, u16, u8),
    TcpClose(u8, u32),
    UdpClose(u8, u32),
    Blocked(u8),
    Writable(u8),
    Resolved {
        addresses: u8,
        family: u8,
        status: i8,
        ttl: u32,
    },
    Path,
    AddressLost(u8),
    Set(Name, Vec<u8>),
    Counters(u8),
    Deadline(u8),
    Stats(u16),
    StatusText(i32),
    Sink(u8),
    /// A connection as it should come about, from the SYN to the last acknowledgement.
    Open(u8),
}

#[derive(Arbitrary, Debug)]
pub(super) enum Name {
    Known(u8),
    Any(Vec<u8>),
}

impl Call {
    /// Whether it says the same of any handle.
    pub(super) fn needs_no_engine(&self) -> bool {
        matches!(self, Self::StatusText(_) | Self::Sink(_))
    }

    /// A handshake: packets, turns and the answer to the dial; the last turn's status.
    fn open(tuple: u8, engine: *mut BridgeEngine, host: &Host) -> i64 {
        for (flags, answer) in [(Flags::SYN, true), (Flags::ACK, false)] {
            Self::Packet(Lent::Frame(Frame::segment(tuple, flags, 0))).make(engine, host);
            Self::Poll(1).make(engine, host);
            if answer {
                Self::DialResult(0, 0).make(engine, host);
                Self::Poll(1).make(engine, host);
            }
        }
        Self::Poll(0).make(engine, host)
    }

    /// Makes the call; its status or count.
    pub(super) fn make(&self, engine: *mut BridgeEngine, host: &Host) -> i64 {
        let code = |status: BridgeStatus| status as i64;
        // SAFETY, of all blocks here: pointers are null or to live values of the length or size that is said, except
        // where a length is said that no packet has, which the header promises to refuse unread.
        match self {
            Self::Open(tuple) => Self::open(*tuple, engine, host),
            Self::Start => code(BridgeEngineStart(engine)),
            Self::Stop => code(BridgeEngineStop(engine)),
            Self::Free => code(BridgeFreeEngine(engine)),
            Self::Poll(micros) => BridgeEnginePoll(engine, host.later(u64::from(*micros))),
            Self::PollAt(at) => BridgeEnginePoll(engine, host.at(*at)),
            Self::PollDue => {
                let mut due = BridgeDeadline {
                    size: size_of::<BridgeDeadline>() as u32,
                    ..BridgeDeadline::default()
                };
                // SAFETY: as above.
                let _ = unsafe { BridgeEngineGetDeadline(engine, &raw mut due) };
                BridgeEnginePoll(engine, host.until(due.at_us))
            }
            Self::Packet(lent) => {
                let mut kept = Vec::new();
                let packets = lent.packets(host, &mut kept);
                // SAFETY: as above.
                let mut last = code(unsafe { BridgeEngineHandlePacket(engine, ptr::null(), 0) });
                for packet in packets {
                    // SAFETY: as above.
                    last = code(unsafe {
                        BridgeEngineHandlePacket(engine, packet.bytes, packet.length)
                    });
                }
                last
            }
            Self::Packets(lent) => {
                let mut kept = Vec::new();
                let packets: Vec<_> = lent
                    .iter()
                    .take(16)
                    .flat_map(|lent| lent.packets(host, &mut kept))
                    .collect();
                // SAFETY: as above.
                let taken =
                    unsafe { BridgeEngineHandlePackets(engine, packets.as_ptr(), packets.len()) };
                assert!(taken <= packets.len() as i64, "more taken than there were");
                taken
            }
            Self::DialResult(flow, result) => {
                code(BridgeEngineOnDialResult(engine, host.flow(*flow), *result))
            }
            Self::Data(flow, length, null) => {
                let bytes = vec![0x42; usize::from(*length)];
                let at = if *null { ptr::null() } else { bytes.as_ptr() };
                // SAFETY: as above.
                let taken =
                    unsafe { BridgeEngineOnTcpReceive(engine, host.flow(*flow), at, bytes.len()) };
                assert!(taken <= bytes.len() as i64, "more taken than there was");
                taken
            }
            Self::Room(flow) => BridgeEngineTcpRoom(engine, host.flow(*flow)),
            Self::Datagram(flow, length, family) => {
                let (bytes, from) = (vec![0x43; usize::from(*length)], address(*family));
                let from = if *family == 0 {
                    ptr::null()
                } else {
                    &raw const from
                };
                let flow = host.flow(*flow);
                // SAFETY: as above.
                code(unsafe {
                    BridgeEngineOnUdpReceive(engine, flow, from, bytes.as_ptr(), bytes.len())
                })
            }
            Self::TcpClose(flow, end) => {
                code(BridgeEngineOnTcpClose(engine, host.flow(*flow), *end))
            }
            Self::UdpClose(flow, end) => {
                code(BridgeEngineOnUdpClose(engine, host.flow(*flow), *end))
            }
            Self::Blocked(flow) => code(BridgeEngineOnBlocked(engine, host.flow(*flow))),
            Self::Writable(flow) => code(BridgeEngineOnWritable(engine, host.flow(*flow))),
            Self::Resolved {
                addresses,
                family,
                status,
                ttl,
            } => {
                let found = vec![address(*family); usize::from(*addresses)];
                let (query, count) = (host.query(), found.len());
                // SAFETY: as above.
                code(unsafe {
                    BridgeEngineOnResolved(
                        engine,
                        query,
                        found.as_ptr(),
                        count,
                        *ttl,
                        (*status).into(),
                    )
                })
            }
            Self::Path => code(BridgeEngineOnPathChange(engine)),
            Self::AddressLost(family) => {
                let lost = address(*family);
                // SAFETY: as above.
                code(unsafe { BridgeEngineOnAddressLost(engine, &raw const lost) })
            }
            Self::Set(name, value) => {
                let (name, value) = (CString::new(name.text()), CString::new(value.as_slice()));
                let (name, value) = (name.unwrap_or_default(), value.unwrap_or_default());
                // The MTU stays what frames are held against, and times do not run away with the input.
                if name.as_c_str() == c"mtu" {
                    return code(BridgeStatus::BadArgument);
                }
                // SAFETY: as above.
                code(unsafe { BridgeEngineSet(engine, name.as_ptr(), value.as_ptr()) })
            }
            Self::Counters(size) => {
                let size = if *size < 4 {
                    u32::from(*size)
                } else {
                    size_of::<BridgeCounters>() as u32
                };
                let mut counters = BridgeCounters {
                    size,
                    ..BridgeCounters::default()
                };
                // SAFETY: as above.
                code(unsafe { BridgeEngineGetCounters(engine, &raw mut counters) })
            }
            Self::Deadline(size) => {
                let size = if *size < 4 {
                    u32::from(*size)
                } else {
                    size_of::<BridgeDeadline>() as u32
                };
                let mut due = BridgeDeadline {
                    size,
                    ..BridgeDeadline::default()
                };
                // SAFETY: as above.
                code(unsafe { BridgeEngineGetDeadline(engine, &raw mut due) })
            }
            Self::Stats(capacity) => {
                let mut buffer = vec![0_u8; usize::from(*capacity)];
                // SAFETY: as above.
                unsafe { BridgeEngineGetStats(engine, buffer.as_mut_ptr().cast(), buffer.len()) }
            }
            Self::StatusText(status) => {
                let text = BridgeStatusText(*status);
                assert!(!text.is_null(), "a text for every status");
                0
            }
            Self::Sink(level) => {
                // SAFETY: no sink, so that there is nothing to keep alive.
                code(unsafe { BridgeSetLogSink(None, ptr::null_mut(), (*level).into()) })
            }
        }
    }
}

impl Lent {
    /// As C would hand it over; `kept` holds what is pointed to.
    fn packets(&self, host: &Host, kept: &mut Vec<Vec<u8>>) -> Vec<BridgePacket> {
        let mut lend = |bytes: Vec<u8>, length: Option<usize>| {
            let packet = BridgePacket {
                bytes: bytes.as_ptr(),
                length: length.unwrap_or(bytes.len()),
            };
            // The heap of a vector stays where it is when the vector moves.
            kept.push(bytes);
            packet
        };
        match self {
            Self::Frame(frame) => {
                let frames = host.speak(frame);
                frames.into_iter().map(|frame| lend(frame, None)).collect()
            }
            Self::Null(length) => vec![BridgePacket {
                bytes: ptr::null(),
                length: (*length).into(),
            }],
            Self::Empty => vec![lend(vec![0x45], Some(0))],
            Self::Beyond => vec![lend(vec![0x45; 65_536], None)],
            Self::Endless => vec![lend(vec![0x45; 20], Some(usize::MAX))],
        }
    }
}

impl Name {
    fn text(&self) -> Vec<u8> {
        const KNOWN: [&str; 12] = [
            "tcp_idle",
            "udp_mapping",
            "udp_filtering",
            "keep_alive",
            "byte_budget",
            "dial_failure",
            "path_policy",
            "pending_dials",
            "rx_buffer",
            "output_limit",
            "inbox_bytes",
            "linger",
        ];
        match self {
            Self::Known(at) => {
                let name = KNOWN.get(usize::from(*at) % KNOWN.len());
                name.copied().unwrap_or_default().as_bytes().to_vec()
            }
            Self::Any(name) => name.clone(),
        }
    }
}

fn address(family: u8) -> BridgeAddress {
    BridgeAddress {
        family,
        reserved: 0,
        port: 53,
        octets: [family; 16],
    }
}
