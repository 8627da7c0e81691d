//! The bytes a script speaks of, resolved once.

use std::net::SocketAddr;
use std::sync::Arc;

use super::actions::Actions;
use crate::base::diagnostic::Diagnostic;
use crate::capture::conversation::{ByteReader, Conversations};
use crate::scenario::files::Files;
use crate::scenario::{Bytes, FlowSpec, Pattern, Scenario, Step};

/// Bytes to send or to wait for.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// Held here.
    Owned(Arc<[u8]>),
    /// Generated as they are wanted.
    Pattern(Pattern),
    /// A range of the far side's stream in the capture.
    Far {
        /// Index of the conversation.
        flow: usize,
        /// First byte.
        from: u64,
        /// One past the last.
        to: u64,
    },
}

/// A dialer step with its bytes at hand.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    Read(u64),
    ReadUntil(Content),
    ReadEof,
    Wait(u64),
    Send(Content),
    SendFrom(SocketAddr, Content),
    Take(u64),
    Block,
    Unblock,
    Shutdown,
    Reset,
    Fail,
    Echo(u64),
}

impl Content {
    /// How many bytes it has.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Owned(bytes) => bytes.len() as u64,
            Self::Pattern(pattern) => pattern.bytes,
            Self::Far { from, to, .. } => to.saturating_sub(*from),
        }
    }

    /// The bytes from `at` on, at most `most` of them; those that are generated stand in `made`.
    pub(crate) fn read<'r>(
        &'r self,
        at: u64,
        most: u64,
        capture: Option<&Conversations>,
        reader: Option<&'r mut ByteReader<'_>>,
        made: &'r mut Made,
    ) -> &'r [u8] {
        let end = at.saturating_add(most).min(self.len());
        match self {
            Self::Owned(bytes) => {
                let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
                bytes.get(place(at)..place(end)).unwrap_or_default()
            }
            Self::Pattern(pattern) => made.read(*pattern, at, end),
            Self::Far { flow, from, .. } => {
                let flow = capture.and_then(|capture| capture.flows.get(*flow));
                match (flow, reader) {
                    (Some(flow), Some(reader)) => {
                        flow.far_bytes().read(from + at, from + end, reader)
                    }
                    _ => &[],
                }
            }
        }
    }
}

/// The part of a pattern that was made last: a sender that is given room by and by asks for nearly the same bytes again.
#[derive(Debug, Default)]
pub(crate) struct Made {
    pattern: Option<Pattern>,
    from: u64,
    bytes: Vec<u8>,
}

impl Made {
    /// The bytes of a pattern from one place to another. As many again are made ahead of them.
    fn read(&mut self, pattern: Pattern, at: u64, end: u64) -> &[u8] {
        let held = |made: &Self| {
            let from = usize::try_from(at.checked_sub(made.from)?).ok()?;
            let to = from.checked_add(usize::try_from(end.saturating_sub(at)).ok()?)?;
            (made.pattern == Some(pattern) && to <= made.bytes.len()).then_some(from..to)
        };
        if held(self).is_none() {
            let length = end.saturating_sub(at).saturating_mul(2);
            let length = length.min(pattern.bytes.saturating_sub(at));
            (self.pattern, self.from) = (Some(pattern), at);
            self.bytes.resize(usize::try_from(length).unwrap_or(0), 0);
            pattern.fill(at, &mut self.bytes);
        }
        let range = held(self).unwrap_or_default();
        self.bytes.get(range).unwrap_or_default()
    }
}

/// Resolves a rule's steps; `pointer` is the place of the list in the file, `flow` the one that the rule names.
pub(crate) fn actions(
    steps: &[Step],
    pointer: &str,
    files: &Files,
    scenario: &Scenario,
    capture: Option<&Conversations>,
    flow: Option<&FlowSpec>,
) -> Result<Actions, (String, Diagnostic)> {
    if let [Step::Recorded(_)] = steps {
        let problem = |what: &str, help: &str| {
            let diagnostic = Diagnostic::new(what.to_owned()).help(help.to_owned());
            (format!("{pointer}/0"), diagnostic)
        };
        let capture = capture.ok_or_else(|| {
            problem(
                "`recorded`, but the input is no capture",
                "set `input.capture`, or write the steps one by one",
            )
        })?;
        let index = flow.and_then(|flow| capture.find(flow)).ok_or_else(|| {
            problem(
                "`recorded`, but the rule names no flow of the capture that can be replayed",
                "name one in `when.flow`; `replay inspect` lists the flows of a capture",
            )
        })?;
        return Ok(Actions::recorded(index));
    }
    if let Some(at) = steps
        .iter()
        .position(|step| matches!(step, Step::Recorded(_)))
    {
        let what = "`recorded` stands for all that the far side did: no other step goes with it";
        let help = "leave the other steps out, or import the capture with its steps";
        let diagnostic = Diagnostic::new(what.to_owned()).help(help.to_owned());
        return Err((format!("{pointer}/{at}"), diagnostic));
    }
    resolve(steps, pointer, files, scenario, capture).map(Actions::listed)
}

/// Resolves the bytes of `steps`.
fn resolve(
    steps: &[Step],
    pointer: &str,
    files: &Files,
    scenario: &Scenario,
    capture: Option<&Conversations>,
) -> Result<Vec<Action>, (String, Diagnostic)> {
    let mut actions = Vec::with_capacity(steps.len());
    for (index, step) in steps.iter().enumerate() {
        let content = |bytes: &Bytes| {
            content(bytes, files, scenario, capture)
                .map_err(|problem| (format!("{pointer}/{index}"), problem))
        };
        match step {
            Step::Read(count) => actions.push(Action::Read(*count)),
            Step::ReadUntil(bytes) => actions.push(Action::ReadUntil(content(bytes)?)),
            Step::ReadEof(_) => actions.push(Action::ReadEof),
            Step::Wait(time) => actions.push(Action::Wait(time.as_micros())),
            Step::Send(bytes) => actions.push(Action::Send(content(bytes)?)),
            Step::SendFrom(datagram) => {
                actions.push(Action::SendFrom(datagram.from, content(&datagram.bytes)?));
            }
            Step::Take(count) => actions.push(Action::Take(*count)),
            Step::Block(_) => actions.push(Action::Block),
            Step::Unblock(_) => actions.push(Action::Unblock),
            Step::Shutdown(_) => actions.push(Action::Shutdown),
            Step::Reset(_) => actions.push(Action::Reset),
            Step::Fail(_) => actions.push(Action::Fail),
            Step::Echo(count) => actions.push(Action::Echo(*count)),
            // Alone in its list, or refused.
            Step::Recorded(_) => {}
            Step::Reply(replies) => {
                for reply in replies {
                    actions.push(Action::Read(1));
                    actions.push(Action::Send(content(reply)?));
                }
            }
        }
    }
    Ok(actions)
}

fn content(
    bytes: &Bytes,
    files: &Files,
    scenario: &Scenario,
    capture: Option<&Conversations>,
) -> Result<Content, Diagnostic> {
    match bytes {
        Bytes::Text(text) => Ok(Content::Owned(text.as_bytes().into())),
        Bytes::Hex(bytes) => Ok(Content::Owned(bytes.as_slice().into())),
        Bytes::Pattern(pattern) => {
            if pattern.bytes > MAX_PATTERN {
                return Err(Diagnostic::new(format!(
                    "a pattern of {} bytes is too long",
                    pattern.bytes
                ))
                .help(format!(
                    "a step sends at most {MAX_PATTERN} bytes; split it"
                )));
            }
            Ok(Content::Pattern(*pattern))
        }
        Bytes::File(name) => files
            .get(name)
            .map(|bytes| Content::Owned(Arc::clone(bytes)))
            .ok_or_else(|| Diagnostic::new(format!("no such file `{name}`"))),
        Bytes::Capture { flow, from, to } => {
            let capture = capture.ok_or_else(|| {
                Diagnostic::new("bytes of a capture, but the input is no capture")
                    .help("set `input.capture`")
            })?;
            let spec = scenario
                .flow(flow)
                .ok_or_else(|| Diagnostic::new(format!("unknown flow `{flow}`")))?;
            let index = capture.find(&spec).ok_or_else(|| {
                Diagnostic::new(format!(
                    "the capture has no flow {spec} that can be replayed"
                ))
                .help("`replay inspect` lists the flows of a capture")
            })?;
            let there = capture
                .flows
                .get(index)
                .map_or(0, |flow| flow.far_bytes().len());
            if *to > there {
                return Err(Diagnostic::new(format!(
                    "bytes {from} to {to} of {flow}, but its far side sent {there} in the capture"
                ))
                .help("import the capture anew, or correct the range"));
            }
            let (from, to) = (*from, *to);
            Ok(Content::Far {
                flow: index,
                from,
                to,
            })
        }
    }
}

/// Bytes of one generated step: what a test can want.
const MAX_PATTERN: u64 = 1 << 30;
