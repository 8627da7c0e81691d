//! What Wireshark makes of the traces of the conformance rows: no error but those that a row means to cause.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use replay::report::trace;
use replay::verdict::run::{RunOptions, Tracing, run_file};

/// Rows that mean to cause errors, and by what.
const MEANT: &[(&str, &str)] = &[
    ("dns/DNS-HIJACK--malformed", "DNS messages that are cut off"),
    (
        "fragments/FRAG4-LIMITS--ipv6",
        "a fragment of 16 bytes at the end of a header",
    ),
    ("icmp/ICMP-UNKNOWN", "a redirect that quotes nothing"),
    ("ipv4/IP4-HEADER", "headers of every wrong length"),
    ("ipv4/IP4-PROTO", "an SCTP packet that holds no chunk"),
    (
        "ipv6/IP6-HEADER",
        "a payload length of zero before a segment",
    ),
    ("ipv6/IP6-LOCAL-NOISE", "a multicast report without records"),
    (
        "ipv6/IP6-NEXT-HEADER",
        "hop-by-hop options behind another header",
    ),
    (
        "tcp-options/TCP-OPT-UNKNOWN",
        "bytes other than zero behind the end of options",
    ),
    (
        "tcp-robustness/TCP-ROB-FUZZ--seed_3",
        "random bytes in headers",
    ),
    (
        "tcp-robustness/TCP-ROB-FUZZ--seed_4",
        "random bytes in headers",
    ),
    (
        "tcp-robustness/TCP-ROB-OFFSET--v4",
        "segments cut off, data offsets beyond them",
    ),
    (
        "tcp-robustness/TCP-ROB-OFFSET--v6",
        "segments cut off, data offsets beyond them",
    ),
    ("udp/UDP-CSUM-ZERO--ipv6", "a checksum of zero"),
    ("udp/UDP-LENGTH", "lengths that are not the datagram's"),
];

/// Wireshark behind a pipe: one process for many files.
struct Sharkd {
    child: Child,
    answers: BufReader<std::process::ChildStdout>,
    asked: u64,
}

impl Sharkd {
    fn start() -> std::io::Result<Self> {
        let mut child = Command::new("sharkd")
            .arg("-")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let answers = BufReader::new(child.stdout.take().unwrap());
        Ok(Self {
            child,
            answers,
            asked: 0,
        })
    }

    fn ask(&mut self, method: &str, parameter: (&str, &str)) -> serde_json::Value {
        self.asked += 1;
        let (name, value) = parameter;
        let asked = serde_json::json!({
            "jsonrpc": "2.0", "id": self.asked, "method": method, "params": { name: value },
        });
        let input = self.child.stdin.as_mut().unwrap();
        writeln!(input, "{asked}").unwrap();
        let mut line = String::new();
        while line.trim().is_empty() {
            line.clear();
            assert!(self.answers.read_line(&mut line).unwrap() > 0, "{asked}");
        }
        let answer: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert!(
            answer["result"] != serde_json::Value::Null,
            "{asked}: {answer}"
        );
        answer["result"].clone()
    }

    /// The frames of a capture that have errors.
    fn errors(&mut self, file: &Path) -> Vec<u64> {
        self.ask("load", ("file", file.to_str().unwrap()));
        // What a filter gave for the file before is remembered by its text: each has its own.
        let filter = format!(
            "(_ws.expert.severity == error || _ws.malformed) && frame.number < {}",
            1_000_000 + self.asked
        );
        let frames = self.ask("frames", ("filter", &filter));
        let frames = frames.as_array().unwrap().iter();
        frames.map(|frame| frame["num"].as_u64().unwrap()).collect()
    }
}

impl Drop for Sharkd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The conformance rows, in order.
fn rows() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../expectations/conformance");
    let mut rows: Vec<PathBuf> = std::fs::read_dir(root)
        .unwrap()
        .flat_map(|group| std::fs::read_dir(group.unwrap().path()).unwrap())
        .map(|row| row.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect();
    rows.sort_unstable();
    rows
}

/// What is wrong with a row: it has errors that it does not mean to cause, or has none though it means to.
fn judged(sharkd: &mut Sharkd, row: &Path) -> Option<String> {
    let name = row.with_extension("");
    let mut parts = name.iter().rev().map(|part| part.to_str().unwrap());
    let (file, group) = (parts.next().unwrap(), parts.next().unwrap());
    let name = format!("{group}/{file}");
    let folder = tempfile::tempdir().unwrap();
    let options = RunOptions {
        trace: Tracing::Always,
        ..RunOptions::default()
    };
    let mut frames = Vec::new();
    for outcome in run_file(row, &options) {
        if let Some(place) = trace::write(folder.path(), &outcome).unwrap() {
            frames.extend(sharkd.errors(&place.path));
        }
    }
    let meant = MEANT.iter().any(|(row, _)| *row == name);
    match (meant, frames.is_empty()) {
        (true, false) | (false, true) => None,
        (true, true) => Some(format!("{name} is listed and causes no error")),
        (false, false) => Some(format!("{name}: errors in frames {frames:?}")),
    }
}

#[test]
#[ignore = "a minute for all rows: .ci/nightly runs it"]
fn traces_of_conformance_rows_open_in_wireshark_without_errors_but_those_a_row_means_to_cause() {
    if Sharkd::start().is_err() {
        eprintln!("SKIPPED: sharkd, which comes with tshark, is not installed");
        return;
    }
    let rows = rows();
    assert!(rows.len() > 300, "{}", rows.len());
    let left = Mutex::new(rows.iter());
    let found = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                let mut sharkd = Sharkd::start().unwrap();
                loop {
                    let Some(row) = left.lock().unwrap().next() else {
                        return;
                    };
                    let wrong = judged(&mut sharkd, row);
                    found.lock().unwrap().extend(wrong);
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap();
    found.sort_unstable();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn rows_that_mean_to_cause_errors_are_there() {
    let rows = rows();
    for (name, why) in MEANT {
        let there = rows
            .iter()
            .any(|row| row.with_extension("").ends_with(name));
        assert!(there, "{name}: {why}");
    }
}
