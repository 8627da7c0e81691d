//! What one flow's dialer has to say to the engine: a dial result, bytes or datagrams, an end, readiness.

use std::collections::VecDeque;
use std::net::SocketAddr;

use engine::{DialResult, FlowKey, Misuse, Proto, RemoteEnd};

/// What a waiting datagram costs beside its payload: an empty one is not free.
const DATAGRAM_COST: usize = 64;

/// What has come for one flow since it was looked at last. It coalesces, so it is bounded however often it is told
/// something.
#[derive(Debug)]
pub(crate) struct Inbox {
    key: FlowKey,
    /// The dial was answered; kept for the answers to misuse.
    answer: Option<DialResult>,
    /// The end that was told last.
    end: Option<RemoteEnd>,
    /// What the engine has not been told.
    news: News,
    /// Octets that the turn has taken out and not given back.
    lent: usize,
    /// Octets that the host was told there is room for, and may bring next.
    promised: usize,
    /// A `data` was taken short, and the host waits for `resume`.
    pub(crate) starved: bool,
    /// The engine took the flow's bytes short: they wait for its `Resume`.
    pub(crate) waits: bool,
    /// Whether the flow stands in the queue.
    pub(crate) queued: bool,
    /// The turn knows that a break waits behind bytes, and for how long it may.
    lingering: bool,
}

/// The untold part of an [`Inbox`], as the turn takes it out.
#[derive(Debug, Default)]
pub(crate) struct News {
    pub(crate) dial: Option<DialResult>,
    pub(crate) blocked: Option<bool>,
    /// The stream, or the payloads of the datagrams back to back.
    data: Vec<u8>,
    /// Octets of `data` that the engine has taken.
    read: usize,
    datagrams: VecDeque<Datagram>,
    pub(crate) eof: bool,
    pub(crate) broken: Option<RemoteEnd>,
    /// A break waits behind bytes that the engine has no room for.
    pub(crate) lingers: bool,
}

/// One datagram that waits: where it came from, if not from where the flow was dialed to, and its length.
pub(crate) type Datagram = (Option<SocketAddr>, usize);

/// Empty buffers of an inbox, for the next one that needs them.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    data: Vec<u8>,
    datagrams: VecDeque<Datagram>,
}

impl Buffers {
    /// Octets they hold on to.
    pub(crate) fn capacity(&self) -> usize {
        self.data.capacity() + self.datagrams.capacity() * size_of::<Datagram>()
    }
}

impl Inbox {
    pub(crate) fn new(key: FlowKey) -> Self {
        Self {
            key,
            answer: None,
            end: None,
            news: News::default(),
            lent: 0,
            promised: 0,
            starved: false,
            waits: false,
            queued: false,
            lingering: false,
        }
    }

    pub(crate) fn dialed(&mut self, result: DialResult) -> Result<(), Misuse> {
        if self.answer.is_some() {
            return Err(Misuse::DialAnswered);
        }
        self.answer = Some(result);
        self.news.dial = Some(result);
        Ok(())
    }

    pub(crate) fn set_blocked(&mut self, blocked: bool) -> Result<(), Misuse> {
        self.news.blocked = Some(blocked);
        Ok(())
    }

    fn check(&self, proto: Proto) -> Result<(), Misuse> {
        if self.key.proto != proto {
            return Err(Misuse::WrongProtocol);
        }
        if self.answer != Some(DialResult::Connected) {
            return Err(Misuse::NotConnected);
        }
        if self.end.is_some() {
            return Err(Misuse::AfterEnd);
        }
        Ok(())
    }

    pub(crate) fn room(&self, limit: usize) -> usize {
        if self.check(Proto::Tcp).is_err() {
            return 0;
        }
        limit.saturating_sub(self.lent + self.news.cost())
    }

    /// The room within `limit`, which the next `data` finds whatever others bring meanwhile.
    pub(crate) fn promise(&mut self, limit: usize) -> usize {
        self.promised = self.room(limit);
        self.starved |= self.promised == 0;
        self.promised
    }

    /// Octets of the stream that wait here, or that the turn has taken out.
    pub(crate) fn held(&self) -> usize {
        match self.key.proto {
            Proto::Tcp => self.lent + self.news.data().len(),
            Proto::Udp => 0,
        }
    }

    pub(crate) fn push_data(
        &mut self,
        bytes: &[u8],
        limit: usize,
        spare: &mut Vec<Buffers>,
    ) -> Result<usize, Misuse> {
        self.check(Proto::Tcp)?;
        let room = self.room(limit).max(core::mem::take(&mut self.promised));
        let count = room.min(bytes.len());
        if count > 0 {
            self.news.equip(spare);
        }
        self.news.extend(bytes.get(..count).unwrap_or(&[]));
        self.starved |= count < bytes.len();
        Ok(count)
    }

    pub(crate) fn push_datagram(
        &mut self,
        from: Option<SocketAddr>,
        payload: &[u8],
        limit: usize,
        spare: &mut Vec<Buffers>,
    ) -> Result<bool, Misuse> {
        self.check(Proto::Udp)?;
        let held = self.lent + self.news.cost();
        if held > 0 && held + payload.len() + DATAGRAM_COST > limit {
            return Ok(false);
        }
        self.news.equip(spare);
        self.news.extend(payload);
        self.news.datagrams.push_back((from, payload.len()));
        Ok(true)
    }

    pub(crate) fn ended(&mut self, end: RemoteEnd) -> Result<(), Misuse> {
        if self.answer != Some(DialResult::Connected) {
            return Err(Misuse::NotConnected);
        }
        match (self.end, end) {
            (None, RemoteEnd::Eof) => self.news.eof = true,
            (None | Some(RemoteEnd::Eof), RemoteEnd::Reset | RemoteEnd::Error) => {
                self.news.broken = Some(end);
            }
            _ => return Err(Misuse::AfterEnd),
        }
        self.end = Some(end);
        Ok(())
    }

    /// Whether the engine can be told something now. An end stands behind bytes that wait for room.
    pub(crate) fn has_news(&self) -> bool {
        let News {
            dial,
            blocked,
            eof,
            broken,
            ..
        } = &self.news;
        let stream = !self.news.is_told() || *eof || broken.is_some();
        dial.is_some() || blocked.is_some() || (stream && !self.waits) || self.starts_to_linger()
    }

    fn starts_to_linger(&self) -> bool {
        self.waits && self.news.broken.is_some() && !self.lingering
    }

    /// Takes everything out, to be told without the lock. Bytes that wait for room stay, and the end behind them.
    pub(crate) fn take(&mut self) -> News {
        self.queued = false;
        if self.waits {
            let lingers = self.starts_to_linger();
            self.lingering |= lingers;
            return News {
                dial: self.news.dial.take(),
                blocked: self.news.blocked.take(),
                lingers,
                ..News::default()
            };
        }
        self.lent = self.news.cost();
        core::mem::take(&mut self.news)
    }

    /// Puts back what the engine did not take, before what has come meanwhile; gives back a buffer not needed.
    pub(crate) fn put_back(&mut self, mut rest: News) -> Buffers {
        self.lent = 0;
        if !rest.is_told() {
            rest.extend(self.news.data());
            rest.datagrams.append(&mut self.news.datagrams);
            core::mem::swap(&mut self.news.data, &mut rest.data);
            core::mem::swap(&mut self.news.datagrams, &mut rest.datagrams);
            self.news.read = rest.read;
        }
        self.news.eof |= rest.eof;
        self.news.broken = self.news.broken.or(rest.broken);
        rest.into_buffers()
    }

    /// Room to tell the host of, if it waits for that and half of the inbox is free.
    pub(crate) fn resumes(&mut self, limit: usize) -> Option<usize> {
        let room = self.room(limit);
        if !self.starved || room < limit.div_ceil(2) {
            return None;
        }
        self.starved = false;
        Some(room)
    }

    /// Gives up the bytes that wait, so that the end behind them can be told; says how many.
    pub(crate) fn discard(&mut self) -> usize {
        self.waits = false;
        let count = self.news.data().len();
        self.news.took(count);
        count
    }

    pub(crate) fn take_buffers(&mut self) -> Buffers {
        core::mem::take(&mut self.news).into_buffers()
    }
}

impl News {
    /// Whether the engine has been told all bytes and datagrams.
    pub(crate) fn is_told(&self) -> bool {
        self.data().is_empty() && self.datagrams.is_empty()
    }

    /// Whether bytes of a stream wait.
    pub(crate) fn has_stream(&self) -> bool {
        !self.data().is_empty() && self.datagrams.is_empty()
    }

    /// The datagram to be told next.
    pub(crate) fn datagram(&self) -> Option<(Option<SocketAddr>, &[u8])> {
        let (from, len) = *self.datagrams.front()?;
        Some((from, self.data().get(..len)?))
    }

    /// The engine was told of the next datagram.
    pub(crate) fn told_datagram(&mut self) {
        if let Some((_, len)) = self.datagrams.pop_front() {
            self.took(len);
        }
    }

    /// Octets that the waiting bytes and datagrams count for.
    fn cost(&self) -> usize {
        self.data().len() + self.datagrams.len() * DATAGRAM_COST
    }

    /// Takes spare buffers if it has none.
    fn equip(&mut self, spare: &mut Vec<Buffers>) {
        if self.data.capacity() == 0
            && self.datagrams.is_empty()
            && let Some(buffers) = spare.pop()
        {
            self.data = buffers.data;
            self.datagrams = buffers.datagrams;
        }
    }

    /// Bytes of the far side that the engine has not taken.
    pub(crate) fn data(&self) -> &[u8] {
        self.data.get(self.read..).unwrap_or(&[])
    }

    /// The engine took `count` octets.
    pub(crate) fn took(&mut self, count: usize) {
        self.read += count;
        if self.read >= self.data.len() {
            self.data.clear();
            self.read = 0;
        }
    }

    /// The buffers, without what they hold.
    pub(crate) fn into_buffers(self) -> Buffers {
        let Self {
            mut data,
            mut datagrams,
            ..
        } = self;
        data.clear();
        datagrams.clear();
        Buffers { data, datagrams }
    }

    fn extend(&mut self, bytes: &[u8]) {
        // What was taken makes room before the buffer grows.
        if self.read > 0 && self.data.len() + bytes.len() > self.data.capacity() {
            self.data.drain(..self.read);
            self.read = 0;
        }
        self.data.extend_from_slice(bytes);
    }
}
