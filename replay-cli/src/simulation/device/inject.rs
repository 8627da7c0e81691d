//! Recorded frames made fit for this run: numbers rebased, windows re-encoded, sizes cut to the MTU, checksums right.

use crate::capture::conversation::{DeviceSegment, TcpConversation};
use crate::packet::build::{self, TcpSpec};
use crate::packet::patch::{self, TcpHeader};
use crate::packet::{Flags, Packet, Seq};
use crate::scenario::Checksums;
use crate::simulation::device::{DeviceFlow, Play};
use crate::simulation::flow::FlowState;
use crate::simulation::world::World;

/// What a segment is built from.
pub(crate) struct Injection<'a, 'w> {
    pub(crate) world: &'a World<'w>,
    pub(crate) state: Option<&'a FlowState>,
    pub(crate) conversation: &'a TcpConversation,
    pub(crate) segment: &'a DeviceSegment,
    pub(crate) flow: &'a DeviceFlow,
    pub(crate) play: Play,
}

/// A frame, and what it stands for.
#[derive(Debug, Default)]
pub(crate) struct Built {
    pub(crate) frame: Option<Vec<u8>>,
    /// Units of the far side it acknowledges.
    pub(crate) acked: u64,
    /// The window it offers.
    pub(crate) window: Option<u32>,
    /// Bytes of the segment it takes.
    pub(crate) taken: u64,
    /// Whether nothing of the segment is left.
    pub(crate) whole: bool,
}

/// Bytes of `segment` from `offset` that fit one frame.
pub(crate) fn piece(world: &World<'_>, segment: &DeviceSegment, offset: u64) -> u64 {
    // 120 bytes hold any IP and TCP header with options that tunnels carry.
    let most = (world.engine.mtu() as u64).saturating_sub(120).max(1);
    let rest = segment.bytes().saturating_sub(offset);
    if rest <= most + 60 { rest } else { most }
}

impl Injection<'_, '_> {
    /// Builds the next frame of the segment; without payload if that is `needless`.
    pub(crate) fn build(&self, needless: bool) -> Built {
        let Self { segment, flow, .. } = self;
        let opening = segment.flags.contains(Flags::SYN);
        let size = match needless {
            true => segment.bytes().saturating_sub(flow.offset),
            false => piece(self.world, segment, flow.offset),
        };
        let whole = flow.offset + size >= segment.bytes();
        let acked = self.acknowledges();
        let offers = !segment.flags.contains(Flags::RST) && !opening;
        let mut built = Built {
            frame: None,
            acked: acked.unwrap_or(0),
            window: offers.then_some(segment.window),
            taken: size,
            whole,
        };
        // RFC 9293 section 3.10.7.4, first: of a segment before RCV.NXT without payload, such as a keep-alive, the
        // engine takes nothing, its acknowledgement neither.
        let state = self.state;
        let stale = state.is_some_and(|state| segment.at < state.down.acked);
        if stale && segment.bytes() == 0 && !needless && !opening {
            (built.acked, built.window) = (0, None);
        }
        // Of a needless retransmission only its acknowledgement and window count, if they are new.
        if needless && (opening || (built.acked <= flow.acked && segment.window == flow.window)) {
            return built;
        }
        built.frame = self.frame(needless, size, whole, acked);
        built
    }

    /// Units of the far side to acknowledge: as recorded, never what the device does not have.
    fn acknowledges(&self) -> Option<u64> {
        let recorded = self.segment.ack()?;
        let Some(state) = self.state else {
            return Some(recorded);
        };
        Some(recorded.min(state.down.contiguous()).max(self.flow.acked))
    }

    fn frame(&self, needless: bool, size: u64, whole: bool, acked: Option<u64>) -> Option<Vec<u8>> {
        let Self {
            segment,
            conversation,
            flow,
            ..
        } = self;
        let mut reader = self.world.reader.borrow_mut();
        let reader = reader.as_mut()?;
        let mut frame = self.world.place();
        frame.reserve(usize::from(segment.headers) + size as usize);
        if segment.is_made_up() {
            frame.extend_from_slice(&self.made_up()?);
        } else {
            frame.extend_from_slice(reader.at(segment.place, segment.headers.into()));
        }
        if frame.is_empty() {
            return None;
        }
        patch::set_lengths(&mut frame);
        let header = TcpHeader::of(&frame);
        let opening = segment.flags.contains(Flags::SYN);
        let last = whole && !needless;
        let mut flags = segment.flags;
        if !last {
            flags = flags.without(Flags::FIN).without(Flags::PSH);
        }
        let start = segment.at + flow.offset;
        let is_reset = segment.flags.contains(Flags::RST);
        let answered = self
            .state
            .filter(|state| is_reset && state.closed.is_none());
        let sequence = if let Some(state) = answered {
            // A reset that answers a segment stands where that segment's acknowledgement does (RFC 9293
            // section 3.10.7.1): this engine may have acknowledged more than the recorded server had.
            start.max(state.down.acked)
        } else if needless {
            self.state.map_or(start, |state| state.down.device_edge)
        } else {
            start
        };
        if let Some(header) = header {
            header.set_flags(&mut frame, flags);
            if segment.is_from_syn() || (segment.is_invented() && !segment.is_made_up()) {
                // Options of a SYN, or of another segment, have no business on data.
                for kind in [2, 3, 4, 5, 8, 34, 254] {
                    header.blank_option(&mut frame, kind);
                }
            }
            header.set_sequence(&mut frame, unit(conversation.device_isn, sequence));
            if let Some(state) = self.state.filter(|_| !opening) {
                self.rebase(header, &mut frame, state, acked);
            }
        }
        if !needless && size > 0 && !opening {
            let from = start.checked_sub(1)?;
            let stream = &conversation.device_stream;
            let payload = stream.read(from, from + size, reader);
            if (payload.len() as u64) < size {
                return None;
            }
            frame.extend_from_slice(payload);
            patch::set_lengths(&mut frame);
        }
        match header {
            Some(header) => header.repair_checksums(&mut frame),
            None => patch::repair_checksums(&mut frame),
        };
        if self.play.checksums == Checksums::Keep && segment.is_spoiled() {
            spoil_checksum(&mut frame);
        }
        Some(frame)
    }

    /// A segment for which no packet has a header, and the SYN's options.
    fn made_up(&self) -> Option<Vec<u8>> {
        let key = self.flow.key?;
        let syn = self.conversation.made_up?;
        let [high, low] = syn.mss.to_be_bytes();
        let options = [2, 4, high, low, 1, 3, 3, syn.shift];
        let options = match (self.segment.flags.contains(Flags::SYN), syn.scales) {
            (true, true) => &options[..],
            (true, false) => &options[..4],
            (false, _) => &[],
        };
        Some(build::tcp(&TcpSpec {
            options,
            ..TcpSpec::new(key.client, key.server)
        }))
    }

    /// Translates the device's acknowledgements and SACK blocks into the engine's numbers.
    fn rebase(&self, header: TcpHeader, frame: &mut [u8], state: &FlowState, acked: Option<u64>) {
        let Some(isn) = state.engine_isn() else {
            return;
        };
        if let Some(acked) = acked {
            header.set_acknowledgement(frame, unit(isn, acked));
        }
        let window = u16::try_from(self.segment.window >> state.down.shift());
        header.set_window(frame, window.unwrap_or(u16::MAX));
        if !state.down.timestamps {
            header.blank_option(frame, 8);
        }
        // A block beyond what the engine has sent would be a lie.
        let far_isn = self.conversation.far_isn;
        let mut beyond = !state.down.sack_permitted;
        header.map_sack_edges(frame, |edge| {
            let units = u64::from(edge.0.wrapping_sub(far_isn.0));
            beyond |= units > state.down.emitted || units <= acked.unwrap_or(0);
            unit(isn, units)
        });
        if beyond {
            header.blank_option(frame, 5);
        }
    }
}

/// A datagram, or a fragment of one, as recorded; in fragments if it is too large for this run's device, as the one
/// recorded (a loopback interface, segmentation offload) was not.
pub(crate) fn datagram(
    mut frame: Vec<u8>,
    number: u32,
    checksums: Checksums,
    mtu: usize,
) -> Vec<Vec<u8>> {
    let missing = |packet: &Packet<'_>| {
        let udp = packet.udp()?;
        Some(udp.payload_len - udp.payload.len())
    };
    if let Some(missing) = Packet::whole(&frame).ok().as_ref().and_then(missing) {
        // The snap length cut it.
        frame.resize(frame.len() + missing, 0);
    }
    if Packet::whole(&frame).is_ok_and(|packet| packet.is_cut()) {
        // The IP header states more than the link had room for.
        patch::set_lengths(&mut frame);
    }
    if checksums == Checksums::Repair {
        patch::repair_checksums(&mut frame);
    }
    let fragment = Packet::whole(&frame).is_ok_and(|packet| packet.fragment.is_some());
    if frame.len() <= mtu || fragment {
        return vec![frame];
    }
    // Datagrams of one flow that are in fragments at once need identifications of their own.
    build::fragments(&frame, mtu, number & 0xffff)
}

/// Gives the fragment with a UDP header the checksum of its whole datagram, which offload leaves to the network card.
pub(crate) fn repair_fragment(frame: &mut [u8], whole: &[u8]) {
    let first = |packet: &Packet<'_>| {
        let first = packet.fragment.is_some_and(|fragment| fragment.offset == 0);
        first.then_some(packet.transport_offset + UDP_CHECKSUM)
    };
    let Some(at) = Packet::whole(frame).ok().as_ref().and_then(first) else {
        return;
    };
    let mut whole = whole.to_vec();
    patch::repair_checksums(&mut whole);
    let Some(from) = Packet::whole(&whole)
        .ok()
        .filter(|packet| packet.udp().is_some())
        .map(|packet| packet.transport_offset + UDP_CHECKSUM)
    else {
        return;
    };
    if let (Some(to), Some(from)) = (frame.get_mut(at..at + 2), whole.get(from..from + 2)) {
        to.copy_from_slice(from);
    }
}

/// Where the checksum stands in a UDP header.
const UDP_CHECKSUM: usize = 6;

/// A bare acknowledgement as the device would send it now.
pub(crate) fn acknowledgement(state: &FlowState, acked: u64, window: u32) -> Option<Vec<u8>> {
    let spec = from_device(state, state.down.device_edge, acked, Flags::ACK, window)?;
    Some(build::tcp(&spec))
}

/// A reset as a device sends it that knows nothing of the connection.
pub(crate) fn reset(state: &FlowState) -> Option<Vec<u8>> {
    let unanswered = u64::from(state.down.engine_isn.is_none());
    let at = state.down.acked.max(unanswered);
    let isn = state.down.device_isn?;
    let mut spec = TcpSpec::new(state.key.client, state.key.server);
    spec.sequence = unit(isn, at);
    spec.flags = Flags::RST;
    Some(build::tcp(&spec))
}

/// What the engine has not acknowledged of the device's stream up to unit `until`, within its window.
pub(crate) fn resend(
    world: &World<'_>,
    state: &FlowState,
    conversation: &TcpConversation,
    until: u64,
    acked: u64,
    window: u32,
) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    let size = world.engine.mtu().saturating_sub(60).max(1) as u64;
    let stream = &conversation.device_stream;
    let mut reader = world.reader.borrow_mut();
    let Some(reader) = reader.as_mut() else {
        return frames;
    };
    let end = stream.len() + 1;
    let mut at = state.down.acked.max(1);
    while at < until && frames.len() < 64 {
        let from = at - 1;
        let room = until.min(state.down.room_to).saturating_sub(1);
        let to = (from + size).min(stream.len()).min(room);
        if to < from {
            break;
        }
        let payload = stream.read(from, to, reader);
        if (payload.len() as u64) < to - from {
            break;
        }
        let next = at + payload.len() as u64;
        let fin = next == end && conversation.device_fin && state.down.device_edge > end;
        if payload.is_empty() && !fin {
            break;
        }
        let flags = Flags::ACK.with(if fin { Flags::FIN } else { Flags::PSH });
        let Some(mut spec) = from_device(state, at, acked, flags, window) else {
            break;
        };
        spec.payload = payload;
        frames.push(build::tcp(&spec));
        at = next + u64::from(fin);
    }
    frames
}

fn from_device(
    state: &FlowState,
    at: u64,
    acked: u64,
    flags: Flags,
    window: u32,
) -> Option<TcpSpec<'static>> {
    let mut spec = TcpSpec::new(state.key.client, state.key.server);
    spec.sequence = unit(state.down.device_isn?, at);
    spec.acknowledgement = unit(state.engine_isn()?, acked);
    spec.flags = flags;
    spec.window = u16::try_from(window >> state.down.shift()).unwrap_or(u16::MAX);
    Some(spec)
}

/// The sequence number of a unit.
pub(crate) fn unit(isn: Seq, units: u64) -> Seq {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "sequence numbers are taken modulo 2^32"
    )]
    isn.plus(units as u32)
}

fn spoil_checksum(frame: &mut [u8]) {
    let at = Packet::whole(frame).map(|packet| packet.transport_offset + 16);
    if let Some(byte) = at.ok().and_then(|at| frame.get_mut(at)) {
        *byte ^= 0x55;
    }
}
