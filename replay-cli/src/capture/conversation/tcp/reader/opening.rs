//! How a connection begins: both ISNs and window shifts, which must be known before any segment is placed.

use crate::capture::conversation::raw::{RawFlow, RawPacket};
use crate::capture::conversation::tcp::MadeUp;
use crate::packet::{Flags, Seq};

/// The beginning of a connection, as its packets show it.
pub(super) struct Opening {
    pub(super) device_isn: Seq,
    /// The one that the device acknowledged.
    pub(super) far_isn: Seq,
    pub(super) device_shift: u8,
    /// None if no SYN-ACK was captured.
    pub(super) far_shift: Option<u8>,
    /// A packet of the device whose header serves for segments that no packet shows.
    pub(super) template: Option<RawPacket>,
    pub(super) second_isn: bool,
    pub(super) missing_syn_ack: bool,
    /// The device went on as in an open connection, whatever reset stands before the SYN-ACK.
    pub(super) connects: bool,
    pub(super) adopted: Option<MadeUp>,
}

/// The first segments of both sides.
#[derive(Default)]
struct First {
    device_scale: Option<u8>,
    device_seq: Option<Seq>,
    /// The ISNs of the far side's SYNs, each with the window scale beside it.
    syn_acks: Vec<(Seq, Option<u8>)>,
    /// What the device's first segments acknowledge.
    acknowledged: Vec<Seq>,
    /// Where the far side's first segments stand that are no SYN.
    far_sent: Vec<Seq>,
    template: Option<RawPacket>,
}

impl First {
    fn of(raw: &RawFlow) -> Self {
        let mut first = Self::default();
        for tcp in &raw.packets {
            if tcp.is_from_client() {
                first.device(tcp);
            } else {
                first.far(tcp, raw.client_isn);
            }
        }
        first
    }

    fn device(&mut self, tcp: &RawPacket) {
        self.device_seq.get_or_insert(tcp.sequence);
        if self
            .template
            .is_none_or(|known| !is_plain(&known) && is_plain(tcp))
        {
            self.template = Some(*tcp);
        }
        if tcp.flags.contains(Flags::SYN) {
            self.device_scale = self.device_scale.or_else(|| tcp.window_scale());
        } else if tcp.flags.contains(Flags::ACK) && is_plain(tcp) && self.acknowledged.len() < 4 {
            self.acknowledged.push(tcp.acknowledgement);
        }
    }

    fn far(&mut self, tcp: &RawPacket, client_isn: Option<Seq>) {
        let known = |(isn, _): &(Seq, _)| *isn == tcp.sequence;
        if !tcp.flags.contains(Flags::SYN) {
            if self.far_sent.len() < 4 && answers(tcp, client_isn) {
                self.far_sent.push(tcp.sequence);
            }
        } else if !self.syn_acks.iter().any(known) {
            self.syn_acks.push((tcp.sequence, tcp.window_scale()));
        }
    }
}

impl Opening {
    pub(super) fn of(raw: &RawFlow) -> Self {
        let First {
            device_scale,
            device_seq,
            syn_acks,
            acknowledged,
            far_sent,
            template,
        } = First::of(raw);
        let before = |seq: Seq| Seq(seq.0.wrapping_sub(1));
        // Without its SYN-ACK the far side's stream begins where it is known to have been first.
        let beginnings = acknowledged.iter().chain(&far_sent).copied();
        let first_ack = beginnings.reduce(|first, seq| {
            let earlier = (-NEAR..0).contains(&seq.minus(first));
            if earlier { seq } else { first }
        });
        let chosen = acknowledged
            .iter()
            .find_map(|ack| syn_acks.iter().find(|(isn, _)| isn.plus(1) == *ack))
            .or_else(|| syn_acks.first())
            .copied();
        let far_scale = chosen.and_then(|(_, scale)| scale);
        let adopted = raw.adopted.then(|| {
            let scales = chosen.map(|(_, scale)| scale.is_some());
            MadeUp::of(raw, scales)
        });
        let device_isn = raw.client_isn.or_else(|| device_seq.map(before));
        let far_isn = chosen
            .map(|(isn, _)| isn)
            .or_else(|| raw.server_isn.filter(|_| raw.adopted))
            .or_else(|| first_ack.map(before));
        Self {
            device_isn: device_isn.unwrap_or(Seq(0)),
            far_isn: far_isn.unwrap_or(Seq(0)),
            // RFC 7323 section 2.2: a shift counts only if both sides offered one; at most 14.
            device_shift: match (&adopted, device_scale, far_scale) {
                (Some(syn), ..) => syn.shift,
                (None, Some(shift), Some(_)) => shift.min(14),
                // What the SYN-ACK would say is not known: nearly all offer one.
                (None, Some(shift), None) if syn_acks.is_empty() => shift.min(14),
                _ => 0,
            },
            // A SYN-ACK has a shift only if the SYN had one.
            far_shift: chosen.map(|_| match (device_scale, far_scale) {
                (None, _) if !raw.adopted => 0,
                (_, shift) => shift.unwrap_or(0).min(14),
            }),
            template,
            second_isn: syn_acks.len() > 1,
            missing_syn_ack: syn_acks.is_empty() && (first_ack.is_some() || raw.adopted),
            connects: raw.adopted
                || !acknowledged.is_empty()
                || (syn_acks.is_empty() && first_ack.is_some()),
            adopted,
        }
    }
}

/// Whether a segment is neither a SYN nor a reset.
fn is_plain(tcp: &RawPacket) -> bool {
    !tcp.flags.contains(Flags::SYN) && !tcp.flags.contains(Flags::RST)
}

/// How near to each other the first sequence numbers of a connection are.
const NEAR: i32 = 1 << 20;

/// Whether a segment of the far side, other than a SYN, belongs to the connection that this SYN has opened.
fn answers(tcp: &RawPacket, client_isn: Option<Seq>) -> bool {
    let news = tcp.payload_len > 0 || tcp.flags.contains(Flags::FIN);
    let known = client_isn.is_some_and(|isn| (1..NEAR).contains(&tcp.acknowledgement.minus(isn)));
    news && known && tcp.flags.contains(Flags::ACK) && !tcp.flags.contains(Flags::RST)
}
