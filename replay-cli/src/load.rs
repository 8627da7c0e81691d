//! Load for a stack: a device with many TCP clients and UDP sockets, and the far side that answers them, both without
//! IO or time of their own. What arrives is verified byte by byte, each at its place: speed that loses bytes is a
//! failure.
//!
//! ```text
//!   Device::emit    ──frames──> stack ──dials, bytes──> Far
//!   Device::receive <──frames── stack <──bytes, ends─── Far
//! ```
//! [`Session`] puts the engine between the two; another stack needs only a loop of its own.

mod client;
pub mod clock;
mod datagrams;
mod device;
mod far;
mod flight;
mod path;
mod pattern;
mod plan;
mod ranges;
mod remotes;
mod session;
pub mod stress;
mod troubles;
mod weather;
mod wire;

pub use client::DEVICE_WINDOW;
pub use device::{Device, DeviceTotals};
pub use far::{Far, FarTotals};
pub use path::{Lane, LaneTotals, Path};
pub use pattern::{Pattern, downstream, upstream};
pub use plan::{DatagramPlan, FlowPlan, Side};
pub use remotes::{Border, Remotes};
pub use session::{Session, Stalled};
pub use weather::{Way, Weather};
