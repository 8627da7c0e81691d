//! Files made from code: the JSON Schema, the C header, and scenario files, which have one canonical form.

use std::fs;
use std::path::{Path, PathBuf};

use replay::scenario::{load, schema};

use super::{files_below, shown};

/// Where the schema of scenario files is kept.
const SCHEMA: &str = "replay-cli/schemas/scenario.schema.json";

/// The package of the C ABI, and its header within.
const FFI: &str = "engine/ffi";
const HEADER: &str = "include/bridge.h";

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
    files.push(header(&root.join(FFI)));
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

/// The header of the C ABI, from its Rust items and cbindgen.toml beside them.
fn header(package: &Path) -> Result<Generated, String> {
    let path = package.join(HEADER);
    let failed = |error: String| format!("{}: {error}", path.display());
    let config = cbindgen::Config::from_file(package.join("cbindgen.toml")).map_err(failed)?;
    let bindings = cbindgen::Builder::new()
        .with_crate(package)
        .with_config(config)
        .generate()
        .map_err(|error| failed(error.to_string()))?;
    let mut text = Vec::new();
    bindings.write(&mut text);
    let wanted = String::from_utf8(text).map_err(|error| failed(error.to_string()))?;
    // The heading is rustdoc's.
    let wanted = wanted.replace(" # Safety\n", " The caller promises:\n");
    Ok(Generated { path, wanted })
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
