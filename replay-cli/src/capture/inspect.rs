//! What a capture holds and what is wrong with it, in one pass and in bounded memory.
//!
//! ```text
//! CaptureReader -> Packet -+-> flow table: at most 100,000 entries, the packets beyond are counted; facts of each
//!                          +-> problems: checksums, sizes, cuts, clock
//! ```
//! Nothing is put together here: fragments are counted, streams are not rebuilt. `replay try` does that.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;

use crate::capture::facts::{self, Marks, Since};
use crate::capture::recording;
use crate::capture::{
    CaptureError, CaptureInfo, CaptureReader, CapturedPacket, CustomBlock, Record,
};
use crate::packet::{self, Icmp, Packet, Transport};
use crate::scenario::{Decap, Protocol};

pub mod flow;
pub mod problems;

use flow::{Flow, FlowTable, Segment};
use problems::Problems;

/// What was seen in a capture.
#[derive(Debug)]
#[non_exhaustive]
pub struct Inspection {
    /// Format, link types, interfaces and comments.
    pub info: CaptureInfo,
    /// Records that hold a packet, whatever it is.
    pub packets: u64,
    /// The earliest and the latest packet's time, nanoseconds since the Unix epoch; none if there is no packet.
    pub span_ns: Option<(i64, i64)>,
    /// How many IP packets carry what.
    pub transports: BTreeMap<&'static str, u64>,
    /// The first comments on packets, with the number of their frame.
    pub comments: Vec<(u64, String)>,
    /// The flows, in the order of their first packets.
    pub flows: Vec<Flow>,
    /// Packets of flows for which the table had no room.
    pub beyond_table: u64,
    /// What is wrong with the packets.
    pub problems: Problems,
    /// Packets that are no IP packets, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// How many events of the dialer a flight recorder kept beside the frames, by kind; empty if no recorder wrote
    /// the file.
    pub recorded: BTreeMap<&'static str, u64>,
    /// Where the file is damaged, if it is.
    pub damage: Option<CaptureError>,
}

/// The most comments that are kept.
const MAX_COMMENTS: usize = 16;

/// The most reasons that are counted apart; a hostile file could have one for each packet.
const MAX_REASONS: usize = 64;

/// Reads a capture and describes it, without these tunnels.
///
/// # Errors
/// The file is missing or is no capture at all. Damage further on is in [`Inspection::damage`].
pub fn inspect(path: &Path, decap: Decap) -> Result<Inspection, CaptureError> {
    CaptureReader::open(path).map(|reader| read(reader.without(decap), &mut |_, _| {}))
}

/// Reads a capture, describes it, and classifies each frame of a flow.
///
/// # Errors
/// As [`inspect`].
pub fn inspect_frames(
    path: &Path,
    mut each: impl FnMut(u64, Marks),
) -> Result<Inspection, CaptureError> {
    CaptureReader::open(path).map(|reader| read(reader, &mut each))
}

/// Reads to the end, or to the damage.
pub(crate) fn read(mut reader: CaptureReader, each: &mut dyn FnMut(u64, Marks)) -> Inspection {
    let mut seen = Pass::default();
    let damage = loop {
        match reader.next_record() {
            Ok(Some(Record::Packet(packet))) => {
                if let Some(marks) = seen.packet(&packet) {
                    each(packet.number, marks);
                }
            }
            Ok(Some(Record::Custom(block))) => seen.custom(&block),
            Ok(None) => break None,
            Err(damage) => break Some(damage),
        }
    };
    let Pass {
        span_ns,
        transports,
        comments,
        flows,
        mut problems,
        skipped,
        recorded,
        last_ns: _,
    } = seen;
    let (flows, beyond_table) = flows.finish();
    problems.retransmissions = flows.iter().map(|flow| flow.facts.out_of_turn()).sum();
    let info = reader.info();
    Inspection {
        packets: info.packets,
        info,
        span_ns,
        transports,
        comments,
        flows,
        beyond_table,
        problems,
        skipped,
        recorded,
        damage,
    }
}

/// What is known so far.
#[derive(Default)]
struct Pass {
    span_ns: Option<(i64, i64)>,
    last_ns: Option<i64>,
    transports: BTreeMap<&'static str, u64>,
    comments: Vec<(u64, String)>,
    flows: FlowTable,
    problems: Problems,
    skipped: BTreeMap<String, u64>,
    recorded: BTreeMap<&'static str, u64>,
}

impl Pass {
    fn custom(&mut self, block: &CustomBlock<'_>) {
        match recording::decode(block) {
            None => {}
            Some(Ok(event)) => *self.recorded.entry(event.kind.label()).or_default() += 1,
            Some(Err(unreadable)) => count_reason(&mut self.skipped, &unreadable),
        }
    }

    fn packet(&mut self, captured: &CapturedPacket<'_>) -> Option<Marks> {
        let now = captured.time_ns;
        let (earliest, latest) = self.span_ns.unwrap_or((now, now));
        self.span_ns = Some((earliest.min(now), latest.max(now)));
        if let Some(last) = self.last_ns.replace(now) {
            self.problems.clock(last, now);
        }
        if let Some(comment) = &captured.comment
            && self.comments.len() < MAX_COMMENTS
        {
            self.comments.push((captured.number, comment.clone()));
        }
        let ip = match &captured.content {
            Ok(ip) => ip,
            Err(reason) => {
                count_reason(&mut self.skipped, reason);
                return None;
            }
        };
        self.problems.size(ip.original_len, ip.cut);
        match ip.packet() {
            Ok(packet) => {
                let frame = captured.number;
                self.ip_packet(&packet, Since { at_ns: now, frame })
            }
            Err(malformed) => {
                count_reason(&mut self.skipped, &malformed);
                None
            }
        }
    }

    fn ip_packet(&mut self, packet: &Packet<'_>, since: Since) -> Option<Marks> {
        self.problems.checksums(packet);
        let kind = match packet.transport {
            Transport::Tcp(_) => "tcp",
            Transport::Udp(_) => "udp",
            Transport::Icmp(_) => "icmp",
            Transport::Fragment => "fragment",
            Transport::Other(_) => "other",
            Transport::Cut => "cut transport header",
            Transport::Malformed(_) => "malformed transport header",
        };
        let count = self.transports.entry(kind).or_default();
        *count = count.saturating_add(1);
        match &packet.transport {
            Transport::Icmp(icmp) => {
                self.error(icmp, packet.is_v4(), since);
                return None;
            }
            Transport::Fragment => self.problems.fragment(),
            Transport::Malformed(malformed) => self.problems.malformed(malformed),
            _ => {}
        }
        let segment = segment(packet, since)?;
        Some(self.flows.packet(&segment))
    }

    /// An ICMP error is about the flow that it quotes.
    fn error(&mut self, icmp: &Icmp<'_>, v4: bool, since: Since) {
        let quoted = icmp.quoted(v4);
        let Some(Ok(quoted)) = quoted.map(|bytes| Packet::parse(bytes, bytes.len())) else {
            return;
        };
        let (Some((source, destination)), Some(protocol)) = (quoted.ends(), protocol_of(&quoted))
        else {
            return;
        };
        let quoted = Segment {
            protocol,
            source,
            destination,
            since,
            payload_len: 0,
            payload: &[],
            tcp: None,
        };
        let big = facts::is_too_big(v4, icmp.kind, icmp.code);
        self.flows.error(&quoted, icmp.kind, icmp.code, big);
    }
}

fn protocol_of(packet: &Packet<'_>) -> Option<Protocol> {
    match packet.protocol {
        packet::TCP => Some(Protocol::Tcp),
        packet::UDP => Some(Protocol::Udp),
        _ => None,
    }
}

/// A packet as one of a flow, if it is one.
fn segment<'a>(packet: &'a Packet<'_>, since: Since) -> Option<Segment<'a>> {
    let (payload, payload_len, tcp) = match &packet.transport {
        Transport::Tcp(tcp) => (tcp.payload, tcp.payload_len, Some(tcp)),
        Transport::Udp(udp) => (udp.payload, udp.payload_len, None),
        _ => return None,
    };
    let (source, destination) = packet.ends()?;
    Some(Segment {
        protocol: protocol_of(packet)?,
        source,
        destination,
        since,
        payload_len,
        payload,
        tcp,
    })
}

/// Counts a reason, or, once there are too many, that there are others.
fn count_reason(reasons: &mut BTreeMap<String, u64>, reason: &dyn Display) {
    let mut reason = reason.to_string();
    if reasons.len() >= MAX_REASONS && !reasons.contains_key(&reason) {
        reason = "other reasons".to_owned();
    }
    let count = reasons.entry(reason).or_default();
    *count = count.saturating_add(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_beyond_the_bound_share_one_entry() {
        let mut reasons = BTreeMap::new();
        for number in 0..MAX_REASONS + 5 {
            count_reason(&mut reasons, &number);
        }
        assert_eq!(
            (reasons.len(), reasons["other reasons"]),
            (MAX_REASONS + 1, 5)
        );
    }
}
