//! The host of a live session: the TUN on one side, the dialer on the other.

use std::net::SocketAddr;
use std::sync::Arc;

use engine::{Close, DnsRecord, FlowId, FlowKey, Frames, LogRecord};
use engine_driver::{Host, Notice, TokioDialer, Tun};

use super::watch::Board;

/// Passes on the engine's outputs.
pub(crate) struct Station {
    dialer: TokioDialer,
    tun: Tun,
    board: Arc<Board>,
}

impl Station {
    pub(crate) fn new(dialer: TokioDialer, tun: Tun, board: Arc<Board>) -> Self {
        Self { dialer, tun, board }
    }

    /// Waits until the last socket is closed; how many datagrams the dialer took in vain.
    pub(crate) async fn stop(self) -> u64 {
        let lost = self.dialer.datagrams_lost();
        self.dialer.stop().await;
        lost
    }
}

impl Host for Station {
    fn frames(&mut self, frames: Frames<'_>) -> usize {
        self.tun.write(frames)
    }

    fn dial(&mut self, flow: FlowId, key: FlowKey, name: Option<&str>) {
        self.board.named(flow, name);
        self.dialer.dial(flow, key);
    }

    fn data(&mut self, flow: FlowId, bytes: &[u8]) -> usize {
        self.dialer.data(flow, bytes)
    }

    fn datagram(&mut self, flow: FlowId, to: SocketAddr, payload: &[u8]) -> bool {
        self.dialer.datagram(flow, to, payload)
    }

    fn half_close(&mut self, flow: FlowId) {
        self.dialer.half_close(flow);
    }

    fn resume(&mut self, flow: FlowId, _space: usize) {
        self.dialer.resume(flow);
    }

    fn close(&mut self, flow: FlowId, _key: FlowKey, close: Close) {
        self.dialer.close(flow, close);
    }

    fn dns(&mut self, _flow: Option<FlowId>, record: &DnsRecord) {
        self.board.answered(record);
    }

    fn log(&mut self, _record: &LogRecord) {}

    fn notice(&mut self, notice: &Notice) {
        self.board.noticed(notice);
    }
}
