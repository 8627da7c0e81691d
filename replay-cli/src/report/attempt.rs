//! Reports of `replay try`: a verdict for each flow of a capture.

use std::io::{self, Write};
use std::path::Path;

use serde_json::{Map, Value, json};

use super::table::{self, Align};
use super::{figures_line, json};
use crate::base::exit_code;
use crate::base::term::{Paint, Style, printable};
use crate::base::wording::counted;
use crate::scenario::Protocol;
use crate::stack::DnsSeen;
use crate::verdict::attempt::{Attempt, FlowAttempt, FlowVerdict, StreamSeen};

/// The exit code that says the worst of an attempt; of a `strict` one a flow that is partial has failed.
#[must_use]
pub fn exit_code(attempt: &Attempt, strict: bool) -> u8 {
    let failed = attempt.flows.iter().any(|flow| match flow.verdict {
        FlowVerdict::Fail(_) => true,
        FlowVerdict::Partial(_) => strict,
        FlowVerdict::Pass | FlowVerdict::Unreplayable(_) => false,
    });
    [
        (attempt.damage.is_some(), exit_code::BAD_INPUT),
        (!attempt.deterministic, exit_code::NONDETERMINISM),
        (failed, exit_code::EXPECTATION_FAILED),
        (
            nothing_to_replay(attempt).is_some(),
            exit_code::NOTHING_SELECTED,
        ),
    ]
    .into_iter()
    .filter(|(met, _)| *met)
    .fold(exit_code::SUCCESS, |worst, (_, code)| {
        exit_code::worst(worst, code)
    })
}

/// The line that says why nothing was replayed, if nothing was.
#[must_use]
pub fn nothing_to_replay(attempt: &Attempt) -> Option<String> {
    let unreplayable = |flow: &FlowAttempt| matches!(flow.verdict, FlowVerdict::Unreplayable(_));
    if !attempt.flows.iter().all(unreplayable) {
        return None;
    }
    let why = why_nothing(attempt.packets_read, attempt.flows.len() as u64);
    Some(format!("nothing to replay: {why}"))
}

/// Why nothing of a capture is replayed, which has these packets and flows.
pub(crate) fn why_nothing(packets: u64, flows: u64) -> String {
    match (packets, flows) {
        (0, _) => "the capture holds no packet".to_owned(),
        (_, 0) => "the capture holds no TCP or UDP flow".to_owned(),
        (_, 1) => "the one flow of the capture cannot be replayed".to_owned(),
        (_, flows) => format!("none of the {flows} flows of the capture can be replayed"),
    }
}

/// The report programs read.
#[must_use]
pub fn json(attempt: &Attempt) -> Value {
    let Attempt {
        packets_read,
        skipped,
        flows,
        dns,
        notes,
        damage,
        deterministic,
        figures,
    } = attempt;
    let skipped: Vec<Value> = skipped
        .iter()
        .map(|(reason, count)| json!({ "reason": reason, "count": count }))
        .collect();
    json!({
        "schema": json::SCHEMA,
        "packets": { "read": packets_read, "skipped": skipped },
        "flows": flows.iter().map(flow).collect::<Vec<_>>(),
        "dns": dns.iter().map(dns_record).collect::<Vec<_>>(),
        "notes": notes,
        "figures": json::figures(figures),
        "deterministic": deterministic,
        "damage": damage.as_ref().map(json::diagnostic),
    })
}

fn flow(flow: &FlowAttempt) -> Value {
    let FlowAttempt {
        protocol,
        client,
        server,
        verdict,
        upstream,
        downstream,
        invented_bytes,
        adopted,
        close,
        notes,
    } = flow;
    let (word, reason) = verdict_words(verdict);
    let mut value = Map::new();
    let mut put = |key: &str, field: Value| value.insert(key.to_owned(), field);
    put("proto", json!(protocol.as_str()));
    put("client", json!(client.to_string()));
    put("server", json!(server.to_string()));
    put("verdict", json!(word));
    if let Some(reason) = reason {
        put("reason", json!(reason));
    }
    put("upstream", stream(upstream, *protocol));
    put("downstream", stream(downstream, *protocol));
    put("invented_bytes", json!(invented_bytes));
    put("adopted", json!(adopted));
    put(
        "close",
        close
            .as_ref()
            .map(|(by, how)| json!({ "by": by, "how": how }))
            .into(),
    );
    put("notes", json!(notes));
    Value::Object(value)
}

fn stream(stream: &StreamSeen, protocol: Protocol) -> Value {
    let StreamSeen {
        bytes,
        sha256,
        datagrams,
    } = stream;
    let mut value = json!({ "bytes": bytes, "sha256": sha256 });
    if protocol == Protocol::Udp {
        value["datagrams"] = json!(datagrams);
    }
    value
}

fn dns_record(record: &DnsSeen) -> Value {
    let DnsSeen {
        name,
        addresses,
        ttl,
    } = record;
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    json!({ "name": name, "addresses": addresses, "ttl": ttl })
}

fn verdict_words(verdict: &FlowVerdict) -> (&'static str, Option<&str>) {
    match verdict {
        FlowVerdict::Pass => ("pass", None),
        FlowVerdict::Partial(why) => ("partial", Some(why)),
        FlowVerdict::Fail(why) => ("fail", Some(why)),
        FlowVerdict::Unreplayable(why) => ("unreplayable", Some(why)),
    }
}

/// Prints the report people read.
///
/// # Errors
/// Writing failed.
pub fn human(
    out: &mut dyn Write,
    capture: &Path,
    attempt: &Attempt,
    style: Style,
) -> io::Result<()> {
    if !attempt.flows.is_empty() {
        let rows = || attempt.flows.iter().map(row);
        table::print(&COLUMNS, rows, out, style, look)?;
        writeln!(out)?;
    }
    let of_flows = attempt.flows.iter().flat_map(|flow| {
        flow.notes.iter().map(move |note| {
            let FlowAttempt {
                protocol,
                client,
                server,
                ..
            } = flow;
            format!("{protocol} {client} > {server}: {note}")
        })
    });
    for note in attempt.notes.iter().cloned().chain(of_flows) {
        writeln!(out, "note: {}", printable(&note))?;
    }
    for (reason, count) in &attempt.skipped {
        writeln!(
            out,
            "skipped: {}: {}",
            counted(*count, "packet"),
            printable(reason)
        )?;
    }
    for DnsSeen {
        name,
        addresses,
        ttl,
    } in &attempt.dns
    {
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        writeln!(
            out,
            "dns: {} is {} for {ttl} s",
            printable(name),
            addresses.join(", ")
        )?;
    }
    if !attempt.deterministic {
        let word = style.paint(Paint::Bad, "nondeterministic:");
        writeln!(
            out,
            "{word} two runs of this capture gave different outputs"
        )?;
    }
    if let Some(line) = nothing_to_replay(attempt) {
        writeln!(out, "{line}")?;
    }
    let name = capture.display().to_string();
    writeln!(out, "{}: {}", printable(&name), summary(attempt))?;
    Ok(())
}

const COLUMNS: [(&str, Align); 7] = [
    ("VERDICT", Align::Left),
    ("PROTO", Align::Left),
    ("CLIENT > SERVER", Align::Left),
    ("BYTES UP", Align::Right),
    ("BYTES DOWN", Align::Right),
    ("CLOSE", Align::Left),
    ("REASON", Align::Left),
];

fn row(flow: &FlowAttempt) -> [String; 7] {
    let (word, reason) = verdict_words(&flow.verdict);
    let close = match &flow.close {
        Some((by, how)) => format!("{how} by {by}"),
        None => "-".to_owned(),
    };
    [
        word.to_owned(),
        flow.protocol.to_string(),
        format!("{} > {}", flow.client, flow.server),
        flow.upstream.bytes.to_string(),
        flow.downstream.bytes.to_string(),
        close,
        reason.unwrap_or_default().to_owned(),
    ]
}

fn look(word: &str) -> Option<Paint> {
    match word {
        "pass" => Some(Paint::Good),
        "fail" => Some(Paint::Bad),
        "partial" | "unreplayable" => Some(Paint::Attention),
        _ => None,
    }
}

fn summary(attempt: &Attempt) -> String {
    let count = |wanted: &str| {
        let words = attempt
            .flows
            .iter()
            .map(|flow| verdict_words(&flow.verdict).0);
        words.filter(|word| *word == wanted).count()
    };
    let partial = match count("partial") {
        0 => String::new(),
        partial => format!(", {partial} partial"),
    };
    format!(
        "{}: {} passed{partial}, {} failed, {} not replayable; {} read; {}",
        counted(attempt.flows.len() as u64, "flow"),
        count("pass"),
        count("fail"),
        count("unreplayable"),
        counted(attempt.packets_read, "packet"),
        figures_line(&attempt.figures),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::diagnostic::Diagnostic;
    use crate::simulation::Figures;

    fn flow(protocol: Protocol, port: u16, verdict: FlowVerdict) -> FlowAttempt {
        FlowAttempt {
            protocol,
            client: ([10, 0, 0, 2], port).into(),
            server: ([93, 184, 216, 34], 80).into(),
            verdict,
            upstream: StreamSeen {
                bytes: 78,
                sha256: "aa".into(),
                datagrams: 2,
            },
            downstream: StreamSeen {
                bytes: 145_000,
                sha256: "bb".into(),
                datagrams: 3,
            },
            invented_bytes: 0,
            adopted: false,
            close: Some(("device".into(), "fin".into())),
            notes: Vec::new(),
        }
    }

    fn attempt() -> Attempt {
        let mut second = flow(
            Protocol::Udp,
            5353,
            FlowVerdict::Fail("2 of 3 datagrams came".into()),
        );
        second.close = None;
        second.notes = vec!["a silence of 90 s was cut to 59 s".into()];
        let third = FlowVerdict::Unreplayable("no SYN in the capture".into());
        let mut third = flow(Protocol::Tcp, 40_001, third);
        third.client = "[fd00::2]:40001".parse().unwrap();
        Attempt {
            packets_read: 120,
            skipped: [("not IP: ethertype 0x0806 (ARP)".to_owned(), 4)].into(),
            flows: vec![
                flow(Protocol::Tcp, 40_000, FlowVerdict::Pass),
                second,
                third,
            ],
            dns: vec![DnsSeen {
                name: "example.com".into(),
                addresses: vec![[93, 184, 216, 34].into()],
                ttl: 300,
            }],
            notes: vec!["mtu is 1400, the largest frame of the device".into()],
            damage: None,
            deterministic: true,
            figures: Figures {
                virtual_us: 2_500_000,
                frames_in: 60,
                frames_out: 58,
                flows: 2,
                steps: 118,
                ..Figures::default()
            },
        }
    }

    fn empty() -> Attempt {
        Attempt {
            packets_read: 0,
            skipped: [].into(),
            flows: vec![],
            dns: vec![],
            notes: vec![],
            ..attempt()
        }
    }

    fn shown(attempt: &Attempt) -> String {
        let mut out = Vec::new();
        human(
            &mut out,
            Path::new("phone.pcapng"),
            attempt,
            Style::default(),
        )
        .unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_flow_has_a_row_and_notes_follow() {
        insta::assert_snapshot!(shown(&attempt()));
    }

    #[test]
    fn the_json_names_every_flow_with_its_streams() {
        insta::assert_snapshot!(format!("{:#}", json(&attempt())));
    }

    #[test]
    fn nothing_to_replay_is_said_with_its_reason() {
        let said = |f: fn(&mut Attempt)| {
            let mut attempt = empty();
            f(&mut attempt);
            let code = exit_code(&attempt, false);
            (nothing_to_replay(&attempt).unwrap(), code)
        };
        let line = |why: &str| (format!("nothing to replay: {why}"), 4);
        assert_eq!(said(|_| ()), line("the capture holds no packet"));
        assert_eq!(
            said(|a| a.packets_read = 3),
            line("the capture holds no TCP or UDP flow")
        );
        let one = |a: &mut Attempt| (a.packets_read, a.flows) = (3, attempt().flows.split_off(2));
        assert_eq!(
            said(one),
            line("the one flow of the capture cannot be replayed")
        );
        assert_eq!(nothing_to_replay(&attempt()), None);
    }

    #[test]
    fn a_partial_flow_is_told_with_its_bytes_and_fails_only_if_strict() {
        let mut attempt = attempt();
        attempt.flows.truncate(1);
        let why = "12 of 36 bytes are not in the capture and stand as zeros";
        attempt.flows[0].verdict = FlowVerdict::Partial(why.into());
        attempt.flows[0].invented_bytes = 12;
        assert_eq!(
            (exit_code(&attempt, false), exit_code(&attempt, true)),
            (0, 1)
        );
        let flow = json(&attempt)["flows"][0].clone();
        assert_eq!(
            (&flow["verdict"], &flow["reason"]),
            (&json!("partial"), &json!(why))
        );
        assert_eq!(flow["invented_bytes"], 12);
        let shown = shown(&attempt);
        assert!(
            shown.contains("1 flow: 0 passed, 1 partial, 0 failed"),
            "{shown}"
        );
        assert!(shown.contains(why), "{shown}");
    }

    #[test]
    fn the_exit_code_is_the_worst_of_the_attempt() {
        let code = |f: fn(&mut Attempt)| {
            let mut attempt = attempt();
            f(&mut attempt);
            exit_code(&attempt, false)
        };
        assert_eq!(code(|_| ()), 1);
        assert_eq!(code(|a| a.flows.truncate(1)), 0);
        assert_eq!(code(|a| a.deterministic = false), 6);
        assert_eq!(
            code(|a| (a.deterministic, a.damage) = (false, Some(Diagnostic::new("cut")))),
            3
        );
    }
}
