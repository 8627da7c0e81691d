//! What one flow's dialer has to say to the engine: of a stream the dial's answer, bytes and the end, of any flow its
//! readiness. What is said of UDP flows otherwise has a queue of its own ([`super::datagrams`]).

use engine::{DialResult, Misuse, Proto, RemoteEnd};

use super::datagrams::cost_of;

/// Octets that a buffer may waste in any case.
const WASTE: usize = 4096;

/// What has come for one flow since it was looked at last. It coalesces, so it is bounded however often it is told
/// something.
#[derive(Debug)]
pub(crate) struct Inbox {
    /// What the engine has not been told.
    news: News,
    /// Octets that the turn has taken out and not given back.
    lent: usize,
    /// Octets that the host was told there is room for, and may bring next.
    promised: usize,
    /// Octets of the flow in the back of the queue of datagrams, as of `epoch`.
    queued_octets: u32,
    /// The queue's epoch when they were counted.
    epoch: u32,
    proto: Proto,
    /// The dial was answered; kept for the answers to misuse.
    answer: Option<DialResult>,
    /// The end that was told last.
    end: Option<RemoteEnd>,
    /// A `data` was taken short, and the host waits for `resume`.
    starved: bool,
    /// The engine took the flow's bytes short: they wait for its `Resume`.
    waits: bool,
    /// Whether the flow stands in the queue.
    pub(crate) queued: bool,
    /// The turn knows that a break waits behind bytes, and for how long it may.
    lingering: bool,
}

/// The untold part of an [`Inbox`], as the turn takes it out.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// The stream.
    data: Vec<u8>,
    /// Octets of `data` that the engine has taken.
    read: usize,
    pub(crate) dial: Option<DialResult>,
    pub(crate) blocked: Option<bool>,
    pub(crate) eof: bool,
    pub(crate) broken: Option<RemoteEnd>,
    /// A break waits behind bytes that the engine has no room for.
    pub(crate) lingers: bool,
}

impl Inbox {
    pub(crate) fn new(proto: Proto) -> Self {
        Self {
            news: News::default(),
            lent: 0,
            promised: 0,
            queued_octets: 0,
            epoch: 0,
            proto,
            answer: None,
            end: None,
            starved: false,
            waits: false,
            queued: false,
            lingering: false,
        }
    }

    /// Notes the dial's answer; says whether it goes with the datagrams.
    pub(crate) fn dialed(&mut self, result: DialResult) -> Result<bool, Misuse> {
        if self.answer.is_some() {
            return Err(Misuse::DialAnswered);
        }
        self.answer = Some(result);
        let apart = self.proto == Proto::Udp;
        if !apart {
            self.news.dial = Some(result);
        }
        Ok(apart)
    }

    pub(crate) fn set_blocked(&mut self, blocked: bool) {
        self.news.blocked = Some(blocked);
    }

    fn check(&self, proto: Proto) -> Result<(), Misuse> {
        if self.proto != proto {
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
        limit.saturating_sub(self.held())
    }

    /// The room within `limit`, which the next `data` finds whatever others bring meanwhile.
    pub(crate) fn promise(&mut self, limit: usize) -> usize {
        self.promised = self.room(limit);
        self.starved |= self.promised == 0;
        self.promised
    }

    /// Octets of memory that it holds on to, without what the turn has taken out.
    pub(crate) fn memory(&self) -> usize {
        self.news.memory()
    }

    /// Octets of the stream that wait here, or that the turn has taken out.
    fn held(&self) -> usize {
        self.lent + self.news.data().len()
    }

    pub(crate) fn push_data(
        &mut self,
        bytes: &[u8],
        limit: usize,
        spare: impl FnOnce() -> Option<Vec<u8>>,
    ) -> Result<usize, Misuse> {
        self.check(Proto::Tcp)?;
        let room = self.room(limit).max(core::mem::take(&mut self.promised));
        let count = room.min(bytes.len());
        if count > 0
            && self.news.data.capacity() == 0
            && let Some(buffer) = spare()
        {
            self.news.data = buffer;
        }
        self.news.extend(bytes.get(..count).unwrap_or(&[]));
        self.starved |= count < bytes.len();
        Ok(count)
    }

    /// Counts a datagram that is to stand in the queue's back in `epoch`, if it has room there.
    pub(crate) fn count_datagram(
        &mut self,
        len: usize,
        limit: usize,
        epoch: u32,
    ) -> Result<bool, Misuse> {
        self.check(Proto::Udp)?;
        let before = match self.queued_octets {
            octets if self.epoch == epoch => octets,
            _ => 0,
        };
        let cost = u32::try_from(cost_of(len)).unwrap_or(u32::MAX);
        let after = before.saturating_add(cost);
        if before > 0 && after as usize > limit {
            return Ok(false);
        }
        (self.queued_octets, self.epoch) = (after, epoch);
        Ok(true)
    }

    /// Notes the end; says whether it goes with the datagrams.
    pub(crate) fn ended(&mut self, end: RemoteEnd) -> Result<bool, Misuse> {
        if self.answer != Some(DialResult::Connected) {
            return Err(Misuse::NotConnected);
        }
        let apart = self.proto == Proto::Udp;
        match (self.end, end) {
            (None, RemoteEnd::Eof) => self.news.eof = !apart,
            (None | Some(RemoteEnd::Eof), RemoteEnd::Reset | RemoteEnd::Error) => {
                self.news.broken = Some(end).filter(|_| !apart);
            }
            _ => return Err(Misuse::AfterEnd),
        }
        self.end = Some(end);
        Ok(apart)
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
        self.lent = self.news.data().len();
        core::mem::take(&mut self.news)
    }

    /// Puts back what the engine did not take, before what has come meanwhile; gives back a buffer not needed. Bytes of the
    /// stream that are left wait for the engine's `Resume`.
    pub(crate) fn put_back(&mut self, mut rest: News) -> Vec<u8> {
        self.lent = 0;
        if !rest.is_told() {
            self.waits = true;
            rest.extend(self.news.data());
            rest.shrink();
            core::mem::swap(&mut self.news.data, &mut rest.data);
            self.news.read = rest.read;
        }
        self.news.eof |= rest.eof;
        self.news.broken = self.news.broken.or(rest.broken);
        rest.into_buffer()
    }

    /// Room to tell the host of, if it waits for that and half of the inbox is free.
    pub(crate) fn resumes(&mut self, limit: usize) -> Option<usize> {
        if !self.starved {
            return None;
        }
        let room = self.room(limit);
        if room < limit.div_ceil(2) {
            return None;
        }
        self.starved = false;
        Some(room)
    }

    /// The engine has room again.
    pub(crate) fn resumed(&mut self) {
        self.waits = false;
    }

    /// Gives up the bytes that wait for room, so that the end behind them can be told; says how many, if any wait.
    pub(crate) fn give_up(&mut self) -> Option<usize> {
        if !core::mem::take(&mut self.waits) {
            return None;
        }
        let count = self.news.data().len();
        self.news.took(count);
        Some(count)
    }

    pub(crate) fn take_buffer(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.news).into_buffer()
    }
}

impl News {
    /// Whether the engine has been told all bytes.
    pub(crate) fn is_told(&self) -> bool {
        self.data().is_empty()
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

    /// Octets of memory that it holds on to.
    pub(crate) fn memory(&self) -> usize {
        self.data.capacity()
    }

    /// The buffer, without what it holds.
    pub(crate) fn into_buffer(self) -> Vec<u8> {
        let mut data = self.data;
        data.clear();
        data
    }

    fn extend(&mut self, bytes: &[u8]) {
        // What was taken makes room before the buffer grows.
        if self.read > 0 && self.data.len() + bytes.len() > self.data.capacity() {
            self.data.drain(..self.read);
            self.read = 0;
        }
        let capacity = self.data.capacity();
        if self.data.len() + bytes.len() > capacity {
            // By a quarter instead of twice as much: the bounds count octets, memory is to follow them.
            let most = (self.data.len() + bytes.len()).max(capacity + capacity / 4);
            self.data.reserve_exact(most - self.data.len());
        }
        self.data.extend_from_slice(bytes);
    }

    /// Gives back most of a buffer that holds little.
    fn shrink(&mut self) {
        let len = self.data().len();
        if self.data.capacity() > 2 * len + WASTE {
            self.data.drain(..self.read);
            self.read = 0;
            self.data.shrink_to(len + len / 4);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 64 << 10;

    fn stream() -> Inbox {
        let mut inbox = Inbox::new(Proto::Tcp);
        assert_eq!(inbox.dialed(DialResult::Connected), Ok(false));
        inbox
    }

    #[test]
    fn a_buffer_grows_no_larger_than_a_quarter_more_than_it_holds() {
        let mut inbox = stream();
        for _ in 0..50 {
            let taken = inbox.push_data(&[7; 1000], LIMIT, || None);
            assert_eq!(taken, Ok(1000));
            assert!(inbox.memory() <= inbox.held() + inbox.held() / 4 + 1000);
        }
    }

    #[test]
    fn a_buffer_that_holds_little_gives_back_most_and_keeps_the_bytes() {
        let mut inbox = stream();
        let bytes: Vec<u8> = (0..LIMIT).map(|n| (n % 251) as u8).collect();
        assert_eq!(inbox.push_data(&bytes, LIMIT, || None), Ok(LIMIT));
        let mut news = inbox.take();
        news.took(LIMIT - 1000);
        assert_eq!(inbox.push_data(b"more", 2 * LIMIT, || None), Ok(4));
        inbox.put_back(news);
        assert!(inbox.memory() <= 2 * WASTE);
        let rest = [&bytes[LIMIT - 1000..], b"more"].concat();
        assert_eq!(inbox.news.data(), rest);
    }
}
