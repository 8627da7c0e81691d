//! What must hold of every run, whatever a scenario expects. None of it can be blessed.

use engine::{By, Counters, FlowKey, How, Proto};

use super::flow::FlowState;
use super::timeline::failure_at;
use crate::packet::{Flags, Malformed, Packet, Tcp, Transport};
use crate::scenario::failure::{Failure, FailureKind};

/// A failure of an invariant.
pub(crate) fn failure(now: u64, key: Option<FlowKey>, what: String) -> Failure {
    let help = "an invariant cannot be blessed: the engine is wrong, or the checker is";
    Failure {
        flow: key.map(|key| key.to_string()),
        help: Some(help.to_owned()),
        ..failure_at(FailureKind::Invariant, what, Some(now))
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

/// Checks that the bytes the engine counts are those the dialer saw; with `inboxes`, what it gave may not have come in.
pub(crate) fn count(counters: &Counters, flows: &[FlowState], inboxes: bool) -> Option<String> {
    let upstream: u64 = flows.iter().map(|flow| flow.upstream.len()).sum();
    let downstream: u64 = flows.iter().map(|flow| flow.sent.len()).sum();
    let came_in = counters.downstream_bytes;
    let differs = came_in > downstream || (!inboxes && came_in < downstream);
    (counters.upstream_bytes != upstream || differs).then(|| {
        format!(
            "the engine counts {} bytes up and {} down, but the dialer got {upstream} and gave {downstream}",
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
            "a frame of {} bytes, above the MTU of {mtu}",
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
/// what was not sent; if a close is the `last` of its flow, silence after it. `sent`: whether bytes stand at a place
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
            "an acknowledgement of byte {acked}, but the device has sent {} only",
            flow.down.device_edge
        ));
    }
    // What the engine ends by itself, the remote did not end.
    let Some(at) = at.filter(|_| !tcp.payload.is_empty() && !flow.undialed) else {
        return problems;
    };
    let end = at + tcp.payload.len() as u64;
    // A keep-alive may carry a byte of no meaning that the device has acknowledged (RFC 9293 section 3.8.4).
    if tcp.payload.len() == 1 && end <= flow.down.contiguous() {
        return problems;
    }
    match sent(at.wrapping_sub(1), tcp.payload) {
        None => problems.push(format!(
            "bytes {at} to {end} toward the device, but the remote has sent {} only",
            flow.sent.len()
        )),
        Some(false) => {
            problems.push(format!(
                "bytes {at} to {end} toward the device differ from what the remote sent"
            ));
        }
        Some(true) => {}
    }
    // A probe of a closed window is one byte (RFC 9293 section 3.8.6.1).
    if let Some(edge) = flow
        .down
        .offered_to
        .filter(|edge| end > *edge && tcp.payload.len() > 1)
    {
        problems.push(format!(
            "bytes up to {end}, beyond the window the device offered, which ends at {edge}"
        ));
    }
    problems
}

/// Checks an orderly end: every byte of both sides must have arrived.
pub(crate) fn lost_bytes(flow: &FlowState) -> Option<String> {
    let (_, close) = flow.closed?;
    if flow.key.proto == Proto::Udp || close.how != How::Fin || close.by == By::Engine {
        return None;
    }
    // The FIN took one unit, the SYN another.
    let sent = flow.down.device_within.saturating_sub(2);
    let owed = flow
        .down
        .device_fin
        .map_or(sent, |fin| sent.min(fin.saturating_sub(1)));
    if flow.upstream.len() < owed {
        return Some(format!(
            "closed in order, but the dialer got {} of the device's {owed} bytes",
            flow.upstream.len()
        ));
    }
    let (sent, got) = (flow.sent.len(), flow.down.bytes.len());
    (got < sent && flow.down.contiguous() < flow.down.emitted && flow.down.emitted < 1 + sent)
        .then(|| format!("closed in order, but the device got {got} of the remote's {sent} bytes"))
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
        has.push(format!("{} bytes", tcp.payload.len()));
    }
    has.join(" and ")
}

#[cfg(test)]
mod tests {
    use engine::{Close, FlowId};

    use super::*;
    use crate::packet::Seq;
    use crate::packet::build::{TcpSpec, tcp};

    /// A flow whose remote has sent `abcdef`, whose device has sent 10 units and offers room up to unit 5.
    fn flow() -> FlowState {
        let key = FlowKey {
            proto: Proto::Tcp,
            client: "10.0.0.2:1".parse().unwrap(),
            server: "192.0.2.1:2".parse().unwrap(),
        };
        let mut flow = FlowState::new(FlowId::from_bits(0), key, 1, 0);
        flow.sent.push(b"abcdef");
        flow.down.device_isn = Some(Seq(1000));
        flow.down.device_edge = 10;
        flow.down.device_within = 10;
        flow.down.offered_to = Some(5);
        flow
    }

    /// The beginnings of what is wrong with a segment whose payload stands at `at`.
    fn wrong(flow: &FlowState, at: u64, acked: u32, flags: &str, payload: &[u8]) -> Vec<String> {
        let letters = flags
            .chars()
            .map(|letter| Flags::from_letter(letter).unwrap());
        let bytes = tcp(&TcpSpec {
            acknowledgement: Seq(1000 + acked),
            flags: letters.fold(Flags(0), Flags::with),
            payload,
            ..TcpSpec::new(flow.key.server, flow.key.client)
        });
        let packet = Packet::whole(&bytes).unwrap();
        let sent = |at, bytes: &[u8]| flow.sent.holds(at, bytes, None, None);
        let problems = segment(flow, Some(at), packet.tcp().unwrap(), true, sent);
        let start = |text: String| text.split(',').next().unwrap_or_default().to_owned();
        problems.into_iter().map(start).collect()
    }

    #[test]
    fn bytes_that_the_remote_never_sent_are_noticed() {
        let flow = flow();
        assert_eq!(wrong(&flow, 1, 10, ".", b"abcd"), [""; 0]);
        assert_eq!(
            wrong(&flow, 1, 10, ".", b"abXd"),
            ["bytes 1 to 5 toward the device differ from what the remote sent"]
        );
        assert_eq!(
            wrong(&flow, 6, 10, ".", b"fg")[0],
            "bytes 6 to 8 toward the device"
        );
        let mut undialed = flow;
        undialed.undialed = true;
        assert_eq!(wrong(&undialed, 1, 10, ".", b"its own"), [""; 0]);
    }

    #[test]
    fn text_ends_at_the_window_but_for_a_probe_of_one_byte() {
        let flow = flow();
        assert_eq!(wrong(&flow, 5, 10, ".", b"e"), [""; 0], "a probe");
        assert_eq!(wrong(&flow, 4, 10, ".", b"de"), ["bytes up to 6"]);
    }

    #[test]
    fn acknowledgements_of_what_was_not_sent_are_noticed_unless_a_reset_repeats_them() {
        let flow = flow();
        assert_eq!(
            wrong(&flow, 1, 11, ".", b""),
            ["an acknowledgement of byte 11"]
        );
        assert_eq!(wrong(&flow, 1, 11, "R.", b""), [""; 0]);
        assert_eq!(wrong(&flow, 1, 11, "R", b""), [""; 0]);
    }

    #[test]
    fn after_the_close_nothing_but_bare_segments_may_come() {
        let mut flow = flow();
        let ended = |how| Close {
            by: By::Engine,
            how,
        };
        flow.closed = Some((0, ended(How::Idle)));
        assert_eq!(wrong(&flow, 1, 10, ".", b""), [""; 0]);
        assert_eq!(wrong(&flow, 1, 10, "R.", b""), [""; 0]);
        for (flags, payload, what) in [
            ("S.", &b""[..], "a segment with a SYN after the close"),
            ("F.", b"", "a segment with a FIN after the close"),
            (".", b"abc", "a segment with 3 bytes after the close"),
        ] {
            assert_eq!(wrong(&flow, 1, 10, flags, payload), [what]);
        }
    }

    #[test]
    fn a_frame_is_held_against_the_mtu_and_its_own_checksums() {
        let ends = ["192.0.2.1:80", "10.0.0.2:40000"].map(|end| end.parse().unwrap());
        let mut bytes = tcp(&TcpSpec::new(ends[0], ends[1]));
        let frame = |bytes: &[u8], mtu| frame(bytes, &Packet::whole(bytes), mtu);
        assert_eq!(frame(&bytes, 40), [""; 0]);
        assert_eq!(
            frame(&bytes, 39),
            ["a frame of 40 bytes, above the MTU of 39"]
        );
        bytes[25] ^= 1;
        assert_eq!(frame(&bytes, 40), ["a frame with a wrong checksum"]);
        assert!(frame(&bytes[..19], 40)[0].starts_with("a frame that is no IP packet"));
    }
}
