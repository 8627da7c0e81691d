//! A ladder as text, within the width of a terminal.

use std::io::{self, Write};
use std::ops::Range;

use super::{Divergence, Ladder, Rung, Way};
use crate::base::term::{Paint, Style, printable};
use crate::base::wording::seconds_of;

/// Columns of the time in front of each rung, the space behind it included.
const TIME: usize = 12;
/// The narrowest ladder that can be read.
const NARROWEST: usize = 60;

/// Prints the rungs of a range between three lifelines.
///
/// # Errors
/// Writing failed.
pub fn rungs(
    out: &mut dyn Write,
    ladder: &Ladder,
    range: Range<usize>,
    width: usize,
    style: Style,
) -> io::Result<()> {
    // Three lifelines; the notation needs more room than what the dialer did.
    let room = width.max(NARROWEST) - TIME - 3;
    let near = room * 2 / 3;
    let far = room - near;
    let head = format!(
        "{:TIME$}{:<near$} {:<far$} far side",
        "",
        "device",
        format!("{:^8}", "engine").trim_start(),
        near = near,
        far = far.saturating_sub(8),
    );
    writeln!(out, "{}", style.paint(Paint::Strong, head.trim_end()))?;
    missing(out, range.start as u64 + ladder.forgotten, "earlier", style)?;
    let many = ladder.flows().len() > 1;
    for index in range.clone() {
        let Some(rung) = ladder.rungs.get(index) else {
            break;
        };
        let found = ladder.divergence.as_ref();
        let diverges = found.filter(|found| found.rung == index);
        let again = rung.again.then_some(Paint::Attention);
        let paint = diverges.map(|_| Paint::Bad).or(again);
        self::rung(out, rung, (near, far), many, (paint, style))?;
        if let Some(found) = diverges {
            divergence(out, found, &" ".repeat(TIME), style)?;
        }
    }
    let later = ladder.rungs.len().saturating_sub(range.end);
    missing(out, later as u64, "later", style)
}

/// Prints the events of a range, a line each.
///
/// # Errors
/// Writing failed.
pub fn lines(
    out: &mut dyn Write,
    ladder: &Ladder,
    range: Range<usize>,
    style: Style,
) -> io::Result<()> {
    missing(out, range.start as u64 + ladder.forgotten, "earlier", style)?;
    for index in range.clone() {
        let Some(rung) = ladder.rungs.get(index) else {
            break;
        };
        let line = rung.event.line();
        let line = printable(&line);
        let found = ladder.divergence.as_ref();
        match found.filter(|found| found.rung == index) {
            None => writeln!(out, "{line}")?,
            Some(found) => {
                writeln!(out, "{}", style.paint(Paint::Bad, &line))?;
                divergence(out, found, "", style)?;
            }
        }
    }
    let later = ladder.rungs.len().saturating_sub(range.end);
    missing(out, later as u64, "later", style)
}

/// What was expected at the rung above, and what came.
fn divergence(out: &mut dyn Write, found: &Divergence, pad: &str, style: Style) -> io::Result<()> {
    let mark = format!("{pad}^ first divergence: {}", found.what);
    writeln!(out, "{}", style.paint(Paint::Bad, &printable(&mark)))?;
    for (word, text, paint) in [
        ("expected", &found.expected, Paint::Faint),
        ("actual", &found.actual, Paint::Bad),
    ] {
        for line in text.iter().flat_map(|text| text.lines()) {
            let line = format!("{pad}  {word:<8}  {line}");
            writeln!(out, "{}", style.paint(paint, &printable(&line)))?;
        }
    }
    Ok(())
}

fn missing(out: &mut dyn Write, count: u64, word: &str, style: Style) -> io::Result<()> {
    if count == 0 {
        return Ok(());
    }
    let line = format!("{:TIME$}... {count} {word} not shown", "");
    writeln!(out, "{}", style.paint(Paint::Faint, &line))
}

/// One event: its label beside the arrow where there is room, above it otherwise.
fn rung(
    out: &mut dyn Write,
    rung: &Rung,
    (near, far): (usize, usize),
    many: bool,
    (paint, style): (Option<Paint>, Style),
) -> io::Result<()> {
    let mut label = label(rung, many);
    if rung.again {
        label.push_str(" (again)");
    }
    let label = printable(&label).into_owned();
    let (own, to_right) = match rung.way {
        Way::FromDevice => (near, true),
        Way::ToDevice => (near, false),
        Way::ToFar | Way::Host => (far, true),
        Way::FromFar => (far, false),
    };
    let lines = wrapped(&label, own.saturating_sub(6));
    let last = lines.len().saturating_sub(1);
    for (index, text) in lines.iter().enumerate() {
        let time = (index == 0).then(|| seconds_of(rung.event.at_us));
        let time = time.unwrap_or_default();
        let filled = if index < last || rung.way == Way::Host {
            format!(" {text:<fill$}", fill = own - 1)
        } else {
            arrow(text, own, to_right)
        };
        let filled = match paint {
            Some(paint) => style.paint(paint, &filled).to_string(),
            None => filled,
        };
        let line = match rung.way {
            Way::FromDevice | Way::ToDevice => format!("|{filled}|{:far$}|", ""),
            Way::ToFar | Way::FromFar | Way::Host => format!("|{:near$}|{filled}|", ""),
        };
        writeln!(out, "{time:>width$} {line}", width = TIME - 1)?;
    }
    Ok(())
}

/// An arrow of this many columns with a text on it.
fn arrow(text: &str, columns: usize, to_right: bool) -> String {
    let text = format!(" {text} ");
    let dashes = "-".repeat(columns.saturating_sub(text.chars().count() + 3));
    if to_right {
        format!("--{text}{dashes}>")
    } else {
        format!("<-{text}{dashes}-")
    }
}

/// What stands on the arrow; the flow's name only where there are several.
fn label(rung: &Rung, many: bool) -> String {
    let event = &rung.event;
    match (&event.flow, event.direction) {
        (Some(flow), Some(_)) if many => format!("{flow} {}", event.what),
        // Of one flow alone nothing needs its name.
        (Some(flow), None) if !many => {
            let whole = event.what.replacen(&format!(" of {flow}: "), ": ", 1);
            let whole = whole.replacen(&format!("{flow}: "), "", 1);
            whole.replacen(&format!(" {flow}"), "", 1)
        }
        _ => event.what.clone(),
    }
}

/// A text in lines of at most this many columns, broken at spaces and commas where there are any.
fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(8);
    let mut lines = Vec::new();
    let mut rest: Vec<char> = text.chars().collect();
    while rest.len() > columns {
        let breaks = |at: &usize| matches!(rest.get(at - 1), Some(' ' | ','));
        let at = (1..=columns).rev().find(breaks).unwrap_or(columns);
        let tail = rest.split_off(at);
        lines.push(rest.iter().collect::<String>().trim_end().to_owned());
        rest = tail;
    }
    lines.push(rest.iter().collect());
    lines
}

#[cfg(test)]
mod tests {
    use super::super::tests::{WRONG, ladder_of};
    use super::*;

    fn drawn(lines: &[&str], width: usize) -> String {
        let (ladder, ..) = ladder_of(lines);
        let mut out = Vec::new();
        rungs(
            &mut out,
            &ladder,
            0..ladder.rungs.len(),
            width,
            Style::default(),
        )
        .unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn no_rung_is_wider_than_the_terminal() {
        for width in [60, 80, 132] {
            let text = drawn(&WRONG, width);
            let rungs = text.lines().filter(|line| line.contains('|'));
            assert!(rungs.clone().count() >= 8, "{text}");
            for line in rungs {
                assert!(line.chars().count() <= width, "{width}: {line}");
            }
        }
    }

    #[test]
    fn what_was_expected_stands_under_the_packet_that_differs() {
        let text = drawn(&WRONG, 80);
        let lines: Vec<_> = text.lines().collect();
        let mark = lines
            .iter()
            .position(|line| line.contains("^ first divergence"))
            .unwrap();
        assert!(lines[mark - 1].contains("<- . 1:1(0) ack 11"), "{text}");
        assert!(
            lines[mark + 1].contains("expected  +0 > get . 1:1(0) ack 12"),
            "{text}"
        );
    }

    #[test]
    fn of_one_flow_alone_no_rung_has_its_name() {
        let text = drawn(&WRONG, 80);
        assert!(text.contains("|-- dial ---"), "{text}");
        assert!(text.contains("|<- dial: Connected ---"), "{text}");
    }

    #[test]
    fn a_long_label_loses_no_word() {
        let text = "S 0:0(0) win 65535 <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7>";
        let lines = wrapped(text, 20);
        assert!(
            lines.iter().all(|line| line.chars().count() <= 20),
            "{lines:?}"
        );
        let joined: String = lines.concat();
        let letters = |text: &str| text.replace(' ', "");
        assert_eq!(letters(&joined), letters(text));
    }
}
