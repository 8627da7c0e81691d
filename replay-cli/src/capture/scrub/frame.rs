//! What stands before and behind an IP packet in its frame.

use std::ops::Range;

use super::Mark;
use super::mapping::Mapping;

/// Puts other hardware addresses into a link header; says how many were replaced.
pub(super) fn link(link: u16, header: &mut [u8], marks: &mut [Mark], mapping: &Mapping) -> usize {
    let length = |header: &[u8], at: usize| header.get(at).copied().map_or(0, usize::from);
    let places: [Range<usize>; 2] = match link {
        1 => [0..6, 6..12],
        // LINUX_SLL and LINUX_SLL2 say how long their address is, of at most eight bytes.
        113 => [6..6 + length(header, 5).min(8), 0..0],
        276 => [12..12 + length(header, 11).min(8), 0..0],
        // Of PKTAP nothing but its length, its type and the link type behind it is read: names of processes and interfaces go.
        149 | 258 => {
            let size = length(header, 0) | length(header, 1) << 8;
            let end = size.clamp(12, header.len().max(12));
            header.get_mut(12..end).unwrap_or_default().fill(0);
            let inner = length(header, 8) as u16 | (length(header, 9) as u16) << 8;
            return match (header.get_mut(end..), marks.get_mut(end..)) {
                (Some(rest), Some(marks)) if !matches!(inner, 149 | 258) => {
                    self::link(inner, rest, marks, mapping)
                }
                _ => 0,
            };
        }
        _ => [0..0, 0..0],
    };
    let mut replaced = 0;
    for place in places {
        if let (Some(bytes), Some(marks)) = (header.get_mut(place.clone()), marks.get_mut(place)) {
            mapping.put_hardware(bytes);
            marks.fill(Mark::Named);
            replaced += usize::from(!bytes.is_empty());
        }
    }
    replaced
}
