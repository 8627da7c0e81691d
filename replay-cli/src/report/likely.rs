//! What most likely happened, in words: a handful of rules over the events of a run, each with the events that prove it.
//!
//! A rule fits only where the events leave no other reading; where none does, there is no result.

use engine::{DialResult, RemoteEnd};

use super::events::Numbers;
use super::ladder::{Ladder, Rung, Way};
use crate::base::wording::{counted, seconds};
use crate::notation::{Action, Body, Line, Num};
use crate::packet::Flags;
use crate::scenario::failure::{Failure, FailureKind};
use crate::stack::event::{Trace, What};

/// What happened, and what proves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Likely {
    /// In words.
    pub text: String,
    /// Indices of the rungs that prove it.
    pub rungs: Vec<usize>,
}

impl Likely {
    fn found<const N: usize>(rungs: [usize; N], text: String) -> Option<Self> {
        let rungs = rungs.to_vec();
        Some(Self { text, rungs })
    }

    /// The lines of the events that prove it, with their numbers in the trace.
    #[must_use]
    pub fn proof(&self, ladder: &Ladder) -> Vec<String> {
        let rungs = self.rungs.iter();
        let rungs = rungs.filter_map(|index| ladder.rungs.get(*index));
        let line = |rung: &Rung| format!("frame {}: {}", rung.number, rung.event.line());
        rungs.map(line).collect()
    }
}

/// What most likely led to a failure.
#[must_use]
pub fn likely(trace: &Trace, ladder: &Ladder, failure: &Failure) -> Option<Likely> {
    if trace.forgotten > 0 || !is_of_a_flow(failure.kind) {
        return None;
    }
    let flow = failure.flow.clone().or_else(|| {
        let at = ladder.divergence.as_ref()?.rung;
        ladder.rungs.get(at)?.event.flow.clone()
    })?;
    let until = failure.at_us.unwrap_or(u64::MAX);
    let events = ladder.rungs.iter().zip(&trace.events).enumerate();
    let events = events.map(|(index, (rung, event))| (index, rung, &event.what));
    let events = events.take_while(|(_, rung, _)| rung.event.at_us <= until);
    let own = events.filter(|(_, rung, _)| rung.flow() == Some(flow.as_str()));
    let story = Story {
        events: own.collect(),
        flow,
        failure,
    };
    story
        .dial()
        .or_else(|| story.far_reset())
        .or_else(|| story.device_reset())
        .or_else(|| story.handshake())
        .or_else(|| story.closed_window())
        .or_else(|| story.not_acknowledged())
        .or_else(|| story.silent_far_side())
}

/// Whether a failure is about what came or did not come on a flow.
fn is_of_a_flow(kind: FailureKind) -> bool {
    !matches!(
        kind,
        FailureKind::Invariant
            | FailureKind::Nondeterminism
            | FailureKind::DiffersFromCore
            | FailureKind::BrokenStack
            | FailureKind::UnknownFlow
            | FailureKind::UnexpectedPass
            | FailureKind::WrongDeviation
    )
}

/// The events of one flow until a failure.
struct Story<'a> {
    events: Vec<(usize, &'a Rung, &'a What)>,
    flow: String,
    failure: &'a Failure,
}

impl Story<'_> {
    fn find(&self, fits: impl Fn(&Rung, &What) -> bool) -> Option<(usize, &Rung)> {
        let found = self.events.iter().find(|(_, rung, what)| fits(rung, what));
        found.map(|(index, rung, _)| (*index, *rung))
    }

    fn last(&self, fits: impl Fn(&Rung, &What) -> bool) -> Option<(usize, &Rung)> {
        let mut back = self.events.iter().rev();
        let found = back.find(|(_, rung, what)| fits(rung, what));
        found.map(|(index, rung, _)| (*index, *rung))
    }

    /// The dial that was not answered, or that failed.
    fn dial(&self) -> Option<Likely> {
        let (asked, rung) = self.find(|_, what| matches!(what, What::Dial { .. }))?;
        let at = seconds(rung.event.at_us);
        let answer = self.events.iter().find_map(|(index, _, what)| match what {
            What::DialResult(_, result) => Some((*index, *result)),
            _ => None,
        });
        let flow = &self.flow;
        match answer {
            None => Likely::found(
                [asked],
                format!(
                    "No rule of the dialer had answered the dial of {flow} at {at} s: the flow was waiting for it."
                ),
            ),
            Some((_, DialResult::Connected)) => None,
            Some((answered, result)) => Likely::found(
                [asked, answered],
                format!("The dial of {flow} was answered {result:?}: the flow never opened."),
            ),
        }
    }

    /// The far side failed, and the engine reset the device's connection.
    fn far_reset(&self) -> Option<Likely> {
        let ended = |_: &Rung, what: &What| matches!(what, What::RemoteEnd(_, end) if *end != RemoteEnd::Eof);
        let (end, rung) = self.find(ended)?;
        let resets = |rung: &Rung, _: &What| rung.way == Way::ToDevice && has(rung, Flags::RST);
        let (reset, _) = self.find(resets).filter(|(reset, _)| *reset > end)?;
        let (flow, at) = (&self.flow, seconds(rung.event.at_us));
        Likely::found(
            [end, reset],
            format!(
                "The far side of {flow} ended with an error at {at} s, and the engine reset the device's connection."
            ),
        )
    }

    /// The device's reset came first.
    fn device_reset(&self) -> Option<Likely> {
        let resets = |rung: &Rung, _: &What| rung.way == Way::FromDevice && has(rung, Flags::RST);
        let (reset, rung) = self.find(resets)?;
        let (flow, at) = (&self.flow, seconds(rung.event.at_us));
        let text = format!("The device reset {flow} at {at} s: nothing more is owed to it.");
        Likely::found([reset], text)
    }

    /// The handshake that the device did not finish.
    fn handshake(&self) -> Option<Likely> {
        let answers = |rung: &Rung, _: &What| rung.way == Way::ToDevice && has(rung, Flags::SYN);
        let (answer, rung) = self.find(answers)?;
        let opens = |other: &Rung, _: &What| {
            other.way == Way::FromDevice && has(other, Flags::ACK) && !has(other, Flags::RST)
        };
        if self.last(opens).is_some_and(|(index, _)| index > answer) {
            return None;
        }
        let (flow, at) = (&self.flow, seconds(rung.event.at_us));
        Likely::found(
            [answer],
            format!(
                "The device never acknowledged the engine's SYN at {at} s: {flow} was not open yet."
            ),
        )
    }

    /// The window that never opened.
    fn closed_window(&self) -> Option<Likely> {
        let states = |rung: &Rung, _: &What| {
            rung.way == Way::FromDevice && has(rung, Flags::ACK) && !has(rung, Flags::RST)
        };
        let is_zero = |rung: &Rung| rung.event.tcp.is_some_and(|tcp| tcp.window == 0);
        let (_, last) = self.last(states)?;
        if !is_zero(last) {
            return None;
        }
        let open = self.last(|rung, what| states(rung, what) && !is_zero(rung));
        let after = open.map_or(0, |(index, _)| index + 1);
        let mut events = self.events.iter();
        let (closed, rung, _) = events
            .find(|(index, rung, what)| *index >= after && states(rung, what) && is_zero(rung))?;
        let (flow, at) = (&self.flow, seconds(rung.event.at_us));
        Likely::found(
            [*closed],
            format!(
                "The device's window of {flow} had been zero since {at} s and not opened again by then: the engine had to wait."
            ),
        )
    }

    /// What the engine sent again and the device never acknowledged.
    fn not_acknowledged(&self) -> Option<Likely> {
        let (again, rung) = self.last(|rung, _| rung.way == Way::ToDevice && rung.again)?;
        let sequence = rung.event.tcp?.sequence;
        let covers = |other: &Rung, _: &What| {
            let ack = other.event.tcp.and_then(|tcp| tcp.acknowledgement);
            other.way == Way::FromDevice
                && ack.is_some_and(|ack| ack.wrapping_sub(sequence).cast_signed() > 0)
        };
        if self.find(covers).is_some() {
            return None;
        }
        let same = |other: &Rung, _: &What| {
            let starts_there = |tcp: Numbers| tcp.len > 0 && tcp.sequence == sequence;
            other.way == Way::ToDevice && other.event.tcp.is_some_and(starts_there)
        };
        let (first, _) = self.find(same)?;
        let flow = &self.flow;
        Likely::found(
            [first, again],
            format!(
                "The device acknowledged nothing of {flow} from {sequence} on, which the engine sent and sent again."
            ),
        )
    }

    /// The far side that had all of the request and sent no answer.
    fn silent_far_side(&self) -> Option<Likely> {
        if !self.wants_payload() {
            return None;
        }
        let takes = |what: &What| matches!(what, What::Upstream(..) | What::UpstreamDatagram(..));
        let (asked, _) = self.last(|_, what| takes(what))?;
        let speaks = |_: &Rung, what: &What| {
            matches!(
                what,
                What::Downstream(..) | What::DownstreamDatagram(..) | What::RemoteEnd(..)
            )
        };
        if self.last(speaks).is_some_and(|(index, _)| index > asked) {
            return None;
        }
        let sizes = self.events.iter().map(|(_, _, what)| match what {
            What::Upstream(_, bytes) | What::UpstreamDatagram(_, _, bytes) => bytes.len() as u64,
            _ => 0,
        });
        let (flow, bytes) = (&self.flow, counted(sizes.sum(), "byte"));
        Likely::found(
            [asked],
            format!(
                "The far side of {flow} had {bytes} of the device and said nothing after that: its answer is what is missing."
            ),
        )
    }

    /// Whether what did not come is payload for the device.
    fn wants_payload(&self) -> bool {
        let expected = self.failure.expected.as_deref().map(Line::parse);
        let Some(Ok(Line {
            action: Action::Expect(segment),
            ..
        })) = expected
        else {
            return false;
        };
        match segment.body {
            Body::Tcp(body) => body.range.is_some_and(|range| range.len != Num::of(0)),
            Body::Udp { .. } => true,
            _ => false,
        }
    }
}

fn has(rung: &Rung, flag: Flags) -> bool {
    rung.event.tcp.is_some_and(|tcp| tcp.flags.contains(flag))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::ladder::tests::{WRONG, ladder_with};

    fn said(lines: &[&str]) -> Option<(String, Vec<String>)> {
        said_with(lines, r#"{"otherwise": "connected"}"#)
    }

    fn said_with(lines: &[&str], dialer: &str) -> Option<(String, Vec<String>)> {
        let (ladder, trace, first) = ladder_with(lines, dialer);
        let found = likely(&trace, &ladder, &first.expect("a failure"))?;
        Some((found.text.clone(), found.proof(&ladder)))
    }

    const OPEN: [&str; 3] = [
        "+0 < get S 0:0(0) win 65535 <mss 1460>",
        "+0 > get S. 0:0(0) ack 1 <*>",
        "+0 < get . 1:1(0) ack 1 win 65535",
    ];

    fn after_open<'a>(lines: &[&'a str]) -> Vec<&'a str> {
        OPEN.iter().copied().chain(lines.iter().copied()).collect()
    }

    #[test]
    fn a_device_that_reset_first_is_named() {
        let lines = after_open(&["+0.1 < get R 1:1(0) win 0", "+0.1 > get P. 1:5(4) ack 1"]);
        let (text, proof) = said(&lines).expect("a rule");
        assert_eq!(
            text,
            "The device reset get at 0.1 s: nothing more is owed to it."
        );
        assert!(proof[0].contains("0.1 < get R"), "{proof:?}");
    }

    #[test]
    fn a_handshake_that_was_not_finished_is_named() {
        let lines = [OPEN[0], "+0.1 > get P. 1:5(4) ack 1"];
        let (text, proof) = said(&lines).expect("a rule");
        assert!(
            text.starts_with("The device never acknowledged the engine's SYN"),
            "{text}"
        );
        assert!(proof[0].contains("> get S. 0:0(0) ack 1"), "{proof:?}");
    }

    #[test]
    fn a_far_side_that_said_nothing_is_named() {
        let lines = after_open(&[
            "+0 < get P. 1:11(10) ack 1 win 65535",
            "+0.1 > get P. 1:5(4) ack 11",
        ]);
        let (text, _) = said(&lines).expect("a rule");
        assert!(
            text.contains("had 10 bytes of the device and said nothing"),
            "{text}"
        );
    }

    #[test]
    fn a_dial_that_failed_is_named_with_its_answer() {
        let lines = [OPEN[0], OPEN[1]];
        let (text, proof) = said_with(&lines, r#"{"otherwise": "refused"}"#).expect("a rule");
        assert!(
            text.starts_with("The dial of get was answered Refused"),
            "{text}"
        );
        assert_eq!(proof.len(), 2, "{proof:?}");
    }

    #[test]
    fn what_is_sent_again_and_never_acknowledged_is_named() {
        let lines = after_open(&[
            "+0 > get P. 1:101(100) ack 1",
            "+5 > get F. 101:101(0) ack 1",
        ]);
        let dialer = r#"{"rules": [{"then": [{"send": {"pattern": {"bytes": 100, "seed": 0}}}]}]}"#;
        let (text, proof) = said_with(&lines, dialer).expect("a rule");
        assert!(
            text.contains("acknowledged nothing of get from 1 on"),
            "{text}"
        );
        assert_eq!(proof.len(), 2, "{proof:?}");
    }

    #[test]
    fn a_far_side_that_failed_is_named_with_the_reset_it_led_to() {
        let lines = after_open(&["+0.1 > get P. 1:5(4) ack 1"]);
        let dialer = r#"{"rules": [{"then": [{"wait": "50ms"}, {"reset": true}]}]}"#;
        let (text, proof) = said_with(&lines, dialer).expect("a rule");
        assert!(text.contains("ended with an error at 0.05 s"), "{text}");
        assert_eq!(proof.len(), 2, "{proof:?}");
    }

    #[test]
    fn a_window_that_never_opened_is_named() {
        let lines = after_open(&[
            "+0 < get . 1:1(0) ack 1 win 0",
            "+0.1 > get P. 1:5(4) ack 1",
        ]);
        let (text, _) = said(&lines).expect("a rule");
        assert!(text.contains("had been zero since 0 s"), "{text}");
    }

    #[test]
    fn where_no_rule_fits_nothing_is_said() {
        assert_eq!(said(&WRONG), None);
    }
}
