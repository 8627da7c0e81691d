//! Every target on the committed corpora, on inputs that once broke it, and on inputs made up here: what the gate has of
//! the fuzzers. A failure names the file, or the input, that repeats it.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use fuzz_bodies::TARGETS;

/// Bytes that all corpora may take together.
const MOST_BYTES: u64 = 1 << 20;

/// Made-up inputs of each target; a quarter for those whose inputs are whole replays.
const MADE_UP: u64 = 300;

fn folder(of: &str, target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(of)
        .join(target)
}

/// Inputs of a folder, in the order of their names; none if there is no such folder.
fn inputs(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut paths: Vec<_> = fs::read_dir(folder)
        .map(|entries| entries.map(|entry| entry.expect("a file").path()).collect())
        .unwrap_or_default();
    paths.sort();
    let read = |path: PathBuf| {
        let bytes = fs::read(&path).expect("a readable file");
        (path, bytes)
    };
    paths.into_iter().map(read).collect()
}

fn body(target: &str) -> fn(&[u8]) {
    let found = TARGETS.iter().find(|(name, _)| *name == target);
    found.expect("a target").1
}

fn holds(target: &str, input: &[u8], what: &str) {
    let ran = catch_unwind(AssertUnwindSafe(|| body(target)(input)));
    assert!(ran.is_ok(), "{target} on {what}");
}

/// The inputs that were found and kept.
fn on_files(target: &str) {
    let corpus = inputs(&folder("corpus", target));
    assert!(!corpus.is_empty(), "fuzz/corpus/{target} is empty");
    for (path, input) in corpus.iter().chain(&inputs(&folder("crashes", target))) {
        holds(target, input, &path.display().to_string());
    }
}

/// Numbers as splitmix64 gives them: the same in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap_or(0)
    }
}

/// Inputs of nothing but chance, and kept ones with a few bytes changed.
fn on_made_up(target: &str, count: u64) {
    let corpus = inputs(&folder("corpus", target));
    for seed in 0..count {
        let mut numbers = Numbers(seed);
        let mut input: Vec<u8> = if seed.is_multiple_of(2) || corpus.is_empty() {
            let length = numbers.below(800);
            (0..length).map(|_| numbers.next() as u8).collect()
        } else {
            corpus[numbers.below(corpus.len())].1.clone()
        };
        for _ in 0..numbers.below(6) {
            let (at, byte) = (numbers.below(input.len()), numbers.next() as u8);
            match numbers.below(4) {
                0 if !input.is_empty() => input[at] = byte,
                1 if !input.is_empty() => input[at] ^= 1 << (byte % 8),
                2 if !input.is_empty() => drop(input.remove(at)),
                _ => input.insert(at, byte),
            }
        }
        holds(
            target,
            &input,
            &format!("made-up input {seed}: {input:02x?}"),
        );
    }
}

macro_rules! targets {
    ($($test:ident $name:literal $count:expr;)+) => {
        $(mod $test {
            use super::MADE_UP;

            #[test]
            fn holds_on_every_kept_input() {
                super::on_files($name);
            }

            #[test]
            fn holds_on_made_up_inputs() {
                super::on_made_up($name, $count);
            }
        })+

        /// The targets that have their two tests here.
        const TESTED: &[&str] = &[$($name),+];
    };
}

targets! {
    engine "engine" MADE_UP;
    ffi "ffi" MADE_UP;
    dns "dns" MADE_UP;
    capture "capture" MADE_UP;
    recording "recording" MADE_UP / 4;
    attempt "try" MADE_UP / 4;
    scenario "scenario" MADE_UP;
    notation "notation" MADE_UP;
    packetdrill "packetdrill" MADE_UP / 4;
    stack_protocol "stack_protocol" MADE_UP;
}

#[test]
fn every_target_is_built_and_tested() {
    let names: Vec<_> = TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, TESTED);
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let manifest = fs::read_to_string(manifest).expect("the manifest of the fuzz targets");
    let built: Vec<_> = manifest
        .lines()
        .filter_map(|line| {
            line.strip_prefix("path = \"fuzz_targets/")?
                .strip_suffix(".rs\"")
        })
        .collect();
    assert_eq!(built, names);
}

#[test]
fn corpora_stay_small() {
    let sizes = TARGETS
        .iter()
        .flat_map(|(name, _)| inputs(&folder("corpus", name)));
    let count: u64 = sizes.map(|(_, input)| input.len() as u64).sum();
    assert!(
        count <= MOST_BYTES,
        "{count} bytes of corpora: see docs/FUZZING.md"
    );
}
