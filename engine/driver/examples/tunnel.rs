//! A complete tunnel on Linux: what an app sends into a TUN goes out by real sockets. Needs root.
//!
//!     cargo run -p engine-driver --features dialer,tun --example tunnel -- tun0
//!     ip address add 10.9.0.1/24 dev tun0; ip link set tun0 up; ip route add 192.0.2.0/24 dev tun0

use std::net::SocketAddr;
use std::sync::Arc;

use engine::{Close, Config, FlowId, FlowKey, Frames};
use engine_driver::dialer::Options;
use engine_driver::{BootClock, Host, Limits, Loop, TokioDialer, Tun};

struct Tunnel(Tun, TokioDialer);

impl Host for Tunnel {
    fn frames(&mut self, frames: Frames<'_>) -> usize {
        self.0.write(frames)
    }
    fn dial(&mut self, flow: FlowId, key: FlowKey, _name: Option<&str>) {
        self.1.dial(flow, key);
    }
    fn data(&mut self, flow: FlowId, bytes: &[u8]) -> usize {
        self.1.data(flow, bytes)
    }
    fn datagram(&mut self, flow: FlowId, to: SocketAddr, payload: &[u8]) -> bool {
        self.1.datagram(flow, to, payload)
    }
    fn half_close(&mut self, flow: FlowId) {
        self.1.half_close(flow);
    }
    fn resume(&mut self, flow: FlowId, _space: usize) {
        self.1.resume(flow);
    }
    fn close(&mut self, flow: FlowId, _key: FlowKey, close: Close) {
        self.1.close(flow, close);
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = std::env::args().nth(1).unwrap_or_else(|| "tun0".to_owned());
    let tun = Tun::open(&name, None, true)?;
    let config = Config {
        mtu: tun.mtu().into(),
        ..Config::desktop()
    };
    let clock = Arc::new(BootClock::new());
    let engine = Loop::new(config, Limits::desktop(), clock, |mailbox| {
        let dialer = TokioDialer::new(Arc::clone(mailbox), Options::default());
        Tunnel(tun.clone(), dialer)
    })?;
    let handle = engine.handle();
    tokio::select! {
        ended = tun.read_into(handle.mailbox()) => ended?,
        _ = engine.run() => {}
    }
    Ok(())
}
