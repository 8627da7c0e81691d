//! What types cannot say about faults.

use super::Checker;
use crate::scenario::{Fault, FaultAction, FaultAmount};

impl Checker<'_> {
    pub(super) fn faults(&mut self) {
        for (index, fault) in self.scenario.faults.iter().enumerate() {
            let pointer = format!("/faults/{index}");
            self.fault_target(&pointer, fault);
            self.fault_amount(&pointer, fault);
        }
    }

    /// Which frames are meant: one by its number, the n-th of a flow, or a share of them.
    fn fault_target(&mut self, pointer: &str, fault: &Fault) {
        let Fault {
            on: _,
            flow,
            frame,
            nth,
            rate,
            seed,
            action: _,
            by: _,
        } = fault;
        if let Some(flow) = flow {
            self.flow(&format!("{pointer}/flow"), flow);
        }
        for (name, number) in [("frame", frame), ("nth", nth)] {
            if *number == Some(0) {
                self.report(
                    format!("{pointer}/{name}"),
                    format!("`{name}` counts from 1"),
                );
            }
        }
        let written = [
            ("frame", frame.is_some()),
            ("nth", nth.is_some()),
            ("rate", rate.is_some()),
        ];
        let written: Vec<&str> = written
            .iter()
            .filter(|(_, there)| *there)
            .map(|(name, _)| *name)
            .collect();
        if let [_, second, ..] = written.as_slice() {
            let what = format!(
                "frames are chosen in one way, here by `{}`",
                written.join("` and `")
            );
            self.report(format!("{pointer}/{second}"), what);
        }
        match (rate, seed) {
            (Some(rate), _) if !(0.0..=1.0).contains(rate) => {
                self.report(
                    format!("{pointer}/rate"),
                    format!("a rate of {rate} is out of range; it goes from 0 to 1"),
                );
            }
            (Some(_), None) => {
                let help = "add \"seed\": 1, so that every run strikes the same frames";
                self.report_with_help(format!("{pointer}/rate"), "`rate` needs a `seed`", help);
            }
            (None, Some(_)) => self.report(
                format!("{pointer}/seed"),
                "`seed` belongs to `rate`, which is missing",
            ),
            (Some(_), Some(_)) | (None, None) => {}
        }
    }

    fn fault_amount(&mut self, pointer: &str, fault: &Fault) {
        let by = format!("{pointer}/by");
        match (fault.action, fault.by) {
            (FaultAction::Drop, None)
            | (FaultAction::Delay, Some(FaultAmount::Time(_)))
            | (FaultAction::Corrupt, None | Some(FaultAmount::Count(_)))
            | (FaultAction::Duplicate | FaultAction::Reorder, None) => {}
            (FaultAction::Duplicate | FaultAction::Reorder, Some(FaultAmount::Count(count))) => {
                if count == 0 {
                    self.report(by, "`by` is at least 1 here");
                }
            }
            (FaultAction::Drop, Some(_)) => self.report(by, "`drop` takes no `by`"),
            (FaultAction::Delay, _) => {
                self.report(by, "`delay` takes a duration as `by`, such as \"20ms\"");
            }
            (
                FaultAction::Duplicate | FaultAction::Reorder | FaultAction::Corrupt,
                Some(FaultAmount::Time(_)),
            ) => {
                self.report(
                    by,
                    "only `delay` takes a duration as `by`; this takes a whole number",
                );
            }
        }
    }
}
