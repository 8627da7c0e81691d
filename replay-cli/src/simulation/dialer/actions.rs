//! A script's actions: as listed, or as the far side of a capture acted, which takes no memory for each of them.

use std::sync::Arc;

use super::content::{Action, Content};
use crate::capture::conversation::{Conversation, Conversations, FarEventKind, Talk};
use crate::capture::recording::RemoteEnd;

/// Actions, and where the script stands among them.
#[derive(Clone, Debug)]
pub(crate) enum Actions {
    /// One by one.
    Listed { list: Arc<Vec<Action>>, next: usize },
    /// What the far side of a conversation did.
    Recorded(Recorded),
}

impl Default for Actions {
    fn default() -> Self {
        Self::listed(Vec::new())
    }
}

/// A place among the doings of a conversation's far side. Each comes down to up to four actions: to read what it had received
/// of, to read the device's end, to wait, to act.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    conversation: usize,
    /// The doing under way.
    nth: usize,
    stage: Stage,
    /// Bytes or datagrams that were read.
    read: u64,
    read_eof: bool,
    /// Actions carried out.
    done: usize,
    has_sent: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Read,
    ReadEof,
    Wait,
    Act,
}

/// Something the far side did.
struct Doing {
    /// Bytes or datagrams of the device that it had received.
    received: u64,
    received_eof: bool,
    wait_us: u64,
    act: Action,
}

impl Actions {
    pub(crate) fn listed(list: Vec<Action>) -> Self {
        Self::Listed {
            list: Arc::new(list),
            next: 0,
        }
    }

    pub(crate) fn recorded(conversation: usize) -> Self {
        Self::Recorded(Recorded {
            conversation,
            nth: 0,
            stage: Stage::Read,
            read: 0,
            read_eof: false,
            done: 0,
            has_sent: false,
        })
    }

    /// Appends actions to a list.
    pub(crate) fn extend(&mut self, more: impl IntoIterator<Item = Action>) {
        if let Self::Listed { list, .. } = self {
            Arc::make_mut(list).extend(more);
        }
    }

    /// The action under way; `None` at the end.
    pub(crate) fn current(&self, capture: Option<&Conversations>) -> Option<Action> {
        match self {
            Self::Listed { list, next } => list.get(*next).cloned(),
            Self::Recorded(recorded) => {
                let mut there = recorded.clone();
                there.settle(capture?)
            }
        }
    }

    /// The action under way is done.
    pub(crate) fn step(&mut self, capture: Option<&Conversations>) {
        match self {
            Self::Listed { next, .. } => *next += 1,
            Self::Recorded(recorded) => {
                if let Some(capture) = capture {
                    recorded.step(capture);
                }
            }
        }
    }

    /// Nothing of it happens any more.
    pub(crate) fn end(&mut self) {
        match self {
            Self::Listed { list, next } => *next = list.len(),
            Self::Recorded(recorded) => recorded.nth = usize::MAX,
        }
    }

    /// How many actions are done, for a mark of progress.
    pub(crate) fn done(&self) -> usize {
        match self {
            Self::Listed { next, .. } => *next,
            Self::Recorded(recorded) => recorded.done,
        }
    }

    /// How many actions are done, and how many there are.
    pub(crate) fn progress(&self, capture: Option<&Conversations>) -> (usize, usize) {
        match self {
            Self::Listed { list, next } => (*next, list.len()),
            Self::Recorded(recorded) => {
                let mut rest = recorded.clone();
                let mut all = recorded.done;
                while let Some(capture) = capture.filter(|capture| rest.settle(capture).is_some()) {
                    rest.step(capture);
                    all += 1;
                }
                (recorded.done, all)
            }
        }
    }

    /// Whether it has sent what the far side of a capture sent.
    pub(crate) fn has_sent_recorded(&self) -> bool {
        match self {
            Self::Listed { list, next } => {
                let sent = list.iter().take(*next);
                sent.rev()
                    .any(|action| matches!(action, Action::Send(Content::Far { .. })))
            }
            Self::Recorded(recorded) => recorded.has_sent,
        }
    }

    /// Whether it looks at bytes of the device after they have come.
    pub(crate) fn reads_bytes(&self) -> bool {
        match self {
            Self::Listed { list, .. } => {
                let reads =
                    |action: &Action| matches!(action, Action::ReadUntil(_) | Action::Echo(_));
                list.iter().any(reads)
            }
            Self::Recorded(_) => false,
        }
    }
}

impl Recorded {
    /// Passes over the stages that have nothing to do; the action of the one that has.
    fn settle(&mut self, capture: &Conversations) -> Option<Action> {
        let flow = capture.flows.get(self.conversation)?;
        let Doing {
            received,
            received_eof,
            wait_us,
            act,
        } = doing(flow, self.conversation, self.nth)?;
        if self.stage == Stage::Read {
            if received > self.read {
                return Some(Action::Read(received - self.read));
            }
            self.stage = Stage::ReadEof;
        }
        if self.stage == Stage::ReadEof {
            if received_eof && !self.read_eof {
                return Some(Action::ReadEof);
            }
            self.stage = Stage::Wait;
        }
        if self.stage == Stage::Wait {
            if wait_us > 0 {
                return Some(Action::Wait(wait_us));
            }
            self.stage = Stage::Act;
        }
        Some(act)
    }

    fn step(&mut self, capture: &Conversations) {
        let action = self.settle(capture);
        self.done += 1;
        match self.stage {
            Stage::Read => {
                if let Some(Action::Read(count)) = action {
                    self.read += count;
                }
                self.stage = Stage::ReadEof;
            }
            Stage::ReadEof => (self.read_eof, self.stage) = (true, Stage::Wait),
            Stage::Wait => self.stage = Stage::Act,
            Stage::Act => {
                self.has_sent |= matches!(action, Some(Action::Send(_)));
                self.nth = self.nth.saturating_add(1);
                self.stage = Stage::Read;
            }
        }
    }
}

/// The `nth` thing that the far side of a conversation did.
fn doing(flow: &Conversation, index: usize, nth: usize) -> Option<Doing> {
    let far = |from, to| {
        Action::Send(Content::Far {
            flow: index,
            from,
            to,
        })
    };
    match &flow.talk {
        Talk::Tcp(tcp) => {
            let event = tcp.far.get(nth)?;
            Some(Doing {
                received: event.acked,
                received_eof: event.fin_acked,
                wait_us: event.wait_us,
                act: match event.kind {
                    FarEventKind::Send { from, to } => far(from, to),
                    FarEventKind::Fin => Action::Shutdown,
                    FarEventKind::Reset => Action::Reset,
                    FarEventKind::Fail => Action::Fail,
                    FarEventKind::Take(count) => Action::Take(count),
                    FarEventKind::Block => Action::Block,
                    FarEventKind::Unblock => Action::Unblock,
                },
            })
        }
        Talk::Udp(udp) => {
            if let Some(datagram) = udp.far.get(nth) {
                return Some(Doing {
                    received: datagram.after,
                    received_eof: false,
                    wait_us: datagram.wait_us,
                    act: far(datagram.from, datagram.to),
                });
            }
            let (end, received, wait_us) = udp.end.filter(|_| nth == udp.far.len())?;
            Some(Doing {
                received,
                received_eof: false,
                wait_us,
                act: match end {
                    RemoteEnd::Eof => Action::Shutdown,
                    RemoteEnd::Reset => Action::Reset,
                    RemoteEnd::Error => Action::Fail,
                },
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::capture::import::{ImportOptions, for_attempt, import};
    use crate::scenario::Scenario;
    use crate::scenario::files::Files;
    use crate::simulation::tape::Retention;
    use crate::simulation::{Retain, RunMode, RunOutput, play_capture};

    fn captures(folder: &Path, to: &mut Vec<PathBuf>) {
        let mut entries: Vec<PathBuf> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        entries.sort();
        for path in entries {
            let is_capture = |name: &std::ffi::OsStr| name == "pcap" || name == "pcapng";
            if path.is_dir() {
                captures(&path, to);
            } else if path.extension().is_some_and(is_capture) {
                to.push(path);
            }
        }
    }

    fn play(scenario: &Scenario, capture: &Conversations, way: RunMode<'_>) -> RunOutput {
        let keep = Retain {
            frames: false,
            streams: Retention::All,
            against: None,
        };
        play_capture(scenario, &Files::default(), capture, keep, way).unwrap()
    }

    #[test]
    fn a_recorded_far_side_does_what_its_listed_steps_do() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../captures");
        let mut paths = Vec::new();
        captures(&folder, &mut paths);
        assert!(paths.len() > 10);
        for path in paths {
            let options = ImportOptions::default();
            let (listed, capture) = import(&path, "listed", &options).unwrap();
            let (recorded, _) = for_attempt(&path, &options).unwrap();
            let (one, other) = (
                play(&listed.scenario, &capture, RunMode::CORE),
                play(&recorded.scenario, &capture, RunMode::RECORDED),
            );
            let found = one.digest.difference(&other.digest);
            assert_eq!((found, one.figures), (None, other.figures), "{path:?}");
            for (one, other) in one.flows.iter().zip(&other.flows) {
                let seen = [one, other].map(|flow| {
                    let (_, all) = flow.script.actions.progress(Some(&capture));
                    (
                        flow.script.actions.done(),
                        all,
                        flow.waits_for(Some(&capture)),
                    )
                });
                if !one.script.cut_short {
                    assert_eq!(seen[0], seen[1], "{path:?} {}", one.key);
                }
            }
        }
    }
}
