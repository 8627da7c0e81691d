//! What replay and the stack have said to each other so far.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::future::poll_fn;
use std::io::{self, BufRead as _, Write as _};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use stack_protocol::{Proto, Reply, Request};

use super::clock;
use crate::stacks::{Arrival, Datagram, Wire};

/// Bytes of the far side that wait for the relay to read them, as a socket's buffer would hold.
const INBOX: usize = 64 << 10;

/// The one session of the process.
pub(super) static SESSION: Mutex<Session> = Mutex::new(Session::new());

/// Everything that waits on either side.
#[derive(Debug)]
pub(super) struct Session {
    polled: bool,
    frames: VecDeque<Vec<u8>>,
    speaker: Option<Waker>,
    said: Vec<Reply>,
    pub(super) flows: BTreeMap<u64, Flow>,
    /// UDP flows of a stack that has one socket for all.
    by_key: BTreeMap<(SocketAddr, SocketAddr), u64>,
    count: u64,
    datagrams: VecDeque<Datagram>,
    sender: Option<Waker>,
}

/// A flow as its relay sees the far side.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) client: SocketAddr,
    pub(super) server: SocketAddr,
    /// Its datagrams go through a stream of its own.
    streamed: bool,
    pub(super) dialed: Option<String>,
    pub(super) inbox: VecDeque<u8>,
    pub(super) datagrams: VecDeque<Vec<u8>>,
    /// How the far side ended: `eof`, `reset`, `error`.
    pub(super) end: Option<String>,
    /// Replay waits for room.
    short: bool,
    pub(super) blocked: bool,
    pub(super) allowance: Option<usize>,
    pub(super) wakers: Vec<Waker>,
    /// Datagrams of the device until the dial is answered.
    early: Vec<Vec<u8>>,
    /// Whose end came first: `device` or `remote`.
    pub(super) first: Option<&'static str>,
}

impl Session {
    const fn new() -> Self {
        Self {
            polled: false,
            frames: VecDeque::new(),
            speaker: None,
            said: Vec::new(),
            flows: BTreeMap::new(),
            by_key: BTreeMap::new(),
            count: 0,
            datagrams: VecDeque::new(),
            sender: None,
        }
    }

    pub(super) fn say(&mut self, reply: Reply) {
        self.said.push(reply);
    }

    /// A flow that asks for its dial.
    pub(super) fn accepted(&mut self, arrival: &Arrival) -> u64 {
        let proto = if arrival.tcp { Proto::Tcp } else { Proto::Udp };
        self.open(proto, arrival.client, arrival.server, !arrival.tcp)
    }

    fn open(
        &mut self,
        proto: Proto,
        client: SocketAddr,
        server: SocketAddr,
        streamed: bool,
    ) -> u64 {
        let id = self.count;
        self.count += 1;
        self.flows.insert(
            id,
            Flow {
                client,
                server,
                streamed,
                dialed: None,
                inbox: VecDeque::new(),
                datagrams: VecDeque::new(),
                end: None,
                short: false,
                blocked: false,
                allowance: None,
                wakers: Vec::new(),
                early: Vec::new(),
                first: None,
            },
        );
        self.say(Reply::Dial {
            flow: id,
            proto,
            client,
            server,
            name: None,
        });
        id
    }

    /// A datagram of the device, from a socket for all flows.
    pub(super) fn datagram_came(&mut self, datagram: Datagram) {
        let key = (datagram.from, datagram.to);
        let id = match self.by_key.get(&key) {
            Some(id) => *id,
            None => {
                let id = self.open(Proto::Udp, key.0, key.1, false);
                self.by_key.insert(key, id);
                id
            }
        };
        let Some(flow) = self.flows.get_mut(&id) else {
            return;
        };
        match flow.dialed.as_deref() {
            None => flow.early.push(datagram.payload),
            Some("connected") => self.say(Reply::Datagram(id, key.1, datagram.payload)),
            Some(_) => {}
        }
    }

    pub(super) fn close(&mut self, id: u64, by: &str, how: &str) {
        if self.flows.remove(&id).is_some() {
            self.say(Reply::Close(id, by.to_owned(), how.to_owned()));
        }
    }

    /// Room that a relay has made is told if replay waits for it.
    pub(super) fn told_room(&mut self, id: u64) {
        if let Some(flow) = self.flows.get_mut(&id)
            && std::mem::take(&mut flow.short)
        {
            let room = INBOX - flow.inbox.len().min(INBOX);
            self.say(Reply::Resume(id, room));
        }
    }

    /// Takes a request; what is to be answered at once.
    fn take(&mut self, request: Request) -> Option<Reply> {
        match request {
            Request::At(time) => clock::set(time),
            Request::Frame(frame) => {
                self.frames.push_back(frame);
                self.speaker.take().into_iter().for_each(Waker::wake);
            }
            Request::Dialed(id, result) => {
                let flow = self.flows.get_mut(&id)?;
                let early = std::mem::take(&mut flow.early);
                let (to, connected) = (flow.server, result == "connected");
                flow.dialed = Some(result.clone());
                flow.wake();
                let socket = self.by_key.values().any(|known| *known == id);
                if socket && connected {
                    let early = early.into_iter();
                    self.said
                        .extend(early.map(|payload| Reply::Datagram(id, to, payload)));
                } else if socket {
                    self.by_key.retain(|_, known| *known != id);
                    self.close(id, "remote", &result);
                }
            }
            Request::Data(id, bytes) => {
                let Some(flow) = self.flows.get_mut(&id).filter(|flow| flow.end.is_none()) else {
                    return Some(Reply::Took(0));
                };
                let room = INBOX - flow.inbox.len().min(INBOX);
                let taken = bytes.len().min(room);
                flow.inbox.extend(&bytes[..taken]);
                flow.short = taken < bytes.len();
                flow.wake();
                return Some(Reply::Took(taken));
            }
            Request::Datagram(id, from, payload) => {
                let Some(flow) = self.flows.get_mut(&id) else {
                    return Some(Reply::Took(0));
                };
                if flow.streamed {
                    flow.datagrams.push_back(payload);
                    flow.wake();
                } else {
                    let (from, to) = (from.unwrap_or(flow.server), flow.client);
                    self.datagrams.push_back(Datagram { payload, from, to });
                    self.sender.take().into_iter().for_each(Waker::wake);
                }
                return Some(Reply::Took(1));
            }
            Request::Block(id) => self.flow(id, |flow| flow.blocked = true),
            Request::Unblock(id) => self.flow(id, |flow| {
                flow.blocked = false;
                flow.allowance = None;
            }),
            Request::Take(id, count) => self.flow(id, |flow| {
                flow.blocked = false;
                flow.allowance = Some(count);
            }),
            Request::End(id, how) => self.flow(id, |flow| flow.end = Some(how)),
            Request::Poll => self.polled = true,
            // What hello does not offer is not said.
            Request::Start(_)
            | Request::Resolved(..)
            | Request::Path
            | Request::AddressLost(_)
            | Request::Stop => {}
        }
        None
    }

    fn flow(&mut self, id: u64, act: impl FnOnce(&mut Flow)) {
        if let Some(flow) = self.flows.get_mut(&id) {
            act(flow);
            flow.wake();
        }
    }
}

impl Flow {
    fn wake(&mut self) {
        self.wakers.drain(..).for_each(Waker::wake);
    }
}

/// Nothing is left to do at this instant: the poll is answered, and what replay says next is taken up to the next poll.
/// `timeout` is when the next timer is due, in milliseconds.
pub(super) fn turn(timeout: Option<u64>) {
    let mut text = String::new();
    if let Ok(mut session) = SESSION.lock()
        && std::mem::take(&mut session.polled)
    {
        let next = Reply::Next {
            at: timeout.map(|timeout| clock::now() + timeout * 1_000),
            rest: false,
        };
        for reply in session.said.drain(..).chain([next]) {
            // Writing into a string cannot fail.
            let _ = writeln!(text, "{reply}");
        }
    }
    answer(&text);
    loop {
        let mut line = String::new();
        if io::stdin().lock().read_line(&mut line).unwrap_or(0) == 0 {
            std::process::exit(0);
        }
        let request: Request = match line.parse() {
            Ok(request) => request,
            Err(garbage) => {
                eprintln!("error: {garbage}");
                std::process::exit(1);
            }
        };
        let polled = request == Request::Poll;
        let reply = SESSION
            .lock()
            .ok()
            .and_then(|mut session| session.take(request));
        if let Some(reply) = reply {
            answer(&format!("{reply}\n"));
        }
        if polled {
            return;
        }
    }
}

fn answer(text: &str) {
    let mut out = io::stdout().lock();
    if out
        .write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .is_err()
    {
        std::process::exit(0);
    }
}

/// The next datagram toward the device.
pub(super) async fn next_datagram() -> Datagram {
    poll_fn(|context| {
        let Ok(mut session) = SESSION.lock() else {
            return Poll::Pending;
        };
        match session.datagrams.pop_front() {
            Some(datagram) => Poll::Ready(datagram),
            None => {
                session.sender = Some(context.waker().clone());
                Poll::Pending
            }
        }
    })
    .await
}

/// The device's end of the link.
#[derive(Debug, Default)]
pub(super) struct Link {
    current: Vec<u8>,
}

impl Wire for Link {
    fn poll_speak(&mut self, context: &mut Context<'_>) -> Poll<Option<&[u8]>> {
        let Ok(mut session) = SESSION.lock() else {
            return Poll::Ready(None);
        };
        match session.frames.pop_front() {
            Some(frame) => {
                self.current = frame;
                Poll::Ready(Some(&self.current))
            }
            None => {
                session.speaker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    fn hear(&mut self, frame: &[u8]) {
        if let Ok(mut session) = SESSION.lock() {
            session.say(Reply::Frame(frame.to_vec()));
        }
    }
}
