//! One UDP flow of the far side: a socket, connected to where it was dialed unless the flow is for all destinations.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use engine::{DialResult, FlowId, Misuse, RemoteEnd, UdpMapping};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::Notify;

use super::options::Options;
use crate::turn::Mailbox;

/// The longest UDP payload.
const LONGEST: usize = 65_507;

/// Bytes of datagrams that wait until the kernel takes them; one always fits.
const QUEUE: usize = 64 << 10;

/// Datagrams read before other tasks have their turn.
const BURST: usize = 64;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; LONGEST]);
}

/// What the flow's task and the host's calls share.
#[derive(Debug)]
pub(super) struct UdpFlow {
    socket: UdpSocket,
    server: SocketAddr,
    connected: bool,
    waiting: Mutex<Waiting>,
    changed: Notify,
    refused: AtomicBool,
    /// Datagrams taken that went nowhere, of all flows.
    lost: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
struct Waiting {
    datagrams: VecDeque<(SocketAddr, Vec<u8>)>,
    bytes: usize,
}

impl UdpFlow {
    pub(super) fn open(
        server: SocketAddr,
        options: &Options,
        lost: Arc<AtomicU64>,
    ) -> io::Result<Self> {
        let socket = options.socket(server, false)?;
        // A connected socket gets ICMP errors, and datagrams of its server only. Where others may answer, no
        // single destination's error may end the flow (RFC 4787 REQ-12).
        let connected = options.udp_mapping == UdpMapping::AddressAndPortDependent;
        if connected {
            socket.connect(&server.into())?;
        }
        Ok(Self {
            connected,
            lost,
            socket: UdpSocket::from_std(socket.into())?,
            server,
            waiting: Mutex::default(),
            changed: Notify::new(),
            refused: AtomicBool::new(false),
        })
    }

    /// `false` if too many wait.
    pub(super) fn send(&self, to: SocketAddr, payload: &[u8]) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.datagrams.is_empty() && self.try_send(to, payload) {
            return true;
        }
        if !waiting.datagrams.is_empty() && waiting.bytes + payload.len() > QUEUE {
            return false;
        }
        waiting.bytes += payload.len();
        waiting.datagrams.push_back((to, payload.to_vec()));
        drop(waiting);
        self.changed.notify_one();
        true
    }

    /// Whether the kernel has dealt with the datagram, be it by an error.
    fn try_send(&self, to: SocketAddr, payload: &[u8]) -> bool {
        // The first failure may be an earlier datagram's ICMP error, which comes out at the next call.
        for _ in 0..2 {
            let sent = if self.connected && to == self.server {
                self.socket.try_send(payload)
            } else {
                self.socket.try_send_to(payload, to)
            };
            match sent {
                Ok(_) => return true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) if is_refusal(&error) => {
                    self.refused.store(true, Ordering::Release);
                    self.changed.notify_one();
                }
                // Too long for the way, no buffer, a firewall: datagrams may get lost, but not unseen.
                Err(_) => break,
            }
        }
        self.lost.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// Looks at a pending error, which is of an earlier datagram.
    fn take_error(&self) {
        if let Ok(Some(error)) = self.socket.take_error()
            && is_refusal(&error)
        {
            self.refused.store(true, Ordering::Release);
        }
        // Only this clears the error for tokio.
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let _ = self.socket.try_io(Interest::ERROR, || {
            Err::<(), _>(io::ErrorKind::WouldBlock.into())
        });
    }

    /// Sends what waits; whether all of it went.
    fn flush(&self) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((to, payload)) = waiting.datagrams.front() {
            if !self.try_send(*to, payload) {
                return false;
            }
            let length = payload.len();
            waiting.bytes -= length;
            waiting.datagrams.pop_front();
        }
        true
    }

    /// Gives up what the kernel has not taken.
    pub(super) fn abandon(&self) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let count = waiting.datagrams.len() as u64;
        *waiting = Waiting::default();
        self.lost.fetch_add(count, Ordering::Relaxed);
    }

    fn has_waiting(&self) -> bool {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        !waiting.datagrams.is_empty()
    }
}

/// Reads until the flow is gone.
pub(super) async fn run(flow: FlowId, shared: Arc<UdpFlow>, mailbox: Arc<Mailbox>) {
    if mailbox.dialed(flow, DialResult::Connected).is_ok() {
        let _ = relay(flow, &shared, &mailbox).await;
    }
}

/// On Linux an ICMP error makes a socket neither readable nor writable.
#[cfg(any(target_os = "linux", target_os = "android"))]
const ANYTHING: Interest = Interest::READABLE.add(Interest::ERROR);
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const ANYTHING: Interest = Interest::READABLE;

async fn relay(flow: FlowId, shared: &UdpFlow, mailbox: &Mailbox) -> Result<(), Misuse> {
    let mut blocked = false;
    loop {
        if shared.refused.load(Ordering::Acquire) {
            return mailbox.ended(flow, RemoteEnd::Reset);
        }
        let waits = shared.has_waiting();
        if waits && !blocked {
            mailbox.blocked(flow)?;
            blocked = true;
        }
        let interest = if waits {
            ANYTHING | Interest::WRITABLE
        } else {
            ANYTHING
        };
        tokio::select! {
            biased;
            () = shared.changed.notified() => {}
            ready = shared.socket.ready(interest) => {
                let ready = ready.map_err(|_| Misuse::StaleFlow)?;
                if ready.is_writable() && waits && shared.flush() {
                    blocked = false;
                    mailbox.writable(flow)?;
                }
                if ready.is_error() {
                    shared.take_error();
                }
                if ready.is_readable() {
                    read(flow, shared, mailbox)?;
                }
            }
        }
    }
}

fn read(flow: FlowId, shared: &UdpFlow, mailbox: &Mailbox) -> Result<(), Misuse> {
    SCRATCH.with_borrow_mut(|scratch| {
        for _ in 0..BURST {
            match shared.socket.try_recv_from(scratch) {
                Ok((count, from)) => {
                    let from = Some(from).filter(|from| *from != shared.server);
                    // What finds no room is counted there.
                    mailbox.datagram(flow, from, scratch.get(..count).unwrap_or_default())?;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if is_refusal(&error) => {
                    shared.refused.store(true, Ordering::Release);
                    return Ok(());
                }
                // Other errors are of single datagrams.
                Err(_) => return Ok(()),
            }
        }
        Ok(())
    })
}

/// Whether an ICMP error reports that the destination is unreachable.
fn is_refusal(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
    matches!(
        error.kind(),
        ConnectionRefused | HostUnreachable | NetworkUnreachable
    )
}
