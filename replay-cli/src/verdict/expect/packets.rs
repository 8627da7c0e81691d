//! `expect.packets`: emitted packets as lines, in order within a flow.
//!
//! Renewed, lines that still match stay as they are written; the others are written from what came, with no more fields than
//! the list has.

use std::collections::{BTreeMap, BTreeSet};

use super::{Behaviour, Renewal};
use crate::base::align::aligned;
use crate::base::wording::seconds_of as seconds;
use crate::notation::{
    Action, Bindings, Body, Direction, Line, Numbering, Segment, TcpBody, TimeSpec,
};
use crate::packet::{Flags, Packet};
use crate::scenario::failure::FailureKind;
use crate::scenario::{Expectations, FlowSpec, Scenario};
use crate::simulation::Figures;
use crate::simulation::matcher::{Found, Matcher, Search, View, describe, is_bare_ack};
use crate::simulation::mutation::{FrameChange, Mutation};
use crate::stack::event::Expectation;
use crate::verdict::check::Check;

pub(super) struct Packets;

impl Behaviour for Packets {
    fn needs_frames(&self) -> bool {
        true
    }

    fn check(&self, check: &mut Check<'_>) {
        check_lines(check);
    }

    fn renewal(&self) -> Option<Renewal> {
        Some(|shown, Expectations { packets, .. }| {
            *packets = renewed(shown.view, packets, shown.keep_lines);
        })
    }

    fn lines(&self, expect: &Expectations) -> Option<Vec<String>> {
        Some(expect.packets.clone()).filter(|lines| !lines.is_empty())
    }

    /// `never` and lines of the input are claims of packets too.
    fn changes(&self, scenario: &Scenario, figures: &Figures) -> Vec<Mutation> {
        let expects = |text: &String| {
            Line::parse(text).is_ok_and(|line| matches!(line.action, Action::Expect(_)))
        };
        let Expectations { packets, never, .. } = &scenario.expect;
        if packets.is_empty() && never.is_empty() && !scenario.input.frames.iter().any(expects) {
            return Vec::new();
        }
        changes(figures)
    }
}

/// Frames of a run that are changed: the first so many, and the last.
const FRAMES: u64 = 12;

/// The changes to frames that a scenario or a script must notice one of.
pub(crate) fn changes(figures: &Figures) -> Vec<Mutation> {
    let out = figures.frames_out;
    let last = (out > FRAMES).then(|| out - 1);
    let frames = (0..out.min(FRAMES)).chain(last);
    frames
        .flat_map(|frame| FrameChange::ALL.map(|change| Mutation::Frame(frame, change)))
        .collect()
}

/// Whether a line's time allows `at`, give or take `slack`.
fn accepts(line: TimeSpec, at: u64, previous: u64, slack: u64) -> bool {
    let (from, to) = line.window(previous);
    (from.saturating_sub(slack)..=to.saturating_add(slack)).contains(&at)
}

/// Holds the run against lines.
fn check_lines(check: &mut Check<'_>) {
    let view = check.view();
    let mut matcher = Matcher::of(check.scenario, check.traits);
    let mut previous = 0;
    for (index, text) in check.scenario.expect.packets.iter().enumerate() {
        check.verdicts.checks += 1;
        let pointer = format!("/expect/packets/{index}");
        // Lines were parsed when the scenario was loaded.
        let Ok(line) = Line::parse(text) else {
            continue;
        };
        let Action::Expect(segment) = &line.action else {
            continue;
        };
        let time_of = |at: usize| view.emitted.get(at).map(|emitted| emitted.at);
        let mut payload = None;
        let (kind, what, seen) = match matcher.find(view, segment, &mut Search::default()) {
            Found::Match(at) => {
                let (time, tolerance) = (time_of(at).unwrap_or(0), check.traits.tolerance);
                let since = time.saturating_sub(previous);
                let accepted = accepts(line.time, time, previous, tolerance);
                held(check, at, (&pointer, text), accepted);
                check.verdicts.core_only += u64::from(line.time.is_exact() && tolerance > 0);
                previous = time;
                if accepted {
                    continue;
                }
                let (time, since) = (seconds(time), seconds(since));
                let what = format!("it came at {time} s, {since} s after the one before");
                (FailureKind::WrongTime, what, Some(at))
            }
            Found::Other(at, differences) => {
                previous = time_of(at).unwrap_or(previous);
                held(check, at, (&pointer, text), false);
                let (what, bytes) = describe(&differences);
                payload = bytes;
                (FailureKind::WrongPacket, what, Some(at))
            }
            Found::Nothing => {
                let what = "nothing more came on this flow that could be it".to_owned();
                (FailureKind::MissingPacket, what, None)
            }
        };
        let end = check.run.figures.virtual_us;
        let failure = check.fail(kind, &pointer, what);
        (failure.expected, failure.flow) = (Some(text.clone()), Some(segment.flow.clone()));
        failure.actual = seen.map(|at| view.shown(at));
        failure.payload = payload;
        failure.at_us = seen.map_or(Some(end), time_of);
    }
    for (name, index) in matcher.leftovers(view) {
        let what = format!("flow {name} got a packet beyond all that was expected");
        let extra = check.fail(FailureKind::UnexpectedPacket, "/expect/packets", what);
        (extra.actual, extra.flow) = (Some(view.shown(index)), Some(name));
        extra.at_us = view.emitted.get(index).map(|emitted| emitted.at);
    }
}

fn held(check: &mut Check<'_>, frame: usize, (place, line): (&str, &str), met: bool) {
    let expectation = Expectation {
        line: line.to_owned(),
        place: place.to_owned(),
        met,
    };
    check.verdicts.expected.push((frame, expectation));
}

/// Comparisons beyond which lines are not aligned with frames but written anew.
const COMPARISONS_MAX: usize = 4_000_000;

/// The lines of the flows that a list names, or of every flow of the scenario if there is no list.
fn renewed(view: View<'_>, old: &[String], keep: bool) -> Vec<String> {
    let lines: Vec<(usize, Segment, TimeSpec)> = old
        .iter()
        .enumerate()
        .filter_map(|(index, text)| {
            let line = Line::parse(text).ok()?;
            match line.action {
                Action::Expect(segment) => Some((index, segment, line.time)),
                _ => None,
            }
        })
        .collect();
    let style = Style::of(&lines);
    let names: BTreeSet<&str> = if lines.is_empty() {
        view.scenario.flows.names().collect()
    } else {
        lines
            .iter()
            .map(|(_, line, _)| line.flow.as_str())
            .collect()
    };
    // For each frame that is wanted: the line that wants it already, or the segment that will.
    let mut wanted: BTreeMap<(usize, &str), Wanted> = BTreeMap::new();
    for name in names {
        let own: Vec<_> = lines.iter().filter(|line| line.1.flow == name).collect();
        let frames = Frames::of(view, name);
        let matches = |line: usize, frame: usize| {
            own.get(line)
                .is_some_and(|(_, segment, _)| frames.is(view, frame, segment))
        };
        let (n, m) = (own.len(), frames.numbers.len());
        let pairs = if keep && n.saturating_mul(m) <= COMPARISONS_MAX {
            aligned(n, m, matches)
        } else {
            Vec::new()
        };
        for (line, frame) in &pairs {
            if let (Some((index, ..)), Some(number)) = (own.get(*line), frames.numbers.get(*frame))
            {
                wanted.insert((*number, name), Wanted::Line(*index));
            }
        }
        // Lines without a flow are about single packets: the others are not compared.
        for number in frames.numbers.iter().filter(|_| !name.is_empty()) {
            if let Some(segment) = frames.segment(view, *number, name, &style) {
                let new = wanted.entry((*number, name));
                new.or_insert_with(|| Wanted::New(Box::new(segment)));
            }
        }
    }
    let kept = wanted.values().filter(|one| matches!(one, Wanted::Line(_)));
    if kept.count() == old.len() && wanted.len() == old.len() && in_time(view, &wanted, &lines) {
        return old.to_vec();
    }
    let mut previous = 0;
    let mut renewed = Vec::new();
    for ((number, _), one) in wanted {
        let at = view.emitted.get(number).map_or(0, |emitted| emitted.at);
        match one {
            Wanted::Line(index) => {
                let line = lines.iter().find(|(known, ..)| *known == index);
                let time = line.map_or(TimeSpec::Any, |(_, _, time)| *time);
                match (line, old.get(index)) {
                    (_, Some(text)) if time.accepts(at, previous) => renewed.push(text.clone()),
                    (Some((_, segment, _)), _) => {
                        renewed.push(written(widened(time, at, previous), segment.clone()));
                    }
                    (None, _) => {}
                }
            }
            Wanted::New(segment) => renewed.push(written(style.time(at, previous), *segment)),
        }
        previous = at;
    }
    renewed
}

/// What wants a frame.
enum Wanted {
    /// The line with this number.
    Line(usize),
    /// A line that will be written.
    New(Box<Segment>),
}

/// The frames of one flow, by their numbers among all emitted.
struct Frames {
    numbers: Vec<usize>,
    spec: Option<FlowSpec>,
}

impl Frames {
    fn of(view: View<'_>, name: &str) -> Self {
        let spec = view.spec(name);
        let belongs = |number: &usize| {
            let Some(emitted) = view.emitted.get(*number) else {
                return false;
            };
            let packet = Packet::whole(&emitted.bytes);
            match &spec {
                Some(spec) => packet.is_ok_and(|packet| view.belongs(&packet, emitted, spec)),
                None => name.is_empty() && packet.is_ok(),
            }
        };
        Self {
            numbers: (0..view.emitted.len()).filter(belongs).collect(),
            spec,
        }
    }

    fn numbering(&self, view: View<'_>) -> Numbering {
        let spec = self.spec.as_ref();
        spec.map(|spec| view.numbering(spec)).unwrap_or_default()
    }

    /// Whether the frame with a place among these is what a line describes.
    fn is(&self, view: View<'_>, place: usize, segment: &Segment) -> bool {
        let emitted = self
            .numbers
            .get(place)
            .and_then(|number| view.emitted.get(*number));
        let Some(Ok(packet)) = emitted.map(|emitted| Packet::whole(&emitted.bytes)) else {
            return false;
        };
        let numbering = self.numbering(view);
        segment
            .compare(
                &packet,
                Direction::FromEngine,
                &numbering,
                &mut Bindings::default(),
            )
            .is_empty()
    }

    /// A frame as a line; acknowledgements without a line stay without one.
    fn segment(&self, view: View<'_>, number: usize, name: &str, style: &Style) -> Option<Segment> {
        let emitted = view.emitted.get(number)?;
        let packet = Packet::whole(&emitted.bytes).ok()?;
        if is_bare_ack(&packet) {
            return None;
        }
        let numbering = self.numbering(view);
        let mut segment = Segment::of(&packet, Direction::FromEngine, &numbering, name);
        if let Body::Tcp(tcp) = &mut segment.body {
            style.cut(tcp);
        }
        Some(segment)
    }
}

/// What the lines of a list say, and how.
struct Style {
    time: TimeSpec,
    ranges: bool,
    acks: bool,
    windows: bool,
    options: bool,
    /// Whether there is no list: options are written for SYNs then.
    fresh: bool,
}

impl Style {
    fn of(lines: &[(usize, Segment, TimeSpec)]) -> Self {
        let tcp: Vec<&TcpBody> = lines
            .iter()
            .filter_map(|(_, segment, _)| match &segment.body {
                Body::Tcp(tcp) => Some(tcp),
                _ => None,
            })
            .collect();
        let fresh = tcp.is_empty();
        Self {
            time: lines.first().map_or(TimeSpec::Absolute(0), |line| line.2),
            ranges: fresh || tcp.iter().any(|tcp| tcp.range.is_some()),
            acks: fresh || tcp.iter().any(|tcp| tcp.ack.is_some()),
            windows: tcp.iter().any(|tcp| tcp.window.is_some()),
            options: fresh || tcp.iter().any(|tcp| tcp.options.is_some()),
            fresh,
        }
    }

    fn cut(&self, tcp: &mut TcpBody) {
        let options = self.options && (!self.fresh || tcp.flags.contains(Flags::SYN));
        tcp.range = tcp.range.take().filter(|_| self.ranges);
        tcp.ack = tcp.ack.take().filter(|_| self.acks);
        tcp.window = tcp.window.take().filter(|_| self.windows);
        tcp.options = tcp.options.take().filter(|_| options);
    }

    fn time(&self, at: u64, previous: u64) -> TimeSpec {
        match self.time {
            TimeSpec::Any => TimeSpec::Any,
            TimeSpec::Absolute(_) | TimeSpec::RangeAbsolute(..) => TimeSpec::Absolute(at),
            TimeSpec::Relative(_) | TimeSpec::RangeRelative(..) => {
                TimeSpec::Relative(at.saturating_sub(previous))
            }
        }
    }
}

/// The time of the same kind that allows `at`.
fn widened(time: TimeSpec, at: u64, previous: u64) -> TimeSpec {
    let delay = at.saturating_sub(previous);
    match time {
        TimeSpec::Any => TimeSpec::Any,
        TimeSpec::Absolute(_) => TimeSpec::Absolute(at),
        TimeSpec::Relative(_) => TimeSpec::Relative(delay),
        TimeSpec::RangeAbsolute(from, to) => TimeSpec::RangeAbsolute(from.min(at), to.max(at)),
        TimeSpec::RangeRelative(from, to) => {
            TimeSpec::RangeRelative(from.min(delay), to.max(delay))
        }
    }
}

/// Whether every line that is kept allows the time of its frame, one after the other as they stand.
fn in_time(
    view: View<'_>,
    wanted: &BTreeMap<(usize, &str), Wanted>,
    lines: &[(usize, Segment, TimeSpec)],
) -> bool {
    let mut frames: BTreeMap<usize, u64> = BTreeMap::new();
    for ((number, _), one) in wanted {
        if let Wanted::Line(index) = one {
            let at = view.emitted.get(*number).map_or(0, |emitted| emitted.at);
            frames.insert(*index, at);
        }
    }
    let mut previous = 0;
    lines.iter().all(|(index, _, time)| {
        let Some(at) = frames.get(index) else {
            return false;
        };
        let accepted = time.accepts(*at, previous);
        previous = *at;
        accepted
    })
}

fn written(time: TimeSpec, segment: Segment) -> String {
    let action = Action::Expect(segment);
    Line { time, action }.to_string()
}
