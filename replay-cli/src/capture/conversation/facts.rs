//! The facts of a flow, from its packets as they are kept.

use super::raw::{RawFlow, RawPacket};
use super::store::ByteReader;
use crate::capture::facts::{Answer, Facts, FlowFacts, Header, Seen, Since, is_too_big};
use crate::packet::{Flags, Packet};

/// The end that the client of a flow is.
const CLIENT: usize = 0;

/// Reads the facts of a flow, and the DNS answers in it.
pub(super) fn read(raw: &RawFlow, bytes: &mut ByteReader<'_>) -> (Facts, Vec<Answer>) {
    let mut facts = FlowFacts::new(raw.protocol, raw.client, raw.server);
    for packet in &raw.packets {
        let seen = seen(packet, bytes);
        let payload = if facts.wants(&seen) {
            bytes.span(packet.payload())
        } else {
            &[]
        };
        facts.packet(&seen, payload);
    }
    for error in &raw.icmp {
        let big = is_too_big(error.v4, error.kind, error.code);
        let since = Since {
            at_ns: error.time_ns,
            frame: error.number,
        };
        facts.icmp(since, error.kind, error.code, big);
    }
    facts.finish(CLIENT)
}

fn seen(packet: &RawPacket, bytes: &mut ByteReader<'_>) -> Seen {
    // Of options no more than the window's shift is kept, because nearly all that matter stand in SYNs.
    let mss = if packet.flags.contains(Flags::SYN) {
        let parsed = Packet::whole(bytes.span(packet.span())).ok();
        parsed.and_then(|parsed| parsed.tcp()?.options.mss)
    } else {
        None
    };
    Seen {
        since: Since {
            at_ns: packet.time_ns,
            frame: packet.number.into(),
        },
        end: usize::from(!packet.is_from_client()),
        payload_len: packet.payload_len,
        tcp: Header {
            sequence: packet.sequence,
            acknowledgement: packet.acknowledgement,
            flags: packet.flags,
            window: packet.window,
            scale: packet.window_scale(),
            mss,
        },
    }
}
