//! What may wait where, and how much one turn does.

use core::time::Duration;

/// Bounds of a [`Turn`](crate::Turn) and its [`Mailbox`](crate::Mailbox). Worst-case memory beside the engine's own:
/// twice `ring_bytes` while a flood lasts, `inboxes_bytes` for streams and twice that for datagrams, 4 KiB for each flow, half a MiB
/// of empty buffers, one batch of frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Frames of the device that may wait. Default 4,096.
    pub ring_frames: usize,
    /// Octets of them. Default 1 MiB: three turns' worth of full frames.
    pub ring_bytes: usize,
    /// Octets of a far side that may wait for the engine, for each flow; a datagram costs 64 more than its length.
    /// One datagram always fits. Of datagrams the count begins anew when a turn takes them up, so that there may be twice
    /// as many while a turn that was cut short by its budget has left some. Default 64 KiB.
    pub inbox_bytes: usize,
    /// Octets that all inboxes together may take for what waits for the engine; beyond, each flow may have no more than
    /// 4 KiB waiting. For streams, datagrams that wait count as well; for datagrams, which would be lost, only datagrams
    /// do. A turn hands over `turn_bytes`, so more would only wait. Default 1 MiB.
    pub inboxes_bytes: usize,
    /// How soon what was taken but not handed on is tried again. Default 5 ms.
    pub poll_interval: Duration,
    /// Frames of the device that one turn gives to the engine. Default 256.
    pub turn_frames: usize,
    /// Flows whose inbox one turn empties. Default 64.
    pub turn_flows: usize,
    /// Octets of datagrams, and then of streams, after which a turn takes up no more of them; what it leaves has the next
    /// turn. Bounds how long frames wait behind many full downloads. Default 128 KiB.
    pub turn_bytes: usize,
    /// Outputs that one turn hands to the host: a batch of frames is one. Default 1,024.
    pub turn_outputs: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            ring_frames: 4096,
            ring_bytes: 1 << 20,
            inbox_bytes: 64 << 10,
            inboxes_bytes: 1 << 20,
            poll_interval: Duration::from_millis(5),
            turn_frames: 256,
            turn_flows: 64,
            turn_bytes: 128 << 10,
            turn_outputs: 1024,
        }
    }
}

impl Limits {
    /// Limits for thousands of flows, as [`Config::many_flows`](engine::Config::many_flows): an inbox holds 8 KiB.
    #[must_use]
    pub fn many_flows() -> Self {
        Self {
            inbox_bytes: 8 << 10,
            ..Self::default()
        }
    }

    /// Limits for a desktop, as [`Config::desktop`](engine::Config::desktop): a ring of 4,096 frames, and 256 KiB for each
    /// flow within 64 MiB for all of them.
    #[must_use]
    pub fn desktop() -> Self {
        Self {
            ring_frames: 4096,
            inbox_bytes: 256 << 10,
            inboxes_bytes: 64 << 20,
            ..Self::default()
        }
    }

    /// Limits for a phone, as [`Config::phone`](engine::Config::phone): a ring of 1,024 frames, and 16 KiB for each flow.
    #[must_use]
    pub fn phone() -> Self {
        Self {
            ring_frames: 1024,
            inbox_bytes: 16 << 10,
            ..Self::default()
        }
    }
}
