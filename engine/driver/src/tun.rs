//! A TUN device of Linux: frames out of it into the mailbox, frames for the device into it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use engine::{FrameBatch, Frames};
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
        let each = (usize::from(self.mtu) + 4).min(LONGEST);
        let (most, octets) = mailbox.chunk(BATCH, each);
        let mut batch = FrameBatch::new();
        loop {
            self.device.readable().await?;
            // The device writes where the engine reads: the batch is lent to the ring as it is.
            let mut refusal = None;
            while refusal.is_none() && batch.len() < most {
                batch.push_up_to(each, |place| match self.device.try_recv(place) {
                    Ok(read) => Some(read),
                    Err(error) => {
                        refusal = Some(error);
                        None
                    }
                });
            }
            mailbox.batch(&mut batch);
            match refusal {
                None => tokio::task::yield_now().await,
                Some(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Some(error) => return Err(error),
            }
            while !mailbox.has_room(most, octets) {
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
