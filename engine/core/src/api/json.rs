//! JSON written by hand: flat objects of numbers and short strings need no library in the core.

use core::fmt::Write as _;

/// An object under construction.
#[derive(Debug)]
pub(crate) struct Object {
    text: String,
}

impl Object {
    pub(crate) fn new() -> Self {
        Self {
            text: String::from("{"),
        }
    }

    fn key(&mut self, key: &str) {
        if self.text.len() > 1 {
            self.text.push(',');
        }
        string(&mut self.text, key);
        self.text.push(':');
    }

    pub(crate) fn number(&mut self, key: &str, value: u64) {
        self.key(key);
        // Writing to a string cannot fail.
        let _ = write!(self.text, "{value}");
    }

    pub(crate) fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        string(&mut self.text, value);
    }

    /// A value that is JSON already.
    pub(crate) fn raw(&mut self, key: &str, json: &str) {
        self.key(key);
        self.text.push_str(json);
    }

    pub(crate) fn end(mut self) -> String {
        self.text.push('}');
        self.text
    }
}

/// A string with its quotes (RFC 8259 section 7).
fn string(to: &mut String, value: &str) {
    to.push('"');
    for letter in value.chars() {
        match letter {
            '"' => to.push_str("\\\""),
            '\\' => to.push_str("\\\\"),
            control if control < ' ' => {
                let _ = write!(to, "\\u{:04x}", u32::from(control));
            }
            other => to.push(other),
        }
    }
    to.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_come_out_as_rfc_8259_wants_them() {
        let mut object = Object::new();
        object.number("n", 7);
        object.text("s", "a\"b\\c\n");
        object.raw("list", "[1,2]");
        assert_eq!(object.end(), r#"{"n":7,"s":"a\"b\\c\u000a","list":[1,2]}"#);
        assert_eq!(Object::new().end(), "{}");
    }
}
