//! The descriptors of a script's application, as a kernel keeps them.

use std::collections::BTreeMap;

/// A descriptor.
#[derive(Clone, Debug, Default)]
pub(super) struct Socket {
    pub(super) kind: Kind,
    pub(super) nonblocking: bool,
    /// `SHUT_RD`: a read that has nothing is at the end.
    pub(super) read_shut: bool,
    /// `SHUT_WR`, or both.
    pub(super) write_shut: bool,
    /// `SO_LINGER` without a time: a close is a reset.
    pub(super) abortive: bool,
    /// `TCP_CORK`: segments that are not full wait.
    pub(super) corked: bool,
    /// `TCP_NODELAY`: no segment waits for an acknowledgement.
    pub(super) no_delay: bool,
    /// `MSG_MORE` went with the last write.
    pub(super) more: bool,
    /// A write found no room.
    pub(super) filled: bool,
    /// `MSG_ZEROCOPY`: the kernel reports when it has done with the bytes.
    pub(super) lent: bool,
    /// What waits for more, bytes.
    pub(super) held: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// Neither listening nor connected.
    #[default]
    Fresh,
    Listening,
    /// UDP's, before the device's first datagram, which begins a flow.
    Datagrams,
    /// `connect` was called; the handshake is under way.
    Connecting,
    /// The connection with this number, from 0.
    Connection(usize),
    /// Descriptors that are watched.
    Watch(BTreeMap<i64, Watched>),
}

/// A descriptor that is watched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Watched {
    /// The words of its events.
    pub(super) events: Vec<String>,
    /// What had happened on it when it was reported last: `EPOLLET` reports only what is new.
    pub(super) reported: Option<Happened>,
}

/// What makes a descriptor ready anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Happened {
    /// Bytes that have come.
    pub(super) come: u64,
    pub(super) ended: bool,
    pub(super) reset: bool,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Sockets(BTreeMap<i64, Socket>);

impl Sockets {
    /// Takes a number; false if it is taken, or none.
    pub(super) fn open(&mut self, number: i64, socket: Socket) -> bool {
        let free = number >= 0 && !self.0.contains_key(&number);
        if free {
            self.0.insert(number, socket);
        }
        free
    }

    pub(super) fn get(&self, number: i64) -> Option<&Socket> {
        self.0.get(&number)
    }

    pub(super) fn get_mut(&mut self, number: i64) -> Option<&mut Socket> {
        self.0.get_mut(&number)
    }

    pub(super) fn close(&mut self, number: i64) -> Option<Socket> {
        self.0.remove(&number)
    }

    /// Whether anything takes connections.
    pub(super) fn listens(&self) -> bool {
        self.any(|socket| socket.kind == Kind::Listening)
    }

    pub(super) fn any(&self, is: impl Fn(&Socket) -> bool) -> bool {
        self.0.values().any(is)
    }

    /// The descriptor of a connection, if it is such a one.
    pub(super) fn number_of(&self, connection: usize, is: impl Fn(&Socket) -> bool) -> Option<i64> {
        let mut all = self.0.iter();
        let found =
            all.find(|(_, socket)| socket.kind == Kind::Connection(connection) && is(socket));
        found.map(|(number, _)| *number)
    }

    /// Gives the first socket of a kind its connection; false if there is none.
    pub(super) fn connected(&mut self, kind: &Kind, connection: usize) -> bool {
        let waiting = self.0.values_mut().find(|socket| socket.kind == *kind);
        if let Some(socket) = waiting {
            socket.kind = Kind::Connection(connection);
            return true;
        }
        false
    }
}
