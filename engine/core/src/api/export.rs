//! The counters as text, as JSON and as OpenMetrics.

use core::fmt::Write as _;

use crate::api::counters::{Counters, Mark};
use crate::api::drop_reason::DropReason;
use crate::api::json::Object;

/// In front of every metric's name.
const PREFIX: &str = "engine_";

/// The family of all drops; the reason is a label.
const DROPS: &str = "engine_drops";

/// What it counts, for its HELP line.
const DROPS_HELP: &str = "Frames dropped, by reason.";

impl Counters {
    /// A line for each counter: its name, and its value set to the right. With all of them, zeros too.
    #[must_use]
    pub fn to_text(&self) -> String {
        let width = self.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let mut text = String::new();
        for (name, value) in self.iter() {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name:<width$} {value:>12}");
        }
        text
    }

    /// One flat object: every counter by its name, in the order of [`Counters::iter`].
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut object = Object::new();
        for (name, value) in self.iter() {
            object.number(name, value);
        }
        object.end()
    }

    /// The text form of OpenMetrics 1.0: a family for each counter and gauge, `engine_` in front of its name, one for
    /// all drops with the reason as a label, and the end mark.
    #[must_use]
    pub fn to_openmetrics(&self) -> String {
        let mut text = String::new();
        let infos = Self::describe().zip(self.iter());
        for (info, (name, value)) in infos.filter(|(_, (name, _))| !name.starts_with("drop_")) {
            let (kind, suffix) = match info.mark {
                Mark::Gauge => ("gauge", ""),
                Mark::Semantic | Mark::Timing => ("counter", "_total"),
            };
            let _ = writeln!(text, "# TYPE {PREFIX}{name} {kind}");
            let _ = writeln!(text, "# HELP {PREFIX}{name} {}", escaped(info.help()));
            let _ = writeln!(text, "{PREFIX}{name}{suffix} {value}");
        }
        let _ = writeln!(text, "# TYPE {DROPS} counter\n# HELP {DROPS} {DROPS_HELP}");
        for reason in DropReason::ALL {
            let (label, value) = (reason.label(), self.dropped(*reason));
            let _ = writeln!(text, "{DROPS}_total{{reason=\"{label}\"}} {value}");
        }
        text.push_str("# EOF\n");
        text
    }

    /// All counters that are not zero, in one line.
    #[must_use]
    pub fn to_line(&self) -> String {
        let mut line = String::from("counters");
        for (name, value) in self.iter().filter(|(_, value)| *value > 0) {
            let _ = write!(line, " {name}={value}");
        }
        line
    }
}

/// A help text as OpenMetrics wants it: these three characters escaped.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('\n', "\\n")
        .replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted() -> Counters {
        let mut counters = Counters::default();
        counters.frames_in = 7;
        counters.tcp_flows = 2;
        counters.count_drop(DropReason::MalformedIp);
        counters
    }

    #[test]
    fn text_has_a_line_for_each_counter() {
        let text = counted().to_text();
        assert_eq!(text.lines().count(), Counters::describe().count());
        let line = text.lines().find(|line| line.starts_with("frames_in "));
        let words: Vec<&str> = line.expect("a line").split_whitespace().collect();
        assert_eq!(words, ["frames_in", "7"]);
    }

    #[test]
    fn json_has_every_counter_once() {
        let json = counted().to_json();
        assert!(json.starts_with("{\"frames_in\":7,"), "{json}");
        assert!(json.contains("\"drop_malformed_ip\":1"), "{json}");
        for info in Counters::describe() {
            assert_eq!(json.matches(&format!("\"{}\":", info.name)).count(), 1);
        }
    }

    #[test]
    fn a_line_leaves_out_what_is_zero() {
        assert_eq!(
            counted().to_line(),
            "counters frames_in=7 tcp_flows=2 drop_malformed_ip=1"
        );
    }

    /// Reads the text form as its grammar says (OpenMetrics 1.0, section "ABNF"): per family TYPE, HELP, samples.
    #[test]
    fn openmetrics_keeps_to_its_grammar() {
        let text = counted().to_openmetrics();
        let mut lines = text.lines().peekable();
        let mut families = Vec::new();
        let mut samples = 0;
        while let Some(line) = lines.next() {
            if line == "# EOF" {
                assert_eq!(lines.next(), None, "nothing follows the end");
                break;
            }
            let words: Vec<&str> = line.split(' ').collect();
            let ["#", "TYPE", family, kind] = words[..] else {
                panic!("a family begins with its type: {line}");
            };
            assert!(!families.contains(&family), "{family} comes twice");
            assert!(
                family
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            );
            assert!(!family.ends_with("_total"), "{family}");
            families.push(family);
            let help = lines.next().expect("a help line");
            assert!(help.starts_with(&format!("# HELP {family} ")), "{help}");
            while let Some(sample) = lines.next_if(|line| !line.starts_with('#')) {
                let (name, value) = sample.rsplit_once(' ').expect("a value");
                let name = name.split('{').next().expect("a name");
                let suffix = if kind == "counter" { "_total" } else { "" };
                assert_eq!(name, format!("{family}{suffix}"));
                value.parse::<u64>().expect("a number");
                samples += 1;
            }
        }
        assert_eq!(samples, Counters::describe().count());
        assert!(text.ends_with("# EOF\n"));
        assert!(text.contains("engine_frames_in_total 7\n"));
        assert!(text.contains("engine_drops_total{reason=\"malformed_ip\"} 1\n"));
    }
}
