//! The replay toolkit: reading packets and lines, importing, running, a whole capture.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Duration;

use benches::capture;
use benches::frames::frame;
use criterion::{Criterion, Throughput};
use replay::capture::import::{ImportOptions, import};
use replay::notation::Line;
use replay::packet::{Packet, TCP};
use replay::verdict::attempt::{FlowVerdict, TryOptions, try_capture};
use replay::verdict::run::{RunOptions, run_file};

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(10)
        .configure_from_args();
    packets(&mut criterion);
    imports(&mut criterion);
    runs(&mut criterion);
    whole_capture(&mut criterion);
    criterion.final_summary();
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A full segment with its checksums, and a line.
fn packets(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("checker");
    let line = "+.1 > get P. 1:1461(1460) ack 79 win 512 <nop,nop,sack 1:5>";
    let segment = frame(line, TCP, 0).expect("a frame");
    group.throughput(Throughput::Bytes(segment.len() as u64));
    group.bench_function("packet", |bencher| {
        bencher.iter(|| {
            let packet = Packet::whole(black_box(&segment)).expect("a packet");
            packet.checksums().are_sound()
        });
    });
    group.throughput(Throughput::Elements(1));
    group.bench_function("line", |bencher| {
        bencher.iter(|| Line::parse(black_box(line)).expect("a line"));
    });
    group.finish();
}

fn imports(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("import");
    let name = "captures/http/parallel_connections.pcapng";
    let path = repository().join(name);
    group.bench_function("five_connections", |bencher| {
        bencher.iter(|| import(&path, name, &ImportOptions::default()).expect("a capture"));
    });
    group.finish();
}

/// Scenarios from file to verdict: each is run twice.
fn runs(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("run");
    for (name, file) in [
        ("capture", "http/get.json"),
        ("lines", "engine/data/bytes_go_both_ways.json"),
    ] {
        let path = repository().join("expectations").join(file);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let outcomes = run_file(&path, &RunOptions::default());
                assert!(outcomes.iter().all(|outcome| outcome.passed()));
            });
        });
    }
    group.finish();
}

/// `replay try` on 1 MiB in 50 downloads.
fn whole_capture(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("downloads.pcap");
    let mut bytes = Vec::new();
    let packets = capture::write(&mut bytes, 50, 14).expect("a capture");
    std::fs::write(&path, bytes).expect("a file");
    let mut group = criterion.benchmark_group("try");
    group.throughput(Throughput::Elements(packets));
    group.bench_function("50_downloads", |bencher| {
        bencher.iter(|| {
            let tried = try_capture(&path, &TryOptions::default()).expect("a capture");
            let passed =
                |flow: &replay::verdict::attempt::FlowAttempt| flow.verdict == FlowVerdict::Pass;
            assert!(tried.flows.len() == 50 && tried.flows.iter().all(passed));
        });
    });
    group.finish();
}
