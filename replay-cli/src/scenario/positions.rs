//! Where each value of a scenario file stands, by JSON pointer (RFC 6901).

use std::collections::BTreeMap;

use super::json::{Node, Value};
use crate::base::diagnostic::Position;

/// The position of every value of a file: `/expect/packets/3` stands at line 31, column 7.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Positions {
    by_pointer: BTreeMap<String, Position>,
}

impl Positions {
    pub(crate) fn of_tree(root: &Node) -> Self {
        let mut positions = Self::default();
        positions.add(String::new(), root);
        positions
    }

    /// The position of the value at a pointer, or else of the nearest value around it.
    ///
    /// What a file leaves out has no place of its own; the object that lacks it is the place to look.
    #[must_use]
    pub fn get(&self, pointer: &str) -> Option<Position> {
        let mut pointer = pointer;
        loop {
            if let Some(position) = self.by_pointer.get(pointer) {
                return Some(*position);
            }
            (pointer, _) = pointer.rsplit_once('/')?;
        }
    }

    /// The pointer of the value that stands at a position, the outermost if there are several.
    #[must_use]
    pub fn pointer_at(&self, position: Position) -> Option<&str> {
        let mut there = self.by_pointer.iter().filter(|(_, at)| **at == position);
        there.next().map(|(pointer, _)| pointer.as_str())
    }

    fn add(&mut self, pointer: String, node: &Node) {
        match &node.value {
            Value::Array(elements) => {
                for (index, element) in elements.iter().enumerate() {
                    self.add(format!("{pointer}/{index}"), element);
                }
            }
            Value::Object(members) => {
                for member in members {
                    self.add(format!("{pointer}/{}", escape(&member.key)), &member.value);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
        self.by_pointer.insert(pointer, node.at);
    }
}

/// A key as a part of a JSON pointer: `~` and `/` are escaped (RFC 6901 section 3).
#[must_use]
pub fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::super::json;
    use super::*;

    fn positions(text: &str) -> Positions {
        Positions::of_tree(&json::parse(text).unwrap().0)
    }

    #[test]
    fn a_pointer_leads_to_the_line_and_column_of_its_value() {
        let positions = positions("{\"expect\":\n  {\"packets\": [\"a\",\n    \"b\"]}}");
        assert_eq!(
            positions.get("/expect/packets/1").unwrap().to_string(),
            "3:5"
        );
    }

    #[test]
    fn what_is_absent_is_placed_at_what_surrounds_it() {
        let positions = positions("{\"expect\":\n  {\"packets\": []}}");
        assert_eq!(
            positions.get("/expect/closes/0/at").unwrap().to_string(),
            "2:3"
        );
    }

    #[test]
    fn keys_with_a_slash_are_found_by_their_escaped_form() {
        let positions = positions("{\"a/b~\": 1}");
        assert_eq!(
            positions
                .get(&format!("/{}", escape("a/b~")))
                .unwrap()
                .to_string(),
            "1:10"
        );
    }
}
