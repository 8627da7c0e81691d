//! What scenarios exercise of the engine, and what none of them does.
//!
//! The engine itself lists its drop reasons, counters and settings, and the states of its connections; the
//! transitions and ends that there can be are listed here. What no scenario of this project exercises has its reason in
//! `catalogue/uncovered.json`, or, if it is a requirement, in `catalogue/not_applicable.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use engine::{Config, Counters, DropReason};
use serde::Deserialize;

use crate::scenario::catalogue;
use crate::stack::{CLOSED, TIME_WAIT};
use crate::verdict::outcome::{ScenarioOutcome, Verdict};

/// What there is to exercise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Area {
    /// States of connections with the device (RFC 9293 section 3.3.2).
    States,
    /// From one of them to another.
    Transitions,
    /// By whom a flow ended, and how.
    Ends,
    /// Reasons for which a frame goes nowhere.
    Drops,
    /// Counters and gauges.
    Counters,
    /// Settings that are other than the default.
    Settings,
    /// Requirements of the catalogue.
    Clauses,
}

impl Area {
    /// Every area, in the order of reports.
    pub const ALL: [Self; 7] = [
        Self::States,
        Self::Transitions,
        Self::Ends,
        Self::Drops,
        Self::Counters,
        Self::Settings,
        Self::Clauses,
    ];

    /// Its name in reports, and in the list of reasons.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::States => "states",
            Self::Transitions => "transitions",
            Self::Ends => "ends",
            Self::Drops => "drops",
            Self::Counters => "counters",
            Self::Settings => "settings",
            Self::Clauses => "clauses",
        }
    }

    /// What there is of it, in the order of reports.
    fn all(self) -> Vec<String> {
        let drops = || DropReason::ALL.iter();
        match self {
            Self::States => {
                let all: BTreeSet<&str> = TRANSITIONS.iter().map(|(_, to)| *to).collect();
                owned(all)
            }
            Self::Transitions => TRANSITIONS.iter().map(transition).collect(),
            Self::Ends => owned(ENDS),
            Self::Drops => owned(drops().map(|reason| reason.label())),
            Self::Counters => {
                let all = Counters::describe().map(|info| info.name);
                owned(all.filter(|name| drops().all(|reason| reason.counter() != *name)))
            }
            Self::Settings => owned(Config::NAMES.iter().copied()),
            Self::Clauses => owned(catalogue::requirements().iter().map(|row| row.id.as_str())),
        }
    }
}

fn owned<'n>(names: impl IntoIterator<Item = &'n str>) -> Vec<String> {
    names.into_iter().map(str::to_owned).collect()
}

/// What a connection can do at one frame, one call or one output. The engine holds a SYN until its dial is answered (SYN-HELD).
const TRANSITIONS: [(&str, &str); 21] = [
    (CLOSED, "SYN-HELD"),
    ("SYN-HELD", "SYN-RECEIVED"),
    ("SYN-HELD", CLOSED),
    ("SYN-RECEIVED", "ESTABLISHED"),
    ("SYN-RECEIVED", "CLOSE-WAIT"),
    ("SYN-RECEIVED", CLOSED),
    ("ESTABLISHED", "FIN-WAIT-1"),
    ("ESTABLISHED", "CLOSE-WAIT"),
    ("ESTABLISHED", CLOSED),
    ("FIN-WAIT-1", "FIN-WAIT-2"),
    ("FIN-WAIT-1", "CLOSING"),
    ("FIN-WAIT-1", TIME_WAIT),
    ("FIN-WAIT-1", CLOSED),
    ("FIN-WAIT-2", TIME_WAIT),
    ("FIN-WAIT-2", CLOSED),
    ("CLOSING", TIME_WAIT),
    ("CLOSING", CLOSED),
    ("CLOSE-WAIT", "LAST-ACK"),
    ("CLOSE-WAIT", CLOSED),
    ("LAST-ACK", CLOSED),
    (TIME_WAIT, "SYN-HELD"),
];

/// By whom a flow can end, and how.
const ENDS: [&str; 19] = [
    "device fin",
    "remote fin",
    "device reset",
    "remote reset",
    "remote error",
    "remote refused",
    "remote host_unreachable",
    "remote network_unreachable",
    "remote denied",
    "remote timed_out",
    "engine timed_out",
    "engine handshake",
    "engine idle",
    "engine half_closed",
    "engine abandoned",
    "engine path",
    "engine admission",
    "engine stopped",
    "engine guard",
];

fn transition((from, to): &(&str, &str)) -> String {
    format!("{from} > {to}")
}

/// Something that can be exercised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// What it is of.
    pub area: Area,
    /// Its name.
    pub name: String,
    /// The scenarios that exercise it, by name, sorted.
    pub scenarios: Vec<String>,
    /// Why none does.
    pub reason: Option<String>,
}

impl Item {
    /// Whether a scenario exercises it.
    #[must_use]
    pub const fn is_exercised(&self) -> bool {
        !self.scenarios.is_empty()
    }
}

/// What scenarios exercise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Everything there is, area by area.
    pub items: Vec<Item>,
    /// What is exercised and in no list: such a transition is of several frames in one batch.
    pub others: Vec<Item>,
    /// Where the reasons of what no scenario exercises do not hold.
    pub problems: Vec<String>,
}

/// Reasons of what no scenario exercises, by area and name.
type Reasons = BTreeMap<Area, BTreeMap<String, String>>;

/// The reasons that are part of the program.
fn reasons() -> &'static Reasons {
    static LIST: OnceLock<Reasons> = OnceLock::new();
    // The text is part of the program, and a test reads it: it cannot be damaged here.
    LIST.get_or_init(|| {
        let mut reasons: Reasons =
            serde_json::from_str(include_str!("../../catalogue/uncovered.json"))
                .unwrap_or_default();
        reasons.insert(Area::Clauses, catalogue::not_applicable().clone());
        reasons
    })
}

impl Coverage {
    /// What the runs exercised that came to these outcomes; `whole` if they are all of this project, which the reasons are about.
    #[must_use]
    pub fn new(outcomes: &[ScenarioOutcome], whole: bool) -> Self {
        let none = Reasons::new();
        Self::with(outcomes, if whole { reasons() } else { &none }, whole)
    }

    fn with(outcomes: &[ScenarioOutcome], reasons: &Reasons, whole: bool) -> Self {
        let mut by: BTreeMap<(Area, String), BTreeSet<&str>> = BTreeMap::new();
        for outcome in outcomes {
            // The twins of a file are one scenario.
            let name = outcome.name.split(" (").next().unwrap_or_default();
            for item in exercised(outcome) {
                by.entry(item).or_default().insert(name);
            }
        }
        let mut coverage = Self::default();
        let mut item = |area: Area, name: &str| {
            let scenarios = by.remove(&(area, name.to_owned())).unwrap_or_default();
            let reason = reasons.get(&area).and_then(|reasons| reasons.get(name));
            Item {
                area,
                name: name.to_owned(),
                scenarios: owned(scenarios),
                reason: reason.cloned(),
            }
        };
        for area in Area::ALL {
            let all = area.all();
            coverage
                .items
                .extend(all.iter().map(|name| item(area, name)));
            let named = reasons.get(&area).into_iter().flatten();
            let unknown = named.filter(|(name, _)| !all.contains(name));
            let label = area.label();
            coverage
                .problems
                .extend(unknown.map(|(name, _)| {
                    format!("{label}: there is no `{name}`: take its reason out")
                }));
        }
        let others = by
            .into_iter()
            .filter(|((area, _), _)| *area != Area::Clauses);
        let others = others.map(|((area, name), scenarios)| Item {
            area,
            name,
            scenarios: owned(scenarios),
            reason: None,
        });
        coverage.others = others.collect();
        if whole {
            let Self {
                items,
                others,
                problems,
            } = &mut coverage;
            problems.extend(items.iter().filter_map(problem));
            let unlisted = others.iter().filter(|item| item.area != Area::Transitions);
            problems.extend(unlisted.map(|Item { area, name, .. }| {
                format!("{}: `{name}` is not in the list", area.label())
            }));
        }
        coverage
    }

    /// The items of an area.
    pub fn of(&self, area: Area) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(move |item| item.area == area)
    }
}

/// Where an item's reason is missing or does not hold.
fn problem(item: &Item) -> Option<String> {
    let Item { area, name, .. } = item;
    let area = area.label();
    match (item.scenarios.first(), &item.reason) {
        (None, None) => Some(format!(
            "{area}: no scenario exercises `{name}`: write one, or its reason into replay-cli/catalogue/uncovered.json"
        )),
        (Some(scenario), Some(_)) => Some(format!(
            "{area}: {scenario} exercises `{name}`: take its reason out"
        )),
        _ => None,
    }
}

/// What the run of an outcome exercised.
fn exercised(outcome: &ScenarioOutcome) -> Vec<(Area, String)> {
    let holds = matches!(outcome.verdict, Verdict::Pass | Verdict::Deviation(_));
    let covers = outcome.covers.iter().filter(|_| holds);
    let mut items: Vec<(Area, String)> = covers.map(|id| (Area::Clauses, id.clone())).collect();
    let Some(exercised) = &outcome.exercised else {
        return items;
    };
    let mut add = |area, names: &mut dyn Iterator<Item = String>| {
        items.extend(names.map(|name| (area, name)));
    };
    let owned = |name: &&str| (*name).to_owned();
    add(Area::States, &mut exercised.states.iter().map(owned));
    let transitions = &mut exercised.transitions.iter().map(transition);
    add(Area::Transitions, transitions);
    add(Area::Ends, &mut exercised.ends.iter().cloned());
    add(Area::Settings, &mut exercised.settings.iter().map(owned));
    for name in &exercised.counters {
        match name.strip_prefix("drop_") {
            Some(reason) => add(Area::Drops, &mut [reason.to_owned()].into_iter()),
            None => add(Area::Counters, &mut [(*name).to_owned()].into_iter()),
        }
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::Exercised;
    use crate::verdict::samples;

    fn outcome(name: &str, counter: &'static str) -> ScenarioOutcome {
        let exercised = Exercised {
            counters: BTreeSet::from([counter]),
            transitions: BTreeSet::from([(CLOSED, "SYN-HELD")]),
            ..Exercised::default()
        };
        ScenarioOutcome {
            name: name.to_owned(),
            exercised: Some(exercised),
            ..samples::passed()
        }
    }

    fn because(name: &str) -> Reasons {
        let reason = BTreeMap::from([(name.to_owned(), "it cannot be".to_owned())]);
        BTreeMap::from([(Area::Counters, reason)])
    }

    fn about(coverage: &Coverage, name: &str) -> Vec<String> {
        let quoted = format!("`{name}`");
        let problems = coverage.problems.iter();
        problems
            .filter(|problem| problem.contains(&quoted))
            .cloned()
            .collect()
    }

    #[test]
    fn what_no_scenario_exercises_needs_a_reason() {
        let outcomes = [outcome("a", "frames_in")];
        let without = Coverage::with(&outcomes, &Reasons::new(), true);
        assert!(about(&without, "frames_in").is_empty());
        assert!(about(&without, "frames_out")[0].contains("no scenario exercises"));
        let with = Coverage::with(&outcomes, &because("frames_out"), true);
        assert!(about(&with, "frames_out").is_empty());
    }

    #[test]
    fn a_reason_for_what_is_exercised_is_a_problem() {
        let outcomes = [outcome("a", "frames_in")];
        let coverage = Coverage::with(&outcomes, &because("frames_in"), true);
        assert_eq!(
            about(&coverage, "frames_in"),
            ["counters: a exercises `frames_in`: take its reason out"]
        );
        let unknown = Coverage::with(&outcomes, &because("frames_lost"), true);
        assert!(about(&unknown, "frames_lost")[0].contains("there is no"));
    }

    #[test]
    fn a_part_of_the_scenarios_is_told_without_reasons() {
        let outcomes = [outcome("b", "drop_stopped"), outcome("a", "drop_stopped")];
        let coverage = Coverage::new(&outcomes, false);
        assert!(coverage.problems.is_empty());
        let stopped = coverage.of(Area::Drops).find(|item| item.name == "stopped");
        assert_eq!(stopped.unwrap().scenarios, ["a", "b"]);
        let first = coverage.of(Area::Transitions).next().unwrap();
        assert!(first.is_exercised() && first.name == "CLOSED > SYN-HELD");
    }

    #[test]
    fn the_list_of_reasons_is_read_whole() {
        let list: Reasons =
            serde_json::from_str(include_str!("../../catalogue/uncovered.json")).unwrap();
        assert!(!list.contains_key(&Area::Clauses));
        let mut all = list.values().flatten();
        assert!(all.all(|(_, reason)| reason.len() > 10));
    }
}
