//! `replay stress`: many flows at once in virtual time, held against limits.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use serde_json::json;

use super::Stop;
use super::arguments::Format;
use super::batch::Progress;
use crate::diagnostic::Diagnostic;
use crate::duration::Size;
use crate::exit_code;
use crate::scenario::EngineSettings;
use crate::stress::{self, Kind, Limits, Link, Outcome, Side, Stress, TcpGroup, UdpGroup};
use crate::term::Terminal;

/// Where the standard set is.
const STANDARD: &str = "expectations/stress";

#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct StressArgs {
    /// Scenario files or folders; the standard set of expectations/stress/ if neither these nor flows are given.
    paths: Vec<PathBuf>,
    /// TCP flows of a load made here, 1 to 20,000.
    #[arg(long, value_name = "N")]
    flows: Option<u32>,
    /// Octets of each flow from the device.
    #[arg(long, value_name = "SIZE", default_value = "1MiB")]
    up: Size,
    /// Octets of each flow toward the device.
    #[arg(long, value_name = "SIZE", default_value = "1MiB")]
    down: Size,
    /// Connections in all, each flow followed by another.
    #[arg(long, value_name = "N", requires = "flows")]
    connections: Option<u32>,
    /// Datagrams that come back.
    #[arg(long, value_name = "N")]
    datagrams: Option<u64>,
    /// UDP flows they are shared out over.
    #[arg(long, value_name = "N", default_value_t = 64)]
    udp_flows: u32,
    /// Octets of each datagram.
    #[arg(long, value_name = "N", default_value_t = 512)]
    size: u32,
    /// Frames lost out of a thousand.
    #[arg(long, value_name = "N", default_value_t = 0)]
    loss: u32,
    /// The MTU of the device.
    #[arg(long, value_name = "N")]
    mtu: Option<u32>,
    /// What form the results have.
    #[arg(long, value_enum, value_name = "FORM", default_value_t)]
    format: Format,
}

const EXAMPLES: &str = "\
Examples:
  replay stress                                        the standard set
  replay stress expectations/stress/phone.json         one scenario
  replay stress --flows 1000 --up 64KiB --down 1MiB    a load of one's own
  replay stress --datagrams 1000000 --udp-flows 1024

Exit codes: 0 all limits were kept; 1 one was missed, or an octet was lost; 3 a file is missing or invalid;
4 nothing was selected; 6 two runs differed";

pub(crate) fn run(args: &StressArgs, terminal: &mut Terminal<'_>) -> Result<u8, Stop> {
    let scenarios = scenarios(args)?;
    if scenarios.is_empty() {
        terminal.say("nothing selected: no stress scenario was found, nothing was tested")?;
        return Ok(exit_code::NOTHING_SELECTED);
    }
    let mut progress = Progress::of(scenarios.len(), terminal.progress);
    let (mut results, mut missed, mut unsteady) = (Vec::new(), 0, 0);
    for (name, scenario) in &scenarios {
        let began = Instant::now();
        let play = || {
            stress::run(scenario)
                .map_err(|what| Stop::input(Diagnostic::new(format!("{name}: {what}"))))
        };
        let (outcome, again) = (play()?, play()?);
        let seconds = began.elapsed().as_secs_f64() / 2.0;
        missed += usize::from(!outcome.missed.is_empty());
        unsteady += usize::from(outcome != again);
        if args.format == Format::Human {
            human(
                terminal,
                name,
                &scenario.title,
                &outcome,
                seconds,
                outcome == again,
            )?;
        }
        results.push(json!({
            "scenario": name, "title": scenario.title, "seconds": seconds, "steady": outcome == again, "outcome": outcome,
        }));
        progress.step();
    }
    progress.bar.finish_and_clear();
    let passed = results.len() - missed;
    match args.format {
        Format::Json => {
            let all = json!({ "schema": 1, "passed": passed, "missed": missed, "unsteady": unsteady, "results": results });
            writeln!(terminal.out(), "{all:#}")?;
        }
        Format::Human => writeln!(
            terminal.out(),
            "{} stress scenarios: {passed} passed, {missed} missed a limit",
            results.len()
        )?,
    }
    Ok(match (unsteady, missed) {
        (0, 0) => exit_code::SUCCESS,
        (0, _) => exit_code::EXPECTATION_FAILED,
        _ => exit_code::NONDETERMINISM,
    })
}

fn human(
    terminal: &mut Terminal<'_>,
    name: &str,
    title: &str,
    outcome: &Outcome,
    seconds: f64,
    steady: bool,
) -> Result<(), Stop> {
    let word = if outcome.missed.is_empty() && steady {
        "PASS"
    } else {
        "MISS"
    };
    let out = terminal.out();
    writeln!(out, "{word} {name}  ({title})")?;
    let octets = outcome.octets_up + outcome.octets_down;
    let [sent, _, back] = outcome.datagrams;
    writeln!(
        out,
        "  {} flows, {} octets up, {} down, {back} of {sent} datagrams back; {} frames in, {} out, {} dropped, {} + {} sent again",
        outcome.flows_served,
        outcome.octets_up,
        outcome.octets_down,
        outcome.frames_in,
        outcome.frames_out,
        outcome.drops,
        outcome.retransmissions[0],
        outcome.retransmissions[1],
    )?;
    let heap = outcome
        .peak_heap
        .map_or_else(|| "not counted".to_owned(), |peak| format!("{peak} octets"));
    writeln!(
        out,
        "  {:.3} s of virtual time in {seconds:.2} s ({:.1} Gbit/s, device and far side included), peak heap {heap}",
        outcome.virtual_us as f64 / 1e6,
        octets as f64 * 8.0 / 1e9 / seconds.max(1e-9),
    )?;
    for miss in &outcome.missed {
        writeln!(out, "  missed: {miss}")?;
    }
    if !steady {
        writeln!(out, "  a second run gave another result")?;
    }
    Ok(())
}

fn scenarios(args: &StressArgs) -> Result<Vec<(String, Stress)>, Stop> {
    if args.flows.is_some() || args.datagrams.is_some() {
        return made(args).map(|scenario| vec![("command line".to_owned(), scenario)]);
    }
    let standard = [PathBuf::from(STANDARD)];
    let paths = if args.paths.is_empty() {
        &standard[..]
    } else {
        &args.paths
    };
    let mut found = Vec::new();
    for path in paths {
        collect(path, &mut found)?;
    }
    found.iter().map(|path| read(path)).collect()
}

fn made(args: &StressArgs) -> Result<Stress, Stop> {
    let group = |flows| TcpGroup {
        flows,
        up: args.up,
        down: args.down,
        connections: args.connections,
        every: crate::duration::Micros::ZERO,
        closes_first: Side::Device,
        stays_open: false,
        device_stalls_until: crate::duration::Micros::ZERO,
        remote_stalls_until: crate::duration::Micros::ZERO,
    };
    let scenario = Stress {
        schema: 1,
        kind: Kind::Stress,
        title: "a load from the command line".to_owned(),
        engine: EngineSettings {
            mtu: args.mtu,
            ..EngineSettings::default()
        },
        tcp: args.flows.map(group).into_iter().collect(),
        udp: args.datagrams.map(|datagrams| UdpGroup {
            flows: args.udp_flows,
            datagrams,
            size: args.size,
        }),
        link: Link {
            loss: args.loss,
            reorder: 0,
            seed: 1,
        },
        limits: Limits::default(),
    };
    let text = serde_json::to_string(&scenario).unwrap_or_default();
    stress::parse(Path::new("command line"), &text).map_err(Stop::usage)
}

fn collect(path: &Path, found: &mut Vec<PathBuf>) -> Result<(), Stop> {
    let problem =
        |error: std::io::Error| Stop::input(Diagnostic::new(error.to_string()).in_file(path));
    if !path.is_dir() {
        found.push(path.to_owned());
        return Ok(());
    }
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(path).map_err(problem)? {
        entries.push(entry.map_err(problem)?.path());
    }
    entries.sort();
    for entry in entries {
        if entry.is_dir() {
            collect(&entry, found)?;
        } else if entry.extension().is_some_and(|end| end == "json") {
            found.push(entry);
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<(String, Stress), Stop> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let help = "name a file of `\"kind\": \"stress\"`, a folder of them, or --flows";
        Stop::input(Diagnostic::new(error.to_string()).in_file(path).help(help))
    })?;
    let scenario = stress::parse(path, &text).map_err(Stop::input)?;
    let name = path.with_extension("");
    let name = name.strip_prefix("expectations").unwrap_or(&name);
    Ok((name.display().to_string(), scenario))
}
