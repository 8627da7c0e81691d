//! An engine with a loop and a real dialer, and a device that answers every segment.

use std::net::SocketAddr;
use std::sync::Arc;

use engine::{
    Close, Config, DnsRecord, FlowId, FlowKey, Frames, How, LogRecord, Martians, UdpFiltering,
    UdpMapping,
};
use engine_driver::dialer::Options;
use engine_driver::{
    BootClock, Handle, Host, Limits, Loop, Mailbox, Notice, Snapshot, TokioDialer,
};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::support::{Device, Family, Packet};

pub(crate) struct Wired {
    pub(crate) dialer: TokioDialer,
    frames: mpsc::UnboundedSender<Vec<u8>>,
    closes: mpsc::UnboundedSender<How>,
}

impl Host for Wired {
    fn frames(&mut self, frames: Frames<'_>) -> usize {
        for frame in frames {
            // A test that has seen enough has dropped its end.
            let _ = self.frames.send(frame.to_vec());
        }
        frames.len()
    }

    fn dial(&mut self, flow: FlowId, key: FlowKey, _name: Option<&str>) {
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
        let _ = self.closes.send(close.how);
        self.dialer.close(flow, close);
    }

    fn dns(&mut self, _flow: Option<FlowId>, _record: &DnsRecord) {}

    fn log(&mut self, _record: &LogRecord) {}

    fn notice(&mut self, notice: &Notice) {
        panic!("{notice}");
    }
}

pub(crate) struct Scene {
    pub(crate) handle: Handle,
    pub(crate) frames: mpsc::UnboundedReceiver<Vec<u8>>,
    pub(crate) closes: mpsc::UnboundedReceiver<How>,
    task: JoinHandle<(Wired, Box<Snapshot>)>,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self::with(Options::default(), Limits::default())
    }

    pub(crate) fn with(options: Options, limits: Limits) -> Self {
        let mut config = Config {
            martians: Martians::Admit,
            tcp_limit: 4096,
            udp_mapping: options.udp_mapping,
            ..Config::default()
        };
        if config.udp_mapping == UdpMapping::EndpointIndependent {
            config.udp_filtering = UdpFiltering::EndpointIndependent;
        }
        let (frames, heard) = mpsc::unbounded_channel();
        let (closes, ended) = mpsc::unbounded_channel();
        let engine = Loop::new(config, limits, Arc::new(BootClock::new()), |mailbox| {
            Wired {
                dialer: TokioDialer::new(Arc::clone(mailbox), options),
                frames,
                closes,
            }
        });
        let engine = engine.expect("sound settings");
        Self {
            handle: engine.handle(),
            frames: heard,
            closes: ended,
            task: tokio::spawn(engine.run()),
        }
    }

    pub(crate) fn mailbox(&self) -> &Mailbox {
        self.handle.mailbox()
    }

    pub(crate) fn frame(&self, frame: &[u8]) {
        assert!(self.mailbox().frame(frame), "the ring has room");
    }

    /// The next frame for the device, taken in and acknowledged.
    pub(crate) async fn step(&mut self, device: &mut Device) {
        let frame = self.frames.recv().await.expect("the loop runs");
        let Packet::Tcp(segment) = Packet::read(&frame) else {
            panic!("a segment was due");
        };
        device.take(&segment);
        if segment.end() != segment.seq && !device.received_rst {
            self.frame(&device.ack());
        }
    }

    pub(crate) async fn until(&mut self, device: &mut Device, done: impl Fn(&Device) -> bool) {
        while !done(device) {
            self.step(device).await;
        }
    }

    /// A device whose connection to `server` stands.
    #[allow(dead_code, reason = "each test binary uses its own part")]
    pub(crate) async fn open(&mut self, server: SocketAddr) -> Device {
        let mut device = self.device(server);
        self.frame(&device.syn());
        self.until(&mut device, |device| device.received_syn > 0)
            .await;
        device
    }

    pub(crate) fn device(&self, server: SocketAddr) -> Device {
        let family = if server.is_ipv4() {
            Family::V4
        } else {
            Family::V6
        };
        let mut device = Device::new(family);
        device.remote = server;
        device
    }

    /// Stops the loop and the dialer; the last numbers.
    pub(crate) async fn stop(self) -> Box<Snapshot> {
        self.handle.stop();
        let (wired, snapshot) = self.task.await.expect("no panic");
        assert!(wired.dialer.is_empty(), "every flow was closed");
        wired.dialer.stop().await;
        assert_eq!(snapshot.counters.broken_law(), None);
        snapshot
    }
}

pub(crate) async fn listen(address: &str) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(address).await.expect("a free port");
    let at = listener.local_addr().expect("an address");
    (listener, at)
}
