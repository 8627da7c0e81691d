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
    data: Vec<u8>,
    /// Octets of `data` that the engine has taken.
    read: usize,
    pub(crate) datagrams: VecDeque<(Option<SocketAddr>, Vec<u8>)>,
    datagram_cost: usize,
    pub(crate) eof: bool,
    pub(crate) broken: Option<RemoteEnd>,
    /// A break waits behind bytes that the engine has no room for.
    pub(crate) lingers: bool,
}

impl Inbox {
    pub(crate) fn new(key: FlowKey) -> Self {
        Self {
            key,
            answer: None,
            end: None,
            news: News::default(),
            lent: 0,
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
        limit.saturating_sub(self.lent + self.news.data().len())
    }

    pub(crate) fn push_data(
        &mut self,
        bytes: &[u8],
        limit: usize,
        spare: &mut Vec<Vec<u8>>,
    ) -> Result<usize, Misuse> {
        self.check(Proto::Tcp)?;
        let count = self.room(limit).min(bytes.len());
        if count > 0 && self.news.data.capacity() == 0 {
            self.news.data = spare.pop().unwrap_or_default();
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
    ) -> Result<bool, Misuse> {
        self.check(Proto::Udp)?;
        let cost = payload.len() + DATAGRAM_COST;
        let held = self.lent + self.news.datagram_cost;
        if held > 0 && held + cost > limit {
            return Ok(false);
        }
        self.news.datagram_cost += cost;
        self.news.datagrams.push_back((from, payload.to_vec()));
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
            datagrams,
            eof,
            broken,
            ..
        } = &self.news;
        let stream =
            !self.news.data().is_empty() || !datagrams.is_empty() || *eof || broken.is_some();
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
        self.lent = self.news.data().len() + self.news.datagram_cost;
        core::mem::take(&mut self.news)
    }

    /// Puts back what the engine did not take, before what has come meanwhile; gives back a buffer not needed.
    pub(crate) fn put_back(&mut self, mut rest: News) -> Vec<u8> {
        self.lent = 0;
        if !rest.data().is_empty() {
            rest.extend(self.news.data());
            core::mem::swap(&mut self.news.data, &mut rest.data);
            self.news.read = rest.read;
        }
        while let Some(datagram) = rest.datagrams.pop_back() {
            self.news.datagram_cost += datagram.1.len() + DATAGRAM_COST;
            self.news.datagrams.push_front(datagram);
        }
        self.news.eof |= rest.eof;
        self.news.broken = self.news.broken.or(rest.broken);
        rest.data
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

    pub(crate) fn take_buffer(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.news.data)
    }
}

impl News {
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

    /// The buffer, whatever it holds.
    pub(crate) fn into_buffer(self) -> Vec<u8> {
        self.data
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
