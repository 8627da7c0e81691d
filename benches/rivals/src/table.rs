//! All cells, interleaved, each in a process of its own; medians, ratios, tables.

use std::path::{Path, PathBuf};

use crate::probes;

mod document;
mod measure;
mod render;

pub(crate) use measure::output;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// Repetitions of each cell.
    pub reps: usize,
    /// A sixteenth of the work.
    pub quick: bool,
    /// Cells whose contender or workload contains one of these; all of them if there is none.
    pub only: Vec<String>,
    /// Where raw figures go.
    pub json: Option<PathBuf>,
    /// Whether the documents' generated parts are written.
    pub write: bool,
}

impl Options {
    /// From the command line.
    #[must_use]
    pub fn parse(words: &[&str]) -> Option<Self> {
        let mut options = Self {
            reps: 5,
            quick: false,
            only: Vec::new(),
            json: None,
            write: false,
        };
        let mut reps = None;
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "--reps" => reps = Some(words.next()?.parse().ok().filter(|reps| *reps > 0)?),
                "--quick" => options.quick = true,
                "--write" => options.write = true,
                "--only" => options.only.push((*words.next()?).to_owned()),
                "--json" => options.json = Some(PathBuf::from(*words.next()?)),
                _ => return None,
            }
        }
        options.reps = reps.unwrap_or(if options.quick { 1 } else { 5 });
        Some(options)
    }
}

/// Measures, prints, and writes what was asked for.
///
/// # Errors
/// A file that cannot be written. A cell that fails is a result.
pub fn run(options: &Options) -> Result<(), String> {
    let table = measure::run(options)?;
    let probes = if options.only.is_empty() {
        probes::all(options.quick)?
    } else {
        Vec::new()
    };
    println!("{}", render::conditions(&table));
    println!("{}", render::ratios(&table));
    println!("{}", render::claims(&table));
    println!("{}", render::costs(&table));
    if !probes.is_empty() {
        println!("{}", probes::render(&probes));
    }
    if let Some(path) = &options.json {
        let text = serde_json::to_string_pretty(&table).map_err(|problem| problem.to_string())?;
        std::fs::write(path, text).map_err(|problem| format!("{}: {problem}", path.display()))?;
    }
    if options.write {
        if options.quick || !options.only.is_empty() {
            return Err("--write takes all cells, and not --quick".to_owned());
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let tables = [
            ("conditions", render::conditions(&table)),
            ("ratios", render::ratios(&table)),
            ("claims", render::claims(&table)),
            ("costs", render::costs(&table)),
            ("probes", probes::render(&probes)),
        ];
        document::write(&root.join("docs/RIVALS.md"), &tables)?;
    }
    Ok(())
}
