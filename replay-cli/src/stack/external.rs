//! Another stack, in a process of its own: docs/STACK_PROTOCOL.md.
//!
//! The runner's calls become lines; a drain is a `poll`. What such a process cannot say is not made up: [`Traits`] tells
//! which checks it cannot be held to.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use engine::{
    By, Close, Counters, Deadline, DialResult, DnsRecord, FlowId, FlowKey, How, Micros, Misuse,
    PathChange, Proto, QueryId, QueryKind, RemoteEnd, Resolution, TimerName,
};
use stack_protocol::{self as protocol, Ability, Hello, Reply, Request, Time};

use super::child::Child;
use super::{DIAL_RESULTS, EPOCH_US, Input, OwnedOutput, Stack, StackProgram, Traits};
use crate::base::diagnostic::Diagnostic;
use crate::base::wording::seconds_of as seconds;
use crate::scenario::EngineSettings;

/// For how long nothing may go in or out until a run without an end of its own is over, microseconds: longer than any
/// retransmission waits (RFC 6298 section 2.5). A stack that polls itself never says that nothing is to come.
const QUIET_US: u64 = 64_000_000;

/// And for how long after the last input at all: what comes then by itself, keep-alives say, is no answer to it.
const PATIENT_US: u64 = 120_000_000;

/// The same for a stack in real time.
const QUIET_REAL_US: u64 = 2_000_000;

/// How much later a timer may ring in real time, thousandths of its wait: the share that packetdrill allows a kernel.
const DRIFT_REAL: u64 = 125;

/// What one drain may bring, bytes, each output counted with [`OUTPUT`] more.
const DRAIN_MAX: usize = 64 << 20;
const OUTPUT: usize = 128;

/// Polls in a row of which nothing comes that are no stall yet, and the virtual time that each of them must be worth,
/// microseconds.
const POLLS: u64 = 1_000;
const POLL_US: u64 = 100;

/// Polls in a row that nothing came of, and nothing went in between.
#[derive(Debug)]
struct Spin {
    since: Instant,
    from: u64,
    polls: u64,
}

/// The stack's process and what is known of its flows.
#[derive(Debug)]
pub(crate) struct External {
    child: Child,
    hello: Hello,
    mtu: usize,
    now: u64,
    flows: BTreeMap<FlowId, Flow>,
    next: Option<u64>,
    rest: bool,
    last_event: u64,
    last_input: u64,
    spin: Option<Spin>,
    /// What went wrong, and when: nothing is said to it any more.
    broken: Option<(u64, String)>,
}

#[derive(Clone, Copy, Debug)]
struct Flow {
    key: FlowKey,
    connected: Option<bool>,
    ended: bool,
}

impl External {
    pub(crate) fn open(
        program: &StackProgram,
        settings: &EngineSettings,
        mtu: usize,
    ) -> Result<Self, Diagnostic> {
        let (hello, mut child) = Child::start(&program.path, program.patience)?;
        let mut all = serde_json::to_value(settings).unwrap_or_default();
        if let Some(all) = all.as_object_mut() {
            all.retain(|name, _| hello.settings.has(name));
            all.insert("mtu".to_owned(), mtu.into());
        }
        child.say(&Request::Start(all.to_string()));
        Ok(Self {
            child,
            hello,
            mtu,
            now: 0,
            flows: BTreeMap::new(),
            next: None,
            rest: false,
            last_event: 0,
            last_input: 0,
            spin: None,
            broken: None,
        })
    }

    /// Says one thing at a time; for real time, `poll` is what takes long.
    fn say(&mut self, now: Micros, request: &Request) {
        if self.broken.is_some() {
            return;
        }
        let now = now.0.saturating_sub(EPOCH_US);
        if now > self.now {
            self.now = now;
            self.child.say(&Request::At(now));
        }
        if *request != Request::Poll {
            (self.last_event, self.last_input) = (self.now, self.now);
            self.spin = None;
        }
        self.child.say(request);
    }

    fn reply(&mut self, longer: Duration) -> Option<Reply> {
        if self.broken.is_some() {
            return None;
        }
        match self.child.reply(longer) {
            Ok(reply) => Some(reply),
            Err(problem) => {
                self.broken(problem);
                None
            }
        }
    }

    fn broken(&mut self, problem: String) {
        let words = self.child.last_words();
        let words = match words.as_str() {
            "" => String::new(),
            words => format!("; it wrote to standard error: {words}"),
        };
        let name = &self.hello.name;
        let what = format!(
            "the stack {name} at {} s: {problem}{words}",
            seconds(self.now)
        );
        self.broken.get_or_insert((self.now, what));
        self.next = None;
        self.rest = true;
    }

    /// A poll that nothing came of. A stack that wants many of them for next to no virtual time never gets anywhere.
    fn note_spin(&mut self) {
        let spin = self.spin.get_or_insert_with(|| Spin {
            since: Instant::now(),
            from: self.now,
            polls: 0,
        });
        spin.polls += 1;
        let spun = spin.polls;
        if spun < POLLS || self.now - spin.from >= spun * POLL_US {
            return;
        }
        let lasted = spin.since.elapsed();
        if lasted > self.child.patience {
            self.broken(format!(
                "it has stalled for {} s of real time: {spun} polls in a row were answered with nothing but a `next` at about the same time",
                lasted.as_secs()
            ));
        }
    }

    /// How many bytes or datagrams it took.
    fn took(&mut self, most: usize) -> usize {
        match self.reply(Duration::ZERO) {
            Some(Reply::Took(count)) if count <= most => count,
            Some(other) => {
                self.broken(format!(
                    "it said `{other}` where `took N`, at most {most}, is due"
                ));
                0
            }
            None => 0,
        }
    }

    /// A flow that bytes of the far side may go to.
    fn open_flow(&self, flow: FlowId, proto: Proto) -> Result<(), Misuse> {
        let known = self.flows.get(&flow).ok_or(Misuse::StaleFlow)?;
        if known.key.proto != proto {
            return Err(Misuse::WrongProtocol);
        }
        match known.connected {
            Some(true) if known.ended => Err(Misuse::AfterEnd),
            Some(true) => Ok(()),
            Some(false) | None => Err(Misuse::NotConnected),
        }
    }

    /// The number of a flow whose bytes the far side may take.
    fn stream(&self, flow: FlowId) -> Result<u64, Misuse> {
        match self.open_flow(flow, Proto::Tcp) {
            Ok(()) | Err(Misuse::AfterEnd) => Ok(flow.to_bits()),
            Err(misuse) => Err(misuse),
        }
    }

    fn note_dialed(&mut self, flow: FlowId, result: DialResult) -> Result<(), Misuse> {
        let known = self.flows.get_mut(&flow).ok_or(Misuse::StaleFlow)?;
        if known.connected.is_some() {
            return Err(Misuse::DialAnswered);
        }
        known.connected = Some(result == DialResult::Connected);
        Ok(())
    }

    fn note_end(&mut self, flow: FlowId, end: RemoteEnd) -> Result<(), Misuse> {
        let known = self.flows.get_mut(&flow).ok_or(Misuse::StaleFlow)?;
        if known.connected != Some(true) {
            return Err(Misuse::NotConnected);
        }
        if known.ended && end == RemoteEnd::Eof {
            return Err(Misuse::AfterEnd);
        }
        known.ended = true;
        Ok(())
    }

    fn see(&mut self, reply: Reply) -> Result<OwnedOutput, String> {
        let known = |flow: u64| {
            let flow = FlowId::from_bits(flow);
            match self.flows.contains_key(&flow) {
                true => Ok(flow),
                false => Err(format!(
                    "it speaks of flow {}, which is not open",
                    flow.to_bits()
                )),
            }
        };
        Ok(match reply {
            Reply::Frame(frame) => OwnedOutput::Frame(frame),
            Reply::Dial {
                flow,
                proto,
                client,
                server,
                name,
            } => {
                let id = FlowId::from_bits(flow);
                let key = FlowKey {
                    proto: match proto {
                        protocol::Proto::Tcp => Proto::Tcp,
                        protocol::Proto::Udp => Proto::Udp,
                    },
                    client,
                    server,
                };
                let flow_state = Flow {
                    key,
                    connected: None,
                    ended: false,
                };
                if self.flows.insert(id, flow_state).is_some() {
                    return Err(format!("it dials flow {flow} for the second time"));
                }
                OwnedOutput::Dial(id, key, name)
            }
            Reply::Data(flow, bytes) => OwnedOutput::Data(known(flow)?, bytes),
            Reply::Datagram(flow, to, bytes) => OwnedOutput::Datagram(known(flow)?, to, bytes),
            Reply::HalfClose(flow) => OwnedOutput::HalfClose(known(flow)?),
            Reply::Resume(flow, space) => OwnedOutput::Resume(known(flow)?, space),
            Reply::Close(flow, by, how) => {
                let id = known(flow)?;
                let by = side(&by).ok_or_else(|| format!("`{by}` ends no flow"))?;
                let how = ending(&how).ok_or_else(|| format!("no flow ends by `{how}`"))?;
                self.flows.remove(&id);
                OwnedOutput::Close(id, Close { by, how })
            }
            Reply::Dns(flow, ttl, addresses, name) => OwnedOutput::Dns(
                flow.map(FlowId::from_bits),
                DnsRecord {
                    name,
                    addresses,
                    ttl,
                },
            ),
            Reply::Resolve(query, kind, name) => {
                let kinds = [QueryKind::A, QueryKind::Aaaa];
                let kind = kinds.into_iter().find(|known| known.label() == kind);
                let kind = kind.ok_or("a query for neither a nor aaaa")?;
                OwnedOutput::Resolve(QueryId::from_bits(query), name, kind)
            }
            other @ (Reply::Hello(_) | Reply::Took(_) | Reply::Next { .. }) => {
                return Err(format!("it said `{other}`, which is not due"));
            }
        })
    }
}

impl Stack for External {
    fn mtu(&self) -> usize {
        self.mtu
    }

    fn input(&mut self, now: Micros, input: Input<'_>) -> Result<usize, Misuse> {
        let request = match input {
            Input::Frames(frames) => {
                for frame in frames {
                    self.say(now, &Request::Frame(frame.to_vec()));
                }
                return Ok(0);
            }
            Input::Timeout => {
                // The poll of the drain that follows does it. While output is held there is none: it has waked, and wakes no
                // more until it is asked.
                let now = now.0.saturating_sub(EPOCH_US);
                self.next = self.next.filter(|at| *at > now);
                return Ok(0);
            }
            Input::PathChange(PathChange::AddressLost(address)) => Request::AddressLost(address),
            Input::PathChange(_) => Request::Path,
            Input::Stop => Request::Stop,
            Input::DialResult(flow, result) => {
                self.note_dialed(flow, result)?;
                Request::Dialed(flow.to_bits(), result.label().to_owned())
            }
            Input::Data(flow, data) => {
                self.open_flow(flow, Proto::Tcp)?;
                self.say(now, &Request::Data(flow.to_bits(), data.to_vec()));
                return Ok(self.took(data.len()));
            }
            Input::Datagram(flow, from, data) => {
                self.open_flow(flow, Proto::Udp)?;
                self.say(now, &Request::Datagram(flow.to_bits(), from, data.to_vec()));
                return Ok(self.took(1));
            }
            Input::Blocked(flow) => Request::Block(self.stream(flow)?),
            Input::Writable(flow) => Request::Unblock(self.stream(flow)?),
            Input::Take(flow, count) => Request::Take(self.stream(flow)?, count),
            Input::RemoteEnd(flow, end) => {
                self.note_end(flow, end)?;
                let word = match end {
                    RemoteEnd::Eof => "eof",
                    RemoteEnd::Reset => "reset",
                    RemoteEnd::Error => "error",
                };
                Request::End(flow.to_bits(), word.to_owned())
            }
            Input::Resolved(query, resolution) => {
                let answer = match resolution {
                    Resolution::Addresses { addresses, ttl } => Ok((addresses, ttl)),
                    Resolution::NotFound => Err("not_found".to_owned()),
                    Resolution::Failed => Err("failed".to_owned()),
                };
                Request::Resolved(query.to_bits(), answer)
            }
        };
        self.say(now, &request);
        Ok(0)
    }

    fn drain(&mut self, now: Micros, most: usize, to: &mut Vec<OwnedOutput>) -> bool {
        let before = self.now;
        self.say(now, &Request::Poll);
        let longer = match self.hello.time {
            Time::Virtual => Duration::ZERO,
            Time::Real => Duration::from_micros(self.now - before),
        };
        let mut count = 0;
        while let Some(reply) = self.reply(longer) {
            if let Reply::Next { at, rest } = reply {
                self.next = at;
                self.rest = rest;
                break;
            }
            self.last_event = self.now;
            match self.see(reply) {
                Ok(seen) => {
                    count += OUTPUT + seen.count();
                    to.push(seen);
                }
                Err(problem) => self.broken(problem),
            }
            if count > DRAIN_MAX {
                let most = DRAIN_MAX >> 20;
                self.broken(format!("it put out more than {most} MiB without a `next`"));
            }
            if to.len() > most {
                return false;
            }
        }
        if count > 0 {
            self.spin = None;
        } else {
            self.note_spin();
        }
        true
    }

    fn poll_timeout(&mut self) -> Option<Deadline> {
        let quiet = match self.hello.time {
            Time::Virtual => QUIET_US,
            Time::Real => QUIET_REAL_US,
        };
        let at = self.next?.max(self.now);
        let silent = self.now.saturating_sub(self.last_event) >= quiet
            || self.now.saturating_sub(self.last_input) >= PATIENT_US;
        // A stack that says when it rests is believed.
        let rest = self.rest || (silent && !self.hello.can(Ability::Rest));
        Some(Deadline {
            at: Micros(EPOCH_US.saturating_add(at)),
            timer: if rest {
                TimerName::Idle
            } else {
                TimerName::Transmit
            },
            flow: None,
        })
    }

    fn traits(&self) -> Traits {
        Traits::of(&self.hello)
    }

    fn broken(&self) -> Option<(u64, String)> {
        self.broken.clone()
    }

    fn remarks(&self) -> Option<String> {
        let words = self.child.last_words();
        let first = words.lines().next()?;
        Some(format!("the stack wrote to standard error: {first}"))
    }

    fn counters(&self) -> Option<Counters> {
        None
    }

    fn inspect(&mut self, _now: Micros) -> String {
        let flows = self.flows.values().map(|flow| format!("{}\n", flow.key));
        flows.collect()
    }
}

impl Traits {
    /// What a stack can be held to that says this of itself.
    pub(crate) fn of(hello: &Hello) -> Self {
        Self {
            tolerance: hello.tolerance,
            drift: match hello.time {
                Time::Virtual => 0,
                Time::Real => DRIFT_REAL,
            },
            foreign: true,
            deterministic: hello.deterministic,
            half_close: hello.can(Ability::HalfClose),
            close: hello.can(Ability::Close),
            by: hello.can(Ability::By),
            how: hello.can(Ability::How),
            last: hello.can(Ability::Last),
            dns: hello.can(Ability::Dns),
            rests: hello.can(Ability::Rest),
        }
    }
}

/// Whose doing an end was. What a stack cannot tell is not looked at, whatever stands there.
fn side(word: &str) -> Option<By> {
    match word {
        "device" => Some(By::Device),
        "remote" => Some(By::Remote),
        "engine" | "*" => Some(By::Engine),
        _ => None,
    }
}

fn ending(word: &str) -> Option<How> {
    let endings = [
        How::Fin,
        How::Reset,
        How::Error,
        How::Handshake,
        How::Idle,
        How::HalfClosed,
        How::Abandoned,
        How::Path,
        How::Guard,
        How::Admission,
        How::Stopped,
    ];
    let failed = DIAL_RESULTS
        .into_iter()
        .filter(|result| *result != DialResult::Connected);
    let dials = failed.map(How::Dial);
    if word == "*" {
        return Some(How::Guard);
    }
    endings
        .into_iter()
        .chain(dials)
        .find(|how| how.label() == word)
}
