//! Real sockets for the far side, on tokio.
//!
//! One task a flow waits for its socket; the [`Host`](crate::Host)'s calls write to the socket themselves, so that a
//! stream has no queue here: what the kernel does not take stays in the engine and closes the device's window, and what
//! the engine has no room for is not read, which closes the peer's.
//!
//! A process may have as many sockets as `RLIMIT_NOFILE` allows; [`raise_file_limit`] asks for all that the
//! administrator permits. A dial that finds none left is answered `denied`.

mod options;
mod tcp;
mod udp;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use engine::{Close, DialResult, FlowId, FlowKey, How, Proto};
use tokio::task::{AbortHandle, JoinSet};

pub use self::options::{Options, raise_file_limit};

use self::tcp::TcpFlow;
use self::udp::UdpFlow;
use crate::turn::Mailbox;

/// Dials with sockets of the operating system. A [`Host`](crate::Host) passes its calls on to the methods of the same
/// names, within a tokio runtime with IO.
///
/// ```no_run
/// # use std::sync::Arc;
/// use engine_driver::dialer::Options;
/// use engine_driver::{Mailbox, TokioDialer};
///
/// fn dialer(mailbox: &Arc<Mailbox>) -> TokioDialer {
///     let mut options = Options::default();
///     options.mark = Some(7); // so that a routing rule keeps these sockets out of the tunnel
///     TokioDialer::new(Arc::clone(mailbox), options)
/// }
/// ```
#[derive(Debug)]
pub struct TokioDialer {
    mailbox: Arc<Mailbox>,
    options: Arc<Options>,
    flows: BTreeMap<FlowId, Flow>,
    tasks: JoinSet<()>,
    datagrams_lost: Arc<AtomicU64>,
}

#[derive(Debug)]
struct Flow {
    socket: Socket,
    task: AbortHandle,
}

#[derive(Debug)]
enum Socket {
    Tcp(Arc<TcpFlow>),
    Udp(Arc<UdpFlow>),
}

impl TokioDialer {
    /// A dialer that answers into `mailbox`.
    #[must_use]
    pub fn new(mailbox: Arc<Mailbox>, options: Options) -> Self {
        Self {
            mailbox,
            options: Arc::new(options),
            flows: BTreeMap::new(),
            tasks: JoinSet::new(),
            datagrams_lost: Arc::default(),
        }
    }

    /// Starts to connect.
    pub fn dial(&mut self, flow: FlowId, key: FlowKey) {
        // What has ended is taken off the list here, so that it does not grow.
        while self.tasks.try_join_next().is_some() {}
        let mailbox = Arc::clone(&self.mailbox);
        let options = Arc::clone(&self.options);
        let (socket, task) = match key.proto {
            Proto::Tcp => {
                let shared = Arc::new(TcpFlow::default());
                let task = tcp::run(flow, key.server, Arc::clone(&shared), mailbox, options);
                (Socket::Tcp(shared), self.tasks.spawn(task))
            }
            Proto::Udp => {
                match UdpFlow::open(key.server, &options, Arc::clone(&self.datagrams_lost)) {
                    Ok(shared) => {
                        let shared = Arc::new(shared);
                        let task = udp::run(flow, Arc::clone(&shared), mailbox);
                        (Socket::Udp(shared), self.tasks.spawn(task))
                    }
                    Err(error) => {
                        // The flow is live until its close: the answer cannot be refused.
                        let _ = mailbox.dialed(flow, result_of(&error));
                        return;
                    }
                }
            }
        };
        self.flows.insert(flow, Flow { socket, task });
    }

    /// Writes as much as the kernel takes, and returns how much; [`Mailbox::writable`] follows when it takes more.
    pub fn data(&mut self, flow: FlowId, bytes: &[u8]) -> usize {
        match self.flows.get(&flow).map(|flow| &flow.socket) {
            Some(Socket::Tcp(tcp)) => tcp.write(bytes),
            _ => bytes.len(),
        }
    }

    /// Sends one datagram, or keeps it until the kernel takes it; `false` if too many wait for that.
    pub fn datagram(&mut self, flow: FlowId, to: std::net::SocketAddr, payload: &[u8]) -> bool {
        match self.flows.get(&flow).map(|flow| &flow.socket) {
            Some(Socket::Udp(udp)) => udp.send(to, payload),
            _ => false,
        }
    }

    /// Sends FIN after what was written.
    pub fn half_close(&mut self, flow: FlowId) {
        if let Some(Socket::Tcp(tcp)) = self.flows.get(&flow).map(|flow| &flow.socket) {
            tcp.half_close();
        }
    }

    /// Reads again.
    pub fn resume(&mut self, flow: FlowId) {
        if let Some(Socket::Tcp(tcp)) = self.flows.get(&flow).map(|flow| &flow.socket) {
            tcp.resume();
        }
    }

    /// Closes the socket: in order after an orderly close, else with a reset (`SO_LINGER` 0).
    pub fn close(&mut self, flow: FlowId, close: Close) {
        let Some(Flow { socket, task }) = self.flows.remove(&flow) else {
            return;
        };
        match &socket {
            Socket::Tcp(tcp) if close.how != How::Fin => tcp.reset_on_close(),
            Socket::Tcp(_) => {}
            Socket::Udp(udp) => udp.abandon(),
        }
        task.abort();
    }

    /// Datagrams that were taken and went nowhere: the system refused them (too long for the way, a firewall), or their
    /// flow ended before the kernel took them.
    #[must_use]
    pub fn datagrams_lost(&self) -> u64 {
        self.datagrams_lost.load(Ordering::Relaxed)
    }

    /// Sockets open or being opened.
    #[must_use]
    pub fn len(&self) -> usize {
        self.flows.len()
    }

    /// Whether there is no socket.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }

    /// Ends every task and waits until the last socket is closed. Dropping the dialer does the same without the wait.
    pub async fn stop(mut self) {
        self.flows.clear();
        self.tasks.shutdown().await;
    }
}

/// What a failed connect is to the device.
fn result_of(error: &std::io::Error) -> DialResult {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset => DialResult::Refused,
        ErrorKind::HostUnreachable => DialResult::HostUnreachable,
        ErrorKind::NetworkUnreachable
        | ErrorKind::NetworkDown
        | ErrorKind::AddrNotAvailable
        | ErrorKind::Unsupported => DialResult::NetworkUnreachable,
        ErrorKind::TimedOut => DialResult::TimedOut,
        // A firewall's verdict (EPERM), and no socket left (EMFILE, ENFILE, ENOBUFS): waiting would not help either.
        _ => DialResult::Denied,
    }
}
