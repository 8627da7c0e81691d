//! A child process with all that it starts: a group of its own, so that nothing of it is left when the run is over.

use std::process::{Child, Command};

/// The group that a child leads, and what it has started.
#[derive(Debug)]
pub(super) struct Group {
    #[cfg(unix)]
    leader: Option<rustix::process::Pid>,
}

#[cfg(unix)]
mod unix {
    use std::collections::{BTreeMap, BTreeSet};
    use std::os::unix::process::CommandExt as _;
    use std::sync::{Mutex, PoisonError};

    use rustix::process::{Pid, Signal, kill_process, kill_process_group};

    use super::{Child, Command, Group};

    /// Groups under way, by their leaders' numbers: [`end_all`] ends them.
    static GROUPS: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

    impl Group {
        /// The child is to lead a group of its own.
        pub(in super::super) fn apart(command: &mut Command) -> &mut Command {
            command.process_group(0)
        }

        pub(in super::super) fn of(child: &Child) -> Self {
            let leader = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
            if let Some(leader) = leader {
                groups().insert(leader.as_raw_nonzero().get());
            }
            Self { leader }
        }

        /// Kills it, those included that have left the group but not their parent.
        pub(in super::super) fn end(&self) {
            if let Some(leader) = self.leader {
                groups().remove(&leader.as_raw_nonzero().get());
                kill(leader);
            }
        }
    }

    fn groups() -> std::sync::MutexGuard<'static, BTreeSet<i32>> {
        GROUPS.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends every group under way: for a process that is about to end itself.
    #[cfg(target_os = "linux")]
    pub(crate) fn end_all() {
        let leaders = std::mem::take(&mut *groups());
        leaders.into_iter().filter_map(Pid::from_raw).for_each(kill);
    }

    /// Everything is stopped before anything is killed: whose parent ends cannot be found any more, and who runs may
    /// start another one meanwhile. All signals fail only if there is nobody any more.
    fn kill(leader: Pid) {
        let _ = kill_process_group(leader, Signal::STOP);
        let mut known = Vec::new();
        // Who was started while others were looked for is found the next time.
        for _ in 0..PASSES {
            let before = known.len();
            for found in descendants(leader) {
                if !known.contains(&found) {
                    let _ = kill_process(found, Signal::STOP);
                    known.push(found);
                }
            }
            if known.len() == before {
                break;
            }
        }
        let _ = kill_process_group(leader, Signal::KILL);
        for other in known {
            let _ = kill_process(other, Signal::KILL);
        }
    }

    /// How often what a process has started is looked for, at the most.
    const PASSES: usize = 16;

    /// What the process has started, as far as the system tells: Linux does.
    fn descendants(of: Pid) -> Vec<Pid> {
        let Ok(entries) = std::fs::read_dir("/proc") else {
            return Vec::new();
        };
        let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
        for entry in entries.flatten() {
            let name = entry.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
                continue;
            };
            let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            // The name before it, in parentheses, may hold anything.
            let parent = stat
                .rsplit(')')
                .next()
                .and_then(|rest| rest.split(' ').nth(2));
            if let Some(parent) = parent.and_then(|parent| parent.parse().ok()) {
                children.entry(parent).or_default().push(pid);
            }
        }
        let mut found = Vec::new();
        let mut next = vec![of.as_raw_nonzero().get()];
        while let Some(parent) = next.pop() {
            for child in children.remove(&parent).unwrap_or_default() {
                found.extend(Pid::from_raw(child));
                next.push(child);
            }
        }
        found
    }
}

#[cfg(target_os = "linux")]
pub(crate) use unix::end_all;

#[cfg(not(unix))]
impl Group {
    pub(super) fn apart(command: &mut Command) -> &mut Command {
        command
    }

    pub(super) fn of(_child: &Child) -> Self {
        Self {}
    }

    /// The child itself is killed beside this.
    pub(super) fn end(&self) {}
}
