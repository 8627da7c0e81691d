//! Scripts in packetdrill's syntax: read, and run through the engine, which always comes to an end and twice to the same.

use replay::verdict::outcome::Verdict;
use replay::verdict::run::{RunOptions, run_file};

use crate::temporary;

/// Body of the target `packetdrill`: the bytes are a script.
pub fn packetdrill(data: &[u8]) {
    let file = temporary::file(data, ".pkt");
    for outcome in run_file(file.path(), &RunOptions::default()) {
        let verdict = outcome.verdict;
        assert!(
            !matches!(verdict, Verdict::Nondeterministic),
            "two runs differ"
        );
    }
}
