//! A part of a capture as a capture of its own: some flows, some time, some bytes of each stream.
//!
//! ```text
//! first pass:  flows, their names, which DNS messages named them        second pass:  blocks that stay, as they stand
//! ```
//! Blocks are copied byte for byte, packets always whole. Memory grows with flows and with fragments, not with packets.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::net::IpAddr;
use std::path::Path;

use crate::base::output::Written;
use crate::capture::blocks::RawBlock;
use crate::capture::conversation::{Placed, PlacedFlow, Placing};
use crate::capture::{CaptureError, CaptureReader, CapturedPacket, Record, recording};
use crate::packet::{Flags, Seq, Transport};
use crate::scenario::Protocol;

mod names;

use names::{Named, Names};

/// What is to stay of a capture. A condition that is left out holds for all.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Flows by their number, from 1, as `replay try` lists them.
    pub flows: BTreeSet<usize>,
    /// Flows with one of these addresses at either end.
    pub addresses: Vec<IpAddr>,
    /// Flows with one of these ports at either end.
    pub ports: Vec<u16>,
    /// Flows to a server of one of these names, or of a name below one.
    pub names: Vec<String>,
    /// Packets not before so many nanoseconds after the first.
    pub from_ns: Option<u64>,
    /// Packets before so many nanoseconds after the first.
    pub to_ns: Option<u64>,
    /// Packets of one direction.
    pub direction: Option<Way>,
    /// So many bytes of each stream of TCP; a segment stays whole.
    pub bytes: Option<u64>,
}

/// Which way packets of a flow go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Way {
    /// From whoever opened the flow.
    Up,
    /// To whoever opened the flow.
    Down,
}

/// What became of a capture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CutReport {
    /// Packets read, and bytes of the (unpacked) file as it would be written.
    pub read: (u64, u64),
    /// Packets kept, and bytes written.
    pub kept: (u64, u64),
    /// Flows there are, and flows that were chosen.
    pub flows: (usize, usize),
    /// DNS messages kept because they name a server of a flow that was chosen.
    pub dns: u64,
    /// Packets left out, by reason.
    pub left_out: BTreeMap<&'static str, u64>,
    /// What the cut does to a replay: one line each.
    pub notes: Vec<String>,
}

/// What the first pass found.
struct Plan {
    flows: Vec<PlacedFlow>,
    /// The flow of each fragment, by its number.
    fragments: BTreeMap<u64, usize>,
    /// Which flows stay, by index.
    chosen: Vec<bool>,
    /// Packets that stay although their flow does not.
    dns: BTreeSet<u64>,
    first_ns: i64,
}

impl Selection {
    /// Whether flows are chosen at all.
    fn chooses_flows(&self) -> bool {
        !(self.flows.is_empty()
            && self.addresses.is_empty()
            && self.ports.is_empty()
            && self.names.is_empty())
    }

    /// Whether a flow is one of those meant: it meets every condition written, by one of its values.
    fn takes(&self, flow: &PlacedFlow, index: usize, names: &Names) -> bool {
        let ends = [flow.client, flow.server];
        let any = |empty: bool, met: bool| empty || met;
        any(self.flows.is_empty(), self.flows.contains(&flow.number))
            && any(
                self.addresses.is_empty(),
                ends.iter().any(|end| self.addresses.contains(&end.ip())),
            )
            && any(
                self.ports.is_empty(),
                ends.iter().any(|end| self.ports.contains(&end.port())),
            )
            && any(
                self.names.is_empty(),
                names
                    .of(index, flow.server.ip())
                    .any(|name| self.names.iter().any(|wanted| is_below(name, wanted))),
            )
    }
}

/// Whether a name is another, or below it.
fn is_below(name: &str, wanted: &str) -> bool {
    let wanted = wanted.trim_end_matches('.').to_ascii_lowercase();
    let name = name.trim_end_matches('.');
    name == wanted
        || name
            .strip_suffix(&wanted)
            .is_some_and(|before| before.ends_with('.'))
}

/// Writes what is to stay of a capture.
///
/// # Errors
/// The capture cannot be read or is damaged, changes between the passes, or the output cannot be written.
pub fn cut(path: &Path, selection: &Selection, out: &mut dyn Write) -> Result<CutReport, Written> {
    let open = || CaptureReader::open(path);
    cut_of(&open, selection, out)
}

fn cut_of(
    open: &dyn Fn() -> Result<CaptureReader, CaptureError>,
    selection: &Selection,
    out: &mut dyn Write,
) -> Result<CutReport, Written> {
    let source = |error: CaptureError| Written::Source(error.into());
    let plan = plan(open().map_err(source)?, selection).map_err(source)?;
    let mut report = CutReport {
        flows: (
            plan.flows.iter().filter(|flow| flow.number > 0).count(),
            plan.chosen.iter().filter(|chosen| **chosen).count(),
        ),
        ..CutReport::default()
    };
    let mut placing = Placing::new();
    let mut ends = Ends::new();
    let mut reader = open().map_err(source)?;
    while let Some(block) = reader.next_block().map_err(source)? {
        let size = block.body.len() as u64 + 12;
        report.read.1 += size;
        let stays = match &block.record {
            Some(Record::Packet(packet)) => {
                report.read.0 += 1;
                let placed = placing.packet(packet);
                match plan.keeps(selection, packet, placed, &mut ends) {
                    Ok(named) => {
                        report.kept.0 += 1;
                        report.dns += u64::from(named);
                        true
                    }
                    Err(reason) => {
                        *report.left_out.entry(reason).or_default() += 1;
                        false
                    }
                }
            }
            Some(Record::Custom(custom)) => {
                let placed = placing.custom(custom);
                match recording::decode(custom) {
                    Some(Ok(event)) if event.flow.is_some() => {
                        placed.is_some_and(|placed| plan.has_chosen(placed.flow))
                            && plan.is_in_time(selection, event.time_ns)
                    }
                    _ => true,
                }
            }
            None => keeps_its_content(&block),
        };
        if stays {
            block.write(out)?;
            report.kept.1 += size;
        }
    }
    notes(selection, &mut report);
    Ok(report)
}

/// Whether the content of a block holds for the part too: names of hosts that may not be in it, and keys, do not stay.
fn keeps_its_content(block: &RawBlock<'_>) -> bool {
    let is_of_the_whole = matches!(
        block.kind,
        NAME_RESOLUTION | DECRYPTION_SECRETS | STATISTICS
    );
    !is_of_the_whole && (!block.body.is_empty() || !block.is_of_a_packet())
}

const NAME_RESOLUTION: u32 = 4;
const STATISTICS: u32 = 5;
const DECRYPTION_SECRETS: u32 = 10;

fn notes(selection: &Selection, report: &mut CutReport) {
    if selection.direction.is_some() {
        report.notes.push(
            "one direction alone: what the other acknowledged stands as zeros in a replay".into(),
        );
    }
    if selection.from_ns.is_some() {
        report.notes.push(
            "flows that began before the span have no handshake in the file; they keep it if it is theirs"
                .into(),
        );
    }
}

fn plan(mut reader: CaptureReader, selection: &Selection) -> Result<Plan, CaptureError> {
    let mut placing = Placing::new();
    let mut fragments = BTreeMap::new();
    let mut names = Names::default();
    let mut first_ns = None;
    while let Some(record) = reader.next_record()? {
        match record {
            Record::Packet(packet) => {
                first_ns.get_or_insert(packet.time_ns);
                if let Some(Placed { flow, parts }) = placing.packet(&packet) {
                    let numbers = parts.into_iter().map(u64::from);
                    fragments.extend(numbers.map(|number| (number, flow)));
                    names.packet(&packet, flow, placing.ends(flow));
                }
            }
            Record::Custom(block) => drop(placing.custom(&block)),
        }
    }
    let flows = placing.flows();
    let all = !selection.chooses_flows();
    let chosen: Vec<bool> = flows
        .iter()
        .enumerate()
        .map(|(index, flow)| all || (flow.number > 0 && selection.takes(flow, index, &names)))
        .collect();
    let mut dns = BTreeSet::new();
    for (index, flow) in flows.iter().enumerate() {
        if chosen.get(index) == Some(&true)
            && let Some(Named { query, answer }) = names.before(flow.server.ip(), index)
        {
            dns.extend(query.into_iter().chain([answer]));
        }
    }
    Ok(Plan {
        flows,
        fragments,
        chosen,
        dns,
        first_ns: first_ns.unwrap_or(0),
    })
}

impl Plan {
    fn has_chosen(&self, flow: usize) -> bool {
        self.chosen.get(flow) == Some(&true)
    }

    fn is_in_time(&self, selection: &Selection, time_ns: i64) -> bool {
        let since = i128::from(time_ns) - i128::from(self.first_ns);
        selection
            .from_ns
            .is_none_or(|from| since >= i128::from(from))
            && selection.to_ns.is_none_or(|to| since < i128::from(to))
    }

    /// Whether a packet stays: for its own sake, or as a DNS message that names a server; or why not.
    fn keeps(
        &self,
        selection: &Selection,
        packet: &CapturedPacket<'_>,
        placed: Option<Placed>,
        ends: &mut Ends,
    ) -> Result<bool, &'static str> {
        if self.dns.contains(&packet.number) {
            return Ok(true);
        }
        let of_fragment = self.fragments.get(&packet.number).copied();
        let Some(flow) = of_fragment.or_else(|| placed.map(|placed| placed.flow)) else {
            return if selection.chooses_flows() {
                Err("of no flow")
            } else if self.is_in_time(selection, packet.time_ns) {
                Ok(false)
            } else {
                Err("outside of the span")
            };
        };
        let Some(known) = self.flows.get(flow).filter(|_| self.has_chosen(flow)) else {
            return Err("of another flow");
        };
        let parsed = packet.content.ok().and_then(|ip| ip.packet().ok());
        let Some(parsed) = parsed else {
            return Ok(false);
        };
        let up = match (of_fragment, parsed.ends()) {
            (None, Some((from, _))) => from == known.client,
            // An error that quotes a flow, and a fragment, show it by their addresses.
            _ => parsed.source == known.client.ip(),
        };
        let Transport::Tcp(tcp) = parsed.transport else {
            return self.in_span(selection, packet.time_ns, up);
        };
        // Without its handshake a connection cannot be replayed.
        let shakes = tcp.flags.contains(Flags::SYN)
            || (up
                && tcp.payload_len == 0
                && known.server_isn.map(|isn| isn.plus(1)) == Some(tcp.acknowledgement));
        if !shakes {
            self.in_span(selection, packet.time_ns, up)?;
        }
        let Some(limit) = selection.bytes.filter(|_| known.protocol == Protocol::Tcp) else {
            return Ok(false);
        };
        let (own, other) = if up {
            (known.client_isn, known.server_isn)
        } else {
            (known.server_isn, known.client_isn)
        };
        // Bytes of a stream before a number; the SYN is one of its own.
        let before = |isn: Option<Seq>, seq: Seq| isn.map(|isn| i64::from(seq.minus(isn.plus(1))));
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let takes_room = tcp.sequence_len() > 0 || tcp.flags.contains(Flags::RST);
        let late = takes_room && before(own, tcp.sequence).is_some_and(|at| at >= limit);
        // What acknowledges more than is kept would make a hole.
        let kept = ends.get(&(flow, !up)).copied().unwrap_or(0);
        let ahead = tcp.flags.contains(Flags::ACK)
            && before(other, tcp.acknowledgement).is_some_and(|at| at > kept);
        if late || ahead {
            return Err("beyond the bytes of its stream");
        }
        let end = before(own, tcp.sequence_end()).unwrap_or(0);
        let reach = ends.entry((flow, up)).or_default();
        *reach = end.max(*reach);
        Ok(false)
    }

    fn in_span(&self, selection: &Selection, time_ns: i64, up: bool) -> Result<bool, &'static str> {
        let way = if up { Way::Up } else { Way::Down };
        if selection.direction.is_some_and(|wanted| wanted != way) {
            return Err("of the other direction");
        }
        if !self.is_in_time(selection, time_ns) {
            return Err("outside of the span");
        }
        Ok(false)
    }
}

/// How far each stream reaches that is kept, by flow and whether it is the client's.
type Ends = BTreeMap<(usize, bool), i64>;
