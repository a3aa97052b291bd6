//! The layout of one statement: spaces between tokens, and breaks at brackets.

use crate::WIDTH;
use crate::align::Sort;
use std::ops::Range;
use zoo_syntax::tree::{Token, TokenKind};

/// The words after which no call follows.
const RESERVED: [&str; 11] = ["true", "false", "if", "then", "else", "and", "or", "not", "in", "on", "let"];

/// A token that is no white space.
struct Piece<'a> {
    kind: TokenKind,
    text: &'a str,
    /// Whether a space stands before it, on one line.
    space: bool,
    /// Brackets: the index of the partner.
    partner: Option<usize>,
    /// Of an opening bracket: whether it is broken up when it does not fit. Parentheses around a value
    /// and headers are not.
    breakable: bool,
    /// Whether a line break stood before it.
    broken: bool,
}

pub(crate) struct Layout<'a> {
    pieces: Vec<Piece<'a>>,
    /// Columns of the first pieces on one line: `ends[i]` is the column after piece i.
    ends: Vec<usize>,
}

/// What is written so far.
struct Output {
    lines: Vec<String>,
    /// Columns before the statement's first line.
    indent: usize,
}

impl Output {
    fn column(&self) -> usize {
        let indent = if self.lines.len() == 1 { self.indent } else { 0 };
        indent + self.lines.last().map_or(0, |line| line.chars().count())
    }

    fn push(&mut self, text: &str) {
        if let Some(line) = self.lines.last_mut() {
            line.push_str(text);
        }
    }

    fn new_line(&mut self, indent: usize) {
        self.lines.push(" ".repeat(indent));
    }
}

fn is_closer(text: &str) -> bool {
    matches!(text, ")" | "]" | "}")
}

impl<'a> Layout<'a> {
    /// The tokens of a statement that can be read.
    pub(crate) fn new(text: &'a str, tokens: &[Token], range: Range<usize>) -> Self {
        let mut pieces: Vec<Piece<'a>> = Vec::new();
        let mut open: Vec<usize> = Vec::new();
        let mut broken = false;
        let mut unary = false;
        for token in &tokens[range] {
            if matches!(token.kind, TokenKind::Space | TokenKind::Newline) {
                broken |= token.kind == TokenKind::Newline;
                continue;
            }
            let slice = text.get(token.range()).unwrap_or("");
            let before = pieces.iter().rev().find(|piece| !piece.kind.is_comment());
            let first = pieces.iter().filter(|piece| !piece.kind.is_comment()).take(2).count() == 1;
            // Whether the token before ends a value, so that a bracket calls it and a sign is an operator.
            let value = before.is_some_and(|piece| match piece.kind {
                TokenKind::Word => {
                    (!RESERVED.contains(&piece.text) || matches!(piece.text, "true" | "false")) && !first
                }
                TokenKind::Number | TokenKind::Text => true,
                _ => is_closer(piece.text),
            });
            let before_text = before.map_or("", |piece| piece.text);
            let space = match slice {
                _ if before.is_none() || unary => false,
                "." | "," | ")" | "]" | "}" => false,
                "(" | "[" if value => false,
                ":" if !open.is_empty() => false,
                "*" if before_text == "[" => false,
                _ => !matches!(before_text, "(" | "[" | "{" | "."),
            };
            unary = token.kind == TokenKind::Sign && slice == "-" && !value;
            let index = pieces.len();
            let mut partner = None;
            let mut breakable = false;
            if token.kind == TokenKind::Sign {
                match slice {
                    "(" | "[" | "{" => {
                        breakable = match slice {
                            "(" => value,
                            "[" => !value && before_text != "in",
                            // A selector's braces follow a dot.
                            _ => before_text != ".",
                        };
                        open.push(index);
                    }
                    ")" | "]" | "}" => {
                        partner = open.pop();
                        if let Some(opener) = partner {
                            pieces[opener].partner = Some(index);
                        }
                    }
                    _ => {}
                }
            }
            let piece = Piece { kind: token.kind, text: slice, space, partner, breakable, broken };
            broken = false;
            pieces.push(piece);
        }
        let mut layout = Self { pieces, ends: Vec::new() };
        let mut end = 0;
        for index in 0..layout.pieces.len() {
            end += layout.width(index);
            layout.ends.push(end);
        }
        layout
    }

    /// Whether the comma stands before a closing bracket, where it is written or not as the layout wants.
    fn trailing_comma(&self, index: usize) -> bool {
        self.pieces[index].text == ","
            && self.pieces[index].kind == TokenKind::Sign
            && self.pieces[index + 1..]
                .iter()
                .find(|piece| !piece.kind.is_comment())
                .is_some_and(|piece| is_closer(piece.text) && piece.kind == TokenKind::Sign)
    }

    /// Columns of a piece on one line, with the space before it.
    fn width(&self, index: usize) -> usize {
        if self.trailing_comma(index) {
            return 0;
        }
        let piece = &self.pieces[index];
        piece.text.chars().count() + usize::from(piece.space)
    }

    /// Columns of pieces on one line.
    fn columns(&self, range: Range<usize>) -> usize {
        let before = range.start.checked_sub(1).map_or(0, |index| self.ends[index]);
        range.end.checked_sub(1).map_or(0, |index| self.ends[index]).saturating_sub(before)
    }

    fn has_comment(&self, range: Range<usize>) -> bool {
        self.pieces[range].iter().any(|piece| piece.kind.is_comment())
    }

    /// The lines of the statement, and its columns if it is one line. None where a comment stands at a
    /// place that no layout has, or where only the writer knows how to break it.
    pub(crate) fn statement(&self, indent: usize, sort: Sort) -> Option<(Vec<String>, Vec<String>)> {
        let all = 0..self.pieces.len();
        let mut out = Output { lines: vec![String::new()], indent };
        self.write(all.clone(), indent, &mut out, true)?;
        let cells = if out.lines.len() == 1 { self.cells(sort) } else { vec![out.lines.join("\n")] };
        Some((out.lines, cells))
    }

    /// Writes pieces; brackets that do not fit are broken up.
    fn write(&self, range: Range<usize>, indent: usize, out: &mut Output, mut first: bool) -> Option<()> {
        let end = range.end;
        let mut index = range.start;
        while index < end {
            let piece = &self.pieces[index];
            if piece.kind.is_comment() {
                return None;
            }
            if self.trailing_comma(index) {
                index += 1;
                continue;
            }
            if piece.space && !first {
                out.push(" ");
            }
            first = false;
            out.push(piece.text);
            if let Some(partner) = piece.partner.filter(|partner| *partner > index) {
                let comment = self.has_comment(index..partner);
                // What follows the bracket up to where the line could break next.
                let next = (partner + 1..self.pieces.len())
                    .find(|next| self.pieces[*next].breakable || self.pieces[*next].text == ",")
                    .map_or(self.pieces.len(), |next| next + 1);
                let fits = out.column() + self.columns(index + 1..next) <= WIDTH;
                if comment && !piece.breakable {
                    return None;
                }
                if !fits
                    && !piece.breakable
                    && self.pieces[index + 1..=partner].iter().any(|piece| piece.broken)
                {
                    return None;
                }
                if partner > index + 1 && piece.breakable && (comment || !fits) {
                    self.items(index, partner, indent, out)?;
                    index = partner + 1;
                    continue;
                }
            }
            index += 1;
        }
        Some(())
    }

    /// Writes what stands between two brackets, one item a line.
    fn items(&self, opener: usize, closer: usize, indent: usize, out: &mut Output) -> Option<()> {
        let inner = indent + 2;
        let mut index = opener + 1;
        // Whether a comment may still go behind what is written.
        let mut behind = true;
        while index < closer {
            let piece = &self.pieces[index];
            if piece.kind.is_comment() {
                if piece.broken || !behind {
                    out.new_line(inner);
                } else {
                    out.push(" ");
                }
                out.push(piece.text.trim_end());
                behind = false;
                index += 1;
                continue;
            }
            let start = index;
            while index < closer && self.pieces[index].text != "," && !self.pieces[index].kind.is_comment() {
                index = match self.pieces[index].partner {
                    Some(partner) if partner > index => partner + 1,
                    _ => index + 1,
                };
            }
            // A comment in the middle of an item: only before a comma or the end is there a place for it.
            let mut after = index;
            while after < closer && self.pieces[after].kind.is_comment() {
                after += 1;
            }
            if after < closer && self.pieces[after].text != "," {
                return None;
            }
            if start == index {
                return None;
            }
            out.new_line(inner);
            self.write(start..index, inner, out, true)?;
            out.push(",");
            behind = true;
            if after == index && index < closer {
                index += 1;
            } else if after < closer {
                // Comments before the comma go behind it.
                for comment in index..after {
                    if self.pieces[comment].broken || !behind {
                        out.new_line(inner);
                    } else {
                        out.push(" ");
                    }
                    out.push(self.pieces[comment].text.trim_end());
                    behind = false;
                }
                index = after + 1;
            }
        }
        out.new_line(indent);
        out.push(self.pieces[closer].text);
        Some(())
    }

    /// The columns of a statement that is one line.
    fn cells(&self, sort: Sort) -> Vec<String> {
        let mut cells = vec![String::new()];
        let mut depth = 0;
        // Which column begins where a sign or word stands outside of brackets.
        for (index, piece) in self.pieces.iter().enumerate() {
            if self.trailing_comma(index) {
                continue;
            }
            let column = match (sort, piece.text) {
                _ if depth > 0 || piece.kind == TokenKind::Text && sort != Sort::Arm => None,
                (Sort::Param, ":") => Some(1),
                (Sort::Param, "=") => Some(2),
                (Sort::Param, "in") => Some(3),
                (Sort::Binding, "=") => Some(2),
                (Sort::Binding, _) if index == 1 => Some(1),
                (Sort::Setting | Sort::Let | Sort::Log, "=") => Some(1),
                (Sort::Arm, ":") => Some(1),
                (Sort::Arm, _) if piece.kind == TokenKind::Text => Some(2),
                _ => None,
            };
            match column {
                Some(column) if column >= cells.len() => cells.resize(column + 1, String::new()),
                _ if piece.space => {
                    if let Some(cell) = cells.last_mut() {
                        cell.push(' ');
                    }
                }
                _ => {}
            }
            if let Some(cell) = cells.last_mut() {
                cell.push_str(piece.text);
            }
            match piece.text {
                "(" | "[" | "{" if piece.kind == TokenKind::Sign => depth += 1,
                ")" | "]" | "}" if piece.kind == TokenKind::Sign => depth -= 1,
                _ => {}
            }
        }
        if sort == Sort::Arm {
            cells.resize(3, String::new());
        }
        cells
    }
}
