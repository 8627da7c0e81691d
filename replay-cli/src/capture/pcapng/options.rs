//! The list of options at the end of a block (section 3.5).

use super::ByteOrder;

/// Option code of a comment, in every block.
pub(super) const COMMENT: u16 = 1;
const END: u16 = 0;

/// Iterates over an option list: code and value, until its end or the first malformed option.
pub(crate) struct Options<'a> {
    order: ByteOrder,
    rest: &'a [u8],
}

impl<'a> Options<'a> {
    /// Begins at `at` in a block's body; without options there, the list is empty.
    pub(crate) fn of(order: ByteOrder, body: &'a [u8], at: usize) -> Self {
        Self {
            order,
            rest: body.get(at..).unwrap_or_default(),
        }
    }

    /// Returns all comments, one a line.
    pub(super) fn comments(self) -> Option<String> {
        let comments: Vec<_> = self
            .filter(|(code, _)| *code == COMMENT)
            .map(|(_, value)| text(value))
            .collect();
        (!comments.is_empty()).then(|| comments.join("\n"))
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let code = self.order.u16(self.rest, 0).filter(|code| *code != END)?;
        let length = usize::from(self.order.u16(self.rest, 2)?);
        let value = self.rest.get(4..length.saturating_add(4))?;
        // The last option's padding may be missing.
        let next = length.saturating_add(4).next_multiple_of(4);
        self.rest = self.rest.get(next..).unwrap_or_default();
        Some((code, value))
    }
}

/// Decodes an option's text; what is not UTF-8 is replaced, and a terminating zero that some writers add is dropped.
pub(super) fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value)
        .trim_end_matches('\0')
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_comments_are_joined_and_others_passed_over() {
        let list = [
            0, 1, 0, 2, b'a', b'b', 0, 0, 0, 9, 0, 1, 6, 0, 0, 0, 0, 1, 0, 1, b'c', 0, 0, 0, 0, 0,
            0, 0,
        ];
        assert_eq!(
            Options::of(ByteOrder::Big, &list, 0).comments().as_deref(),
            Some("ab\nc")
        );
    }

    #[test]
    fn nothing_is_read_behind_the_end_mark() {
        let list = [0, 0, 0, 0, 0, 1, 0, 1, b'c', 0, 0, 0];
        assert_eq!(Options::of(ByteOrder::Big, &list, 0).count(), 0);
    }

    #[test]
    fn a_length_beyond_the_block_ends_the_list() {
        let list = [0, 1, 0, 1, b'a', 0, 0, 0, 0, 1, 0xff, 0xff, b'b'];
        assert_eq!(
            Options::of(ByteOrder::Big, &list, 0).comments().as_deref(),
            Some("a")
        );
    }

    #[test]
    fn text_that_is_not_utf8_is_kept_as_far_as_it_goes() {
        assert_eq!(text(b"wlan\xff0\0"), "wlan\u{fffd}0");
    }
}
