//! What other stacks are known to get wrong, as facts of the engine; docs/RIVALS.md has their results beside ours, from
//! the same probes on real time. Here time is virtual, and every byte is verified.

use std::collections::{BTreeMap, VecDeque};

use engine::{Config, DialResult, Engine, FlowId, FrameBatch, Micros, Output, RemoteEnd};
use replay::load::{Device, FlowPlan, Pattern, Side, downstream, upstream};

/// Bytes that a far side writes at a time.
const PIECE: usize = 8 << 10;
/// Turns without anything to do after which a probe is over.
const MOST_WAITS: usize = 10_000;

/// What is out of the ordinary.
#[derive(Clone, Copy, Debug, Default)]
struct Manner {
    double_syn: bool,
    swaps: usize,
    never_reads: bool,
    late: Option<u64>,
}

/// The far end of a flow.
struct FarEnd {
    number: u64,
    plan: FlowPlan,
    got: u64,
    sent: u64,
    device_ended: bool,
    ended: bool,
    answers_at: Option<Micros>,
}

struct World {
    engine: Engine,
    device: Device,
    pattern: Pattern,
    manner: Manner,
    now: Micros,
    said: FrameBatch,
    frames: FrameBatch,
    in_order: usize,
    fars: BTreeMap<FlowId, FarEnd>,
    ready: VecDeque<FlowId>,
    dials: usize,
    closes: usize,
    troubles: Vec<String>,
}

fn world(mtu: usize, plans: &[FlowPlan], manner: Manner) -> World {
    let config = Config {
        mtu,
        tcp_limit: 2048,
        seed: Some(1),
        ..Config::default()
    };
    let mut device = Device::new(mtu);
    device.add(plans.iter().copied());
    World {
        engine: Engine::new(config).expect("settings within bounds"),
        device,
        pattern: Pattern::default(),
        manner,
        now: Micros::from_secs(1),
        said: FrameBatch::new(),
        frames: FrameBatch::new(),
        in_order: 0,
        fars: BTreeMap::new(),
        ready: VecDeque::new(),
        dials: 0,
        closes: 0,
        troubles: Vec::new(),
    }
}

impl World {
    /// Runs until the device is done, or nothing moves any more.
    fn run(&mut self) {
        self.run_until(|world| world.device.is_done());
        // The last acknowledgements are on their way.
        while self.turn() {}
    }

    fn run_until(&mut self, mut done: impl FnMut(&mut Self) -> bool) {
        let mut waits = 0;
        while !done(self) && waits < MOST_WAITS {
            if self.turn() || self.device.quiet() {
                continue;
            }
            waits += 1;
            if !self.wait() {
                return;
            }
        }
    }

    fn turn(&mut self) -> bool {
        self.device.emit(self.now, 64, &mut self.said);
        let mut moved = !self.said.is_empty() || !self.frames.is_empty();
        self.tamper();
        self.engine
            .handle_frames(self.now, self.frames.take(usize::MAX));
        moved |= self.drain();
        for _ in 0..64 {
            let Some(flow) = self.ready.pop_front() else {
                break;
            };
            self.send(flow);
            moved = true;
        }
        moved
    }

    fn tamper(&mut self) {
        let Self {
            manner,
            said,
            frames,
            in_order,
            ..
        } = self;
        let mut each = said.take(usize::MAX).into_iter();
        while let Some(frame) = each.next() {
            *in_order += 1;
            if manner.swaps > 0
                && *in_order >= manner.swaps
                && let Some(next) = each.next()
            {
                *in_order = 0;
                frames.push(next);
            }
            frames.push(frame);
            if manner.double_syn && frame.get(33) == Some(&2) {
                frames.push(frame);
            }
        }
    }

    fn drain(&mut self) -> bool {
        let (mut any, mut dialed) = (false, Vec::new());
        while let Some(output) = self.engine.poll_output(self.now) {
            any = true;
            match output {
                Output::Frames(frames) => {
                    for frame in frames {
                        self.device.receive(self.now, frame);
                    }
                }
                Output::Dial { flow, key, .. } => dialed.push((flow, key.client.port())),
                Output::Data { flow, bytes } => {
                    if self.manner.never_reads {
                        bytes.took(0);
                        continue;
                    }
                    let Some(far) = self.fars.get_mut(&flow) else {
                        continue;
                    };
                    for part in bytes.took_all().chunks(32_768) {
                        if !self.pattern.holds(upstream(far.number), far.got, part) {
                            self.troubles.push(format!("bytes from {} on", far.got));
                        }
                        far.got += part.len() as u64;
                    }
                    self.ready.push_back(flow);
                }
                Output::HalfClose { flow } => {
                    if let Some(far) = self.fars.get_mut(&flow) {
                        far.device_ended = true;
                        far.answers_at = self.manner.late.map(|late| Micros(self.now.0 + late));
                        self.ready.push_back(flow);
                    }
                }
                Output::Resume { flow, .. } => self.ready.push_back(flow),
                Output::Close { flow, .. } => {
                    self.closes += 1;
                    self.fars.remove(&flow);
                }
                _ => {}
            }
        }
        for (flow, port) in dialed {
            self.dials += 1;
            let number = self.device.flow_on(port).expect("a port of the device's");
            let plan = *self.device.plan(number).expect("a plan of the device's");
            self.engine
                .dial_result(self.now, flow, DialResult::Connected)
                .expect("a flow that was dialed just now");
            let far = FarEnd {
                number,
                plan,
                got: 0,
                sent: 0,
                device_ended: false,
                ended: false,
                answers_at: None,
            };
            self.fars.insert(flow, far);
            self.ready.push_back(flow);
        }
        any
    }

    /// What a far side sends now, and whether it ends.
    fn send(&mut self, flow: FlowId) {
        let Some(far) = self.fars.get_mut(&flow) else {
            return;
        };
        if self.manner.late.is_some() && far.answers_at.is_none_or(|at| at > self.now) {
            return;
        }
        let left = (far.plan.down - far.sent).min(PIECE as u64) as usize;
        if left > 0 {
            let bytes = self.pattern.slice(downstream(far.number), far.sent, left);
            let taken = self
                .engine
                .remote_data(self.now, flow, bytes)
                .expect("the flow is open");
            far.sent += taken as u64;
            if taken == left {
                self.ready.push_back(flow);
            }
            return;
        }
        let turn = match far.plan.closes_first {
            Side::Device => far.device_ended,
            Side::Remote => far.got == far.plan.up,
        };
        if turn && !far.ended && !far.plan.stays_open {
            far.ended = true;
            self.engine
                .remote_closed(self.now, flow, RemoteEnd::Eof)
                .expect("the flow is open");
        }
    }

    fn wait(&mut self) -> bool {
        let late = self.fars.values().filter(|far| !far.ended);
        let late = late.filter_map(|far| far.answers_at).min();
        let engine = self.engine.poll_timeout().map(|deadline| deadline.at);
        let next = [engine, self.device.deadline(), late];
        let Some(at) = next.into_iter().flatten().min() else {
            return false;
        };
        self.now = self.now.max(at);
        self.engine.handle_timeout(self.now);
        self.device.timeout(self.now, &mut self.said);
        let now = self.now;
        let due = self
            .fars
            .iter()
            .filter(|(_, far)| !far.ended && far.answers_at.is_some_and(|at| at <= now));
        self.ready.extend(due.map(|(flow, _)| *flow));
        true
    }

    /// Every byte of every flow arrived, and every flow has closed on both sides.
    #[track_caller]
    fn assert_whole(&self, flows: usize) {
        let troubles = self.device.troubles();
        assert!(troubles.is_empty(), "{troubles:?}");
        assert!(self.troubles.is_empty(), "{:?}", self.troubles);
        let totals = self.device.totals();
        assert_eq!((totals.served, totals.resets), (flows as u64, 0));
        assert_eq!(self.closes, flows, "closes toward the dialer");
    }
}

#[test]
fn a_duplicate_syn_is_one_dial() {
    let manner = Manner {
        double_syn: true,
        ..Manner::default()
    };
    let mut world = world(1500, &[FlowPlan::new(5000, 5000); 50], manner);
    world.run();
    assert_eq!(world.dials, 50);
    world.assert_whole(50);
}

#[test]
fn a_dialer_that_never_reads_holds_the_device_back() {
    let manner = Manner {
        never_reads: true,
        ..Manner::default()
    };
    let mut world = world(1500, &[FlowPlan::new(64 << 20, 0)], manner);
    let until = Micros(world.now.0 + 5_000_000);
    let mut frames = 0;
    world.run_until(|world| {
        frames = frames.max(world.engine.counters().frames_in);
        world.now >= until
    });
    let ring = world.engine.config().rx_ring() as u64;
    let received = frames * 1460;
    // The ring, probes of the window, and what was sent again: not the stream.
    assert!(received >= ring / 2, "{received} bytes came at all");
    assert!(
        received < 20 * ring,
        "{received} bytes for a ring of {ring}"
    );
    assert!(world.device.troubles().is_empty());
}

#[test]
fn a_fin_on_the_last_segment_with_text_is_taken_at_once() {
    let plan = FlowPlan {
        fin_with_data: true,
        ..FlowPlan::new(1000, 0)
    };
    let mut world = world(1500, &[plan; 100], Manner::default());
    world.run();
    world.assert_whole(100);
    assert_eq!(world.device.totals().retransmissions, 0);
}

#[test]
fn a_late_answer_arrives_after_the_device_ended_its_stream() {
    let plan = FlowPlan {
        ends_early: true,
        ..FlowPlan::new(200, 5000)
    };
    let manner = Manner {
        late: Some(50_000),
        ..Manner::default()
    };
    let mut world = world(1500, &[plan; 100], manner);
    world.run();
    world.assert_whole(100);
}

#[test]
fn a_dialer_that_speaks_first_is_heard() {
    let mut world = world(1500, &[FlowPlan::new(0, 5000); 50], Manner::default());
    world.run();
    world.assert_whole(50);
}

#[test]
fn segments_out_of_order_arrive_in_order() {
    let manner = Manner {
        swaps: 64,
        ..Manner::default()
    };
    let mut world = world(1500, &[FlowPlan::new(4 << 20, 0)], manner);
    world.run();
    world.assert_whole(1);
}

#[test]
fn the_device_may_close_first() {
    let mut world = world(1500, &[FlowPlan::new(200, 1000); 1000], Manner::default());
    world.run();
    world.assert_whole(1000);
    assert!(world.fars.is_empty());
}

#[test]
fn the_dialer_may_close_first() {
    let plan = FlowPlan {
        closes_first: Side::Remote,
        ..FlowPlan::new(200, 1000)
    };
    let mut world = world(1500, &[plan; 1000], Manner::default());
    world.run();
    world.assert_whole(1000);
    assert!(world.fars.is_empty());
}

#[test]
fn frames_of_9000_bytes_carry_both_streams() {
    let mut world = world(9000, &[FlowPlan::new(4 << 20, 4 << 20)], Manner::default());
    world.run();
    world.assert_whole(1);
}

#[test]
fn a_thousand_downloads_at_once_all_arrive() {
    let mut world = world(1500, &[FlowPlan::new(0, 64 << 10); 1000], Manner::default());
    world.run();
    world.assert_whole(1000);
}
