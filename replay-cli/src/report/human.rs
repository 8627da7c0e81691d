//! The report people read: one notation for what was expected and what came, the first divergence marked.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use super::ladder::Ladder;
use super::likely::likely;
use super::reporter::{Ended, Reporter, Unwritten};
use super::{Totals, events, figures_line, reproduce};
use crate::base::diagnostic::{Diagnostic, Place};
use crate::base::term::{Paint, Style, printable};
use crate::base::wording::{counted, seconds};
use crate::scenario::failure::Failure;
use crate::stack::event::Trace;
use crate::verdict::outcome::{ScenarioOutcome, Verdict};

/// How a report looks and how much it prints.
#[derive(Clone, Copy, Debug, Default)]
pub struct Look<'a> {
    /// With colour or without.
    pub style: Style,
    /// How much is printed.
    pub detail: Detail,
    /// Whether payload bytes are shown.
    pub payload: bool,
    /// The folder of captures the command named, for the line that runs a scenario again.
    pub captures: Option<&'a Path>,
}

/// How much is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// Failures only.
    Failures,
    /// Failures and the summary.
    #[default]
    Summary,
    /// Every verdict.
    Verdicts,
    /// Every verdict with its figures and notes.
    Notes,
}

/// The report for people: each verdict as soon as it is there, then a summary.
#[derive(Clone, Copy, Debug)]
pub struct Human<'a> {
    /// How it looks and how much it prints.
    pub look: Look<'a>,
    /// Whether only packetdrill scripts run: they have a table at the end, which has the reasons of those that cannot be run.
    pub scripts: bool,
    /// How many of those that took longest are listed at the end.
    pub slowest: usize,
}

impl Reporter for Human<'_> {
    fn scenario(&mut self, out: &mut dyn Write, outcome: &ScenarioOutcome) -> io::Result<()> {
        if self.scripts && matches!(outcome.verdict, Verdict::NotApplicable(_)) {
            return Ok(());
        }
        self::outcome(out, outcome, self.look)?;
        out.flush()
    }

    fn end(&mut self, out: &mut dyn Write, run: &Ended<'_>) -> Result<(), Unwritten> {
        if self.look.detail == Detail::Failures {
            return Ok(());
        }
        if self.scripts {
            super::scripts::table(out, run.outcomes, self.look.style)?;
            super::scripts::reasons(out, run.outcomes, self.look.style)?;
        }
        slowest(out, run.outcomes, self.slowest)?;
        writeln!(out, "{}", summary(run.totals, run.wall))?;
        Ok(())
    }
}

/// Prints one scenario's verdict and all that is wrong with it.
///
/// # Errors
/// Writing failed.
pub fn outcome(out: &mut dyn Write, outcome: &ScenarioOutcome, look: Look<'_>) -> io::Result<()> {
    let ScenarioOutcome {
        name,
        path,
        title,
        covers: _,
        verdict,
        failures,
        via,
        checks,
        core_only,
        figures,
        notes,
        wall: _,
        trace,
        trace_file,
        script,
        // `replay coverage` reports it.
        exercised: _,
    } = outcome;
    let passed = outcome.passed();
    // A script that shows nothing of the engine is printed even unasked: its reasons are the result.
    let is_due =
        !passed || (matches!(verdict, Verdict::NotApplicable(_)) && look.detail > Detail::Failures);
    if !is_due && look.detail < Detail::Verdicts {
        return Ok(());
    }
    let word = verdict.words().to_uppercase();
    let word = look.style.paint(paint(verdict), &word);
    write!(out, "{word} {}", printable(name))?;
    match verdict {
        Verdict::Skipped(reason) => writeln!(out, "  ({})", printable(reason))?,
        _ if title.is_empty() => writeln!(out)?,
        _ => writeln!(out, "  ({})", printable(title))?,
    }
    reasons(out, verdict, look.style)?;
    // How a deviation shows is in its file; the packets are for those who ask.
    let shows_failures = !matches!(verdict, Verdict::Deviation(_)) || look.detail == Detail::Notes;
    for (index, failure) in failures.iter().enumerate().filter(|_| shows_failures) {
        self::failure(out, failure, path, index == 0, look)?;
    }
    let shows_notes = look.detail == Detail::Notes || (!passed && look.detail >= Detail::Verdicts);
    if shows_notes
        && !matches!(
            verdict,
            Verdict::Skipped(_) | Verdict::Invalid(_) | Verdict::NotApplicable(_)
        )
    {
        let dash = look.style.paint(Paint::Faint, "  -");
        let checks = counted(*checks, "check");
        let (core_only, figures) = (core_only_suffix(*core_only), figures_line(figures));
        writeln!(out, "{dash} {checks}{core_only}; {figures}")?;
        for note in notes {
            writeln!(out, "{dash} {}", printable(note))?;
        }
        if let Some(script) = script {
            writeln!(out, "{dash} {}", super::scripts::compared(script))?;
            for what in script.passed_over.iter().chain(&script.not_compared) {
                writeln!(out, "{dash} {}", printable(&super::scripts::placed(what)))?;
            }
        }
    }
    if let Some(trace) = trace.as_ref().filter(|_| !passed) {
        let first = failures.first();
        first.map_or(Ok(()), |first| {
            what_is_likely(out, trace, first, look.style)
        })?;
        if look.detail >= Detail::Verdicts {
            events_before(out, trace, first, look.style)?;
        }
    }
    if let Some(file) = trace_file {
        let frame = file.frame.map(|frame| format!(", frame {frame}"));
        let (path, frame) = (file.path.to_string_lossy(), frame.unwrap_or_default());
        writeln!(out, "  trace: {}{frame}", printable(&path))?;
    }
    if !passed {
        let command = reproduce(path, look.captures, via);
        writeln!(out, "  reproduce: {}\n", printable(&command))?;
    }
    Ok(())
}

/// Prints why a scenario was not run, or may fail.
fn reasons(out: &mut dyn Write, verdict: &Verdict, style: Style) -> io::Result<()> {
    match verdict {
        Verdict::Invalid(diagnostics) => {
            let mut all = diagnostics.iter();
            all.try_for_each(|problem| diagnostic(out, problem, style))
        }
        Verdict::NotApplicable(unmapped) => unmapped.iter().try_for_each(|what| {
            let what = what.to_string();
            let what = what.strip_prefix("error: ").unwrap_or(&what);
            writeln!(out, "  not mapped: {}", printable(what))
        }),
        Verdict::Deviation(why) => {
            let known = style.paint(Paint::Faint, "  known:");
            writeln!(out, "{known} {}", printable(why))
        }
        _ => Ok(()),
    }
}

/// Prints what most likely led to the first failure, with the events that prove it.
fn what_is_likely(
    out: &mut dyn Write,
    trace: &Trace,
    first: &Failure,
    style: Style,
) -> io::Result<()> {
    let ladder = Ladder::of(trace, Some(first));
    let Some(found) = likely(trace, &ladder, first) else {
        return Ok(());
    };
    let mark = style.paint(Paint::Faint, "=");
    writeln!(out, "   {mark} likely: {}", printable(&found.text))?;
    let mut proof = found.proof(&ladder).into_iter();
    proof.try_for_each(|line| writeln!(out, "     {}", printable(&line)))
}

/// Prints the outcomes that took longest, in real time.
fn slowest(out: &mut dyn Write, outcomes: &[ScenarioOutcome], many: usize) -> io::Result<()> {
    if many == 0 {
        return Ok(());
    }
    let mut order: Vec<&ScenarioOutcome> = outcomes.iter().collect();
    order.sort_by_key(|outcome| std::cmp::Reverse(outcome.wall));
    writeln!(out, "slowest:")?;
    for outcome in order.into_iter().take(many) {
        let wall = outcome.wall.as_secs_f64();
        writeln!(out, "  {wall:>8.3} s  {}", printable(&outcome.name))?;
    }
    Ok(())
}

/// Events shown before the first divergence.
const EVENTS_SHOWN: usize = 20;

/// Prints the last events before the first failure: what crossed the engine's border until then.
fn events_before(
    out: &mut dyn Write,
    trace: &Trace,
    first: Option<&Failure>,
    style: Style,
) -> io::Result<()> {
    let until = first.and_then(|first| first.at_us).unwrap_or(u64::MAX);
    let mut lines = events::lines(trace);
    lines.retain(|(at, _)| *at <= until);
    let before = lines.len().saturating_sub(EVENTS_SHOWN);
    if let Some(shown) = lines.get(before..).filter(|shown| !shown.is_empty()) {
        let heading = style.paint(Paint::Faint, "  what went before it:");
        writeln!(out, "{heading}")?;
        for (_, line) in shown {
            writeln!(out, "    {}", printable(line))?;
        }
    }
    Ok(())
}

/// Prints one failure: what it is, where it stands, what was expected over what came, what to do next.
fn failure(
    out: &mut dyn Write,
    failure: &Failure,
    scenario: &Path,
    first: bool,
    look: Look<'_>,
) -> io::Result<()> {
    let style = look.style;
    let Failure {
        kind,
        what,
        expected,
        actual,
        payload,
        flow,
        frame,
        at_us,
        place,
        help,
    } = failure;
    let label = format!("error[{}]", kind.label());
    let mark = if first { "   <-- first divergence" } else { "" };
    let (label, mark) = (
        style.paint(Paint::Bad, &label),
        style.paint(Paint::Attention, mark),
    );
    writeln!(out, "{label}: {}{mark}", printable(what))?;
    let stands = match place {
        Some(place) => place.to_string(),
        None => scenario.display().to_string(),
    };
    let arrow = style.paint(Paint::Faint, "-->");
    write!(out, "  {arrow} {}", printable(&stands))?;
    if let Some(flow) = flow.as_deref().filter(|flow| !what.contains(*flow)) {
        write!(out, "   flow {}", printable(flow))?;
    }
    if let Some(frame) = frame {
        write!(out, "   frame {frame}")?;
    }
    if let Some(at) = at_us {
        write!(out, "   t={}s", seconds(*at))?;
    }
    writeln!(out)?;
    if let Some(place) = place {
        source_line(out, place, style)?;
    }
    let bar = style.paint(Paint::Faint, "|");
    for (word, text) in [
        ("expected", expected),
        ("actual", actual),
        ("payload", if look.payload { payload } else { &None }),
    ] {
        let Some(text) = text else { continue };
        let mut label = word;
        for line in text.lines() {
            writeln!(out, "   {bar}  {label:<8}  {}", printable(line))?;
            label = "";
        }
    }
    if let Some(help) = help {
        let mark = style.paint(Paint::Faint, "=");
        writeln!(out, "   {mark} help: {}", printable(help))?;
    }
    Ok(())
}

/// The longest line that is shown, characters.
const LINE_SHOWN: usize = 160;

/// Prints the line of a file that a place names, with a caret under its column, as compilers do; nothing if it is not there.
fn source_line(out: &mut dyn Write, place: &Place, style: Style) -> io::Result<()> {
    let line = place.position.and_then(|at| {
        let text = fs::read_to_string(&place.path).ok()?;
        let line = text.lines().nth(at.line.checked_sub(1)? as usize)?;
        Some((at, line.replace('\t', " ")))
    });
    let Some((at, line)) = line.filter(|(_, line)| line.chars().count() <= LINE_SHOWN) else {
        return Ok(());
    };
    let indent = line.chars().take_while(|one| *one == ' ').count();
    // A caret within what is cut off in front would point at nothing.
    let indent = indent.min((at.column as usize).saturating_sub(1));
    let shown: String = line.chars().skip(indent).collect();
    let number = at.line.to_string();
    let bar = style.paint(Paint::Faint, "|");
    writeln!(out, "{number:>5} {bar} {}", printable(&shown))?;
    let pad = " ".repeat((at.column as usize).saturating_sub(1 + indent));
    let caret = style.paint(Paint::Bad, "^");
    writeln!(out, "{:>5} {bar} {pad}{caret}", "")
}

fn diagnostic(out: &mut dyn Write, problem: &Diagnostic, style: Style) -> io::Result<()> {
    let text = problem.to_string();
    let text = printable(&text);
    let rest = text.strip_prefix("error:").unwrap_or(&text);
    writeln!(out, "{}{rest}", style.paint(Paint::Bad, "error:"))?;
    match &problem.where_ {
        Some(place) => source_line(out, place, style),
        None => Ok(()),
    }
}

const fn paint(verdict: &Verdict) -> Paint {
    match verdict {
        Verdict::Pass => Paint::Good,
        Verdict::Fail | Verdict::Nondeterministic | Verdict::Invalid(_) => Paint::Bad,
        Verdict::Deviation(_) | Verdict::NotApplicable(_) => Paint::Attention,
        Verdict::Skipped(_) => Paint::Faint,
    }
}

/// The last line: how many ended how, and how long it took; `wall` is real time.
#[must_use]
pub fn summary(totals: &Totals, wall: Duration) -> String {
    let always = |count: u64, word: &str| Some(format!("{count} {word}"));
    let if_any = |count: u64, word: &str| (count > 0).then(|| format!("{count} {word}"));
    let deviations = totals.deviations;
    let counts = [
        always(totals.passed, "passed"),
        always(totals.failed, "failed"),
        if_any(totals.nondeterministic, "nondeterministic"),
        always(totals.invalid, "invalid"),
        always(totals.left, "skipped"),
        if_any(totals.not_applicable, "not applicable"),
        (deviations > 0).then(|| counted(deviations, "known deviation")),
        if_any(totals.not_run, "not run"),
    ];
    let counts: Vec<String> = counts.into_iter().flatten().collect();
    format!(
        "{}: {}; {}{}; {} s of virtual time in {:.2} s",
        counted(totals.scenarios(), "scenario"),
        counts.join(", "),
        counted(totals.checks, "check"),
        core_only_suffix(totals.core_only),
        seconds(totals.virtual_us),
        wall.as_secs_f64(),
    )
}

/// Checks that were left to runs through the core, if there are any.
fn core_only_suffix(count: u64) -> String {
    if count == 0 {
        return String::new();
    }
    format!(", {count} more core only")
}

/// All that is wrong with a scenario, as text without colour.
#[must_use]
pub fn plain(outcome: &ScenarioOutcome, captures: Option<&Path>, payload: bool) -> String {
    let mut text = Vec::new();
    let look = Look {
        style: Style::default(),
        detail: Detail::Failures,
        payload,
        captures,
    };
    // Writing into memory cannot fail.
    let _ = self::outcome(&mut text, outcome, look);
    String::from_utf8_lossy(&text).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::samples;

    fn shown(outcome: &ScenarioOutcome, detail: Detail) -> String {
        let mut out = Vec::new();
        let look = Look {
            detail,
            ..Look::default()
        };
        super::outcome(&mut out, outcome, look).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_failure_shows_expected_over_actual_and_marks_the_first_divergence() {
        insta::assert_snapshot!(shown(&samples::failed(), Detail::Summary));
    }

    #[test]
    fn a_failing_scenario_in_detail_has_its_figures_and_notes() {
        insta::assert_snapshot!(shown(&samples::failed(), Detail::Notes));
    }

    #[test]
    fn an_invalid_scenario_shows_every_diagnostic() {
        insta::assert_snapshot!(shown(&samples::invalid(), Detail::Summary));
    }

    #[test]
    fn nondeterminism_has_a_word_of_its_own() {
        insta::assert_snapshot!(shown(&samples::nondeterministic(), Detail::Summary));
    }

    #[test]
    fn what_passed_is_shown_on_demand_only() {
        assert_eq!(shown(&samples::passed(), Detail::Summary), "");
        insta::assert_snapshot!(shown(&samples::passed(), Detail::Verdicts));
        insta::assert_snapshot!(shown(&samples::passed(), Detail::Notes));
        insta::assert_snapshot!(shown(&samples::left(), Detail::Verdicts));
    }

    #[test]
    fn a_deviation_is_shown_on_demand_with_its_reason() {
        assert_eq!(shown(&samples::deviating(), Detail::Summary), "");
        insta::assert_snapshot!(shown(&samples::deviating(), Detail::Verdicts));
        insta::assert_snapshot!(shown(&samples::deviating(), Detail::Notes));
    }

    #[test]
    fn the_summary_counts_every_verdict() {
        let mut totals = Totals {
            not_run: 2,
            ..Totals::default()
        };
        totals.extend(&samples::all());
        insta::assert_snapshot!(summary(&totals, Duration::from_millis(1234)));
    }

    #[test]
    fn checks_left_to_the_core_are_counted_in_the_summary_and_in_detail() {
        let mut outcome = samples::passed();
        outcome.core_only = 3;
        let mut totals = Totals::default();
        totals.add(&outcome);
        let line = summary(&totals, Duration::ZERO);
        assert!(line.contains("12 checks, 3 more core only;"), "{line}");
        let detail = shown(&outcome, Detail::Notes);
        assert!(detail.contains("12 checks, 3 more core only;"), "{detail}");
    }

    #[test]
    fn a_title_cannot_steer_the_terminal() {
        let mut hostile = samples::failed();
        hostile.title = "\u{1b}[2J".into();
        hostile.failures[0].actual = Some("\u{7}".into());
        assert!(!shown(&hostile, Detail::Notes).contains(['\u{1b}', '\u{7}']));
    }

    #[test]
    fn colour_changes_no_word() {
        let mut coloured = Vec::new();
        let look = Look {
            style: Style::new(true),
            ..Look::default()
        };
        outcome(&mut coloured, &samples::failed(), look).unwrap();
        let mut text = String::from_utf8(coloured).unwrap();
        assert!(text.contains("\u{1b}[1;31m"));
        for code in ["\u{1b}[1;31m", "\u{1b}[1;33m", "\u{1b}[2m", "\u{1b}[0m"] {
            text = text.replace(code, "");
        }
        assert_eq!(text, shown(&samples::failed(), Detail::Summary));
    }
}
