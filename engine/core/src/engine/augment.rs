//! What is added to what smoltcp says: acknowledgements it would withhold, the blocks it leaves out.

use crate::api::batch::FrameBatch;
use crate::api::time::Micros;
use crate::engine::Engine;
use crate::flow::key::{FlowKey, PackedKey};
use crate::flow::table::Kind;
use crate::ip::packet::{IpPacket, Segment};
use crate::tcp::crafted::Crafted;
use crate::tcp::seq::Seq;
use crate::tcp::stack::{Cut, Emitted, Stack};
use crate::tcp::{Live, Phase, sack};

/// Notes what smoltcp has just emitted, and adds the SACK blocks it leaves out; says whether it had been emitted
/// before.
pub(super) fn note(live: &mut Live, now: Micros, sent: Emitted, out: &mut FrameBatch) -> bool {
    if live.sack
        && !sent.rst
        && let Some(holes) = &live.holes
    {
        holes.attach(live.expected(), out);
    }
    live.note_emitted(now, sent)
}

/// How the flow's segments leave: shorter than the MTU if the path is narrower, or if SACK blocks need room beside the
/// text; several at once if nothing is out of the ordinary.
pub(super) fn cut(live: &Live, now: Micros, key: &PackedKey) -> Cut {
    if live.sack && live.holes.is_some() {
        let headers = if key.client().is_ipv6() { 60 } else { 40 };
        Cut::Within((usize::from(live.mss) + headers).saturating_sub(sack::ROOM))
    } else if let Some(mtu) = live.path_mtu {
        Cut::Within(mtu)
    } else if live.sends_rows(now) {
        Cut::Row(usize::from(live.mss))
    } else {
        Cut::One
    }
}

/// Makes smoltcp acknowledge at once what it has received, as it does when a segment stands before its window.
pub(super) fn prompt(
    stack: &mut Stack,
    now: Micros,
    live: &mut Live,
    key: &FlowKey,
    scratch: &mut Vec<u8>,
    out: &mut FrameBatch,
) {
    let before = Crafted {
        seq: Seq(live.expected().0.wrapping_sub(1)),
        ack: live.acked,
        window: live.shown_field(),
        fin: false,
        octet: true,
    };
    before.write(scratch, key.client, key.server);
    let floor = live.next_out();
    if let Some(sent) = stack.ingress(now, &mut live.socket, scratch, floor, out) {
        note(live, now, sent, out);
    }
}

/// Sends the probe of a closed window that smoltcp has just put off: its retransmission timeout was the time for it.
pub(super) fn probe(stack: &mut Stack, now: Micros, live: &mut Live, out: &mut FrameBatch) -> bool {
    let Some(due) = stack.poll_at(now, &live.socket) else {
        return false;
    };
    let floor = live.next_out();
    match stack.egress(due, &mut live.socket, floor, out, Cut::One) {
        Some(sent) => note(live, now, sent, out),
        None => false,
    }
}

impl Engine {
    /// Answers a SYN that came again before the handshake was done (RFC 9293 section 3.10.7.4), with the SYN-ACK that
    /// it got: the same SYN and number make the same.
    pub(super) fn repeat_syn_ack(
        &mut self,
        now: Micros,
        slot: u32,
        ip: &IpPacket<'_>,
        segment: &Segment<'_>,
        key: &FlowKey,
    ) {
        let Some(flow) = self.flows.at(slot) else {
            return;
        };
        let Kind::Tcp(tcp) = &flow.kind else { return };
        let Phase::Live(live) = &tcp.phase else {
            return;
        };
        let syn = super::segment::plain_syn(ip, segment, live.shown_scale);
        if self.out.len() < self.config.output_limit
            && let Some(mut twin) = self.stack.open(now, &syn, key.server, live.isn)
        {
            let floor = live.isn;
            self.stack
                .egress(now, &mut twin, floor, &mut self.out, Cut::One);
        }
    }
}
