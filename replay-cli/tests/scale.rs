//! What `try` and `run` cost grows as their input does: counted in allocations, their most bytes, and steps, on one size and
//! on twice that.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use replay::verdict::attempt::{FlowVerdict, TryOptions, try_capture};
use replay::verdict::run::{RunOptions, run_file};

/// The system's allocator, counting.
struct Counting;

static CALLS: AtomicU64 = AtomicU64::new(0);
static HELD: AtomicU64 = AtomicU64::new(0);
static PEAK: AtomicU64 = AtomicU64::new(0);

#[global_allocator]
static HEAP: Counting = Counting;

// SAFETY: every call goes to the system's allocator unchanged; the counting beside it allocates nothing.
#[expect(
    unsafe_code,
    reason = "GlobalAlloc is an unsafe trait; there is no other way to count the heap"
)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        let size = layout.size() as u64;
        let held = HELD.fetch_add(size, Ordering::Relaxed) + size;
        PEAK.fetch_max(held, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size() as u64, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// What something cost.
#[derive(Clone, Copy, Debug)]
struct Cost {
    calls: u64,
    /// The most bytes held at a time beyond those before.
    count: u64,
    steps: u64,
}

/// One test at a time: the counts are of the process.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn cost(work: impl FnOnce() -> u64) -> Cost {
    let (calls, held) = (CALLS.load(Ordering::Relaxed), HELD.load(Ordering::Relaxed));
    PEAK.store(held, Ordering::Relaxed);
    let steps = work();
    Cost {
        calls: CALLS.load(Ordering::Relaxed) - calls,
        count: PEAK.load(Ordering::Relaxed) - held,
        steps,
    }
}

/// A packet of IPv4 without options; checksums are left to offload where they may be.
fn ipv4(from: [u8; 4], to: [u8; 4], protocol: u8, transport: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + transport.len()).unwrap();
    let mut packet = vec![0x45, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([0, 1, 0x40, 0, 64, protocol, 0, 0]);
    packet.extend(from);
    packet.extend(to);
    let words = packet
        .chunks(2)
        .map(|word| u32::from(word[0]) << 8 | u32::from(word[1]));
    let sum: u32 = words.sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend(transport);
    packet
}

fn tcp(ports: [u16; 2], numbers: [u32; 2], flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut segment: Vec<u8> = ports.iter().flat_map(|port| port.to_be_bytes()).collect();
    segment.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
    segment.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    segment.extend(payload);
    segment
}

const SYN: u8 = 2;
const SYN_ACK: u8 = 18;
const ACK: u8 = 16;
const SERVER: [u8; 4] = [1, 2, 3, 4];

fn client(nth: u32) -> [u8; 4] {
    let [_, a, b, c] = nth.to_be_bytes();
    [10, a, b, c]
}

/// Writes packets with their times, seconds, as a capture of raw IP.
fn capture(packets: impl Iterator<Item = (u32, Vec<u8>)>) -> tempfile::NamedTempFile {
    let mut bytes: Vec<u8> = Vec::new();
    let header = [0xa1b2_c3d4_u32, 4 << 16 | 2, 0, 0, 65_535, 101];
    bytes.extend(header.iter().flat_map(|word| word.to_le_bytes()));
    for (time, packet) in packets {
        let length = u32::try_from(packet.len()).unwrap();
        let header = [time, 0, length, length];
        bytes.extend(header.iter().flat_map(|word| word.to_le_bytes()));
        bytes.extend(packet);
    }
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&bytes).unwrap();
    file
}

fn try_it(file: &tempfile::NamedTempFile, flows: usize) -> Cost {
    cost(|| {
        let tried = try_capture(file.path(), &TryOptions::default()).unwrap();
        assert_eq!(tried.flows.len(), flows);
        let passed =
            |flow: &&replay::verdict::attempt::FlowAttempt| flow.verdict == FlowVerdict::Pass;
        assert_eq!(tried.flows.iter().filter(passed).count(), flows);
        assert!(tried.deterministic);
        tried.figures.steps
    })
}

/// Holds the cost of one size against that of twice the size.
fn grows_as_the_input(of: impl Fn(u32) -> Cost, size: u32) -> Cost {
    // What is made once is made by the first.
    of(size / 10);
    let (once, twice) = (of(size), of(2 * size));
    for (what, once, twice) in [
        ("allocations", once.calls, twice.calls),
        ("bytes", once.count, twice.count),
        ("steps", once.steps, twice.steps),
    ] {
        assert!(
            10 * twice <= 22 * once,
            "{what} of {size}: {once}, of twice that: {twice}"
        );
    }
    twice
}

#[test]
fn udp_flows_cost_as_much_as_they_are() {
    let _alone = alone();
    let of = |flows: u32| {
        let datagram = |nth| {
            ipv4(
                client(nth),
                SERVER,
                17,
                &[0x13, 0x88, 0x17, 0x70, 0, 8, 0, 0],
            )
        };
        let file = capture((0..flows).map(|nth| (0, datagram(nth))));
        try_it(&file, flows as usize)
    };
    let cost = grows_as_the_input(of, 12_000);
    assert!(cost.count < 24_000 * 5_000, "{cost:?}");
}

#[test]
fn connections_that_nobody_ends_make_room_for_others() {
    let _alone = alone();
    let of = |flows: u32| {
        let ports = [5000, 80];
        let pair = |nth: u32| {
            let syn = ipv4(client(nth), SERVER, 6, &tcp(ports, [1, 0], SYN, b""));
            let answer = tcp([80, 5000], [1, 2], SYN_ACK, b"");
            let answer = ipv4(SERVER, client(nth), 6, &answer);
            [(nth / 1000, syn), (nth / 1000, answer)]
        };
        let file = capture((0..flows).flat_map(pair));
        try_it(&file, flows as usize)
    };
    // Far more flows than may be open: from then on only what is known of each costs memory.
    let (once, twice) = (of(10_000), of(20_000));
    assert!(
        twice.count < once.count + 10_000 * 5_500,
        "{once:?} {twice:?}"
    );
    assert!(10 * twice.calls < 22 * once.calls, "{once:?} {twice:?}");
    assert!(10 * twice.steps < 22 * once.steps, "{once:?} {twice:?}");
}

#[test]
fn segments_in_reverse_order_cost_as_much_as_they_are() {
    let _alone = alone();
    let of = |segments: u32| {
        let (device, far) = ([5000, 80], [80, 5000]);
        let from = |segment: &[u8]| ipv4(client(2), SERVER, 6, segment);
        let to = |segment: &[u8]| ipv4(SERVER, client(2), 6, segment);
        let opening = [
            from(&tcp(device, [0, 0], SYN, b"")),
            to(&tcp(far, [0, 1], SYN_ACK, b"")),
            from(&tcp(device, [1, 1], ACK, b"")),
        ];
        let reversed = (0..segments).rev();
        let reversed = reversed.map(|nth| to(&tcp(far, [1 + nth, 1], ACK, b"x")));
        let packets = opening.into_iter().chain(reversed);
        try_it(&capture(packets.map(|packet| (0, packet))), 1)
    };
    grows_as_the_input(of, 5_000);
}

/// Runs a scenario that fails, and says what it cost.
fn run_it(scenario: &str) -> Cost {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("it.json");
    std::fs::write(&path, scenario).unwrap();
    cost(|| {
        let outcome = run_file(&path, &RunOptions::default()).remove(0);
        assert!(!outcome.failures.is_empty(), "{:?}", outcome.verdict);
        outcome.figures.steps
    })
}

#[test]
fn a_pattern_takes_no_memory_for_its_length() {
    let _alone = alone();
    let cost = run_it(
        r#"{ "schema": 1, "title": "a GiB", "flows": { "get": "tcp 10.0.0.2:40000 > 93.184.216.34:80" },
  "input": { "frames": ["0 < get S 0:0(0) win 65535 <mss 1460>", "0.01 < get . 1:1(0) ack 1 win 65535"] },
  "dialer": { "rules": [ { "then": [ { "send": { "pattern": { "bytes": 1073741824 } } } ] } ] },
  "expect": { "streams": { "get": { "downstream": { "bytes": 1 } } } } }"#,
    );
    assert!(cost.count < 32 << 20, "{cost:?}");
}

#[test]
fn a_line_that_nothing_matches_waits_until_its_end_and_looks_at_each_frame_once() {
    let _alone = alone();
    let of = |seconds: u32| {
        run_it(&format!(
            r#"{{ "schema": 1, "title": "probes without end", "flows": {{ "a": "tcp 10.0.0.2:40000 > 93.184.216.34:80" }},
  "engine": {{ "keep_alive": "1s", "keep_alive_interval": "1s", "keep_alive_probes": 1000000 }},
  "input": {{ "frames": ["0 < a S 0:0(0) win 65535 <mss 1460>", "+0 > a S. 0:0(0) ack 1 <*>",
    "+.01 < a . 1:1(0) ack 1", "~ > a R. 1:1(0) ack 1"], "until": "{seconds}s" }},
  "dialer": {{ "rules": [ {{}} ] }} }}"#
        ))
    };
    let cost = grows_as_the_input(of, 1_000);
    assert!(cost.steps >= 2_000, "{cost:?}");
}

#[test]
fn a_line_that_nothing_matches_does_not_wait_for_ever() {
    let _alone = alone();
    let cost = run_it(
        r#"{ "schema": 1, "title": "probes without end", "flows": { "a": "tcp 10.0.0.2:40000 > 93.184.216.34:80" },
  "engine": { "keep_alive": "1s", "keep_alive_interval": "1s", "keep_alive_probes": 1000000 },
  "input": { "frames": ["0 < a S 0:0(0) win 65535 <mss 1460>", "+0 > a S. 0:0(0) ack 1 <*>",
    "+.01 < a . 1:1(0) ack 1", "~ > a R. 1:1(0) ack 1"] },
  "dialer": { "rules": [ {} ] } }"#,
    );
    assert!(cost.steps < 200_000, "{cost:?}");
}
