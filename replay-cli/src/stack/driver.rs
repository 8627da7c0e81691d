//! The engine by way of the driver: the very turns that its loop takes, one after the other, in virtual time.
//!
//! The loop around them only waits, so the runner stands in for it: it calls [`Turn::run`] when an input came or a
//! deadline has, and hands the time in. A wake that the mailbox asks for is the turn that follows every step.

use std::net::SocketAddr;
use std::sync::Arc;

use engine::{
    Close, Config, Counters, Deadline, DialResult, DnsRecord, FlowId, FlowKey, Frames, LogRecord,
    Micros, Misuse, PathChange, QueryId, QueryKind, RemoteEnd, Resolution,
};
use engine_driver::{Host, Limits, Mailbox, ManualClock, Notice, SettingsError, Turn};

use super::driven::{Border, Driven, INBOX, MockHost};
use crate::stack::OwnedOutput;

/// A turn with its mailbox and a host that keeps what it is told.
#[derive(Debug)]
pub(crate) struct Driver {
    turn: Turn,
    mailbox: Arc<Mailbox>,
    clock: Arc<ManualClock>,
    host: MockHost,
}

/// Starts an engine behind its driver.
pub(super) fn open(config: Config) -> Result<Driven<Driver>, SettingsError> {
    let clock = Arc::new(ManualClock::new(Micros(1)));
    let limits = Limits {
        inbox_bytes: INBOX,
        ..Limits::default()
    };
    let turn = Turn::new(config, limits, Arc::clone(&clock) as _, || {})?;
    Ok(Driven::new(Driver {
        mailbox: Arc::clone(turn.mailbox()),
        turn,
        clock,
        host: MockHost::default(),
    }))
}

impl Border for Driver {
    fn mtu(&self) -> usize {
        self.turn.engine().config().mtu
    }

    fn frames(&mut self, frames: &[&[u8]]) -> usize {
        self.mailbox.frames(frames.iter().copied())
    }

    fn path_changed(&mut self, change: PathChange) {
        match change {
            PathChange::AddressLost(address) => {
                self.mailbox.address_lost(address);
            }
            _ => self.mailbox.path_changed(),
        }
    }

    fn dialed(&mut self, flow: FlowId, result: DialResult) -> Result<(), Misuse> {
        self.mailbox.dialed(flow, result)
    }

    fn data(&mut self, flow: FlowId, data: &[u8]) -> Result<usize, Misuse> {
        self.mailbox.data(flow, data)
    }

    fn room(&mut self, flow: FlowId) -> Result<usize, Misuse> {
        self.mailbox.room(flow)
    }

    fn datagram(
        &mut self,
        flow: FlowId,
        from: Option<SocketAddr>,
        data: &[u8],
    ) -> Result<bool, Misuse> {
        self.mailbox.datagram(flow, from, data)
    }

    fn ended(&mut self, flow: FlowId, end: RemoteEnd) -> Result<(), Misuse> {
        self.mailbox.ended(flow, end)
    }

    fn set_blocked(&mut self, flow: FlowId, blocked: bool) -> Result<(), Misuse> {
        if blocked {
            self.mailbox.blocked(flow)
        } else {
            self.mailbox.writable(flow)
        }
    }

    fn resolved(&mut self, query: QueryId, resolution: Resolution) {
        // An answer to a query that is no longer open is dropped.
        self.mailbox.resolved(query, resolution);
    }

    fn stop(&mut self, now: Micros) {
        self.clock.set(now);
        self.turn.stop(now, &mut self.host);
    }

    fn turn(&mut self, now: Micros) -> Option<Micros> {
        self.clock.set(now);
        self.turn.run(now, &mut self.host)
    }

    fn deadline(&mut self) -> Option<Deadline> {
        self.turn.deadline()
    }

    fn counters(&self) -> Option<Counters> {
        Some(self.turn.counters())
    }

    fn with_host<T>(&mut self, act: impl FnOnce(&mut MockHost) -> T) -> T {
        act(&mut self.host)
    }

    fn complaints(&self) -> &[String] {
        &self.host.complaints
    }
}

impl Host for MockHost {
    fn frames(&mut self, frames: Frames<'_>) -> usize {
        self.frames(frames.iter())
    }

    fn dial(&mut self, flow: FlowId, key: FlowKey, name: Option<&str>) {
        self.dial(flow, key, name);
    }

    fn data(&mut self, flow: FlowId, bytes: &[u8]) -> usize {
        self.data(flow, bytes)
    }

    fn datagram(&mut self, flow: FlowId, to: SocketAddr, payload: &[u8]) -> bool {
        self.seen
            .push(OwnedOutput::Datagram(flow, to, payload.to_vec()));
        true
    }

    fn half_close(&mut self, flow: FlowId) {
        self.seen.push(OwnedOutput::HalfClose(flow));
    }

    fn resume(&mut self, flow: FlowId, space: usize) {
        self.seen.push(OwnedOutput::Resume(flow, space));
    }

    fn close(&mut self, flow: FlowId, _key: FlowKey, close: Close) {
        self.seen.push(OwnedOutput::Close(flow, close));
    }

    fn dns(&mut self, flow: Option<FlowId>, record: &DnsRecord) {
        self.seen.push(OwnedOutput::Dns(flow, record.clone()));
    }

    fn resolve(&mut self, query: QueryId, name: &str, kind: QueryKind) -> bool {
        self.seen
            .push(OwnedOutput::Resolve(query, name.to_owned(), kind));
        true
    }

    fn log(&mut self, _record: &LogRecord) {}

    fn notice(&mut self, notice: &Notice) {
        self.complaints.push(notice.to_string());
    }
}
