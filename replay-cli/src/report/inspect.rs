//! Reports of `replay inspect`.

mod time;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};

use crate::base::diagnostic::Diagnostic;
use crate::base::term::{Paint, Style, printable};
use crate::base::wording::{counted, seconds};
use crate::capture::Packing;
use crate::capture::inspect::Inspection;
use crate::capture::inspect::flow::{End, Flow, Sender, TcpSigns, Traffic};
use crate::report::json;
use crate::report::table::{Align, Table};

/// The report programs read; `damage` is what is wrong with the file, in words.
#[must_use]
pub fn json(capture: &Path, seen: &Inspection, damage: Option<&Diagnostic>) -> Value {
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
    let link_types: Vec<Value> = info
        .link_types
        .iter()
        .map(|number| json!({ "number": number, "name": link_name(*number) }))
        .collect();
    let interfaces: Vec<Value> = info
        .interfaces
        .iter()
        .map(|interface| json!({ "link_type": interface.link_type, "name": interface.name }))
        .collect();
    let comments: Vec<Value> = comments
        .iter()
        .map(|(frame, text)| json!({ "frame": frame, "text": text }))
        .collect();
    let problems: Vec<Value> = problems
        .list()
        .into_iter()
        .map(
            |problem| json!({ "kind": problem.kind, "count": problem.count, "text": problem.text }),
        )
        .collect();
    let skipped: Vec<Value> = skipped
        .iter()
        .map(|(reason, count)| json!({ "reason": reason, "count": count }))
        .collect();
    let time = span_ns.map(|(start, end)| {
        json!({
            "start": time::utc(start),
            "end": time::utc(end),
            "start_ns": start,
            "duration_us": end.abs_diff(start) / 1000,
        })
    });
    let tunnelled: BTreeMap<_, _> = info
        .tunnelled
        .iter()
        .map(|(tunnel, count)| (tunnel.as_str(), count))
        .collect();
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
        "flows": flows.iter().map(|flow| self::flow(flow, start_ns)).collect::<Vec<_>>(),
        "packets_beyond_flow_table": beyond_table,
        "problems": problems,
        "skipped": skipped,
        "recorded": recorded,
        "damage": damage.map(json::diagnostic),
    })
}

fn flow(flow: &Flow, start_ns: i64) -> Value {
    let Flow {
        protocol,
        client,
        server,
        up,
        down,
        start_ns: first,
        end_ns,
        tcp,
    } = flow;
    let mut value = json!({
        "proto": protocol.as_str(),
        "client": client.to_string(),
        "server": server.to_string(),
        "upstream": traffic(up),
        "downstream": traffic(down),
        "start_us": first.abs_diff(start_ns) / 1000,
        "duration_us": end_ns.abs_diff(*first) / 1000,
    });
    if let Some(signs) = tcp {
        let ends: Vec<Value> = ends(signs)
            .map(|(how, by)| json!({ "how": how, "by": by }))
            .collect();
        value["handshake"] = json!(signs.handshake());
        value["ends"] = json!(ends);
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
    style: Style,
) -> io::Result<()> {
    head(out, capture, seen, style)?;
    if !seen.flows.is_empty() {
        writeln!(out)?;
        flow_table(seen).print(out, style, |_| None)?;
    }
    if seen.beyond_table > 0 {
        let packets = counted(seen.beyond_table, "packet");
        writeln!(out, "{packets} of further flows are not in the table")?;
    }
    if !seen.recorded.is_empty() {
        let kinds: Vec<String> = seen
            .recorded
            .iter()
            .map(|(kind, count)| format!("{count} {kind}"))
            .collect();
        writeln!(out)?;
        writeln!(
            out,
            "a flight recorder's file, with what its engine's dialer did: {}",
            kinds.join(", ")
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
    for (reason, count) in &seen.skipped {
        writeln!(
            out,
            "skipped: {}: {}",
            counted(*count, "packet"),
            printable(reason)
        )?;
    }
    if seen.flows.is_empty() {
        let what = if seen.packets == 0 {
            "packet"
        } else {
            "TCP or UDP flow"
        };
        writeln!(out, "nothing to replay: the capture holds no {what}")?;
    }
    Ok(())
}

fn head(out: &mut dyn Write, capture: &Path, seen: &Inspection, style: Style) -> io::Result<()> {
    let info = &seen.info;
    let name = capture.display().to_string();
    let packing = info.packing.map(|packing| format!(", {packing}"));
    writeln!(
        out,
        "{}: {}{}",
        style.paint(Paint::Strong, &printable(&name)),
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
            line(
                "interface",
                &format!("{index}: {name}, {}", link(interface.link_type)),
            )?;
        }
    }
    let transports: Vec<String> = seen
        .transports
        .iter()
        .map(|(kind, count)| format!("{count} {kind}"))
        .collect();
    let colon = if transports.is_empty() { "" } else { ": " };
    line(
        "packets",
        &format!("{}{colon}{}", seen.packets, transports.join(", ")),
    )?;
    if let Some((start, end)) = seen.span_ns {
        let lasted = seconds(end.abs_diff(start) / 1000);
        line(
            "time",
            &format!("{} to {}, {lasted} s", time::utc(start), time::utc(end)),
        )?;
    }
    if let Some(note) = info.tunnel_note() {
        line("tunnels", &note)?;
    }
    if info.comments > 0 {
        line("comments", &info.comments.to_string())?;
    }
    for comment in &info.file_comments {
        line("comment", &comment.replace('\n', " / "))?;
    }
    for (frame, comment) in &seen.comments {
        line(
            "comment",
            &format!("frame {frame}: {}", comment.replace('\n', " / ")),
        )?;
    }
    Ok(())
}

/// The most interfaces that are printed.
const MAX_INTERFACES: usize = 16;

fn flow_table(seen: &Inspection) -> Table<10> {
    let mut table = Table::new([
        ("PROTO", Align::Left),
        ("CLIENT > SERVER", Align::Left),
        ("PACKETS UP", Align::Right),
        ("DOWN", Align::Right),
        ("BYTES UP", Align::Right),
        ("DOWN", Align::Right),
        ("START", Align::Right),
        ("LASTS", Align::Right),
        ("HANDSHAKE", Align::Left),
        ("ENDS", Align::Left),
    ]);
    let start_ns = seen.span_ns.map_or(0, |(start, _)| start);
    for flow in &seen.flows {
        let ends = flow.tcp.iter().flat_map(ends);
        let ends: Vec<String> = ends.map(|(how, by)| format!("{how} by {by}")).collect();
        let handshake = flow.tcp.map_or("", |signs| signs.handshake());
        table.row([
            flow.protocol.to_string(),
            format!("{} > {}", flow.client, flow.server),
            flow.up.packets.to_string(),
            flow.down.packets.to_string(),
            flow.up.bytes.to_string(),
            flow.down.bytes.to_string(),
            format!("{}s", seconds(flow.start_ns.abs_diff(start_ns) / 1000)),
            format!("{}s", seconds(flow.end_ns.abs_diff(flow.start_ns) / 1000)),
            handshake.to_owned(),
            ends.join(", "),
        ]);
    }
    table
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
