//! `expect.streams`: the bytes of each flow in both directions.

use super::{Behaviour, Renewal, flows, renew};
use crate::scenario::failure::FailureKind;
use crate::scenario::load::escape;
use crate::scenario::{Expectations, Expected, Scenario, StreamExpectation, StreamPair};
use crate::simulation::flow::FlowState;
use crate::simulation::mutation::Mutation;
use crate::simulation::tape::Tape;
use crate::simulation::{Figures, RunOutput};
use crate::verdict::check::Check;

pub(super) struct Streams;

impl Behaviour for Streams {
    fn check(&self, check: &mut Check<'_>) {
        for (name, pair) in check.scenario.expect.streams.iter() {
            for (side, expected) in pair.sides() {
                check.verdicts.checks += 1;
                let pointer = format!("/expect/streams/{}/{side}", escape(name));
                let Some(flow) = check.flow(name, &pointer) else {
                    break;
                };
                one(name, side, expected, flow, &pointer, check);
            }
        }
    }

    /// The streams that were written; without any, both of every flow over which a byte went.
    fn renewal(&self) -> Option<Renewal> {
        Some(|shown, Expectations { streams, .. }| {
            *streams = if streams.is_empty() {
                let flows = shown.run.flows.iter();
                let spoken =
                    flows.filter(|flow| flow.upstream.len() > 0 || flow.down.bytes.len() > 0);
                let pair = |flow: &FlowState| StreamPair {
                    upstream: Some(whole(&flow.upstream)),
                    downstream: Some(whole(&flow.down.bytes)),
                };
                spoken.map(|flow| (shown.name(flow), pair(flow))).collect()
            } else {
                let renewed = |old: &StreamExpectation, bytes: &Tape| StreamExpectation {
                    bytes: renew(old.bytes, bytes.len()),
                    sha256: old.sha256.as_ref().and_then(|_| bytes.sha256()),
                };
                let pairs = streams.iter().filter_map(|(name, old)| {
                    let flow = shown.flow(name)?;
                    let (up, down) = (old.upstream.as_ref(), old.downstream.as_ref());
                    let pair = StreamPair {
                        upstream: up.map(|up| renewed(up, &flow.upstream)),
                        downstream: down.map(|down| renewed(down, &flow.down.bytes)),
                    };
                    Some((name.to_owned(), pair))
                });
                pairs.collect()
            };
        })
    }

    fn is_drafted(&self, _: &RunOutput) -> bool {
        true
    }

    fn lines(&self, expect: &Expectations) -> Option<Vec<String>> {
        let streams = expect.streams.iter();
        let lines = streams.flat_map(|(name, pair)| {
            pair.sides()
                .map(move |(side, stream)| format!("{name} {side}: {}", described(stream)))
        });
        Some(lines.collect()).filter(|lines: &Vec<_>| !lines.is_empty())
    }

    fn changes(&self, scenario: &Scenario, figures: &Figures) -> Vec<Mutation> {
        let claimed = (!scenario.expect.streams.is_empty()).then(|| flows(figures));
        Mutation::of_flows(
            claimed.unwrap_or_default(),
            &[
                |flow| flow.upstream.shorten(),
                |flow| flow.down.bytes.shorten(),
                |flow| flow.upstream.empty(),
                |flow| flow.down.bytes.empty(),
            ],
        )
    }
}

/// Holds one direction of a flow against what is expected of it.
fn one(
    name: &str,
    side: &str,
    expected: &StreamExpectation,
    flow: &FlowState,
    pointer: &str,
    check: &mut Check<'_>,
) {
    let (bytes, help) = if side == "upstream" {
        let edge = flow.down.device_edge.saturating_sub(1);
        let help = format!("the device sent up to sequence number {edge} (a FIN counts one)");
        (&flow.upstream, help)
    } else {
        let help = format!("the dialer sent {} bytes", flow.sent.len());
        (&flow.down.bytes, help)
    };
    let problem = if !expected.bytes.matches(&bytes.len()) {
        format!("has {} bytes", bytes.len())
    } else if expected.sha256.is_some() && expected.sha256 != bytes.sha256() {
        "has the right length but other bytes".to_owned()
    } else {
        return;
    };
    let what = format!("the {side} of {name} {problem}");
    let actual = format!(
        "{} bytes, sha256 {}",
        bytes.len(),
        bytes.sha256().unwrap_or_default(),
    );
    let shown = bytes.shown();
    let wrong = check.fail(FailureKind::WrongStream, pointer, what);
    wrong.payload = Some(shown);
    (wrong.expected, wrong.actual) = (Some(described(expected)), Some(actual));
    (wrong.flow, wrong.at_us) = (Some(name.to_owned()), flow.closed.map(|(at, _)| at));
    wrong.help = Some(help);
}

fn whole(bytes: &Tape) -> StreamExpectation {
    StreamExpectation {
        bytes: Expected::Exact(bytes.len()),
        sha256: bytes.sha256(),
    }
}

fn described(stream: &StreamExpectation) -> String {
    let sha256 = stream.sha256.as_ref();
    let sha256 = sha256.map_or_else(String::new, |sha| format!(", sha256 {sha}"));
    format!("{} bytes{sha256}", stream.bytes)
}
