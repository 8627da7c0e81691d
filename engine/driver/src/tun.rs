//! A TUN device of Linux: frames out of it into the mailbox, frames for the device into it.
//!
//! With offload a frame that is read may hold several segments, which the engine takes as one, and segments that leave in
//! a run are written as one frame, which the kernel cuts apart if it has to: a system call for each run instead of one
//! for each segment.

mod offload;

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use engine::{FrameBatch, Frames};
use tun_rs::{AsyncDevice, DeviceBuilder};

use crate::tun::offload::{HEADER, Run};
use crate::turn::Mailbox;

/// Frames read before other tasks have their turn. Uploads of several flows come in turns: the more is read at once, the
/// more of each there is to coalesce, and the fewer writes their far sides are woken by.
const BATCH: usize = 256;

/// The same where each may hold as much as a packet can, if all of them do.
const RUNS: usize = 8;

/// Packets that may wait in a new device's queue: what eight uploads with windows of 256 KiB send at once takes 1,500, and
/// the kernel's own 500 would lose a tenth of it.
const QUEUE: u32 = 4096;

/// Bytes of the longest frame.
const LONGEST: usize = 65_535;

/// A TUN device (layer 3, without packet information). It vanishes with the last clone, unless it was made persistent.
///
/// ```no_run
/// # async fn read(mailbox: &engine_driver::Mailbox) -> std::io::Result<()> {
/// let tun = engine_driver::Tun::open("tun0", Some(1500), true)?;
/// println!("{} is open, MTU {}", tun.name(), tun.mtu());
/// tun.read_into(mailbox).await
/// # }
/// ```
#[derive(Clone)]
pub struct Tun {
    device: Arc<AsyncDevice>,
    refused: Arc<AtomicU64>,
    name: String,
    mtu: u16,
    /// Checksums that the kernel left to the device stay as they are.
    partial_checksums: bool,
    /// Frames to be written as one, if the device takes them so.
    run: Option<Arc<Mutex<Run>>>,
}

impl std::fmt::Debug for Tun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tun")
            .field("name", &self.name)
            .field("mtu", &self.mtu)
            .field("offload", &self.run.is_some())
            .finish_non_exhaustive()
    }
}

impl Tun {
    /// Creates the device `name`, or opens it if it is there and persistent, with its MTU in bytes (`None`: as it is,
    /// 1,500 for a new one). A new one gets a queue that holds what many uploads send at once. With `offload` segments
    /// cross the border in runs (`IFF_VNET_HDR`), if the device can: a persistent one that was made without goes on
    /// without. Needs a tokio runtime with IO.
    ///
    /// # Errors
    /// The error of the system: `NotFound` without /dev/net/tun, `PermissionDenied` without `CAP_NET_ADMIN`, busy if
    /// another process has it open.
    pub fn open(name: &str, mtu: Option<u16>, offload: bool) -> io::Result<Self> {
        let new = !Path::new("/sys/class/net").join(name).exists();
        let build = |offload: bool| {
            let mut builder = DeviceBuilder::new().name(name).offload(offload);
            if let Some(mtu) = mtu {
                builder = builder.mtu(mtu);
            }
            builder.build_async()
        };
        let device = match build(offload) {
            Err(error) if offload && error.kind() == io::ErrorKind::InvalidInput => build(false)?,
            device => device?,
        };
        let (name, mtu) = (device.name()?, device.mtu()?);
        if new {
            // Who gave it to another namespace meanwhile finds the kernel's own queue.
            let _ = device.set_tx_queue_len(QUEUE);
        }
        Ok(Self {
            name,
            mtu,
            partial_checksums: false,
            run: device.tcp_gso().then(Arc::default),
            device: Arc::new(device),
            refused: Arc::default(),
        })
    }

    /// Whether segments cross the border in runs.
    #[must_use]
    pub fn offloads(&self) -> bool {
        self.run.is_some()
    }

    /// Leaves the checksums that the kernel has not made as they are: for an engine with
    /// [`Config::partial_checksums`](engine::Config::partial_checksums), and frames that nobody else looks at.
    pub fn leave_checksums(&mut self) {
        self.partial_checksums = true;
    }

    /// The name the device has.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its MTU when it was opened, bytes.
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
        let (each, full) = if self.offloads() {
            (LONGEST + HEADER, RUNS)
        } else {
            ((usize::from(self.mtu) + 4).min(LONGEST), BATCH)
        };
        // As many as there are, while one more of the longest has room.
        let (_, bytes) = mailbox.chunk(full, each);
        let (most, _) = mailbox.chunk(BATCH, 1);
        let mut batch = FrameBatch::new();
        let mut apart = Vec::new();
        loop {
            self.device.readable().await?;
            // The device writes where the engine reads: the batch is lent to the ring as it is.
            let mut refusal = None;
            while refusal.is_none()
                && batch.len() < most
                && (batch.is_empty() || batch.bytes() + each <= bytes)
            {
                batch.push_up_to(each, |place| match self.device.try_recv(place) {
                    Ok(read) if self.offloads() => {
                        offload::take(place, read, self.partial_checksums, &mut apart)
                    }
                    Ok(read) => Some(read),
                    Err(error) => {
                        refusal = Some(error);
                        None
                    }
                });
                for datagram in apart.drain(..) {
                    batch.push(&datagram);
                }
            }
            mailbox.batch(&mut batch);
            match refusal {
                None => tokio::task::yield_now().await,
                Some(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Some(error) => return Err(error),
            }
            while !mailbox.has_room(most, bytes) {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Writes frames to the device; returns how many it took.
    pub fn write(&self, frames: Frames<'_>) -> usize {
        let Some(run) = &self.run else {
            return self.write_each(frames);
        };
        // Whatever a panic left in it is begun anew.
        let mut run = run.lock().unwrap_or_else(PoisonError::into_inner);
        let mut frames = frames.iter();
        let mut taken = 0;
        let mut ahead = frames.next();
        while let Some(first) = ahead {
            run.begin(first);
            let mut count = 1;
            ahead = frames.next();
            while let Some(next) = ahead
                && run.extend(next)
            {
                count += 1;
                ahead = frames.next();
            }
            if !self.sent(run.frame()) {
                break;
            }
            taken += count;
        }
        taken
    }

    fn write_each(&self, frames: Frames<'_>) -> usize {
        frames.iter().take_while(|frame| self.sent(frame)).count()
    }

    /// Writes one frame; `false` if the device has no room for now.
    fn sent(&self, frame: &[u8]) -> bool {
        match self.device.try_send(frame) {
            Ok(_) => true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            // A frame it will never take (the device is down, or the frame no packet) must not stop the others.
            Err(_) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                true
            }
        }
    }
}
