//! What drives the [`engine`]: the core has no thread, clock or socket; here they are.
//!
//! * [`turn`]: the heart, still without a thread: a bounded frame ring and an inbox of dialer events go in, a
//!   [`Host`] takes what comes out, one fair [`Turn`] at a time. Time is an argument, so that it runs in virtual time
//!   as it does on a phone.
//! * [`Clock`]: where the time comes from; one that counts sleep, one that is set by hand.
//! * [`recorder`]: what crossed the engine's border, in a pcapng that can be replayed.
//! * [`resolver`]: addresses for intercepted DNS queries, from the system, behind a cache.
//! * [`Stats`]: what the loop measures about itself.
//!
//! * `Loop` (feature `tokio`): a turn on tokio, with a `TokioClock` that can be paused.
//! * `TokioDialer` (feature `dialer`): real sockets for the far side.
//! * `Tun` (feature `tun`, Linux): a real device.
//!
//! Whoever owns the [`Turn`] calls it; everybody else has a [`Mailbox`], which never touches the engine.

#![deny(unsafe_code)]

mod clock;
#[cfg(feature = "dialer")]
pub mod dialer;
mod histogram;
pub mod recorder;
pub mod resolver;
mod stats;
#[cfg(feature = "tokio")]
mod tokio_loop;
#[cfg(all(feature = "tun", target_os = "linux"))]
pub mod tun;
pub mod turn;

#[cfg(feature = "tokio")]
pub use crate::clock::TokioClock;
pub use crate::clock::{BootClock, Clock, LOOK_AGAIN, ManualClock};
#[cfg(feature = "dialer")]
pub use crate::dialer::TokioDialer;
pub use crate::histogram::Histogram;
pub use crate::stats::{Snapshot, Stats};
#[cfg(feature = "tokio")]
pub use crate::tokio_loop::{Handle, Loop};
#[cfg(all(feature = "tun", target_os = "linux"))]
pub use crate::tun::Tun;
pub use crate::turn::{Host, Limits, Mailbox, Notice, SettingsError, Turn};

/// What README shows of this crate compiles.
#[cfg(all(doctest, feature = "dialer", feature = "tun", target_os = "linux"))]
#[doc = include_str!("../../../README.md")]
struct Readme;
