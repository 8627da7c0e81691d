//! Pages: links lead somewhere, programs named exist, examples are files of this repository, output is what comes.

use std::fs;
use std::path::{Path, PathBuf};

use super::console::{self, Example};
use super::{files_below, scenario_files, shown};

/// The page whose JSON is no scenario.
const NO_SCENARIOS: &str = "docs/STACK_PROTOCOL.md";

/// The page that has a reason for each dependency.
const DEPENDENCIES: &str = "docs/DEPENDENCIES.md";

pub(super) fn check(root: &Path) -> Vec<String> {
    let mut problems = Vec::new();
    let scenarios = contents(scenario_files(root));
    let swift = contents(files_below(&root.join("engine/swift/Examples")));
    for path in pages(root) {
        let text = fs::read_to_string(&path).unwrap_or_default();
        let page = shown(&path, root);
        let about = |what: String| format!("{page}: {what}");
        let folder = path.parent().unwrap_or(root);
        let broken = links(&text).filter(|link| !folder.join(link).exists());
        problems.extend(broken.map(|link| about(format!("no such file: {link}"))));
        let mut unknown = blocks(&text, "json");
        unknown.retain(|block| page != NO_SCENARIOS && !scenarios.iter().any(|file| file == block));
        for block in unknown {
            let start: String = block.lines().take(3).collect();
            problems.push(about(format!(
                "a JSON example is not a file under expectations/: {start}"
            )));
        }
        // Swift of a page stands in an example of the package, which `.ci/swift` compiles: the same lines in the same order.
        let mut unknown = blocks(&text, "swift");
        unknown.retain(|block| !swift.iter().any(|file| has_lines(file, block)));
        for block in unknown {
            let start = block.lines().next().unwrap_or_default();
            problems.push(about(format!(
                "Swift that is in no file of engine/swift/Examples: {start}"
            )));
        }
        let examples = console::examples(&text);
        let unknown = examples.iter().filter_map(|example| program(root, example));
        problems.extend(unknown.map(about));
        if examples.is_empty() {
            continue;
        }
        match console::run(root, &examples) {
            Ok(differences) => problems.extend(differences.into_iter().map(about)),
            Err(problem) => problems.push(about(problem)),
        }
    }
    let read = |name: &str| fs::read_to_string(root.join(name)).unwrap_or_default();
    let (manifest, page) = (read("Cargo.toml"), read(DEPENDENCIES));
    let unexplained = unexplained(&manifest, &page);
    problems.extend(unexplained.map(|name| format!("{DEPENDENCIES}: no reason for `{name}`")));
    problems
}

/// Dependencies of the workspace's manifest that the page does not name. Packages of this repository need no reason.
fn unexplained<'a>(manifest: &'a str, page: &str) -> impl Iterator<Item = &'a str> {
    manifest
        .lines()
        .skip_while(|line| *line != "[workspace.dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split_once(" = "))
        .filter(|(_, what)| !what.contains("path = "))
        .map(|(name, _)| name)
        .filter(move |name| !page.contains(&format!("`{name}`")))
}

/// Every page at the root, in docs/ and beside the captures.
fn pages(root: &Path) -> Vec<PathBuf> {
    let mut pages: Vec<_> = ["docs", "captures"]
        .iter()
        .flat_map(|folder| files_below(&root.join(folder)))
        .collect();
    let at_root = [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
    ];
    pages.extend(at_root.iter().map(|page| root.join(page)));
    pages.retain(|page| page.extension().is_some_and(|ending| ending == "md"));
    pages
}

/// Targets of relative links, without their fragments.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .filter_map(|link| link.split('#').next())
        .filter(|link| {
            !link.is_empty() && !link.contains("://") && !link.contains(char::is_whitespace)
        })
}

/// A command that is no `replay` must at least be there.
fn program(root: &Path, example: &Example) -> Option<String> {
    let words: Vec<&str> = example.command.split_whitespace().collect();
    let known = match words.as_slice() {
        ["cargo", "xtask", command, ..] => matches!(*command, "check" | "generate"),
        [
            "cargo",
            "run" | "build" | "test" | "install" | "fmt" | "clippy" | "doc",
            ..,
        ]
        | ["replay" | "git" | "cd" | "cp" | "sed", ..] => true,
        [assignment, "cargo", ..] if assignment.contains('=') => true,
        [script, ..] if script.contains('/') => root.join(script).is_file(),
        _ => false,
    };
    (!known).then(|| {
        format!(
            "line {}: unknown command: {}",
            example.line, example.command
        )
    })
}

fn contents(files: Vec<PathBuf>) -> Vec<String> {
    files
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .collect()
}

/// Code blocks of a language, the last line's end included.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    text.split(&format!("\n```{language}\n"))
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect()
}

/// Whether a file has all lines of an excerpt in their order, whatever stands between them and before each.
fn has_lines(file: &str, excerpt: &str) -> bool {
    let mut lines = file.lines().map(str::trim);
    excerpt
        .lines()
        .all(|wanted| lines.any(|line| line == wanted.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dependency_without_a_reason_is_found() {
        let manifest = "[workspace.dependencies]\nours = { path = \"ours\" }\nclap = \"4\"\nlibc = { version = \"0.2\" }\n[lints]\nx = 1\n";
        let found: Vec<_> = unexplained(manifest, "| `clap` | options |").collect();
        assert_eq!(found, ["libc"]);
    }

    #[test]
    fn links_are_relative_paths_without_fragments() {
        let text = "[a](b.md#c) [d](https://e.example) [f](#g) [h](../i)";
        assert_eq!(links(text).collect::<Vec<_>>(), ["b.md", "../i"]);
    }

    #[test]
    fn an_excerpt_has_its_lines_in_the_order_of_the_file() {
        let file = "{\n    a\n    b\n    c\n}\n";
        assert!(has_lines(file, "a\nc\n"));
        assert!(!has_lines(file, "c\na\n"));
        assert!(!has_lines(file, "d\n"));
    }
}
