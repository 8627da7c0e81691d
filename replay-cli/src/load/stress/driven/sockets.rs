//! The far sides of a run over real sockets: the driver's `TokioDialer` on one side, a server on the loopback interface on
//! the other.
//!
//! Each flow is dialed at an address of its own, 127.64.x.y, where x and y are its port on the device: so the server knows
//! which flow a connection belongs to without a message.

use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use engine::{Close, DnsRecord, FlowId, FlowKey, Frames, LogRecord, Micros, Proto};
use engine_driver::dialer::{Options, raise_file_limit};
use engine_driver::{Host, Mailbox, Notice, TokioDialer};
use tokio::io::AsyncWrite as _;
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::sync::watch;

use super::pipe::Pipe;
use crate::base::heap::AtWork;
use crate::load::stress::plan::EPOCH;
use crate::load::{Device, Far, FarTotals, FlowPlan, Pattern};

/// Bytes read or written at once.
const CHUNK: usize = 64 << 10;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;

/// What the server's tasks and the load's thread share.
struct Shared {
    far: Mutex<Far>,
    pattern: Pattern,
    plans: Vec<FlowPlan>,
    /// The number of the flow on each port of the device.
    numbers: Vec<AtomicU32>,
    replies: u8,
    began: Instant,
}

impl Shared {
    fn far(&self) -> MutexGuard<'_, Far> {
        self.far.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Micros {
        Micros(EPOCH).plus(self.began.elapsed())
    }
}

/// What happens to all connections at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stage {
    /// Bytes that were held back may go.
    released: bool,
    over: bool,
}

/// A server on a thread of its own.
pub(crate) struct Server {
    shared: Arc<Shared>,
    stage: watch::Sender<Stage>,
    tcp: SocketAddr,
    udp: SocketAddr,
    lost: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on the loopback interface.
    pub(crate) fn start(device: &Device, flows: usize) -> Result<Self, String> {
        let files = raise_file_limit().map_err(|error| format!("the file limit: {error}"))?;
        let needed = flows as u64 * 2 + 64;
        if files < needed {
            return Err(format!(
                "{flows} flows need {needed} open files, and {files} are permitted: fewer flows, or raise `ulimit -n`"
            ));
        }
        let numbers = (0..=u16::MAX).map(|port| {
            let number = device
                .flow_on(port)
                .and_then(|number| u32::try_from(number).ok());
            AtomicU32::new(number.unwrap_or(u32::MAX))
        });
        let plans = (0..).map_while(|number| device.plan(number).copied());
        let shared = Arc::new(Shared {
            far: Mutex::default(),
            pattern: device.pattern().clone(),
            plans: plans.collect(),
            numbers: numbers.collect(),
            replies: device.replies(),
            began: Instant::now(),
        });
        let (stage, staged) = watch::channel(Stage::default());
        let (sender, addresses) = mpsc::channel();
        let served = Arc::clone(&shared);
        let thread = thread::Builder::new().name("server".to_owned());
        let thread = thread.spawn(move || {
            if let Err(error) = serve(&served, &staged, &sender) {
                // The thread that waits for the addresses reports the problem.
                let _ = sender.send(Err(error.to_string()));
            }
        });
        let thread = thread.map_err(|error| format!("no thread for the server: {error}"))?;
        let (tcp, udp) = addresses
            .recv()
            .map_err(|_| "the server ended before it began".to_owned())?
            .map_err(|error| format!("no server on the loopback interface: {error}"))?;
        Ok(Self {
            shared,
            stage,
            tcp,
            udp,
            lost: Arc::default(),
            thread: Some(thread),
        })
    }

    /// The driver's host: its dialer reaches this server.
    pub(crate) fn host(
        &self,
        pipe: &Arc<Pipe>,
    ) -> impl FnOnce(&Arc<Mailbox>) -> Dialing + Send + 'static {
        let (pipe, tcp, udp) = (Arc::clone(pipe), self.tcp, self.udp);
        let lost = Arc::clone(&self.lost);
        move |mailbox| Dialing {
            dialer: TokioDialer::new(Arc::clone(mailbox), Options::default()),
            pipe,
            tcp,
            udp,
            lost,
        }
    }

    /// A flow has got another port.
    pub(crate) fn moved(&self, number: u32, port: u16) {
        if let Some(place) = self.shared.numbers.get(usize::from(port)) {
            place.store(number, Ordering::Relaxed);
        }
    }

    pub(crate) fn release(&self) {
        self.shared.far().release();
        self.stage.send_modify(|stage| stage.released = true);
    }

    pub(crate) fn totals(&self) -> FarTotals {
        self.shared.far().totals()
    }

    pub(crate) fn troubles(&self) -> Vec<String> {
        self.shared.far().troubles().to_vec()
    }

    /// Datagrams that the dialer took and the kernel refused.
    pub(crate) fn datagrams_lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stage.send_modify(|stage| stage.over = true);
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed; the bytes that are missing are reported as well.
            let _ = thread.join();
        }
    }
}

type Addresses = Result<(SocketAddr, SocketAddr), String>;

fn serve(
    shared: &Arc<Shared>,
    staged: &watch::Receiver<Stage>,
    bound: &mpsc::Sender<Addresses>,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = listen()?;
        let echo = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addresses = (listener.local_addr()?, echo.local_addr()?);
        // The load's thread waits for this.
        let _ = bound.send(Ok(addresses));
        tokio::spawn(echo_datagrams(echo, Arc::clone(shared)));
        let mut over = staged.clone();
        loop {
            let stream = tokio::select! {
                biased;
                _ = over.wait_for(|stage| stage.over) => return Ok(()),
                accepted = listener.accept() => accepted,
            };
            if let Ok((stream, peer)) = stream
                && peer.ip().is_loopback()
            {
                tokio::spawn(talk(stream, Arc::clone(shared), staged.clone()));
            }
        }
    })
}

/// All addresses of the loopback interface, and no other interface where the system has a way to set that.
fn listen() -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    // Where it is refused, peers from elsewhere are turned away as they come.
    let _ = socket.bind_device(Some(b"lo"));
    socket.bind((Ipv4Addr::UNSPECIFIED, 0).into())?;
    socket.listen(BACKLOG)
}

async fn echo_datagrams(socket: UdpSocket, shared: Arc<Shared>) {
    let mut space = vec![0; 2048];
    while let Ok((count, peer)) = socket.recv_from(&mut space).await {
        let payload = space.get(..count).unwrap_or_default();
        shared.far().check_datagram(&shared.pattern, payload);
        for _ in 0..shared.replies {
            // What the kernel refuses is missing at the device, and reported there.
            let _ = socket.send_to(payload, peer).await;
        }
    }
}

/// One connection: verifies what comes, sends what is owed, closes in its turn.
async fn talk(mut stream: TcpStream, shared: Arc<Shared>, mut staged: watch::Receiver<Stage>) {
    let Ok(SocketAddr::V4(here)) = stream.local_addr() else {
        return;
    };
    let [.., high, low] = here.ip().octets();
    let place = shared
        .numbers
        .get(usize::from(u16::from_be_bytes([high, low])));
    let number = place.map_or(u32::MAX, |place| place.load(Ordering::Relaxed));
    let Some(plan) = shared.plans.get(number as usize) else {
        return;
    };
    let number = u64::from(number);
    let mut plan = *plan;
    plan.held &= !staged.borrow_and_update().released;
    shared.far().open_at(shared.now(), number, plan);
    let (mut ended, mut shut) = (false, false);
    let mut space = vec![0; 16 << 10];
    loop {
        let (wants, closes) = {
            let mut far = shared.far();
            let wants = !far.next(&shared.pattern, number, 1).is_empty();
            (wants, !wants && !shut && far.ends_now(number))
        };
        if closes {
            shut = true;
            // A peer that is gone already is missed at the device.
            let _ = poll_fn(|cx| Pin::new(&mut stream).poll_shutdown(cx)).await;
        }
        if ended && shut {
            return;
        }
        let mut again = None;
        tokio::select! {
            biased;
            ready = stream.readable(), if !ended => {
                if ready.is_err() {
                    return;
                }
                let (may, later) = shared.far().reads(shared.now(), number, space.len());
                again = later.filter(|_| may == 0);
                if may > 0 {
                    let room = space.get_mut(..may).unwrap_or_default();
                    match stream.try_read(room) {
                        Ok(0) => {
                            ended = true;
                            shared.far().receive_end(number);
                        }
                        Ok(count) => {
                            let count = space.get(..count).unwrap_or_default();
                            shared.far().receive(&shared.pattern, number, count);
                        }
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(_) => return,
                    }
                }
            }
            ready = stream.writable(), if wants => {
                if ready.is_err() {
                    return;
                }
            }
            _ = staged.changed() => {}
        }
        if !send(&stream, &shared, number) {
            return;
        }
        if let Some(at) = again {
            tokio::time::sleep(at.since(shared.now()).min(Duration::from_millis(100))).await;
        }
    }
}

/// Sends what is owed and the kernel takes; `false` if the connection is broken.
fn send(stream: &TcpStream, shared: &Shared, number: u64) -> bool {
    let mut far = shared.far();
    loop {
        let count = far.next(&shared.pattern, number, CHUNK);
        if count.is_empty() {
            return true;
        }
        match stream.try_write(count) {
            Ok(count) => far.sent(number, count),
            Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
        }
    }
}

/// The driver's host: the device behind the pipe, the far sides behind sockets.
pub(crate) struct Dialing {
    dialer: TokioDialer,
    pipe: Arc<Pipe>,
    tcp: SocketAddr,
    udp: SocketAddr,
    lost: Arc<AtomicU64>,
}

impl Host for Dialing {
    fn frames(&mut self, frames: Frames<'_>) -> usize {
        let _rest = AtWork::rest();
        self.pipe.frames(frames)
    }

    fn dial(&mut self, flow: FlowId, key: FlowKey, _name: Option<&str>) {
        let _rest = AtWork::rest();
        let [high, low] = key.client.port().to_be_bytes();
        let server = match key.proto {
            Proto::Tcp => (Ipv4Addr::new(127, 64, high, low), self.tcp.port()).into(),
            Proto::Udp => self.udp,
        };
        self.dialer.dial(flow, FlowKey { server, ..key });
    }

    fn data(&mut self, flow: FlowId, bytes: &[u8]) -> usize {
        let _rest = AtWork::rest();
        self.dialer.data(flow, bytes)
    }

    fn datagram(&mut self, flow: FlowId, _to: SocketAddr, payload: &[u8]) -> bool {
        let _rest = AtWork::rest();
        let taken = self.dialer.datagram(flow, self.udp, payload);
        self.lost
            .store(self.dialer.datagrams_lost(), Ordering::Relaxed);
        taken
    }

    fn half_close(&mut self, flow: FlowId) {
        let _rest = AtWork::rest();
        self.dialer.half_close(flow);
    }

    fn resume(&mut self, flow: FlowId, _space: usize) {
        let _rest = AtWork::rest();
        self.dialer.resume(flow);
    }

    fn close(&mut self, flow: FlowId, _key: FlowKey, close: Close) {
        let _rest = AtWork::rest();
        self.dialer.close(flow, close);
    }

    fn dns(&mut self, _flow: Option<FlowId>, _record: &DnsRecord) {}

    fn log(&mut self, _record: &LogRecord) {}

    fn notice(&mut self, notice: &Notice) {
        let _rest = AtWork::rest();
        self.pipe.notice(notice);
    }
}
