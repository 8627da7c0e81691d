//! The events of one flow that wait for the engine: of a stream the dial's answer, bytes and the end, of any flow its
//! readiness. Other events of UDP flows are in the queue itself ([`super::queue`]).

use engine::{DialResult, Misuse, Proto, RemoteEnd};

use super::buffer::Buffer;
use super::event::{Event, cost_of};

/// What has come for one flow since it was looked at last. It coalesces, so it is bounded however much
/// comes.
#[derive(Debug)]
pub(crate) struct Inbox {
    /// What was not delivered to the engine.
    pending: Pending,
    /// Bytes that the turn has taken out and not given back.
    lent: usize,
    /// Bytes that the host has been promised room for, and may bring next.
    promised: usize,
    /// Bytes of the flow in the back of the queue of datagrams, as of `epoch`.
    queued_bytes: u32,
    /// The queue's epoch when they were counted.
    epoch: u32,
    proto: Proto,
    /// The dial was answered; kept for the answers to misuse.
    answer: Option<DialResult>,
    /// The end that was reported last.
    end: Option<RemoteEnd>,
    /// A `data` was taken short, and the host waits for `resume`.
    starved: bool,
    /// The engine took the flow's bytes short: they wait for its `Resume`.
    waits: bool,
    /// Whether the flow is in the queue.
    pub(crate) queued: bool,
    /// The turn knows that a break waits behind bytes, and for how long it may.
    lingering: bool,
}

/// Events of an [`Inbox`] that were not delivered to the engine, as the turn takes them out. They coalesce: of each kind
/// the last counts, and bytes are one buffer.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    dial: Option<DialResult>,
    blocked: Option<bool>,
    /// The stream.
    data: Buffer,
    /// They were offered to the engine: it has no room for what is left.
    offered: bool,
    eof: bool,
    broken: Option<RemoteEnd>,
    /// A break waits behind bytes that the engine has no room for.
    pub(crate) lingers: bool,
}

impl Inbox {
    pub(crate) fn new(proto: Proto) -> Self {
        Self {
            pending: Pending::default(),
            lent: 0,
            promised: 0,
            queued_bytes: 0,
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

    /// Notes the dial's answer; returns whether it goes with the datagrams.
    pub(crate) fn dialed(&mut self, result: DialResult) -> Result<bool, Misuse> {
        if self.answer.is_some() {
            return Err(Misuse::DialAnswered);
        }
        self.answer = Some(result);
        let apart = self.proto == Proto::Udp;
        if !apart {
            self.pending.dial = Some(result);
        }
        Ok(apart)
    }

    pub(crate) fn set_blocked(&mut self, blocked: bool) {
        self.pending.blocked = Some(blocked);
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
        limit.saturating_sub(self.waiting())
    }

    /// The room within `limit`, which the next `data` finds whatever others bring meanwhile.
    pub(crate) fn promise(&mut self, limit: usize) -> usize {
        self.promised = self.room(limit);
        self.starved |= self.promised == 0;
        self.promised
    }

    /// Bytes of memory that it holds on to, without what the turn has taken out.
    pub(crate) fn memory(&self) -> usize {
        self.pending.data.memory()
    }

    /// Bytes of the stream that wait here, or that the turn has taken out.
    fn waiting(&self) -> usize {
        self.lent + self.pending.data.unread().len()
    }

    pub(crate) fn push_data(
        &mut self,
        bytes: &[u8],
        limit: usize,
        spare: impl FnOnce() -> Option<Buffer>,
    ) -> Result<usize, Misuse> {
        self.check(Proto::Tcp)?;
        let room = self.room(limit).max(core::mem::take(&mut self.promised));
        let count = room.min(bytes.len());
        if count > 0
            && self.pending.data.memory() == 0
            && let Some(buffer) = spare()
        {
            self.pending.data = buffer;
        }
        self.pending.data.append(bytes.get(..count).unwrap_or(&[]));
        self.starved |= count < bytes.len();
        Ok(count)
    }

    /// Counts a datagram that is to wait in the queue's back in `epoch`, if it has room there.
    pub(crate) fn count_datagram(
        &mut self,
        len: usize,
        limit: usize,
        epoch: u32,
    ) -> Result<bool, Misuse> {
        self.check(Proto::Udp)?;
        let before = match self.queued_bytes {
            bytes if self.epoch == epoch => bytes,
            _ => 0,
        };
        let cost = u32::try_from(cost_of(len)).unwrap_or(u32::MAX);
        let after = before.saturating_add(cost);
        if before > 0 && after as usize > limit {
            return Ok(false);
        }
        (self.queued_bytes, self.epoch) = (after, epoch);
        Ok(true)
    }

    /// Notes the end; returns whether it goes with the datagrams.
    pub(crate) fn ended(&mut self, end: RemoteEnd) -> Result<bool, Misuse> {
        if self.answer != Some(DialResult::Connected) {
            return Err(Misuse::NotConnected);
        }
        let apart = self.proto == Proto::Udp;
        match (self.end, end) {
            (None, RemoteEnd::Eof) => self.pending.eof = !apart,
            (None | Some(RemoteEnd::Eof), RemoteEnd::Reset | RemoteEnd::Error) => {
                self.pending.broken = Some(end).filter(|_| !apart);
            }
            _ => return Err(Misuse::AfterEnd),
        }
        self.end = Some(end);
        Ok(apart)
    }

    /// Whether something can be delivered to the engine now. An end waits behind bytes that wait for room.
    pub(crate) fn has_events(&self) -> bool {
        let Pending {
            dial,
            blocked,
            eof,
            broken,
            ..
        } = &self.pending;
        let stream = !self.pending.data.is_empty() || *eof || broken.is_some();
        dial.is_some() || blocked.is_some() || (stream && !self.waits) || self.starts_to_linger()
    }

    fn starts_to_linger(&self) -> bool {
        self.waits && self.pending.broken.is_some() && !self.lingering
    }

    /// Takes everything out, to be delivered without the lock. Bytes that wait for room stay, and the end behind them.
    pub(crate) fn take(&mut self) -> Pending {
        self.queued = false;
        if self.waits {
            let lingers = self.starts_to_linger();
            self.lingering |= lingers;
            return Pending {
                dial: self.pending.dial.take(),
                blocked: self.pending.blocked.take(),
                lingers,
                ..Pending::default()
            };
        }
        self.lent = self.pending.data.unread().len();
        core::mem::take(&mut self.pending)
    }

    /// Puts back what the engine did not take, before what has come meanwhile; gives back a buffer not needed. Bytes of the
    /// stream that are left wait for the engine's `Resume`.
    pub(crate) fn put_back(&mut self, mut rest: Pending) -> Buffer {
        self.lent = 0;
        if !rest.data.is_empty() {
            self.waits = true;
            rest.data.append(self.pending.data.unread());
            rest.data.shrink();
            core::mem::swap(&mut self.pending.data, &mut rest.data);
        }
        self.pending.eof |= rest.eof;
        self.pending.broken = self.pending.broken.or(rest.broken);
        rest.data
    }

    /// Room to offer the host, if it waits for that and half of the inbox is free.
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

    /// Gives up the bytes that wait for room, so that the end behind them can be delivered; returns how many, if any wait.
    pub(crate) fn give_up(&mut self) -> Option<usize> {
        if !core::mem::take(&mut self.waits) {
            return None;
        }
        let count = self.pending.data.unread().len();
        self.pending.data.skip(count);
        Some(count)
    }

    pub(crate) fn take_buffer(&mut self) -> Buffer {
        core::mem::take(&mut self.pending).data
    }
}

impl Pending {
    /// The next event: the dial's answer, readiness, bytes, the end. Bytes are offered whole, once; what the engine took
    /// of them is reported to [`Pending::took`], and no end comes before the rest.
    pub(crate) fn next(&mut self) -> Option<Event<'_>> {
        if let Some(result) = self.dial.take() {
            return Some(Event::Dialed(result));
        }
        if let Some(blocked) = self.blocked.take() {
            return Some(if blocked {
                Event::Blocked
            } else {
                Event::Writable
            });
        }
        if !self.data.is_empty() {
            if core::mem::replace(&mut self.offered, true) {
                return None;
            }
            return Some(Event::Data(self.data.unread()));
        }
        if core::mem::take(&mut self.eof) {
            return Some(Event::Ended(RemoteEnd::Eof));
        }
        self.broken.take().map(Event::Ended)
    }

    /// The engine took `count` bytes.
    pub(crate) fn took(&mut self, count: usize) {
        self.data.skip(count);
    }

    /// Bytes of memory that it holds on to.
    pub(crate) fn memory(&self) -> usize {
        self.data.memory()
    }

    /// The buffer, whatever it holds.
    pub(crate) fn into_buffer(self) -> Buffer {
        self.data
    }
}
