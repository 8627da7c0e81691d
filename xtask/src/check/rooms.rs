//! Rooms: each top-level module of replay-cli uses only those that stand before it in `replay-cli/src/lib.rs`.
//!
//! The order is written once, as the order of `pub mod` there. Any path counts: `use`, a path within an expression, by `super`, through a
//! group. A path into the crate that begins with no room (an item re-exported at the root) is refused too: it would hide where it leads.

use std::fs;
use std::path::Path;

use super::{files_below, shown};

/// The crate, from the root of the repository.
const SOURCE: &str = "replay-cli/src";

pub(super) fn check(root: &Path) -> Vec<String> {
    let source = root.join(SOURCE);
    let rooms = rooms(&fs::read_to_string(source.join("lib.rs")).unwrap_or_default());
    if rooms.len() < 2 {
        return vec![format!("{SOURCE}/lib.rs names no rooms")];
    }
    let mut problems = Vec::new();
    for file in files_below(&source) {
        let inside = file.strip_prefix(&source).unwrap_or(&file);
        let module = module_of(inside);
        let Some(room) = module.first().filter(|room| rooms.contains(room)) else {
            continue;
        };
        let text = fs::read_to_string(&file).unwrap_or_default();
        for (line, named) in paths(&text, &module) {
            if let Some(why) = forbidden(&rooms, room, &named) {
                problems.push(format!("{}:{line}: {why}", shown(&file, root)));
            }
        }
    }
    problems
}

/// The rooms in their order.
fn rooms(lib: &str) -> Vec<String> {
    lib.lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .map(str::to_owned)
        .collect()
}

/// The module that a file is: `verdict/check/lists.rs` is `verdict::check::lists`.
fn module_of(file: &Path) -> Vec<String> {
    file.with_extension("")
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect()
}

/// Why `room` may not name `named`; `None` if it may.
fn forbidden(rooms: &[String], room: &str, named: &str) -> Option<String> {
    let place = |name: &str| rooms.iter().position(|other| other == name);
    match (place(room), place(named)) {
        (Some(_), None) => Some(format!(
            "`{named}` is no room of {SOURCE}/lib.rs: name the item where it is defined"
        )),
        (Some(here), Some(there)) if there > here => Some(format!(
            "{room} names {named}, which stands above it in {SOURCE}/lib.rs: move the item down, or pass it as an argument"
        )),
        _ => None,
    }
}

/// Every path of a file that leads to the crate's root, by its line and the name there.
fn paths(text: &str, module: &[String]) -> Vec<(usize, String)> {
    let tokens = tokens(text);
    let mut found = Vec::new();
    // The depth of braces at which each inner module began.
    let mut inner: Vec<usize> = Vec::new();
    let mut depth = 0;
    let mut at = 0;
    while let Some((line, token)) = tokens.get(at) {
        let next = |ahead: usize| tokens.get(at + ahead).map(|(_, token)| *token);
        match *token {
            "{" => depth += 1,
            "}" => {
                if inner.last() == Some(&depth) {
                    inner.pop();
                }
                depth = depth.saturating_sub(1);
            }
            "mod" if next(2) == Some("{") => inner.push(depth + 1),
            "crate" if next(1) == Some("::") => {
                found.extend(names(&tokens, at + 2).map(|name| (*line, name)));
            }
            "super" if next(1) == Some("::") && (at == 0 || tokens[at - 1].1 != "::") => {
                let steps = (0..)
                    .take_while(|step| {
                        next(2 * step) == Some("super") && next(2 * step + 1) == Some("::")
                    })
                    .count();
                if steps == module.len() + inner.len() {
                    found.extend(names(&tokens, at + 2 * steps).map(|name| (*line, name)));
                }
                at += 2 * steps - 1;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// The names that stand at a place of a path: one, or those of a group.
fn names(tokens: &[(usize, &str)], at: usize) -> impl Iterator<Item = String> {
    let word = |at: usize| tokens.get(at).map_or("", |(_, token)| *token);
    let mut names = Vec::new();
    if word(at) == "{" {
        let (mut depth, mut place) = (1, at + 1);
        let mut begins = true;
        while depth > 0 && place < tokens.len() {
            match word(place) {
                "{" => depth += 1,
                "}" => depth -= 1,
                "," if depth == 1 => begins = true,
                name if depth == 1 && begins => {
                    names.push(name.to_owned());
                    begins = false;
                }
                _ => {}
            }
            place += 1;
        }
    } else {
        names.push(word(at).to_owned());
    }
    // `crate::{self}` and a glob name no room.
    names
        .into_iter()
        .filter(|name| name.starts_with(|c: char| c.is_alphabetic()) && name != "self")
}

/// The words and marks of a Rust file with their lines, without comments, strings and characters.
fn tokens(text: &str) -> Vec<(usize, &str)> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < bytes.len() {
        let rest = &text[at..];
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = string(rest) {
            length
        } else {
            let word = rest
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(rest.len());
            let first = rest.chars().next().map_or(1, char::len_utf8);
            let length = match word {
                0 if rest.starts_with("::") => 2,
                0 => first,
                word => word,
            };
            if !rest.starts_with(char::is_whitespace) {
                tokens.push((line, &rest[..length]));
            }
            length
        };
        line += rest[..length].matches('\n').count();
        at += length;
    }
    tokens
}

/// The length of the string or character literal that a text begins with.
fn string(text: &str) -> Option<usize> {
    let prefix = text.trim_start_matches(['b', 'c', 'r']);
    let marks = prefix.len() - prefix.trim_start_matches('#').len();
    let before = text.len() - prefix.len() + marks;
    let raw = text[..text.len() - prefix.len()].contains('r');
    if before <= 2 + marks && prefix[marks..].starts_with('"') && (marks == 0 || raw) {
        let body = &prefix[marks + 1..];
        let end = if raw {
            body.find(&format!("\"{}", "#".repeat(marks)))
                .map(|end| end + 1 + marks)
        } else {
            closing(body, '"')
        };
        return Some(before + 1 + end.unwrap_or(body.len()));
    }
    // A character, not a lifetime.
    let body = text.strip_prefix('\'')?;
    let mut chars = body.chars();
    match (chars.next(), chars.next()) {
        (Some('\\'), _) => closing(body, '\'').map(|end| 1 + end),
        (Some(only), Some('\'')) => Some(2 + only.len_utf8()),
        _ => None,
    }
}

/// Where a literal ends: past the first mark that no backslash stands before.
fn closing(body: &str, mark: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in body.char_indices() {
        match c {
            '\\' if !escaped => escaped = true,
            c if c == mark && !escaped => return Some(at + c.len_utf8()),
            _ => escaped = false,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names that a file of the room `verdict` leads to.
    fn named(text: &str) -> Vec<String> {
        let module = ["verdict".to_owned(), "check".to_owned()];
        paths(text, &module)
            .into_iter()
            .map(|(_, name)| name)
            .collect()
    }

    #[test]
    fn this_repository_keeps_the_order() {
        assert_eq!(check(&crate::root()), Vec::<String>::new());
    }

    #[test]
    fn a_path_is_seen_in_every_form() {
        assert_eq!(named("use crate::report::json;"), ["report"]);
        assert_eq!(
            named("use crate::{base::hash, cli::{self, run}};"),
            ["base", "cli"]
        );
        assert_eq!(named("fn f() { crate::cli::main(); }"), ["cli"]);
        assert_eq!(named("use super::super::golden::draft;"), ["golden"]);
        assert_eq!(
            named("mod tests { use super::super::super::load; }"),
            ["load"]
        );
        assert_eq!(named("pub use crate::report as other;"), ["report"]);
    }

    #[test]
    fn what_stays_in_the_room_or_is_no_code_is_not_seen() {
        assert!(named("use super::outcome;").is_empty());
        assert!(named("mod tests { use super::super::outcome; }").is_empty());
        assert!(
            named(
                "// crate::cli\nlet a = \"crate::cli\"; let b = r#\"crate::cli\"#; let c = '\"';"
            )
            .is_empty()
        );
    }

    #[test]
    fn a_lower_room_may_not_name_a_higher_one() {
        let rooms = rooms("pub mod base;\npub mod verdict;\npub mod cli;\npub use verdict::run;\n");
        assert_eq!(forbidden(&rooms, "verdict", "base"), None);
        assert_eq!(forbidden(&rooms, "verdict", "verdict"), None);
        assert!(
            forbidden(&rooms, "verdict", "cli")
                .unwrap()
                .contains("verdict names cli")
        );
        assert!(
            forbidden(&rooms, "verdict", "run")
                .unwrap()
                .contains("no room")
        );
    }
}
