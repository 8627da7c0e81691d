//! What addresses are called, by the DNS answers of the capture.

use std::net::IpAddr;

use super::{Answer, Facts};

/// The answers of a capture.
#[derive(Debug, Default)]
pub(crate) struct Names {
    answers: Vec<Answer>,
}

/// The most answers that are kept.
const ROOM: usize = 100_000;

impl Names {
    pub(crate) fn learn(&mut self, answers: Vec<Answer>) {
        let room = ROOM.saturating_sub(self.answers.len());
        self.answers.extend(answers.into_iter().take(room));
    }

    /// Makes the answers ready to be looked up.
    pub(crate) fn settle(&mut self) {
        self.answers
            .sort_by_key(|answer| (answer.address, answer.at_ns));
    }

    /// Names the far side of a flow that nothing else named.
    pub(crate) fn give(&self, facts: &mut Facts, address: IpAddr, at_ns: i64) {
        if facts.name.is_none() {
            facts.name = self.of(address, at_ns).map(str::to_owned);
        }
    }

    /// What an address was called last before a time, or first after it.
    fn of(&self, address: IpAddr, at_ns: i64) -> Option<&str> {
        let behind = self
            .answers
            .partition_point(|answer| (answer.address, answer.at_ns) <= (address, at_ns));
        let is_it = |answer: &&Answer| answer.address == address;
        let before = behind.checked_sub(1).and_then(|at| self.answers.get(at));
        let answer = before
            .filter(is_it)
            .or_else(|| self.answers.get(behind).filter(is_it))?;
        Some(&answer.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_called_what_the_latest_answer_before_says() {
        let mut names = Names::default();
        let answer = |at_ns, last: u8, name: &str| Answer {
            at_ns,
            address: [192, 0, 2, last].into(),
            name: name.to_owned(),
        };
        names.learn(vec![
            answer(20, 1, "new.example"),
            answer(10, 1, "old.example"),
            answer(5, 3, "other.example"),
        ]);
        names.settle();
        let of = |last: u8, at| names.of([192, 0, 2, last].into(), at);
        assert_eq!(of(1, 5), Some("old.example"));
        assert_eq!(of(1, 15), Some("old.example"));
        assert_eq!(of(1, 25), Some("new.example"));
        assert_eq!(of(2, 25), None);
    }
}
