//! `benches times`: nanoseconds of the engine per frame, at few flows and at many, and the floor under them.
//!
//! Only calls of the engine are timed, and what the clock itself adds to each is taken off. Each figure is the
//! difference of two, the second with more of the same, as with instructions, and of each the least of several runs is
//! taken: seconds move with the machine and with what else runs on it. The ratios say more.

use std::hint::black_box;
use std::time::{Duration, Instant};

use replay::load::clock;
use smoltcp::wire::checksum;

use crate::workload::{Done, Workload, run};

/// Runs of each figure.
const RUNS: usize = 5;
/// A packet as the floor takes it.
const PACKET: usize = 1500;
/// Memory that no cache holds.
const BEYOND_CACHES: usize = 256 << 20;

/// A row: a workload, how many flows, the two amounts for each.
type Row = (Workload, usize, (u64, u64));

const ROWS: [Row; 8] = [
    (Workload::BulkUp, 1, (4_000, 40_000)),
    (Workload::BulkDown, 1, (4_000, 40_000)),
    (Workload::ManyUp, 64, (64, 1024)),
    (Workload::ManyUp, 4_096, (2, 16)),
    (Workload::ManyUp, 20_000, (1, 5)),
    (Workload::ManyDown, 64, (64, 1024)),
    (Workload::ManyDown, 4_096, (2, 16)),
    (Workload::ManyDown, 20_000, (1, 5)),
];

/// Prints the table.
///
/// # Errors
/// What was lost, altered or stuck in a run.
pub fn print() -> Result<(), String> {
    println!("floor: {PACKET} bytes             ns");
    for (name, size) in [("in the caches", PACKET), ("out of memory", BEYOND_CACHES)] {
        let (copy, sum) = floor(size);
        println!("  copy, {name:15}   {copy:6.0}");
        println!("  checksum, {name:11}   {sum:6.0}");
    }
    println!();
    println!("workload      flows   ns a frame    times the fewest flows");
    let mut base = (Workload::Idle, 1.0);
    for (workload, flows, shares) in ROWS {
        let each = per_frame(workload, flows, shares)?;
        if base.0 != workload {
            base = (workload, each);
        }
        let (name, times) = (workload.name(), each / base.1);
        println!("{name:12} {flows:6} {each:12.0} {times:22.2}");
    }
    Ok(())
}

/// Nanoseconds of a frame more: the least of several runs with more of the same, less the least of those with less.
fn per_frame(workload: Workload, flows: usize, shares: (u64, u64)) -> Result<f64, String> {
    let overhead = clock::overhead();
    let timed = |share| -> Result<(Duration, Done), String> {
        let mut least = Duration::MAX;
        let mut last = None;
        for _ in 0..RUNS {
            clock::watch();
            let done = run(workload, flows, share);
            let spent = clock::spent();
            let calls = u32::try_from(spent.calls).unwrap_or(u32::MAX);
            least = least.min(spent.time.saturating_sub(overhead * calls));
            last = Some(done?);
        }
        last.map(|done| (least, done)).ok_or_else(String::new)
    };
    let (few, few_done) = timed(shares.0)?;
    let (many, many_done) = timed(shares.1)?;
    let frames = |done: Done| done.frames_in + done.frames_out;
    let more = frames(many_done).saturating_sub(frames(few_done)).max(1);
    Ok(many.saturating_sub(few).as_secs_f64() * 1e9 / more as f64)
}

/// Nanoseconds that a copy of a packet takes, and a checksum over one, with packets side by side in `size` bytes.
fn floor(size: usize) -> (f64, f64) {
    const ROUNDS: usize = 400_000;
    let packets = size / PACKET;
    let source = vec![0x5a_u8; packets * PACKET];
    let mut to = vec![0_u8; PACKET];
    let at = |round: usize| {
        // Far apart, so that no prefetching helps.
        let packet = round.wrapping_mul(7_919) % packets;
        source
            .get(packet * PACKET..)
            .and_then(|rest| rest.get(..PACKET))
            .unwrap_or_default()
    };
    let least = |work: &mut dyn FnMut(usize)| {
        let rounds = ROUNDS / RUNS;
        (0..RUNS)
            .map(|run| {
                let began = Instant::now();
                (run * rounds..(run + 1) * rounds).for_each(&mut *work);
                began.elapsed().as_secs_f64() * 1e9 / rounds as f64
            })
            .fold(f64::INFINITY, f64::min)
    };
    let copy = least(&mut |round| {
        to.copy_from_slice(at(round));
        black_box(&mut to);
    });
    let sum = least(&mut |round| {
        black_box(checksum::data(at(round)));
    });
    (copy, sum)
}
