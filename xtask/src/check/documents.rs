//! Pages: links lead somewhere, programs named exist, examples are files of this repository, output is what comes.

use std::fs;
use std::path::Path;

use super::console::{self, Example};
use super::{files_below, shown};

/// Pages whose commands are tried.
const PAGES: [&str; 17] = [
    "README.md",
    "CONTRIBUTING.md",
    "docs/DEBUGGING.md",
    "ARCHITECTURE.md",
    "docs/guides/by_hand.md",
    "docs/guides/ci.md",
    "docs/guides/cut.md",
    "docs/guides/embed.md",
    "docs/guides/failure.md",
    "docs/guides/field_bug.md",
    "docs/guides/load.md",
    "docs/guides/packetdrill.md",
    "docs/guides/privacy.md",
    "docs/guides/record.md",
    "docs/guides/swift.md",
    "docs/guides/versions.md",
    "docs/guides/your_stack.md",
];

/// The page that has a reason for each dependency.
const DEPENDENCIES: &str = "docs/DEPENDENCIES.md";

pub(super) fn check(root: &Path) -> Vec<String> {
    let mut problems = Vec::new();
    for page in PAGES {
        let Ok(text) = fs::read_to_string(root.join(page)) else {
            problems.push(format!("{page} is missing"));
            continue;
        };
        let about = |what: String| format!("{page}: {what}");
        problems.extend(scenarios(root, &text).into_iter().map(about));
        problems.extend(swift(root, &text).into_iter().map(about));
        let examples = console::examples(&text);
        problems.extend(
            examples
                .iter()
                .filter_map(|example| program(root, example))
                .map(about),
        );
        match console::run(root, &examples) {
            Ok(differences) => problems.extend(differences.into_iter().map(about)),
            Err(problem) => problems.push(about(problem)),
        }
    }
    for page in pages(root) {
        let text = fs::read_to_string(&page).unwrap_or_default();
        let folder = page.parent().unwrap_or(root);
        let broken = links(&text).filter(|link| !folder.join(link).exists());
        problems.extend(broken.map(|link| format!("{}: no such file: {link}", shown(&page, root))));
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
fn pages(root: &Path) -> Vec<std::path::PathBuf> {
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

/// A JSON block of a page is a scenario of this repository, word for word.
fn scenarios(root: &Path, text: &str) -> Vec<String> {
    let files: Vec<String> = files_below(&root.join("expectations"))
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .collect();
    let unknown = blocks(text, "json").filter(|block| !files.iter().any(|file| file == block));
    unknown
        .map(|block| {
            format!(
                "a JSON example is not a file under expectations/: {}",
                block.lines().take(3).collect::<String>()
            )
        })
        .collect()
}

/// Code blocks of a language, the last line's end included.
fn blocks<'a>(text: &'a str, language: &str) -> impl Iterator<Item = &'a str> {
    text.split(format!("\n```{language}\n").as_str())
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect::<Vec<_>>()
        .into_iter()
}

/// Swift of a page stands in an example of the package, which `.ci/swift` compiles: the same lines in the same order.
fn swift(root: &Path, text: &str) -> Vec<String> {
    let files: Vec<String> = files_below(&root.join("engine/swift/Examples"))
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .collect();
    let unknown =
        blocks(text, "swift").filter(|block| !files.iter().any(|file| has_lines(file, block)));
    unknown
        .map(|block| {
            format!(
                "Swift that is in no file of engine/swift/Examples: {}",
                block.lines().next().unwrap_or_default()
            )
        })
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
