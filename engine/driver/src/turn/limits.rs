//! What may wait where, and how much one turn does.

use core::fmt;
use core::time::Duration;

use engine::{Config, ConfigError};

/// Bounds of a [`Turn`](crate::Turn) and its [`Mailbox`](crate::Mailbox). Worst-case memory beside the engine's own:
/// twice `ring_bytes` while a flood lasts, `inboxes_bytes` for streams and twice that for datagrams, 4 KiB for each flow, half a MiB
/// of empty buffers, one batch of frames, and [`Config::udp_queue`](engine::Config::udp_queue) for each UDP flow whose host refuses
/// datagrams.
///
/// Nothing here can be zero but `inboxes_bytes`: see [`Limits::check`].
///
/// ```
/// use engine::Config;
/// use engine_driver::Limits;
///
/// let limits = Limits { ring_bytes: 256 << 10, ..Limits::phone() };
/// assert!(limits.check(&Config::phone()).is_ok());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Frames of the device that may wait. Default 4,096.
    pub ring_frames: usize,
    /// Bytes of them. Default 1 MiB: three turns' worth of full frames.
    pub ring_bytes: usize,
    /// Bytes of a far side that may wait for the engine, for each flow; a datagram costs 64 more than its length.
    /// One datagram always fits. Of datagrams the count begins anew when a turn takes them up, so that there may be twice
    /// as many while a turn that was cut short by its budget has left some. Default 64 KiB.
    pub inbox_bytes: usize,
    /// Bytes that all inboxes together may take for what waits for the engine; beyond, each flow may have no more than
    /// 4 KiB waiting. For streams, datagrams that wait count as well; for datagrams, which would be lost, only datagrams
    /// do. A turn hands over `turn_bytes`, so more would only wait. 0: never more than the 4 KiB. Default 1 MiB.
    pub inboxes_bytes: usize,
    /// How soon what was taken but not handed on is tried again; at least 1 ms. Default 5 ms.
    pub poll_interval: Duration,
    /// Frames of the device that one turn gives to the engine. Default 256.
    pub turn_frames: usize,
    /// Flows whose inbox one turn empties. Default 64.
    pub turn_flows: usize,
    /// Bytes of datagrams, and then of streams, after which a turn takes up no more of them; what it leaves has the next
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

    /// Checks what cannot be, in the engine's settings and here: a limit of zero would let nothing in, or nothing out for ever.
    ///
    /// # Errors
    /// The first setting out of its bounds.
    pub fn check(&self, config: &Config) -> Result<(), SettingsError> {
        config.check()?;
        let counts = [
            ("ring_frames", self.ring_frames),
            ("ring_bytes", self.ring_bytes),
            ("inbox_bytes", self.inbox_bytes),
            ("turn_frames", self.turn_frames),
            ("turn_flows", self.turn_flows),
            ("turn_bytes", self.turn_bytes),
            ("turn_outputs", self.turn_outputs),
        ];
        if let Some((name, _)) = counts.into_iter().find(|(_, count)| *count == 0) {
            return Err(SettingsError::Zero(name));
        }
        if self.poll_interval < Duration::from_millis(1) {
            return Err(SettingsError::PollInterval(self.poll_interval));
        }
        Ok(())
    }
}

/// A setting out of its bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettingsError {
    /// One of the engine's.
    Engine(ConfigError),
    /// A limit or an interval, by its name, that cannot be zero.
    Zero(&'static str),
    /// See [`Limits::poll_interval`].
    PollInterval(Duration),
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine(error) => error.fmt(f),
            Self::Zero(name) => write!(f, "{name} cannot be 0"),
            Self::PollInterval(time) => write!(f, "poll_interval {time:?} is below 1 ms"),
        }
    }
}

impl std::error::Error for SettingsError {}

impl From<ConfigError> for SettingsError {
    fn from(error: ConfigError) -> Self {
        Self::Engine(error)
    }
}
