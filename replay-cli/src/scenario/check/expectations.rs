//! What types cannot say about expectations.

use std::collections::BTreeSet;

use super::Checker;
use crate::scenario::expect::{Never, StreamExpectation};
use crate::scenario::positions::escape;
use crate::scenario::{CloseExpectation, Expectations};

impl Checker<'_> {
    pub(super) fn expectations(&mut self) {
        let Expectations {
            dials,
            packets,
            never,
            streams,
            half_closes,
            closes,
            dns,
            counters,
            memory: _,
        } = &self.scenario.expect;
        for (index, dial) in dials.iter().flat_map(|list| list.items.iter().enumerate()) {
            self.flow(&format!("/expect/dials/{index}/flow"), &dial.flow);
        }
        for (index, _) in packets
            .iter()
            .enumerate()
            .filter(|(_, line)| line.trim().is_empty())
        {
            self.report(format!("/expect/packets/{index}"), "the line is empty");
        }
        for (index, never) in never.iter().enumerate() {
            self.never(&format!("/expect/never/{index}"), never);
        }
        for (flow, pair) in streams.iter() {
            let pointer = format!("/expect/streams/{}", escape(flow));
            self.flow(&pointer, flow);
            if pair.upstream.is_none() && pair.downstream.is_none() {
                self.report(
                    &pointer,
                    "the streams of a flow need `upstream`, `downstream` or both",
                );
            }
            for (direction, stream) in [
                ("upstream", &pair.upstream),
                ("downstream", &pair.downstream),
            ] {
                if let Some(stream) = stream {
                    self.stream(&format!("{pointer}/{direction}"), stream);
                }
            }
        }
        for (index, half_close) in half_closes
            .iter()
            .flat_map(|list| list.items.iter().enumerate())
        {
            self.flow(
                &format!("/expect/half_closes/{index}/flow"),
                &half_close.flow,
            );
        }
        for list in closes.iter() {
            self.closes(&list.items);
        }
        for (index, record) in dns.iter().flat_map(|list| list.items.iter().enumerate()) {
            if record.name.trim().is_empty() {
                self.report(format!("/expect/dns/{index}/name"), "the name is empty");
            }
        }
        for (name, _) in counters.iter().filter(|(name, _)| name.trim().is_empty()) {
            self.report(
                format!("/expect/counters/{}", escape(name)),
                "the counter has no name",
            );
        }
    }

    fn never(&mut self, pointer: &str, never: &Never) {
        if *never == Never::default() {
            self.report(
                pointer,
                "the element has no condition, so it forbids every packet",
            );
        }
        if let Some(flow) = &never.flow {
            self.flow(&format!("{pointer}/flow"), flow);
        }
        if let Some(flags) = &never.flags
            && (flags.is_empty() || !flags.chars().all(|flag| "SFRPEW.".contains(flag)))
        {
            self.report(
                format!("{pointer}/flags"),
                format!("{flags:?} are no TCP flags; they are written S F R P E W ."),
            );
        }
    }

    fn stream(&mut self, pointer: &str, stream: &StreamExpectation) {
        if let Some(digest) = &stream.sha256
            && !(digest.len() == 64
                && digest
                    .bytes()
                    .all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f')))
        {
            self.report(
                format!("{pointer}/sha256"),
                "a SHA-256 has 64 lower-case hex digits",
            );
        }
    }

    /// Exactly one close per flow that ended: two for one flow can never both hold.
    fn closes(&mut self, closes: &[CloseExpectation]) {
        let mut seen = BTreeSet::new();
        for (index, close) in closes.iter().enumerate() {
            let pointer = format!("/expect/closes/{index}");
            if close.open.is_some()
                && (close.by.is_some() || close.how.is_some() || close.at.is_some())
            {
                self.report(
                    format!("{pointer}/open"),
                    "a flow that is `open` has no `by`, `how` or `at`",
                );
            }
            let Some(flow) = self.flow(&format!("{pointer}/flow"), &close.flow) else {
                continue;
            };
            if !seen.insert(flow) {
                self.report(
                    format!("{pointer}/flow"),
                    format!(
                        "`{}` has a close in this list already; a flow closes once",
                        close.flow
                    ),
                );
            }
        }
    }
}
