//! The layout of one statement: spaces between tokens, and breaks at brackets and operators.

use crate::WIDTH;
use crate::align::Sort;
use std::ops::Range;
use zoo_syntax::tree::{Token, TokenKind};

/// The words after which no call follows.
const RESERVED: [&str; 11] = ["true", "false", "if", "then", "else", "and", "or", "not", "in", "on", "let"];

/// Columns of an argument that is no reason to break up its call where it stands alone.
const SHORT: usize = 24;

/// How a bracket is broken up when what it holds does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Break {
    /// Never: a header, an index, a range.
    Never,
    /// One item a line.
    Items,
    /// Parentheses around a value: a line for each operand of the operators that bind this loosely.
    Operands(u8),
}

/// How tightly an operator binds.
fn precedence(text: &str) -> Option<u8> {
    Some(match text {
        "or" => 1,
        "and" => 2,
        "==" | "!=" | "<" | "<=" | ">" | ">=" => 3,
        "+" | "-" => 4,
        "*" | "/" => 5,
        _ => return None,
    })
}

/// A token that is no white space.
struct Piece<'a> {
    kind: TokenKind,
    text: &'a str,
    /// Whether a space stands before it, on one line.
    space: bool,
    /// Brackets: the index of the partner.
    partner: Option<usize>,
    /// Of an opening bracket.
    breaks: Break,
    /// Of an operator between two values: how tightly it binds.
    operator: Option<u8>,
    /// Whether a line break stood before it.
    broken: bool,
}

pub(crate) struct Layout<'a> {
    pieces: Vec<Piece<'a>>,
    /// Columns of the first pieces on one line: `ends[i]` is the column after piece i.
    ends: Vec<usize>,
    /// For every piece, the next one from it on at or behind which the line may break, or the end.
    next_break: Vec<usize>,
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
        // Of every open bracket, and of the statement: the loosest operator in it; 0 where `if` stands in it.
        let mut loosest: Vec<u8> = vec![u8::MAX];
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
            let mut breaks = Break::Never;
            let operator = match token.kind {
                TokenKind::Sign | TokenKind::Word if value => precedence(slice),
                _ => None,
            };
            if let Some(loosest) = loosest.last_mut() {
                *loosest = match operator {
                    Some(operator) => operator.min(*loosest),
                    None if token.kind == TokenKind::Word && slice == "if" => 0,
                    None => *loosest,
                };
            }
            if token.kind == TokenKind::Sign {
                match slice {
                    "(" | "[" | "{" => {
                        breaks = match slice {
                            "(" if value => Break::Items,
                            // What it holds is not read yet; the bracket of a range is none of these.
                            "(" if before_text != "in" => Break::Operands(u8::MAX),
                            "[" if !value && before_text != "in" => Break::Items,
                            // A selector's braces follow a dot.
                            "{" if before_text != "." => Break::Items,
                            _ => Break::Never,
                        };
                        open.push(index);
                        loosest.push(u8::MAX);
                    }
                    ")" | "]" | "}" => {
                        partner = open.pop();
                        if let Some(opener) = partner {
                            pieces[opener].partner = Some(index);
                            let loosest = loosest.pop().unwrap_or(u8::MAX);
                            if let Break::Operands(_) = pieces[opener].breaks {
                                let some = (1..u8::MAX).contains(&loosest);
                                pieces[opener].breaks =
                                    if some { Break::Operands(loosest) } else { Break::Never };
                            }
                        }
                    }
                    _ => {}
                }
            }
            let piece = Piece { kind: token.kind, text: slice, space, partner, breaks, operator, broken };
            broken = false;
            pieces.push(piece);
        }
        let mut layout = Self { pieces, ends: Vec::new(), next_break: Vec::new() };
        let mut end = 0;
        for index in 0..layout.pieces.len() {
            end += layout.width(index);
            layout.ends.push(end);
        }
        for index in 0..layout.pieces.len() {
            if layout.pieces[index].breaks == Break::Items && layout.is_short_call(index) {
                layout.pieces[index].breaks = Break::Never;
            }
        }
        layout.next_break = vec![layout.pieces.len(); layout.pieces.len() + 1];
        for index in (0..layout.pieces.len()).rev() {
            let piece = &layout.pieces[index];
            let here = piece.breaks != Break::Never || piece.text == ",";
            layout.next_break[index] = if here { index + 1 } else { layout.next_break[index + 1] };
        }
        layout
    }

    /// Whether the bracket holds a single name or number, which stays with what it calls.
    fn is_short_call(&self, opener: usize) -> bool {
        let Some(closer) = self.pieces[opener].partner.filter(|partner| *partner > opener) else {
            return false;
        };
        let plain = |piece: &Piece<'_>| {
            matches!(piece.kind, TokenKind::Word | TokenKind::Number) || matches!(piece.text, "." | ",")
        };
        // Most brackets are left at the first look.
        self.pieces[opener].text == "("
            && self.columns(opener + 1..closer) <= SHORT
            && (opener + 1..closer).all(|index| {
                plain(&self.pieces[index]) && (self.pieces[index].text != "," || self.trailing_comma(index))
            })
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
        self.write(all.clone(), indent, 0, &mut out)?;
        let cells = if out.lines.len() == 1 { self.cells(sort) } else { vec![out.lines.join("\n")] };
        Some((out.lines, cells))
    }

    /// Writes pieces that begin a line or go on where one ends, and end one; `tail` columns follow them.
    /// Brackets that do not fit are broken up.
    fn write(&self, range: Range<usize>, indent: usize, tail: usize, out: &mut Output) -> Option<()> {
        let mut first = true;
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
                // What follows the bracket up to where the line could break next, or does.
                let next = self.next_break[partner + 1];
                let tail = if next > end { tail } else { 0 };
                let fits = out.column() + self.columns(index + 1..next.min(end)) + tail <= WIDTH;
                match piece.breaks {
                    Break::Items if partner > index + 1 && (comment || !fits) => {
                        self.items(index, partner, indent, out)?;
                        index = partner + 1;
                        continue;
                    }
                    Break::Items => {}
                    _ if comment => return None,
                    Break::Operands(operator) if !fits => {
                        out.new_line(indent + 2);
                        self.operands(index + 1..partner, operator, indent + 2, false, out)?;
                        out.new_line(indent);
                        out.push(self.pieces[partner].text);
                        index = partner + 1;
                        continue;
                    }
                    Break::Operands(_) => {}
                    Break::Never if fits => {}
                    Break::Never if self.pieces[index + 1..=partner].iter().any(|piece| piece.broken) => {
                        return None;
                    }
                    Break::Never => {}
                }
            }
            index += 1;
        }
        Some(())
    }

    /// Where the operands begin that operators of that precedence join, with the operator before them.
    fn operand_starts(&self, range: Range<usize>, operator: u8) -> Vec<usize> {
        let mut starts = vec![range.start];
        let mut index = range.start;
        while index < range.end {
            if self.pieces[index].operator == Some(operator) {
                starts.push(index);
            }
            index = match self.pieces[index].partner {
                Some(partner) if partner > index => partner + 1,
                _ => index + 1,
            };
        }
        starts.push(range.end);
        starts
    }

    /// Writes a value, one operand a line; as one of several values, those after the first are indented
    /// and a comma follows.
    fn operands(
        &self,
        range: Range<usize>,
        operator: u8,
        indent: usize,
        item: bool,
        out: &mut Output,
    ) -> Option<()> {
        let end = range.end;
        let starts = self.operand_starts(range, operator);
        for (number, operand) in starts.windows(2).enumerate() {
            let indent = if number > 0 && item { indent + 2 } else { indent };
            if number > 0 {
                out.new_line(indent);
            }
            let tail = usize::from(item && operand[1] == end);
            self.write(operand[0]..operand[1], indent, tail, out)?;
        }
        Some(())
    }

    /// The loosest operator of an item that is too long for a line where each of its operands is not.
    fn joins_short_operands(&self, range: Range<usize>, indent: usize) -> Option<u8> {
        if indent + self.columns(range.clone()) < WIDTH || self.has_comment(range.clone()) {
            return None;
        }
        let mut loosest = None;
        let mut index = range.start;
        while index < range.end {
            let piece = &self.pieces[index];
            if piece.kind == TokenKind::Word && piece.text == "if" {
                return None;
            }
            loosest = match (loosest, piece.operator) {
                (Some(a), Some(b)) => Some(u8::min(a, b)),
                (a, b) => a.or(b),
            };
            index = match piece.partner {
                Some(partner) if partner > index => partner + 1,
                _ => index + 1,
            };
        }
        let starts = self.operand_starts(range, loosest?);
        let fit = |operand: &[usize]| indent + 2 + self.columns(operand[0]..operand[1]) < WIDTH;
        if starts.windows(2).all(fit) { loosest } else { None }
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
            match self.joins_short_operands(start..index, inner) {
                Some(operator) => self.operands(start..index, operator, inner, true, out)?,
                None => self.write(start..index, inner, 1, out)?,
            }
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
