//! Columns for a terminal.

use std::borrow::Cow;
use std::io::{self, Write};

use crate::base::term::{Paint, Style, printable};

/// Where the text of a column stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// At its left, as words do.
    Left,
    /// At its right, as numbers do.
    Right,
}

/// Rows of text under headings; the last column may be of any length.
#[derive(Clone, Debug)]
pub struct Table<const N: usize> {
    columns: [(&'static str, Align); N],
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    /// An empty table.
    #[must_use]
    pub fn new(columns: [(&'static str, Align); N]) -> Self {
        Self {
            columns,
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn row(&mut self, row: [String; N]) {
        self.rows.push(row);
    }

    /// Prints headings and rows; `look` may give a row's first cell a colour.
    ///
    /// # Errors
    /// Writing failed.
    pub fn print(
        &self,
        out: &mut dyn Write,
        style: Style,
        look: impl Fn(&str) -> Option<Paint>,
    ) -> io::Result<()> {
        let rows = || {
            self.rows
                .iter()
                .map(|row| row.each_ref().map(String::as_str))
        };
        print(&self.columns, rows, out, style, look)
    }
}

/// Prints headings and rows as [`print_within`], however long their lines are.
fn print<const N: usize, T: AsRef<str>, I: Iterator<Item = [T; N]>>(
    columns: &[(&'static str, Align); N],
    rows: impl Fn() -> I,
    out: &mut dyn Write,
    style: Style,
    look: impl Fn(&str) -> Option<Paint>,
) -> io::Result<()> {
    print_within(0, columns, rows, out, style, look)
}

/// Prints headings and rows, which are made twice instead of kept: there may be a million of them. Lines longer than
/// `most` characters are cut, in their last cell as long as that has room; 0: none is.
///
/// # Errors
/// Writing failed.
pub(super) fn print_within<const N: usize, T: AsRef<str>, I: Iterator<Item = [T; N]>>(
    most: usize,
    columns: &[(&'static str, Align); N],
    rows: impl Fn() -> I,
    out: &mut dyn Write,
    style: Style,
    look: impl Fn(&str) -> Option<Paint>,
) -> io::Result<()> {
    let mut widths = widths(columns, rows());
    if most > 0 {
        fit(&mut widths, columns, most);
    }
    let heading = line(columns, columns.map(|(heading, _)| heading), &widths);
    writeln!(out, "{}", style.paint(Paint::Strong, heading.trim_end()))?;
    for row in rows() {
        let cells: [&str; N] = row.each_ref().map(AsRef::as_ref);
        let line = line(columns, cells, &widths);
        let line = printable(line.trim_end());
        let first = cells.first().copied().unwrap_or_default();
        match (look(first), line.strip_prefix(first)) {
            (Some(paint), Some(rest)) => writeln!(out, "{}{rest}", style.paint(paint, first))?,
            _ => writeln!(out, "{line}")?,
        }
    }
    Ok(())
}

/// Whether lines are as short as that with room in the last column for a sentence, or for all that stands there.
pub(super) fn fits<const N: usize, T: AsRef<str>, I: Iterator<Item = [T; N]>>(
    most: usize,
    columns: &[(&'static str, Align); N],
    rows: impl Fn() -> I,
) -> bool {
    let mut widths = widths(columns, rows());
    if most > 0 {
        if let Some(last) = widths.last_mut() {
            *last = (*last).min(SENTENCE);
        }
        let line: usize = widths.iter().map(|width| width + 2).sum();
        return line <= most + 2;
    }
    true
}

/// The width of each column.
fn widths<const N: usize, T: AsRef<str>>(
    columns: &[(&'static str, Align); N],
    rows: impl Iterator<Item = [T; N]>,
) -> [usize; N] {
    let mut widths = columns.map(|(heading, _)| heading.len());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(&row) {
            *width = cell.as_ref().chars().count().max(*width);
        }
    }
    widths
}

/// Characters of a sentence.
const SENTENCE: usize = 48;

/// What the last column and the widest other one are not made narrower than, characters.
const LAST: usize = 34;
const WIDEST: usize = 24;

/// Makes columns narrower until a line fits: the last one down to [`LAST`], then the widest other column of words, then the
/// last one as far as it takes.
fn fit<const N: usize>(widths: &mut [usize; N], columns: &[(&'static str, Align); N], most: usize) {
    let over = |widths: &[usize; N]| {
        let line = widths.iter().map(|width| width + 2).sum::<usize>();
        line.saturating_sub(2).saturating_sub(most)
    };
    let words = columns.iter().take(N.saturating_sub(1)).enumerate();
    let words = words.filter(|(_, (_, align))| *align == Align::Left);
    let widest = words
        .map(|(index, _)| index)
        .max_by_key(|index| widths.get(*index).copied());
    let steps = [
        (N.checked_sub(1), LAST),
        (widest, WIDEST),
        (N.checked_sub(1), 1),
    ];
    for (index, least) in steps {
        let too_much = over(widths);
        if let Some(width) = index.and_then(|index| widths.get_mut(index)) {
            *width = width.saturating_sub(too_much).max(least.min(*width));
        }
    }
}

/// A cell, or as much of it as fits; 0: all of it.
pub(super) fn cut(cell: &str, width: usize) -> Cow<'_, str> {
    if width == 0 || cell.chars().count() <= width {
        return Cow::Borrowed(cell);
    }
    let mut short: String = cell.chars().take(width.saturating_sub(1)).collect();
    short.push('\u{2026}');
    Cow::Owned(short)
}

fn line<const N: usize>(
    columns: &[(&'static str, Align); N],
    cells: [&str; N],
    widths: &[usize; N],
) -> String {
    let all: usize = widths.iter().map(|width| width + 2).sum();
    let mut line = String::with_capacity(all);
    for ((cell, (_, align)), width) in cells.iter().zip(columns).zip(widths) {
        let cell = cut(cell, *width);
        let padding = width.saturating_sub(cell.chars().count());
        let (before, after) = match align {
            Align::Left => (0, padding),
            Align::Right => (padding, 0),
        };
        if !line.is_empty() {
            line.push_str("  ");
        }
        line.extend(std::iter::repeat_n(' ', before));
        line.push_str(&cell);
        line.extend(std::iter::repeat_n(' ', after));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new([
            ("WORD", Align::Left),
            ("N", Align::Right),
            ("REST", Align::Left),
        ]);
        table.row(["a".into(), "1".into(), String::new()]);
        table.row(["longer".into(), "1000".into(), "x".into()]);
        let mut out = Vec::new();
        table.print(&mut out, Style::default(), |_| None).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "WORD       N  REST\na          1\nlonger  1000  x\n");
    }

    #[test]
    fn lines_are_cut_to_the_width_in_the_last_cell_first() {
        let columns = [
            ("FLOW", Align::Left),
            ("N", Align::Right),
            ("WHY", Align::Left),
        ];
        let row = ["f".repeat(40), "7".to_owned(), "w".repeat(60)];
        let printed = |most: usize| {
            let mut out = Vec::new();
            let rows = || std::iter::once(row.each_ref());
            print_within(most, &columns, rows, &mut out, Style::default(), |_| None).unwrap();
            let text = String::from_utf8(out).unwrap();
            let line = text.lines().nth(1).unwrap().to_owned();
            let [flow, _, why] = line.split("  ").collect::<Vec<_>>().try_into().unwrap();
            let len = |cell: &str| cell.chars().count();
            (len(&line), len(flow), len(why))
        };
        assert_eq!(printed(0), (105, 40, 60));
        assert_eq!(printed(105), (105, 40, 60));
        assert_eq!(printed(80), (80, 40, 35));
        assert_eq!(printed(60), (60, 24, 31));
        assert_eq!(printed(40), (40, 24, 11));
    }
}
