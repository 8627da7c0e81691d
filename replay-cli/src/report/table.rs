//! Columns for a terminal.

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
        let widths: [usize; N] = std::array::from_fn(|column| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            let heading = self
                .columns
                .get(column)
                .map_or(0, |(heading, _)| heading.len());
            cells
                .map(|cell| cell.chars().count())
                .fold(heading, usize::max)
        });
        let heading = self.line(self.columns.map(|(heading, _)| heading), &widths);
        writeln!(out, "{}", style.paint(Paint::Strong, heading.trim_end()))?;
        for row in &self.rows {
            let line = self.line(row.each_ref().map(String::as_str), &widths);
            let line = printable(line.trim_end());
            let first = row.first().map_or("", String::as_str);
            match (look(first), line.strip_prefix(first)) {
                (Some(paint), Some(rest)) => writeln!(out, "{}{rest}", style.paint(paint, first))?,
                _ => writeln!(out, "{line}")?,
            }
        }
        Ok(())
    }

    fn line(&self, cells: [&str; N], widths: &[usize; N]) -> String {
        let all: usize = widths.iter().map(|width| width + 2).sum();
        let mut line = String::with_capacity(all);
        for ((cell, (_, align)), width) in cells.iter().zip(&self.columns).zip(widths) {
            let padding = width.saturating_sub(cell.chars().count());
            let (before, after) = match align {
                Align::Left => (0, padding),
                Align::Right => (padding, 0),
            };
            if !line.is_empty() {
                line.push_str("  ");
            }
            line.extend(std::iter::repeat_n(' ', before));
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', after));
        }
        line
    }
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
}
