//! Deviations: each requirement that a scenario is known to fail is explained in docs/DEVIATIONS.md, and nothing else is.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use replay::scenario::catalogue;
use replay::scenario::load;

use super::{scenario_files, shown};

/// The page, from the root.
const PAGE: &str = "docs/DEVIATIONS.md";

pub(super) fn check(root: &Path) -> Vec<String> {
    let page = fs::read_to_string(root.join(PAGE)).unwrap_or_default();
    let mut problems = Vec::new();
    let mut deviating = BTreeSet::new();
    let mut covered = BTreeSet::new();
    for path in scenario_files(root) {
        // What cannot be read is reported by another check.
        let Ok(loaded) = load::load(&path) else {
            continue;
        };
        covered.extend(loaded.scenario.covers.iter().cloned());
        if loaded.scenario.deviation.is_none() {
            continue;
        }
        for id in &loaded.scenario.covers {
            if !sections(&page).any(|section| section == id) {
                problems.push(format!(
                    "{}: {PAGE} has no section `## {id}`",
                    shown(&path, root)
                ));
            }
        }
        deviating.extend(loaded.scenario.covers);
    }
    let mut seen = BTreeSet::new();
    for section in sections(&page).filter(|section| catalogue::requirement(section).is_some()) {
        if !deviating.contains(section) {
            problems.push(format!(
                "{PAGE}: no scenario is known to fail {section}: take the section out"
            ));
        }
        if !seen.insert(section) {
            problems.push(format!("{PAGE}: {section} has two sections"));
        }
    }
    for id in catalogue::not_applicable().keys() {
        if covered.contains(id) {
            problems.push(format!(
                "{id} has a scenario, and a reason in replay-cli/catalogue/not_applicable.json why it does not apply"
            ));
        }
    }
    problems
}

/// The first words of the page's sections of the second level: `## TCP-DATA-OLD-ACK: what it is`.
fn sections(page: &str) -> impl Iterator<Item = &str> {
    page.lines()
        .filter_map(|line| line.strip_prefix("## ")?.split([' ', ':']).next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_named_by_its_first_word() {
        let page = "# Deviations\n## TCP-A\ntext ## no\n## TCP-B: more\n### TCP-C\n";
        assert_eq!(sections(page).collect::<Vec<_>>(), ["TCP-A", "TCP-B"]);
    }
}
