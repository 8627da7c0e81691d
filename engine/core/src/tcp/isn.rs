//! Initial sequence numbers (RFC 6528): a clock of 4 us plus a keyed hash of the tuple.

use core::hash::Hasher;

use siphasher::sip::SipHasher24;

use crate::api::time::Micros;
use crate::flow::key::PackedKey;
use crate::tcp::seq::Seq;

/// The ISN of a flow that is answered at `now`.
pub(crate) fn isn_for(secret: u64, key: &PackedKey, now: Micros) -> Seq {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "RFC 6528: both terms are taken modulo 2^32"
    )]
    let isn = (keyed(secret, 0x6528_6528_6528_6528, key) as u32).wrapping_add((now.0 / 4) as u32);
    Seq(isn)
}

/// What is added to the clock of a flow's timestamps (RFC 7323 section 5.4).
pub(crate) fn timestamp_offset(secret: u64, key: &PackedKey) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "any half of a hash")]
    let offset = keyed(secret, 0x7323_7323_7323_7323, key) as u32;
    offset
}

fn keyed(secret: u64, purpose: u64, key: &PackedKey) -> u64 {
    let mut hasher = SipHasher24::new_with_keys(secret, secret.rotate_left(32) ^ purpose);
    for word in key.words() {
        hasher.write_u64(word);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::flow::key::{FlowKey, Proto};
    use core::time::Duration;

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
}
