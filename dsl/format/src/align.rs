//! Lines, and the alignment of their columns.

use crate::WIDTH;

/// What lines are aligned with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    Param,
    Binding,
    Setting,
    Let,
    Log,
    Arm,
    /// Not aligned.
    Other,
}

/// A statement.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) indent: usize,
    pub(crate) sort: Sort,
    /// Its columns, if it is one line; a column may be empty.
    pub(crate) cells: Vec<String>,
    /// All of it, without the indentation of the first line.
    pub(crate) lines: Vec<String>,
    /// A comment behind it.
    pub(crate) comment: Option<String>,
}

impl Row {
    pub(crate) fn plain(indent: usize, line: String) -> Self {
        Self { indent, sort: Sort::Other, cells: vec![line.clone()], lines: vec![line], comment: None }
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Line {
    Blank,
    Comment {
        indent: usize,
        text: String,
    },
    Row(Row),
    /// As it stands in the file.
    Verbatim(String),
    /// A block begins: no blank line follows, and no run goes on.
    Open,
}

/// The file's text.
pub(crate) fn text(lines: &[Line]) -> String {
    let mut out = String::new();
    let mut at = 0;
    while at < lines.len() {
        match &lines[at] {
            Line::Blank => out.push('\n'),
            Line::Comment { indent, text } => push_line(&mut out, *indent, text),
            Line::Verbatim(text) => push_line(&mut out, 0, text),
            Line::Open => {}
            Line::Row(_) => {
                let end = run_end(lines, at);
                run(&mut out, &lines[at..end]);
                at = end;
                continue;
            }
        }
        at += 1;
    }
    out
}

fn push_line(out: &mut String, indent: usize, line: &str) {
    out.extend(std::iter::repeat_n(' ', indent));
    out.push_str(line);
    out.push('\n');
}

/// The line after the last that is aligned with the row at `start`.
fn run_end(lines: &[Line], start: usize) -> usize {
    let Line::Row(first) = &lines[start] else { return start + 1 };
    let mut end = start + 1;
    if first.sort == Sort::Other || first.lines.len() > 1 {
        return end;
    }
    for (at, line) in lines.iter().enumerate().skip(start + 1) {
        match line {
            Line::Comment { indent, .. } if *indent == first.indent => {}
            Line::Row(row)
                if row.sort == first.sort && row.indent == first.indent && row.lines.len() == 1 =>
            {
                end = at + 1;
            }
            _ => break,
        }
    }
    end
}

fn width(text: &str) -> usize {
    text.chars().count()
}

/// Rows of one sort, with comments between them.
fn run(out: &mut String, lines: &[Line]) {
    let rows: Vec<&Row> =
        lines.iter().filter_map(|line| if let Line::Row(row) = line { Some(row) } else { None }).collect();
    let columns = rows.iter().map(|row| row.cells.len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            rows.iter().filter_map(|row| row.cells.get(column)).map(|cell| width(cell)).max().unwrap_or(0)
        })
        .collect();
    let aligned: Vec<String> = rows.iter().map(|row| padded(&row.cells, &widths)).collect();
    let fits = rows.iter().zip(&aligned).all(|(row, line)| row.indent + width(line) <= WIDTH);
    let mut texts: Vec<String> =
        if fits && rows.len() > 1 { aligned } else { rows.iter().map(|row| row.lines.join("\n")).collect() };
    let commented = |row: &Row| row.comment.is_some();
    let longest =
        rows.iter().zip(&texts).filter(|(row, _)| commented(row)).map(|(_, text)| width(text)).max();
    let comments_fit = rows.iter().all(|row| {
        row.comment.as_ref().is_none_or(|comment| {
            row.indent + longest.unwrap_or(0) + 1 + width(comment) <= WIDTH || rows.len() == 1
        })
    });
    for (row, text) in rows.iter().zip(&mut texts) {
        if let Some(comment) = &row.comment {
            let gap = if comments_fit && row.lines.len() == 1 {
                longest.unwrap_or(0).saturating_sub(width(text)) + 1
            } else {
                1
            };
            text.extend(std::iter::repeat_n(' ', gap));
            text.push_str(comment);
        }
    }
    let mut texts = texts.into_iter();
    for line in lines {
        match line {
            Line::Comment { indent, text } => push_line(out, *indent, text),
            Line::Row(row) => push_line(out, row.indent, &texts.next().unwrap_or_default()),
            _ => {}
        }
    }
}

/// The cells in columns, without spaces at the end.
fn padded(cells: &[String], widths: &[usize]) -> String {
    let mut line = String::new();
    for (cell, column) in cells.iter().zip(widths) {
        if *column == 0 {
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(cell);
        line.extend(std::iter::repeat_n(' ', column - width(cell)));
    }
    line.truncate(line.trim_end().len());
    line
}
