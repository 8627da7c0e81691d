//! What a draft changes, kind by kind, one line for each thing expected: packets in the line notation, the rest in the words of
//! reports.

use crate::base::align::aligned;
use crate::scenario::Expectations;
use crate::verdict::expect::behaviours;

/// The changes of one kind of expectation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Its word in scenarios.
    pub word: &'static str,
    /// What goes, what comes, and what stays around it.
    pub lines: Vec<(Change, String)>,
}

/// What becomes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It stays.
    Stays,
    /// It goes.
    Goes,
    /// It comes.
    Comes,
    /// So many lines that stay are left out here.
    LeftOut(usize),
}

/// Lines that stay which are shown before and after a change.
const CONTEXT: usize = 2;

/// Pairs of lines beyond which a section is shown as gone and come.
const PAIRS_MAX: usize = 4_000_000;

/// What changes from one scenario's expectations to another's.
#[must_use]
pub fn changes(old: &Expectations, new: &Expectations) -> Vec<Section> {
    behaviours()
        .filter_map(|(kind, behaviour)| {
            let (old, new) = (behaviour.lines(old), behaviour.lines(new));
            (old != new).then(|| Section {
                word: kind.word(),
                lines: difference(old.unwrap_or_default(), new.unwrap_or_default()),
            })
        })
        .collect()
}

/// Two lists of lines as one, with what goes and comes, and little of what stays.
fn difference(old: Vec<String>, new: Vec<String>) -> Vec<(Change, String)> {
    let pairs = if old.len().saturating_mul(new.len()) <= PAIRS_MAX {
        aligned(old.len(), new.len(), |i, j| old.get(i) == new.get(j))
    } else {
        Vec::new()
    };
    let mut all: Vec<(Change, String)> = Vec::new();
    let (mut gone, mut come) = (old.into_iter().enumerate(), new.into_iter().enumerate());
    let ends = [(usize::MAX, usize::MAX)];
    for (i, j) in pairs.into_iter().chain(ends) {
        let mut stays = None;
        for (index, line) in gone.by_ref() {
            if index == i {
                stays = Some(line);
                break;
            }
            all.push((Change::Goes, line));
        }
        for (index, line) in come.by_ref() {
            if index == j {
                break;
            }
            all.push((Change::Comes, line));
        }
        all.extend(stays.map(|line| (Change::Stays, line)));
    }
    shortened(all)
}

/// Lines that stay and are far from every change, left out.
fn shortened(all: Vec<(Change, String)>) -> Vec<(Change, String)> {
    let changed = all.iter().map(|(change, _)| *change != Change::Stays);
    let changed: Vec<bool> = changed.collect();
    let near = |at: usize| {
        let around = at.saturating_sub(CONTEXT)..(at + CONTEXT + 1).min(changed.len());
        changed.get(around).is_some_and(|some| some.contains(&true))
    };
    let mut short: Vec<(Change, String)> = Vec::new();
    for (index, line) in all.into_iter().enumerate() {
        if near(index) {
            short.push(line);
        } else if let Some((Change::LeftOut(count), _)) = short.last_mut() {
            *count += 1;
        } else {
            short.push((Change::LeftOut(1), String::new()));
        }
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::ClosedList;

    fn shown(old: &str, new: &str) -> String {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        difference(words(old), words(new))
            .into_iter()
            .map(|(change, line)| match change {
                Change::Stays => format!(" {line}"),
                Change::Goes => format!("-{line}"),
                Change::Comes => format!("+{line}"),
                Change::LeftOut(count) => format!(" ({count})"),
            })
            .collect::<Vec<_>>()
            .join("")
    }

    #[test]
    fn what_goes_stands_before_what_comes_in_its_place() {
        assert_eq!(shown("a b c", "a x c d"), " a-b+x c+d");
    }

    #[test]
    fn what_stays_is_shown_near_a_change_only() {
        assert_eq!(shown("a b c d e f g", "a b c d e f h"), " (4) e f-g+h");
    }

    #[test]
    fn an_empty_closed_list_is_told_from_none() {
        let none = Expectations::default();
        let empty = Expectations {
            dials: Some(ClosedList::default()),
            ..Expectations::default()
        };
        let changes = changes(&none, &empty);
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].lines, [(Change::Comes, "none".to_owned())]);
    }
}
