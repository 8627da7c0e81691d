//! What a run has to show still.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::subject::{Seen, Subject};
use crate::base::diagnostic::Diagnostic;
use crate::golden::witness::Witness;
use crate::notation::{Action, Line};
use crate::packet::{Flags, Packet, Tcp};
use crate::scenario::FlowSpec;
use crate::scenario::failure::{Failure, FailureKind};
use crate::simulation::matcher::{Found, Matcher, Search};

/// A named observation of a run that passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Nothing comes out for a second or more.
    Stall,
    /// The engine sends a reset.
    Reset,
    /// The engine sends data again.
    Retransmission,
    /// The engine offers no window.
    ZeroWindow,
    /// A counter is not zero.
    Counter(String),
    /// A packet comes out that this line describes.
    Packet(String),
}

impl FromStr for Keep {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "stall" => Self::Stall,
            "reset" => Self::Reset,
            "retransmission" => Self::Retransmission,
            "zero-window" => Self::ZeroWindow,
            _ => match text.strip_prefix("packet ") {
                Some(line) => {
                    let parsed = Line::parse(line).map_err(|problem| problem.what)?;
                    if !matches!(parsed.action, Action::Expect(_)) {
                        return Err("the line expects nothing: it has no `>`".to_owned());
                    }
                    Self::Packet(line.to_owned())
                }
                None if engine::Counters::describe().any(|info| info.name == text) => {
                    Self::Counter(text.to_owned())
                }
                None => {
                    return Err("none of stall, reset, retransmission, zero-window, `packet LINE` and the counters of docs/generated/COUNTERS.md".to_owned());
                }
            },
        })
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stall => f.write_str("a stall"),
            Self::Reset => f.write_str("a reset"),
            Self::Retransmission => f.write_str("a retransmission"),
            Self::ZeroWindow => f.write_str("a window of zero"),
            Self::Counter(name) => write!(f, "the counter {name}"),
            Self::Packet(line) => write!(f, "the packet {line}"),
        }
    }
}

/// Silence from which on it is a stall, microseconds.
const STALL_US: u64 = 1_000_000;

impl Keep {
    fn is_shown_by(&self, witness: &Witness) -> bool {
        let view = witness.view();
        let sent = |wanted: fn(&Tcp<'_>) -> bool| {
            view.emitted.iter().any(|emitted| {
                let packet = Packet::whole(&emitted.bytes);
                packet.is_ok_and(|packet| packet.tcp().is_some_and(wanted))
            })
        };
        let counter = |name: &str| {
            let mut counters = witness.run.counters.iter().flat_map(|all| all.iter());
            counters.any(|(known, count)| known == name && count > 0)
        };
        match self {
            Self::Stall => view.emitted.windows(2).any(|pair| match pair {
                [one, other] => other.at.saturating_sub(one.at) >= STALL_US,
                _ => false,
            }),
            Self::Reset => sent(|tcp| tcp.flags.contains(Flags::RST)),
            Self::Retransmission => counter("tcp_retransmissions"),
            Self::ZeroWindow => sent(|tcp| tcp.window == 0 && !tcp.flags.contains(Flags::RST)),
            Self::Counter(name) => counter(name),
            Self::Packet(line) => {
                let Ok(Line {
                    action: Action::Expect(segment),
                    ..
                }) = Line::parse(line)
                else {
                    return false;
                };
                let mut matcher = Matcher::default();
                let mut search = Search::default();
                // Each look goes on behind the one before.
                (0..=view.emitted.len())
                    .any(|_| matches!(matcher.find(view, &segment, &mut search), Found::Match(_)))
            }
        }
    }
}

/// What identifies a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Signature {
    kind: FailureKind,
    flow: Option<Flow>,
    /// Where the expectation stands, numbers of elements left open.
    pointer: Option<String>,
    expected: Option<String>,
}

/// A flow by its tuple, or by the name that a failure has for it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Flow {
    Spec(FlowSpec),
    Named(String),
}

/// Decides about trials.
#[derive(Clone, Debug)]
pub(super) struct Oracle {
    wanted: Wanted,
    shows: String,
}

#[derive(Clone, Debug)]
enum Wanted {
    Failure(Signature),
    /// With how flows ended: a reset at the end of a dial that is not answered any more is another.
    Observation(Keep, BTreeSet<String>),
}

impl Oracle {
    /// What is kept of a run: an observation, or its first failure, of a flow if one is meant.
    pub(super) fn of(
        subject: &Subject,
        seen: &Seen,
        number: Option<usize>,
        keep: Option<&Keep>,
    ) -> Result<Self, Diagnostic> {
        let failures = seen.failures();
        if let Some(keep) = keep {
            let oracle = Self {
                wanted: Wanted::Observation(keep.clone(), endings(seen)),
                shows: format!("it passes, and shows {keep}"),
            };
            if let Some(first) = failures.first() {
                let what = format!(
                    "the run fails ({}), and an observation is kept of runs that pass",
                    first.kind.label()
                );
                return Err(Diagnostic::new(what).help("leave --keep out: the failure is kept"));
            }
            return if oracle.holds(subject, seen) {
                Ok(oracle)
            } else {
                let what = "the run does not show what is to be kept";
                Err(Diagnostic::new(what).help("`replay run -vv` tells what it shows"))
            };
        }
        let meant = number.and_then(|number| subject.flow_of_number(number));
        let of_meant = |failure: &&Failure| match (meant, flow_of(subject, seen, failure)) {
            (Some(meant), Some(Flow::Spec(spec))) => {
                spec.client == meant.client && spec.server == meant.server
            }
            (Some(_), _) => false,
            (None, _) => true,
        };
        let Some(first) = failures.iter().find(of_meant) else {
            let what = "the run passes: there is no failure to keep";
            return Err(Diagnostic::new(what).help("say with --keep what it is to show still"));
        };
        Ok(Self {
            wanted: Wanted::Failure(signature(subject, seen, first)),
            shows: format!("error[{}]: {}", first.kind.label(), first.what),
        })
    }

    /// One line of what is kept.
    pub(super) fn shows(&self) -> String {
        self.shows.clone()
    }

    /// The flow that the failure is of.
    pub(super) fn flow(&self) -> Option<FlowSpec> {
        match &self.wanted {
            Wanted::Failure(Signature {
                flow: Some(Flow::Spec(spec)),
                ..
            }) => Some(*spec),
            _ => None,
        }
    }

    pub(super) fn holds(&self, subject: &Subject, seen: &Seen) -> bool {
        match &self.wanted {
            Wanted::Observation(keep, ends) => {
                let mut witnesses = seen.witnesses.iter();
                seen.failures().is_empty()
                    && endings(seen).is_subset(ends)
                    && witnesses.any(|witness| keep.is_shown_by(witness))
            }
            Wanted::Failure(wanted) => {
                let is_wanted = |failure| signature(subject, seen, failure) == *wanted;
                seen.failures().iter().any(is_wanted)
            }
        }
    }
}

/// How the flows of a run ended, in words.
fn endings(seen: &Seen) -> BTreeSet<String> {
    let flows = seen.witnesses.iter().flat_map(|witness| &witness.run.flows);
    let closes = flows.filter_map(|flow| flow.closed.map(|(_, close)| close));
    closes.map(|close| format!("{close:?}")).collect()
}

fn flow_of(subject: &Subject, seen: &Seen, failure: &Failure) -> Option<Flow> {
    let name = failure.flow.clone()?;
    Some(match subject.spec_in(&seen.loaded.scenario, &name) {
        Some(spec) => Flow::Spec(spec),
        None => Flow::Named(name),
    })
}

fn signature(subject: &Subject, seen: &Seen, failure: &Failure) -> Signature {
    let position = failure.place.as_ref().and_then(|place| place.position);
    let pointer = position.and_then(|position| seen.loaded.positions.pointer_at(position));
    let is_number =
        |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let open = |pointer: &str| {
        let parts = pointer
            .split('/')
            .map(|part| if is_number(&part) { "*" } else { part });
        // Names of flows and what is expected of them are made anew with each trial of a capture.
        let most = if subject.is_derived() { 3 } else { usize::MAX };
        parts.take(most).collect::<Vec<_>>().join("/")
    };
    Signature {
        kind: failure.kind,
        flow: flow_of(subject, seen, failure),
        pointer: pointer.map(open),
        expected: failure.expected.clone().filter(|_| !subject.is_derived()),
    }
}
