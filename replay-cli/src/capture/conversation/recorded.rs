//! What a flight recorder kept of a flow: the far side as the dialer knew it, not as the engine showed it.

use std::collections::BTreeMap;

use super::store::{ByteReader, STRETCH, Span, Stream};
use super::tcp::{FarEvent, FarEventKind};
use crate::capture::CustomBlock;
use crate::capture::recording::{EventKind, RemoteEnd};
use crate::scenario::DialResult;

/// A recording's part of a capture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recording {
    /// The recorded engine's settings: name and value.
    pub settings: Vec<(String, String)>,
    /// Events of the dialer, over all flows.
    pub events: u64,
    /// Changes of the path, in words.
    pub paths: Vec<String>,
    /// Events that could not be used, by reason.
    pub unused: BTreeMap<String, u64>,
}

impl Recording {
    /// Takes the settings of a file of the recording; the first one's count.
    pub(crate) fn set(&mut self, text: &str) {
        if self.settings.is_empty() {
            let pairs = text.lines().filter_map(|line| line.split_once('='));
            self.settings = pairs
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect();
        }
    }

    /// Counts an event that cannot be used.
    pub(crate) fn pass_over(&mut self, reason: String) {
        *self.unused.entry(reason).or_default() += 1;
    }

    /// The value of a setting that is a number.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u64> {
        self.word(name)?.parse().ok()
    }

    /// The value of a setting.
    #[must_use]
    pub fn word(&self, name: &str) -> Option<&str> {
        let found = self.settings.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// An event of one flow, among its packets.
#[derive(Clone, Debug)]
pub(crate) struct RawEvent {
    /// How many of the flow's packets came before it.
    pub(crate) after: usize,
    pub(crate) time_ns: i64,
    pub(crate) kind: RawKind,
}

/// [`EventKind`] of a flow; its bytes stay where they are.
#[derive(Clone, Debug)]
pub(crate) enum RawKind {
    Dial,
    DialResult(DialResult),
    RemoteData(Span),
    RemoteDatagram(Span),
    RemoteClosed(RemoteEnd),
    Took(u64),
    Datagram,
    HalfClose,
    Blocked,
    Writable,
    Close(String),
}

impl RawKind {
    /// An event of `block`; `None` for what belongs to no flow.
    pub(crate) fn of(kind: EventKind<'_>, block: &CustomBlock<'_>) -> Option<Self> {
        let span = |bytes: &[u8]| {
            let at = bytes
                .as_ptr()
                .addr()
                .wrapping_sub(block.data.as_ptr().addr());
            Span::new(block.offset.wrapping_add(at as u64), bytes.len())
        };
        Some(match kind {
            EventKind::Settings(_) | EventKind::Path(_) => return None,
            EventKind::Dial(_) => Self::Dial,
            EventKind::DialResult(result) => Self::DialResult(result),
            EventKind::RemoteData(bytes) => Self::RemoteData(span(bytes)),
            EventKind::RemoteDatagram(bytes) => Self::RemoteDatagram(span(bytes)),
            EventKind::RemoteClosed(end) => Self::RemoteClosed(end),
            EventKind::Took(count) => Self::Took(count),
            EventKind::Datagram(_) => Self::Datagram,
            EventKind::HalfClose => Self::HalfClose,
            EventKind::Blocked => Self::Blocked,
            EventKind::Writable => Self::Writable,
            EventKind::Close(close) => Self::Close(close.to_owned()),
        })
    }
}

/// The far side of a TCP flow, as its dialer reported it.
#[derive(Debug, Default)]
pub(crate) struct Dialer {
    dialed_at: Option<u64>,
    result: Option<(DialResult, u64)>,
    /// Bytes of the device that the dialer had taken, and whether it knew of their end.
    taken: u64,
    ended: bool,
    /// When it learned the last of that.
    received_at: u64,
    /// When the far side did something last.
    acted_at: u64,
    stream: Stream,
    far: Vec<FarEvent>,
    events: u64,
    close: Option<String>,
}

/// What is known of the far side of a recorded flow.
#[derive(Debug)]
pub(crate) struct RecordedFar {
    pub(crate) dial: (DialResult, u64),
    pub(crate) stream: Stream,
    pub(crate) far: Vec<FarEvent>,
    pub(crate) events: u64,
    /// The recorded engine's word for its end.
    pub(crate) close: Option<String>,
}

impl Dialer {
    /// Takes an event at `now`, microseconds of the flow's own time.
    pub(crate) fn event(&mut self, kind: &RawKind, now: u64) {
        self.events += 1;
        match kind {
            RawKind::Dial => {
                self.dialed_at.get_or_insert(now);
            }
            RawKind::DialResult(result) => {
                let after = now.saturating_sub(self.dialed_at.unwrap_or(now));
                self.result.get_or_insert((*result, after));
                self.acted_at = now;
            }
            RawKind::Took(count) => {
                self.taken = self.taken.saturating_add(*count);
                self.received_at = now;
            }
            RawKind::HalfClose => (self.ended, self.received_at) = (true, now),
            RawKind::RemoteData(bytes) => {
                let from = self.stream.len();
                self.stream.push(bytes.place, bytes.len.into());
                let to = self.stream.len();
                if let Some(FarEvent {
                    kind: FarEventKind::Send { to: end, .. },
                    acked,
                    fin_acked,
                    ..
                }) = self.far.last_mut()
                    && (*acked, *fin_acked, self.acted_at) == (self.taken, self.ended, now)
                {
                    *end = to;
                } else {
                    self.act(FarEventKind::Send { from, to }, now);
                }
            }
            RawKind::RemoteClosed(RemoteEnd::Eof) => self.act(FarEventKind::Fin, now),
            RawKind::RemoteClosed(RemoteEnd::Reset) => self.act(FarEventKind::Reset, now),
            RawKind::RemoteClosed(RemoteEnd::Error) => self.act(FarEventKind::Fail, now),
            RawKind::Blocked => self.act(FarEventKind::Block, now),
            RawKind::Writable => self.act(FarEventKind::Unblock, now),
            RawKind::Close(close) => self.close = Some(close.clone()),
            RawKind::Datagram | RawKind::RemoteDatagram(_) => {}
        }
    }

    fn act(&mut self, kind: FarEventKind, now: u64) {
        self.far.push(FarEvent {
            kind,
            acked: self.taken,
            fin_acked: self.ended,
            wait_us: now.saturating_sub(self.received_at.max(self.acted_at)),
        });
        self.acted_at = now;
    }

    /// What it did, if it was asked to dial at all.
    pub(crate) fn finish(self) -> Option<RecordedFar> {
        self.dialed_at?;
        Some(RecordedFar {
            dial: self.result.unwrap_or((DialResult::Never, 0)),
            stream: self.stream,
            far: self.far,
            events: self.events,
            close: self.close,
        })
    }
}

impl RecordedFar {
    /// The flow's notes: where its far side is from, and what the recorded engine made of it.
    pub(crate) fn notes(
        &self,
        shown: &Stream,
        device_ended: bool,
        bytes: &mut ByteReader<'_>,
        notes: &mut Vec<String>,
    ) {
        notes.push(format!(
            "its far side is taken from {} recorded event(s) of the dialer, not from the frames",
            self.events
        ));
        let given = &self.stream;
        let same = common(given, shown, bytes);
        if same < shown.len() {
            notes.push(format!(
                "the recorded engine gave the device other bytes than its dialer gave it, from byte {same} on"
            ));
        } else if same < given.len() && device_ended {
            notes.push(format!(
                "the recorded engine gave the device {same} of the {} bytes that its dialer gave it",
                given.len()
            ));
        }
        if let Some(close) = &self.close {
            notes.push(format!("the recorded engine's word for its end: {close}"));
        }
    }
}

/// How many bytes two streams have in common from their beginning on.
fn common(one: &Stream, other: &Stream, bytes: &mut ByteReader<'_>) -> u64 {
    let end = one.len().min(other.len());
    let mut at = 0;
    while at < end {
        let to = (at + STRETCH).min(end);
        let mine = one.read(at, to, bytes).to_vec();
        let theirs = other.read(at, to, bytes);
        let same = mine.iter().zip(theirs).take_while(|(a, b)| a == b).count() as u64;
        at += same;
        if same < (to - at + same) {
            break;
        }
    }
    at
}
