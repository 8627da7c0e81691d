//! `expect.packets`, renewed: lines that still match stay as they are written, the others are written from what came, with no more
//! fields than the list has.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::align::aligned;
use crate::notation::{
    Action, Bindings, Body, Direction, Line, Numbering, Segment, TcpBody, TimeSpec,
};
use crate::packet::{Flags, Packet};
use crate::scenario::FlowSpec;
use crate::simulation::matcher::{View, is_bare_ack};

/// Comparisons beyond which lines are not aligned with frames but written anew.
const COMPARISONS_MAX: usize = 4_000_000;

/// The lines of the flows that a list names, or of every flow of the scenario if there is no list.
pub(crate) fn renewed(view: View<'_>, old: &[String], keep: bool) -> Vec<String> {
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
    // For each frame that is wanted: the line that says so already, or the segment that will.
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
        // Lines without a flow are about single packets: the others are nobody's.
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

/// What says that a frame is wanted.
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

    /// Whether the frame with a place among these is what a line says.
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

    /// What a line would say of a frame; acknowledgements that nobody wrote down are not to be.
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
    /// Whether there is no list: options are said of SYNs then.
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
