//! Documentation of the main types: each has an example, which the doctests compile.

use std::fs;
use std::path::Path;

use super::files_below;

/// The types that people meet first, by the folder of their crate.
const MAIN: [(&str, &str); 3] = [
    (
        "engine/core/src",
        "Config Counters Deadline Engine FlowId FlowKey FrameBatch Inspection Lent LogMask Micros Output \
         PathChange Redactor Resolution",
    ),
    (
        "engine/driver/src",
        "BootClock CachingResolver Histogram Host Limits Loop Mailbox ManualClock Recorder Snapshot Stats Tap \
         TokioDialer Tun Turn",
    ),
    (
        "replay-cli/src",
        "Attempt CaptureReader Conversations Import Line Packet Recorded Scenario ScenarioOutcome",
    ),
];

pub(super) fn check(root: &Path) -> Vec<String> {
    let mut problems = Vec::new();
    for (folder, names) in MAIN {
        let files: Vec<String> = files_below(&root.join(folder))
            .iter()
            .filter_map(|path| fs::read_to_string(path).ok())
            .collect();
        for name in names.split_whitespace() {
            let documented = files.iter().filter_map(|text| documentation(text, name));
            // Several private types may have a name; one of those that are documented has the example.
            if !documented.into_iter().any(|doc| doc.contains("```")) {
                problems.push(format!(
                    "{folder}: the documentation of `{name}` has no example"
                ));
            }
        }
    }
    problems
}

/// The documentation above a public type, if the file has it.
fn documentation(text: &str, name: &str) -> Option<String> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let at = lines.iter().position(|line| {
        let named = ["pub struct ", "pub enum ", "pub trait "]
            .iter()
            .find_map(|start| line.strip_prefix(start)?.strip_prefix(name));
        named.is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
    })?;
    let above = lines.get(..at)?.iter().rev();
    let doc = above.take_while(|line| line.starts_with("///") || line.starts_with("#["));
    Some(doc.copied().collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documentation_is_what_stands_above_a_type() {
        let text =
            "/// A.\nfn a() {}\n\n/// ```\n/// b()\n/// ```\n#[derive(Debug)]\npub struct B<T> {\n";
        assert!(documentation(text, "B").is_some_and(|doc| doc.contains("b()")));
        assert_eq!(documentation(text, "A"), None);
        assert_eq!(documentation("pub struct Bc;", "B"), None);
    }
}
