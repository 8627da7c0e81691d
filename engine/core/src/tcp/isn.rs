//! Initial sequence numbers (RFC 6528): a clock of 4 us plus a keyed hash of the tuple.
//!
//! smoltcp has no call to set one. It draws the ISN from a small generator seeded through
//! `Config::random_seed`; that generator runs backwards as well, so the seed for any wanted number can be had.

use core::hash::Hasher;

use siphasher::sip::SipHasher24;

use crate::api::time::Micros;
use crate::flow::key::PackedKey;
use crate::tcp::seq::Seq;

/// The ISN of a flow that is answered at `now`.
pub(crate) fn isn_for(secret: u64, key: &PackedKey, now: Micros) -> Seq {
    let mut hasher =
        SipHasher24::new_with_keys(secret, secret.rotate_left(32) ^ 0x6528_6528_6528_6528);
    for word in key.words() {
        hasher.write_u64(word);
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "RFC 6528: both terms are taken modulo 2^32"
    )]
    let isn = (hasher.finish() as u32).wrapping_add((now.0 / 4) as u32);
    Seq(isn)
}

const MULTIPLIER: u64 = 0xbb2e_fcec_3c39_611d;
const INCREMENT: u64 = 0x7590_ef39;
const INVERSE: u64 = inverse(MULTIPLIER);

/// The multiplicative inverse modulo 2^64 of an odd number, by Newton's iteration.
const fn inverse(odd: u64) -> u64 {
    let mut x = odd;
    let mut round = 0;
    while round < 6 {
        x = x.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(x)));
        round += 1;
    }
    x
}

/// The seed with which smoltcp's generator gives `isn` as its second number. The first is the
/// interface's IPv4 identification, drawn again while it is zero: those seeds are passed over.
pub(crate) fn seed_for(isn: Seq) -> u64 {
    let mut low = 0;
    loop {
        // With the three top bits clear the generator puts out bits 29 to 60 of its state.
        let second = u64::from(isn.0) << 29 | low;
        let first = second.wrapping_sub(INCREMENT).wrapping_mul(INVERSE);
        let shift = 29 - (first >> 61);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the generator truncates just so"
        )]
        let drawn = (first >> shift) as u32;
        if (drawn ^ drawn >> 16) & 0xffff != 0 || low == 64 {
            return first.wrapping_sub(INCREMENT).wrapping_mul(INVERSE);
        }
        low += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::api::batch::FrameBatch;
    use crate::flow::key::{FlowKey, Proto};
    use crate::tcp::stack::{Cut, Stack};
    use core::time::Duration;
    use etherparse::PacketBuilder;
    use proptest::prelude::*;

    /// The sequence number of the SYN-ACK that smoltcp emits when it is steered to `isn`.
    fn emitted(isn: Seq) -> Seq {
        let mut syn = Vec::new();
        PacketBuilder::ipv4([10, 0, 0, 2], [192, 0, 2, 1], 64)
            .tcp(40_000, 443, 9, 65_535)
            .syn()
            .write(&mut syn, &[])
            .expect("a Vec takes all");
        let mut stack = Stack::new(1500, 4096, 4096, false);
        let now = Micros::from_secs(1);
        let server = "192.0.2.1:443".parse().expect("an address");
        let mut socket = stack.open(now, &syn, server, isn).expect("a sound SYN");
        let sent = stack.egress(
            now,
            &mut socket,
            Seq(0),
            &mut FrameBatch::default(),
            Cut::One,
        );
        sent.expect("a SYN-ACK").seq
    }

    proptest! {
        #[test]
        fn the_emitted_number_is_the_wanted_one(isn: u32) {
            prop_assert_eq!(emitted(Seq(isn)), Seq(isn));
        }
    }

    #[test]
    fn extreme_numbers_are_emitted_as_wanted() {
        for isn in [0, 1, u32::MAX, 1 << 31, 0xffff, 0xffff_0000] {
            assert_eq!(emitted(Seq(isn)), Seq(isn));
        }
    }

    fn key(port: u16) -> PackedKey {
        PackedKey::from(&FlowKey {
            proto: Proto::Tcp,
            client: ([10, 0, 0, 2], port).into(),
            server: ([192, 0, 2, 1], 443).into(),
        })
    }

    #[test]
    fn the_clock_term_ticks_every_four_microseconds() {
        let start = Micros::from_secs(5);
        let first = isn_for(7, &key(1), start);
        assert_eq!(
            isn_for(7, &key(1), start.plus(Duration::from_micros(3))),
            first
        );
        let later = isn_for(7, &key(1), start.plus(Duration::from_secs(1)));
        assert_eq!(later.minus(first), 250_000);
    }

    #[test]
    fn the_keyed_term_depends_on_tuple_and_secret() {
        let now = Micros::from_secs(5);
        assert_ne!(isn_for(7, &key(1), now), isn_for(7, &key(2), now));
        assert_ne!(isn_for(7, &key(1), now), isn_for(8, &key(1), now));
    }

    #[test]
    fn inverse_undoes_the_multiplier() {
        assert_eq!(MULTIPLIER.wrapping_mul(INVERSE), 1);
    }
}
