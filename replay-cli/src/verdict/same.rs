//! Whether two captures come to the same when they are replayed: flow by flow the same verdict, the same lengths, the same end.

use std::mem::discriminant;

use super::attempt::{Attempt, FlowAttempt};

/// Holds what a changed capture came to against what it came to before.
///
/// # Errors
/// What differs, of which flow.
pub fn same(before: &Attempt, after: &Attempt) -> Result<(), String> {
    if before.flows.len() != after.flows.len() {
        let (one, other) = (before.flows.len(), after.flows.len());
        return Err(format!("{one} flow(s) have become {other}"));
    }
    let pairs = (1..).zip(before.flows.iter().zip(&after.flows));
    for (number, (before, after)) in pairs {
        if let Some(what) = differs(before, after) {
            return Err(format!("flow {number}: {what}"));
        }
    }
    Ok(())
}

fn differs(before: &FlowAttempt, after: &FlowAttempt) -> Option<String> {
    if discriminant(&before.verdict) != discriminant(&after.verdict) {
        return Some(format!(
            "{:?} has become {:?}",
            before.verdict, after.verdict
        ));
    }
    if before.close != after.close {
        return Some("it ends in another way".to_owned());
    }
    let streams = [
        ("up", &before.upstream, &after.upstream),
        ("down", &before.downstream, &after.downstream),
    ];
    streams.into_iter().find_map(|(way, before, after)| {
        let lengths = |stream: &super::attempt::StreamSeen| (stream.bytes, stream.datagrams);
        (lengths(before) != lengths(after))
            .then(|| format!("{} bytes {way} have become {}", before.bytes, after.bytes))
    })
}
