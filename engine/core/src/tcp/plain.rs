//! A TCP segment rebuilt as smoltcp can read it: no extension headers, a FIN taken off where needed.

use std::net::IpAddr;

use crate::ip::build::Addresses;
use crate::ip::checksum;
use crate::ip::packet::{IpPacket, Segment};
use crate::tcp::seq::Seq;

/// What is left of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plain {
    /// Octets of TCP header, options included.
    pub(crate) header_len: usize,
    /// Whether the payload goes along.
    pub(crate) payload: bool,
    /// Whether the FIN is taken off.
    pub(crate) without_fin: bool,
    /// What acknowledgement and window field are put in the place of its own.
    pub(crate) ack: Option<(Seq, u16)>,
    /// A maximum segment size to add, if there is room for the option.
    pub(crate) mss: Option<u16>,
}

impl Plain {
    /// All of a segment.
    pub(crate) fn whole(segment: &Segment<'_>) -> Self {
        Self {
            header_len: segment.header_len,
            payload: true,
            without_fin: false,
            ack: None,
            mss: None,
        }
    }
}

/// Whether every option's length fits (RFC 9293 section 3.1): smoltcp drops a whole segment for one that does not.
#[inline]
pub(crate) fn options_are_sound(options: &[u8]) -> bool {
    options.is_empty() || sound_len(options) == options.len()
}

/// Ends the list before the first option whose length is illegal, as RFC 9293 MUST-7 allows.
fn truncate_options(options: &mut [u8]) {
    let sound = sound_len(options);
    options.iter_mut().skip(sound).for_each(|byte| *byte = 0);
}

/// Octets of options up to the first that is wrong, or all of them.
fn sound_len(options: &[u8]) -> usize {
    let mut at = 0;
    while let Some(rest) = options.get(at..) {
        // Each option is at least one octet long: the walk ends.
        let len = match *rest {
            [] | [0, ..] => return options.len(),
            [1, ..] => 1,
            [kind, len, ..] => match (kind, len) {
                (2, 4) | (3, 3) | (4, 2) | (8, 10) | (5, 10 | 18 | 26 | 34) => usize::from(len),
                (2..=5 | 8, _) | (_, 0 | 1) => return at,
                _ => usize::from(len),
            },
            [_] => return at,
        };
        if len > rest.len() {
            return at;
        }
        at += len;
    }
    at
}

/// Writes `ip`'s frame into `to`, which is overwritten, with another window field. The checksum is left as it was:
/// smoltcp is not told to look at it.
pub(crate) fn write_with_window(to: &mut Vec<u8>, ip: &IpPacket<'_>, field: u16) {
    to.clear();
    to.extend_from_slice(ip.frame);
    let start = ip.frame.len() - ip.payload.len();
    if let Some(window) = to.get_mut(start + 14..start + 16) {
        window.copy_from_slice(&field.to_be_bytes());
    }
}

/// Sets the window scale option of a SYN that [`write`] wrote, if it has one.
pub(crate) fn set_window_scale(frame: &mut [u8], shift: u8) {
    let v6 = frame.first().is_some_and(|first| first >> 4 == 6);
    let start = if v6 { 40 } else { 20 };
    let Some(mut options) = frame.get_mut(start + 20..) else {
        return;
    };
    loop {
        match options {
            [3, 3, value, ..] => {
                *value = shift;
                return;
            }
            [1, rest @ ..] => options = rest,
            [0, ..] | [] | [_] => return,
            [_, len, ..] => {
                let len = usize::from(*len).max(2);
                let Some(rest) = options.get_mut(len..) else {
                    return;
                };
                options = rest;
            }
        }
    }
}

/// Writes `ip`'s segment into `to`, which is overwritten.
pub(crate) fn write(to: &mut Vec<u8>, ip: &IpPacket<'_>, plain: Plain) {
    to.clear();
    let tcp = if plain.payload {
        ip.payload
    } else {
        ip.payload.get(..plain.header_len).unwrap_or(ip.payload)
    };
    // A header has room for 40 octets of options.
    let mss = plain.mss.filter(|_| plain.header_len <= 56);
    let added = if mss.is_some() { 4 } else { 0 };
    // Fits: the packet came as an IP packet of about this length.
    let length = u16::try_from(tcp.len() + added).unwrap_or(u16::MAX);
    match (ip.source, ip.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let [high, low] = length.saturating_add(20).to_be_bytes();
            to.extend([0x45, 0, high, low, 0, 0, 0x40, 0, 64, 6, 0, 0]);
            to.extend(source.octets());
            to.extend(destination.octets());
            let [c0, c1] = checksum::of(to).to_be_bytes();
            if let Some(field) = to.get_mut(10..12) {
                field.copy_from_slice(&[c0, c1]);
            }
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let [high, low] = length.to_be_bytes();
            to.extend([0x60, 0, 0, 0, high, low, 6, 64]);
            to.extend(source.octets());
            to.extend(destination.octets());
        }
        // One packet has one family.
        _ => return,
    }
    let start = to.len();
    to.extend_from_slice(tcp);
    if let Some(options) = to.get_mut(start + 20..start + plain.header_len) {
        truncate_options(options);
    }
    if let Some(mss) = mss
        && to.len() >= start + 20
    {
        let [high, low] = mss.to_be_bytes();
        to.splice(start + 20..start + 20, [2, 4, high, low]);
        if let Some(offset) = to.get_mut(start + 12) {
            *offset += 1 << 4;
        }
    }
    let Some(addresses) = Addresses::new(ip.source, ip.destination) else {
        return;
    };
    let Some(segment) = to.get_mut(start..) else {
        return;
    };
    if plain.without_fin
        && let Some(flags) = segment.get_mut(13)
    {
        *flags &= !1;
    }
    if let Some((ack, window)) = plain.ack {
        if let Some(field) = segment.get_mut(8..12) {
            field.copy_from_slice(&ack.0.to_be_bytes());
        }
        if let Some(field) = segment.get_mut(14..16) {
            field.copy_from_slice(&window.to_be_bytes());
        }
    }
    if let Some(field) = segment.get_mut(16..18) {
        field.fill(0);
    }
    let [c0, c1] = checksum::tcp_udp(&addresses, 6, segment).to_be_bytes();
    if let Some(field) = segment.get_mut(16..18) {
        field.copy_from_slice(&[c0, c1]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_ends_before_an_option_of_illegal_length() {
        let mut options = [2, 4, 5, 180, 4, 137, 1, 1];
        assert!(!options_are_sound(&options));
        truncate_options(&mut options);
        assert_eq!(options, [2, 4, 5, 180, 0, 0, 0, 0]);
        assert!(options_are_sound(&options));
    }

    /// A SYN with these options, as the device sends it.
    fn syn(v6: bool, options: &[u8]) -> Vec<u8> {
        let mut tcp = vec![0, 1, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0];
        tcp.extend([(5 + options.len() as u8 / 4) << 4, 2, 1, 0, 0, 0, 0, 0]);
        tcp.extend(options);
        let mut frame = if v6 {
            vec![0x60, 0, 0, 0, 0, tcp.len() as u8, 6, 64]
        } else {
            vec![
                0x45,
                0,
                0,
                20 + tcp.len() as u8,
                0,
                0,
                0,
                0,
                64,
                6,
                0,
                0,
                10,
                0,
                0,
                2,
                192,
                0,
                2,
                1,
            ]
        };
        if v6 {
            frame.extend([0xfd; 32]);
        }
        frame.extend(tcp);
        frame
    }

    #[test]
    fn the_window_scale_is_found_behind_any_other_option_in_both_families() {
        for v6 in [false, true] {
            let start = if v6 { 60 } else { 40 };
            for (before, at) in [
                (&[1, 3, 3, 7][..], 3),
                (&[2, 4, 5, 180, 1, 1, 4, 2, 3, 3, 7, 0], 10),
            ] {
                let mut frame = syn(v6, before);
                let mut wanted = frame.clone();
                wanted[start + at] = 2;
                set_window_scale(&mut frame, 2);
                assert_eq!(frame, wanted, "IPv6: {v6}");
            }
            let without = syn(v6, &[2, 4, 3, 3, 0, 3, 3, 9]);
            let mut frame = without.clone();
            set_window_scale(&mut frame, 2);
            assert_eq!(frame, without, "no such option before the end of the list");
        }
    }

    #[test]
    fn unknown_options_of_legal_length_are_kept() {
        assert!(options_are_sound(&[254, 4, 0, 0, 1, 3, 3, 7]));
    }
}
