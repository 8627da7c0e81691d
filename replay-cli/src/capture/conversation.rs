//! What a capture holds: which hosts exchanged packets, each side's stream, and in what order one caused the other.
//!
//! ```text
//! packets -> fragments put together -> demux by tuple -> per flow: device frames with their gates,
//!                                                       far side's stream with the events that built it
//! ```
//! Nothing is guessed and nothing lost silently: every packet either belongs to a flow or is counted as skipped
//! with its reason; every flow either can be replayed or has a reason why not.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

use crate::base::index::Index;
use crate::capture::facts::Facts;
use crate::capture::{CaptureError, CaptureReader, Kept, Record, Shared, UNPACKED};
use crate::scenario::flow::flow_spec;
use crate::scenario::{Decap, Device, DialResult, FlowSpec, Protocol};

mod adopt;
mod assembly;
mod cut;
mod demux;
mod echo;
mod facts;
pub(crate) mod fragments;
mod links;
mod placing;
mod raw;
mod recorded;
mod store;
mod tcp;
mod timeline;
mod udp;
mod window;

pub use adopt::Adopt;
pub(crate) use demux::{MTU_BOUND, Placed, no_flow};
pub use echo::{Echo, EchoRequest};
pub(crate) use fragments::Fragments;
pub(crate) use placing::{PlacedFlow, Placing};
pub use raw::Part;
pub use recorded::Recording;
pub(crate) use store::ByteReader;
pub use store::{CaptureBytes, Span, Stream};
pub use tcp::{Backpressure, MadeUp, STALL_US, Stall};
pub use tcp::{DeviceSegment, FarEvent, FarEventKind, TcpConversation};
pub use udp::{DeviceDatagram, FarDatagram, UdpConversation};

/// A capture, taken apart.
///
/// ```
/// use replay::capture::conversation::{Conversations, ReadOptions};
///
/// let capture = Conversations::read("../captures/http/get.pcapng".as_ref(), &ReadOptions::default())?;
/// let flow = &capture.flows[0];
/// assert_eq!((flow.packets, flow.tcp().is_some()), (14, true));
/// # Ok::<(), replay::capture::CaptureError>(())
/// ```
#[derive(Debug)]
pub struct Conversations {
    /// Where its bytes are.
    pub bytes: CaptureBytes,
    /// IP packets that may be replayed, fragments and what they make included.
    pub usable: u64,
    /// The largest of them that a device may have sent, bytes.
    pub largest: usize,
    /// How many are larger: segmentation offload.
    pub oversize: u64,
    /// The flows, in the order of their first packet.
    pub flows: Vec<Conversation>,
    /// Echo requests, by who asked whom, in the order of their first packet.
    pub echoes: Vec<Echo>,
    /// Those flows that can be replayed, by tuple and occurrence.
    by_spec: Index,
    /// The least MTU of the way that an ICMP error reported to a client.
    pub path_mtu: Option<u32>,
    /// What was made of the times in which far sides took no more.
    pub backpressure: Backpressure,
    /// Records read, whatever they held.
    pub packets_read: u64,
    /// Packets that belong to no flow, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// What was found worth telling about the capture as a whole.
    pub notes: Vec<String>,
    /// Where the file is damaged, if it is: what stood before it is here.
    pub damage: Option<CaptureError>,
    /// The first packet's time, nanoseconds since the epoch.
    pub start_ns: i64,
    /// The earliest time of any frame, whatever it holds, likewise: what people count from.
    pub first_frame_ns: i64,
    /// The time between the earliest and the latest packet, microseconds.
    pub duration_us: u64,
    /// Format, link types: one line.
    pub format: String,
    /// Whether the capture looks like one made at a tunnel: its packets have no link header, or its interface a tunnel's name.
    pub at_tunnel: bool,
    /// What a flight recorder kept beside the frames; none if no recorder wrote the file.
    pub recording: Option<Recording>,
}

/// One flow of a capture.
#[derive(Debug)]
pub struct Conversation {
    /// Its tuple, with the number of the dial request it will make among those that can be replayed.
    pub spec: FlowSpec,
    /// The capture number of its first packet.
    pub first_packet: u64,
    /// Packets of both sides.
    pub packets: u64,
    /// When its first packet came, microseconds after the capture's first.
    pub start_us: u64,
    /// When its last packet came, likewise.
    pub end_us: u64,
    /// Why it cannot be replayed.
    pub unreplayable: Option<String>,
    /// What was found worth telling about it.
    pub notes: Vec<String>,
    /// The flow and datagram of the DNS answer that opened it: it starts after that was delivered.
    pub after_dns: Option<(usize, usize)>,
    /// What an expert reads out of its packets, and what its server is called.
    pub facts: Facts,
    /// The streams or datagrams of both sides.
    pub talk: Talk,
}

/// The protocol's part of a flow.
#[derive(Debug)]
pub enum Talk {
    /// A TCP connection.
    Tcp(Box<TcpConversation>),
    /// A UDP conversation.
    Udp(Box<UdpConversation>),
}

/// How a capture is to be read.
#[derive(Clone, Debug, Default)]
pub struct ReadOptions {
    /// Whose openers are the device.
    pub device: Device,
    /// The longest silence a TCP flow is allowed before it is cut, microseconds.
    pub tcp_idle_us: Option<u64>,
    /// The same for UDP.
    pub udp_idle_us: Option<u64>,
    /// The same for UDP to port 53.
    pub dns_idle_us: Option<u64>,
    /// Which TCP flows without their beginning are given one.
    pub adopt: Adopt,
    /// Whether dialers take all at once though a far side did not.
    pub ignore_stalls: bool,
    /// Whether wrong checksums are to be known.
    pub checksums: bool,
    /// The tunnels that are taken off its packets.
    pub decap: Decap,
    /// The most bytes of what a packed file or a pipe holds. `None`: 512 MiB.
    pub max_unpacked: Option<u64>,
}

/// Flows of a capture that are kept apart, at the most.
const FLOWS: usize = 2_000_000;

impl Conversations {
    /// Reads a capture file.
    ///
    /// # Errors
    /// The file is missing, unreadable, no capture, or changes while it is read. Damage further on is no error: see [`Conversations::damage`].
    pub fn read(path: &Path, options: &ReadOptions) -> Result<Self, CaptureError> {
        Self::read_up_to(FLOWS, path, options)
    }

    fn read_up_to(flows: usize, path: &Path, options: &ReadOptions) -> Result<Self, CaptureError> {
        let opened = CaptureReader::open_kept(path, options.max_unpacked.unwrap_or(UNPACKED))?;
        Self::read_all(flows, &path.display().to_string(), opened, options)
    }

    /// Reads a capture, not compressed, that is held.
    ///
    /// # Errors
    /// As [`Conversations::read`], except for what only a path can be.
    pub(crate) fn of_held(
        name: &str,
        bytes: Shared,
        options: &ReadOptions,
    ) -> Result<Self, CaptureError> {
        Self::read_all(FLOWS, name, CaptureReader::of_held(name, bytes)?, options)
    }

    fn read_all(
        flows: usize,
        name: &str,
        (reader, mut kept): (CaptureReader, Kept),
        options: &ReadOptions,
    ) -> Result<Self, CaptureError> {
        let mut reader = reader.without(options.decap);
        let mut demux = demux::Demux::new(options.clone());
        let damage = loop {
            match reader.next_record() {
                Ok(Some(Record::Packet(packet))) => demux.packet(&packet),
                Ok(Some(Record::Custom(block))) => demux.custom(&block),
                Ok(None) => break None,
                Err(limit @ CaptureError::TooLarge { .. }) => return Err(limit),
                Err(damage) => break Some(damage),
            }
            if demux.flows() > flows {
                return Err(CaptureError::TooManyFlows {
                    path: name.into(),
                    limit: flows,
                });
            }
        };
        let info = reader.info();
        drop(reader);
        kept.settle();
        let mut conversations = demux.finish(kept)?;
        conversations.damage = damage;
        conversations.notes.extend(info.tunnel_note());
        conversations.at_tunnel = info.is_of_a_tunnel();
        conversations.format = info.format;
        Ok(conversations)
    }

    /// When something of this time happened, microseconds after the capture's first packet.
    pub(crate) fn offset_us(&self, time_ns: i64) -> u64 {
        let after = i128::from(time_ns) - i128::from(self.start_ns);
        u64::try_from(after.max(0) / 1000).unwrap_or(u64::MAX)
    }

    /// The replayable flow of this tuple and occurrence.
    #[must_use]
    pub fn find(&self, spec: &FlowSpec) -> Option<usize> {
        let of = |index: usize| self.flows.get(index).map(|flow| flow.spec);
        self.by_spec.find(spec, of)
    }

    /// The flow that a dial replays: of UDP every dial of a tuple is the one flow that it has.
    pub(crate) fn of_dial(&self, key: &engine::FlowKey, occurrence: u32) -> Option<usize> {
        let spec = flow_spec(key, occurrence);
        match spec.protocol {
            Protocol::Udp => self.find(&FlowSpec {
                occurrence: 1,
                ..spec
            }),
            _ => self.find(&spec),
        }
    }

    /// How many flows of `protocol` are open at once, at the most; `lingers_us` is how long one stays behind its last
    /// packet, microseconds.
    #[must_use]
    pub fn peak(&self, protocol: Protocol, lingers_us: impl Fn(&Conversation) -> u64) -> usize {
        let mut edges: Vec<(u64, i32)> = Vec::new();
        for flow in self
            .flows
            .iter()
            .filter(|flow| flow.spec.protocol == protocol && flow.unreplayable.is_none())
        {
            edges.push((flow.start_us, 1));
            edges.push((flow.end_us.saturating_add(lingers_us(flow)), -1));
        }
        edges.sort_unstable_by_key(|(at, step)| (*at, -step));
        let mut open = 0;
        edges
            .iter()
            .fold(0, |peak: i32, (_, step)| {
                open += step;
                peak.max(open)
            })
            .try_into()
            .unwrap_or(0)
    }
}

impl Conversation {
    /// The stream of the far side (TCP), or its datagrams back to back (UDP).
    #[must_use]
    pub fn far_bytes(&self) -> &Stream {
        match &self.talk {
            Talk::Tcp(tcp) => &tcp.far_stream,
            Talk::Udp(udp) => &udp.far_bytes,
        }
    }

    /// The stream of the device, likewise.
    #[must_use]
    pub fn device_bytes(&self) -> &Stream {
        match &self.talk {
            Talk::Tcp(tcp) => &tcp.device_stream,
            Talk::Udp(udp) => &udp.device_bytes,
        }
    }

    /// What its dial came to, and how long that took, microseconds.
    #[must_use]
    pub fn dial(&self) -> (DialResult, u64) {
        match &self.talk {
            Talk::Tcp(tcp) => (tcp.dial, tcp.dial_us),
            Talk::Udp(udp) => udp.dial,
        }
    }

    /// Bytes of both streams that are not in the capture and stand as zeros.
    #[must_use]
    pub fn invented(&self) -> u64 {
        match &self.talk {
            Talk::Tcp(tcp) => tcp.invented,
            Talk::Udp(udp) => udp.cut,
        }
    }

    /// The TCP part, if it is TCP.
    #[must_use]
    pub fn tcp(&self) -> Option<&TcpConversation> {
        match &self.talk {
            Talk::Tcp(tcp) => Some(tcp),
            Talk::Udp(_) => None,
        }
    }
}

/// A tuple without direction: the lower end first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Pair {
    protocol: Protocol,
    low: SocketAddr,
    high: SocketAddr,
}

impl Pair {
    pub(crate) fn of(protocol: Protocol, a: SocketAddr, b: SocketAddr) -> Self {
        if a <= b {
            Self {
                protocol,
                low: a,
                high: b,
            }
        } else {
            Self {
                protocol,
                low: b,
                high: a,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    #[test]
    fn a_capture_with_more_flows_than_the_limit_is_refused_by_name() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../captures/http");
        let path = folder.join("parallel_connections.pcapng");
        let read = |flows| Conversations::read_up_to(flows, &path, &ReadOptions::default());
        let flows = read(FLOWS).unwrap().flows.len();
        assert_eq!(read(flows).unwrap().flows.len(), flows);
        let error = read(flows - 1).unwrap_err();
        let what = format!("has more than {} flows, the limit", flows - 1);
        assert!(error.to_string().contains(&what), "{error}");
    }

    #[test]
    fn what_a_gzip_holds_beyond_the_limit_is_refused_by_name() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../captures/http");
        let capture = std::fs::read(folder.join("parallel_connections.pcapng")).unwrap();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(&capture).unwrap();
        file.write_all(&gzip.finish().unwrap()).unwrap();
        let read = |limit| {
            let options = ReadOptions {
                max_unpacked: limit,
                ..ReadOptions::default()
            };
            Conversations::read(file.path(), &options)
        };
        let size = capture.len() as u64;
        assert!(read(Some(size)).unwrap().damage.is_none());
        assert!(read(None).unwrap().damage.is_none());
        let error = read(Some(size - 1)).unwrap_err();
        assert!(matches!(error, CaptureError::TooLarge { limit, .. } if limit == size - 1));
        assert!(error.to_string().contains("--max-unpacked"), "{error}");
    }
}
