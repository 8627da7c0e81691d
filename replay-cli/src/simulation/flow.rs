//! One dialed flow as the runner sees it: the dialer's end, the device's end, the script between.

use std::net::SocketAddr;

use engine::{Close, FlowId, FlowKey, Proto};

use super::receiver::Receiver;
use super::tape::{Retention, Sent, Tape};
use crate::capture::conversation::Conversations;
use crate::packet::Seq;
use crate::scenario::expect::STALL_US;
use crate::scenario::flow::flow_spec;
use crate::scenario::{Direction, FlowSpec};
use crate::simulation::dialer::actions::Actions;
use crate::simulation::dialer::content::Action;

/// A flow that asked for a dial.
#[derive(Debug)]
pub(crate) struct FlowState {
    pub(crate) id: FlowId,
    pub(crate) key: FlowKey,
    /// The number of this dial request on its tuple, from 1.
    pub(crate) occurrence: u32,
    /// Dial requests on its tuple so far.
    pub(crate) dials: u32,
    pub(crate) dialed_at: u64,
    /// Whether the engine accepted it by itself, as it does an intercepted connection: nothing was dialed.
    pub(crate) undialed: bool,
    /// The name the dial carried.
    pub(crate) name: Option<String>,
    pub(crate) connected: bool,
    pub(crate) answered: bool,
    pub(crate) closed: Option<(u64, Close)>,
    /// It had nothing more to say and was ended to make room: how is not the capture's doing.
    pub(crate) retired: bool,
    /// The conversation of the capture that it replays.
    pub(crate) conversation: Option<usize>,
    /// What the dialer was given.
    pub(crate) upstream: Tape,
    pub(crate) upstream_datagrams: u64,
    /// Bytes of each of its datagrams, if all bytes are kept.
    pub(crate) datagram_lens: Vec<usize>,
    /// Where each of them goes, likewise.
    pub(crate) datagram_tos: Vec<SocketAddr>,
    /// What the engine took from the dialer.
    pub(crate) sent: Sent,
    pub(crate) sent_datagrams: u64,
    /// What the device was given.
    pub(crate) down: Receiver,
    /// Times in which it stood still, and the present one.
    pub(crate) stalls: Vec<Stalled>,
    pub(crate) upstream_stall: Option<u64>,
    pub(crate) downstream_stall: Option<u64>,
    pub(crate) half_closed_by_device: Option<u64>,
    pub(crate) half_closed_by_remote: Option<u64>,
    pub(crate) script: Script,
}

/// A time in which a stream stood still: its reader took no more, and its window had no room for a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stalled {
    pub(crate) direction: Direction,
    pub(crate) from: u64,
    pub(crate) until: u64,
}

/// What a verdict needs of a flow that replayed a conversation.
#[derive(Clone, Debug)]
pub(crate) struct Dialed {
    pub(crate) conversation: usize,
    /// Datagrams that the dialer got, and the device.
    pub(crate) up: u64,
    pub(crate) down: u64,
    /// How it ended, if not to make room.
    pub(crate) close: Option<Close>,
    /// When it stood still.
    pub(crate) stalls: Vec<Stalled>,
}

impl Dialed {
    pub(crate) fn of(flow: &FlowState) -> Option<Self> {
        let closed = flow.closed.filter(|_| !flow.retired);
        Some(Self {
            conversation: flow.conversation?,
            up: flow.upstream_datagrams,
            down: flow.down.datagrams,
            close: closed.map(|(_, close)| close),
            stalls: flow.stalls.clone(),
        })
    }
}

/// Where a flow's script stands.
#[derive(Debug, Default)]
pub(crate) struct Script {
    pub(crate) actions: Actions,
    /// Bytes or datagrams that earlier reads have taken.
    pub(crate) read: u64,
    /// Bytes of the current step that the engine has taken.
    pub(crate) progress: u64,
    /// Until when the current `wait` lasts.
    pub(crate) wait_until: Option<u64>,
    /// The engine refused bytes: nothing more until `Resume`.
    pub(crate) refused: bool,
    /// A recorded reset waits until the device has what was sent before it.
    pub(crate) awaits_delivery: bool,
    /// A step could not be carried out any more.
    pub(crate) cut_short: bool,
}

impl Script {
    /// Whether it waits for nothing but the passing of time.
    pub(crate) fn is_timed(&self) -> bool {
        self.wait_until.is_some()
    }
}

impl FlowState {
    pub(crate) fn new(id: FlowId, key: FlowKey, occurrence: u32, now: u64) -> Self {
        Self {
            id,
            key,
            occurrence,
            dials: 0,
            dialed_at: now,
            undialed: false,
            name: None,
            connected: false,
            answered: false,
            closed: None,
            retired: false,
            conversation: None,
            upstream: Tape::default(),
            upstream_datagrams: 0,
            datagram_lens: Vec::new(),
            datagram_tos: Vec::new(),
            sent: Sent::default(),
            sent_datagrams: 0,
            down: Receiver::default(),
            stalls: Vec::new(),
            upstream_stall: None,
            downstream_stall: None,
            half_closed_by_device: None,
            half_closed_by_remote: None,
            script: Script::default(),
        }
    }

    /// Looks whether its streams stand still at `now`; nothing does `at_the_end`.
    pub(crate) fn note_stalls(&mut self, now: u64, at_the_end: bool) {
        let over = at_the_end || self.closed.is_some();
        let open = !over && self.connected;
        let stalls = [
            (
                Direction::Upstream,
                &mut self.upstream_stall,
                self.down.is_stalled(),
            ),
            (
                Direction::Downstream,
                &mut self.downstream_stall,
                self.down.device_window_closed,
            ),
        ];
        for (direction, since, stands) in stalls {
            match *since {
                None if stands && open => *since = Some(now),
                Some(from) if !stands || !open => {
                    *since = None;
                    if now.saturating_sub(from) >= STALL_US {
                        self.stalls.push(Stalled {
                            direction,
                            from,
                            until: now,
                        });
                    }
                }
                _ => {}
            }
        }
    }

    /// The flow as scenarios write it.
    pub(crate) fn spec(&self) -> FlowSpec {
        flow_spec(&self.key, self.occurrence)
    }

    /// Gives it a script, and as much memory for its streams as that asks for.
    pub(crate) fn follow(&mut self, actions: Actions, retention: Retention) {
        // A script may read upstream bytes again; what the device gets is read once.
        let up = if actions.reads_bytes() {
            Retention::All
        } else {
            retention
        };
        self.upstream = Tape::new(up);
        self.down.bytes = Tape::new(retention);
        self.script.actions = actions;
    }

    /// Bytes, or datagrams, that the dialer was given.
    pub(crate) fn come(&self) -> u64 {
        if self.key.proto == Proto::Udp {
            self.upstream_datagrams
        } else {
            self.upstream.len()
        }
    }

    /// What its script waits for, in words.
    pub(crate) fn waits_for(&self, capture: Option<&Conversations>) -> String {
        let Script { actions, read, .. } = &self.script;
        let (next, of) = actions.progress(capture);
        let step = next + 1;
        match actions.current(capture) {
            None => "the dialer's script is through".to_owned(),
            Some(Action::Read(count)) => format!(
                "the dialer waits at step {step} of {of} for {count} of the device, of which {} came",
                self.come().saturating_sub(*read)
            ),
            Some(Action::ReadEof) => {
                format!(
                    "the dialer waits at step {step} of {of} for the device's end, which the engine has not passed on"
                )
            }
            Some(Action::Send(_)) => {
                format!("the dialer sends at step {step} of {of}, and the engine takes no more")
            }
            Some(_) => format!("the dialer is at step {step} of {of}"),
        }
    }

    /// The engine's ISN, once its SYN-ACK was seen.
    pub(crate) fn engine_isn(&self) -> Option<Seq> {
        self.down.engine_isn
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulation::dialer::content::Content;

    #[test]
    fn what_a_script_waits_for_is_said_with_what_came() {
        let key = |proto| FlowKey {
            proto,
            client: "10.0.0.2:1".parse().unwrap(),
            server: "192.0.2.1:2".parse().unwrap(),
        };
        let mut flow = FlowState::new(FlowId::from_bits(0), key(Proto::Tcp), 1, 0);
        assert_eq!(flow.waits_for(None), "the dialer's script is through");
        let content = Content::Owned(b"x".to_vec().into());
        flow.script.actions = Actions::listed(vec![
            Action::Read(9),
            Action::ReadEof,
            Action::Send(content),
            Action::Shutdown,
        ]);
        flow.upstream.push(b"1234567");
        flow.script.read = 5;
        let said: Vec<String> = (0..4)
            .map(|_| {
                let said = flow.waits_for(None);
                flow.script.actions.step(None);
                said
            })
            .collect();
        assert_eq!(
            said,
            [
                "the dialer waits at step 1 of 4 for 9 of the device, of which 2 came",
                "the dialer waits at step 2 of 4 for the device's end, which the engine has not passed on",
                "the dialer sends at step 3 of 4, and the engine takes no more",
                "the dialer is at step 4 of 4",
            ]
        );
        let mut flow = FlowState::new(FlowId::from_bits(0), key(Proto::Udp), 1, 0);
        flow.script.actions = Actions::listed(vec![Action::Read(3)]);
        flow.upstream.push(&[0; 2000]);
        flow.upstream_datagrams = 2;
        assert!(
            flow.waits_for(None)
                .ends_with("for 3 of the device, of which 2 came")
        );
    }
}
