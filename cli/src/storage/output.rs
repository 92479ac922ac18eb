//! What is printed: lines for people, or one JSON object per line for programs.

use std::io::{self, Write};

use anyhow::{Context, Result};
use serde::Serialize;

/// For whom.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// For programs: one object per line
    Json,
}

/// How it is printed
#[derive(clap::Args, Clone, Copy, Debug, Default)]
pub struct Output {
    /// What is printed on stdout
    #[arg(short = 'o', long = "output", value_name = "FORMAT", global = true, default_value = "text")]
    pub format: Format,
    /// Show no progress and no summary; errors are shown
    #[arg(short, long, global = true)]
    pub quiet: bool,
}

impl Output {
    /// One thing: `text` for people, `value` for programs.
    ///
    /// # Errors
    /// Nobody reads.
    pub fn print(&self, text: impl FnOnce() -> String, value: &impl Serialize) -> Result<()> {
        match self.format {
            Format::Text => line(&text()),
            Format::Json => json(value),
        }
    }

    /// What was done: nothing that anybody has asked to be told if he is quiet.
    ///
    /// # Errors
    /// Nobody reads.
    pub fn done(&self, text: impl FnOnce() -> String, value: &impl Serialize) -> Result<()> {
        if self.quiet && self.format == Format::Text { Ok(()) } else { self.print(text, value) }
    }
}

/// A line of text.
///
/// # Errors
/// Nobody reads.
pub fn line(text: &str) -> Result<()> {
    put(text.as_bytes()).context("cannot print")
}

/// A line of JSON.
///
/// # Errors
/// Nobody reads.
pub fn json(value: &impl Serialize) -> Result<()> {
    put(&serde_json::to_vec(value)?).context("cannot print")
}

fn put(text: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text)?;
    stdout.write_all(b"\n")?;
    stdout.flush()
}

/// Lines in columns as kubectl prints them: three spaces between, the last one as it is. The first row is the head.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let widths = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        widths.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width - cell.chars().count() + 3));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.pop();
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let row = |cells: &[&str]| cells.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>();
        let rows = [row(&["NAME", "AGE"]), row(&["ä", "1"]), row(&["longer", ""])];
        assert_eq!(table(&rows), "NAME     AGE\nä        1\nlonger");
        assert_eq!(table(&[]), "");
    }
}
