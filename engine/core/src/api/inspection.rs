//! The flows as a table: state, age, traffic, queues, next timer.

use crate::api::json::Object;
use crate::api::time::Micros;
use crate::flow::key::{FlowKey, Proto};
use crate::flow::table::FlowId;
use crate::flow::timer::TimerName;
use core::fmt;
use core::time::Duration;

/// All flows at one instant, in the order of their handles' slots.
///
/// ```
/// use engine::{Config, Engine, Micros};
///
/// let mut engine = Engine::new(Config { seed: Some(7), ..Config::default() })?;
/// let flows = engine.inspect(Micros::from_secs(1));
/// assert_eq!(flows.to_json(), r#"{"at_us":1000000,"flows":[]}"#);
/// print!("{flows}");
/// # Ok::<(), engine::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inspection {
    /// When.
    pub at: Micros,
    /// The flows.
    pub flows: Vec<FlowInfo>,
}

/// One flow at one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FlowInfo {
    /// Its handle.
    pub flow: FlowId,
    /// The tuple.
    pub key: FlowKey,
    /// The name under which the device learnt the server's address, if a DNS answer gave one.
    pub name: Option<String>,
    /// TCP: the state of the connection with the device (RFC 9293 section 3.3.2), `SYN-HELD` before the dial is
    /// answered. UDP: `DIALING`, `OPEN` or `BLOCKED`.
    pub state: &'static str,
    /// Since the dial was asked for.
    pub age: Duration,
    /// Since anything moved.
    pub idle: Duration,
    /// Bytes handed to the dialer.
    pub upstream: u64,
    /// Bytes taken from the dialer.
    pub downstream: u64,
    /// Bytes of the device that the dialer has not taken.
    pub upstream_queue: usize,
    /// Bytes of the dialer that the device has not acknowledged.
    pub downstream_queue: usize,
    /// What the flow waits for next, and how long that is off.
    pub timer: Option<(TimerName, Duration)>,
}

impl Inspection {
    /// One object: `at_us` and a list `flows`; times in microseconds.
    #[must_use]
    pub fn to_json(&self) -> String {
        let flows: Vec<String> = self.flows.iter().map(FlowInfo::to_json).collect();
        let mut object = Object::new();
        object.number("at_us", self.at.0);
        object.raw("flows", &format!("[{}]", flows.join(",")));
        object.end()
    }
}

impl FlowInfo {
    fn to_json(&self) -> String {
        let mut object = Object::new();
        object.number("flow", self.flow.to_bits());
        object.text("proto", &self.key.proto.to_string());
        object.text("client", &self.key.client.to_string());
        object.text("server", &self.key.server.to_string());
        if let Some(name) = &self.name {
            object.text("name", name);
        }
        object.text("state", self.state);
        object.number("age_us", micros(self.age));
        object.number("idle_us", micros(self.idle));
        object.number("upstream", self.upstream);
        object.number("downstream", self.downstream);
        object.number("upstream_queue", self.upstream_queue as u64);
        object.number("downstream_queue", self.downstream_queue as u64);
        if let Some((timer, after)) = self.timer {
            object.text("timer", timer.label());
            object.number("timer_after_us", micros(after));
        }
        object.end()
    }

    fn cells(&self) -> [String; COLUMNS] {
        [
            self.key.proto.to_string(),
            self.key.client.to_string(),
            self.key.server.to_string(),
            self.name.clone().unwrap_or_else(|| "-".to_owned()),
            self.state.to_owned(),
            seconds(self.age),
            seconds(self.idle),
            self.upstream.to_string(),
            self.downstream.to_string(),
            self.upstream_queue.to_string(),
            self.downstream_queue.to_string(),
            self.timer.map_or_else(
                || "-".to_owned(),
                |(timer, after)| format!("{} in {}", timer.label(), seconds(after)),
            ),
        ]
    }
}

const COLUMNS: usize = 12;

const HEADINGS: [&str; COLUMNS] = [
    "proto",
    "device",
    "server",
    "name",
    "state",
    "age",
    "idle",
    "up",
    "down",
    "up-q",
    "down-q",
    "next timer",
];

/// Columns of numbers, set to the right.
const fn is_number(column: usize) -> bool {
    matches!(column, 5..=10)
}

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = vec![HEADINGS.map(str::to_owned)];
        rows.extend(self.flows.iter().map(FlowInfo::cells));
        let mut widths = [0; COLUMNS];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for row in &rows {
            let cells = row.iter().zip(widths).enumerate();
            let padded = cells.map(|(column, (cell, width))| match is_number(column) {
                true => format!("{cell:>width$}"),
                false => format!("{cell:<width$}"),
            });
            let line = padded.collect::<Vec<_>>().join("  ");
            writeln!(f, "{}", line.trim_end())?;
        }
        let is_tcp = |flow: &&FlowInfo| flow.key.proto == Proto::Tcp;
        let tcp = self.flows.iter().filter(is_tcp).count();
        writeln!(f, "{tcp} TCP and {} UDP flows", self.flows.len() - tcp)
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Seconds with three decimals.
fn seconds(time: Duration) -> String {
    format!("{}.{:03}s", time.as_secs(), time.subsec_millis())
}
