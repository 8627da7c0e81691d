//! Selective acknowledgements (RFC 2018): smoltcp reports one block, and none beside text. What it holds behind a
//! hole is kept in step here, and every segment that leaves meanwhile gets the blocks.

use crate::api::batch::FrameBatch;
use crate::ip::build::Addresses;
use crate::ip::checksum;
use crate::tcp::seq::Seq;
use crate::tcp::stack::Assembler;

/// Blocks that fit beside no other option.
const BLOCKS: usize = 4;

/// Octets that the option may take, its padding included.
pub(crate) const ROOM: usize = 4 + 8 * BLOCKS;

/// What was received behind a hole.
#[derive(Debug)]
pub(crate) struct Holes {
    /// The same adds give the same ranges as smoltcp has, limits included.
    ranges: Assembler,
    /// Where the newest segment of each of the blocks received last stood, newest first.
    recent: Vec<Seq>,
}

impl Holes {
    pub(crate) fn new() -> Self {
        Self {
            ranges: Assembler::new(),
            recent: Vec::with_capacity(BLOCKS),
        }
    }

    /// Notes the part of a segment that lies in the window, `expected` being RCV.NXT before it; says how many octets
    /// it made the stream longer.
    pub(crate) fn note(&mut self, expected: Seq, start: Seq, end: Seq) -> u32 {
        let distance = |to: Seq| usize::try_from(to.minus(expected)).unwrap_or(0);
        let (from, to) = (distance(start), distance(end));
        let Ok(longer) = self
            .ranges
            .add_then_remove_front(from, to.saturating_sub(from))
        else {
            // Too many holes: smoltcp does not keep it either.
            return 0;
        };
        let longer = u32::try_from(longer).unwrap_or(u32::MAX);
        let base = expected.plus(longer);
        if let Some(block) = self.block(base, start) {
            self.recent.retain(|seq| !holds(block, *seq));
            self.recent.insert(0, start);
            self.recent.truncate(BLOCKS);
        }
        longer
    }

    pub(crate) fn are_filled(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The blocks to report, the newest first; `expected` is RCV.NXT.
    fn blocks(&self, expected: Seq) -> impl Iterator<Item = (Seq, Seq)> {
        let newest = self
            .recent
            .iter()
            .filter_map(move |seq| self.block(expected, *seq));
        let others = self
            .all(expected)
            .filter(|block| !self.recent.iter().any(|seq| holds(*block, *seq)));
        newest.chain(others).take(BLOCKS)
    }

    fn block(&self, expected: Seq, seq: Seq) -> Option<(Seq, Seq)> {
        self.all(expected).find(|block| holds(*block, seq))
    }

    fn all(&self, expected: Seq) -> impl Iterator<Item = (Seq, Seq)> {
        let at = move |offset: usize| expected.plus(u32::try_from(offset).unwrap_or(0));
        self.ranges
            .iter_data()
            .map(move |(left, right)| (at(left), at(right)))
    }

    /// Puts the blocks into the frame emitted last, in the place of the options it has.
    pub(crate) fn attach(&self, expected: Seq, out: &mut FrameBatch) {
        let mut option = [1; ROOM];
        let mut len = 4;
        for (left, right) in self.blocks(expected) {
            let Some(space) = option.get_mut(len..len + 8) else {
                break;
            };
            let (from, to) = space.split_at_mut(4);
            from.copy_from_slice(&left.0.to_be_bytes());
            to.copy_from_slice(&right.0.to_be_bytes());
            len += 8;
        }
        // Two octets of padding go first, so that the numbers are aligned (RFC 2018 section 3).
        option[2] = 5;
        option[3] = u8::try_from(len - 2).unwrap_or(0);
        replace_options(out, option.get(..len).unwrap_or(&[]));
    }
}

fn holds((left, right): (Seq, Seq), seq: Seq) -> bool {
    !seq.is_before(left) && seq.is_before(right)
}

/// Gives the frame emitted last other options: a TCP segment behind a plain IP header, as smoltcp writes them.
fn replace_options(out: &mut FrameBatch, options: &[u8]) {
    let before = out.last().len();
    let (header, offset) = match out.last() {
        [first, ..] if first >> 4 == 6 => (40, out.last().get(52)),
        frame => (20, frame.get(32)),
    };
    let Some(offset) = offset.map(|offset| usize::from(offset >> 4) * 4) else {
        return;
    };
    let (text, moved) = (header + offset, header + 20 + options.len());
    let after = before + moved - text.min(before);
    let frame = out.resize_last(before.max(after));
    if text > before || frame.len() < before.max(after) {
        return;
    }
    frame.copy_within(text..before, moved);
    let frame = out.resize_last(after);
    if let Some(space) = frame.get_mut(header + 20..moved) {
        space.copy_from_slice(options);
    }
    mend(frame, header, 20 + options.len());
}

/// Writes lengths and checksums anew.
fn mend(frame: &mut [u8], header: usize, offset: usize) {
    let Some(addresses) = Addresses::of(frame) else {
        return;
    };
    let total = if header == 40 {
        frame.len() - 40
    } else {
        frame.len()
    };
    let [high, low] = u16::try_from(total).unwrap_or(u16::MAX).to_be_bytes();
    let Some((ip, tcp)) = frame.split_at_mut_checked(header) else {
        return;
    };
    if let [_, _, l0, l1, _, _, _, _, _, _, c0, c1, ..] = ip
        && header == 20
    {
        [*l0, *l1, *c0, *c1] = [high, low, 0, 0];
        let sum = checksum::of(ip).to_be_bytes();
        if let Some(field) = ip.get_mut(10..12) {
            field.copy_from_slice(&sum);
        }
    } else if let Some(field) = ip.get_mut(4..6) {
        field.copy_from_slice(&[high, low]);
    }
    if let [
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        _,
        words,
        _,
        _,
        _,
        c0,
        c1,
        ..,
    ] = tcp
    {
        *words = u8::try_from(offset / 4).unwrap_or(15) << 4;
        [*c0, *c1] = [0, 0];
    }
    let sum = checksum::tcp_udp(&addresses, 6, tcp).to_be_bytes();
    if let Some(field) = tcp.get_mut(16..18) {
        field.copy_from_slice(&sum);
    }
}

/// Whether a SYN permits selective acknowledgements.
pub(crate) fn is_permitted(mut options: &[u8]) -> bool {
    // Each option is at least one octet long: the walk ends.
    loop {
        options = match *options {
            [4, 2, ..] => return true,
            [] | [0, ..] => return false,
            [1, ref rest @ ..] => rest,
            [_, len, ..] if len >= 2 => options.get(usize::from(len)..).unwrap_or(&[]),
            _ => return false,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(holes: &Holes, expected: u32) -> Vec<(u32, u32)> {
        holes
            .blocks(Seq(expected))
            .map(|(left, right)| (left.0, right.0))
            .collect()
    }

    #[test]
    fn the_newest_block_comes_first_and_an_extended_one_counts_as_new() {
        let mut holes = Holes::new();
        for at in [100, 300, 500] {
            assert_eq!(holes.note(Seq(0), Seq(at), Seq(at + 10)), 0);
        }
        assert_eq!(blocks(&holes, 0), [(500, 510), (300, 310), (100, 110)]);
        holes.note(Seq(0), Seq(110), Seq(120));
        assert_eq!(blocks(&holes, 0), [(100, 120), (500, 510), (300, 310)]);
    }

    #[test]
    fn a_filled_hole_takes_its_block_along() {
        let mut holes = Holes::new();
        holes.note(Seq(u32::MAX - 9), Seq(0), Seq(10));
        assert_eq!(blocks(&holes, u32::MAX - 9), [(0, 10)]);
        assert_eq!(holes.note(Seq(u32::MAX - 9), Seq(u32::MAX - 9), Seq(0)), 20);
        assert!(holes.are_filled());
    }

    #[test]
    fn at_most_four_blocks_are_reported() {
        let mut holes = Holes::new();
        for at in 1..10 {
            holes.note(Seq(0), Seq(at * 100), Seq(at * 100 + 1));
        }
        assert_eq!(
            blocks(&holes, 0),
            [(900, 901), (800, 801), (700, 701), (600, 601)]
        );
    }

    #[test]
    fn sack_permitted_is_found_among_other_options() {
        assert!(is_permitted(&[2, 4, 5, 180, 1, 1, 4, 2]));
        assert!(!is_permitted(&[2, 4, 4, 2, 0, 4, 2]));
        assert!(!is_permitted(&[254, 1, 4, 2]));
    }
}
