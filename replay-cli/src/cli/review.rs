//! `replay review`: what drafts would change, with keys on a terminal and commands elsewhere.

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use clap::Args;

use super::{Stop, bless};
use crate::base::diagnostic::Diagnostic;
use crate::base::exit_code;
use crate::base::term::{Paint, Terminal, in_ci, printable};
use crate::base::wording::counted;
use crate::golden::draft::changes::{Change, Section, changes};
use crate::golden::draft::{self, Pending};

#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct ReviewArgs {
    /// Drafts (.json.new), their scenarios, folders, and patterns of them [default: expectations/, found upward from here].
    paths: Vec<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  replay review
  replay review expectations/http/get.json

Lines with - go, lines with + come; packets are in the line notation. On a terminal each draft waits for a key:
  a  accept: it takes its golden's place      r  reject: it is thrown away
  s  skip: it waits on                        q  quit: it and all that follow wait on
Elsewhere, and where CI is set, the commands that do the same are printed.

Exit codes:
  0  no draft waits, or not any more
  3  a draft is stale or damaged
  5  drafts wait on";

/// What a person wants done with a draft.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Accept,
    Reject,
    Skip,
    Quit,
}

pub(crate) fn run(args: &ReviewArgs, terminal: &mut Terminal<'_>) -> Result<u8, Stop> {
    let drafts = bless::select(&args.paths)?;
    if drafts.is_empty() {
        terminal.say("nothing to review: no draft waits")?;
        return Ok(exit_code::SUCCESS);
    }
    if io::stdin().is_terminal() && io::stdout().is_terminal() && !in_ci() {
        let keyboard = console::Term::stdout();
        return ask(&drafts, terminal, || keyboard.read_char());
    }
    list(&drafts, terminal)
}

/// Shows every draft with the commands that take or reject it.
fn list(drafts: &[PathBuf], terminal: &mut Terminal<'_>) -> Result<u8, Stop> {
    let mut code = exit_code::DRAFTS_PENDING;
    for path in drafts {
        match Pending::read(path) {
            Ok(pending) => {
                show(&pending, terminal)?;
                let accept = bless::command(false, path);
                let reject = bless::command(true, path);
                writeln!(terminal.out(), "  accept: {accept}")?;
                writeln!(terminal.out(), "  reject: {reject}\n")?;
            }
            Err(problems) => {
                report_problems(&problems, terminal)?;
                code = exit_code::worst(code, exit_code::BAD_INPUT);
            }
        }
    }
    let count = counted(drafts.len() as u64, "draft");
    let verb = if drafts.len() == 1 { "waits" } else { "wait" };
    writeln!(
        terminal.out(),
        "{count} {verb} for review; to accept all below expectations/: replay bless --all"
    )?;
    Ok(code)
}

/// Shows one draft after the other and does what the keys say.
fn ask(
    drafts: &[PathBuf],
    terminal: &mut Terminal<'_>,
    mut key: impl FnMut() -> io::Result<char>,
) -> Result<u8, Stop> {
    let (mut waiting, mut unfit) = (0, false);
    for (index, path) in drafts.iter().enumerate() {
        let pending = Pending::read(path);
        writeln!(terminal.out(), "draft {} of {}", index + 1, drafts.len())?;
        match &pending {
            Ok(pending) => show(pending, terminal)?,
            Err(problems) => report_problems(problems, terminal)?,
        }
        match (answer(pending.is_ok(), terminal, &mut key)?, pending) {
            (Answer::Accept, Ok(pending)) => bless::take(&pending, terminal)?,
            (Answer::Reject, _) => reject(path, terminal)?,
            (Answer::Accept | Answer::Skip, pending) => {
                waiting += 1;
                unfit |= pending.is_err();
            }
            (Answer::Quit, _) => {
                waiting += drafts.len() - index;
                break;
            }
        }
        writeln!(terminal.out())?;
    }
    Ok(match (waiting, unfit) {
        (0, _) => exit_code::SUCCESS,
        (_, true) => exit_code::BAD_INPUT,
        (_, false) => exit_code::DRAFTS_PENDING,
    })
}

/// Waits for a key that means something. Without a keyboard any more, that is to quit.
fn answer(
    sound: bool,
    terminal: &mut Terminal<'_>,
    key: &mut impl FnMut() -> io::Result<char>,
) -> Result<Answer, Stop> {
    let accept = if sound { "a accept   " } else { "" };
    loop {
        write!(terminal.out(), "  {accept}r reject   s skip   q quit > ")?;
        terminal.flush()?;
        let Ok(pressed) = key() else {
            writeln!(terminal.out())?;
            return Ok(Answer::Quit);
        };
        writeln!(terminal.out(), "{}", printable(&pressed.to_string()))?;
        match pressed {
            'a' if sound => return Ok(Answer::Accept),
            'r' => return Ok(Answer::Reject),
            's' => return Ok(Answer::Skip),
            // Escape and the end of input as well.
            'q' | '\u{1b}' | '\u{4}' => return Ok(Answer::Quit),
            _ => {}
        }
    }
}

fn reject(path: &Path, terminal: &mut Terminal<'_>) -> Result<(), Stop> {
    draft::reject(path).map_err(Stop::usage)?;
    writeln!(terminal.out(), "rejected {}", path.display())?;
    Ok(())
}

fn report_problems(problems: &[Diagnostic], terminal: &mut Terminal<'_>) -> Result<(), Stop> {
    let mut problems = problems.iter();
    Ok(problems.try_for_each(|problem| terminal.diagnose(problem))?)
}

/// Prints what a draft changes.
fn show(pending: &Pending, terminal: &mut Terminal<'_>) -> Result<(), Stop> {
    let style = terminal.style;
    let path = pending.draft.path.display().to_string();
    let path = printable(&path);
    let title = printable(&pending.golden.title);
    let path = style.paint(Paint::Strong, &path);
    writeln!(terminal.out(), "{path}  ({title})")?;
    let painted = |paint, line: String| style.paint(paint, &line).to_string();
    for Section { word, lines } in changes(&pending.golden.expect, &pending.drafted.expect) {
        writeln!(terminal.out(), "  {}", style.paint(Paint::Faint, word))?;
        for (change, line) in lines {
            let line = printable(&line);
            let shown = match change {
                Change::Stays => format!("      {line}"),
                Change::Goes => painted(Paint::Bad, format!("    - {line}")),
                Change::Comes => painted(Paint::Good, format!("    + {line}")),
                Change::LeftOut(count) => format!("      ... {}", counted(count as u64, "line")),
            };
            writeln!(terminal.out(), "{shown}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::draft::Draft;
    use crate::scenario::{ClosedList, load};

    /// A folder with goldens that expect no half-close, and drafts of them that do not look at half-closes.
    fn folder(names: &[&str]) -> (tempfile::TempDir, Vec<PathBuf>) {
        const GOLDEN: &str = r#"{ "schema": 1, "title": "t", "input": { "frames": ["1 stop"] },
            "expect": { "half_closes": [] } }"#;
        let root = tempfile::tempdir().unwrap();
        let draft = |name: &&str| {
            let path = root.path().join(name);
            std::fs::write(&path, GOLDEN).unwrap();
            let loaded = load::load(&path).unwrap();
            let mut scenario = loaded.scenario;
            scenario.expect.half_closes = None;
            scenario.expect.dials = Some(ClosedList::default());
            let draft = Draft::new(&path, GOLDEN, &scenario);
            draft.write().unwrap();
            draft.path
        };
        let drafts = names.iter().map(draft).collect();
        (root, drafts)
    }

    /// What keys come to: the exit code, and what was printed.
    fn pressed(drafts: &[PathBuf], keys: &str) -> (u8, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut keys = keys.chars();
        let code = ask(drafts, &mut Terminal::new(&mut out, &mut err), || {
            keys.next()
                .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
        });
        (code.unwrap(), String::from_utf8(out).unwrap())
    }

    fn waits(drafts: &[PathBuf]) -> Vec<bool> {
        drafts.iter().map(|draft| draft.exists()).collect()
    }

    #[test]
    fn keys_accept_reject_and_skip() {
        let (_root, drafts) = folder(&["a.json", "b.json", "c.json"]);
        let (code, shown) = pressed(&drafts, "xars");
        assert_eq!((code, waits(&drafts)), (5, vec![false, false, true]));
        let changes = "  dials\n    + none\n  half_closes\n    - none\n";
        assert_eq!(shown.matches(changes).count(), 3, "{shown}");
        assert!(shown.contains("draft 3 of 3\n"), "{shown}");
        let taken = load::load(&draft::golden_of(&drafts[0]).unwrap()).unwrap();
        assert_eq!(taken.scenario.expect.half_closes, None);
        let kept = load::load(&draft::golden_of(&drafts[1]).unwrap()).unwrap();
        assert!(kept.scenario.expect.half_closes.is_some());
    }

    #[test]
    fn to_quit_leaves_what_follows() {
        let (_root, drafts) = folder(&["a.json", "b.json"]);
        assert_eq!(pressed(&drafts, "q").0, 5);
        // As does a keyboard that is gone.
        assert_eq!(pressed(&drafts, "").0, 5);
        assert_eq!(waits(&drafts), [true, true]);
        assert_eq!(pressed(&drafts, "aa").0, 0);
    }

    #[test]
    fn a_stale_draft_cannot_be_accepted() {
        let (_root, drafts) = folder(&["a.json"]);
        let golden = draft::golden_of(&drafts[0]).unwrap();
        let mut text = std::fs::read_to_string(&golden).unwrap();
        text.push('\n');
        std::fs::write(&golden, text).unwrap();
        let (code, shown) = pressed(&drafts, "as");
        assert_eq!((code, waits(&drafts)), (3, vec![true]));
        assert!(!shown.contains("a accept"), "{shown}");
        assert_eq!(pressed(&drafts, "r").0, 0);
    }
}
