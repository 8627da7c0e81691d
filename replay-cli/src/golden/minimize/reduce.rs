//! What is tried to take out, in which order.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::ddmin::Trials;
use super::subject::Subject;
use crate::capture::editable::{self, EditableBlock};
use crate::scenario::Protocol;

/// Rounds at the most; each takes something out.
const ROUNDS: usize = 50;

/// Takes out whatever can go, until nothing can.
pub(super) fn all(mut subject: Subject, trials: &mut Trials<'_>) -> Subject {
    let passes: [fn(&Subject, &mut Trials<'_>) -> Option<Subject>; 9] = [
        one_flow,
        flows,
        recorded,
        expectations,
        frames,
        written,
        values,
        lengths,
        times,
    ];
    for _ in 0..ROUNDS {
        let mut went = false;
        for pass in passes {
            if trials.is_over() {
                return subject;
            }
            if let Some(less) = pass(&subject, trials) {
                (subject, went) = (less, true);
            }
        }
        if !went {
            break;
        }
    }
    subject
}

/// The flow that fails, alone.
fn one_flow(subject: &Subject, trials: &mut Trials<'_>) -> Option<Subject> {
    let spec = trials.oracle().flow()?;
    let blocks = subject.blocks.as_ref()?;
    let meant = |flow: Option<usize>| {
        flow.and_then(|flow| subject.flows.get(flow))
            .is_some_and(|flow| (flow.client, flow.server) == (spec.client, spec.server))
    };
    let others = |block: &&EditableBlock| block.is_loose && !meant(block.flow);
    blocks.iter().find(others)?;
    let kept = blocks.iter().filter(|block| !others(block)).cloned();
    trials.first(vec![subject.with_blocks(kept.collect())])
}

/// Flows of the capture.
fn flows(subject: &Subject, trials: &mut Trials<'_>) -> Option<Subject> {
    let blocks = subject.blocks.as_ref()?;
    let loose = blocks.iter().filter(|block| block.is_loose);
    let there: BTreeSet<Option<usize>> = loose.map(|block| block.flow).collect();
    if there.len() < 2 {
        return None;
    }
    trials.least(there.into_iter().collect(), |kept| {
        let blocks = blocks.iter();
        let kept = blocks.filter(|block| !block.is_loose || kept.contains(&block.flow));
        Some(subject.with_blocks(kept.cloned().collect()))
    })
}

/// Steps that repeat the capture: one step that refers to it does as well.
fn recorded(subject: &Subject, trials: &mut Trials<'_>) -> Option<Subject> {
    if subject.is_derived() || subject.blocks.is_none() {
        return None;
    }
    let mut json = subject.json.clone();
    let rules = json.pointer_mut("/dialer/rules")?.as_array_mut()?;
    let mut changed = false;
    for rule in rules {
        let short = json!([{ "recorded": true }]);
        if rule.pointer("/when/flow").is_some()
            && rule.get("then").is_some_and(|then| *then != short)
        {
            rule["then"] = short;
            changed = true;
        }
    }
    let less = subject.with_json(json).filter(|_| changed)?;
    trials.first(vec![less])
}

/// Expectations, but for what is kept.
fn expectations(subject: &Subject, trials: &mut Trials<'_>) -> Option<Subject> {
    if subject.is_derived() {
        return None;
    }
    let mut places = Vec::new();
    for (kind, value) in subject.json.get("expect")?.as_object()? {
        let at = format!("/expect/{kind}");
        match value {
            Value::Array(elements) => {
                places.extend((0..elements.len()).map(|nth| format!("{at}/{nth}")));
            }
            Value::Object(members) => {
                for (name, member) in members {
                    let at = format!("{at}/{}", escaped(name));
                    // Each side of a stream is an expectation.
                    match member.as_object() {
                        Some(sides) if kind == "streams" => {
                            places.extend(sides.keys().map(|side| format!("{at}/{side}")));
                        }
                        _ => places.push(at),
                    }
                }
            }
            _ => places.push(at),
        }
    }
    // An empty list is an expectation too: that nothing came.
    let empty = subject.json.get("expect")?.as_object()?.iter();
    let empty = empty.filter(|(_, value)| value.as_array().is_some_and(Vec::is_empty));
    places.extend(empty.map(|(kind, _)| format!("/expect/{kind}")));
    take_out(subject, trials, places)
}

/// Packets of the capture and events beside them, or lines of the input.
fn frames(subject: &Subject, trials: &mut Trials<'_>) -> Option<Subject> {
    let Some(blocks) = &subject.blocks else {
        let lines = subject.json.pointer("/input/frames")?.as_array()?.len();
        let places = (0..lines).map(|nth| format!("/input/frames/{nth}"));
        return take_out(subject, trials, places.collect());
    };
    let loose: Vec<usize> = (0..blocks.len())
        .filter(|nth| blocks.get(*nth).is_some_and(|block| block.is_loose))
        .collect();
    trials.least(loose, |kept| {
        let kept: BTreeSet<&usize> = kept.iter().collect();
        let blocks = blocks.iter().enumerate();
        let kept = blocks.filter(|(nth, block)| !block.is_loose || kept.contains(nth));
        Some(subject.with_blocks(kept.map(|(_, block)| block.clone()).collect()))
    })
}

/// What else is written: rules with their parts and steps, faults, settings, flows, families.
fn written(subject: &Subject, trials: &mut Trials<'_>) -> Option<Subject> {
    let json = &subject.json;
    let mut places = Vec::new();
    let mut members = |at: &str, but: &[&str]| {
        let there = json.pointer(at).and_then(Value::as_object);
        let there = there.into_iter().flatten();
        let named = there.filter(|(name, _)| !but.contains(&name.as_str()));
        places.extend(named.map(|(name, _)| format!("{at}/{}", escaped(name))));
    };
    members("/engine", &[]);
    members(
        "/input",
        &["capture", "frames", "families", "capture_sha256"],
    );
    members(
        "",
        &[
            "schema", "title", "input", "expect", "engine", "flows", "dialer",
        ],
    );
    if !subject.is_derived() {
        members("/flows", &[]);
        members("/dialer", &["rules"]);
    }
    let mut elements = |at: &str| {
        let there = elements_at(json, at);
        places.extend((0..there).map(|nth| format!("{at}/{nth}")));
        there
    };
    elements("/faults");
    elements("/input/families");
    if !subject.is_derived() {
        let rules = elements("/dialer/rules");
        for rule in 0..rules {
            elements(&format!("/dialer/rules/{rule}/then"));
        }
        for rule in 0..rules {
            places.extend(["when", "dial"].map(|part| format!("/dialer/rules/{rule}/{part}")));
        }
    }
    places.retain(|place| json.pointer(place).is_some());
    take_out(subject, trials, places)
}

/// How many elements an array has.
fn elements_at(json: &Value, at: &str) -> usize {
    let array = json.pointer(at).and_then(Value::as_array);
    array.map_or(0, Vec::len)
}

/// Numbers and waits of steps.
fn values(subject: &Subject, trials: &mut Trials<'_>) -> Option<Subject> {
    if subject.is_derived() {
        return None;
    }
    let mut best = None;
    let mut subject = subject.clone();
    let rules = subject.json.pointer("/dialer/rules")?.as_array()?.len();
    for rule in 0..rules {
        let steps = format!("/dialer/rules/{rule}/then");
        for step in 0..elements_at(&subject.json, &steps) {
            for part in ["read", "send/pattern/bytes", "echo", "take", "wait"] {
                let at = format!("{steps}/{step}/{part}");
                while let Some(less) = smaller(&subject, &at, trials) {
                    subject = less.clone();
                    best = Some(less);
                }
            }
        }
    }
    best
}

/// The subject with a number at a place made smaller, as far as one try goes.
fn smaller(subject: &Subject, at: &str, trials: &mut Trials<'_>) -> Option<Subject> {
    let tries: Vec<Value> = match subject.json.pointer(at)? {
        Value::Number(number) => {
            let number = number.as_u64()?;
            let tries = [0, 1, number / 8, number / 2, number.saturating_sub(1)];
            let tries: BTreeSet<u64> = tries.into_iter().filter(|less| *less < number).collect();
            tries.into_iter().map(Value::from).collect()
        }
        Value::String(time) if time != "1ms" && time != "0us" => vec![json!("0us"), json!("1ms")],
        _ => return None,
    };
    let made = tries.into_iter().filter_map(|value| {
        let mut json = subject.json.clone();
        *json.pointer_mut(at)? = value;
        subject.with_json(json)
    });
    trials.first(made.collect())
}

/// Bytes of streams of the capture.
fn lengths(subject: &Subject, trials: &mut Trials<'_>) -> Option<Subject> {
    let mut best: Option<Subject> = None;
    let flows = subject.flows.clone();
    subject.blocks.as_ref()?;
    for (index, flow) in flows.iter().enumerate() {
        if flow.protocol != Protocol::Tcp {
            continue;
        }
        for of_client in [true, false] {
            loop {
                let now = best.as_ref().unwrap_or(subject);
                let blocks = now.blocks.as_deref()?;
                let length = editable::lengths(blocks, index, flow)[usize::from(!of_client)];
                // Half of it, an eighth, one byte; from the beginning and from the end.
                let sizes = [length, length / 2, length / 8, length.min(1)];
                let sizes: BTreeSet<u64> = sizes.into_iter().filter(|size| *size > 0).collect();
                let sizes = sizes.into_iter().rev();
                let ranges = sizes.flat_map(|size| [0..size, length - size..length]);
                let made = ranges.filter_map(|range| {
                    let less = editable::without(blocks, index, flow, of_client, range)?;
                    Some(now.with_blocks(less))
                });
                let made: Vec<Subject> = made.collect();
                match trials.first(made) {
                    Some(less) => best = Some(less),
                    None => break,
                }
            }
        }
    }
    best
}

/// Pauses of the capture.
fn times(subject: &Subject, trials: &mut Trials<'_>) -> Option<Subject> {
    let blocks = subject.blocks.as_deref()?;
    let file = editable::file(blocks);
    let made = [1_000, 10_000, 100_000, 1_000_000]
        .map(|longest| editable::without_pauses(blocks, longest));
    let made = made.into_iter().filter(|less| editable::file(less) != file);
    trials.first(made.map(|less| subject.with_blocks(less)).collect())
}

/// Takes as much of these places as can go.
fn take_out(subject: &Subject, trials: &mut Trials<'_>, places: Vec<String>) -> Option<Subject> {
    let all = places.clone();
    trials.least(places, |kept| {
        let kept: BTreeSet<&String> = kept.iter().collect();
        let mut json = subject.json.clone();
        let mut gone: Vec<&String> = all.iter().filter(|place| !kept.contains(place)).collect();
        // Later elements first, and what is within another before it: the others keep their places.
        gone.sort_by_key(|place| std::cmp::Reverse(order_of(place)));
        for place in gone {
            remove(&mut json, place);
        }
        subject.with_json(json)
    })
}

/// A pointer with its numbers as numbers.
fn order_of(pointer: &str) -> Vec<(String, usize)> {
    let parts = pointer.split('/').map(|part| match part.parse() {
        Ok(number) => (String::new(), number),
        Err(_) => (part.to_owned(), 0),
    });
    parts.collect()
}

fn remove(json: &mut Value, pointer: &str) {
    let Some((parent, last)) = pointer.rsplit_once('/') else {
        return;
    };
    match json.pointer_mut(parent) {
        Some(Value::Array(elements)) => {
            if let Ok(at) = last.parse::<usize>()
                && at < elements.len()
            {
                elements.remove(at);
            }
        }
        Some(Value::Object(members)) => {
            members.shift_remove(&last.replace("~1", "/").replace("~0", "~"));
            // A stream of which no side is expected any more is not expected.
            if members.is_empty() && parent.starts_with("/expect/streams/") {
                remove(json, parent);
            }
        }
        _ => {}
    }
}

fn escaped(key: &str) -> String {
    crate::scenario::load::escape(key)
}
