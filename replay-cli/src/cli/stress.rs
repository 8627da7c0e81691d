//! `replay stress`: many flows at once, in virtual time or against the driver, held against limits.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args, ValueEnum};

use super::Stop;
use super::arguments::{Format, command_line};
use crate::base::diagnostic::Diagnostic;
use crate::base::exit_code;
use crate::base::term::Terminal;
use crate::load::stress::{self, Measures, OnWay, Outcome, Played, Report, Stress, Way};
use crate::report::html::stress::page;
use crate::scenario::{Preset, load};

mod flags;
mod watch;

use flags::LoadFlags;
use watch::Bar;

/// Where the standard set is.
const STANDARD: &str = "expectations/stress";

#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct StressArgs {
    /// Scenario files or folders; the standard set of expectations/stress/ if neither these nor flows are given.
    paths: Vec<PathBuf>,
    /// By which way the engine is driven: as a library in virtual time, or by the driver's loop in real time.
    #[arg(long, value_enum, value_name = "WAY", default_value_t)]
    via: StressVia,
    /// What dials with --via driver: far sides in memory, or real sockets on the loopback interface.
    #[arg(long, value_enum, value_name = "DIALER", default_value_t)]
    dialer: Dialer,
    /// Settings to begin with: many_flows (rings of 4 KiB), phone (MTU 4064, 50 MB in all).
    #[arg(long, value_name = "NAME", value_parser = flags::preset)]
    preset: Option<Preset>,
    #[command(flatten)]
    load: LoadFlags,
    /// What form the results have.
    #[arg(long, value_enum, value_name = "FORM", default_value_t)]
    format: Format,
    /// Write throughput, lag and memory over time as a page that needs no network into this folder.
    #[arg(long, value_name = "DIR")]
    html: Option<PathBuf>,
}

/// By which way the engine is driven.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum StressVia {
    /// The engine as a library, in virtual time; each scenario twice.
    #[default]
    Core,
    /// The driver's loop on a thread of its own, in real time.
    Driver,
}

/// What dials against the driver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Dialer {
    /// Far sides in memory: what engine and driver cost.
    #[default]
    Memory,
    /// Real sockets on the loopback interface: the whole path.
    Sockets,
}

const EXAMPLES: &str = "\
Examples:
  replay stress                                the standard set, in virtual time
  replay stress --via driver                   the driver: throughput, lag, memory
  replay stress expectations/stress/phone.json one scenario
  replay stress --flows 1000 --up 64KiB        a load of your own
  replay stress --flows 100 --turns 20 --think 50ms --remote-reads 1MiB
  replay stress --datagrams 1000000 --udp-flows 1024
  replay stress --via driver --dialer sockets --flows 16
  replay stress --via driver --html target/load        a page with throughput, lag and memory over time

Limits that depend on the machine are judged with --via driver only. Ctrl-C prints what was measured so far.

Exit codes: 0 all limits were kept; 1 one was missed, or a byte was lost; 2 the command line is wrong; 3 a file is \
missing or invalid; 4 nothing was selected; 6 two runs differed; 130 interrupted";

pub(crate) fn run(args: &StressArgs, terminal: &mut Terminal<'_>) -> Result<u8, Stop> {
    let mut scenarios = scenarios(args)?;
    if args.via == StressVia::Driver {
        let (left, there) = (scenarios.len(), |of: &(String, Stress)| of.1.path.is_none());
        scenarios.retain(there);
        if let count @ 1.. = left - scenarios.len() {
            let why = "a path is passed in virtual time only";
            terminal.say(&format!("{count} left out: {why}"))?;
        }
    }
    if scenarios.is_empty() {
        terminal.say("nothing selected: no stress scenario was found, nothing was tested")?;
        return Ok(exit_code::NOTHING_SELECTED);
    }
    watch::listen();
    let way = match (args.via, args.dialer) {
        (StressVia::Core, Dialer::Memory) => Way::Core,
        (StressVia::Driver, Dialer::Memory) => Way::Memory,
        (StressVia::Driver, Dialer::Sockets) => Way::Sockets,
        (StressVia::Core, Dialer::Sockets) => {
            let what = "sockets need real time";
            return Err(Stop::usage(Diagnostic::new(what).help("add --via driver")));
        }
    };
    let mut bar = Bar::of(scenarios.len(), terminal.progress);
    let mut report = Report {
        schema: 1,
        via: if way == Way::Core { "core" } else { "driver" }.to_owned(),
        dialer: match way {
            Way::Core => None,
            Way::Memory => Some("memory".to_owned()),
            Way::Sockets => Some("sockets".to_owned()),
        },
        ..Report::default()
    };
    let mut curves = Vec::new();
    for (name, scenario) in &scenarios {
        bar.begin(name, args.html.is_some());
        let played = play(name, scenario, way, &mut bar)?;
        curves.push((scenario, bar.end()));
        report.interrupted |= played.outcome.interrupted;
        report.missed += usize::from(!played.outcome.missed.is_empty());
        report.unsteady += usize::from(!played.steady);
        if args.format == Format::Human {
            bar.make_way(|| human(terminal, &played))?;
            bar.make_way(|| terminal.flush())?;
        }
        report.results.push(played);
        if report.interrupted {
            break;
        }
    }
    bar.finish();
    let cut = usize::from(report.interrupted);
    report.passed = report.results.len().saturating_sub(report.missed + cut);
    if let Some(folder) = &args.html {
        page(folder, &command_line(), &report, &curves).map_err(Stop::usage)?;
    }
    match args.format {
        Format::Json => {
            let text = serde_json::to_string_pretty(&report).unwrap_or_default();
            writeln!(terminal.out(), "{text}")?;
        }
        Format::Human => {
            let Report { passed, missed, .. } = report;
            let all = report.results.len();
            let end = if report.interrupted {
                ", interrupted"
            } else {
                ""
            };
            writeln!(
                terminal.out(),
                "{all} stress scenarios: {passed} passed, {missed} missed a limit{end}"
            )?;
        }
    }
    Ok(match (report.interrupted, report.unsteady, report.missed) {
        (true, ..) => exit_code::INTERRUPTED,
        (false, 0, 0) => exit_code::SUCCESS,
        (false, 0, _) => exit_code::EXPECTATION_FAILED,
        (false, ..) => exit_code::NONDETERMINISM,
    })
}

/// Plays a scenario: twice in virtual time, once against the driver.
fn play(name: &str, scenario: &Stress, way: Way, bar: &mut Bar) -> Result<Played, Stop> {
    let began = Instant::now();
    let refused = |what| Stop::input(Diagnostic::new(format!("{name}: {what}")));
    let outcome = stress::run(scenario, way, bar).map_err(refused)?;
    let mut seconds = began.elapsed().as_secs_f64();
    let mut steady = true;
    if way == Way::Core && !outcome.interrupted {
        bar.looks_away();
        let again = stress::run(scenario, way, bar).map_err(refused)?;
        steady = again.interrupted || outcome == again;
        seconds = began.elapsed().as_secs_f64() / 2.0;
    }
    Ok(Played {
        scenario: name.to_owned(),
        title: scenario.title.clone(),
        seconds,
        steady,
        outcome,
    })
}

fn human(terminal: &mut Terminal<'_>, played: &Played) -> Result<(), Stop> {
    let Played {
        scenario,
        title,
        seconds,
        steady,
        outcome,
    } = played;
    let word = played.word().to_uppercase();
    let out = terminal.out();
    writeln!(out, "{word} {scenario}  ({title})")?;
    counts(out, outcome)?;
    if let Some(path) = &outcome.path {
        on_way(out, "up", &path.up)?;
        on_way(out, "down", &path.down)?;
    }
    match &outcome.measures {
        None => writeln!(
            out,
            "  {:.3} s of virtual time in {seconds:.2} s, peak heap {}",
            outcome.virtual_us.unwrap_or(0) as f64 / 1e6,
            bytes(outcome.peak_heap),
        )?,
        Some(measures) => measured(out, outcome, measures)?,
    }
    for miss in &outcome.missed {
        writeln!(out, "  missed: {miss}")?;
    }
    if !steady {
        writeln!(out, "  a second run gave another result")?;
    }
    Ok(())
}

fn counts(out: &mut dyn Write, outcome: &Outcome) -> std::io::Result<()> {
    let [sent, _, back] = outcome.datagrams;
    writeln!(
        out,
        "  {} of {} flows, {} bytes up, {} down, {sent} datagrams sent, {back} came back",
        outcome.flows_served, outcome.flows_wanted, outcome.octets_up, outcome.octets_down,
    )?;
    let [of_device, of_engine] = outcome.retransmissions;
    writeln!(
        out,
        "  {} frames in, {} out, {} dropped, {of_device} + {of_engine} sent again",
        outcome.frames_in, outcome.frames_out, outcome.drops,
    )
}

fn on_way(out: &mut dyn Write, name: &str, way: &OnWay) -> std::io::Result<()> {
    write!(out, "  {name}: ")?;
    if let Some(goodput) = &way.goodput {
        write!(
            out,
            "{:.0} bytes/s, {:.2} of the {:.0} that the path carries for its {}; ",
            goodput.bytes_per_second,
            goodput.ratio,
            goodput.path_carries,
            goodput.bound.label(),
        )?;
    }
    writeln!(
        out,
        "of {} frames {} lost, {} beyond the queue, {} held back",
        way.frames, way.lost, way.overflowed, way.reordered
    )
}

fn measured(out: &mut dyn Write, outcome: &Outcome, measures: &Measures) -> std::io::Result<()> {
    writeln!(
        out,
        "  {:.3} s: {:.2} Gbit/s up, {:.2} Gbit/s down, {:.0} frames/s",
        measures.seconds,
        measures.octets_up_per_second * 8.0 / 1e9,
        measures.octets_down_per_second * 8.0 / 1e9,
        measures.frames_per_second,
    )?;
    if let (Some(each), Some(all)) = (measures.nanoseconds_per_frame, measures.driver_seconds) {
        writeln!(
            out,
            "  the driver's thread worked {all:.3} s, {each:.0} ns a frame"
        )?;
    }
    for (name, of) in [
        ("turns", measures.turn_us),
        ("lag", measures.lag_us),
        ("inbox wait", measures.inbox_wait_us),
    ] {
        writeln!(
            out,
            "  {name}: p50 {} us, p99 {} us, max {} us, of {}",
            of.p50, of.p99, of.max, of.count
        )?;
    }
    write!(out, "  heap at most {}", bytes(outcome.peak_heap))?;
    if let Some(each) = measures.allocations_per_frame {
        write!(out, ", {each:.4} allocations a frame")?;
    }
    let resident = &measures.resident;
    writeln!(
        out,
        ", resident {} more at most",
        bytes(resident.peak_growth)
    )?;
    if let Some(idle) = resident.per_idle_flow {
        let used = bytes(resident.per_used_flow);
        writeln!(
            out,
            "  resident for each idle flow {idle} bytes, after its bytes {used}"
        )?;
    }
    if let Some(cost) = &measures.cost_ratio {
        writeln!(
            out,
            "  a frame costs {:.2} times what it does with {} flows ({:.0} ns)",
            cost.ratio, cost.flows, cost.baseline_nanoseconds_per_frame
        )?;
    }
    Ok(())
}

fn bytes(count: Option<u64>) -> String {
    count.map_or_else(
        || "not counted".to_owned(),
        |count| format!("{count} bytes"),
    )
}

fn scenarios(args: &StressArgs) -> Result<Vec<(String, Stress)>, Stop> {
    if args.load.any() {
        if let Some(path) = args.paths.first() {
            let what = "a scenario and a load of flags exclude each other";
            let help = "leave out the file, or --flows and --datagrams";
            return Err(Stop::usage(Diagnostic::new(what).in_file(path).help(help)));
        }
        let scenario = args.load.scenario(args.preset)?;
        return Ok(vec![("command line".to_owned(), scenario)]);
    }
    let mut found = Vec::new();
    if args.paths.is_empty() {
        collect(Path::new(STANDARD), &mut found)?;
    }
    for path in &args.paths {
        collect(path, &mut found)?;
    }
    let mut scenarios = Vec::new();
    for path in &found {
        let (name, mut scenario) = read(path)?;
        scenario.engine.preset = args.preset.or(scenario.engine.preset);
        for (case, scenario) in scenario.each() {
            let mark = if case.is_empty() { "" } else { ": " };
            scenarios.push((format!("{name}{mark}{case}"), scenario));
        }
    }
    Ok(scenarios)
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
    let text = load::read(path).map_err(|problem| {
        let help = "name a file of `\"kind\": \"stress\"`, a folder of them, or --flows";
        Stop::input(problem.help(help))
    })?;
    let scenario = stress::parse(path, &text).map_err(Stop::input)?;
    let name = path.with_extension("");
    let name = name.strip_prefix("expectations").unwrap_or(&name);
    Ok((name.display().to_string(), scenario))
}
