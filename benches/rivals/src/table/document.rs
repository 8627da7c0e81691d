//! The generated parts of documents, each between two comments: `<!-- rivals NAME -->` and `<!-- end -->`.

use std::path::Path;

/// Puts the texts where their names are marked.
///
/// # Errors
/// A file that cannot be read or written, or has no such mark.
pub(super) fn write(path: &Path, texts: &[(&str, String)]) -> Result<(), String> {
    let told = |problem: std::io::Error| format!("{}: {problem}", path.display());
    let mut document = std::fs::read_to_string(path).map_err(told)?;
    for (name, text) in texts {
        document = replaced(&document, name, text).ok_or_else(|| {
            format!(
                "{}: no <!-- rivals {name} --> with its <!-- end -->",
                path.display()
            )
        })?;
    }
    std::fs::write(path, document).map_err(told)
}

fn replaced(document: &str, name: &str, text: &str) -> Option<String> {
    let mark = format!("<!-- rivals {name} -->\n");
    let from = document.find(&mark)? + mark.len();
    let rest = document.get(from..)?;
    let end = rest.find("<!-- end -->")?;
    Some([document.get(..from)?, text, rest.get(end..)?].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_marked_part_changes() {
        let document = "a\n<!-- rivals x -->\nold\n<!-- end -->\nb <!-- end -->\n";
        let expected = "a\n<!-- rivals x -->\nnew\n<!-- end -->\nb <!-- end -->\n";
        assert_eq!(replaced(document, "x", "new\n").as_deref(), Some(expected));
        assert_eq!(replaced(document, "y", "new\n"), None);
    }
}
