//! `replay bundle`: one file with a scenario and all that it takes to run it elsewhere and to look at what it did.

use std::io::{Cursor, Read as _, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

use super::Stop;
use super::arguments::Reading;
use crate::base::diagnostic::Diagnostic;
use crate::base::exit_code;
use crate::base::output::{self, Existing};
use crate::base::sha256::sha256;
use crate::base::term::Terminal;
use crate::capture::scrub::is_scrubbed;
use crate::report::human::{self, Detail, Look};
use crate::report::trace::pcapng;
use crate::scenario::files::Reach;
use crate::scenario::load;
use crate::verdict::run::{RunOptions, Tracing, run_file};

#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct BundleArgs {
    /// The scenario file.
    scenario: PathBuf,

    /// Write the zip to FILE.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    /// Overwrite FILE if it exists.
    #[arg(long)]
    force: bool,

    /// Put a capture in although it was not scrubbed: with its addresses, names and payload.
    #[arg(long)]
    with_payload: bool,

    #[command(flatten)]
    files: Reading,
}

const EXAMPLES: &str = "\
Examples:
  replay bundle expectations/field/upload_hangs.json -o bug.zip
  replay run bug.zip

In it: expectations/ with the scenario, captures/ with what it replays, report.txt and a trace of its run as a pcapng, versions.json.

Exit codes:
  0  done, whatever the run came to
  2  FILE exists or cannot be written, or the capture was not scrubbed and --with-payload is not said
  3  the scenario or one of its files is missing or invalid";

pub(crate) fn run(args: &BundleArgs, terminal: &mut Terminal<'_>) -> Result<u8, Stop> {
    let file = &args.output;
    let existing = Existing::forced(args.force);
    existing.admit(file).map_err(Stop::usage)?;
    let entries = entries(args)?;
    let failed = |error: zip::result::ZipError| {
        Stop::usage(Diagnostic::new(format!("cannot be made: {error}")).in_file(file))
    };
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    // One scenario gives one file: no times, no permissions of this machine.
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(DateTime::default())
        .unix_permissions(0o644);
    for (name, content) in &entries {
        writer.start_file(name.as_str(), options).map_err(failed)?;
        writer.write_all(content)?;
    }
    let bytes = writer.finish().map_err(failed)?.into_inner();
    let inputs = [args.scenario.clone()];
    output::write(file, &bytes, existing, &inputs).map_err(Stop::usage)?;
    for (name, content) in &entries {
        terminal.say(&format!("packed {name}, {} bytes", content.len()))?;
    }
    terminal.say(&format!("wrote {}: {} bytes", file.display(), bytes.len()))?;
    Ok(exit_code::SUCCESS)
}

/// The files of the bundle, by name.
fn entries(args: &BundleArgs) -> Result<Vec<(String, Vec<u8>)>, Stop> {
    let invalid = |problems| Stop::Refused(problems, exit_code::BAD_INPUT);
    let loaded = load::load(&args.scenario).map_err(invalid)?;
    let captures = args.files.captures.as_deref();
    let reach = Reach::of(&loaded.path, captures, args.files.allow_outside);
    let mut scenario = loaded.scenario.clone();
    let mut entries = Vec::new();
    if let Some(path) = loaded.capture_path(captures, &reach).map_err(Stop::input)? {
        let content = read(&path)?;
        if !args.with_payload && !is_scrubbed(&content) {
            let what = "this capture was not scrubbed";
            let help = "scrub it (`replay scrub`), or say --with-payload if all of it may be seen";
            return Err(Stop::usage(Diagnostic::new(what).in_file(&path).help(help)));
        }
        let name = path.file_name().unwrap_or_default();
        let name = name.to_string_lossy().into_owned();
        scenario.input.capture = Some(name.clone());
        scenario.input.capture_sha256 = Some(sha256(&content));
        entries.push((format!("captures/{name}"), content));
    }
    for name in loaded.files() {
        let path = loaded.folder().join(name);
        let inside =
            !Path::new(name).is_absolute() && !name.split(['/', '\\']).any(|part| part == "..");
        if !inside {
            let what = format!("`{name}` is not below the scenario's folder");
            return Err(Stop::input(Diagnostic::new(what).in_file(&args.scenario)));
        }
        let within = reach.refuse_outside(name, &path).map_err(Stop::input)?;
        let name = format!("expectations/{}", name.trim_start_matches("./"));
        if !entries.iter().any(|(known, _)| *known == name) {
            entries.push((name, read(&within)?));
        }
    }
    let stem = args
        .scenario
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy();
    let text = scenario.to_canonical_string().into_bytes();
    entries.insert(0, (format!("expectations/{stem}.json"), text));
    let options = RunOptions {
        trace: Tracing::Always,
        ..args.files.options()
    };
    let mut report = Vec::new();
    let mut verdicts = Vec::new();
    for outcome in run_file(&args.scenario, &options) {
        let look = Look {
            detail: Detail::Notes,
            captures,
            ..Look::default()
        };
        human::outcome(&mut report, &outcome, look)?;
        verdicts.push(json!({ "name": outcome.name, "passed": outcome.passed() }));
        if let Some(trace) = &outcome.trace {
            let name = outcome.name.rsplit('/').next().unwrap_or_default();
            let name = name.replace(" (", "-").replace(')', "");
            let file = pcapng(trace, outcome.failures.first())?;
            entries.push((format!("trace/{name}.pcapng"), file.bytes));
        }
    }
    entries.push(("report.txt".to_owned(), report));
    let versions = json!({
        "replay": env!("CARGO_PKG_VERSION"),
        "system": std::env::consts::OS,
        "processor": std::env::consts::ARCH,
        "engine": scenario.engine,
        "runs": verdicts,
    });
    let versions = format!("{versions:#}\n").into_bytes();
    entries.push(("versions.json".to_owned(), versions));
    Ok(entries)
}

fn read(path: &Path) -> Result<Vec<u8>, Stop> {
    std::fs::read(path).map_err(|error| {
        Stop::input(Diagnostic::new(format!("cannot be read: {error}")).in_file(path))
    })
}

/// Bytes that a bundle holds at the most, unpacked.
const MOST: u64 = 256 << 20;

/// Unpacks bundles among paths into folders that last as long as the second value, and names their scenarios instead.
pub(super) fn unpacked(paths: &[PathBuf]) -> Result<(Vec<PathBuf>, Vec<tempfile::TempDir>), Stop> {
    let mut folders = Vec::new();
    let mut all = Vec::new();
    for path in paths {
        if path.extension().is_none_or(|end| end != "zip") || path.is_dir() {
            all.push(path.clone());
            continue;
        }
        let folder = tempfile::tempdir()?;
        unpack(path, folder.path()).map_err(|what| {
            let help = "`replay bundle` makes them";
            Stop::input(Diagnostic::new(what).in_file(path).help(help))
        })?;
        all.push(folder.path().join("expectations"));
        folders.push(folder);
    }
    Ok((all, folders))
}

fn unpack(path: &Path, folder: &Path) -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| format!("this is no bundle: {error}");
    let file = std::fs::File::open(path).map_err(|error| format!("cannot be read: {error}"))?;
    let mut archive = ZipArchive::new(file).map_err(|error| failed(&error))?;
    let mut room = MOST;
    let mut scenarios = 0;
    for nth in 0..archive.len() {
        let entry = archive.by_index(nth).map_err(|error| failed(&error))?;
        // Names that lead out of the folder have none.
        let Some(name) = entry.enclosed_name().filter(|_| entry.is_file()) else {
            continue;
        };
        if !name.starts_with("expectations") && !name.starts_with("captures") {
            continue;
        }
        let mut content = Vec::new();
        entry
            .take(room + 1)
            .read_to_end(&mut content)
            .map_err(|error| failed(&error))?;
        room = room
            .checked_sub(content.len() as u64)
            .ok_or_else(|| format!("it holds more than {MOST} bytes"))?;
        scenarios += usize::from(name.starts_with("expectations"));
        let place = folder.join(name);
        let parent = place.parent().unwrap_or(folder);
        std::fs::create_dir_all(parent)
            .and_then(|()| std::fs::write(&place, &content))
            .map_err(|error| format!("cannot be unpacked: {error}"))?;
    }
    if scenarios == 0 {
        return Err("this is no bundle: there is no scenario in it".to_owned());
    }
    Ok(())
}
