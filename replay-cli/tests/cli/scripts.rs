//! Packetdrill scripts on the command line: the table, and the exit code when nothing could be tested.

use crate::{folder, replay_in};

const PASSES: &str = "// answered\n0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 < S 0:0(0) win 100 <mss 1000>\n+0 > S. 0:0(0) ack 1 <...>\n";

fn files() -> [(&'static str, String); 3] {
    [
        ("a.pkt", PASSES.to_owned()),
        ("b.pkt", PASSES.replace("ack 1", "ack 2")),
        ("c.pkt", format!("{PASSES}`ip link`\n+0 %{{ print(1) }}%\n")),
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
    assert_eq!(ran.code, 1, "{}", ran.err);
    for line in [
        "pass            ./a.pkt",
        "fail            ./b.pkt  ack: expected 2, got 1",
        "not applicable  ./c.pkt  5:1: shell command `ip link`: there is no kernel to set up; 6:1: code in %{ }%: there is no TCP_INFO to ask",
        "3 scenarios: 1 passed, 1 failed, 0 invalid, 0 left to stress, 1 not applicable;",
    ] {
        assert!(ran.out.contains(line), "{line}\n{}", ran.out);
    }
}

#[test]
fn a_script_that_cannot_be_mapped_is_no_success() {
    let files = files();
    let root = folder(&[("c.pkt", files[2].1.as_bytes())]);
    let ran = replay_in(root.path(), ["run", "c.pkt"]);
    assert_eq!(ran.code, 4);
    assert!(
        ran.out.contains("not mapped: c.pkt:6:1: code in %{ }%"),
        "{}",
        ran.out
    );
}
