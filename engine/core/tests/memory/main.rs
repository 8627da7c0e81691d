//! What the engine's flows cost in heap, counted by the allocator: at the default settings 128 TCP and 128 UDP
//! flows, every ring and queue full, stay within 8 MB, and after they have closed the memory is given back.

#[path = "../support/mod.rs"]
mod support;

mod idle;
mod steady;

use core::time::Duration;

use engine::{Config, DialResult, Engine, FlowId, Micros, Output, Proto};
use support::{Device, Family, Packet, Tcp, Udp, heap};

#[global_allocator]
static HEAP: heap::CountingHeap = heap::CountingHeap;

const FLOWS: u16 = 128;

/// The default settings.
fn seeded() -> Config {
    Config {
        seed: Some(1),
        ..Config::default()
    }
}

/// An engine whose allocations are told apart from the test's own.
struct Metered {
    engine: Engine,
    now: Micros,
    /// Bytes the engine holds, and the most it ever held between two calls.
    held: isize,
    peak: isize,
}

impl Metered {
    fn new() -> Self {
        let before = heap::held();
        let engine = Engine::new(seeded()).expect("sound settings");
        let held = heap::held() - before;
        Self {
            engine,
            now: Micros::from_secs(1000),
            held,
            peak: held,
        }
    }

    fn call<R>(&mut self, call: impl FnOnce(&mut Engine, Micros) -> R) -> R {
        let before = heap::held();
        let _ = heap::take_peak();
        let result = call(&mut self.engine, self.now);
        self.peak = self.peak.max(self.held + heap::take_peak() - before);
        self.held += heap::held() - before;
        result
    }

    /// Everything the engine has to say; a dialer that takes nothing. Dials, and segments for the device.
    fn drain(&mut self) -> (Vec<(FlowId, Proto)>, Vec<Tcp>) {
        let (mut dials, mut segments) = (Vec::new(), Vec::new());
        loop {
            let before = heap::held();
            let Some(output) = self.engine.poll_output(self.now) else {
                self.held += heap::held() - before;
                return (dials, segments);
            };
            self.held += heap::held() - before;
            match output {
                Output::Dial { flow, key, .. } => dials.push((flow, key.proto)),
                Output::Data { bytes, .. } => _ = bytes.took(0),
                Output::Frames(frames) => {
                    for frame in frames {
                        if let Packet::Tcp(segment) = Packet::read(frame) {
                            segments.push(segment);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn feed(&mut self, frame: &[u8]) -> (Vec<(FlowId, Proto)>, Vec<Tcp>) {
        self.call(|engine, now| engine.handle_frames(now, [frame]));
        self.drain()
    }
}

fn tcp_flow(metered: &mut Metered, port: u16) -> FlowId {
    let mut device = Device::on_port(Family::V6, port, 443);
    let (dials, _) = metered.feed(&device.syn());
    let flow = dials[0].0;
    metered
        .call(|engine, now| engine.dial_result(now, flow, DialResult::Connected))
        .expect("a pending dial");
    let (_, segments) = metered.drain();
    segments.iter().for_each(|segment| device.take(segment));
    metered.feed(&device.ack());
    // The dialer takes nothing: the receive ring fills, with a hole before its last segment.
    for _ in 0..11 {
        let frame = device.data(&[7; 1400]);
        metered.feed(&frame);
    }
    let _lost = device.data(&[8; 400]);
    let frame = device.data(&[9; 400]);
    metered.feed(&frame);
    // The device acknowledges nothing: the transmit ring fills.
    let bytes = vec![5; 100_000];
    let taken = metered
        .call(|engine, now| engine.remote_data(now, flow, &bytes))
        .expect("an open flow");
    assert!(taken >= 16_384 && taken < bytes.len(), "the ring is full");
    metered.drain();
    flow
}

/// A UDP flow whose queue toward the dialer is full.
fn udp_flow(metered: &mut Metered, port: u16) -> FlowId {
    let udp = Udp::new(Family::V6, port, 4433);
    let frame = udp.send(&[3; 1200]);
    let (dials, _) = metered.feed(&frame);
    for _ in 0..100 {
        metered.feed(&frame);
    }
    dials[0].0
}

#[test]
fn full_flows_at_the_default_limits_stay_within_eight_megabytes() {
    let mut metered = Metered::new();
    let start = metered.held;
    let mut flows: Vec<FlowId> = (0..FLOWS)
        .map(|at| tcp_flow(&mut metered, 20_000 + at))
        .collect();
    let tcp = metered.held - start;
    flows.extend((0..FLOWS).map(|at| udp_flow(&mut metered, 30_000 + at)));
    let counters = metered.engine.counters();
    assert_eq!((counters.tcp_flows, counters.udp_flows), (128, 128));
    assert!(
        counters.udp_backpressure_drops > 0,
        "the UDP queues are full"
    );
    println!(
        "128 TCP flows hold {tcp} bytes, with 128 UDP flows {}; peak {}",
        metered.held, metered.peak
    );
    assert!(metered.peak <= 8_000_000, "peak {}", metered.peak);
}

#[test]
fn memory_returns_to_the_start_after_all_flows_have_closed() {
    let mut metered = Metered::new();
    let mut after = Vec::new();
    for round in 0..4u16 {
        for at in 0..FLOWS {
            tcp_flow(&mut metered, 20_000 + 128 * round + at);
            udp_flow(&mut metered, 30_000 + 128 * round + at);
        }
        // Every limit passes; nobody answers.
        for _ in 0..100 {
            let Some(deadline) = metered.call(|engine, _| engine.poll_timeout()) else {
                break;
            };
            metered.now = metered.now.max(deadline.at).plus(Duration::from_secs(600));
            metered.call(Engine::handle_timeout);
            metered.drain();
        }
        let counters = metered.engine.counters();
        assert_eq!((counters.tcp_flows, counters.udp_flows), (0, 0));
        after.push(metered.held);
    }
    println!("held after each round: {after:?}");
    // What stays is the capacity of tables and arenas, once; no flow is left in it, and no round adds to it.
    assert!(after[0] < 600_000, "{after:?}");
    assert!(after[3] <= after[1], "{after:?}");
}
