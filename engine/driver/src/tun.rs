//! A TUN device of Linux: frames out of it into the mailbox, frames for the device into it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use engine::Frames;
use tun_rs::{AsyncDevice, DeviceBuilder};

use crate::turn::Mailbox;

/// Frames read before other tasks have their turn.
const BATCH: usize = 64;

/// Octets of the longest frame.
const LONGEST: usize = 65_535;

/// A TUN device (layer 3, without packet information). It vanishes with the last clone, unless it was made persistent.
#[derive(Clone)]
pub struct Tun {
    device: Arc<AsyncDevice>,
    refused: Arc<AtomicU64>,
    name: String,
    mtu: u16,
}

impl std::fmt::Debug for Tun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tun")
            .field("name", &self.name)
            .field("mtu", &self.mtu)
            .finish_non_exhaustive()
    }
}

impl Tun {
    /// Creates the device `name`, or opens it if it is there and persistent, with its MTU in octets (`None`: as it is,
    /// 1,500 for a new one). Needs a tokio runtime with IO.
    ///
    /// # Errors
    /// What the system says: `NotFound` without /dev/net/tun, `PermissionDenied` without `CAP_NET_ADMIN`, busy if
    /// another process has it open.
    pub fn open(name: &str, mtu: Option<u16>) -> io::Result<Self> {
        let mut builder = DeviceBuilder::new().name(name);
        if let Some(mtu) = mtu {
            builder = builder.mtu(mtu);
        }
        let device = builder.build_async()?;
        Ok(Self {
            name: device.name()?,
            mtu: device.mtu()?,
            device: Arc::new(device),
            refused: Arc::default(),
        })
    }

    /// The name the device has.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its MTU when it was opened, octets.
    #[must_use]
    pub fn mtu(&self) -> u16 {
        self.mtu
    }

    /// Frames that the device refused for good, and which are lost: it was down, or they were no packets to it.
    #[must_use]
    pub fn frames_refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Reads frames into the mailbox until the device is gone. While the ring has no room for the longest frame they
    /// stay in the device's queue, whose overflow the system counts (`ip -s link`).
    ///
    /// # Errors
    /// What ended it.
    pub async fn read_into(&self, mailbox: &Mailbox) -> io::Result<()> {
        let mut space = vec![0; BATCH * (usize::from(self.mtu) + 4).min(LONGEST)];
        let each = space.len() / BATCH;
        loop {
            self.device.readable().await?;
            let mut lengths = [0; BATCH];
            let mut count = 0;
            let mut drained = false;
            for (place, length) in space.chunks_mut(each).zip(&mut lengths) {
                match self.device.try_recv(place) {
                    Ok(read) => *length = read,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        drained = true;
                        break;
                    }
                    Err(error) => return Err(error),
                }
                count += 1;
            }
            let frames = space.chunks(each).zip(lengths).take(count);
            mailbox.frames(frames.filter_map(|(place, length)| place.get(..length)));
            if !drained {
                tokio::task::yield_now().await;
            }
            while !mailbox.has_room(BATCH, space.len()) {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Writes frames to the device; says how many it took.
    pub fn write(&self, frames: Frames<'_>) -> usize {
        let mut taken = 0;
        for frame in frames {
            match self.device.try_send(frame) {
                // A frame it will never take (the device is down, or the frame no packet) must not stop the others.
                Ok(_) => taken += 1,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => {
                    self.refused.fetch_add(1, Ordering::Relaxed);
                    taken += 1;
                }
            }
        }
        taken
    }
}
