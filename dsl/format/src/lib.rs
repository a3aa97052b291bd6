//! The formatter: one layout for every recipe, on the tree and not on the meaning.
//!
//! * Two spaces for what stands in a block; at most one blank line, none at the ends of a block.
//! * The columns of `=`, `:`, ranges and comments at the ends of lines are aligned within a run of
//!   statements of one sort without a blank line between them, unless a line would become too long.
//! * What does not fit into [`WIDTH`] columns is broken at its brackets, one value a line, with a comma
//!   after the last; what fits stands on one line, unless it holds a comment. A call with one short name
//!   or number stays whole.
//! * Parentheses around a sum are broken before its operators, as is a long sum that is one of several
//!   values. Where there are none, the line stays long: only brackets let a statement go on.
//! * A statement that cannot be read is kept as it is.
//!
//! Formatting twice is formatting once, and nothing but white space and commas before closing brackets
//! changes.

mod align;
mod layout;

use align::{Line, Row, Sort};
use layout::Layout;
use zoo_syntax::tree::{NodeKind, TokenKind};
use zoo_syntax::{FileId, Tree};

/// Columns of a line.
pub const WIDTH: usize = 100;

/// The text in the formatter's layout. A text that is too large to be a recipe is given back as it is.
///
/// ```
/// assert_eq!(zoo_format::format("mlm 1\nparam  a:count=1\n"), "mlm 1\nparam a : count = 1\n");
/// ```
pub fn format(text: &str) -> String {
    if text.len() > zoo_syntax::MAXIMUM_SIZE {
        return text.to_owned();
    }
    let parse = zoo_syntax::parse(FileId(0), text);
    let mut formatter = Formatter { text, tree: &parse.tree, lines: Vec::new() };
    formatter.statements(0, 0..parse.tree.tokens.len(), 0);
    align::text(&formatter.lines)
}

struct Formatter<'a> {
    text: &'a str,
    tree: &'a Tree,
    lines: Vec<Line>,
}

impl<'a> Formatter<'a> {
    fn kind(&self, token: usize) -> TokenKind {
        self.tree.tokens[token].kind
    }

    fn slice(&self, token: usize) -> &'a str {
        self.text.get(self.tree.tokens[token].range()).unwrap_or("")
    }

    fn comment(&self, token: usize) -> String {
        self.slice(token).trim_end().to_owned()
    }

    /// The children of a node, with the comments and blank lines of `tokens` around them.
    fn statements(&mut self, node: usize, tokens: std::ops::Range<usize>, indent: usize) {
        let mut at = tokens.start;
        let first = self.lines.len();
        let children: Vec<usize> = self
            .tree
            .children(node)
            .filter(|child| self.tree.nodes[*child].kind != NodeKind::Header)
            .collect();
        for child in children {
            let range = self.tree.nodes[child].tokens.clone();
            let (start, end) = (range.start as usize, range.end as usize);
            if start < at {
                continue;
            }
            self.gap(at..start, indent, first);
            at = self.statement(child, indent, start, end);
        }
        self.gap(at..tokens.end, indent, first);
        if matches!(self.lines.last(), Some(Line::Blank)) && self.lines.len() > first {
            self.lines.pop();
        }
    }

    /// Comments and blank lines between two statements. The first line of it may end a statement's line.
    fn gap(&mut self, tokens: std::ops::Range<usize>, indent: usize, first: usize) {
        let mut breaks = 0;
        for token in tokens {
            match self.kind(token) {
                TokenKind::Newline => {
                    breaks += 1;
                    let begins = self.lines.len() == first;
                    if breaks > 1 && !begins && !matches!(self.lines.last(), Some(Line::Blank)) {
                        self.lines.push(Line::Blank);
                    }
                }
                kind if kind.is_comment() => {
                    let comment = self.comment(token);
                    // Behind the `{` of a block the line before the last is meant.
                    let back = if matches!(self.lines.last(), Some(Line::Open)) { 2 } else { 1 };
                    let line = self.lines.len().checked_sub(back).and_then(|line| self.lines.get_mut(line));
                    match line {
                        Some(Line::Row(row)) if breaks == 0 && row.comment.is_none() => {
                            row.comment = Some(comment)
                        }
                        _ => self.lines.push(Line::Comment { indent, text: comment }),
                    }
                    breaks = 0;
                }
                _ => {}
            }
        }
    }

    /// A statement; answers the token after it.
    fn statement(&mut self, node: usize, indent: usize, start: usize, end: usize) -> usize {
        let kind = self.tree.nodes[node].kind;
        let laid_out = match kind {
            NodeKind::Broken => None,
            NodeKind::Block => return self.block(node, indent, start, end),
            _ => self.simple(node, indent, start, end),
        };
        match laid_out {
            Some(row) => {
                self.lines.push(Line::Row(row));
                end
            }
            None => self.verbatim(start, end),
        }
    }

    /// Keeps the lines as they are, with their indentation and the comment behind them.
    fn verbatim(&mut self, mut start: usize, mut end: usize) -> usize {
        // Another statement may stand before it on its line.
        if let Some(space) = start.checked_sub(1)
            && self.kind(space) == TokenKind::Space
            && (space == 0 || self.kind(space - 1) == TokenKind::Newline)
            && !self.slice(space).starts_with('\u{feff}')
        {
            start = space;
        }
        let mut next = end;
        while next < self.tree.tokens.len() && self.kind(next) == TokenKind::Space {
            next += 1;
        }
        if next < self.tree.tokens.len() && self.kind(next).is_comment() {
            end = next + 1;
        }
        // Carriage returns would become part of the line breaks after them.
        let text: String = (start..end)
            .map(|token| match self.kind(token) {
                TokenKind::Newline => "\n".to_owned(),
                TokenKind::Space => self.slice(token).replace('\r', " "),
                _ => self.slice(token).to_owned(),
            })
            .collect();
        self.lines.push(Line::Verbatim(text));
        end
    }

    fn simple(&self, node: usize, indent: usize, start: usize, end: usize) -> Option<Row> {
        let sort = match self.tree.nodes[node].kind {
            NodeKind::Param => Sort::Param,
            NodeKind::Binding => Sort::Binding,
            NodeKind::Setting => Sort::Setting,
            NodeKind::Let => Sort::Let,
            NodeKind::Log => Sort::Log,
            _ => Sort::Other,
        };
        let layout = Layout::new(self.text, &self.tree.tokens, start..end);
        let (lines, cells) = layout.statement(indent, sort)?;
        Some(Row { indent, sort, cells, lines, comment: None })
    }

    fn block(&mut self, node: usize, indent: usize, start: usize, end: usize) -> usize {
        let tree = self.tree;
        let Some(header) =
            tree.children(node).next().filter(|child| tree.nodes[*child].kind == NodeKind::Header)
        else {
            return self.verbatim(start, end);
        };
        let header_end = tree.nodes[header].tokens.end as usize;
        let open = (header_end..end).find(|token| !self.kind(*token).is_trivia());
        let Some(open) = open.filter(|open| self.slice(*open) == "{") else {
            return self.verbatim(start, end);
        };
        // The last token may be the `}` of something inside of a block that is never closed.
        let inside = tree.children(node).any(|child| tree.nodes[child].tokens.end as usize == end);
        let closed =
            self.slice(end - 1) == "}" && self.kind(end - 1) == TokenKind::Sign && end - 1 > open && !inside;
        if !closed || (start..open).any(|token| self.kind(token).is_comment()) {
            return self.verbatim(start, end);
        }
        let layout = Layout::new(self.text, &tree.tokens, start..header_end);
        let sort = if self.slice(start) == "arm" { Sort::Arm } else { Sort::Other };
        let Some((_, mut cells)) = layout.statement(indent, sort) else { return self.verbatim(start, end) };
        let body = open + 1..end - 1;
        let empty =
            body.clone().all(|token| matches!(self.kind(token), TokenKind::Space | TokenKind::Newline));
        if empty {
            cells.push("{}".to_owned());
            let lines = vec![cells.join(" ")];
            self.lines.push(Line::Row(Row { indent, sort, cells, lines, comment: None }));
            return end;
        }
        // One setting in the braces of one line stays there, if there is room.
        let children: Vec<usize> = tree.children(node).skip(1).collect();
        let one_line = body
            .clone()
            .all(|token| self.kind(token) != TokenKind::Newline && !self.kind(token).is_comment());
        if let ([child], true) = (children.as_slice(), one_line)
            && tree.nodes[*child].kind != NodeKind::Broken
        {
            let range = tree.nodes[*child].tokens.clone();
            let inner = self.simple(*child, 0, range.start as usize, range.end as usize);
            if let Some(Row { lines, .. }) = inner
                && let [line] = lines.as_slice()
            {
                let mut with = cells.clone();
                with.push(format!("{{ {line} }}"));
                let joined =
                    with.iter().filter(|cell| !cell.is_empty()).cloned().collect::<Vec<_>>().join(" ");
                if indent + joined.chars().count() <= WIDTH {
                    self.lines.push(Line::Row(Row {
                        indent,
                        sort,
                        cells: with,
                        lines: vec![joined],
                        comment: None,
                    }));
                    return end;
                }
            }
        }
        let joined = cells.iter().filter(|cell| !cell.is_empty()).cloned().collect::<Vec<_>>().join(" ");
        self.lines.push(Line::Row(Row::plain(indent, format!("{joined} {{"))));
        self.lines.push(Line::Open);
        self.statements(node, body, indent + 2);
        self.lines.push(Line::Row(Row::plain(indent, "}".to_owned())));
        end
    }
}
