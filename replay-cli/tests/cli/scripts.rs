//! Packetdrill scripts on the command line: the table, and the exit code when nothing could be tested.

use crate::{folder, replay_in};

const PASSES: &str = "// answered\n0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 listen(3, 1) = 0\n+0 < S 0:0(0) win 100 <mss 1000>\n+0 > S. 0:0(0) ack 1 <...>\n";

fn files() -> [(&'static str, String); 4] {
    [
        ("a.pkt", format!("`sysctl -w a=1`\n{PASSES}")),
        ("b.pkt", PASSES.replace("ack 1", "ack 2")),
        ("c.pkt", format!("{PASSES}+0 > udp (10)\n")),
        ("d.pkt", PASSES.replace("> S.", "> SX.")),
    ]
}

#[test]
fn a_folder_of_scripts_gives_a_table_with_reasons() {
    let files = files();
    let all: Vec<(&str, &[u8])> = files
        .iter()
        .map(|(name, text)| (*name, text.as_bytes()))
        .collect();
    let ran = replay_in(folder(&all).path(), ["run", "."]);
    assert_eq!(ran.code, 3, "{}", ran.err);
    for line in [
        "pass            ./a.pkt  ran, 1 step passed over",
        "fail            ./b.pkt  ack: expected 2, got 1",
        "not applicable  ./c.pkt  6:1: a datagram: the script's socket is a stream's",
        "invalid         ./d.pkt  5:6: expected TCP flags",
        "not applicable        1  .       a datagram: the script's socket is a stream's",
        "fail                  1  .       wrong-packet: ack",
        "4 scenarios: 1 passed, 1 failed, 1 invalid, 0 skipped, 1 not applicable;",
    ] {
        assert!(ran.out.contains(line), "{line}\n{}", ran.out);
    }
    let ran = replay_in(folder(&all).path(), ["run", "*.pkt", "--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let script = &report["scenarios"][0]["script"];
    let counts = ["lines", "compared"].map(|name| script[name].as_u64());
    assert_eq!(counts, [Some(3), Some(3)]);
    assert_eq!(script["passed_over"][0]["what"], "command `sysctl -w a=1`");
}

#[test]
fn a_script_that_cannot_be_mapped_is_no_success() {
    let files = files();
    let root = folder(&[("c.pkt", files[2].1.as_bytes())]);
    let ran = replay_in(root.path(), ["run", "c.pkt"]);
    assert_eq!(ran.code, 4);
    let told = "not mapped: c.pkt:6:1: a datagram";
    assert!(ran.out.contains(told), "{}", ran.out);
}
