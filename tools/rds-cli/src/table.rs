// SPDX-License-Identifier: GPL-2.0

//! Columns of text. Numbers go to the right.

use std::io::{self, Write};

/// Rows below a heading.
pub struct Table {
    title: String,
    columns: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table.
    pub fn new(title: impl Into<String>, columns: &[&'static str]) -> Self {
        Self {
            title: title.into(),
            columns: columns.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row, with a cell for each column.
    pub fn row(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.columns.len());
        self.rows.push(cells);
    }

    fn column(&self, at: usize) -> impl Iterator<Item = &str> {
        self.rows
            .iter()
            .filter_map(move |row| row.get(at))
            .map(|cell| &**cell)
    }

    /// Prints it.
    pub fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let bold = anstyle::Style::new().bold();
        writeln!(out, "{bold}{}{bold:#}", self.title)?;
        if self.rows.is_empty() {
            return writeln!(out, "  none");
        }
        let widths: Vec<_> = (0..self.columns.len())
            .map(|at| self.column(at).map(|cell| cell.chars().count()).max())
            .zip(&self.columns)
            .map(|(widest, name)| widest.unwrap_or(0).max(name.len()))
            .collect();
        let right: Vec<_> = (0..self.columns.len())
            .map(|at| self.column(at).all(is_number))
            .collect();
        let dim = anstyle::Style::new().dimmed();
        let names: Vec<_> = self.columns.iter().map(ToString::to_string).collect();
        writeln!(out, "{dim}{}{dim:#}", line(&names, &widths, &right))?;
        for row in &self.rows {
            writeln!(out, "{}", line(row, &widths, &right))?;
        }
        Ok(())
    }
}

fn is_number(cell: &str) -> bool {
    cell == "-" || cell.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

fn line(cells: &[String], widths: &[usize], right: &[bool]) -> String {
    let mut out = String::new();
    for ((cell, &width), &right) in cells.iter().zip(widths).zip(right) {
        out.push_str("  ");
        if right {
            out.push_str(&format!("{cell:>width$}"));
        } else {
            out.push_str(&format!("{cell:<width$}"));
        }
    }
    out.truncate(out.trim_end().len());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligned() {
        let mut table = Table::new("Things", &["name", "n"]);
        table.row(vec!["a".into(), "1".into()]);
        table.row(vec!["longer".into(), "1000".into()]);
        let mut out = Vec::new();
        table.print(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let plain = anstream::adapter::strip_str(&text).to_string();
        assert_eq!(
            plain,
            "Things\n  name       n\n  a          1\n  longer  1000\n"
        );
    }
}
