//! Captures with packets removed at random, as a slow recorder loses them: no flow fails, and nearly all that passed whole
//! still pass, in whole or in part.
//!
//! `REPLAY_CORPUS` names a folder with captures; without it nothing is tested, and a line says so. `REPLAY_SEEDS` says how
//! many times each capture is thinned out (default: 1).

use std::collections::BTreeMap;
use std::env;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use replay::scenario::Protocol;
use replay::verdict::attempt::{Attempt, FlowVerdict, TryOptions, try_capture};

/// Of so many packets one is removed: 1 % and 5 %.
const ONE_OF: [u64; 2] = [100, 20];

/// Larger captures take too long in a debug build.
const LARGEST: u64 = 4 << 20;

#[test]
fn captures_that_lack_packets_have_no_flow_that_fails() {
    let Some(folder) = env::var_os("REPLAY_CORPUS") else {
        println!("skipped: REPLAY_CORPUS does not name a folder with captures");
        return;
    };
    let seeds = env::var("REPLAY_SEEDS").ok();
    let seeds = seeds.and_then(|seeds| seeds.parse().ok()).unwrap_or(1);
    let (mut passed, mut stay, mut thinned) = (0, 0, 0);
    let mut faults = Vec::new();
    for path in captures(Path::new(&folder)) {
        let file = std::fs::read(&path).expect("a file");
        let records = records(&file);
        let Ok(whole) = try_capture(&path, &TryOptions::default()) else {
            continue;
        };
        for (seed, one_of) in (0..seeds).flat_map(|seed| ONE_OF.map(|one_of| (seed, one_of))) {
            let Some((thin, lost)) = thinned_out(&file, &records, seed, one_of) else {
                continue;
            };
            thinned += 1;
            let mut copy = tempfile::NamedTempFile::new().expect("a file");
            std::io::Write::write_all(&mut copy, &thin).expect("written");
            let Ok(attempt) = try_capture(copy.path(), &TryOptions::default()) else {
                continue;
            };
            let name = path.file_name().unwrap_or_default().display();
            let mut say =
                |what: String| faults.push(format!("{name}, seed {seed}, 1/{one_of}: {what}"));
            for flow in &attempt.flows {
                if let FlowVerdict::Fail(why) = &flow.verdict {
                    say(format!("{} > {}: {why}", flow.client, flow.server));
                }
            }
            let invented = |attempt: &Attempt| -> u64 {
                attempt.flows.iter().map(|flow| flow.invented_bytes).sum()
            };
            // What was garbled on purpose tells of bytes that never were.
            let garbled = path.to_string_lossy().contains("fuzz");
            if !garbled && invented(&attempt) > invented(&whole) + lost {
                say(format!(
                    "{} bytes invented, {lost} removed",
                    invented(&attempt)
                ));
            }
            let (before, after) = (counts(&whole, false), counts(&attempt, false));
            let there = counts(&attempt, true);
            for (tuple, count) in before {
                // What lost all of its packets is not there.
                let Some(left) = there.get(&tuple) else {
                    continue;
                };
                let wanted = count.min(*left);
                passed += wanted;
                stay += after.get(&tuple).copied().unwrap_or(0).min(wanted);
            }
        }
    }
    assert!(
        faults.is_empty(),
        "{} fault(s):\n{}",
        faults.len(),
        faults.join("\n")
    );
    assert!(
        stay * 100 >= passed * 95,
        "of {passed} flows {stay} still pass"
    );
    println!("{thinned} captures thinned out, {stay} of {passed} flows still pass");
}

type Tuple = (Protocol, SocketAddr, SocketAddr);

/// How many flows each tuple has: those that passed, in whole or in part, or all.
fn counts(attempt: &Attempt, failed_too: bool) -> BTreeMap<Tuple, u64> {
    let mut counts = BTreeMap::new();
    for flow in &attempt.flows {
        let passed = matches!(flow.verdict, FlowVerdict::Pass | FlowVerdict::Partial(_));
        if passed || failed_too {
            let (client, server) = (flow.client, flow.server);
            let tuple = (flow.protocol, client.min(server), client.max(server));
            *counts.entry(tuple).or_default() += 1;
        }
    }
    counts
}

fn captures(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.to_string_lossy().contains(".pcap"))
        .filter(|path| path.metadata().is_ok_and(|data| data.len() <= LARGEST))
        .collect();
    paths.sort();
    paths
}

/// Where the records of packets stand in a capture file, of either form.
fn records(file: &[u8]) -> Vec<(usize, usize)> {
    let mut records = Vec::new();
    let big = matches!(file.get(..4), Some([0xa1, ..]))
        || file.get(8..12) == Some(&[0x1a, 0x2b, 0x3c, 0x4d]);
    let number = |at: usize| {
        let bytes = file.get(at..at + 4)?.try_into().ok()?;
        let number = if big {
            u32::from_be_bytes(bytes)
        } else {
            u32::from_le_bytes(bytes)
        };
        Some(number as usize)
    };
    let blocks = file.get(..4) == Some(&[0x0a, 0x0d, 0x0d, 0x0a]);
    let mut at = if blocks { 0 } else { 24 };
    loop {
        let (is_packet, length) = if blocks {
            (matches!(number(at), Some(2 | 3 | 6)), number(at + 4))
        } else {
            (true, number(at + 8).map(|length| length + 16))
        };
        match length {
            Some(length) if length >= 12 && at + length <= file.len() => {
                if is_packet {
                    records.push((at, length));
                }
                at += length;
            }
            _ => return records,
        }
    }
}

/// The file without some of its records, and how many bytes those had; `None` if none was removed.
fn thinned_out(
    file: &[u8],
    records: &[(usize, usize)],
    seed: u64,
    one_of: u64,
) -> Option<(Vec<u8>, u64)> {
    let mut state = seed.wrapping_mul(1_000_003) ^ one_of ^ file.len() as u64;
    let mut thin = Vec::with_capacity(file.len());
    let (mut kept, mut lost) = (0, 0);
    for (at, length) in records {
        // SplitMix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        if (mixed ^ (mixed >> 31)).is_multiple_of(one_of) {
            thin.extend_from_slice(&file[kept..*at]);
            kept = at + length;
            lost += *length as u64;
        }
    }
    thin.extend_from_slice(&file[kept..]);
    (lost > 0).then_some((thin, lost))
}
