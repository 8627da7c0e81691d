//! The mock dialer: rules choose an answer and a script for each dial, and scripts go on as far as they can.

pub(crate) mod actions;
pub(crate) mod content;
pub(crate) mod resolver;

use crate::scenario::flow::flow_spec;
use std::collections::HashMap;
use std::net::SocketAddr;

use engine::{DialResult, FlowKey, Misuse, Proto, RemoteEnd};

use super::world::{Task, World};
use crate::base::diagnostic::Diagnostic;
use crate::base::hash::Quick;
use crate::capture::conversation::Conversations;
use crate::scenario::files::Files;
use crate::scenario::{self, Destination, FlowSpec, Protocol, Scenario};
use crate::stack::Input;
use actions::Actions;
use content::{Action, Content};

/// The dialer's rules, ready for use.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    rules: Vec<Rule>,
    /// Rules that name their flow, which imported ones do: found at once.
    by_flow: HashMap<FlowSpec, usize, Quick>,
    otherwise: Option<DialResult>,
    /// Whether each flow does what the capture shows, without rules.
    recorded: bool,
    /// The result each dial got, by the index of its flow.
    results: Vec<Option<DialResult>>,
}

#[derive(Clone, Debug)]
struct Rule {
    flow: Option<FlowSpec>,
    proto: Option<Protocol>,
    to: Option<Destination>,
    occurrence: Option<u32>,
    /// Dials that met the other conditions so far.
    met: u32,
    result: Option<DialResult>,
    delay: u64,
    actions: Actions,
}

impl Rules {
    /// Resolves a scenario's dialer; an error names the JSON pointer it is about.
    pub(crate) fn new(
        scenario: &Scenario,
        files: &Files,
        capture: Option<&Conversations>,
    ) -> Result<Self, (String, Diagnostic)> {
        let mut rules = Vec::with_capacity(scenario.dialer.rules.len());
        let mut by_flow: HashMap<FlowSpec, usize, Quick> = HashMap::default();
        let named = scenario.flows.iter().map(|(name, spec)| (name, *spec));
        let named: HashMap<&str, FlowSpec, Quick> = named.collect();
        for (index, rule) in scenario.dialer.rules.iter().enumerate() {
            let when = &rule.when;
            let flow = when.flow.as_ref().map(|name| {
                let known = named.get(name.as_str()).copied();
                known.or_else(|| scenario.flow(name)).ok_or_else(|| {
                    let problem = Diagnostic::new(format!("unknown flow `{name}`"));
                    (format!("/dialer/rules/{index}/when/flow"), problem)
                })
            });
            let flow = flow.transpose()?;
            let pointer = format!("/dialer/rules/{index}/then");
            let of = flow.as_ref();
            let actions = content::actions(&rule.then, &pointer, files, scenario, capture, of)?;
            if let Some(flow) = flow
                && when.proto.is_none()
                && when.to.is_none()
                && when.occurrence.is_none()
                && rules.len() == by_flow.len()
            {
                by_flow.entry(flow).or_insert(index);
            }
            rules.push(Rule {
                flow,
                proto: when.proto,
                to: when.to,
                occurrence: when.occurrence,
                met: 0,
                result: engine_result(rule.dial.result),
                delay: rule.dial.delay().as_micros(),
                actions,
            });
        }
        Ok(Self {
            rules,
            by_flow,
            otherwise: engine_result(scenario.dialer.otherwise()),
            recorded: false,
            results: Vec::new(),
        })
    }

    /// The dialer of a capture that is replayed as it stands: no rule is made for each flow.
    pub(crate) fn recorded(scenario: &Scenario) -> Self {
        Self {
            otherwise: engine_result(scenario.dialer.otherwise()),
            recorded: true,
            ..Self::default()
        }
    }

    /// The script of a new dial, and how long its answer takes; no delay means that it never comes.
    pub(crate) fn choose(
        &mut self,
        key: &FlowKey,
        occurrence: u32,
        capture: Option<&Conversations>,
    ) -> (Actions, Option<u64>) {
        let spec = flow_spec(key, occurrence);
        if let Some(capture) = capture.filter(|_| self.recorded)
            && let Some(index) = capture.find(&spec)
            && let Some(flow) = capture.flows.get(index)
        {
            let (result, delay) = flow.dial();
            let actions = match result {
                scenario::DialResult::Connected => Actions::recorded(index),
                _ => Actions::default(),
            };
            let result = engine_result(result);
            self.results.push(result);
            return (actions, result.map(|_| delay));
        }
        let direct = self.by_flow.get(&spec).copied();
        let chosen = direct.or_else(|| {
            // Rules before the first without a flow are all in the index: none of them matched.
            let mut rules = self.rules.iter_mut();
            rules.position(|rule| rule.matches(&spec))
        });
        let Some(rule) = chosen.and_then(|index| self.rules.get(index)) else {
            self.results.push(self.otherwise);
            return (Actions::default(), self.otherwise.map(|_| 0));
        };
        self.results.push(rule.result);
        (rule.actions.clone(), rule.result.map(|_| rule.delay))
    }

    /// The result chosen last is that of the flow at `index`, which was passed over before.
    pub(crate) fn move_newest(&mut self, index: usize) {
        if let Some(result) = self.results.pop()
            && let Some(place) = self.results.get_mut(index)
        {
            *place = result;
        }
    }

    /// Every dial from now on is answered so.
    pub(crate) fn answer_with(&mut self, result: DialResult) {
        for rule in &mut self.rules {
            rule.result = Some(result);
        }
    }

    /// A flow without a dial.
    pub(crate) fn pass_over(&mut self) {
        self.results.push(None);
    }

    /// The result of the dial of the flow at `index`; `None` if it is never answered.
    pub(crate) fn result(&self, index: usize) -> Option<DialResult> {
        self.results.get(index).copied().flatten()
    }
}

impl Rule {
    fn matches(&mut self, spec: &FlowSpec) -> bool {
        let others = self.flow.is_none_or(|flow| flow == *spec)
            && self.proto.is_none_or(|proto| proto == spec.protocol)
            && self.to.is_none_or(|to| to.matches(spec.server));
        if !others {
            return false;
        }
        self.met += 1;
        self.occurrence.is_none_or(|nth| nth == self.met)
    }
}

/// A scenario's tuple as the engine's key; `None` for ICMP, which the engine knows no flows of.
pub(crate) fn key_of(
    protocol: Protocol,
    client: SocketAddr,
    server: SocketAddr,
) -> Option<FlowKey> {
    let proto = match protocol {
        Protocol::Tcp => Proto::Tcp,
        Protocol::Udp => Proto::Udp,
        Protocol::Icmp => return None,
    };
    Some(FlowKey {
        proto,
        client,
        server,
    })
}

fn engine_result(result: scenario::DialResult) -> Option<DialResult> {
    Some(match result {
        scenario::DialResult::Connected => DialResult::Connected,
        scenario::DialResult::Refused => DialResult::Refused,
        scenario::DialResult::HostUnreachable => DialResult::HostUnreachable,
        scenario::DialResult::NetworkUnreachable => DialResult::NetworkUnreachable,
        scenario::DialResult::Denied => DialResult::Denied,
        scenario::DialResult::TimedOut => DialResult::TimedOut,
        scenario::DialResult::Never => return None,
    })
}

/// Bytes that a dialer gives at a time, at most.
const AT_ONCE: u64 = 1 << 20;

/// More bytes than any datagram holds: of a longer one so much is looked at, and refused.
const DATAGRAM_MAX: u64 = 1 << 16;

/// What carrying out one action came to.
enum Step {
    /// On to the next.
    Done,
    /// Nothing more at this instant.
    Wait,
    /// The flow has ended: nothing more at all.
    Over,
}

impl World<'_> {
    /// Carries a flow's script as far as it goes.
    pub(crate) fn advance(&mut self, index: usize) {
        loop {
            let Some(flow) = self.flows.get(index).filter(|flow| flow.connected) else {
                return;
            };
            // What waits outside of the engine is not sent yet.
            if self.engine.holds(flow.id) {
                return;
            }
            let Some(action) = flow.script.actions.current(self.capture) else {
                return;
            };
            let before = self.steps;
            match self.carry_out(index, &action) {
                Step::Wait => return,
                Step::Over => {
                    if let Some(flow) = self.flows.get_mut(index) {
                        flow.script.cut_short = true;
                        flow.script.actions.end();
                    }
                    return;
                }
                Step::Done => {
                    if let Some(flow) = self.flows.get_mut(index) {
                        flow.script.actions.step(self.capture);
                        flow.script.progress = 0;
                    }
                    self.touched.insert(index);
                }
            }
            // Other flows reacted to this one's input: they go first, as they would on a real host.
            if self.steps != before && !self.ready.is_empty() {
                self.ready.insert(index);
                return;
            }
        }
    }

    fn carry_out(&mut self, index: usize, action: &Action) -> Step {
        let Some(flow) = self.flows.get_mut(index) else {
            return Step::Over;
        };
        let id = flow.id;
        let udp = flow.key.proto == Proto::Udp;
        let closed = flow.closed.is_some();
        match action {
            Action::Read(count) => {
                if flow.come() >= flow.script.read + count {
                    flow.script.read += count;
                    return Step::Done;
                }
                wait_unless(closed)
            }
            Action::ReadUntil(content) => self.read_until(index, content),
            Action::ReadEof => {
                let fin = |(_, close): (u64, engine::Close)| close.how == engine::How::Fin;
                let eof = flow.half_closed_by_device.is_some() || flow.closed.is_some_and(fin);
                if eof { Step::Done } else { wait_unless(closed) }
            }
            Action::Wait(time) => self.wait(index, *time),
            Action::SendFrom(from, content) if udp => {
                self.send_datagram(index, Some(*from), content)
            }
            Action::SendFrom(..) => Step::Over,
            Action::Send(content) if udp => self.send_datagram(index, None, content),
            Action::Send(content) => self.send_stream(index, content),
            Action::Echo(count) if flow.script.progress >= *count => Step::Done,
            Action::Echo(count) if udp => self.echo_datagram(index, *count),
            Action::Echo(count) => self.echo(index, *count),
            Action::Take(count) => {
                let count = usize::try_from(*count).unwrap_or(usize::MAX);
                self.dialer_step(Input::Take(id, count), "remote takes")
            }
            Action::Block => self.dialer_step(Input::Blocked(id), "remote blocked"),
            Action::Unblock => self.dialer_step(Input::Writable(id), "remote writable"),
            Action::Shutdown => {
                if flow.half_closed_by_device.is_none() && !closed {
                    flow.half_closed_by_remote = Some(self.now);
                }
                self.dialer_step(Input::RemoteEnd(id, RemoteEnd::Eof), "remote end")
            }
            // A recorded reset came when all that the far side sends here was on its way to the device already.
            Action::Reset
                if !closed
                    && flow.script.actions.has_sent_recorded()
                    && flow.down.contiguous() <= flow.sent.len() =>
            {
                flow.script.awaits_delivery = true;
                Step::Wait
            }
            Action::Reset => {
                self.dialer_step(Input::RemoteEnd(id, RemoteEnd::Reset), "remote reset")
            }
            Action::Fail => {
                self.dialer_step(Input::RemoteEnd(id, RemoteEnd::Error), "remote error")
            }
        }
    }

    /// Reads on until `content` has come.
    fn read_until(&mut self, index: usize, content: &Content) -> Step {
        let Some(flow) = self.flows.get_mut(index) else {
            return Step::Over;
        };
        let closed = flow.closed.is_some();
        let udp = flow.key.proto == Proto::Udp;
        let from = if udp { 0 } else { flow.script.read };
        let reader = self.reader.get_mut().as_mut();
        let unread = flow.upstream.get(from, u64::MAX);
        if content.len() > unread.len() as u64 {
            return wait_unless(closed);
        }
        let made = &mut self.made;
        let wanted = content.read(0, u64::MAX, self.capture, reader, made);
        let found = unread
            .windows(wanted.len().max(1))
            .position(|window| window == wanted);
        match found.or_else(|| wanted.is_empty().then_some(0)) {
            Some(at) => {
                flow.script.read += (at + wanted.len()) as u64;
                Step::Done
            }
            None => wait_unless(closed),
        }
    }

    fn wait(&mut self, index: usize, time: u64) -> Step {
        let Some(flow) = self.flows.get_mut(index) else {
            return Step::Over;
        };
        match flow.script.wait_until {
            None => {
                let until = self.now.saturating_add(time);
                flow.script.wait_until = Some(until);
                self.schedule(until, Task::Script(index));
                Step::Wait
            }
            Some(until) if until > self.now => Step::Wait,
            Some(_) => {
                flow.script.wait_until = None;
                Step::Done
            }
        }
    }

    fn send_datagram(&mut self, index: usize, from: Option<SocketAddr>, content: &Content) -> Step {
        let now = self.clock();
        let Some(flow) = self.flows.get_mut(index) else {
            return Step::Over;
        };
        let id = flow.id;
        let reader = self.reader.get_mut().as_mut();
        let made = &mut self.made;
        let payload = content.read(0, DATAGRAM_MAX, self.capture, reader, made);
        let taken = self.engine.input(now, Input::Datagram(id, from, payload));
        if taken == Ok(1) {
            flow.sent.count(payload.len());
            flow.sent_datagrams += 1;
        }
        self.after_input(taken, "datagram")
    }

    /// Sends the next part of `content` on a stream.
    fn send_stream(&mut self, index: usize, content: &Content) -> Step {
        let now = self.clock();
        let Some(flow) = self.flows.get_mut(index) else {
            return Step::Over;
        };
        if flow.script.refused {
            return Step::Wait;
        }
        let at = flow.script.progress;
        let wanted = (content.len() - at.min(content.len())).min(AT_ONCE);
        let reader = self.reader.get_mut().as_mut();
        let made = &mut self.made;
        let rest = content.read(at, wanted, self.capture, reader, made);
        if (rest.len() as u64) < wanted {
            // The capture cannot be read any more: the run ends with that.
            return Step::Over;
        }
        let Ok(taken) = self.engine.input(now, Input::Data(flow.id, rest)) else {
            return Step::Over;
        };
        match content {
            Content::Owned(_) => flow.sent.push(rest.get(..taken).unwrap_or(&[])),
            Content::Pattern(pattern) => flow.sent.push_pattern(*pattern, at, taken as u64),
            Content::Far {
                flow: far, from, ..
            } => flow.sent.push_far(*far, from + at, taken as u64),
        }
        flow.script.progress += taken as u64;
        flow.script.refused = taken < rest.len();
        let done = flow.script.progress >= content.len();
        self.step("remote data");
        if done {
            return Step::Done;
        }
        // The drain may have brought the `Resume` already.
        let flow = self.flows.get(index);
        if flow.is_some_and(|flow| !flow.script.refused) {
            self.ready.insert(index);
        }
        Step::Wait
    }

    /// Sends back on a stream what came and was not sent back yet, up to `count` bytes in all.
    fn echo(&mut self, index: usize, count: u64) -> Step {
        let now = self.clock();
        let Some(flow) = self.flows.get_mut(index) else {
            return Step::Over;
        };
        if flow.script.refused {
            return Step::Wait;
        }
        let from = flow.script.read;
        let left = count.saturating_sub(flow.script.progress);
        let fresh = flow.upstream.get(from, from.saturating_add(left));
        let fresh = fresh.to_vec();
        if fresh.is_empty() {
            return wait_unless(flow.closed.is_some());
        }
        let Ok(taken) = self.engine.input(now, Input::Data(flow.id, &fresh)) else {
            return Step::Over;
        };
        flow.sent.push(fresh.get(..taken).unwrap_or(&[]));
        flow.script.progress += taken as u64;
        flow.script.read += taken as u64;
        flow.script.refused = taken < fresh.len();
        self.ready.insert(index);
        self.step("remote data");
        Step::Wait
    }

    fn echo_datagram(&mut self, index: usize, count: u64) -> Step {
        let now = self.clock();
        let Some(flow) = self.flows.get_mut(index) else {
            return Step::Over;
        };
        let nth = usize::try_from(flow.script.read).unwrap_or(usize::MAX);
        let Some(len) = flow.datagram_lens.get(nth).copied() else {
            return wait_unless(flow.closed.is_some());
        };
        let start: usize = flow.datagram_lens.iter().take(nth).sum();
        let start = start as u64;
        let payload = flow.upstream.get(start, start + len as u64).to_vec();
        let id = flow.id;
        let to = flow.datagram_tos.get(nth).copied();
        let from = to.unwrap_or(flow.key.server);
        let input = Input::Datagram(id, Some(from), &payload);
        let taken = self.engine.input(now, input);
        if taken == Ok(1) {
            flow.sent.count(payload.len());
            flow.sent_datagrams += 1;
        }
        flow.script.read += 1;
        flow.script.progress += 1;
        let done = flow.script.progress >= count;
        match self.after_input(taken, "datagram") {
            Step::Done if !done => {
                self.ready.insert(index);
                Step::Wait
            }
            step => step,
        }
    }

    fn dialer_step(&mut self, input: Input<'_>, what: &str) -> Step {
        let now = self.clock();
        let taken = self.engine.input(now, input);
        self.after_input(taken, what)
    }

    fn after_input(&mut self, taken: Result<usize, Misuse>, what: &str) -> Step {
        match taken {
            Ok(_) => {
                self.step(what);
                Step::Done
            }
            Err(_) => Step::Over,
        }
    }
}

/// What has not come yet may still come, unless the flow is closed.
fn wait_unless(closed: bool) -> Step {
    if closed { Step::Over } else { Step::Wait }
}
