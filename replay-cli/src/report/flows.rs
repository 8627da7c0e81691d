//! Flows as `try` and `inspect` list them: few of them all, of many those that need a look, and groups of the rest.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use super::facts::{self, Clock, TimeForm};
use super::table::{self, Align};
use crate::base::term::{Paint, Style, printable};
use crate::base::wording::counted;
use crate::capture::facts::{FactKind, Facts};
use crate::scenario::Protocol;

/// Which flows are shown, in what order, and how.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Every flow has its row.
    pub all: bool,
    /// Only flows that failed or have trouble.
    pub failed: bool,
    /// Only these.
    pub flow: Option<Wanted>,
    /// In what order; what needs a look first, if none is given.
    pub sort: Option<Sort>,
    /// How points in time are written.
    pub time: TimeForm,
    /// How many characters fit a line; 0: any number.
    pub width: usize,
}

/// What flows are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Sort {
    /// Their order in the capture.
    Number,
    /// What went wrong, the worst first.
    Trouble,
    /// How long they lasted, the longest first.
    Duration,
    /// Bytes of both sides, most first.
    Bytes,
    /// What the far side is called, else its address.
    Name,
}

/// Which flows are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The flow of this number, or, if there are not so many, those with this port.
    Number(usize),
    /// Those with this port on either side.
    Port(u16),
    /// Those with this address on either side.
    Address(IpAddr),
    /// Those with this address and port on either side.
    Socket(SocketAddr),
    /// Those whose far side has this in its name.
    Name(String),
}

impl View {
    /// The line for a choice of flows that none of so many meets.
    #[must_use]
    pub fn unmet(&self, chosen: usize, flows: usize) -> Option<String> {
        let wanted = self.flow.as_ref().filter(|_| chosen == 0)?;
        let flows = counted(flows as u64, "flow");
        Some(format!("no flow is {wanted}: the capture has {flows}"))
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "number {number}"),
            Self::Port(port) => write!(f, "of port {port}"),
            Self::Address(address) => write!(f, "of {address}"),
            Self::Socket(socket) => write!(f, "of {socket}"),
            Self::Name(name) => write!(f, "to a name with '{name}'"),
        }
    }
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("give a flow's number, an address, a port or a name".to_owned());
        }
        let port = text.strip_prefix(':').and_then(|port| port.parse().ok());
        Ok(if let Ok(number) = text.parse() {
            Self::Number(number)
        } else if let Some(port) = port {
            Self::Port(port)
        } else if let Ok(address) = text.trim_matches(['[', ']']).parse() {
            Self::Address(address)
        } else if let Ok(socket) = text.parse() {
            Self::Socket(socket)
        } else {
            Self::Name(text.to_ascii_lowercase())
        })
    }
}

/// A flow as it is listed.
#[derive(Clone, Debug)]
pub(super) struct Row<'a> {
    /// Its place among all flows of the report, from 0.
    pub(super) index: usize,
    /// From 1, in the order of first packets.
    pub(super) number: usize,
    /// Its verdict; empty where there is none.
    pub(super) verdict: &'static str,
    pub(super) reason: Option<&'a str>,
    pub(super) protocol: Protocol,
    pub(super) client: SocketAddr,
    pub(super) server: SocketAddr,
    pub(super) facts: &'a Facts,
    pub(super) packets: u64,
    pub(super) up: u64,
    pub(super) down: u64,
    pub(super) start_ns: i64,
    pub(super) lasted_ns: u64,
}

impl Row<'_> {
    fn is_meant(&self, wanted: &Wanted, flows: usize) -> bool {
        let ends = [self.client, self.server];
        let port = |port: usize| ends.iter().any(|end| usize::from(end.port()) == port);
        match wanted {
            Wanted::Number(number) if *number > flows => port(*number),
            Wanted::Number(number) => self.number == *number,
            Wanted::Port(wanted) => port((*wanted).into()),
            Wanted::Address(address) => ends.iter().any(|end| end.ip() == *address),
            Wanted::Socket(socket) => ends.contains(socket),
            Wanted::Name(name) => {
                let of = self.facts.name.as_ref();
                of.is_some_and(|of| of.to_ascii_lowercase().contains(name))
            }
        }
    }

    /// Whether it needs a look, and how urgently: less is more so.
    fn urgency(&self) -> (u8, Option<FactKind>) {
        let worst = self.facts.trouble();
        let class = match self.verdict {
            "fail" => 0,
            _ if worst.is_some() => 1,
            "partial" => 2,
            "unreplayable" => 3,
            _ => 4,
        };
        (class, worst)
    }

    fn needs_a_look(&self) -> bool {
        self.urgency().0 <= 1
    }

    fn bytes(&self) -> u64 {
        self.up.saturating_add(self.down)
    }

    /// The far side by its name, if it has one.
    fn far(&self) -> String {
        match &self.facts.name {
            Some(name) => format!("{name}:{}", self.server.port()),
            None => self.server.to_string(),
        }
    }

    /// Both sides; without the address of the capture's device.
    pub(super) fn flow(&self, device: Option<IpAddr>) -> String {
        let far = self.far();
        if self.protocol == Protocol::Icmp {
            // It has no ports.
            let (client, server) = (self.client.ip(), self.server.ip());
            return format!("{} {client} > {server}", self.protocol);
        }
        if device == Some(self.client.ip()) {
            format!("{} :{} > {far}", self.protocol, self.client.port())
        } else {
            format!("{} {} > {far}", self.protocol, self.client)
        }
    }

    /// Why its verdict is what it is, and its facts.
    pub(super) fn why(&self, clock: Clock) -> String {
        let facts = facts::line(self.facts, clock);
        match self.reason {
            Some(reason) if facts.is_empty() => reason.to_owned(),
            Some(reason) => format!("{reason}; {facts}"),
            None => facts,
        }
    }
}

/// The rows that are wanted, in the order that is wanted; without one, in that of the capture.
pub(super) fn choose<'a>(rows: impl Iterator<Item = Row<'a>>, view: &View) -> Vec<Row<'a>> {
    let mut rows: Vec<Row<'a>> = rows.collect();
    let flows = rows.len();
    rows.retain(|row| {
        let wanted = view.flow.as_ref();
        (!view.failed || row.needs_a_look())
            && wanted.is_none_or(|wanted| row.is_meant(wanted, flows))
    });
    match view.sort {
        None | Some(Sort::Number) => {}
        Some(Sort::Trouble) => rows.sort_by_key(Row::urgency),
        Some(Sort::Duration) => rows.sort_by_key(|row| std::cmp::Reverse(row.lasted_ns)),
        Some(Sort::Bytes) => rows.sort_by_key(|row| std::cmp::Reverse(row.bytes())),
        Some(Sort::Name) => rows.sort_by_cached_key(Row::far),
    }
    rows
}

/// Flows up to which all have their row, and the most rows and groups that are shown of more.
const FEW: usize = 20;
const GROUPS: usize = 12;

/// Prints flows: `columns` and `cells` say how one looks, the last column being what there is to say about it, and `brief` which
/// columns are left where there is no room for all.
pub(super) fn print<const N: usize, const B: usize>(
    out: &mut dyn Write,
    style: Style,
    view: &View,
    mut rows: Vec<Row<'_>>,
    columns: &[(&'static str, Align); N],
    brief: &[usize; B],
    cells: impl Fn(&Row<'_>) -> [String; N],
) -> io::Result<()> {
    let table = |out: &mut dyn Write, rows: &[&Row<'_>]| {
        let all = || rows.iter().map(|row| cells(row));
        if table::fits(view.width, columns, all) {
            return table::print_within(view.width, columns, all, out, style, look);
        }
        let columns = brief.map(|column| columns[column]);
        let few = || {
            rows.iter().map(|row| {
                let mut cells = cells(row);
                brief.map(|column| std::mem::take(&mut cells[column]))
            })
        };
        table::print_within(view.width, &columns, few, out, style, look)
    };
    if rows.is_empty() {
        return Ok(());
    }
    if view.sort.is_none() {
        rows.sort_by_key(Row::urgency);
    }
    let whole = view.all || view.flow.is_some() || rows.len() <= FEW;
    if whole || view.failed {
        let shown = if whole { rows.len() } else { FEW };
        let (rows, rest) = rows.split_at(shown);
        table(out, &rows.iter().collect::<Vec<_>>())?;
        if !rest.is_empty() {
            let more = counted(rest.len() as u64, "more flow");
            writeln!(out, "and {more}: --all")?;
        }
        return Ok(());
    }
    let (first, rest): (Vec<&Row<'_>>, Vec<&Row<'_>>) = if view.sort.is_some() {
        let (first, rest) = rows.split_at(FEW);
        (first.iter().collect(), rest.iter().collect())
    } else {
        rows.iter().partition(|row| row.needs_a_look())
    };
    let (shown, hidden) = first.split_at(first.len().min(FEW));
    if !shown.is_empty() {
        table(out, shown)?;
        if !hidden.is_empty() {
            let more = counted(hidden.len() as u64, "more flow");
            writeln!(out, "and {more} with trouble: --failed --all")?;
        }
        writeln!(out)?;
    }
    groups(out, style, view, &rest)
}

/// Flows to the same far side that came to the same.
struct Group<'a> {
    first: &'a Row<'a>,
    flows: u64,
    up: u64,
    down: u64,
    facts: BTreeMap<FactKind, u64>,
}

fn groups(out: &mut dyn Write, style: Style, view: &View, rows: &[&Row<'_>]) -> io::Result<()> {
    let mut groups: BTreeMap<(u8, &str, String), Group<'_>> = BTreeMap::new();
    for row in rows {
        let (class, _) = row.urgency();
        let to = format!("{} {}", row.protocol, row.far());
        let group = groups
            .entry((class, row.verdict, to))
            .or_insert_with(|| Group {
                first: row,
                flows: 0,
                up: 0,
                down: 0,
                facts: BTreeMap::new(),
            });
        group.flows += 1;
        group.up = group.up.saturating_add(row.up);
        group.down = group.down.saturating_add(row.down);
        for fact in &row.facts.list {
            if !matches!(fact.kind, FactKind::Rtt) {
                *group.facts.entry(fact.kind).or_default() += fact.count;
            }
        }
    }
    let mut groups: Vec<((u8, &str, String), Group<'_>)> = groups.into_iter().collect();
    groups.sort_by_key(|((class, ..), group)| {
        (*class, std::cmp::Reverse(group.flows), group.first.number)
    });
    let (shown, hidden) = groups.split_at(groups.len().min(GROUPS));
    let columns = [
        ("FLOWS", Align::Right),
        ("VERDICT", Align::Left),
        ("TO", Align::Left),
        ("UP", Align::Right),
        ("DOWN", Align::Right),
        ("FACTS", Align::Left),
    ];
    let cells = |((_, verdict, to), group): &((u8, &str, String), Group<'_>)| {
        let facts = group.facts.iter();
        let facts = facts.map(|(kind, count)| facts::count_words(*kind, *count));
        let reason = group.first.reason.map(str::to_owned);
        let facts: Vec<String> = reason.into_iter().chain(facts).collect();
        [
            group.flows.to_string(),
            (*verdict).to_owned(),
            to.clone(),
            group.up.to_string(),
            group.down.to_string(),
            facts.join("; "),
        ]
    };
    if rows.first().is_some_and(|row| row.verdict.is_empty()) {
        let [flows, _, rest @ ..] = columns;
        let [to, up, down, facts] = rest;
        let columns = [flows, to, up, down, facts];
        let all = || {
            shown.iter().map(cells).map(|row| {
                let [flows, _, to, up, down, facts] = row;
                [flows, to, up, down, facts]
            })
        };
        table::print_within(view.width, &columns, all, out, style, |_| None)?;
    } else {
        let all = || shown.iter().map(cells);
        table::print_within(view.width, &columns, all, out, style, |_| None)?;
    }
    if !hidden.is_empty() {
        let flows: u64 = hidden.iter().map(|(_, group)| group.flows).sum();
        let groups = counted(hidden.len() as u64, "group");
        writeln!(
            out,
            "and {} in {groups}: --all",
            counted(flows, "more flow")
        )?;
    }
    Ok(())
}

/// Prints one flow at length: each fact in its line, with its frame.
pub(super) fn detail(
    out: &mut dyn Write,
    style: Style,
    clock: Clock,
    row: &Row<'_>,
    more: &[(&str, String)],
) -> io::Result<()> {
    let Row {
        number,
        protocol,
        client,
        server,
        facts,
        ..
    } = row;
    let name = facts.name.as_ref();
    let name = name.map_or_else(String::new, |name| format!(" ({name})"));
    let head = format!("flow {number}: {protocol} {client} > {server}{name}");
    writeln!(out, "{}", style.paint(Paint::Strong, &printable(&head)))?;
    let mut line = |label: &str, text: &str| writeln!(out, "  {label:<10}{}", printable(text));
    if !row.verdict.is_empty() {
        let reason = row.reason.map(|reason| format!(": {reason}"));
        let verdict = format!("{}{}", row.verdict, reason.unwrap_or_default());
        line("verdict", &verdict)?;
    }
    let end_ns = row.start_ns.saturating_add_unsigned(row.lasted_ns);
    let (from, to) = (clock.cell(row.start_ns), clock.cell(end_ns));
    let lasted = facts::lasted(row.lasted_ns);
    line("time", &format!("{from} to {to}, {lasted}"))?;
    for (label, text) in more {
        line(label, text)?;
    }
    for fact in &facts.list {
        let frame = format!("{} (frame {})", facts::words(fact, clock), fact.frame);
        line("fact", &frame)?;
    }
    Ok(())
}

/// Prints how many packets of a capture were skipped, for each reason.
pub(super) fn skipped(out: &mut dyn Write, skipped: &BTreeMap<String, u64>) -> io::Result<()> {
    skipped.iter().try_for_each(|(reason, count)| {
        let packets = counted(*count, "packet");
        writeln!(out, "skipped: {packets}: {}", printable(reason))
    })
}

/// How many flows have trouble, in words.
pub(super) fn with_trouble<'a>(rows: impl Iterator<Item = Row<'a>>) -> String {
    let trouble = rows.filter(|row| row.facts.trouble().is_some()).count();
    format!("{trouble} with trouble")
}

/// The address that opens most flows, if it is at least half of them.
pub(super) fn device<'a>(rows: impl Iterator<Item = Row<'a>>) -> Option<IpAddr> {
    let mut openers: BTreeMap<IpAddr, usize> = BTreeMap::new();
    let mut all = 0;
    for row in rows {
        *openers.entry(row.client.ip()).or_default() += 1;
        all += 1;
    }
    let (device, opened) = openers.into_iter().max_by_key(|(_, opened)| *opened)?;
    (opened * 2 >= all).then_some(device)
}

fn look(word: &str) -> Option<Paint> {
    match word {
        "pass" => Some(Paint::Good),
        "fail" => Some(Paint::Bad),
        "partial" | "unreplayable" => Some(Paint::Attention),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
