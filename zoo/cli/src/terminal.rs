//! Where the commands write: plain text, or with colours on a terminal that has them.

use crate::error::Wrong;
use anstream::AutoStream;
use anstyle::{AnsiColor, Style};
use clap::ColorChoice;
use std::io::{self, IsTerminal, Stderr, Stdout, Write};
use zoo_diagnostics::render;

/// Headings.
pub(crate) const HEADING: Style = Style::new().bold();
/// Names that can be typed.
pub(crate) const NAME: Style = AnsiColor::Cyan.on_default();
/// What matters less.
pub(crate) const FAINT: Style = Style::new().dimmed();
/// What is well.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default().bold();
/// What is wrong.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();

/// A text in a style.
pub(crate) fn styled(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// The standard output and error. What is written may have colours in it; they are taken out where they
/// are not wanted.
pub(crate) struct Terminal {
    /// What the user asked for.
    pub(crate) out: AutoStream<Stdout>,
    /// Messages.
    pub(crate) err: AutoStream<Stderr>,
    error_width: usize,
    output_width: usize,
    colour_errors: bool,
}

fn width_of(terminal: bool, width: Option<(terminal_size::Width, terminal_size::Height)>) -> Option<usize> {
    if terminal { width.map(|(width, _)| usize::from(width.0)) } else { None }
}

impl Terminal {
    pub(crate) fn new(choice: ColorChoice) -> Self {
        let choice = match choice {
            ColorChoice::Always => anstream::ColorChoice::Always,
            ColorChoice::Never => anstream::ColorChoice::Never,
            ColorChoice::Auto => anstream::ColorChoice::Auto,
        };
        let resolved = |stream: anstream::ColorChoice| stream != anstream::ColorChoice::Never;
        let (out, err) = (io::stdout(), io::stderr());
        let error_width = width_of(err.is_terminal(), terminal_size::terminal_size_of(&err));
        let output_width = width_of(out.is_terminal(), terminal_size::terminal_size_of(&out));
        let err = AutoStream::new(err, choice);
        Self {
            colour_errors: resolved(err.current_choice()),
            out: AutoStream::new(out, choice),
            err,
            error_width: error_width.unwrap_or(render::Style::default().width),
            output_width: output_width.unwrap_or(100).clamp(40, 120),
        }
    }

    /// Columns for running text on the standard output.
    pub(crate) fn width(&self) -> usize {
        self.output_width
    }

    /// How messages about recipes look on the standard error.
    pub(crate) fn message_style(&self) -> render::Style {
        render::Style { colour: self.colour_errors, width: self.error_width }
    }

    /// Writes to the standard output.
    pub(crate) fn print(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    /// Writes to the standard error. That nobody reads it is no reason to stop.
    pub(crate) fn say(&mut self, text: &str) {
        let _ = self.err.write_all(text.as_bytes());
    }

    /// A remark on the standard error.
    pub(crate) fn note(&mut self, text: &str) {
        self.say(&format!("{}: {text}\n", styled(GOOD, "note")));
    }

    /// An error with its causes and what to do about it.
    pub(crate) fn error(&mut self, error: &anyhow::Error) {
        let mut text = format!("{}: {error:#}\n", styled(BAD, "error"));
        if let Some(help) = error.downcast_ref::<Wrong>().and_then(|wrong| wrong.help.as_ref()) {
            text.push_str(&format!("{}: {help}\n", styled(NAME.bold(), "help")));
        }
        self.say(&text);
    }
}

/// A text broken at spaces into lines of at most `width` columns; lines after the first begin with
/// `indent` spaces. Line breaks of the text stay.
pub(crate) fn wrapped(text: &str, width: usize, indent: usize) -> String {
    let mut out = String::new();
    for (index, line) in text.lines().enumerate() {
        if index > 0 {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
        }
        let mut used = indent;
        for (word_index, word) in line.split_whitespace().enumerate() {
            let length = word.chars().count();
            if word_index > 0 && used + 1 + length > width {
                out.push('\n');
                out.push_str(&" ".repeat(indent));
                used = indent;
            } else if word_index > 0 {
                out.push(' ');
                used += 1;
            }
            out.push_str(word);
            used += length;
        }
    }
    out
}

/// Rows in aligned columns, indented by two spaces; the last column is wrapped. A column that is empty
/// in every row takes no room. The first column is in `first`'s style.
pub(crate) fn table(rows: &[Vec<String>], width: usize, first: Style) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let length = |text: &str| text.chars().count();
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().filter_map(|row| row.get(column)).map(|cell| length(cell)).max())
        .map(|most| most.unwrap_or(0))
        .collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::from(" ");
        let mut used = 1;
        for (column, cell) in row.iter().enumerate() {
            if widths[column] == 0 {
                continue;
            }
            line.push(' ');
            used += 1;
            if column + 1 == columns {
                // A column too narrow to read stands on lines of its own.
                let (start, indent) = if used + 20 > width { ("\n      ", 6) } else { ("", used) };
                if !cell.is_empty() {
                    line.push_str(start);
                }
                line.push_str(&wrapped(cell, width, indent));
                continue;
            }
            let padding = " ".repeat(widths[column] - length(cell) + 1);
            used += widths[column] + 1;
            if column == 0 {
                line.push_str(&format!("{}{padding}", styled(first, cell)));
            } else {
                line.push_str(&format!("{cell}{padding}"));
            }
        }
        for text in line.lines() {
            out.push_str(text.trim_end());
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_broken_at_spaces() {
        assert_eq!(wrapped("one two three four", 9, 2), "one two\n  three\n  four");
        assert_eq!(wrapped("a\nb", 80, 1), "a\n b");
        assert_eq!(wrapped("", 80, 1), "");
    }

    #[test]
    fn columns_are_aligned_and_empty_ones_left_out() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let rows = [row(["a", "", "first thing"]), row(["long", "", "second"])];
        let text = anstream::adapter::strip_str(&table(&rows, 80, NAME)).to_string();
        assert_eq!(text, "  a     first thing\n  long  second\n");
    }
}
