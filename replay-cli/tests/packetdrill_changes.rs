//! Passing scripts notice every change to what they compare: each field of a `>` line, each result of a call, each time.
//!
//! Those of this project always; of the suites that others published, sixty drawn by a seed where `PACKETDRILL_SUITES` names their folders
//! (`:` between them).

use std::path::{Path, PathBuf};

use replay::scenario::discover::discover;
use replay::verdict::outcome::{ScenarioOutcome, Verdict};
use replay::verdict::run::{RunOptions, run_file};

/// Scripts drawn of other suites.
const DRAWN: usize = 60;

struct Changed {
    what: String,
    text: String,
}

fn run(path: &Path) -> ScenarioOutcome {
    run_file(path, &RunOptions::default()).remove(0)
}

/// A line with one number of it raised: the one behind `word`.
fn raised(line: &str, word: &str, by: i64) -> Option<String> {
    let at = line.find(word)? + word.len();
    let rest = line.get(at..)?;
    let digits = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    let number: i64 = rest.get(..digits)?.parse().ok()?;
    Some(format!("{}{}{}", &line[..at], number + by, &rest[digits..]))
}

/// Changes of a `>` line that must all be noticed. `turned` says which part of a connection the application opened it is.
fn of_packet(line: &str, turned: &str) -> Vec<(&'static str, String)> {
    let mut changes = Vec::new();
    let Some((head, body)) = line.split_once('>') else {
        return changes;
    };
    if body.contains("icmp") || body.contains("udp") {
        return changes;
    }
    let mut change = |name, changed: Option<String>| {
        changes.extend(changed.map(|body| (name, format!("{head}>{body}"))));
    };
    change(
        "ack",
        raised(body, "ack ", 1).or_else(|| raised(body, "ack   ", 1)),
    );
    if turned == "last" {
        return changes;
    }
    // Beyond what a window may stand back.
    change(
        "win",
        raised(body, "win ", -3000).filter(|body| !body.contains("win -")),
    );
    for option in ["mss "] {
        change("mss", raised(body, option, 1));
    }
    let words: Vec<&str> = body.split_whitespace().collect();
    let Some(range) = words
        .iter()
        .find(|word| word.contains(':') && word.contains('('))
    else {
        return changes;
    };
    let flags = words
        .iter()
        .take_while(|word| *word != range)
        .last()
        .copied()
        .unwrap_or_default();
    if turned != "first" {
        change("sack", raised(body, "sack ", 1));
        if body.contains("wscale ") {
            change("wscale", raised(body, "wscale ", 1));
        }
        if body.contains("sackOK") {
            change("sackOK", Some(body.replacen("sackOK", "nop", 1)));
        }
        // A reset for an acknowledgement, an end for none.
        let other = if flags.contains('R') {
            flags.replace('R', "F")
        } else {
            format!("R{flags}")
        };
        change(
            "flags",
            Some(body.replacen(&format!("{flags} "), &format!("{other} "), 1)),
        );
    }
    let numbers: Vec<u64> = range
        .split([':', '(', ')'])
        .filter_map(|word| word.parse().ok())
        .collect();
    if let [start, end, len] = numbers[..] {
        let shifted = format!("{}:{}({len})", start + 1, end + 1);
        change("sequence", Some(body.replacen(range, &shifted, 1)));
        if turned != "first" {
            let longer = format!("{start}:{}({})", end + 1, len + 1);
            change("length", Some(body.replacen(range, &longer, 1)));
        }
    }
    changes
}

/// A line whose time is later by more than any tolerance there may be.
fn later(line: &str, tolerance: f64) -> Option<String> {
    let trimmed = line.trim_start();
    let relative = trimmed.starts_with('+');
    let word = trimmed.trim_start_matches('+');
    let end = word
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(word.len());
    let number: f64 = word.get(..end)?.parse().ok()?;
    if word.get(end..)?.trim_start().starts_with(['~', '.']) {
        return None;
    }
    let by = 3.0 * tolerance + 0.4 * number + 0.01;
    let plus = if relative { "+" } else { "" };
    Some(format!("{plus}{:.6}{}", number + by, &word[end..]))
}

/// Changes of a call's result that must all be noticed.
fn of_call(line: &str) -> Vec<(&'static str, String)> {
    let Some(at) = line.rfind(") = ").map(|at| at + 4) else {
        return Vec::new();
    };
    let (head, result) = line.split_at(at);
    let number: Option<i64> = result
        .split_whitespace()
        .next()
        .and_then(|word| word.parse().ok());
    let mut changes = Vec::new();
    match number {
        // A descriptor has any number that is free.
        Some(number)
            if number >= 0
                && (head.contains("socket(")
                    || head.contains("accept(")
                    || head.contains("epoll_create(")) => {}
        Some(-1) => changes.push(("error", format!("{head}0"))),
        Some(number) => {
            changes.push(("result", format!("{head}{}", number + 1)));
            changes.push(("error", format!("{head}-1 EPERM (Operation not permitted)")));
        }
        None => {}
    }
    if head.contains("SO_ERROR") {
        let other = if head.contains("[0]") {
            head.replacen("[0]", "[ECONNRESET]", 1)
        } else {
            head.replacen("[E", "[0], [", 1)
        };
        if head.contains("[0]") {
            changes.push(("value", format!("{other}{result}")));
        }
    }
    changes
}

/// Every change of a script that it must notice.
fn changes(text: &str, outcome: &ScenarioOutcome) -> Vec<Changed> {
    let not_compared: Vec<u32> = outcome
        .script
        .iter()
        .flat_map(|script| &script.not_compared)
        .filter_map(|problem| Some(problem.where_.as_ref()?.position?.line))
        .collect();
    let tolerance = text
        .lines()
        .find_map(|line| {
            line.trim()
                .strip_prefix("--tolerance_usecs=")?
                .parse::<f64>()
                .ok()
        })
        .map_or(0.004, |micros| micros / 1e6);
    let lines: Vec<&str> = text.lines().collect();
    let mut changes = Vec::new();
    let mut turned = "";
    let mut skipped = false;
    for (index, line) in lines.iter().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        let event = code.trim_start();
        skipped = match event {
            _ if event.starts_with("#ifdef STANDARD") => false,
            _ if event.starts_with("#ifdef") => true,
            _ if event.starts_with("#else") => !skipped,
            _ if event.starts_with("#endif") => false,
            _ => skipped,
        };
        let timed = event.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '*' | '.'));
        let number = u32::try_from(index + 1).unwrap();
        if !timed || skipped || not_compared.contains(&number) || code.contains(['`', '%']) {
            if code.contains('<') && code.contains("S.") && turned == "first" {
                turned = "answered";
            }
            continue;
        }
        let arrow = code.split_whitespace().nth(1).unwrap_or_default();
        let outbound = arrow == ">";
        if outbound && code.contains(" S ") {
            turned = "first";
        } else if arrow == "<" && turned == "first" {
            turned = "answered";
        } else if outbound {
            turned = if turned == "answered" { "last" } else { "" };
        }
        let mut found = Vec::new();
        if outbound {
            found.extend(of_packet(code, turned));
            if turned != "last" {
                found.extend(later(code, tolerance).map(|line| ("time", line)));
            }
        } else if arrow != "<" && !code.contains("...0") && !code.contains("... 0") {
            found.extend(of_call(code));
        }
        for (what, changed) in found {
            let mut all = lines.clone();
            all[index] = &changed;
            changes.push(Changed {
                what: format!("{number}: {what}: {changed}"),
                text: all.join("\n"),
            });
        }
        if turned == "last" {
            turned = "";
        }
    }
    changes
}

/// What scripts do not notice, and how many changes were tried.
fn unnoticed(scripts: &[PathBuf]) -> (Vec<String>, usize) {
    let root = tempfile::tempdir().expect("a folder");
    let (mut missed, mut tried) = (Vec::new(), 0);
    for (nth, script) in scripts.iter().enumerate() {
        let text = String::from_utf8_lossy(&std::fs::read(script).expect("a script")).into_owned();
        let outcome = run(script);
        assert!(matches!(outcome.verdict, Verdict::Pass), "{script:?}");
        for change in changes(&text, &outcome) {
            let path = root.path().join(format!("{nth}.pkt"));
            std::fs::write(&path, &change.text).expect("a file");
            tried += 1;
            if matches!(run(&path).verdict, Verdict::Pass) {
                missed.push(format!("{}:{}", script.display(), change.what));
            }
        }
    }
    (missed, tried)
}

fn scripts(folder: &Path) -> Vec<PathBuf> {
    let found = discover(&[folder.to_owned()]).expect("the scripts").found;
    found.into_iter().map(|file| file.path).collect()
}

#[test]
fn our_scripts_notice_every_change_to_what_they_compare() {
    let own = scripts(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../expectations/pkt"));
    let (missed, tried) = unnoticed(&own);
    assert!(missed.is_empty(), "of {tried}: {missed:#?}");
    assert!(tried > 1_000, "{tried}");
}

#[test]
fn sixty_scripts_of_others_notice_every_change_to_what_they_compare() {
    let Some(folders) = std::env::var_os("PACKETDRILL_SUITES") else {
        println!("skipped: PACKETDRILL_SUITES names no folders of published scripts");
        return;
    };
    let mut passing: Vec<PathBuf> = std::env::split_paths(&folders)
        .flat_map(|folder| scripts(&folder))
        .filter(|path| matches!(run(path).verdict, Verdict::Pass))
        .collect();
    // Drawn by a seed: the same each time.
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut drawn = Vec::new();
    while drawn.len() < DRAWN && !passing.is_empty() {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let at = usize::try_from(seed % passing.len() as u64).unwrap();
        drawn.push(passing.swap_remove(at));
    }
    let (missed, tried) = unnoticed(&drawn);
    assert!(
        missed.is_empty(),
        "of {tried} in {}: {missed:#?}",
        drawn.len()
    );
}
