//! Two runs side by side, flow by flow: the first difference of each.

use std::io::{self, Write};

use crate::base::term::{Paint, Style, printable};
use crate::base::wording::{counted, seconds_of};
use crate::report::ladder::{Ladder, Rung, Way};

/// Events shown before a difference.
const BEFORE: usize = 3;

/// Prints the first difference of each flow; whether there is any. Times are not compared, only what happened and in which order.
///
/// # Errors
/// Writing failed.
pub(super) fn compare(
    out: &mut dyn Write,
    (one_name, other_name): (&str, &str),
    one: &Ladder,
    other: &Ladder,
    style: Style,
) -> io::Result<bool> {
    let (names, mut rest) = (one.flows(), other.flows());
    let mut differ = false;
    writeln!(out, "a: {}", printable(one_name))?;
    writeln!(out, "b: {}", printable(other_name))?;
    for name in names {
        // The same name, or else the next flow to the same server: the device's port is another in each run.
        let server = |name: &str| name.split_once(" > ").map(|(_, server)| server.to_owned());
        let same = rest.iter().position(|other| *other == name).or_else(|| {
            let own = server(name)?;
            let mut rest = rest.iter();
            rest.position(|other| server(other).as_ref() == Some(&own))
        });
        let Some(same) = same else {
            differ = true;
            let line = format!("{name}: only in a");
            writeln!(out, "{}", style.paint(Paint::Bad, &printable(&line)))?;
            continue;
        };
        let twin = rest.remove(same);
        differ |= flow(out, (name, twin), one, other, style)?;
    }
    for name in rest {
        differ = true;
        let line = format!("{name}: only in b");
        writeln!(out, "{}", style.paint(Paint::Bad, &printable(&line)))?;
    }
    Ok(differ)
}

/// One flow of both; whether it differs.
fn flow(
    out: &mut dyn Write,
    (name, twin): (&str, &str),
    one: &Ladder,
    other: &Ladder,
    style: Style,
) -> io::Result<bool> {
    let of = |ladder: &Ladder, name: &str| -> Vec<(Way, String, u64)> {
        let own = |rung: &&Rung| rung.flow() == Some(name);
        let event = |rung: &Rung| {
            // A clock of the device is another in every run.
            let what = without_timestamps(&rung.event.what.replace(name, "it"));
            (rung.way, what, rung.event.at_us)
        };
        ladder.rungs.iter().filter(own).map(event).collect()
    };
    let (one, other) = (of(one, name), of(other, twin));
    let both = one.iter().zip(&other);
    let equal = both.take_while(|(one, other)| (one.0, &one.1) == (other.0, &other.1));
    let equal = equal.count();
    if equal == one.len() && equal == other.len() {
        let line = format!("{name}: the same, {}", counted(equal as u64, "event"));
        writeln!(out, "{}", style.paint(Paint::Good, &printable(&line)))?;
        return Ok(false);
    }
    let line = format!("{name}: differs from event {} on", equal + 1);
    writeln!(out, "{}", style.paint(Paint::Bad, &printable(&line)))?;
    let shown = |event: &(Way, String, u64)| {
        let mark = match event.0 {
            Way::FromDevice => "< ",
            Way::ToDevice => "> ",
            Way::ToFar | Way::FromFar | Way::Host => "",
        };
        format!("{} {mark}{}", seconds_of(event.2), event.1)
    };
    for event in one.iter().take(equal).skip(equal.saturating_sub(BEFORE)) {
        let line = format!("     {}", shown(event));
        writeln!(out, "{}", style.paint(Paint::Faint, &printable(&line)))?;
    }
    for (letter, events) in [("a", &one), ("b", &other)] {
        let event = events.get(equal);
        let text = event.map_or_else(|| "nothing more".to_owned(), shown);
        let line = format!("  {letter}  {text}");
        writeln!(out, "{}", style.paint(Paint::Bad, &printable(&line)))?;
    }
    Ok(true)
}

/// A line without the values of its timestamps option.
fn without_timestamps(line: &str) -> String {
    match line.split_once("TS val ") {
        None => line.to_owned(),
        Some((before, rest)) => {
            let end = rest.find([',', '>']).unwrap_or(rest.len());
            format!("{before}TS{}", rest.get(end..).unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::ladder::tests::{WRONG, ladder_of};

    fn compared(one: &[&str], other: &[&str]) -> (bool, String) {
        let (one, other) = (ladder_of(one).0, ladder_of(other).0);
        let mut out = Vec::new();
        let differ = compare(&mut out, ("one", "other"), &one, &other, Style::default());
        (differ.unwrap(), String::from_utf8(out).unwrap())
    }

    #[test]
    fn equal_runs_are_the_same() {
        let (differ, text) = compared(&WRONG, &WRONG);
        assert!(
            !differ && text.contains("get: the same, 8 events"),
            "{text}"
        );
    }

    #[test]
    fn values_of_timestamps_are_no_difference() {
        let line = |value| format!("S 0:0(0) win 9 <mss 1460,TS val {value} ecr 0,nop>");
        assert_eq!(
            without_timestamps(&line(1)),
            without_timestamps(&line(70_000))
        );
        assert_eq!(
            without_timestamps(&line(1)),
            "S 0:0(0) win 9 <mss 1460,TS,nop>"
        );
    }

    #[test]
    fn the_first_difference_is_shown_from_both() {
        let mut other = WRONG;
        other[3] = "+0.01 < get P. 1:21(20) ack 1 win 65535";
        let (differ, text) = compared(&WRONG, &other);
        assert!(differ, "{text}");
        assert!(text.contains("get: differs from event 6 on"), "{text}");
        assert!(text.contains("  a  0.010000 < P. 1:11(10)"), "{text}");
        assert!(text.contains("  b  0.010000 < P. 1:21(20)"), "{text}");
    }
}
