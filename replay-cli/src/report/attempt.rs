//! Reports of `replay try`: a verdict for each flow of a capture.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use serde_json::{Map, Value, json};

use super::facts::{self, Clock};
use super::flows::{self, Row, View};
use super::table::{self, Align};
use super::{figures_line, json, worst_of};
use crate::base::exit_code;
use crate::base::term::{Paint, Style, printable};
use crate::base::wording::counted;
use crate::scenario::Protocol;
use crate::stack::DnsSeen;
use crate::verdict::attempt::{Attempt, FlowAttempt, FlowVerdict, StreamSeen};

/// The exit code of the worst of an attempt; of a `strict` one a flow that is partial has failed.
#[must_use]
pub fn exit_code(attempt: &Attempt, strict: bool) -> u8 {
    let failed = attempt.flows.iter().any(|flow| match flow.verdict {
        FlowVerdict::Fail(_) => true,
        FlowVerdict::Partial(_) => strict,
        FlowVerdict::Pass | FlowVerdict::Unreplayable(_) => false,
    });
    let nothing = nothing_to_replay(attempt).is_some();
    worst_of([
        (attempt.damage.is_some(), exit_code::BAD_INPUT),
        (!attempt.deterministic, exit_code::NONDETERMINISM),
        (failed, exit_code::EXPECTATION_FAILED),
        (nothing, exit_code::NOTHING_SELECTED),
    ])
}

/// The line with the reason why nothing was replayed, if nothing was.
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

/// The line for a choice of flows that none meets.
#[must_use]
pub fn unmet(attempt: &Attempt, view: &View) -> Option<String> {
    let chosen = flows::choose(rows(attempt), view).len();
    view.unmet(chosen, attempt.flows.len())
}

/// The report programs read, of the flows that are wanted.
#[must_use]
pub fn json(attempt: &Attempt, view: &View) -> Value {
    let Attempt {
        packets_read,
        start_ns,
        skipped,
        flows,
        dns,
        notes,
        damage,
        deterministic,
        figures,
    } = attempt;
    let wanted = flows::choose(rows(attempt), view).into_iter();
    let wanted = wanted.filter_map(|row| {
        let flow = flows.get(row.index)?;
        Some(self::flow(flow, row.number, *start_ns))
    });
    json!({
        "schema": json::SCHEMA,
        "packets": { "read": packets_read, "skipped": json::skipped(skipped) },
        "flows": wanted.collect::<Vec<_>>(),
        "dns": dns.iter().map(dns_record).collect::<Vec<_>>(),
        "notes": notes,
        "figures": figures,
        "deterministic": deterministic,
        "damage": damage.as_ref().map(json::diagnostic),
    })
}

/// The flows as they are listed.
fn rows(attempt: &Attempt) -> impl Iterator<Item = Row<'_>> {
    attempt.flows.iter().enumerate().map(|(index, flow)| {
        let (verdict, reason) = verdict_words(&flow.verdict);
        Row {
            index,
            number: index + 1,
            verdict,
            reason,
            protocol: flow.protocol,
            client: flow.client,
            server: flow.server,
            facts: &flow.facts,
            packets: 0,
            up: flow.upstream.bytes,
            down: flow.downstream.bytes,
            start_ns: flow.start_ns,
            lasted_ns: flow.lasted_us.saturating_mul(1000),
        }
    })
}

fn flow(flow: &FlowAttempt, number: usize, start_ns: i64) -> Value {
    let [client, server] = flow.ends();
    let FlowAttempt {
        protocol,
        client: _,
        server: _,
        start_ns: first_ns,
        lasted_us,
        facts,
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
    put("number", json!(number));
    put("proto", json!(protocol.as_str()));
    put("client", json!(client));
    put("server", json!(server));
    put("name", json!(facts.name));
    put("start_us", json!(first_ns.abs_diff(start_ns) / 1000));
    put("duration_us", json!(lasted_us));
    put("verdict", json!(word));
    if let Some(reason) = reason {
        put("reason", json!(reason));
    }
    put("upstream", stream(upstream, *protocol));
    put("downstream", stream(downstream, *protocol));
    put("invented_bytes", json!(invented_bytes));
    put("adopted", json!(adopted));
    let close = close.as_ref();
    let close = close.map(|(by, how)| json!({ "by": by, "how": how }));
    put("close", close.into());
    put("facts", facts::json(facts, start_ns));
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

/// The word for how a flow ended, and why.
pub(super) fn verdict_words(verdict: &FlowVerdict) -> (&'static str, Option<&str>) {
    match verdict {
        FlowVerdict::Pass => ("pass", None),
        FlowVerdict::Partial(why) => ("partial", Some(why)),
        FlowVerdict::Fail(why) => ("fail", Some(why)),
        FlowVerdict::Unreplayable(why) => ("unreplayable", Some(why)),
    }
}

/// Prints the report people read, of the flows that are wanted.
///
/// # Errors
/// Writing failed.
pub fn human(
    out: &mut dyn Write,
    capture: &Path,
    attempt: &Attempt,
    view: &View,
    style: Style,
) -> io::Result<()> {
    let clock = Clock {
        form: view.time,
        start_ns: attempt.start_ns,
    };
    let chosen = flows::choose(rows(attempt), view);
    if let (Some(_), [row]) = (&view.flow, chosen.as_slice()) {
        detail(out, style, clock, row, attempt)?;
        return writeln!(out);
    }
    let some = !chosen.is_empty();
    let device = flows::device(rows(attempt));
    flows::print(out, style, view, chosen, &COLUMNS, &BRIEF, |row| {
        [
            row.verdict.to_owned(),
            row.number.to_string(),
            row.flow(device),
            row.up.to_string(),
            row.down.to_string(),
            clock.cell(row.start_ns),
            row.why(clock),
        ]
    })?;
    if some {
        writeln!(out)?;
    }
    notes(out, attempt, view)?;
    flows::skipped(out, &attempt.skipped)?;
    let shown = if view.all { usize::MAX } else { SOME };
    for DnsSeen {
        name,
        addresses,
        ttl,
    } in attempt.dns.iter().take(shown)
    {
        let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let line = format!("dns: {name} is {} for {ttl} s", addresses.join(", "));
        let width = if view.all { 0 } else { view.width };
        writeln!(out, "{}", printable(&table::cut(&line, width)))?;
    }
    if let more @ 1.. = attempt.dns.len().saturating_sub(shown) {
        writeln!(out, "dns: {}: --all", counted(more as u64, "more record"))?;
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
    writeln!(out, "{}: {}", printable(&name), summary(attempt))
}

/// One flow at length.
fn detail(
    out: &mut dyn Write,
    style: Style,
    clock: Clock,
    row: &Row<'_>,
    attempt: &Attempt,
) -> io::Result<()> {
    let bytes = format!("{} up, {} down", row.up, row.down);
    let mut more = vec![("bytes", bytes)];
    if let Some(flow) = attempt.flows.get(row.index) {
        if let Some((by, how)) = &flow.close {
            more.push(("close", format!("{how} by {by}")));
        }
        more.extend(flow.notes.iter().map(|note| ("note", note.clone())));
    }
    flows::detail(out, style, clock, row, &more)
}

/// The notes on the capture, then those on flows, each once however many flows have it.
fn notes(out: &mut dyn Write, attempt: &Attempt, view: &View) -> io::Result<()> {
    for note in &attempt.notes {
        writeln!(out, "note: {}", printable(note))?;
    }
    if view.failed {
        return Ok(());
    }
    // By the text without its numbers: how many flows have it, the first of them, and its text if that is the same in all.
    let mut by_text: BTreeMap<String, (u64, usize, Option<&str>)> = BTreeMap::new();
    for (index, flow) in attempt.flows.iter().enumerate() {
        for note in &flow.notes {
            let known = by_text
                .entry(without_numbers(note))
                .or_insert((0, index + 1, Some(note)));
            known.0 += 1;
            known.2 = known.2.filter(|text| text == note);
        }
    }
    let mut notes: Vec<_> = by_text.into_iter().collect();
    notes.sort_by_key(|(_, (_, first, _))| *first);
    let shown = if view.all { usize::MAX } else { SOME };
    for (text, (count, first, same)) in notes.iter().take(shown) {
        let text = printable(same.unwrap_or(text));
        if *count == 1 {
            writeln!(out, "note: flow {first}: {text}")?;
        } else {
            writeln!(out, "note: {count} flows: {text}")?;
        }
    }
    if let more @ 1.. = notes.len().saturating_sub(shown) {
        writeln!(out, "note: {}: --all", counted(more as u64, "more note"))?;
    }
    Ok(())
}

/// The most notes and DNS records that are printed, unless all are asked for.
const SOME: usize = 12;

/// A text with dots in the place of its numbers.
fn without_numbers(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for piece in text.split_inclusive(|c: char| !c.is_ascii_digit()) {
        let digits = piece.trim_start_matches(|c: char| c.is_ascii_digit());
        if digits.len() < piece.len() {
            plain.push_str("...");
        }
        plain.push_str(digits);
    }
    plain
}

const COLUMNS: [(&str, Align); 7] = [
    ("VERDICT", Align::Left),
    ("#", Align::Right),
    ("FLOW", Align::Left),
    ("UP", Align::Right),
    ("DOWN", Align::Right),
    ("START", Align::Right),
    ("FACTS", Align::Left),
];

/// The columns that are left where a line has no room for all.
const BRIEF: [usize; 4] = [0, 1, 2, 6];

fn summary(attempt: &Attempt) -> String {
    let count = |wanted: &str| {
        let flows = attempt.flows.iter();
        let words = flows.map(|flow| verdict_words(&flow.verdict).0);
        words.filter(|word| *word == wanted).count()
    };
    let partial = match count("partial") {
        0 => String::new(),
        partial => format!(", {partial} partial"),
    };
    format!(
        "{}: {} passed{partial}, {} failed, {} not replayable; {}\n  {} read; {}",
        counted(attempt.flows.len() as u64, "flow"),
        count("pass"),
        count("fail"),
        count("unreplayable"),
        flows::with_trouble(rows(attempt)),
        counted(attempt.packets_read, "packet"),
        figures_line(&attempt.figures),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::diagnostic::Diagnostic;
    use crate::capture::facts::Facts;
    use crate::simulation::Figures;

    fn flow(protocol: Protocol, port: u16, verdict: FlowVerdict) -> FlowAttempt {
        FlowAttempt {
            protocol,
            client: ([10, 0, 0, 2], port).into(),
            server: ([93, 184, 216, 34], 80).into(),
            start_ns: 1_204_000_000,
            lasted_us: 3_000_000,
            facts: Facts::default(),
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
            start_ns: 0,
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
            &View::default(),
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
        insta::assert_snapshot!(format!("{:#}", json(&attempt(), &View::default())));
    }

    #[test]
    fn a_note_that_several_flows_have_is_said_once() {
        let mut attempt = attempt();
        let notes = |note: &str| vec![note.to_owned(), "same in 2 flows".to_owned()];
        attempt.flows[0].notes = notes("3 frames made up");
        attempt.flows[1].notes = notes("14 frames made up");
        attempt.flows[2].notes = vec!["of one alone".to_owned()];
        let shown = shown(&attempt);
        for line in [
            "note: 2 flows: ... frames made up\n",
            "note: 2 flows: same in 2 flows\n",
            "note: flow 3: of one alone\n",
        ] {
            assert_eq!(shown.matches(line).count(), 1, "{line}: {shown}");
        }
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
        let flow = json(&attempt, &View::default())["flows"][0].clone();
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
