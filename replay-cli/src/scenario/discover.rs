//! Finds scenario files in folders, names them, and finds the captures they name.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::json::{self, Value};
use super::load;
use crate::base::diagnostic::{Diagnostic, nearest};

/// The folder whose structure gives scenarios their names.
pub(crate) const EXPECTATIONS: &str = "expectations";

/// The folder captures are relative to.
pub(crate) const CAPTURES: &str = "captures";

/// What was found in the files and folders named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Discovery {
    /// The files, sorted by name, each once.
    pub found: Vec<Found>,
    /// The folders named in which there was none: nothing was selected there, which is not the same as success.
    pub empty_folders: Vec<PathBuf>,
    /// All folders that were named.
    pub folders: Vec<PathBuf>,
}

/// One scenario file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The file, as reached from what was named.
    pub path: PathBuf,
    /// Its name: its path under expectations/ without `.json`; a `.pkt` file keeps its ending.
    pub name: String,
    /// What kind of file it is.
    pub kind: FoundKind,
}

/// What kind of scenario file was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FoundKind {
    /// A scenario for `replay run`.
    Scenario,
    /// A scenario a stress scenario: `replay stress` runs it.
    Stress,
    /// A packetdrill script.
    Packetdrill,
}

/// Finds the scenarios in files, folders and patterns of both; folders are searched in depth, drafts (`.json.new`) and hidden names
/// left out.
///
/// # Errors
///
/// One diagnostic for each path that does not exist, cannot be read, or is a file of another sort, and for each pattern without a match.
pub fn discover(paths: &[PathBuf]) -> Result<Discovery, Vec<Diagnostic>> {
    let mut errors = Vec::new();
    let mut by_file = BTreeMap::new();
    let mut empty_folders = Vec::new();
    let mut folders = Vec::new();
    for path in &expand(paths, |path| path.is_dir() || is_scenario_file(path))? {
        let mut files = Vec::new();
        if path.is_dir() {
            files = files_below(path, &mut errors, is_scenario_file);
            if files.is_empty() {
                empty_folders.push(path.clone());
            }
            folders.push(path.clone());
        } else if let Err(error) = named_file(path) {
            errors.push(error);
        } else {
            files.push(path.clone());
        }
        for file in files {
            // The same file may be reached by two of the paths; its real path is its identity.
            let identity = fs::canonicalize(&file).unwrap_or_else(|_| file.clone());
            by_file.entry(identity).or_insert(file);
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let mut found: Vec<Found> = by_file
        .into_values()
        .map(|path| Found {
            name: scenario_name(&path),
            kind: kind_of(&path),
            path,
        })
        .collect();
    found.sort_by(|a, b| (&a.name, &a.path).cmp(&(&b.name, &b.path)));
    Ok(Discovery {
        found,
        empty_folders,
        folders,
    })
}

/// The name of a scenario: its path under the nearest folder `expectations`, or else as it stands, without `.json`.
#[must_use]
pub fn scenario_name(path: &Path) -> String {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let parts: Vec<String> = absolute
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    let folders = parts.len().saturating_sub(1);
    let under = parts
        .iter()
        .take(folders)
        .rposition(|part| part == EXPECTATIONS)
        .map(|index| index + 1);
    let name = match under {
        Some(start) => parts
            .iter()
            .skip(start)
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join("/"),
        None => path
            .iter()
            .map(|part| part.to_string_lossy())
            .collect::<Vec<_>>()
            .join("/"),
    };
    name.strip_suffix(".json").unwrap_or(&name).to_owned()
}

/// The folder of captures: the nearest `captures` upward from the scenario's `expectations`, or from the scenario itself.
#[must_use]
pub fn captures_dir(scenario: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(scenario).ok()?;
    let above_expectations = absolute
        .ancestors()
        .skip(1)
        .find(|folder| folder.ends_with(EXPECTATIONS))
        .and_then(Path::parent);
    let start = above_expectations.or_else(|| absolute.parent())?;
    start
        .ancestors()
        .map(|folder| folder.join(CAPTURES))
        .find(|captures| captures.is_dir())
}

/// The file a scenario's `input.capture` means: `./` and `../` start at the scenario file, an absolute path is itself, everything else starts at `captures`, which
/// is found upward from the scenario if it is not given.
///
/// # Errors
///
/// A diagnostic without a place if there is no such file.
pub fn resolve_capture(
    capture: &str,
    scenario: &Path,
    captures: Option<&Path>,
) -> Result<PathBuf, Diagnostic> {
    existing_capture(capture, locate_capture(capture, scenario, captures)?)
}

/// Where a scenario's `input.capture` would be.
pub(super) fn locate_capture(
    capture: &str,
    scenario: &Path,
    captures: Option<&Path>,
) -> Result<PathBuf, Diagnostic> {
    if Path::new(capture).is_absolute() {
        return Ok(capture.into());
    }
    if capture.starts_with("./") || capture.starts_with("../") {
        let folder = scenario.parent().unwrap_or_else(|| Path::new(""));
        return Ok(folder.join(capture.strip_prefix("./").unwrap_or(capture)));
    }
    match captures
        .map(Path::to_owned)
        .or_else(|| captures_dir(scenario))
    {
        Some(folder) => Ok(folder.join(capture)),
        None => Err(missing(capture).help(
            "there is no folder `captures` upward from the scenario; name one with --captures DIR",
        )),
    }
}

fn missing(capture: &str) -> Diagnostic {
    Diagnostic::new(format!("capture `{capture}` does not exist"))
}

/// The capture at a path, if there is one.
pub(super) fn existing_capture(capture: &str, path: PathBuf) -> Result<PathBuf, Diagnostic> {
    match path.metadata() {
        Ok(found) if found.is_file() => return Ok(path),
        Ok(found) => {
            let what = format!("capture `{capture}` is {}", super::files::kind(&found));
            return Err(Diagnostic::new(what).help(if found.is_dir() {
                "name one capture file in it"
            } else {
                "save it in a file: a scenario is run more than once"
            }));
        }
        Err(_) => {}
    }
    let similar = path
        .file_name()
        .and_then(|name| similar_name(path.parent()?, &name.to_string_lossy()));
    Err(missing(capture).help(match similar {
        Some(similar) => format!(
            "looked for {}; beside it there is `{similar}`",
            path.display()
        ),
        None => format!("looked for {}", path.display()),
    }))
}

/// The name in a folder that is nearest to one that is not there.
fn similar_name(folder: &Path, wanted: &str) -> Option<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .ok()?
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort_unstable();
    nearest(wanted, names.iter().map(String::as_str)).map(str::to_owned)
}

/// Paths with patterns (`*`, `**`, `?`, `[a-z]`) in the place of what they match and is wanted; what exists as it is written stands
/// for itself.
pub(crate) fn expand(
    paths: &[PathBuf],
    wanted: impl Fn(&Path) -> bool,
) -> Result<Vec<PathBuf>, Vec<Diagnostic>> {
    let mut expanded = Vec::new();
    let mut errors = Vec::new();
    for path in paths {
        let pattern = path
            .to_str()
            .filter(|text| text.contains(['*', '?', '[']) && !path.exists());
        let Some(pattern) = pattern else {
            expanded.push(path.clone());
            continue;
        };
        let wrong = |what: String| Diagnostic::new(what).in_file(path);
        match glob::glob(pattern) {
            Err(error) => errors.push(wrong(format!("this is no pattern: {}", error.msg))),
            Ok(matches) => {
                let before = expanded.len();
                expanded.extend(matches.flatten().filter(|path| wanted(path)));
                if expanded.len() == before {
                    errors.push(
                        wrong("nothing matches this pattern".to_owned())
                            .help("`*` stands for a part of a name, `**` for any folders"),
                    );
                }
            }
        }
    }
    if errors.is_empty() {
        Ok(expanded)
    } else {
        Err(errors)
    }
}

/// The files of a folder and its subfolders that are wanted, in any order.
pub(crate) fn files_below(
    folder: &Path,
    errors: &mut Vec<Diagnostic>,
    wanted: impl Fn(&Path) -> bool,
) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) => {
                errors.push(
                    Diagnostic::new(format!("the folder cannot be read: {error}")).in_file(&folder),
                );
                continue;
            }
        };
        for entry in entries.flatten() {
            let path = entry.path();
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            // Links to folders are not followed: they can lead back up.
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            } else if wanted(&path) && path.is_file() {
                files.push(path);
            }
        }
    }
    files
}

/// The files that a scenario names, as far as it can be read: its capture, and those of its steps.
pub(crate) fn files_named(scenario: &Path, captures: Option<&Path>) -> Vec<PathBuf> {
    let mut named: Vec<PathBuf> = capture_of(scenario, captures).into_iter().collect();
    if let Ok(loaded) = load::load(scenario) {
        let folder = loaded.folder();
        let files = super::files::named(&loaded.scenario);
        named.extend(files.map(|(_, name)| folder.join(name)));
    }
    named
}

/// The capture that a scenario file replays, as far as the file can be read.
pub(crate) fn capture_of(scenario: &Path, captures: Option<&Path>) -> Option<PathBuf> {
    let text = load::read(scenario).ok()?;
    let (root, _) = json::parse(&text).ok()?;
    let input = root.member("input")?;
    match &input.member("capture")?.value {
        Value::String(capture) => resolve_capture(capture, scenario, captures).ok(),
        _ => None,
    }
}

fn is_scenario_file(path: &Path) -> bool {
    path.extension()
        .is_some_and(|ending| ending == "json" || ending == "pkt")
}

/// Whether a path that is no folder can be taken as a scenario.
fn named_file(path: &Path) -> Result<(), Diagnostic> {
    let wrong = |what: &str| Diagnostic::new(what).in_file(path);
    if !path.exists() {
        return Err(
            wrong("no such file or folder").help("scenarios are .json files under expectations/")
        );
    }
    if is_scenario_file(path) {
        return Ok(());
    }
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    Err(if name.ends_with(".json.new") {
        wrong("this is a draft, not a scenario").help("review it first: `replay review`")
    } else if [
        ".pcap", ".pcapng", ".cap", ".snoop", ".erf", ".gz", ".zst", ".xz", ".lz4",
    ]
    .iter()
    .any(|ending| name.ends_with(ending))
    {
        wrong("this is a capture, not a scenario").help("replay it with `replay try`")
    } else {
        wrong("this is no scenario").help("scenarios end in .json or .pkt")
    })
}

/// The kind of a file; one that cannot be read counts as a scenario, so that loading it reports why.
fn kind_of(path: &Path) -> FoundKind {
    if path.extension().is_some_and(|ending| ending == "pkt") {
        return FoundKind::Packetdrill;
    }
    let is_stress = || {
        let text = load::read(path).ok()?;
        let (root, _) = json::parse(&text).ok()?;
        Some(matches!(&root.member("kind")?.value, Value::String(kind) if kind == "stress"))
    };
    if is_stress() == Some(true) {
        FoundKind::Stress
    } else {
        FoundKind::Scenario
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with empty files of these names.
    fn tree(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        root
    }

    fn names(paths: &[PathBuf]) -> Vec<String> {
        discover(paths)
            .unwrap()
            .found
            .into_iter()
            .map(|found| found.name)
            .collect()
    }

    #[test]
    fn folders_are_searched_in_depth_and_names_are_sorted() {
        let root = tree(&[
            "expectations/udp/b.json",
            "expectations/tcp/z.json",
            "expectations/tcp/a.pkt",
            "expectations/a.json",
        ]);
        assert_eq!(
            names(&[root.path().to_owned()]),
            ["a", "tcp/a.pkt", "tcp/z", "udp/b"]
        );
    }

    #[test]
    fn drafts_and_hidden_files_are_no_scenarios() {
        let root = tree(&[
            "expectations/a.json",
            "expectations/a.json.new",
            "expectations/.b.json",
            "expectations/.git/c.json",
            "expectations/d.md",
        ]);
        assert_eq!(names(&[root.path().join("expectations")]), ["a"]);
    }

    #[test]
    fn a_file_reached_twice_is_found_once() {
        let root = tree(&["expectations/a.json"]);
        let folder = root.path().join("expectations");
        assert_eq!(
            names(&[
                folder.join("a.json"),
                folder.clone(),
                folder.join("../expectations")
            ]),
            ["a"]
        );
    }

    #[test]
    fn a_folder_without_scenarios_is_named_as_such() {
        let root = tree(&["expectations/a.json", "empty/readme.md"]);
        let discovery =
            discover(&[root.path().join("expectations"), root.path().join("empty")]).unwrap();
        assert_eq!(
            (discovery.found.len(), discovery.empty_folders),
            (1, vec![root.path().join("empty")])
        );
    }

    #[test]
    fn each_kind_of_file_is_told_apart() {
        let root = tree(&[
            "expectations/a.json",
            "expectations/b.json",
            "expectations/c.pkt",
            "expectations/d.json",
        ]);
        let folder = root.path().join("expectations");
        fs::write(
            folder.join("b.json"),
            r#"{"schema": 1, "kind": "stress", "flows": 128}"#,
        )
        .unwrap();
        fs::write(folder.join("d.json"), "{ broken").unwrap();
        let kinds: Vec<FoundKind> = discover(&[folder])
            .unwrap()
            .found
            .into_iter()
            .map(|found| found.kind)
            .collect();
        assert_eq!(
            kinds,
            [
                FoundKind::Scenario,
                FoundKind::Stress,
                FoundKind::Packetdrill,
                FoundKind::Scenario
            ]
        );
    }

    #[test]
    fn every_path_that_is_no_scenario_is_reported_with_what_it_is() {
        let root = tree(&["a.pcapng", "b.json.new", "c.txt"]);
        let errors = discover(
            &["a.pcapng", "b.json.new", "c.txt", "gone"].map(|name| root.path().join(name)),
        )
        .unwrap_err();
        let texts: Vec<String> = errors.into_iter().map(|error| error.what).collect();
        assert_eq!(
            texts,
            [
                "this is a capture, not a scenario",
                "this is a draft, not a scenario",
                "this is no scenario",
                "no such file or folder"
            ]
        );
    }

    #[test]
    fn the_name_is_the_path_under_the_nearest_expectations() {
        assert_eq!(
            scenario_name(Path::new("/x/expectations/old/expectations/tcp/a.b.json")),
            "tcp/a.b"
        );
        assert_eq!(scenario_name(Path::new("drafts/a.json")), "drafts/a");
    }

    #[test]
    fn captures_are_found_upward_from_the_scenario_unless_given() {
        let root = tree(&[
            "captures/tcp/a.pcap",
            "other/tcp/a.pcap",
            "expectations/tcp/a.json",
            "expectations/captures/x.json",
        ]);
        let scenario = root.path().join("expectations/tcp/a.json");
        assert_eq!(
            resolve_capture("tcp/a.pcap", &scenario, None),
            Ok(root.path().join("captures/tcp/a.pcap"))
        );
        let other = root.path().join("other");
        assert_eq!(
            resolve_capture("tcp/a.pcap", &scenario, Some(&other)),
            Ok(other.join("tcp/a.pcap"))
        );
    }

    #[test]
    fn a_dot_makes_a_capture_relative_to_the_scenario_file() {
        let root = tree(&[
            "captures/a.pcap",
            "expectations/a.json",
            "expectations/a.pcap",
        ]);
        let scenario = root.path().join("expectations/a.json");
        assert_eq!(
            resolve_capture("./a.pcap", &scenario, None),
            Ok(root.path().join("expectations/a.pcap"))
        );
    }

    #[test]
    fn a_missing_capture_says_where_it_was_looked_for_and_what_is_there() {
        let root = tree(&["captures/half_close.pcapng", "expectations/a.json"]);
        let error = resolve_capture(
            "half_close.pcap",
            &root.path().join("expectations/a.json"),
            None,
        )
        .unwrap_err();
        assert_eq!(error.what, "capture `half_close.pcap` does not exist");
        assert!(
            error
                .help
                .unwrap()
                .ends_with("beside it there is `half_close.pcapng`")
        );
    }
}
