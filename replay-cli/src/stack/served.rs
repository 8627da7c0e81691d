//! Our own engine as another stack: it speaks the protocol from the other side.
//!
//! Whatever it is held to comes out as it does through the core, unless the protocol loses something.

use std::io::{self, BufRead, Write};

use engine::{FlowId, Micros, PathChange, Proto, QueryId, RemoteEnd, Resolution};
use stack_protocol::{self as protocol, Ability, Garbage, Hello, Reply, Request, Settings};

use super::{DIAL_RESULTS, EPOCH_US, Input, OwnedOutput, Stack, Via, open};

/// Runs the engine, by one of its own ways in, behind the protocol until its input ends.
///
/// # Errors
/// A line is none of the protocol's, or cannot be read or written.
pub fn serve_engine(via: &Via, input: impl BufRead, output: &mut dyn Write) -> io::Result<()> {
    let mut hello = Hello::new("engine", env!("CARGO_PKG_VERSION"));
    hello.deterministic = true;
    hello.can = Ability::ALL.iter().copied().collect();
    hello.settings = Settings::All;
    hello.tolerance = 0;
    writeln!(output, "{hello}")?;
    output.flush()?;
    let mut served: Option<Served> = None;
    for line in input.lines() {
        let request: Request = line?.parse().map_err(refused)?;
        let Request::Start(settings) = &request else {
            let served = served
                .as_mut()
                .ok_or_else(|| refused(Garbage("`start` comes first".to_owned())))?;
            served.take(&request, output)?;
            continue;
        };
        let settings = serde_json::from_str(settings)?;
        let stack =
            open(via, &settings, None).map_err(|problem| io::Error::other(problem.to_string()))?;
        served = Some(Served {
            stack,
            now: Micros(EPOCH_US),
            idle: true,
        });
    }
    Ok(())
}

fn refused(garbage: Garbage) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, garbage)
}

struct Served {
    stack: Box<dyn Stack>,
    now: Micros,
    /// No input came since the last poll: the next is a timeout.
    idle: bool,
}

impl Served {
    fn take(&mut self, request: &Request, output: &mut dyn Write) -> io::Result<()> {
        if !matches!(request, Request::At(_) | Request::Poll) {
            self.idle = false;
        }
        let id = FlowId::from_bits;
        let frames;
        let input = match request {
            Request::Start(_) => return Ok(()),
            Request::At(time) => {
                self.now = Micros(EPOCH_US.saturating_add(*time));
                return Ok(());
            }
            Request::Poll => return self.poll(output),
            Request::Frame(frame) => {
                frames = [frame.as_slice()];
                Input::Frames(&frames)
            }
            Request::Dialed(flow, word) => {
                let mut results = DIAL_RESULTS.into_iter();
                let Some(result) = results.find(|result| result.label() == word) else {
                    return Ok(());
                };
                Input::DialResult(id(*flow), result)
            }
            Request::Data(flow, bytes) => Input::Data(id(*flow), bytes),
            Request::Datagram(flow, from, bytes) => Input::Datagram(id(*flow), *from, bytes),
            Request::Block(flow) => Input::Blocked(id(*flow)),
            Request::Unblock(flow) => Input::Writable(id(*flow)),
            Request::Take(flow, count) => Input::Take(id(*flow), *count),
            Request::End(flow, how) => {
                let end = match how.as_str() {
                    "eof" => RemoteEnd::Eof,
                    "reset" => RemoteEnd::Reset,
                    _ => RemoteEnd::Error,
                };
                Input::RemoteEnd(id(*flow), end)
            }
            Request::Resolved(query, answer) => {
                let resolution = match answer.clone() {
                    Ok((addresses, ttl)) => Resolution::Addresses { addresses, ttl },
                    Err(word) if word == "not_found" => Resolution::NotFound,
                    Err(_) => Resolution::Failed,
                };
                Input::Resolved(QueryId::from_bits(*query), resolution)
            }
            Request::Path => Input::PathChange(PathChange::Network),
            Request::AddressLost(address) => Input::PathChange(PathChange::AddressLost(*address)),
            Request::Stop => Input::Stop,
        };
        // A call that comes after the close is ignored, as in any host.
        let taken = self.stack.input(self.now, input).unwrap_or(0);
        match request {
            Request::Data(..) | Request::Datagram(..) => send(output, &Reply::Took(taken)),
            _ => Ok(()),
        }
    }

    fn poll(&mut self, output: &mut dyn Write) -> io::Result<()> {
        if std::mem::replace(&mut self.idle, true) {
            // Nothing can be wrong with a timeout.
            let _ = self.stack.input(self.now, Input::Timeout);
        }
        let mut seen = Vec::new();
        self.stack.drain(self.now, usize::MAX, &mut seen);
        for reply in seen.into_iter().filter_map(reply_of) {
            writeln!(output, "{reply}")?;
        }
        let next = self.stack.poll_timeout();
        let next = Reply::Next {
            at: next.map(|next| next.at.0.saturating_sub(EPOCH_US)),
            rest: next.is_some_and(|next| next.timer.is_idle()),
        };
        send(output, &next)
    }
}

fn send(output: &mut dyn Write, reply: &Reply) -> io::Result<()> {
    writeln!(output, "{reply}")?;
    output.flush()
}

/// The line for an output; none for the end of a batch.
fn reply_of(seen: OwnedOutput) -> Option<Reply> {
    Some(match seen {
        OwnedOutput::Batch(_) => return None,
        OwnedOutput::Frame(frame) => Reply::Frame(frame),
        OwnedOutput::Dial(flow, key, name) => Reply::Dial {
            flow: flow.to_bits(),
            proto: match key.proto {
                Proto::Tcp => protocol::Proto::Tcp,
                Proto::Udp => protocol::Proto::Udp,
            },
            client: key.client,
            server: key.server,
            name,
        },
        OwnedOutput::Data(flow, bytes) => Reply::Data(flow.to_bits(), bytes),
        OwnedOutput::Datagram(flow, to, bytes) => Reply::Datagram(flow.to_bits(), to, bytes),
        OwnedOutput::HalfClose(flow) => Reply::HalfClose(flow.to_bits()),
        OwnedOutput::Resume(flow, space) => Reply::Resume(flow.to_bits(), space),
        OwnedOutput::Close(flow, close) => Reply::Close(
            flow.to_bits(),
            close.by.to_string(),
            close.how.label().to_owned(),
        ),
        OwnedOutput::Dns(flow, record) => Reply::Dns(
            flow.map(FlowId::to_bits),
            record.ttl,
            record.addresses,
            record.name,
        ),
        OwnedOutput::Resolve(query, name, kind) => {
            Reply::Resolve(query.to_bits(), kind.label().to_owned(), name)
        }
    })
}
