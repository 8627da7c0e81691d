//! The requirements a packet-tunnel engine is held to: what is done to it, what must come of it, and which clause says so.
//!
//! The list is `catalogue/requirements.json`, part of the program; scenarios name its rows in `covers`. Rows that cannot apply to
//! this engine stand in `catalogue/not_applicable.json`, each with the reason.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use crate::base::diagnostic::LONGEST_WORD;

/// One requirement.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Requirement {
    /// Its identifier, such as `TCP-CLOSE-HALF`.
    pub id: String,
    /// The number of the RFC, or `engine` for what no RFC prescribes.
    pub rfc: String,
    /// The section of the RFC.
    #[serde(default)]
    pub section: Option<String>,
    /// The RFC's own name for it, such as `MUST-22`.
    #[serde(default)]
    pub req: Option<String>,
    /// How binding it is.
    pub level: Level,
    /// What it says, in a few words.
    pub title: String,
    /// What is done to the engine.
    pub stimulus: String,
    /// What must come of it.
    pub expect: String,
    /// What must not.
    #[serde(default)]
    pub not_expected: Option<String>,
    /// The group of requirements it belongs to; scenarios stand in a folder of that name.
    pub group: String,
}

/// How binding a requirement is: RFC 2119's words, and `ENGINE` for what this project asks of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    /// What this project asks of an engine, without an RFC behind it.
    Engine,
    /// MUST and MUST NOT.
    Must,
    /// SHOULD and SHOULD NOT.
    Should,
    /// MAY.
    May,
}

impl Level {
    /// The levels, the project's own first and then the most binding.
    pub const ALL: [Self; 4] = [Self::Engine, Self::Must, Self::Should, Self::May];

    /// The word in reports.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Engine => "ENGINE",
            Self::Must => "MUST",
            Self::Should => "SHOULD",
            Self::May => "MAY",
        }
    }
}

impl Requirement {
    /// Where it is written: `RFC 9293 3.10.7.2 MUST-22`, or `engine`.
    #[must_use]
    pub fn clause(&self) -> String {
        if !self.rfc.starts_with(|c: char| c.is_ascii_digit()) {
            return self.rfc.clone();
        }
        let mut clause = format!("RFC {}", self.rfc);
        let parts = [&self.section, &self.req].into_iter().flatten();
        for part in parts.filter(|part| *part != "-") {
            clause.push(' ');
            clause.push_str(part);
        }
        clause
    }
}

/// Every requirement, in the order of the list.
#[must_use]
pub fn requirements() -> &'static [Requirement] {
    static LIST: OnceLock<Vec<Requirement>> = OnceLock::new();
    // The text is part of the program, and a test reads it: it cannot be damaged here.
    LIST.get_or_init(|| {
        serde_json::from_str(include_str!("../../catalogue/requirements.json")).unwrap_or_default()
    })
}

/// The requirement of a name.
#[must_use]
pub fn requirement(id: &str) -> Option<&'static Requirement> {
    requirements().iter().find(|row| row.id == id)
}

/// Requirements that cannot apply to this engine, each with the reason.
#[must_use]
pub fn not_applicable() -> &'static BTreeMap<String, String> {
    static LIST: OnceLock<BTreeMap<String, String>> = OnceLock::new();
    LIST.get_or_init(|| {
        serde_json::from_str(include_str!("../../catalogue/not_applicable.json"))
            .unwrap_or_default()
    })
}

/// What is wrong with a name in `covers`, if it reads like one of the catalogue and is none.
///
/// Names of the catalogue's kind (`TCP-...`, `ENG-...`) must be in it. Others are requirements of whoever wrote the scenario,
/// `ACME-12`, unless they are a slip of the pen away from the catalogue.
#[must_use]
pub fn unknown(name: &str) -> Option<Unknown> {
    if requirement(name).is_some() || name.len() > LONGEST_WORD {
        return None;
    }
    let lower = name.to_lowercase();
    let near = requirements()
        .iter()
        .map(|row| {
            (
                strsim::damerau_levenshtein(&lower, &row.id.to_lowercase()),
                row,
            )
        })
        .min_by_key(|(distance, _)| *distance);
    let first = |name: &str| name.split('-').next().unwrap_or_default().to_lowercase();
    let of_its_kind = requirements()
        .iter()
        .any(|row| first(&row.id) == first(name));
    let nearest = near
        .filter(|(distance, row)| *distance <= 1 + row.id.len() / 5)
        .map(|(_, row)| row.id.as_str());
    let slip = near.is_some_and(|(distance, row)| distance <= 2 && row.id.len() > 4);
    (of_its_kind || slip).then_some(Unknown { nearest })
}

/// A name that is not in the catalogue but reads as if it were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// The name that may have been meant.
    pub nearest: Option<&'static str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_is_read_whole_and_names_each_requirement_once() {
        let rows: Vec<serde_json::Value> =
            serde_json::from_str(include_str!("../../catalogue/requirements.json")).unwrap();
        assert_eq!(requirements().len(), rows.len());
        assert!(rows.len() >= 200);
        let mut ids: Vec<&str> = requirements().iter().map(|row| row.id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), rows.len());
    }

    #[test]
    fn what_does_not_apply_is_in_the_catalogue_and_has_a_reason() {
        let list: BTreeMap<String, String> =
            serde_json::from_str(include_str!("../../catalogue/not_applicable.json")).unwrap();
        assert_eq!(&list, not_applicable());
        for (id, reason) in list {
            assert!(requirement(&id).is_some(), "{id}");
            assert!(reason.len() > 10, "{id}: {reason}");
        }
    }

    #[test]
    fn a_clause_names_the_rfc_its_section_and_its_number() {
        let clause = |id| requirement(id).unwrap().clause();
        assert_eq!(clause("TCP-HS-SYNACK-RTX"), "RFC 9293 3.8.3 MUST-22");
        assert_eq!(clause("TCP-HS-SYNACK"), "RFC 9293 3.10.7.2");
        assert!(clause("ENG-DIAL-FIRST").starts_with("engine"));
    }

    #[test]
    fn a_slip_in_a_name_of_the_catalogue_is_noticed_and_own_names_are_free() {
        let near = |name| unknown(name).map(|unknown| unknown.nearest);
        assert_eq!(near("TCP-CLOSE-HALF"), None);
        assert_eq!(near("TCP-CLOSE-HLAF"), Some(Some("TCP-CLOSE-HALF")));
        assert_eq!(near("TPC-CLOSE-HALF"), Some(Some("TCP-CLOSE-HALF")));
        assert_eq!(near("ENG-NO-SUCH-THING-AT-ALL"), Some(None));
        assert_eq!(near("ACME-12"), None);
        assert_eq!(near("A"), None);
    }
}
