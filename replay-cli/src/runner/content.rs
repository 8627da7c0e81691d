//! The bytes a script speaks of, resolved once.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use crate::conversation::Conversations;
use crate::diagnostic::Diagnostic;
use crate::scenario::{Bytes, Scenario, Step};

/// Bytes to send or to wait for.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// Held here.
    Owned(Arc<[u8]>),
    /// A range of the far side's stream in the capture.
    Far {
        /// Index of the conversation.
        flow: usize,
        /// First octet.
        from: usize,
        /// One past the last.
        to: usize,
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
    pub(crate) fn bytes<'a>(&'a self, capture: Option<&'a Conversations>) -> &'a [u8] {
        match self {
            Self::Owned(bytes) => bytes,
            Self::Far { flow, from, to } => capture
                .and_then(|capture| capture.flows.get(*flow))
                .and_then(|flow| flow.far_bytes().get(*from..*to))
                .unwrap_or(&[]),
        }
    }
}

/// Resolves the bytes of `steps`; `pointer` is the place of the list in the file.
pub(crate) fn resolve(
    steps: &[Step],
    pointer: &str,
    folder: &Path,
    scenario: &Scenario,
    capture: Option<&Conversations>,
) -> Result<Vec<Action>, (String, Diagnostic)> {
    let mut actions = Vec::with_capacity(steps.len());
    for (index, step) in steps.iter().enumerate() {
        let content = |bytes: &Bytes| {
            content(bytes, folder, scenario, capture)
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
    folder: &Path,
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
            Ok(Content::Owned(pattern.iter().collect::<Vec<u8>>().into()))
        }
        Bytes::File(name) => {
            let path = folder.join(name);
            std::fs::read(&path)
                .map(|bytes| Content::Owned(bytes.into()))
                .map_err(|problem| {
                    Diagnostic::new(format!("cannot read {}: {problem}", path.display()))
                        .help("the path is relative to the scenario file")
                })
        }
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
            let range = usize::try_from(*from)
                .ok()
                .zip(usize::try_from(*to).ok())
                .filter(|(_, to)| *to <= there);
            let (from, to) = range.ok_or_else(|| {
                Diagnostic::new(format!(
                    "bytes {from} to {to} of {flow}, but its far side sent {there} in the capture"
                ))
                .help("import the capture anew, or correct the range")
            })?;
            Ok(Content::Far {
                flow: index,
                from,
                to,
            })
        }
    }
}

/// Octets of one generated step: what a test can want, and memory can hold.
const MAX_PATTERN: u64 = 1 << 30;
