//! `expect.memory`: ceilings on memory, which are not renewed.

use super::Behaviour;
use crate::scenario::failure::FailureKind;
use crate::verdict::check::Check;

pub(super) struct Memory;

impl Behaviour for Memory {
    fn check(&self, check: &mut Check<'_>) {
        let memory = check.scenario.expect.memory;
        let Some(most) = memory.and_then(|memory| memory.peak_heap) else {
            return;
        };
        if !check.traits.is_core() {
            check.verdicts.core_only += 1;
            return;
        }
        check.verdicts.checks += 1;
        let most = most.as_bytes();
        let (what, seen, help) = match check.run.peak_heap {
            Some(peak) if peak <= most => return,
            Some(peak) => (
                format!("the engine held {peak} bytes of heap"),
                Some(peak),
                None,
            ),
            None => {
                let what = "the heap is not counted in this program".to_owned();
                let help =
                    "run it with the `replay` binary, or install `replay::base::heap::EngineHeap`";
                (what, None, Some(help))
            }
        };
        let over = check.fail(FailureKind::TooMuchMemory, "/expect/memory/peak_heap", what);
        over.expected = seen.map(|_| format!("at most {most}"));
        over.actual = seen.map(|peak| peak.to_string());
        over.help = help.map(str::to_owned);
    }
}
