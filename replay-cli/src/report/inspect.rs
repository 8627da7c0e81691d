//! Reports of `replay inspect`.

pub(super) mod time;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};

use crate::base::diagnostic::Diagnostic;
use crate::base::term::{Paint, Style, printable};
use crate::base::wording::{counted, seconds};
use crate::capture::Packing;
use crate::capture::conversation::no_flow;
use crate::capture::inspect::Inspection;
use crate::capture::inspect::flow::{End, Flow, Sender, TcpSigns, Traffic};
use crate::report::attempt::why_nothing;
use crate::report::facts::{self, Clock};
use crate::report::flows::{self, Row, View};
use crate::report::json;
use crate::report::table::Align;

/// The line for a choice of flows that none meets.
#[must_use]
pub fn unmet(seen: &Inspection, view: &View) -> Option<String> {
    let chosen = flows::choose(rows(seen), view).len();
    view.unmet(chosen, seen.flows.len())
}

/// The report programs read, of the flows that are wanted; `damage` is what is wrong with the file, in words.
#[must_use]
pub fn json(capture: &Path, seen: &Inspection, damage: Option<&Diagnostic>, view: &View) -> Value {
    let Inspection {
        info,
        packets,
        span_ns,
        transports,
        comments,
        flows,
        beyond_table,
        problems,
        skipped,
        recorded,
        damage: _,
    } = seen;
    let start_ns = span_ns.map_or(0, |(start, _)| start);
    let link_types = list(
        &info.link_types,
        |number| json!({ "number": number, "name": link_name(*number) }),
    );
    let interfaces = list(
        &info.interfaces,
        |interface| json!({ "link_type": interface.link_type, "name": interface.name }),
    );
    let comments = list(
        comments,
        |(frame, text)| json!({ "frame": frame, "text": text }),
    );
    let problems = list(
        problems.list(),
        |problem| json!({ "kind": problem.kind, "count": problem.count, "text": problem.text }),
    );
    let time = span_ns.map(|(start, end)| {
        json!({
            "start": time::utc(start),
            "end": time::utc(end),
            "start_ns": start,
            "duration_us": end.abs_diff(start) / 1000,
        })
    });
    let tunnelled = info.tunnelled.iter();
    let tunnelled: BTreeMap<_, _> = tunnelled
        .map(|(tunnel, count)| (tunnel.as_str(), count))
        .collect();
    let wanted = flows::choose(rows(seen), view).into_iter();
    let wanted = wanted.filter_map(|row| {
        let flow = flows.get(row.index)?;
        Some(self::flow(flow, row.number, start_ns))
    });
    json!({
        "schema": json::SCHEMA,
        "capture": capture.to_string_lossy(),
        "format": info.format,
        "packing": info.packing.map(Packing::as_str),
        "link_types": link_types,
        "interfaces": interfaces,
        "packets": packets,
        "time": time,
        "transports": transports,
        "tunnelled": tunnelled,
        "comments": { "count": info.comments, "file": info.file_comments, "packets": comments },
        "flows": wanted.collect::<Vec<_>>(),
        "packets_beyond_flow_table": beyond_table,
        "problems": problems,
        "skipped": json::skipped(skipped),
        "recorded": recorded,
        "damage": damage.map(json::diagnostic),
    })
}

fn list<T>(items: impl IntoIterator<Item = T>, value: impl Fn(T) -> Value) -> Value {
    items.into_iter().map(value).collect()
}

/// The flows as they are listed. Those that `try` passes over come after the others, so that the rest have the same numbers.
fn rows(seen: &Inspection) -> impl Iterator<Item = Row<'_>> {
    let is_flow = |flow: &Flow| {
        let (client, server) = (flow.client, flow.server);
        no_flow(client.ip(), server.ip()).is_none() && client.port() != 0 && server.port() != 0
    };
    let known = seen.flows.iter().filter(move |flow| is_flow(flow)).count();
    let (mut next, mut beyond) = (1, known + 1);
    seen.flows.iter().enumerate().map(move |(index, flow)| {
        let number = if is_flow(flow) {
            &mut next
        } else {
            &mut beyond
        };
        *number += 1;
        Row {
            index,
            number: *number - 1,
            verdict: "",
            reason: None,
            protocol: flow.protocol,
            client: flow.client,
            server: flow.server,
            facts: &flow.facts,
            packets: flow.up.packets.saturating_add(flow.down.packets),
            up: flow.up.bytes,
            down: flow.down.bytes,
            start_ns: flow.start_ns,
            lasted_ns: flow.end_ns.abs_diff(flow.start_ns),
        }
    })
}

fn flow(flow: &Flow, number: usize, start_ns: i64) -> Value {
    let Flow {
        protocol,
        client,
        server,
        up,
        down,
        start_ns: first,
        end_ns,
        tcp,
        facts,
    } = flow;
    let mut value = json!({
        "number": number,
        "name": facts.name,
        "facts": facts::json(facts, start_ns),
        "proto": protocol.as_str(),
        "client": client.to_string(),
        "server": server.to_string(),
        "upstream": traffic(up),
        "downstream": traffic(down),
        "start_us": first.abs_diff(start_ns) / 1000,
        "duration_us": end_ns.abs_diff(*first) / 1000,
    });
    if let Some(signs) = tcp {
        value["handshake"] = json!(signs.handshake());
        value["ends"] = list(ends(signs), |(how, by)| json!({ "how": how, "by": by }));
    }
    value
}

fn traffic(traffic: &Traffic) -> Value {
    json!({
        "packets": traffic.packets,
        "bytes": traffic.bytes,
        "retransmissions": traffic.retransmissions,
    })
}

fn ends(signs: &TcpSigns) -> impl Iterator<Item = (&'static str, &'static str)> {
    signs.ends.iter().flatten().map(|(end, sender)| {
        let how = match end {
            End::Fin => "fin",
            End::Rst => "rst",
        };
        let by = match sender {
            Sender::Client => "client",
            Sender::Server => "server",
        };
        (how, by)
    })
}

/// Prints the report people read.
///
/// # Errors
/// Writing failed.
pub fn human(
    out: &mut dyn Write,
    capture: &Path,
    seen: &Inspection,
    view: &View,
    style: Style,
) -> io::Result<()> {
    let clock = Clock {
        form: view.time,
        start_ns: seen.span_ns.map_or(0, |(start, _)| start),
    };
    let chosen = flows::choose(rows(seen), view);
    if let (Some(_), [row]) = (&view.flow, chosen.as_slice()) {
        return detail(out, style, clock, row, seen);
    }
    head(out, capture, seen, style)?;
    if !chosen.is_empty() {
        writeln!(out)?;
    }
    let device = flows::device(rows(seen));
    flows::print(out, style, view, chosen, &COLUMNS, &BRIEF, |row| {
        [
            row.number.to_string(),
            row.flow(device),
            row.packets.to_string(),
            row.up.to_string(),
            row.down.to_string(),
            clock.cell(row.start_ns),
            row.why(clock),
        ]
    })?;
    if seen.beyond_table > 0 {
        let packets = counted(seen.beyond_table, "packet");
        writeln!(out, "{packets} of further flows are not in the table")?;
    }
    if !seen.recorded.is_empty() {
        let kinds = counts(&seen.recorded);
        writeln!(
            out,
            "\na flight recorder's file, with what its engine's dialer did: {kinds}"
        )?;
    }
    let problems = seen.problems.list();
    if !problems.is_empty() || !seen.skipped.is_empty() {
        writeln!(out)?;
    }
    for problem in problems {
        let kind = style.paint(Paint::Attention, problem.kind);
        writeln!(out, "{kind}: {}", printable(&problem.text))?;
    }
    flows::skipped(out, &seen.skipped)?;
    if seen.flows.is_empty() {
        let why = why_nothing(seen.packets, 0);
        writeln!(out, "nothing to replay: {why}")?;
    }
    Ok(())
}

/// Kinds with how many there are of each, in one line.
fn counts<K: Display>(of: &BTreeMap<K, u64>) -> String {
    let counts: Vec<String> = of
        .iter()
        .map(|(kind, count)| format!("{count} {kind}"))
        .collect();
    counts.join(", ")
}

fn head(out: &mut dyn Write, capture: &Path, seen: &Inspection, style: Style) -> io::Result<()> {
    let info = &seen.info;
    let name = capture.display().to_string();
    let name = style.paint(Paint::Strong, &printable(&name)).to_string();
    let packing = info.packing.map(|packing| format!(", {packing}"));
    writeln!(
        out,
        "{name}: {}{}",
        info.format,
        packing.unwrap_or_default()
    )?;
    let mut line = |label: &str, text: &str| writeln!(out, "  {label:<11}{}", printable(text));
    let links: Vec<String> = info.link_types.iter().map(|number| link(*number)).collect();
    if !links.is_empty() {
        line("link types", &links.join(", "))?;
    }
    for (index, interface) in info.interfaces.iter().enumerate().take(MAX_INTERFACES) {
        if let Some(name) = &interface.name {
            let link = link(interface.link_type);
            line("interface", &format!("{index}: {name}, {link}"))?;
        }
    }
    let transports = counts(&seen.transports);
    let colon = if transports.is_empty() { "" } else { ": " };
    line("packets", &format!("{}{colon}{transports}", seen.packets))?;
    if let Some((start, end)) = seen.span_ns {
        let lasted = seconds(end.abs_diff(start) / 1000);
        let (from, to) = (time::utc(start), time::utc(end));
        line("time", &format!("{from} to {to}, {lasted} s"))?;
    }
    if let Some(note) = info.tunnel_note() {
        line("tunnels", &note)?;
    }
    if !seen.flows.is_empty() {
        let trouble = flows::with_trouble(rows(seen));
        line("flows", &format!("{}, {trouble}", seen.flows.len()))?;
    }
    if let Some(device) = flows::device(rows(seen)) {
        let flows = seen.flows.iter();
        let opens = flows.filter(|flow| flow.client.ip() == device).count() as u64;
        let all = counted(seen.flows.len() as u64, "flow");
        line("device", &format!("{device}, opens {opens} of {all}"))?;
    }
    if info.comments > 0 {
        line("comments", &info.comments.to_string())?;
    }
    for comment in &info.file_comments {
        line("comment", &comment.replace('\n', " / "))?;
    }
    for (frame, comment) in &seen.comments {
        let comment = comment.replace('\n', " / ");
        line("comment", &format!("frame {frame}: {comment}"))?;
    }
    Ok(())
}

/// The most interfaces that are printed.
const MAX_INTERFACES: usize = 16;

const COLUMNS: [(&str, Align); 7] = [
    ("#", Align::Right),
    ("FLOW", Align::Left),
    ("PACKETS", Align::Right),
    ("SENT UP", Align::Right),
    ("DOWN", Align::Right),
    ("START", Align::Right),
    ("FACTS", Align::Left),
];

/// The columns that are left where a line has no room for all.
const BRIEF: [usize; 3] = [0, 1, 6];

/// One flow at length.
fn detail(
    out: &mut dyn Write,
    style: Style,
    clock: Clock,
    row: &Row<'_>,
    seen: &Inspection,
) -> io::Result<()> {
    let mut more = Vec::new();
    if let Some(flow) = seen.flows.get(row.index) {
        let Flow { up, down, tcp, .. } = flow;
        let packets = format!("{} up, {} down", up.packets, down.packets);
        let sent = format!("{} bytes up, {} down", up.bytes, down.bytes);
        more.extend([("packets", packets), ("sent", sent)]);
        if let Some(signs) = tcp {
            more.push(("handshake", signs.handshake().to_owned()));
            let ends = ends(signs).map(|(how, by)| {
                let by = if by == "client" { "device" } else { "remote" };
                format!("{how} by {by}")
            });
            let ends: Vec<String> = ends.collect();
            if !ends.is_empty() {
                more.push(("ends", ends.join(", ")));
            }
        }
    }
    flows::detail(out, style, clock, row, &more)
}

fn link(number: u16) -> String {
    match link_name(number) {
        Some(name) => format!("{number} ({name})"),
        None => number.to_string(),
    }
}

/// The name of a link type that is read, as the registry has it.
fn link_name(number: u16) -> Option<&'static str> {
    Some(match number {
        0 => "NULL",
        1 => "ETHERNET",
        8 => "SLIP",
        9 => "PPP",
        10 => "FDDI",
        12 | 14 | 101 => "RAW",
        50 => "PPP_HDLC",
        51 => "PPP_ETHER",
        104 => "C_HDLC",
        105 => "IEEE802_11",
        107 => "FRELAY",
        108 => "LOOP",
        109 => "ENC",
        113 => "LINUX_SLL",
        117 => "PFLOG",
        119 => "IEEE802_11_PRISM",
        127 => "IEEE802_11_RADIOTAP",
        138 => "APPLE_IP_OVER_IEEE1394",
        149 | 258 => "PKTAP",
        166 => "PPP_PPPD",
        192 => "PPI",
        226 => "IPNET",
        228 => "IPV4",
        229 => "IPV6",
        239 => "NFLOG",
        276 => "LINUX_SLL2",
        281 => "DSA_TAG_BRCM",
        282 => "DSA_TAG_BRCM_PREPEND",
        284 => "DSA_TAG_DSA",
        285 => "DSA_TAG_EDSA",
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
