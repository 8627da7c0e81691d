//! The TCP options that a client sends and receives.

/// Bytes of the longest list of options that a client sends beside those of a SYN: four SACK blocks, padded.
const LONGEST: usize = 36;

/// The options of a SYN: segment size, window scale, and whether selective acknowledgements are permitted.
pub(super) fn of_syn(mss: u16, shift: u8, sack: bool) -> Vec<u8> {
    let [high, low] = mss.to_be_bytes();
    let mut options = vec![2, 4, high, low, 3, 3, shift];
    options.extend(if sack { &[4, 2, 1, 1, 0][..] } else { &[0] });
    options
}

/// A SACK option of at most four ranges, by places of a stream whose first byte is `first`; and how long it is.
pub(super) fn sack(first: u32, ranges: impl Iterator<Item = (u64, u64)>) -> ([u8; LONGEST], usize) {
    let mut options = [1; LONGEST];
    let mut len = 4;
    for (from, to) in ranges.take(4) {
        for place in [from, to] {
            let seq = first.wrapping_add(place as u32).to_be_bytes();
            if let Some(field) = options.get_mut(len..len + 4) {
                field.copy_from_slice(&seq);
            }
            len += 4;
        }
    }
    if len == 4 {
        return (options, 0);
    }
    (options[2], options[3]) = (5, (len - 2) as u8);
    (options, len)
}

/// What a SYN offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Offers {
    pub(super) mss: Option<u16>,
    pub(super) shift: Option<u8>,
}

impl Offers {
    pub(super) fn read(options: &[u8]) -> Self {
        let mut offers = Self::default();
        for (kind, value) in List(options) {
            match (kind, value) {
                (2, &[high, low]) => offers.mss = Some(u16::from_be_bytes([high, low])),
                (3, &[by]) => offers.shift = Some(by),
                _ => {}
            }
        }
        offers
    }
}

/// The SACK blocks of an acknowledgement, as sequence numbers.
pub(super) fn blocks(options: &[u8]) -> impl Iterator<Item = (u32, u32)> + '_ {
    let sack = List(options).filter(|(kind, _)| *kind == 5);
    sack.flat_map(|(_, value)| value.chunks_exact(8))
        .map(|block| {
            let (left, right) = block.split_at(4);
            let number = |bytes: &[u8]| bytes.first_chunk().map_or(0, |of| u32::from_be_bytes(*of));
            (number(left), number(right))
        })
}

/// Kinds and values, up to the end or the first illegal length.
struct List<'a>(&'a [u8]);

impl<'a> Iterator for List<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        while let [1, rest @ ..] = self.0 {
            self.0 = rest;
        }
        let (&kind, &len) = (self.0.first()?, self.0.get(1)?);
        if kind == 0 || len < 2 {
            return None;
        }
        let (option, rest) = self.0.split_at_checked(usize::from(len))?;
        self.0 = rest;
        Some((kind, option.get(2..)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_syn_says_what_it_offers() {
        for sack in [false, true] {
            let options = of_syn(1460, 7, sack);
            assert_eq!(options.len() % 4, 0);
            let offers = Offers {
                mss: Some(1460),
                shift: Some(7),
            };
            assert_eq!(Offers::read(&options), offers);
            assert_eq!(List(&options).any(|(kind, _)| kind == 4), sack);
        }
        assert_eq!(Offers::read(&[2, 9, 1]), Offers::default());
    }

    #[test]
    fn blocks_come_out_as_they_went_in() {
        let ranges = [(10, 20), (u64::from(u32::MAX), u64::from(u32::MAX) + 5)];
        let (options, len) = sack(100, ranges.into_iter());
        assert_eq!(len, 20);
        assert!(blocks(&options[..len]).eq([(110, 120), (99, 104)]));
        assert_eq!(sack(100, core::iter::empty()).1, 0);
    }
}
