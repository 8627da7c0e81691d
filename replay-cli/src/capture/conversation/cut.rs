//! Packets that the snap length cut: what is there is used.
//!
//! Payload that is missing stands as zeros, so that lengths are kept. A TCP segment that ends within its options gets those
//! that are whole.

use crate::packet::{self, Flags, Packet, TcpOption, Transport, walk_tcp_options};

/// The headers of a TCP segment that ends within its options, with those of them that are whole.
///
/// A SYN may have lost its window shift, without which every window of the flow would be read as a small one: it is given the
/// one that most systems offer.
pub(crate) fn tcp_headers(packet: &Packet<'_>) -> Option<Vec<u8>> {
    if packet.protocol != packet::TCP || packet.transport != Transport::Cut {
        return None;
    }
    let tcp = packet.payload();
    let fixed: &[u8; 20] = tcp.first_chunk()?;
    let end = packet.transport_offset + usize::from(fixed[12] >> 4) * 4;
    let options = tcp.get(20..)?;
    let (mut known, mut scaled) = (0, false);
    for (at, option) in walk_tcp_options(options) {
        known = match option {
            TcpOption::End | TcpOption::Malformed => break,
            TcpOption::Nop => at + 1,
            TcpOption::Known { kind, value } => {
                scaled |= kind == WINDOW_SCALE;
                at + 2 + value.len()
            }
        };
    }
    let mut headers = packet
        .bytes
        .get(..packet.transport_offset + 20 + known)?
        .to_vec();
    let opens = Flags(fixed[13]).contains(Flags::SYN);
    if opens && !scaled && headers.len() + 3 <= end {
        headers.extend([WINDOW_SCALE, 3, USUAL_SHIFT]);
    }
    // Zeros end the list of options.
    headers.resize(end, 0);
    Some(headers)
}

/// A datagram, or a fragment of one, with zeros in place of what is missing of it.
pub(crate) fn filled_up(packet: &Packet<'_>) -> Vec<u8> {
    let mut whole = packet.bytes.to_vec();
    whole.resize(packet.total_len, 0);
    whole
}

/// The option's kind (RFC 7323 section 2).
const WINDOW_SCALE: u8 = 3;

/// The shift that Linux and Android offer, nearly always.
pub(crate) const USUAL_SHIFT: u8 = 7;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::build::{self, TcpSpec};

    /// A segment of which so many bytes are captured, with the options as Linux has them.
    fn cut_at(len: usize, flags: Flags, options: &[u8]) -> Option<Vec<u8>> {
        let (from, to) = ("10.0.0.2:40000", "192.0.2.1:80");
        let whole = build::tcp(&TcpSpec {
            flags,
            options,
            payload: b"",
            ..TcpSpec::new(from.parse().unwrap(), to.parse().unwrap())
        });
        let packet = Packet::parse(&whole[..len], whole.len()).unwrap();
        let headers = tcp_headers(&packet)?;
        assert_eq!(headers.len(), whole.len());
        assert_eq!(headers[..40], whole[..40]);
        Some(headers[40..].to_vec())
    }

    const SYN_OPTIONS: [u8; 20] = [
        2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0, 1, 3, 3, 8,
    ];

    #[test]
    fn options_that_are_whole_are_kept_and_a_window_shift_is_assumed() {
        // As `tcpdump -s 68` leaves an Ethernet frame: 14 bytes of options.
        let options = cut_at(54, Flags::SYN, &SYN_OPTIONS).unwrap();
        let mut want = [0; 20];
        want[..9].copy_from_slice(&[2, 4, 5, 0xb4, 4, 2, 3, 3, USUAL_SHIFT]);
        assert_eq!(options, want);
        // The shift itself is cut.
        let options = cut_at(59, Flags::SYN, &SYN_OPTIONS).unwrap();
        assert_eq!(options[..17], SYN_OPTIONS[..17]);
        assert_eq!(options[17..], [3, 3, USUAL_SHIFT]);
    }

    #[test]
    fn segments_other_than_a_syn_lose_the_option_that_is_cut() {
        let options = [1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 7];
        let cut = cut_at(45, Flags::ACK, &options).unwrap();
        assert_eq!(cut, [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_header_that_ends_before_its_options_is_left_alone() {
        assert!(cut_at(39, Flags::SYN, &SYN_OPTIONS).is_none());
        assert!(cut_at(60, Flags::SYN, &SYN_OPTIONS).is_none());
    }
}
