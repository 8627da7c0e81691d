//! What a person sees of a live session: a line for each event, or a table of the flows.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine::{Close, DialResult, DnsRecord, FlowId, FlowKey, Micros};
use engine_driver::recorder::Recorder;
use engine_driver::turn::{Crossing, Tap};
use engine_driver::{Notice, Snapshot};

/// Lines kept until they are printed; beyond, they are counted.
const LINES: usize = 10_000;

/// Flows in the table; the others are counted.
const ROWS: usize = 20;

/// What happened since it was shown last. The loop writes, the session's task reads.
#[derive(Debug)]
pub(crate) struct Board(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    started: Micros,
    now: Micros,
    flows: BTreeMap<FlowId, Row>,
    lines: Vec<String>,
    unprinted: u64,
    /// Counters when the table was drawn last, for rates.
    drawn: Option<(Micros, u64, u64)>,
    recording_problem: Option<String>,
}

#[derive(Debug)]
struct Row {
    key: FlowKey,
    name: Option<String>,
    since: Micros,
    dialed: Option<DialResult>,
    up: u64,
    down: u64,
}

impl Board {
    pub(crate) fn new(now: Micros) -> Self {
        Self(Mutex::new(State {
            started: now,
            now,
            ..State::default()
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The host name the device had looked up for the flow's destination.
    pub(crate) fn named(&self, flow: FlowId, name: Option<&str>) {
        let mut state = self.state();
        if let Some(row) = state.flows.get_mut(&flow) {
            row.name = name.map(str::to_owned);
        }
    }

    pub(crate) fn answered(&self, record: &DnsRecord) {
        let line = format!("dns   {} is {:?}", record.name, record.addresses);
        self.state().line(&line);
    }

    pub(crate) fn noticed(&self, notice: &Notice) {
        self.state().line(&format!("note  {notice}"));
    }

    pub(crate) fn recording_problem(&self) -> Option<String> {
        self.state().recording_problem.clone()
    }

    /// Prints a line for each event since the last call.
    pub(crate) fn lines(&self, out: &mut dyn Write) -> io::Result<()> {
        let (lines, unprinted) = {
            let mut state = self.state();
            let unprinted = core::mem::take(&mut state.unprinted);
            (core::mem::take(&mut state.lines), unprinted)
        };
        for line in lines {
            writeln!(out, "{line}")?;
        }
        if unprinted > 0 {
            writeln!(out, "note  {unprinted} more lines were too many to print")?;
        }
        Ok(())
    }

    /// Draws the table anew, from the upper left corner.
    pub(crate) fn draw(&self, out: &mut dyn Write, snapshot: &Snapshot) -> io::Result<()> {
        let mut state = self.state();
        // With a table no lines are needed.
        state.lines.clear();
        let counters = &snapshot.counters;
        let (bytes_in, bytes_out) = (counters.bytes_in, counters.bytes_out);
        let (then, before_in, before_out) = state.drawn.unwrap_or((state.started, 0, 0));
        let now = state.now;
        state.drawn = Some((now, bytes_in, bytes_out));
        let seconds = now.since(then).as_secs_f64().max(0.001);
        write!(out, "\x1b[H\x1b[2J")?;
        writeln!(
            out,
            "tcp {}  udp {}  up {}/s  down {}/s  lag p99 {} us  ring overflow {}",
            counters.tcp_flows,
            counters.udp_flows,
            count(rate(bytes_in - before_in, seconds)),
            count(rate(bytes_out - before_out, seconds)),
            snapshot.stats.lag.quantile(0.99).as_micros(),
            snapshot.stats.ring_overflow_frames,
        )?;
        let mut rows: Vec<&Row> = state.flows.values().collect();
        rows.sort_by_key(|row| core::cmp::Reverse(row.up + row.down));
        for row in rows.iter().take(ROWS) {
            let stand = row.dialed.map_or("dialing", DialResult::label);
            writeln!(
                out,
                "{:>8.1} s  {stand:<9} up {:>10}  down {:>10}  {}",
                now.since(row.since).as_secs_f64(),
                count(row.up),
                count(row.down),
                label(row),
            )?;
        }
        if rows.len() > ROWS {
            writeln!(out, "and {} more", rows.len() - ROWS)?;
        }
        Ok(())
    }
}

impl State {
    fn line(&mut self, what: &str) {
        if self.lines.len() >= LINES {
            self.unprinted += 1;
            return;
        }
        let at = self.now.since(self.started);
        self.lines
            .push(format!("{}.{:06} {what}", at.as_secs(), at.subsec_micros()));
    }

    fn crossed(&mut self, now: Micros, crossing: Crossing<'_>) {
        self.now = now;
        match crossing {
            Crossing::Dial(flow, key) => {
                let row = Row {
                    key,
                    name: None,
                    since: now,
                    dialed: None,
                    up: 0,
                    down: 0,
                };
                self.flows.insert(flow, row);
            }
            Crossing::Dialed(flow, result) => {
                let Some(row) = self.flows.get_mut(&flow) else {
                    return;
                };
                row.dialed = Some(result);
                let took = now.since(row.since).as_secs_f64();
                let (flow, result) = (label(row), result.label());
                self.line(&format!("dial  {flow} {result} after {took:.3} s"));
            }
            Crossing::Data(flow, bytes) | Crossing::Datagram(flow, _, bytes) => {
                if let Some(row) = self.flows.get_mut(&flow) {
                    row.down += bytes.len() as u64;
                }
            }
            Crossing::Sent(flow, bytes) | Crossing::DatagramSent(flow, _, bytes) => {
                if let Some(row) = self.flows.get_mut(&flow) {
                    row.up += bytes.len() as u64;
                }
            }
            Crossing::Close(flow, close) => self.closed(now, flow, close),
            _ => {}
        }
    }

    fn closed(&mut self, now: Micros, flow: FlowId, close: Close) {
        if let Some(row) = self.flows.remove(&flow) {
            let (flow, how, by) = (label(&row), close.how.label(), close.by);
            let (up, down) = (count(row.up), count(row.down));
            let after = now.since(row.since).as_secs_f64();
            self.line(&format!(
                "close {flow} {how} by {by}, up {up}, down {down}, after {after:.3} s"
            ));
        }
    }
}

/// Keeps the board up to date, and records.
pub(crate) struct Watch {
    board: Arc<Board>,
    recorder: Option<Recorder>,
}

impl Watch {
    pub(crate) fn new(board: Arc<Board>, recorder: Option<Recorder>) -> Self {
        Self { board, recorder }
    }
}

impl Tap for Watch {
    fn crossed(&mut self, now: Micros, crossing: Crossing<'_>) {
        if let Some(recorder) = &mut self.recorder {
            recorder.crossed(now, crossing);
        }
        if !matches!(crossing, Crossing::FrameIn(_) | Crossing::FrameOut(_)) {
            self.board.state().crossed(now, crossing);
        }
    }

    fn turned(&mut self) {
        if let Some(recorder) = &mut self.recorder {
            recorder.turned();
            if let Some(problem) = &recorder.status().error {
                let mut state = self.board.state();
                state
                    .recording_problem
                    .get_or_insert_with(|| problem.clone());
            }
        }
    }
}

/// A flow, with the name of its far side if that is known.
fn label(row: &Row) -> String {
    match &row.name {
        Some(name) => format!("{} ({name})", row.key),
        None => row.key.to_string(),
    }
}

/// Bytes a second.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate to look at"
)]
fn rate(count: u64, seconds: f64) -> u64 {
    (count as f64 / seconds) as u64
}

/// `1.4 MB` and the like.
fn count(count: u64) -> String {
    match count {
        0..10_000 => format!("{count} B"),
        10_000..10_000_000 => format!("{} kB", count / 1000),
        _ => format!("{}.{} MB", count / 1_000_000, count / 100_000 % 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::{By, How, Proto};

    fn seconds(n: u64) -> Micros {
        Micros::from_secs(n)
    }

    fn board() -> (Board, FlowId) {
        let (board, flow) = (Board::new(seconds(1)), FlowId::from_bits(7));
        let key = FlowKey {
            proto: Proto::Tcp,
            client: "10.0.0.2:40000".parse().expect("an address"),
            server: "192.0.2.1:443".parse().expect("an address"),
        };
        board.state().crossed(seconds(2), Crossing::Dial(flow, key));
        board.named(flow, Some("example.com"));
        let dialed = Crossing::Dialed(flow, DialResult::Connected);
        board.state().crossed(seconds(3), dialed);
        board
            .state()
            .crossed(seconds(3), Crossing::Sent(flow, &[0; 78]));
        board
            .state()
            .crossed(seconds(3), Crossing::Data(flow, &[0; 20_000]));
        (board, flow)
    }

    #[test]
    fn each_dial_and_close_is_a_line_that_is_printed_once() {
        let (board, flow) = board();
        let close = Close {
            by: By::Remote,
            how: How::Fin,
        };
        board
            .state()
            .crossed(seconds(5), Crossing::Close(flow, close));
        let mut text = Vec::new();
        board.lines(&mut text).expect("a Vec takes all");
        board.lines(&mut text).expect("a Vec takes all");
        assert_eq!(
            String::from_utf8_lossy(&text),
            "2.000000 dial  tcp 10.0.0.2:40000 > 192.0.2.1:443 (example.com) connected after 1.000 s\n\
             4.000000 close tcp 10.0.0.2:40000 > 192.0.2.1:443 (example.com) fin by remote, up 78 B, down 20 kB, after 3.000 s\n"
        );
    }

    #[test]
    fn the_table_has_a_row_for_each_open_flow() {
        let (board, _) = board();
        let mut text = Vec::new();
        board
            .draw(&mut text, &Snapshot::default())
            .expect("a Vec takes all");
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(
            text.contains("connected up       78 B  down      20 kB"),
            "{text}"
        );
        assert!(text.ends_with("192.0.2.1:443 (example.com)\n"), "{text}");
    }
}
