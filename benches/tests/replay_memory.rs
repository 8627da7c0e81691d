//! What a replay holds in memory: so much for each packet, whatever the packets carry.
//!
//! A test program of its own, because it counts every allocation of the process.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::BufWriter;
use std::sync::atomic::{AtomicUsize, Ordering};

use benches::traffic::{Format, Made, Traffic};
use replay::capture::import::{ImportOptions, import};
use replay::verdict::attempt::{Attempt, FlowVerdict, TryOptions, try_capture};
use replay::verdict::run::{RunOptions, run_file};

struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn grow(size: usize) {
    let held = HELD.fetch_add(size, Ordering::Relaxed) + size;
    PEAK.fetch_max(held, Ordering::Relaxed);
}

// SAFETY: every call goes to the system's allocator unchanged; the counting beside it allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static HEAP: Counting = Counting;

/// Bytes that a packet may cost.
const PER_PACKET: usize = 100;

/// Bytes that a replay may cost whatever the capture: windows of the file, two engines at 32 KiB of rings for each open flow,
/// words of the outputs' hashes.
const FIXED: usize = 24 << 20;

/// The most that `work` held beyond what was held before.
fn peak_of<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let before = HELD.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let done = work();
    (PEAK.load(Ordering::Relaxed).saturating_sub(before), done)
}

/// A capture of some tens of megabytes in a folder of its own.
fn capture(folder: &tempfile::TempDir) -> (std::path::PathBuf, Made) {
    let path = folder.path().join("made.pcapng");
    let traffic = Traffic {
        size: 64 << 20,
        seed: 3,
        format: Format::Pcapng,
    };
    let file = std::fs::File::create(&path).unwrap();
    let made = traffic.write(BufWriter::new(file)).unwrap();
    (path, made)
}

/// One test, because the count is of the whole process.
#[test]
fn a_replay_holds_an_index_of_the_capture_and_none_of_its_payload() {
    let folder = tempfile::tempdir().unwrap();
    let (path, made) = capture(&folder);
    let allowed = FIXED + PER_PACKET * made.packets as usize;
    assert!(
        allowed * 2 < made.bytes as usize,
        "the capture is too small to tell: {made:?}"
    );
    let holds = |what: &str, peak: usize| {
        println!("{what}: {peak} bytes at the most, {allowed} allowed, for {made:?}");
        assert!(
            peak <= allowed,
            "{what} held {peak} bytes, more than {allowed}"
        );
    };

    let (peak, tried) = peak_of(|| try_capture(&path, &TryOptions::default()).unwrap());
    let Attempt {
        flows,
        deterministic,
        ..
    } = tried;
    assert!(deterministic && flows.len() > 50);
    let failed = flows.iter().find(|flow| flow.verdict != FlowVerdict::Pass);
    assert!(failed.is_none(), "{failed:?}");
    holds("try", peak);

    let scenario = folder.path().join("made.json");
    let (peak, text) = peak_of(|| {
        let (made, _) = import(&path, "./made.pcapng", &ImportOptions::default()).unwrap();
        made.scenario.to_canonical_string()
    });
    holds("import", peak);
    std::fs::write(&scenario, text).unwrap();

    let (peak, outcomes) = peak_of(|| run_file(&scenario, &RunOptions::default()));
    assert!(
        outcomes.iter().all(|outcome| outcome.passed()),
        "{outcomes:?}"
    );
    holds("run", peak);
}
