//! The one form scenario files are stored in: fields in a fixed order, two blanks of indentation, short values on one line.
//!
//! Files are compared as text, by people and by version control; two files that mean the same must read the same.

use serde_json::Value;

use super::Scenario;

/// Lines are kept to this many columns where a value can be broken at all.
const MAX_COLUMNS: usize = 100;

const INDENT: usize = 2;

impl Scenario {
    /// The scenario as the text of a file, in canonical form, with a line end after the last line.
    #[must_use]
    pub fn to_canonical_string(&self) -> String {
        // Every key is a string and every field a plain value, so there is nothing here that JSON cannot hold.
        print(&serde_json::to_value(self).unwrap_or(Value::Null))
    }
}

/// A JSON value in canonical form, with a line end after the last line.
///
/// The order of an object's members is kept: it is the meaning of the file that fixes it, not the alphabet.
#[must_use]
pub fn print(value: &Value) -> String {
    let mut printer = Printer {
        text: String::new(),
    };
    match value {
        Value::Object(members) if !members.is_empty() => printer.broken(value, 0),
        _ => printer.value(value, 0, 0),
    }
    printer.text.push('\n');
    printer.text
}

struct Printer {
    text: String,
}

impl Printer {
    /// Prints a value whose first character stands in column `column` (from 0) of a line indented by `indent`.
    fn value(&mut self, value: &Value, indent: usize, column: usize) {
        match one_line(value) {
            // One column is left for the comma that may follow.
            Some(line) if is_scalar(value) || column + line.chars().count() < MAX_COLUMNS => {
                self.text.push_str(&line);
            }
            _ => self.broken(value, indent),
        }
    }

    /// Prints an object or array with each member on lines of its own.
    fn broken(&mut self, value: &Value, indent: usize) {
        let inner = indent + INDENT;
        match value {
            Value::Array(elements) => {
                self.text.push('[');
                for (index, element) in elements.iter().enumerate() {
                    self.new_line(index, inner);
                    self.value(element, inner, inner);
                }
                self.end(indent, ']');
            }
            Value::Object(members) => {
                self.text.push('{');
                for (index, (key, member)) in members.iter().enumerate() {
                    self.new_line(index, inner);
                    let key = format!("{}: ", quoted(key));
                    self.text.push_str(&key);
                    self.value(member, inner, inner + key.chars().count());
                }
                self.end(indent, '}');
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                self.text.push_str(&scalar(value));
            }
        }
    }

    fn new_line(&mut self, index: usize, indent: usize) {
        self.text.push_str(if index == 0 { "\n" } else { ",\n" });
        self.text.extend(std::iter::repeat_n(' ', indent));
    }

    fn end(&mut self, indent: usize, close: char) {
        self.text.push('\n');
        self.text.extend(std::iter::repeat_n(' ', indent));
        self.text.push(close);
    }
}

/// The value on one line, if it is simple enough to be read there.
///
/// A list of more than one object, or of more than one line of the notation, is broken whatever its length: its elements come
/// and go one at a time, and so should lines.
fn one_line(value: &Value) -> Option<String> {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Some(scalar(value)),
        Value::Array(elements) => match elements.as_slice() {
            [] => Some("[]".to_owned()),
            [only @ Value::Object(_)] if height(only) <= 2 => {
                Some(format!("[ {} ]", one_line(only)?))
            }
            [_] | [_, ..]
                if elements.iter().all(is_scalar)
                    && (elements.len() == 1 || !elements.iter().any(is_prose)) =>
            {
                Some(format!(
                    "[{}]",
                    elements.iter().map(scalar).collect::<Vec<_>>().join(", ")
                ))
            }
            _ => None,
        },
        Value::Object(members) if members.is_empty() => Some("{}".to_owned()),
        Value::Object(members) if height(value) <= 2 => {
            let members: Option<Vec<String>> = members
                .iter()
                .map(|(key, member)| Some(format!("{}: {}", quoted(key), one_line(member)?)))
                .collect();
            Some(format!("{{ {} }}", members?.join(", ")))
        }
        Value::Object(_) => None,
    }
}

/// How many levels of objects and arrays a value has.
fn height(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
        Value::Array(elements) => 1 + elements.iter().map(height).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(height).max().unwrap_or(0),
    }
}

fn is_scalar(value: &Value) -> bool {
    height(value) == 0
}

fn is_prose(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.contains(' '))
}

fn scalar(value: &Value) -> String {
    value.to_string()
}

fn quoted(key: &str) -> String {
    Value::from(key).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn short_values_stand_on_one_line_and_lists_of_objects_do_not() {
        let value = json!({
            "title": "a",
            "covers": ["A", "B"],
            "packets": ["+0 > get S.", "+0 > get ."],
            "then": [{ "read": 78 }, { "send": { "text": "b" } }],
            "closes": [{ "flow": "get", "at": { "min": "1ms" } }],
            "none": [],
        });
        let text = r#"{
  "title": "a",
  "covers": ["A", "B"],
  "packets": [
    "+0 > get S.",
    "+0 > get ."
  ],
  "then": [
    { "read": 78 },
    { "send": { "text": "b" } }
  ],
  "closes": [ { "flow": "get", "at": { "min": "1ms" } } ],
  "none": []
}
"#;
        assert_eq!(print(&value), text);
    }

    #[test]
    fn a_value_is_broken_exactly_when_its_line_would_exceed_the_width() {
        // The line is `  "k": { "a": "..." }` with room for a comma: 19 columns and the text.
        let lines = |length: usize| {
            print(&json!({ "k": { "a": "x".repeat(length) } }))
                .lines()
                .count()
        };
        assert_eq!((lines(MAX_COLUMNS - 19), lines(MAX_COLUMNS - 18)), (3, 5));
    }

    #[test]
    fn a_long_string_is_never_broken() {
        let text = print(&json!({ "k": "x".repeat(300) }));
        assert_eq!(text.lines().count(), 3);
    }

    #[test]
    fn what_is_printed_reads_back_as_the_same_value() {
        let value =
            json!({ "é\"\\": [[1, [2, { "a": null }]], "\n\u{1f600}"], "n": -1.5, "o": {} });
        assert_eq!(
            serde_json::from_str::<Value>(&print(&value)).unwrap(),
            value
        );
    }
}
