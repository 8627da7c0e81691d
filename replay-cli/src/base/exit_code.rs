//! Exit codes of the `replay` command: one documented constant for each, and the rule that joins several into one.
//!
//! This is the one place they stand in: `replay --help` is made from it, and docs/SUPPORTED.md is held against it.

use std::fmt::Write as _;

/// Every expectation was met.
pub const SUCCESS: u8 = 0;

/// An expectation or an always-on invariant failed.
pub const EXPECTATION_FAILED: u8 = 1;

/// The command line could not be understood.
pub const USAGE: u8 = 2;

/// An input file is missing, unreadable, damaged or invalid.
pub const BAD_INPUT: u8 = 3;

/// Nothing was selected: no scenario matched, so nothing was tested.
pub const NOTHING_SELECTED: u8 = 4;

/// Drafts wait for review beside their goldens, or there are drafts without a golden or captures without a scenario.
pub const DRAFTS_PENDING: u8 = 5;

/// Two runs of one scenario differed.
pub const NONDETERMINISM: u8 = 6;

/// A bug in this tool or in the engine, not in the input.
pub const INTERNAL_BUG: u8 = 70;

/// The run was interrupted (SIGINT), by the shell's convention 128 + 2.
pub const INTERRUPTED: u8 = 130;

/// Every code and what it means, as help and docs/SUPPORTED.md have it.
pub const MEANINGS: [(u8, &str); 9] = [
    (SUCCESS, "every expectation was met"),
    (
        EXPECTATION_FAILED,
        "an expectation failed, or a flow did not replay as recorded",
    ),
    (
        USAGE,
        "the command line is wrong, or an output file cannot be written",
    ),
    (
        BAD_INPUT,
        "an input file is missing, unreadable, damaged or invalid",
    ),
    (
        NOTHING_SELECTED,
        "nothing was selected, so nothing was tested",
    ),
    (
        DRAFTS_PENDING,
        "drafts wait for review, or there are drafts without a scenario or captures without one",
    ),
    (
        NONDETERMINISM,
        "two runs of the same input gave different outputs",
    ),
    (INTERNAL_BUG, "a bug in replay or in the engine"),
    (INTERRUPTED, "interrupted"),
];

/// The order in which one code hides another, in words.
#[must_use]
pub fn order() -> String {
    let codes = WORST_FIRST.iter().filter(|code| **code != SUCCESS);
    let codes: Vec<String> = codes.map(u8::to_string).collect();
    codes.join(", ")
}

/// The end of `replay --help`.
#[must_use]
pub fn help() -> String {
    let mut text = format!(
        "Exit codes; of several, the worst (in the order {}):",
        order()
    );
    for (code, meaning) in MEANINGS {
        // Writing into a string cannot fail.
        let _ = write!(text, "\n  {code:<4} {meaning}");
    }
    text
}

/// From worst to best; an interrupted run answers 130 whatever else it had found, because its verdict is incomplete.
const WORST_FIRST: [u8; 9] = [
    INTERRUPTED,
    INTERNAL_BUG,
    USAGE,
    BAD_INPUT,
    NONDETERMINISM,
    EXPECTATION_FAILED,
    DRAFTS_PENDING,
    NOTHING_SELECTED,
    SUCCESS,
];

/// The worse of two exit codes. A code that is none of ours counts as worst, so that it is never hidden.
#[must_use]
pub fn worst(a: u8, b: u8) -> u8 {
    let rank = |code: u8| WORST_FIRST.iter().position(|known| *known == code);
    if rank(a) <= rank(b) { a } else { b }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_code_wins_in_the_documented_order() {
        let order = [70, 2, 3, 6, 1, 5, 4, 0];
        for (index, worse) in order.iter().enumerate() {
            for better in &order[index..] {
                assert_eq!(
                    (worst(*worse, *better), worst(*better, *worse)),
                    (*worse, *worse)
                );
            }
        }
    }

    #[test]
    fn every_code_has_its_line_in_the_documentation() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/SUPPORTED.md");
        let page = std::fs::read_to_string(path).unwrap();
        for (code, meaning) in MEANINGS {
            let line = format!("| {code} | {meaning} |\n");
            assert!(page.contains(&line), "{line}");
        }
        let order = format!("Of several the worst, in the order {}.", order());
        assert!(page.contains(&order), "{order}");
    }

    #[test]
    fn interruption_outranks_every_verdict() {
        assert_eq!(worst(INTERNAL_BUG, INTERRUPTED), INTERRUPTED);
    }
}
