//! What must hold of every run, whatever a scenario expects. None of it can be blessed.

use engine::{By, Counters, FlowKey, How, Proto};

use super::flow::FlowState;
use crate::outcome::{Failure, FailureKind};
use crate::packet::{Flags, Malformed, Packet, Tcp, Transport};

/// A failure of an invariant.
pub(crate) fn failure(now: u64, key: Option<FlowKey>, what: String) -> Failure {
    Failure {
        kind: FailureKind::Invariant,
        what,
        expected: None,
        actual: None,
        flow: key.map(|key| key.to_string()),
        frame: None,
        at_us: Some(now),
        place: None,
        help: Some(
            "an invariant cannot be blessed: the engine is wrong, or the checker is".to_owned(),
        ),
    }
}

/// Checks that the engine's counters add up, among themselves and with what went in and out.
pub(crate) fn conserved(counters: &Counters, frames_in: u64, frames_out: u64) -> Option<String> {
    if let Some(law) = counters.broken_law() {
        return Some(format!("the counters do not add up: {law}"));
    }
    (counters.frames_in != frames_in || counters.frames_out != frames_out).then(|| {
        format!(
            "the engine counts {} frames in and {} out, but {frames_in} went in and {frames_out} came out",
            counters.frames_in, counters.frames_out
        )
    })
}

/// Checks that the octets the engine counts are those the dialer saw; with `inboxes`, what it gave may not have come in.
pub(crate) fn octets(counters: &Counters, flows: &[FlowState], inboxes: bool) -> Option<String> {
    let upstream: u64 = flows.iter().map(|flow| flow.upstream.len()).sum();
    let downstream: u64 = flows.iter().map(|flow| flow.sent.len()).sum();
    let came_in = counters.downstream_bytes;
    let differs = came_in > downstream || (!inboxes && came_in < downstream);
    (counters.upstream_bytes != upstream || differs).then(|| {
        format!(
            "the engine counts {} octets up and {} down, but the dialer got {upstream} and gave {downstream}",
            counters.upstream_bytes, counters.downstream_bytes
        )
    })
}

/// Checks a frame by itself: size, lengths, checksums.
pub(crate) fn frame(
    bytes: &[u8],
    packet: &Result<Packet<'_>, Malformed>,
    mtu: usize,
) -> Vec<String> {
    let mut problems = Vec::new();
    if bytes.len() > mtu {
        problems.push(format!(
            "a frame of {} octets, above the MTU of {mtu}",
            bytes.len()
        ));
    }
    match packet {
        Err(malformed) => problems.push(format!("a frame that is no IP packet: {malformed}")),
        Ok(packet) => {
            if let Transport::Malformed(malformed) = packet.transport {
                problems.push(format!(
                    "a frame with a malformed transport header: {malformed}"
                ));
            }
            if packet.fragment.is_none() && !packet.checksums().are_sound() {
                problems.push("a frame with a wrong checksum".to_owned());
            }
        }
    }
    problems
}

/// Checks a segment within its flow: only bytes of the dialer, within the device's window, no acknowledgement of
/// what was not sent; if a close is the `last` of its flow, silence after it. `sent` says whether octets stand at a place
/// of what the dialer has given.
pub(crate) fn segment(
    flow: &FlowState,
    at: Option<u64>,
    tcp: &Tcp<'_>,
    last: bool,
    sent: impl FnOnce(u64, &[u8]) -> Option<bool>,
) -> Vec<String> {
    let mut problems = Vec::new();
    let bare = tcp.payload.is_empty()
        && !tcp.flags.contains(Flags::SYN)
        && !tcp.flags.contains(Flags::FIN);
    if flow
        .closed
        .is_some_and(|(_, close)| !matches!(close.how, How::Dial(_)))
        && last
        && !bare
    {
        problems.push(format!(
            "a segment with {} after the close",
            what_it_has(tcp)
        ));
        return problems;
    }
    if tcp.flags.contains(Flags::ACK)
        && !tcp.flags.contains(Flags::RST)
        && let Some(acked) = flow.down.device_unit(tcp.acknowledgement)
        && acked > flow.down.device_edge
    {
        problems.push(format!(
            "an acknowledgement of octet {acked}, but the device has sent {} only",
            flow.down.device_edge
        ));
    }
    // What the engine says by itself, the remote did not say.
    let Some(at) = at.filter(|_| !tcp.payload.is_empty() && !flow.undialed) else {
        return problems;
    };
    let end = at + tcp.payload.len() as u64;
    // A keep-alive may carry an octet of no meaning that the device has acknowledged (RFC 9293 section 3.8.4).
    if tcp.payload.len() == 1 && end <= flow.down.contiguous() {
        return problems;
    }
    match sent(at.wrapping_sub(1), tcp.payload) {
        None => problems.push(format!(
            "octets {at} to {end} toward the device, but the remote has sent {} only",
            flow.sent.len()
        )),
        Some(false) => {
            problems.push(format!(
                "octets {at} to {end} toward the device differ from what the remote sent"
            ));
        }
        Some(true) => {}
    }
    // A probe of a closed window is one octet (RFC 9293 section 3.8.6.1).
    if let Some(edge) = flow
        .down
        .offered_to
        .filter(|edge| end > *edge && tcp.payload.len() > 1)
    {
        problems.push(format!(
            "octets up to {end}, beyond the window the device offered, which ends at {edge}"
        ));
    }
    problems
}

/// Checks an orderly end: every octet of both sides must have arrived.
pub(crate) fn lost_bytes(flow: &FlowState) -> Option<String> {
    let (_, close) = flow.closed?;
    if flow.key.proto == Proto::Udp || close.how != How::Fin || close.by == By::Engine {
        return None;
    }
    // The FIN took one unit, the SYN another.
    let owed = flow.down.device_edge.saturating_sub(2);
    if flow.upstream.len() < owed {
        return Some(format!(
            "closed in order, but the dialer got {} of the device's {owed} octets",
            flow.upstream.len()
        ));
    }
    let (sent, got) = (flow.sent.len(), flow.down.bytes.len());
    (got < sent && flow.down.contiguous() < flow.down.emitted && flow.down.emitted < 1 + sent)
        .then(|| format!("closed in order, but the device got {got} of the remote's {sent} octets"))
}

fn what_it_has(tcp: &Tcp<'_>) -> String {
    let mut has = Vec::new();
    if tcp.flags.contains(Flags::SYN) {
        has.push("a SYN".to_owned());
    }
    if tcp.flags.contains(Flags::FIN) {
        has.push("a FIN".to_owned());
    }
    if !tcp.payload.is_empty() {
        has.push(format!("{} octets", tcp.payload.len()));
    }
    has.join(" and ")
}
