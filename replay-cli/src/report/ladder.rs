//! A run as a ladder: the device, the engine and the far side, time downwards, a rung for each event.
//!
//! One model for the terminal ([`text`]) and for the page ([`super::html`]).

use std::collections::HashMap;

use super::events::{self, Described};
use super::trace;
use crate::notation::Direction;
use crate::scenario::failure::Failure;
use crate::stack::event::{Trace, What};

pub mod text;

/// A run as rungs.
#[derive(Clone, Debug, Default)]
pub struct Ladder {
    /// Every event, in order.
    pub rungs: Vec<Rung>,
    /// Where the first failure shows: the rung, and what was expected of it.
    pub divergence: Option<Divergence>,
    /// How many earlier events are not there.
    pub forgotten: u64,
}

/// The first failure of a run, at its rung.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// Index of the last rung that has to do with it; what was expected would have come here.
    pub rung: usize,
    /// What is wrong.
    pub what: String,
    /// What was expected.
    pub expected: Option<String>,
    /// What came.
    pub actual: Option<String>,
}

/// One event.
#[derive(Clone, Debug)]
pub struct Rung {
    /// The event in words.
    pub event: Described,
    /// Between whom it happened.
    pub way: Way,
    /// Whether it sends again what had been sent.
    pub again: bool,
    /// Of a frame: the line or packet that it comes from, or what was expected of it, in words.
    pub behind: Option<String>,
    /// Its number in the trace, as Wireshark counts.
    pub number: u64,
}

/// Between whom an event happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A frame from the device to the engine.
    FromDevice,
    /// A frame from the engine to the device.
    ToDevice,
    /// From the engine to the far side: a dial, payload, an end.
    ToFar,
    /// From the far side to the engine: the answer to a dial, payload, an end.
    FromFar,
    /// At the engine itself: the path changed, an answer was read.
    Host,
}

impl Way {
    const fn of(what: &What) -> Self {
        match what {
            What::FrameIn(_) => Self::FromDevice,
            What::FrameOut(_) => Self::ToDevice,
            What::Dial { .. }
            | What::Upstream(..)
            | What::UpstreamDatagram(..)
            | What::HalfClose(_)
            | What::Resume(_)
            | What::Close(..) => Self::ToFar,
            What::DialResult(..)
            | What::Downstream(..)
            | What::DownstreamDatagram(..)
            | What::Take(..)
            | What::Blocked(_)
            | What::Writable(_)
            | What::RemoteEnd(..) => Self::FromFar,
            What::Dns(_) | What::Host(_) => Self::Host,
        }
    }
}

impl Rung {
    /// What its flow is called, if it has one.
    #[must_use]
    pub fn flow(&self) -> Option<&str> {
        self.event.flow.as_deref()
    }
}

impl Ladder {
    /// The ladder of a trace; `first` is the first failure of its run.
    #[must_use]
    pub fn of(trace: &Trace, first: Option<&Failure>) -> Self {
        let divergence = first.and_then(|first| {
            Some(Divergence {
                rung: trace::frame_of(trace, first)?,
                what: format!("error[{}]: {}", first.kind.label(), first.what),
                expected: first.expected.clone(),
                actual: first.actual.clone(),
            })
        });
        let mut sent = Sent::default();
        let rungs = trace.events.iter().zip(events::describe(trace));
        let rungs = rungs.zip(trace::numbers(trace));
        let rungs = rungs.map(|((event, described), number)| Rung {
            again: sent.again(&described),
            way: Way::of(&event.what),
            behind: trace::behind(event),
            event: described,
            number,
        });
        Self {
            rungs: rungs.collect(),
            divergence,
            forgotten: trace.forgotten,
        }
    }

    /// The names of its flows, in the order in which they come.
    #[must_use]
    pub fn flows(&self) -> Vec<&str> {
        let mut seen = std::collections::HashSet::new();
        let names = self.rungs.iter().filter_map(Rung::flow);
        names.filter(|name| seen.insert(*name)).collect()
    }

    /// The rungs of one flow, and those of none.
    #[must_use]
    pub fn of_flow(&self, name: &str) -> Self {
        let is_of = |rung: &&Rung| rung.flow().is_none_or(|flow| flow == name);
        let before = |index: usize| self.rungs.iter().take(index).filter(is_of).count();
        Self {
            rungs: self.rungs.iter().filter(is_of).cloned().collect(),
            divergence: self.divergence.as_ref().and_then(|divergence| {
                let at = self.rungs.get(divergence.rung)?;
                is_of(&at).then(|| Divergence {
                    rung: before(divergence.rung),
                    ..divergence.clone()
                })
            }),
            forgotten: self.forgotten,
        }
    }

    /// At most `most` rungs, around the divergence if there is one: these are from where to where.
    #[must_use]
    pub fn window(&self, most: usize) -> std::ops::Range<usize> {
        let all = self.rungs.len();
        let middle = self.divergence.as_ref().map_or(0, |found| found.rung);
        let from = middle.saturating_sub(most.saturating_mul(3) / 4);
        let from = from.min(all.saturating_sub(most));
        from..all.min(from.saturating_add(most))
    }
}

/// How far each side of each flow has sent.
#[derive(Debug, Default)]
struct Sent(HashMap<(String, bool), u32>);

impl Sent {
    /// Whether a segment begins before what its sender had sent already.
    fn again(&mut self, event: &Described) -> bool {
        let (Some(tcp), Some(flow), Some(direction)) = (&event.tcp, &event.flow, event.direction)
        else {
            return false;
        };
        if tcp.len == 0 {
            return false;
        }
        let key = (flow.clone(), direction == Direction::FromDevice);
        let end = tcp.sequence.wrapping_add(tcp.len);
        let sent = self.0.entry(key).or_insert(tcp.sequence);
        let again = tcp.sequence.wrapping_sub(*sent).cast_signed() < 0;
        if end.wrapping_sub(*sent).cast_signed() > 0 {
            *sent = end;
        }
        again
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::verdict::run::{RunOptions, Tracing, run_file};

    /// The ladder of a scenario made of these lines, with its first failure.
    pub(crate) fn ladder_of(lines: &[&str]) -> (Ladder, Trace, Option<Failure>) {
        ladder_with(lines, r#"{"otherwise": "connected"}"#)
    }

    /// The same with this dialer.
    pub(crate) fn ladder_with(lines: &[&str], dialer: &str) -> (Ladder, Trace, Option<Failure>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made.json");
        let frames = serde_json::to_string(lines).unwrap();
        let text = format!(
            r#"{{"schema": 1, "title": "made", "flows": {{"get": "tcp 10.0.0.2:40000 > 192.0.2.1:80"}},
            "input": {{"frames": {frames}}}, "dialer": {dialer}, "expect": {{}}}}"#
        );
        std::fs::write(&path, text).unwrap();
        let options = RunOptions {
            trace: Tracing::Always,
            ..RunOptions::default()
        };
        let outcome = run_file(&path, &options).remove(0);
        let trace = outcome.trace.expect("a trace");
        let first = outcome.failures.into_iter().next();
        (Ladder::of(&trace, first.as_ref()), trace, first)
    }

    pub(crate) const WRONG: [&str; 5] = [
        "+0 < get S 0:0(0) win 65535 <mss 1460>",
        "+0 > get S. 0:0(0) ack 1 <*>",
        "+0 < get . 1:1(0) ack 1 win 65535",
        "+0.01 < get P. 1:11(10) ack 1 win 65535",
        "+0 > get . 1:1(0) ack 12",
    ];

    #[test]
    fn the_divergence_stands_at_the_packet_that_differs() {
        let (ladder, ..) = ladder_of(&WRONG);
        let found = ladder.divergence.expect("a divergence");
        let rung = &ladder.rungs[found.rung];
        assert_eq!(
            (rung.way, rung.event.what.as_str()),
            (Way::ToDevice, ". 1:1(0) ack 11 win 16374")
        );
        assert_eq!(found.expected.as_deref(), Some("+0 > get . 1:1(0) ack 12"));
    }

    #[test]
    fn a_segment_that_is_sent_again_is_marked() {
        let (ladder, ..) = ladder_of(&[
            "+0 < get S 0:0(0) win 65535 <mss 1460>",
            "+0 < get . 1:1(0) ack 1 win 65535",
            "+0 < get P. 1:11(10) ack 1 win 65535",
            "+0.2 < get P. 1:11(10) ack 1 win 65535",
        ]);
        let again: Vec<_> = ladder.rungs.iter().filter(|rung| rung.again).collect();
        assert_eq!(again.len(), 1);
        assert_eq!(
            (again[0].event.at_us, again[0].way),
            (200_000, Way::FromDevice)
        );
    }

    #[test]
    fn a_window_of_rungs_has_the_divergence_in_it() {
        let (ladder, ..) = ladder_of(&WRONG);
        let found = ladder.divergence.as_ref().unwrap().rung;
        for most in [1, 3, 100] {
            let window = ladder.window(most);
            assert!(window.contains(&found), "{most}: {window:?}");
            assert!(window.len() <= most);
        }
    }
}
