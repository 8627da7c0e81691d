//! One dialed flow as the runner sees it: the dialer's end, the device's end, the script between.

use std::net::SocketAddr;

use engine::{Close, FlowId, FlowKey, Proto};

use super::content::{Action, Content};
use super::receiver::Receiver;
use crate::packet::Seq;

/// A flow that asked for a dial.
#[derive(Debug)]
pub(crate) struct FlowState {
    pub(crate) id: FlowId,
    pub(crate) key: FlowKey,
    /// The number of this dial request on its tuple, from 1.
    pub(crate) occurrence: u32,
    pub(crate) dialed_at: u64,
    /// Whether the engine accepted it by itself, as it does an intercepted connection: nothing was dialed.
    pub(crate) undialed: bool,
    /// The name the dial carried.
    pub(crate) name: Option<String>,
    pub(crate) connected: bool,
    pub(crate) answered: bool,
    pub(crate) closed: Option<(u64, Close)>,
    /// What the dialer was given.
    pub(crate) upstream: Vec<u8>,
    pub(crate) upstream_datagrams: u64,
    /// Octets of each of its datagrams.
    pub(crate) datagram_lens: Vec<usize>,
    /// Where each of them goes.
    pub(crate) datagram_tos: Vec<SocketAddr>,
    /// What the engine took from the dialer.
    pub(crate) sent: Vec<u8>,
    pub(crate) sent_datagrams: u64,
    /// What the device was given.
    pub(crate) down: Receiver,
    pub(crate) half_closed_by_device: Option<u64>,
    pub(crate) half_closed_by_remote: Option<u64>,
    pub(crate) script: Script,
}

/// Where a flow's script stands.
#[derive(Debug, Default)]
pub(crate) struct Script {
    pub(crate) actions: Vec<Action>,
    pub(crate) next: usize,
    /// Octets or datagrams that earlier reads have taken.
    pub(crate) read: u64,
    /// Octets of the current step that the engine has taken.
    pub(crate) progress: u64,
    /// Until when the current `wait` lasts.
    pub(crate) wait_until: Option<u64>,
    /// The engine refused octets: nothing more until it says `Resume`.
    pub(crate) refused: bool,
    /// A recorded reset waits until the device has what was sent before it.
    pub(crate) awaits_delivery: bool,
    /// A step could not be carried out any more.
    pub(crate) cut_short: bool,
}

impl Script {
    /// Whether it sends what the far side of a capture sent.
    pub(crate) fn is_recorded(&self) -> bool {
        let sent = self.actions.iter().take(self.next);
        sent.rev()
            .any(|action| matches!(action, Action::Send(Content::Far { .. })))
    }

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
            dialed_at: now,
            undialed: false,
            name: None,
            connected: false,
            answered: false,
            closed: None,
            upstream: Vec::new(),
            upstream_datagrams: 0,
            datagram_lens: Vec::new(),
            datagram_tos: Vec::new(),
            sent: Vec::new(),
            sent_datagrams: 0,
            down: Receiver::default(),
            half_closed_by_device: None,
            half_closed_by_remote: None,
            script: Script::default(),
        }
    }

    /// What its script waits for, in words.
    pub(crate) fn waits_for(&self) -> String {
        let Script {
            actions,
            next,
            read,
            ..
        } = &self.script;
        let (step, of) = (next + 1, actions.len());
        let come = if self.key.proto == Proto::Udp {
            self.upstream_datagrams
        } else {
            self.upstream.len() as u64
        };
        match actions.get(*next) {
            None => "the dialer's script is through".to_owned(),
            Some(Action::Read(count)) => format!(
                "the dialer waits at step {step} of {of} for {count} of the device, of which {} came",
                come.saturating_sub(*read)
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
