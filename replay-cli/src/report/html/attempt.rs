//! A capture's replay as a page: a bar for each flow over time.

use std::path::Path;

use serde_json::{Value, json};

use super::{escaped, put_ladder, tag, write};
use crate::base::diagnostic::Diagnostic;
use crate::report::attempt::verdict_words;
use crate::report::ladder::{Ladder, Rung};
use crate::verdict::attempt::{FlowAttempt, FlowVerdict, Watched};

/// Events that the page has of all flows together.
const RUNGS: usize = 20_000;

/// Writes the page of an attempt into a folder; `capture` and `command` as they were named.
///
/// # Errors
/// The file cannot be written.
pub fn page(
    folder: &Path,
    capture: &Path,
    command: &str,
    watched: &Watched,
) -> Result<(), Diagnostic> {
    let attempt = &watched.attempt;
    let flows: Vec<Value> = attempt
        .flows
        .iter()
        .zip(&watched.spans)
        .map(|(flow, span)| {
            let (verdict, why) = verdict_words(&flow.verdict);
            let close = flow.close.as_ref();
            let close = close.map(|(by, how)| format!("by {by}, {how}"));
            json!([
                flow.protocol.as_str(),
                flow.client.to_string(),
                flow.server.to_string(),
                verdict,
                why.unwrap_or_default(),
                span.start_us,
                span.end_us,
                span.packets,
                flow.upstream.bytes,
                flow.downstream.bytes,
                close,
                flow.notes,
            ])
        })
        .collect();
    let name = capture.file_name().unwrap_or(capture.as_os_str());
    let report = json!({
        "kind": "try",
        "title": name.to_string_lossy(),
        "command": command,
        "capture": capture.to_string_lossy(),
        "packets": attempt.packets_read,
        "notes": attempt.notes,
        "flows": flows,
    });
    let mut data = tag("report", &escaped(&report));
    if let Some(trace) = &watched.trace {
        let ladder = chosen(Ladder::of(trace, None), &attempt.flows);
        let mut shared = json!({});
        let all = 0..ladder.rungs.len();
        put_ladder(&mut shared, &ladder, all);
        data.push_str(&tag("ladder", &escaped(&shared)));
    }
    write(folder, "replay: flows of a capture", &data)
}

/// The ladder of as many flows as there is room for, whole, those that failed first.
fn chosen(ladder: Ladder, flows: &[FlowAttempt]) -> Ladder {
    if ladder.rungs.len() <= RUNGS {
        return ladder;
    }
    let mut sizes = std::collections::HashMap::<&str, usize>::new();
    for name in ladder.rungs.iter().filter_map(Rung::flow) {
        *sizes.entry(name).or_default() += 1;
    }
    let mut order: Vec<&FlowAttempt> = flows.iter().collect();
    order.sort_by_key(|flow| matches!(flow.verdict, FlowVerdict::Pass));
    let mut taken = std::collections::HashSet::new();
    let mut room = RUNGS;
    for flow in order {
        let name = format!("{} {} > {}", flow.protocol, flow.client, flow.server);
        let size = sizes.get(name.as_str()).copied().unwrap_or_default();
        if size <= room && taken.insert(name) {
            room -= size;
        }
    }
    let fits = |rung: &&Rung| rung.flow().is_some_and(|name| taken.contains(name));
    Ladder {
        rungs: ladder.rungs.iter().filter(fits).cloned().collect(),
        divergence: None,
        forgotten: ladder.forgotten,
    }
}
