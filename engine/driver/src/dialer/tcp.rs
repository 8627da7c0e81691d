//! One TCP connection of the far side.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use core::time::Duration;
use engine::{DialResult, FlowId, Misuse, RemoteEnd};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::time;

use super::options::Options;
use super::result_of;
use crate::turn::Mailbox;

/// Bytes read at once: more would only wait in the inbox.
const CHUNK: usize = 64 << 10;

thread_local! {
    /// What is read passes through here: a flow that waits has no buffer.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; CHUNK]);
}

/// What the flow's task and the host's calls share.
#[derive(Debug, Default)]
pub(super) struct TcpFlow {
    stream: OnceLock<TcpStream>,
    /// Something below changed.
    changed: Notify,
    /// The kernel took a write short.
    blocked: AtomicBool,
    /// The engine has room again.
    resumed: AtomicBool,
    /// A write met a reset.
    reset: AtomicBool,
}

impl TcpFlow {
    /// Writes what the kernel takes. After a reset everything counts as taken: it goes nowhere, and the task reports the end.
    pub(super) fn write(&self, bytes: &[u8]) -> usize {
        let Some(stream) = self.stream.get() else {
            return 0;
        };
        let mut written = 0;
        while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
            match stream.try_write(rest) {
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked.store(true, Ordering::Release);
                    self.changed.notify_one();
                    break;
                }
                Err(_) => {
                    self.reset.store(true, Ordering::Release);
                    self.changed.notify_one();
                    return bytes.len();
                }
            }
        }
        written
    }

    pub(super) fn half_close(&self) {
        if let Some(stream) = self.stream.get() {
            // The end of a connection that is gone already is reported by the task.
            let _ = SockRef::from(stream).shutdown(std::net::Shutdown::Write);
        }
    }

    pub(super) fn resume(&self) {
        self.resumed.store(true, Ordering::Release);
        self.changed.notify_one();
    }

    pub(super) fn reset_on_close(&self) {
        if let Some(stream) = self.stream.get() {
            // Only a socket that is closed already refuses.
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }
}

/// Connects, then reads until the far side ends. A stale handle ends the task: the flow is gone.
pub(super) async fn run(
    flow: FlowId,
    server: SocketAddr,
    shared: Arc<TcpFlow>,
    mailbox: Arc<Mailbox>,
    options: Arc<Options>,
) {
    let stream = match connect(server, &options).await {
        Ok(stream) => stream,
        Err(error) => {
            let _ = mailbox.dialed(flow, result_of(&error));
            return;
        }
    };
    // The device's segments are passed on as they come: its own stack has waited, if it wanted to.
    let _ = stream.set_nodelay(true);
    if shared.stream.set(stream).is_err() {
        return;
    }
    let Some(stream) = shared.stream.get() else {
        return;
    };
    if mailbox.dialed(flow, DialResult::Connected).is_ok() {
        let _ = relay(flow, stream, &shared, &mailbox).await;
    }
}

async fn connect(server: SocketAddr, options: &Options) -> io::Result<TcpStream> {
    let socket = options.socket(server, true)?;
    let socket = TcpSocket::from_std_stream(socket.into());
    if options.connect_timeout.is_zero() {
        return socket.connect(server).await;
    }
    time::timeout(options.connect_timeout, socket.connect(server))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// The state of reading.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// The engine has room.
    Open,
    /// It has none until `resume`.
    Paused,
    /// The peer has sent FIN; only an error can come.
    Ended,
}

async fn relay(
    flow: FlowId,
    stream: &TcpStream,
    shared: &TcpFlow,
    mailbox: &Mailbox,
) -> Result<(), Misuse> {
    let mut reading = Reading::Open;
    let mut broken = None;
    loop {
        if shared.reset.load(Ordering::Acquire) {
            broken.get_or_insert(RemoteEnd::Reset);
        }
        if shared.resumed.swap(false, Ordering::AcqRel) && reading == Reading::Paused {
            reading = Reading::Open;
        }
        // What came before a break is still read: the kernel keeps it.
        if reading == Reading::Open {
            reading = match read(flow, stream, mailbox, &mut broken)? {
                Read::Some => Reading::Open,
                Read::NoRoom => Reading::Paused,
                Read::Nothing if broken.is_some() => Reading::Ended,
                Read::Nothing => Reading::Open,
                Read::End => {
                    if broken.is_none() {
                        mailbox.ended(flow, RemoteEnd::Eof)?;
                    }
                    Reading::Ended
                }
            };
        }
        if let Some(end) = broken.filter(|_| reading == Reading::Ended) {
            return mailbox.ended(flow, end);
        }
        let blocked = shared.blocked.load(Ordering::Acquire);
        let interest = match (reading, blocked) {
            _ if broken.is_some() => None,
            (Reading::Open, true) => Some(Interest::READABLE | Interest::WRITABLE),
            (Reading::Open, false) => Some(Interest::READABLE),
            (_, true) => Some(Interest::WRITABLE),
            (_, false) => ERRORS,
        };
        let Some(interest) = interest else {
            shared.changed.notified().await;
            continue;
        };
        tokio::select! {
            biased;
            () = shared.changed.notified() => {}
            ready = stream.ready(interest) => {
                let ready = ready.map_err(|_| Misuse::StaleFlow)?;
                if blocked && ready.is_writable() {
                    shared.blocked.store(false, Ordering::Release);
                    mailbox.writable(flow)?;
                }
                if reading != Reading::Open && ready.is_error() {
                    broken = Some(pending_error(stream));
                }
            }
        }
    }
}

/// What is waited for when there is nothing to read or write: a reset.
#[cfg(any(target_os = "linux", target_os = "android"))]
const ERRORS: Option<Interest> = Some(Interest::ERROR);
/// Elsewhere the next write finds out.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const ERRORS: Option<Interest> = None;

enum Read {
    Some,
    Nothing,
    NoRoom,
    End,
}

fn read(
    flow: FlowId,
    stream: &TcpStream,
    mailbox: &Mailbox,
    broken: &mut Option<RemoteEnd>,
) -> Result<Read, Misuse> {
    let room = mailbox.room(flow)?;
    if room == 0 {
        return Ok(Read::NoRoom);
    }
    SCRATCH.with_borrow_mut(|scratch| {
        let space = scratch.get_mut(..room.min(CHUNK)).unwrap_or_default();
        match stream.try_read(space) {
            Ok(0) => Ok(Read::End),
            Ok(count) => {
                // Nobody else fills this inbox: the room is still there.
                mailbox.data(flow, space.get(..count).unwrap_or_default())?;
                Ok(Read::Some)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Read::Nothing),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Read::Some),
            Err(error) => {
                *broken = Some(end_of(&error));
                Ok(Read::End)
            }
        }
    })
}

fn pending_error(stream: &TcpStream) -> RemoteEnd {
    match stream.take_error() {
        Ok(Some(error)) | Err(error) => end_of(&error),
        Ok(None) => RemoteEnd::Reset,
    }
}

fn end_of(error: &io::Error) -> RemoteEnd {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    match error.kind() {
        ConnectionReset | ConnectionAborted | BrokenPipe => RemoteEnd::Reset,
        _ => RemoteEnd::Error,
    }
}
