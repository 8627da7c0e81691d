//! `replay cut`: a part of a capture as a capture of its own.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::Stop;
use crate::base::diagnostic::Diagnostic;
use crate::base::duration::{Micros, Size};
use crate::base::exit_code;
use crate::base::output::{self, Existing, Written};
use crate::base::term::Terminal;
use crate::base::wording::counted;
use crate::capture::cut::{CutReport, Selection, Way, cut};
use crate::verdict::attempt::{FlowAttempt, FlowVerdict, TryOptions, try_capture};

#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct CutArgs {
    /// The capture: pcap or pcapng, gzip or not, of any size.
    capture: PathBuf,

    /// Write the pcapng to FILE.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    /// Overwrite FILE if it exists.
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    chosen: Chosen,

    /// Packets from this time on, counted from the first packet.
    #[arg(long, value_name = "TIME")]
    from: Option<Micros>,

    /// Packets before this time, counted from the first packet.
    #[arg(long, value_name = "TIME")]
    to: Option<Micros>,

    /// Packets of one direction.
    #[arg(long, value_enum, value_name = "WAY")]
    direction: Option<Way>,

    /// At most this many bytes of each TCP stream; segments stay whole.
    #[arg(long, value_name = "SIZE")]
    bytes: Option<Size>,
}

/// Which flows are meant.
#[derive(Debug, Args)]
struct Chosen {
    /// Flows by number, from 1, in the order in which `replay try` lists them.
    #[arg(long = "flow", value_name = "N[,N]", value_delimiter = ',')]
    flows: Vec<usize>,

    /// Flows with this address at either end.
    #[arg(long = "address", value_name = "ADDR", value_delimiter = ',')]
    addresses: Vec<IpAddr>,

    /// Flows with this port at either end.
    #[arg(long = "port", value_name = "PORT", value_delimiter = ',')]
    ports: Vec<u16>,

    /// Flows to a server of this name, or of one below it: by DNS, TLS or HTTP.
    #[arg(long = "name", value_name = "NAME", value_delimiter = ',')]
    names: Vec<String>,

    /// Flows with this result when they are replayed.
    #[arg(long = "verdict", value_enum, value_delimiter = ',')]
    verdicts: Vec<Came>,
}

/// What a flow came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Came {
    /// It did not come out as recorded.
    Failed,
    /// It waits for what never came.
    Stalled,
    /// It ended with a reset.
    Reset,
}

const EXAMPLES: &str = "\
Examples:
  replay cut phone.pcapng -o failing.pcapng --verdict failed
  replay cut phone.pcapng -o upload.pcapng --name upload.example --bytes 20kB
  replay cut phone.pcapng -o minute.pcapng --from 10min --to 11min
  replay cut phone.pcapng -o one.pcapng --flow 3

A packet must meet every condition; of several values of one condition, any. Handshakes stay, fragments stay with their datagrams, and so do DNS \
messages that name the servers of selected flows, interfaces, comments and a flight recorder's blocks. A classic capture becomes a pcapng.

Exit codes:
  0  done
  2  FILE exists, is the capture itself or cannot be written
  3  the capture is missing, no capture, or damaged
  4  no flow is selected, or no packet is left; nothing is written";

pub(crate) fn run(args: &CutArgs, terminal: &mut Terminal<'_>) -> Result<u8, Stop> {
    let inputs = [args.capture.clone()];
    let file = &args.output;
    let existing = Existing::forced(args.force);
    existing.admit(file).map_err(Stop::usage)?;
    let selection = selection(args)?;
    let mut report = CutReport::default();
    let written = output::write_through(file, existing, &inputs, |out| {
        report = cut(&args.capture, &selection, out)?;
        if report.kept.0 == 0 {
            let none = Diagnostic::new("nothing selected: no packet is left");
            return Err(Written::Source(none.in_file(&args.capture)));
        }
        Ok(())
    });
    match written {
        Err(Written::Source(_)) if report.read.0 > 0 && report.kept.0 == 0 => {
            say_flows(&report, terminal)?;
            terminal.say("nothing selected: no packet is left, nothing is written")?;
            return Ok(exit_code::NOTHING_SELECTED);
        }
        written => written.map_err(refused)?,
    }
    say_flows(&report, terminal)?;
    for note in &report.notes {
        terminal.say(&format!("note: {note}"))?;
    }
    terminal.say(&format!(
        "wrote {}: {} of {}, {} of {} bytes",
        file.display(),
        report.kept.0,
        counted(report.read.0, "packet"),
        report.kept.1,
        report.read.1,
    ))?;
    Ok(exit_code::SUCCESS)
}

/// What stopped a file from being written, with its exit code.
pub(super) fn refused(written: Written) -> Stop {
    match written {
        Written::Source(problem) => Stop::input(problem),
        Written::Not(problem) => Stop::usage(problem),
        Written::Failed(error) => Stop::Output(error),
    }
}

fn say_flows(report: &CutReport, terminal: &mut Terminal<'_>) -> Result<(), Stop> {
    let (all, chosen) = report.flows;
    terminal.say(&format!("{chosen} of {}", counted(all as u64, "flow")))?;
    if report.dns > 0 {
        let messages = counted(report.dns, "DNS message");
        terminal.say(&format!("{messages} kept that name their servers"))?;
    }
    for (reason, count) in &report.left_out {
        let packets = counted(*count, "packet");
        terminal.say(&format!("left out: {packets}: {reason}"))?;
    }
    Ok(())
}

fn selection(args: &CutArgs) -> Result<Selection, Stop> {
    let nanos = |time: Micros| time.as_micros().saturating_mul(1000);
    let mut flows: BTreeSet<usize> = args.chosen.flows.iter().copied().collect();
    if !args.chosen.verdicts.is_empty() {
        let came = of_verdicts(&args.capture, &args.chosen.verdicts)?;
        flows = if flows.is_empty() {
            came
        } else {
            flows.intersection(&came).copied().collect()
        };
        if flows.is_empty() {
            let what = "nothing selected: no flow has that result";
            let none = Diagnostic::new(what).in_file(&args.capture);
            let none = none.help("`replay try` shows the verdict of each");
            return Err(Stop::nothing(none));
        }
    }
    Ok(Selection {
        flows,
        addresses: args.chosen.addresses.clone(),
        ports: args.chosen.ports.clone(),
        names: args.chosen.names.clone(),
        from_ns: args.from.map(nanos),
        to_ns: args.to.map(nanos),
        direction: args.direction,
        bytes: args.bytes.map(Size::as_bytes),
    })
}

/// The numbers of flows that come to one of these when the capture is replayed.
fn of_verdicts(capture: &Path, wanted: &[Came]) -> Result<BTreeSet<usize>, Stop> {
    let tried = try_capture(capture, &TryOptions::default()).map_err(Stop::input)?;
    let flows = (1..).zip(&tried.flows);
    let meant = flows.filter(|(_, flow)| wanted.iter().any(|came| came.is(flow)));
    Ok(meant.map(|(number, _)| number).collect())
}

impl Came {
    fn is(self, flow: &FlowAttempt) -> bool {
        match (self, &flow.verdict) {
            (Self::Failed, FlowVerdict::Fail(_)) => true,
            (Self::Stalled, FlowVerdict::Fail(why)) => why.contains("waits for"),
            (Self::Reset, _) => flow.close.as_ref().is_some_and(|(_, how)| how == "reset"),
            _ => false,
        }
    }
}
