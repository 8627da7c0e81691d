//! The marks of frames, held against those of Wireshark's TCP analysis, frame by frame, for captures made elsewhere.
//!
//! `REPLAY_CORPUS` names the folder; without it, or without `tshark`, nothing is tested, and a line says so.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use replay::capture::facts::Marks;
use replay::capture::inspect::inspect_frames;

/// What is compared: the field of tshark, the mark, and how many frames in a hundred may differ, or one if they are few.
/// Two causes are known: where an acknowledgement is of bytes that are not in the capture, Wireshark takes what follows for a fast
/// retransmission; and it does not believe an IP header that states more bytes than its frame had.
const KINDS: [(&str, Marks, usize); 9] = [
    ("zero_window", Marks::ZERO_WINDOW, 0),
    ("zero_window_probe", Marks::ZERO_WINDOW_PROBE, 0),
    ("window_full", Marks::WINDOW_FULL, 0),
    ("keep_alive", Marks::KEEP_ALIVE, 0),
    ("retransmission", Marks::RETRANSMISSION, 2),
    ("fast_retransmission", Marks::FAST_RETRANSMISSION, 2),
    ("spurious_retransmission", Marks::SPURIOUS_RETRANSMISSION, 2),
    ("out_of_order", Marks::OUT_OF_ORDER, 2),
    ("duplicate_ack", Marks::DUPLICATE_ACK, 2),
];

/// A frame that carries a SYN; its retransmissions must be equal.
const SYN_AGAIN: &str = "syn retransmission";

type Found = BTreeMap<&'static str, BTreeSet<u64>>;

#[test]
fn frames_are_what_wireshark_says_they_are() {
    let Some(folder) = env::var_os("REPLAY_CORPUS") else {
        println!("skipped: REPLAY_CORPUS does not name a folder with captures");
        return;
    };
    let version = Command::new("tshark").arg("--version").output();
    if !version.is_ok_and(|ran| ran.status.success()) {
        println!("skipped: there is no tshark to hold the marks of frames against");
        return;
    }
    let captures = captures(Path::new(&folder));
    assert!(!captures.is_empty(), "no capture in {folder:?}");
    // By kind: frames that Wireshark marks, and those that differ, by name.
    let mut marked: BTreeMap<&str, usize> = BTreeMap::new();
    let mut differ: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for capture in &captures {
        let (wanted, got) = (by_wireshark(capture), by_us(capture));
        let none = BTreeSet::new();
        for kind in KINDS.iter().map(|(kind, ..)| *kind).chain([SYN_AGAIN]) {
            let wanted = wanted.get(kind).unwrap_or(&none);
            let got = got.get(kind).unwrap_or(&none);
            *marked.entry(kind).or_default() += wanted.len();
            let name = capture.file_name().unwrap_or_default().to_string_lossy();
            let frames = wanted.symmetric_difference(got);
            let lines = frames.map(|frame| format!("{name} frame {frame}"));
            differ.entry(kind).or_default().extend(lines);
        }
    }
    println!("{} captures; frames marked: {marked:?}", captures.len());
    println!("frames that differ: {differ:?}");
    assert!(marked.values().sum::<usize>() > 0, "nothing was marked");
    let most = KINDS.iter().map(|(kind, _, percent)| (*kind, *percent));
    for (kind, percent) in most.chain([(SYN_AGAIN, 0)]) {
        let (all, wrong) = (marked[kind], &differ[kind]);
        assert!(
            wrong.len() * 100 <= all * percent || wrong.len() <= percent.min(1),
            "{kind}: {} of {all} frames differ: {wrong:?}",
            wrong.len()
        );
    }
}

fn captures(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.retain(|path| path.to_string_lossy().contains(".pcap"));
    paths.sort();
    paths
}

/// The frames that we mark.
fn by_us(capture: &Path) -> Found {
    let mut found = Found::new();
    // A damaged capture is compared up to the damage.
    let _ = inspect_frames(capture, |frame, marks| {
        for (kind, mark, _) in KINDS {
            if marks.contains(mark) {
                found.entry(kind).or_default().insert(frame);
            }
        }
        if marks.is_syn_again() {
            found.entry(SYN_AGAIN).or_default().insert(frame);
        }
    });
    found
}

/// The frames that tshark marks.
fn by_wireshark(capture: &Path) -> Found {
    let mut command = Command::new("tshark");
    command.args(["-n", "-r"]).arg(capture);
    command.args(["-Y", "tcp.analysis.flags", "-T", "fields"]);
    for field in ["frame.number", "tcp.flags.syn"] {
        command.args(["-e", field]);
    }
    for (kind, ..) in KINDS {
        command.arg("-e").arg(format!("tcp.analysis.{kind}"));
    }
    command.args([OsStr::new("-E"), OsStr::new("occurrence=f")]);
    let ran = command
        .stdin(Stdio::null())
        .output()
        .expect("tshark starts");
    let mut found = Found::new();
    for line in String::from_utf8_lossy(&ran.stdout).lines() {
        let mut fields = line.split('\t');
        let frame = fields.next().and_then(|frame| frame.parse().ok());
        let frame: u64 = frame.expect("a frame number");
        let syn = matches!(fields.next(), Some("1" | "True"));
        let kinds = KINDS.iter().zip(fields).filter(|(_, set)| !set.is_empty());
        let kinds: BTreeSet<&str> = kinds.map(|((kind, ..), _)| *kind).collect();
        for kind in &kinds {
            // Wireshark marks the special kinds as retransmissions too.
            let special =
                kinds.contains("fast_retransmission") || kinds.contains("spurious_retransmission");
            if *kind == "retransmission" && special {
                continue;
            }
            found.entry(kind).or_default().insert(frame);
        }
        if syn && kinds.contains("retransmission") {
            found.entry(SYN_AGAIN).or_default().insert(frame);
        }
    }
    found
}
