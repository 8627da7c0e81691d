//! One TCP flow of the model: the client, the dialer's end, and what each is owed.

use engine::{DialResult, FlowId};

use crate::client::Client;

/// A client with the dialer's end of its connection.
pub(crate) struct Peer {
    pub(crate) client: Client,
    /// What the dialer will answer, and after how many milliseconds.
    pub(crate) dial: (DialResult, u64),
    pub(crate) flow: Option<FlowId>,
    pub(crate) dialed: bool,
    pub(crate) upstream: Vec<u8>,
    pub(crate) half_closes: usize,
    /// How the flow ended, as `by how`.
    pub(crate) closes: Vec<String>,
    pub(crate) remote_written: usize,
    pub(crate) remote_sent: usize,
    pub(crate) remote_ended: bool,
    pub(crate) may_send: bool,
    /// How many bytes of each lent slice the dialer takes; `None`: all.
    pub(crate) takes: Option<usize>,
    /// A side broke the flow on purpose.
    pub(crate) broken: bool,
}

impl Peer {
    pub(crate) fn new(client: Client, dial: (DialResult, u64)) -> Self {
        Self {
            client,
            dial,
            flow: None,
            dialed: false,
            upstream: Vec::new(),
            half_closes: 0,
            closes: Vec::new(),
            remote_written: 0,
            remote_sent: 0,
            remote_ended: false,
            may_send: true,
            takes: None,
            broken: false,
        }
    }

    /// The handle, while the flow lives.
    pub(crate) fn open(&self) -> Option<FlowId> {
        self.flow.filter(|_| self.closes.is_empty())
    }

    /// Whether the flow has ended, and the client with it. A refusal that was lost comes again with the next SYN.
    pub(crate) fn knows_its_end(&self) -> bool {
        self.closes.len() == 1 && (self.dial.0 == DialResult::Connected || self.client.reset)
    }

    /// The handle, once the dial has connected.
    pub(crate) fn connected(&self) -> Option<FlowId> {
        self.open().filter(|_| self.dialed)
    }
}
