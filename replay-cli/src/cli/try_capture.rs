//! `replay try`: a capture replayed as it stands, with a verdict for each flow.

use std::path::PathBuf;

use clap::Args;

use super::Stop;
use super::arguments::{
    self, Flows, Format, Settings, TraceWhen, Tunnels, Unpacked, WayIn, parse_device,
};
use crate::base::exit_code;
use crate::base::term::Terminal;
use crate::report::{attempt, html, trace};
use crate::scenario::Device;
use crate::verdict::attempt::{TryOptions, watch_capture};

#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct TryArgs {
    /// The capture: pcap, pcapng, snoop or ERF, packed (gzip, zstd, xz, lz4) or not.
    capture: PathBuf,

    /// The device's addresses; `any`: the opener of each flow is the device.
    #[arg(long, value_name = "any|ADDR[,ADDR]", default_value = "any", value_parser = parse_device)]
    device: Device,

    #[command(flatten)]
    tunnels: Tunnels,

    /// Engine settings that fit the capture, or the engine's defaults.
    #[arg(long, value_enum, default_value_t, hide_short_help = true)]
    settings: Settings,

    /// How the engine is driven.
    #[arg(long, value_enum, default_value_t, hide_short_help = true)]
    via: WayIn,

    /// Leave TCP flows out whose beginning is not in the capture, instead of making up a handshake.
    #[arg(long)]
    no_adopt: bool,

    /// The share of a flow's bytes that may be missing from the capture for it to pass, and not only in part.
    #[arg(long, value_name = "PERCENT", default_value_t = 10, hide_short_help = true, value_parser = clap::value_parser!(u8).range(0..=100))]
    max_invented: u8,

    /// A flow with more than that has failed.
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    unpacked: Unpacked,

    #[command(flatten)]
    flows: Flows,

    /// Write what crossed the engine's border as a pcapng that Wireshark opens; it holds payload.
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = TraceWhen::Never)]
    trace: TraceWhen,

    /// Where it is written [default: target/replay in a Cargo workspace, else .replay].
    #[arg(long, value_name = "DIR", hide_short_help = true)]
    trace_dir: Option<PathBuf>,

    /// Write a report as a page that needs no network into this folder, a bar for each flow.
    #[arg(long, value_name = "DIR")]
    html: Option<PathBuf>,

    /// The form of the report.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

const EXAMPLES: &str = "\
Examples:
  replay try phone.pcapng
  replay try phone.pcapng --failed
  replay try phone.pcapng --flow 12
  replay try phone.pcapng --device 10.0.0.2 --format json
  replay try phone.pcapng --html report        a page with a bar for each flow

Exit codes:
  0  every flow that can be replayed came out as recorded; where the capture lacks bytes, in part
  1  a flow did not, or with --strict only in part
  3  the file is missing, no capture, or damaged; what stands before the damage is replayed
  4  nothing was replayed (no flow, none of the device, or none that can be), or no flow is what --flow asks for
  6  two runs gave different outputs";

/// Events that are kept of the run, the last ones.
const EVENTS_KEPT: usize = 200_000;

pub(crate) fn run(args: &TryArgs, terminal: &mut Terminal<'_>) -> Result<u8, Stop> {
    let options = TryOptions {
        device: args.device.clone(),
        decap: args.tunnels.decap,
        default_settings: args.settings == Settings::Default,
        via: args.via.into(),
        no_adopt: args.no_adopt,
        max_invented: Some(args.max_invented),
        hashes: args.format == Format::Json,
        max_unpacked: args.unpacked.limit(),
    };
    let watched = args.html.is_some() || args.trace != TraceWhen::Never;
    let watched = watched.then_some(EVENTS_KEPT);
    let watched = watch_capture(&args.capture, &options, watched).map_err(Stop::input)?;
    if let Some(folder) = &args.html {
        let command = arguments::command_line();
        html::attempt::page(folder, &args.capture, &command, &watched).map_err(Stop::usage)?;
    }
    let failed = attempt::exit_code(&watched.attempt, args.strict) != exit_code::SUCCESS;
    let wanted = args.trace == TraceWhen::Always || (args.trace == TraceWhen::OnFailure && failed);
    if let (true, Some(trace)) = (wanted, &watched.trace) {
        let folder = args.trace_dir.clone().unwrap_or_else(arguments::kept_dir);
        let name = args.capture.file_stem().unwrap_or_default();
        let path =
            trace::write_run(&folder, &name.to_string_lossy(), trace).map_err(Stop::usage)?;
        terminal.say(&format!("trace: {}", path.display()))?;
    }
    let tried = watched.attempt;
    let style = terminal.style;
    let view = args.flows.view(terminal.width);
    match args.format {
        Format::Human => {
            attempt::human(terminal.out(), &args.capture, &tried, &view, style)?;
        }
        Format::Json => {
            writeln!(terminal.out(), "{:#}", attempt::json(&tried, &view))?;
            if let Some(line) = attempt::nothing_to_replay(&tried) {
                terminal.say(&line)?;
            }
        }
    }
    if let Some(damage) = &tried.damage {
        terminal.diagnose(damage)?;
    }
    let code = attempt::exit_code(&tried, args.strict);
    Ok(match attempt::unmet(&tried, &view) {
        Some(line) => {
            terminal.say(&line)?;
            exit_code::worst(code, exit_code::NOTHING_SELECTED)
        }
        None => code,
    })
}
