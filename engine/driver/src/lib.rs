//! What drives the [`engine`]: the core has no thread, clock or socket; here they are.
//!
//! * [`turn`]: the heart, still without a thread: a bounded frame ring and an inbox of dialer events go in, a
//!   [`Host`] takes what comes out, one fair [`Turn`] at a time. Time is an argument, so that it runs in virtual time
//!   as it does on a phone.
//! * [`Clock`]: where the time comes from; one that counts sleep, one that is set by hand.
//! * [`recorder`]: what crossed the engine's border, in a pcapng that can be replayed.
//! * [`Stats`]: what the loop measures about itself.
//!
//! Whoever owns the [`Turn`] calls it; everybody else has a [`Mailbox`], which never touches the engine.

mod clock;
mod histogram;
pub mod recorder;
mod stats;
pub mod turn;

pub use crate::clock::{Clock, ManualClock};
pub use crate::histogram::Histogram;
pub use crate::stats::{Snapshot, Stats};
pub use crate::turn::{Host, Limits, Mailbox, Notice, Turn};
