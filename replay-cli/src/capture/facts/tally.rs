//! What is counted, and what lasts.

use super::{Detail, Ending, Fact, FactKind, side};

/// What is counted of a flow, by kind and end. There are few kinds in most flows, and never more than there are kinds.
#[derive(Clone, Debug, Default)]
pub(super) struct Tallies(Vec<Tally>);

#[derive(Clone, Debug)]
struct Tally {
    kind: FactKind,
    end: usize,
    first: Since,
    count: u64,
}

impl Tallies {
    pub(super) fn add(&mut self, kind: FactKind, end: usize, first: Since) {
        let known = |tally: &&mut Tally| tally.kind == kind && tally.end == end;
        match self.0.iter_mut().find(known) {
            Some(tally) => tally.count += 1,
            None => self.0.push(Tally {
                kind,
                end,
                first,
                count: 1,
            }),
        }
    }

    pub(super) fn facts(self, device: usize) -> impl Iterator<Item = Fact> {
        self.0.into_iter().map(move |tally| Fact {
            by: Some(side(tally.end, device)),
            ..fact(tally.kind, tally.first, tally.count)
        })
    }
}

/// A fact of nothing but a count, and where it shows first.
pub(super) fn fact(kind: FactKind, first: Since, count: u64) -> Fact {
    Fact {
        kind,
        by: None,
        at_ns: first.at_ns,
        lasted_ns: None,
        ending: None,
        frame: first.frame,
        count,
        detail: Detail::None,
    }
}

/// Spells of one kind: how many, and the longest.
#[derive(Clone, Debug, Default)]
pub(super) struct Spells {
    count: u64,
    longest: Option<Spell>,
}

#[derive(Clone, Copy, Debug)]
struct Spell {
    since: Since,
    lasted_ns: u64,
    ending: Ending,
}

impl Spells {
    /// Takes one that began at a frame and ended now, if it is long enough to count.
    pub(super) fn add(&mut self, since: Since, now_ns: i64, least_ns: u64, ending: Ending) {
        let lasted_ns = since.until(now_ns);
        if lasted_ns < least_ns {
            return;
        }
        self.count += 1;
        if self
            .longest
            .is_none_or(|longest| longest.lasted_ns < lasted_ns)
        {
            self.longest = Some(Spell {
                since,
                lasted_ns,
                ending,
            });
        }
    }

    pub(super) fn fact(&self, kind: FactKind, end: usize, device: usize) -> Option<Fact> {
        let longest = self.longest?;
        Some(Fact {
            by: Some(side(end, device)),
            lasted_ns: Some(longest.lasted_ns),
            ending: Some(longest.ending),
            ..fact(kind, longest.since, self.count)
        })
    }
}

/// A moment from which on something lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Since {
    pub(crate) at_ns: i64,
    pub(crate) frame: u64,
}

impl Since {
    /// How long ago it is; 0 where the clock ran back.
    pub(super) fn until(self, now_ns: i64) -> u64 {
        u64::try_from(now_ns.saturating_sub(self.at_ns)).unwrap_or(0)
    }
}

/// ICMP errors about a flow.
#[derive(Clone, Debug, Default)]
pub(super) struct Errors {
    big: Option<Error>,
    other: Option<Error>,
}

#[derive(Clone, Copy, Debug)]
struct Error {
    since: Since,
    count: u64,
    kind: u8,
    code: u8,
}

impl Errors {
    pub(super) fn note(&mut self, since: Since, kind: u8, code: u8, big: bool) {
        let of = if big { &mut self.big } else { &mut self.other };
        of.get_or_insert(Error {
            since,
            count: 0,
            kind,
            code,
        })
        .count += 1;
    }

    pub(super) fn facts(&self) -> impl Iterator<Item = Fact> {
        let big = self.big.map(|error| (FactKind::PacketTooBig, error));
        let other = self.other.map(|error| (FactKind::IcmpError, error));
        [big, other]
            .into_iter()
            .flatten()
            .map(|(kind, error)| Fact {
                detail: Detail::Icmp(error.kind, error.code),
                ..fact(kind, error.since, error.count)
            })
    }
}
