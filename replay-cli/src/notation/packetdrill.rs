//! Scripts in packetdrill's own syntax, server side.
//!
//! `<` lines go into the engine, `>` lines must come out of it, and the system calls between them are what the far side does: what the
//! application writes is what the remote sends, what it reads is what the remote has received. What cannot be said that way is
//! [`Unmapped`], with its place, and the script is not applicable: it is never taken for passed.

use std::path::Path;

use crate::base::diagnostic::{Diagnostic, Position};
use crate::notation::{Action, Line, TimeSpec};

mod call;
mod options;
mod split;

pub(crate) use call::{Call, Got};

/// The name that lines have for the one connection of a script.
pub(crate) const FLOW: &str = "c";

/// A script that can be run.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    /// Its first comment.
    pub(crate) title: String,
    /// Requirements it covers: `// covers: TCP-CLOSE-HALF, TCP-DATA-PSH`.
    pub(crate) covers: Vec<(String, Position)>,
    /// 4 or 6.
    pub(crate) family: u8,
    pub(crate) mtu: Option<u32>,
    pub(crate) events: Vec<Event>,
}

/// One timed event.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) at: Position,
    /// As it is written.
    pub(crate) text: String,
    pub(crate) time: TimeSpec,
    /// When a blocking call must have returned, counted from what `time` counts from.
    pub(crate) end: Option<u64>,
    pub(crate) what: What,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    Packet(Box<Line>),
    Call(Call),
}

impl Script {
    /// Whether it expects packets at all.
    pub(crate) fn expects_packets(&self) -> bool {
        let expects = |event: &Event| match &event.what {
            What::Packet(line) => matches!(line.action, Action::Expect(_)),
            What::Call(_) => false,
        };
        self.events.iter().any(expects)
    }
}

/// A construct that has no meaning for an engine between a device and a dialer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unmapped {
    pub(crate) at: Position,
    pub(crate) what: String,
}

impl Unmapped {
    fn new(at: Position, what: impl Into<String>) -> Self {
        Self {
            at,
            what: what.into(),
        }
    }

    /// As a diagnostic about a file.
    pub(crate) fn in_file(&self, path: &Path) -> Diagnostic {
        Diagnostic::new(self.what.clone()).at(path, self.at)
    }
}

/// Reads a script; otherwise everything in it that cannot be mapped.
pub(crate) fn parse(text: &str) -> Result<Script, Vec<Unmapped>> {
    let split::Pieces {
        title,
        covers,
        pieces,
    } = split::split(text);
    let mut script = Script {
        title,
        covers,
        family: 4,
        mtu: None,
        events: Vec::new(),
    };
    let mut unmapped = Vec::new();
    let mut sockets = call::Sockets::default();
    for piece in pieces {
        let done = match piece.kind {
            split::Kind::Option => option(&mut script, &piece),
            split::Kind::Shell if is_default_set_up(&piece.text) => Ok(()),
            split::Kind::Shell => Err(Unmapped::new(
                piece.at,
                format!("shell command {}: there is no kernel to set up", piece.text),
            )),
            split::Kind::Code => Err(Unmapped::new(
                piece.at,
                "code in %{ }%: there is no TCP_INFO to ask",
            )),
            split::Kind::Event => event(&piece, &mut sockets).map(|event| {
                script.events.extend(event);
            }),
        };
        if let Err(problem) = done {
            unmapped.push(problem);
        }
    }
    if script.events.is_empty() && unmapped.is_empty() {
        unmapped.push(Unmapped::new(
            Position { line: 1, column: 1 },
            "the script has no event",
        ));
    }
    if unmapped.is_empty() {
        Ok(script)
    } else {
        Err(unmapped)
    }
}

/// The set-up that every published script begins with: it puts the kernel's defaults in place, which nothing here has.
fn is_default_set_up(command: &str) -> bool {
    let word = command.trim_matches('`').trim();
    word.ends_with("common/defaults.sh")
}

/// A line such as `--ip_version=ipv6`.
fn option(script: &mut Script, piece: &split::Piece) -> Result<(), Unmapped> {
    let (name, value) = piece.text.split_once('=').unwrap_or((&piece.text, ""));
    match (name, value) {
        ("--ip_version", "ipv4") => script.family = 4,
        ("--ip_version", "ipv6") => script.family = 6,
        ("--mtu", size) if size.parse::<u32>().is_ok() => script.mtu = size.parse().ok(),
        // Virtual time is exact; addresses and the wire are not those of a test machine; strictness is the rule.
        (
            "--tolerance_usecs"
            | "--tolerance_percent"
            | "--local_ip"
            | "--remote_ip"
            | "--gateway_ip"
            | "--netmask_ip"
            | "--bind_port"
            | "--connect_port"
            | "--strict_segments"
            | "--verbose"
            | "-v"
            | "--dry_run",
            _,
        ) => {}
        _ => {
            return Err(Unmapped::new(
                piece.at,
                format!("option {}: it has no counterpart here", piece.text),
            ));
        }
    }
    Ok(())
}

fn event(piece: &split::Piece, sockets: &mut call::Sockets) -> Result<Option<Event>, Unmapped> {
    let (word, rest) = split_time(&piece.text);
    let rest_at = Position {
        column: piece.at.column + u32::try_from(piece.text.len() - rest.len()).unwrap_or(0),
        ..piece.at
    };
    let (start, end) = match word.split_once("...") {
        Some((start, end)) => (start, Some(end)),
        None => (word, None),
    };
    let time = time(start)
        .ok_or_else(|| Unmapped::new(piece.at, format!("`{word}` is no time of packetdrill")))?;
    let end = match end {
        None => None,
        Some(end) => match self::time(end) {
            Some(TimeSpec::Absolute(end) | TimeSpec::Relative(end)) => Some(end),
            _ => return Err(Unmapped::new(piece.at, format!("`{word}` ends at no time"))),
        },
    };
    let what = match rest.chars().next() {
        Some('<' | '>') => What::Packet(Box::new(packet(piece, word, time, rest, rest_at)?)),
        Some('%' | '`') | None => {
            return Err(Unmapped::new(
                rest_at,
                "code and commands have no place here",
            ));
        }
        Some(_) => match call::parse(rest, rest_at, sockets)? {
            Some(call) => What::Call(call),
            None => return Ok(None),
        },
    };
    Ok(Some(Event {
        at: piece.at,
        text: piece.text.clone(),
        time,
        end,
        what,
    }))
}

/// The time at the beginning of an event, and what follows.
fn split_time(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| {
            c.is_whitespace() || matches!(c, '<' | '>' | '`' | '%') || c.is_alphabetic()
        })
        .unwrap_or(text.len());
    let (time, rest) = text.split_at(end);
    (time, rest.trim_start())
}

/// A time as packetdrill writes it; `*` is any.
fn time(word: &str) -> Option<TimeSpec> {
    if word == "*" {
        return Some(TimeSpec::Any);
    }
    // The notation's own reader knows all the other forms.
    let line = format!("{word} > {FLOW} .");
    if word.is_empty() || word.contains('~') && word.starts_with('~') {
        return None;
    }
    Line::parse(&line).ok().map(|line| line.time)
}

/// A `<` or `>` line in this project's notation.
fn packet(
    piece: &split::Piece,
    word: &str,
    time: TimeSpec,
    rest: &str,
    at: Position,
) -> Result<Line, Unmapped> {
    let (direction, body) = rest.split_at(1);
    let body_at = Position {
        column: at.column + 1,
        ..at
    };
    let body = body.trim_start();
    let inject = direction == "<";
    if let Some(problem) = foreign(body) {
        return Err(Unmapped::new(body_at, problem));
    }
    if inject && !time.is_exact() {
        return Err(Unmapped::new(
            piece.at,
            format!("`{word}`: a packet is injected at one time"),
        ));
    }
    let (head, options) = match body.find('<') {
        Some(open) => body.split_at(open),
        None => (body, ""),
    };
    let options =
        options::translate(options, inject).map_err(|what| Unmapped::new(body_at, what))?;
    let time = if word == "*" { "~" } else { word };
    let text = format!("{time} {direction} {FLOW} {} {options}", head.trim());
    let line = Line::parse(text.trim_end())
        .map_err(|problem| Unmapped::new(body_at, format!("packet `{body}`: {}", problem.what)))?;
    match line.action {
        Action::Inject(_) | Action::Expect(_) => Ok(line),
        _ => Err(Unmapped::new(body_at, format!("`{body}` is no packet"))),
    }
}

/// What a packet has before or instead of its flags that only a real wire has.
fn foreign(body: &str) -> Option<String> {
    let first = body.split_whitespace().next().unwrap_or_default();
    match first {
        "icmp" | "udp" | "gre" | "mpls" | "ipv4" | "ipv6" | "eth" => Some(format!(
            "`{first}` packets: only TCP segments of the one connection are mapped"
        )),
        _ if first.starts_with('[') || first.starts_with('(') => {
            Some(format!("`{first}`: fields of the IP header are not mapped"))
        }
        _ if first.contains(':') && !first.contains('(') => {
            Some(format!("`{first}`: addresses in a packet are not mapped"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
