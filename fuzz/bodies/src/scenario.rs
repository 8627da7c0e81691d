//! The loader of scenario files: what it takes, it prints in a canonical form that means the same.

use std::path::Path;

use replay::scenario::load;

/// Body of the target `scenario`: the bytes are a file.
pub fn scenario(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let path = Path::new("fuzz.json");
    match load::parse(text.to_owned(), path) {
        Err(problems) => {
            assert!(!problems.is_empty(), "refused without a word");
            for problem in problems {
                let _ = problem.to_string();
            }
        }
        Ok(loaded) => {
            let canonical = loaded.scenario.to_canonical_string();
            let again = load::parse(canonical.clone(), path);
            let again = again.unwrap_or_else(|problems| panic!("{problems:?}: {canonical}"));
            assert_eq!(
                again.scenario.to_canonical_string(),
                canonical,
                "canonical form"
            );
        }
    }
}
