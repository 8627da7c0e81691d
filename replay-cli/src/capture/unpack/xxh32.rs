//! XXH32 with seed 0, which all checksums of LZ4 frames are.

/// A hash under construction.
pub(super) struct Xxh32 {
    lanes: [u32; 4],
    /// Bytes that do not fill a stripe of 16 so far.
    rest: Vec<u8>,
    len: u32,
}

const PRIMES: [u32; 5] = [
    2_654_435_761,
    2_246_822_519,
    3_266_489_917,
    668_265_263,
    374_761_393,
];

impl Xxh32 {
    pub(super) fn new() -> Self {
        let [one, two, ..] = PRIMES;
        Self {
            lanes: [one.wrapping_add(two), two, 0, 0_u32.wrapping_sub(one)],
            rest: Vec::new(),
            len: 0,
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.len = self.len.wrapping_add(bytes.len() as u32);
        let missing = (16 - self.rest.len()).min(bytes.len());
        let (first, behind) = bytes.split_at(missing);
        self.rest.extend_from_slice(first);
        if self.rest.len() < 16 {
            return;
        }
        let begun = std::mem::take(&mut self.rest);
        self.stripes(&begun);
        let whole = behind.len() / 16 * 16;
        let (whole, rest) = behind.split_at(whole);
        self.stripes(whole);
        self.rest.extend_from_slice(rest);
    }

    fn stripes(&mut self, bytes: &[u8]) {
        let [one, two, ..] = PRIMES;
        for stripe in bytes.as_chunks::<16>().0 {
            for (lane, word) in self.lanes.iter_mut().zip(stripe.as_chunks::<4>().0) {
                let sum = lane.wrapping_add(u32::from_le_bytes(*word).wrapping_mul(two));
                *lane = sum.rotate_left(13).wrapping_mul(one);
            }
        }
    }

    pub(super) fn finish(&self) -> u32 {
        let [one, two, three, four, five] = PRIMES;
        let mut hash = if self.len_is_beyond_a_stripe() {
            let turned = self.lanes.iter().zip([1, 7, 12, 18]);
            turned.fold(0, |sum: u32, (lane, by)| {
                sum.wrapping_add(lane.rotate_left(by))
            })
        } else {
            five
        };
        hash = hash.wrapping_add(self.len);
        let (words, bytes) = self.rest.as_chunks::<4>();
        for word in words {
            let sum = hash.wrapping_add(u32::from_le_bytes(*word).wrapping_mul(three));
            hash = sum.rotate_left(17).wrapping_mul(four);
        }
        for byte in bytes {
            let sum = hash.wrapping_add(u32::from(*byte).wrapping_mul(five));
            hash = sum.rotate_left(11).wrapping_mul(one);
        }
        hash = (hash ^ (hash >> 15)).wrapping_mul(two);
        hash = (hash ^ (hash >> 13)).wrapping_mul(three);
        hash ^ (hash >> 16)
    }

    /// Whether stripes were taken: `len` is modulo 2^32, the lanes tell.
    fn len_is_beyond_a_stripe(&self) -> bool {
        self.lanes != Self::new().lanes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_does_not_depend_on_how_the_bytes_come() {
        let bytes: Vec<u8> = (0..100).collect();
        let mut whole = Xxh32::new();
        whole.update(&bytes);
        for at in 0..bytes.len() {
            let mut parts = Xxh32::new();
            parts.update(&bytes[..at]);
            parts.update(&bytes[at..]);
            assert_eq!(parts.finish(), whole.finish(), "{at}");
        }
    }

    #[test]
    fn known_values_are_those_of_its_definition() {
        // Of nothing, and of "abc".
        let mut hash = Xxh32::new();
        assert_eq!(hash.finish(), 0x02cc_5d05);
        hash.update(b"abc");
        assert_eq!(hash.finish(), 0x32d1_53ff);
    }
}
