//! Files made from code: the JSON Schema, and scenario files, which have one canonical form.

use std::fs;
use std::path::{Path, PathBuf};

use replay::scenario::{load, schema};

use super::{files_below, shown};

/// Where the schema of scenario files is kept.
const SCHEMA: &str = "replay-cli/schemas/scenario.schema.json";

/// What a file has, and what it should have.
pub(crate) struct Generated {
    path: PathBuf,
    wanted: String,
}

impl Generated {
    fn is_current(&self) -> bool {
        fs::read_to_string(&self.path).is_ok_and(|text| text == self.wanted)
    }

    /// Writes the file if it differs; says which.
    pub(crate) fn write(self) -> Result<Option<PathBuf>, String> {
        if self.is_current() {
            return Ok(None);
        }
        fs::write(&self.path, &self.wanted)
            .map_err(|error| format!("{}: {error}", self.path.display()))?;
        Ok(Some(self.path))
    }
}

/// Every generated file, or why it cannot be made.
pub(crate) fn files(root: &Path) -> Vec<Result<Generated, String>> {
    let mut files = vec![Ok(Generated {
        path: root.join(SCHEMA),
        wanted: schema::scenario_schema_text(),
    })];
    let scenarios = files_below(&root.join("expectations"));
    let is_scenario = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "json");
    files.extend(scenarios.into_iter().filter(is_scenario).map(|path| {
        match load::load(&path) {
            Ok(loaded) => Ok(Generated {
                wanted: loaded.scenario.to_canonical_string(),
                path,
            }),
            Err(problems) => Err(problems
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("; ")),
        }
    }));
    files
}

pub(super) fn check(root: &Path) -> Vec<String> {
    let judge = |file: Result<Generated, String>| match file {
        Err(problem) => Some(problem),
        Ok(file) if file.is_current() => None,
        Ok(file) => Some(format!(
            "{} is out of date: `cargo xtask generate` writes it",
            shown(&file.path, root)
        )),
    };
    files(root).into_iter().filter_map(judge).collect()
}
