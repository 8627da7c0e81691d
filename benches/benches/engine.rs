//! The engine: parsing, demultiplexing, streams both ways, datagrams, connections, timers.
//!
//! Workloads with streams have the device and the far side of `replay::load` in what is measured: they verify every byte.

use std::hint::black_box;
use std::time::Duration;

use benches::frames::frame;
use benches::workload::{Workload, config, run, session};
use criterion::{BenchmarkId, Criterion, Throughput};
use engine::{Config, DialResult, Engine, FlowId, Micros, Output};
use replay::packet::{TCP, UDP};

/// Frames of a batch.
const BATCH: usize = 64;
const SEGMENT: u64 = 1460;

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(10)
        .configure_from_args();
    parse(&mut criterion);
    demux(&mut criterion);
    streams(&mut criterion);
    datagrams(&mut criterion);
    connections(&mut criterion);
    timers(&mut criterion);
    criterion.final_summary();
}

fn engine(mut config: Config) -> Engine {
    config.seed = Some(1);
    Engine::new(config).expect("settings")
}

/// Takes everything that comes out, and answers dials; says how many datagrams there were.
fn drain(engine: &mut Engine, now: Micros, answer: DialResult, dials: &mut Vec<FlowId>) -> u64 {
    let mut datagrams = 0;
    loop {
        while let Some(output) = engine.poll_output(now) {
            match output {
                Output::Dial { flow, .. } => dials.push(flow),
                Output::Datagram { payload, .. } => datagrams += u64::from(!payload.is_empty()),
                other => {
                    black_box(&other);
                }
            }
        }
        if dials.is_empty() {
            return datagrams;
        }
        for flow in dials.drain(..) {
            let answered = engine.dial_result(now, flow, answer);
            answered.expect("the flow waits for it");
        }
    }
}

/// Lengths and checksums of full segments, all of them wrong in their last byte.
fn parse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse");
    group.throughput(Throughput::Elements(BATCH as u64));
    let mut wrong = frame("0 < get P. 1:1461(1460) ack 1", TCP, 0).expect("a frame");
    *wrong.last_mut().expect("a byte") ^= 1;
    let batch = vec![wrong.as_slice(); BATCH];
    let mut refusing = engine(config(BATCH));
    let now = Micros(1);
    group.bench_function("refused_by_checksum", |bencher| {
        bencher.iter(|| {
            refusing.handle_frames(now, batch.iter().copied());
            assert!(refusing.poll_output(now).is_none());
        });
    });
    let counters = refusing.counters();
    assert!(counters.frames_in >= BATCH as u64 && counters.taken_text == 0);
    group.finish();
}

/// One byte for each of 64 flows in turn, of so many.
fn demux(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("demux");
    group.throughput(Throughput::Elements(BATCH as u64));
    for flows in [64, 1024, 16_384] {
        let frames: Vec<Vec<u8>> = (0..flows)
            .map(|flow| frame("0 < get udp 1", UDP, flow).expect("a frame"))
            .collect();
        let mut full = engine(config(flows));
        let now = Micros(1);
        let mut dials = Vec::new();
        for batch in frames.chunks(BATCH) {
            full.handle_frames(now, batch.iter().map(Vec::as_slice));
            drain(&mut full, now, DialResult::Connected, &mut dials);
        }
        let mut batches = frames.chunks(BATCH).cycle();
        group.bench_function(BenchmarkId::from_parameter(flows), |bencher| {
            bencher.iter(|| {
                let batch = batches.next().expect("a batch");
                full.handle_frames(now, batch.iter().map(Vec::as_slice));
                let relayed = drain(&mut full, now, DialResult::Connected, &mut dials);
                assert_eq!(relayed, BATCH as u64);
            });
        });
    }
    group.finish();
}

/// 4 MiB in full segments, over one flow and over many.
fn streams(criterion: &mut Criterion) {
    for (name, one, many) in [
        ("ingress", Workload::BulkUp, Workload::ManyUp),
        ("egress", Workload::BulkDown, Workload::ManyDown),
    ] {
        let mut group = criterion.benchmark_group(name);
        for (workload, flows) in [(one, 1), (many, 256)] {
            let share = (4 << 20) / SEGMENT / flows;
            group.throughput(Throughput::Bytes(share * flows * SEGMENT));
            group.bench_function(BenchmarkId::from_parameter(flows), |bencher| {
                bencher.iter(|| run(workload, flows as usize, share).expect("whole streams"));
            });
        }
        group.finish();
    }
}

/// 6,400 datagrams of 512 bytes and their echoes, over 64 flows.
fn datagrams(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("udp_relay");
    group.throughput(Throughput::Elements(2 * 64 * 100));
    group.bench_function("64", |bencher| {
        bencher.iter(|| run(Workload::Udp, 64, 100).expect("every datagram"));
    });
    group.finish();
}

/// Dials that fail, and short connections from SYN to the end.
fn connections(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("dial");
    group.throughput(Throughput::Elements(BATCH as u64));
    let syns: Vec<Vec<u8>> = (0..BATCH)
        .map(|flow| frame("0 < get S 0:0(0) win 65535 <mss 1460>", TCP, flow).expect("a frame"))
        .collect();
    let mut refusing = engine(config(BATCH));
    let mut dials = Vec::new();
    let mut now = Micros(1);
    group.bench_function("refused", |bencher| {
        bencher.iter(|| {
            // The tombstones of the last time are gone by then.
            now = now.plus(Duration::from_secs(300));
            refusing.handle_timeout(now);
            refusing.handle_frames(now, syns.iter().map(Vec::as_slice));
            drain(&mut refusing, now, DialResult::Refused, &mut dials);
        });
    });
    let counters = refusing.counters();
    assert_eq!(counters.tcp_dials, counters.tcp_dial_fail);
    assert!(counters.tcp_dials >= BATCH as u64);
    group.finish();

    let mut group = criterion.benchmark_group("churn");
    group.throughput(Throughput::Elements(64 * 20));
    for workload in [Workload::Churn, Workload::ChurnRemote] {
        group.bench_function(workload.name(), |bencher| {
            bencher.iter(|| run(workload, 64, 20).expect("every connection"));
        });
    }
    group.finish();
}

/// A look at the clock while nothing moves.
fn timers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("timers");
    for flows in [0, 10_000] {
        let mut idle = session(Workload::Idle, flows, 0).expect("a session");
        idle.run_while(|session| !session.device.is_done())
            .expect("every handshake");
        while idle.turn() {}
        let mut now = idle.now();
        group.bench_function(BenchmarkId::from_parameter(flows), |bencher| {
            bencher.iter(|| {
                now = now.plus(Duration::from_micros(1));
                idle.engine.handle_timeout(now);
                assert!(idle.engine.poll_output(now).is_none());
                idle.engine.poll_timeout()
            });
        });
    }
    group.finish();
}
