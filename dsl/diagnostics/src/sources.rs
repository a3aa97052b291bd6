//! The texts that spans point into.

use serde::Serialize;
use std::ops::Range;

/// Number of a text in [`Sources`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct FileId(pub u16);

impl FileId {
    /// The bytes `range` of this file. Ends beyond 4 GiB are cut there.
    pub fn span(self, range: Range<usize>) -> Span {
        let start = u32::try_from(range.start).unwrap_or(u32::MAX);
        let end = u32::try_from(range.end).unwrap_or(u32::MAX);
        Span { file: self.0, start, len: end.saturating_sub(start) }
    }
}

/// A range of bytes in one text of [`Sources`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Span {
    /// The text, see [`FileId`].
    pub file: u16,
    /// First byte.
    pub start: u32,
    /// Length in bytes.
    pub len: u32,
}

impl Span {
    /// The text's number.
    pub fn file_id(self) -> FileId {
        FileId(self.file)
    }

    /// First byte after the span.
    pub fn end(self) -> u32 {
        self.start.saturating_add(self.len)
    }

    /// The bytes as a range.
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end() as usize
    }

    /// The empty span before this one.
    pub fn before(self) -> Self {
        Self { len: 0, ..self }
    }

    /// The empty span after this one.
    pub fn after(self) -> Self {
        Self { start: self.end(), len: 0, ..self }
    }

    /// The smallest span that holds both; `self` when `other` is in another file.
    pub fn to(self, other: Self) -> Self {
        if self.file != other.file {
            return self;
        }
        let start = self.start.min(other.start);
        Self { file: self.file, start, len: self.end().max(other.end()) - start }
    }
}

/// A place for people and editors, counted from 1 (lines, columns) and from 0 (UTF-16).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// Column in UTF-16 units, from 0, as the language server protocol counts.
    pub utf16_column: u32,
}

/// Where the lines of a text begin.
#[derive(Clone, Debug)]
pub struct LineIndex {
    starts: Vec<u32>,
}

impl LineIndex {
    /// One pass over the text.
    pub fn new(text: &str) -> Self {
        let mut starts = vec![0];
        starts.extend(
            text.bytes()
                .enumerate()
                .filter(|(_, byte)| *byte == b'\n')
                .map(|(at, _)| u32::try_from(at + 1).unwrap_or(u32::MAX)),
        );
        Self { starts }
    }

    /// Number of the line that holds a byte, from 0.
    pub fn line(&self, offset: u32) -> u32 {
        // The first start is 0, so the partition point is at least 1.
        self.starts.partition_point(|start| *start <= offset) as u32 - 1
    }

    /// First byte of a line counted from 0, if there is such a line.
    pub fn start(&self, line: u32) -> Option<u32> {
        self.starts.get(line as usize).copied()
    }

    /// The place of a byte; one that is past the end or inside a character is moved back.
    pub fn position(&self, text: &str, offset: u32) -> Position {
        let offset = floor_char_boundary(text, offset as usize);
        let line = self.line(offset as u32);
        let start = self.starts.get(line as usize).map_or(0, |start| *start as usize);
        let before = text.get(start..offset).unwrap_or("");
        Position {
            line: line + 1,
            column: before.chars().count() as u32 + 1,
            utf16_column: before.encode_utf16().count() as u32,
        }
    }

    /// The byte of a place as the language server protocol gives it: line and UTF-16 column from 0.
    /// A column past the end of the line means its end.
    pub fn offset(&self, text: &str, line: u32, utf16_column: u32) -> Option<u32> {
        let start = self.start(line)? as usize;
        let mut units = 0;
        let mut at = start;
        for character in text.get(start..)?.chars() {
            if character == '\n' || units >= utf16_column {
                break;
            }
            units += character.len_utf16() as u32;
            at += character.len_utf8();
        }
        Some(at as u32)
    }
}

/// The largest character boundary that is not above `offset`.
pub(crate) fn floor_char_boundary(text: &str, offset: usize) -> usize {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    offset
}

/// A text with its name.
#[derive(Clone, Debug)]
struct Source {
    name: String,
    text: String,
    lines: LineIndex,
    command_line: bool,
}

/// The texts that spans point into: recipes, the files they use, and the command line.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    files: Vec<Source>,
}

/// The command line's name in messages.
pub const COMMAND_LINE: &str = "<command line>";

impl Sources {
    /// No text yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a text. `name` is what messages call it: the path as the user gave it.
    ///
    /// At most 65 535 texts are told apart; all later ones count as the last.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> FileId {
        let text = text.into();
        let lines = LineIndex::new(&text);
        self.push(Source { name: name.into(), text, lines, command_line: false })
    }

    /// Adds the command line's arguments, joined by spaces, as a text; also gives the bytes that
    /// each argument takes in it, so that messages point at the very argument.
    pub fn add_command_line<I: AsRef<str>>(
        &mut self,
        arguments: impl IntoIterator<Item = I>,
    ) -> (FileId, Vec<Range<usize>>) {
        let mut text = String::new();
        let mut ranges = Vec::new();
        for argument in arguments {
            if !text.is_empty() {
                text.push(' ');
            }
            let start = text.len();
            // A line break inside an argument would look like a second line of the command.
            text.extend(argument.as_ref().chars().map(|c| if c == '\n' || c == '\r' { ' ' } else { c }));
            ranges.push(start..text.len());
        }
        let lines = LineIndex::new(&text);
        let id = self.push(Source { name: COMMAND_LINE.to_owned(), text, lines, command_line: true });
        (id, ranges)
    }

    fn push(&mut self, source: Source) -> FileId {
        let index = u16::try_from(self.files.len()).unwrap_or(u16::MAX);
        if usize::from(index) == self.files.len() {
            self.files.push(source);
        }
        FileId(index)
    }

    /// The files' numbers in order.
    pub fn ids(&self) -> impl Iterator<Item = FileId> + use<> {
        (0..self.files.len() as u16).map(FileId)
    }

    /// What messages call the file; empty for an unknown one.
    pub fn name(&self, file: FileId) -> &str {
        self.files.get(usize::from(file.0)).map_or("", |source| &source.name)
    }

    /// The file's text; empty for an unknown one.
    pub fn text(&self, file: FileId) -> &str {
        self.files.get(usize::from(file.0)).map_or("", |source| &source.text)
    }

    /// Whether the file is the command line.
    pub fn is_command_line(&self, file: FileId) -> bool {
        self.files.get(usize::from(file.0)).is_some_and(|source| source.command_line)
    }

    /// The text of a span, cut to what there is.
    pub fn slice(&self, span: Span) -> &str {
        let text = self.text(span.file_id());
        text.get(self.clamp(span)).unwrap_or("")
    }

    /// The span's bytes, cut to the text and moved to character boundaries.
    pub(crate) fn clamp(&self, span: Span) -> Range<usize> {
        let text = self.text(span.file_id());
        let start = floor_char_boundary(text, span.start as usize);
        start..floor_char_boundary(text, span.end() as usize).max(start)
    }

    /// Where a span begins.
    pub fn position(&self, span: Span) -> Position {
        match self.files.get(usize::from(span.file)) {
            Some(source) => source.lines.position(&source.text, span.start),
            None => Position { line: 1, column: 1, utf16_column: 0 },
        }
    }

    /// Where a span ends.
    pub fn end_position(&self, span: Span) -> Position {
        self.position(span.after())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_utf16_units() {
        let mut sources = Sources::new();
        let file = sources.add("a.mlm", "ab\nλ𝄞x\n");
        let position = sources.position(file.span(9..10));
        assert_eq!(position, Position { line: 2, column: 3, utf16_column: 3 });
        assert_eq!(sources.slice(file.span(9..10)), "x");
        let lines = LineIndex::new("ab\nλ𝄞x\n");
        assert_eq!(lines.offset("ab\nλ𝄞x\n", 1, 3), Some(9));
        assert_eq!(lines.offset("ab\nλ𝄞x\n", 0, 99), Some(2));
        assert_eq!(lines.offset("ab\n", 7, 0), None);
    }

    #[test]
    fn spans_outside_the_text_are_cut() {
        let mut sources = Sources::new();
        let file = sources.add("a.mlm", "λ");
        assert_eq!(sources.slice(file.span(1..90)), "λ");
        assert_eq!(sources.position(file.span(90..91)).column, 2);
        assert_eq!(sources.slice(FileId(7).span(0..1)), "");
    }

    #[test]
    fn the_command_line_is_a_file() {
        let mut sources = Sources::new();
        let (file, ranges) = sources.add_command_line(["--set", "a=1\n2"]);
        assert_eq!(sources.text(file), "--set a=1 2");
        assert_eq!(ranges, [0..5, 6..11]);
        assert!(sources.is_command_line(file));
    }
}
