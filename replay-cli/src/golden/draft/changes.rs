//! What a draft changes, kind by kind, one line for each thing expected: packets in the line notation, the rest in the words of
//! reports.

use crate::base::align::aligned;
use crate::base::duration::Micros;
use crate::scenario::{
    CloseExpectation, ClosedList, DialExpectation, DnsExpectation, Expectations, Expected,
    HalfCloseExpectation, StreamExpectation,
};

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
    let (old, new) = (lines(old), lines(new));
    old.into_iter()
        .zip(new)
        .filter(|((_, old), (_, new))| old != new)
        .map(|((word, old), (_, new))| Section {
            word,
            lines: difference(old.unwrap_or_default(), new.unwrap_or_default()),
        })
        .collect()
}

/// All that is expected, kind by kind in the order of a scenario; `None` for a kind that is not looked at.
fn lines(expect: &Expectations) -> [(&'static str, Option<Vec<String>>); 7] {
    let Expectations {
        dials,
        packets,
        never: _,
        streams,
        half_closes,
        closes,
        dns,
        counters,
        memory: _,
    } = expect;
    let streams: Vec<String> = streams
        .iter()
        .flat_map(|(name, pair)| {
            let sides = [
                ("upstream", &pair.upstream),
                ("downstream", &pair.downstream),
            ];
            sides
                .into_iter()
                .filter_map(move |(side, one)| Some(stream(name, side, one.as_ref()?)))
        })
        .collect();
    let counters: Vec<String> = counters
        .iter()
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    let written = |lines: &[String]| (!lines.is_empty()).then(|| lines.to_vec());
    [
        ("dials", listed(dials.as_ref(), dial)),
        ("packets", written(packets)),
        ("streams", written(&streams)),
        ("half_closes", listed(half_closes.as_ref(), half_close)),
        ("closes", listed(closes.as_ref(), close)),
        ("dns", listed(dns.as_ref(), record)),
        ("counters", written(&counters)),
    ]
}

fn listed<T>(list: Option<&ClosedList<T>>, line: impl Fn(&T) -> String) -> Option<Vec<String>> {
    let list = list?;
    let mut lines: Vec<String> = list.items.iter().map(line).collect();
    if list.others_allowed {
        lines.push("others allowed".to_owned());
    } else if lines.is_empty() {
        lines.push("none".to_owned());
    }
    Some(lines)
}

fn dial(dial: &DialExpectation) -> String {
    let name = match dial.name.as_deref() {
        None => String::new(),
        Some("") => ", no name".to_owned(),
        Some(name) => format!(", name {name}"),
    };
    format!("{}{name}{}", dial.flow, at(dial.at.as_ref()))
}

fn stream(name: &str, side: &str, stream: &StreamExpectation) -> String {
    let sha256 = stream.sha256.as_ref();
    let sha256 = sha256.map_or_else(String::new, |sha| format!(", sha256 {sha}"));
    format!("{name} {side}: {} octets{sha256}", stream.bytes)
}

fn half_close(half: &HalfCloseExpectation) -> String {
    let by = half.by.map_or_else(String::new, |by| format!(" by {by}"));
    format!("{}{by}{}", half.flow, at(half.at.as_ref()))
}

fn close(close: &CloseExpectation) -> String {
    if close.is_open() {
        return format!("{} open", close.flow);
    }
    let by = close.by.map_or_else(String::new, |by| format!(" by {by}"));
    let how = close.how.map_or_else(String::new, |how| format!(", {how}"));
    format!("{}{by}{how}{}", close.flow, at(close.at.as_ref()))
}

fn record(record: &DnsExpectation) -> String {
    let addresses = record.addresses.as_ref().map_or_else(String::new, |all| {
        let all: Vec<String> = all.iter().map(ToString::to_string).collect();
        format!(" -> {}", all.join(", "))
    });
    let ttl = record.ttl.as_ref();
    let ttl = ttl.map_or_else(String::new, |ttl| format!(" ttl {ttl}"));
    format!("{}{addresses}{ttl}{}", record.name, at(record.at.as_ref()))
}

fn at(time: Option<&Expected<Micros>>) -> String {
    time.map_or_else(String::new, |time| format!(" at {time}"))
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
    let changed: Vec<bool> = all
        .iter()
        .map(|(change, _)| *change != Change::Stays)
        .collect();
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
