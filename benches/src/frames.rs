//! Frames by hand: lines of the notation as the bytes of their packets.

use std::net::SocketAddr;

use replay::notation::{Bindings, Ends, Line, Numbering};
use replay::packet::Seq;

/// The far end of every flow.
pub const FAR: SocketAddr = SocketAddr::new(
    std::net::IpAddr::V4(std::net::Ipv4Addr::new(93, 184, 216, 34)),
    80,
);

/// The device's end of a flow with a number below 1,000,000: 50,000 ports an address.
#[must_use]
pub fn device(number: usize) -> SocketAddr {
    let [high, low] = u16::try_from(number / 50_000).unwrap_or(0).to_be_bytes();
    let port = 10_000 + u16::try_from(number % 50_000).unwrap_or(0);
    SocketAddr::from(([10, 1, high, low], port))
}

/// The packet that a line of a flow describes; the line names its flow as it likes.
///
/// # Errors
/// The line cannot be read, or is not about a packet.
pub fn frame(line: &str, protocol: u8, number: usize) -> Result<Vec<u8>, String> {
    let line = Line::parse(line).map_err(|problem| problem.what)?;
    let (direction, segment) = line.segment().ok_or("no packet")?;
    let ends = Ends {
        protocol,
        device: device(number),
        far: FAR,
    };
    let numbers = Numbering {
        device_isn: Some(Seq(1_000_000)),
        engine_isn: Some(Seq(2_000_000)),
    };
    segment
        .build(direction, &ends, &numbers, &Bindings::default())
        .map_err(|problem| problem.to_string())
}
