//! A device and a dialer made of plain bytes: what a test needs to hold an engine to its word.

#![allow(
    dead_code,
    unused_imports,
    reason = "each test binary uses its own part"
)]

mod bench;
mod device;
pub(crate) mod heap;
mod packet;

pub(crate) use bench::{Bench, Seen, closes, datagrams, dials, packets, stream, tcp};
pub(crate) use device::{Device, Family, Udp};
pub(crate) use packet::{Packet, Tcp};
