//! From any capture to what may be committed: cut, minimised, scrubbed, with its note and its scenario, all at once.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::{ImportArgs, absolute, slashed};
use crate::base::diagnostic::Diagnostic;
use crate::base::exit_code;
use crate::base::output::{self, Existing, Planned};
use crate::base::term::Terminal;
use crate::base::wording::counted;
use crate::capture::conversation::Conversations;
use crate::capture::cut::{Selection, cut};
use crate::capture::import::{self, ImportOptions, of_read};
use crate::capture::{CaptureReader, Shared};
use crate::cli::{Stop, minimize, scrub};
use crate::golden::minimize::{MinimizeOptions, NotMinimized, minimize_capture};
use crate::scenario::discover::EXPECTATIONS;
use crate::verdict::attempt::{Attempt, FlowVerdict, TryOptions, try_held};

/// The most bytes that a capture of a repository has.
const MOST: usize = 20_000;

/// Where the files go, and how they call each other.
struct Places {
    scenario: PathBuf,
    capture: PathBuf,
    note: PathBuf,
    /// The folder captures/, if the scenario is below expectations/.
    captures: Option<PathBuf>,
    /// The name of both below their folders.
    name: String,
    reference: String,
}

impl Places {
    fn of(scenario: &Path) -> Self {
        let whole = absolute(scenario);
        let mut folders = whole.ancestors();
        let tree = folders.find(|folder| folder.ends_with(EXPECTATIONS));
        let below = tree.and_then(|tree| Some((tree.parent()?, whole.strip_prefix(tree).ok()?)));
        let Some((root, below)) = below else {
            let capture = scenario.with_extension("pcapng");
            let name = capture.file_name().unwrap_or_default();
            let name = name.to_string_lossy().into_owned();
            return Self {
                scenario: scenario.to_owned(),
                note: scenario.with_extension("md"),
                captures: None,
                reference: format!("./{name}"),
                name: name.trim_end_matches(".pcapng").to_owned(),
                capture,
            };
        };
        let name = slashed(&below.with_extension(""));
        let captures = root.join("captures");
        let capture = captures.join(&name).with_extension("pcapng");
        Self {
            scenario: scenario.to_owned(),
            note: capture.with_extension("md"),
            reference: format!("{name}.pcapng"),
            captures: Some(captures),
            capture,
            name,
        }
    }
}

pub(super) fn run(
    args: &ImportArgs,
    scenario: &Path,
    terminal: &mut Terminal<'_>,
) -> Result<u8, Stop> {
    let places = Places::of(scenario);
    let existing = Existing::forced(args.force);
    for file in [&places.scenario, &places.capture, &places.note] {
        existing.admit(file).map_err(Stop::usage)?;
    }
    let name = args.capture.display().to_string();
    let mut done = Vec::new();
    let whole = read_flow(args, terminal, &mut done)?;
    let tried = |bytes: &[u8]| {
        let options = TryOptions {
            device: args.device.clone(),
            ..TryOptions::default()
        };
        try_held(&name, Arc::new(bytes.to_vec()), &options).map_err(Stop::input)
    };
    let before = tried(&whole)?;
    let mut bytes = whole;
    let mut is_least = false;
    if args.minimize {
        (bytes, is_least) = smaller(args, &name, bytes, terminal, &mut done)?;
    }
    if args.scrub {
        let (clean, report) = scrub::proved(&args.capture, &bytes, &args.how)?;
        scrub::say(&report, terminal)?;
        terminal.say(
            "searched and replayed: nothing of it is left, and every flow gets the verdict it had",
        )?;
        done.push("scrubbed".to_owned());
        bytes = clean;
    }
    let after = tried(&bytes)?;
    if fails(&before) != fails(&after) {
        let what = "the smaller capture gets another verdict than the whole one";
        let failed = Diagnostic::new(what).in_file(&args.capture);
        let failed = vec![failed.help("nothing is written")];
        return Err(Stop::Refused(failed, exit_code::EXPECTATION_FAILED));
    }
    let options = ImportOptions {
        // A device's address is not what it was.
        recorded: is_least,
        ..ImportOptions::default()
    };
    let held = Shared(Arc::new(bytes.clone()));
    let capture = Conversations::of_held(&name, held, &import::read_options(&options))
        .map_err(|error| Stop::input(error.into()))?;
    let imported = of_read(&capture, &places.reference, &options).map_err(Stop::input)?;
    if imported.scenario.flows.is_empty() {
        terminal.say(&super::nothing_to_replay(&capture))?;
        return Ok(exit_code::NOTHING_SELECTED);
    }
    let planned = |path: &Path, content: Vec<u8>| Planned {
        path: path.to_owned(),
        content,
        existing,
    };
    let text = imported.scenario.to_canonical_string();
    let (frames, link) = counted_frames(&name, &bytes).map_err(Stop::input)?;
    let title = title_of(&places.name);
    let note = note(&title, &done, frames, args.scrub);
    let size = bytes.len();
    let mut files = vec![
        planned(&places.capture, bytes),
        planned(&places.note, note.into_bytes()),
        planned(&places.scenario, text.into_bytes()),
    ];
    if let Some(index) = index(&places, &title, link, frames, size) {
        files.push(index);
    }
    output::write_together(&files, std::slice::from_ref(&args.capture)).map_err(Stop::usage)?;
    for note in &imported.notes {
        terminal.say(&format!("note: {note}"))?;
    }
    for file in &files {
        let shown = std::env::current_dir().ok();
        let path = shown.and_then(|here| file.path.strip_prefix(here.canonicalize().ok()?).ok());
        let path = path.unwrap_or(&file.path).display();
        terminal.say(&format!("wrote {path}: {} bytes", file.content.len()))?;
    }
    if files.len() == 3 {
        terminal.say("note: no index captures/README.md is there to be added to")?;
    }
    if size > MOST {
        terminal.say(&format!(
            "note: the capture has {size} bytes; one that is committed has at most {MOST}"
        ))?;
    }
    if !args.scrub {
        terminal.say("note: the capture was not scrubbed: it has the addresses, names and payload that it had")?;
    }
    Ok(exit_code::SUCCESS)
}

/// The capture, cut to the flow that is meant.
fn read_flow(
    args: &ImportArgs,
    terminal: &mut Terminal<'_>,
    done: &mut Vec<String>,
) -> Result<Vec<u8>, Stop> {
    let selection = Selection {
        flows: args.flow.into_iter().collect(),
        ..Selection::default()
    };
    let mut bytes = Vec::new();
    let report = cut(&args.capture, &selection, &mut bytes).map_err(crate::cli::cut::refused)?;
    if let Some(flow) = args.flow {
        if report.flows.1 == 0 {
            let all = report.flows.0;
            let what = format!("nothing selected: there is no flow {flow}, there are {all}");
            let none = Diagnostic::new(what).in_file(&args.capture);
            return Err(Stop::nothing(none.help("`replay try` lists them")));
        }
        terminal.say(&format!(
            "cut to flow {flow}: {} of {}, {} of {} bytes",
            report.kept.0,
            counted(report.read.0, "packet"),
            report.kept.1,
            report.read.1
        ))?;
        done.push(format!("cut to one of {} flows", report.flows.0));
    }
    Ok(bytes)
}

/// The least of a capture that fails as it does, or shows what it does; as it is if there is nothing to keep.
fn smaller(
    args: &ImportArgs,
    name: &str,
    bytes: Vec<u8>,
    terminal: &mut Terminal<'_>,
    done: &mut Vec<String>,
) -> Result<(Vec<u8>, bool), Stop> {
    let started = Instant::now();
    let options = MinimizeOptions {
        keep: args.keep.clone(),
        ..MinimizeOptions::default()
    };
    let bar = minimize::spinner(terminal.progress);
    let least = minimize_capture(name, &bytes, None, &options);
    bar.finish_and_clear();
    match least {
        Ok(least) => {
            minimize::say(&least, started.elapsed(), terminal)?;
            done.push("minimised".to_owned());
            Ok((least.capture.unwrap_or_default(), true))
        }
        Err(NotMinimized::NeverHeld(why)) if args.keep.is_none() => {
            let why = why.what;
            let note = format!("note: not made smaller: {why}; --keep names what is to stay");
            terminal.say(&note)?;
            Ok((bytes, false))
        }
        Err(why) => Err(minimize::not_minimized(why, &args.capture)),
    }
}

fn fails(attempt: &Attempt) -> bool {
    let failed = |verdict: &FlowVerdict| matches!(verdict, FlowVerdict::Fail(_));
    attempt.flows.iter().any(|flow| failed(&flow.verdict))
}

/// Frames of a capture, and the name of its link type.
fn counted_frames(name: &str, bytes: &[u8]) -> Result<(u64, String), Diagnostic> {
    let mut reader = CaptureReader::from_read(name, std::io::Cursor::new(bytes.to_vec()))?;
    let mut frames = 0;
    while reader.next_packet()?.is_some() {
        frames += 1;
    }
    let link = reader.info().link_types.first().copied().unwrap_or(0);
    let link = match link {
        1 => "ether".to_owned(),
        12 | 14 | 101 | 228 | 229 => "rawip".to_owned(),
        113 => "linux-sll".to_owned(),
        276 => "linux-sll2".to_owned(),
        other => format!("link type {other}"),
    };
    Ok((frames, link))
}

/// A file's name as a sentence.
fn title_of(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or(name);
    let words = last.replace(['_', '-'], " ");
    let mut letters = words.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).collect()
}

fn note(title: &str, done: &[String], frames: u64, scrubbed: bool) -> String {
    let done = if done.is_empty() {
        "as it was".to_owned()
    } else {
        done.join(", ")
    };
    let clean = if scrubbed {
        "Addresses, names, payload and times stand for others."
    } else {
        "Not scrubbed: addresses, names and payload are those of whoever was recorded."
    };
    format!(
        "# {title}\n\nMade by `replay import` of a recording made elsewhere: {done}. {clean}\n\n\
         - Client: not known to `replay import`; whoever recorded it says who spoke to whom, with which versions.\n\
         - Vantage: not known to `replay import`; whoever recorded it says where, and over which link.\n\
         - Capture: {} of the recording.\n\
         - Licence: MIT OR Apache-2.0, once whoever recorded it agrees.\n",
        counted(frames, "frame")
    )
}

/// The index with a row for the capture, if there is an index.
fn index(places: &Places, title: &str, link: String, frames: u64, size: usize) -> Option<Planned> {
    let path = places.captures.as_ref()?.join("README.md");
    let text = std::fs::read_to_string(&path).ok()?;
    let name = &places.name;
    let start = format!("| [{name}]({name}.md) |");
    let row = format!("{start} {title} | pcapng, {link} | {frames} | {size} |");
    let others = text.lines().filter(|line| !line.starts_with(&start));
    let mut lines: Vec<&str> = others.collect();
    let is_row = |line: &&str| line.starts_with("| ") || line.starts_with("|---");
    let last = lines.iter().rposition(is_row)?;
    lines.insert(last + 1, &row);
    Some(Planned {
        path,
        content: (lines.join("\n") + "\n").into_bytes(),
        existing: Existing::Replace,
    })
}
