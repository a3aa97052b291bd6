//! Cuts a file into statements and blocks, by lines and brackets alone.
//!
//! A statement ends at its line unless a bracket is open. A bracket that nothing closes would swallow
//! the rest of the file; it ends where a line begins as only a statement can. So one slip costs one
//! statement.

use crate::ast::BindingKind;
use crate::tokens::RESERVED;
use crate::tree::{Token, TokenKind};
use std::ops::Range;

/// Brackets may be nested this deep, and `if` this often in one value.
pub(crate) const DEPTH: usize = 64;

/// Statements with a block.
pub(crate) const BLOCKS: [&str; 7] = ["paper", "step", "phase", "rl", "arm", "profile", "claim"];

/// Statements of blocks that begin with a word of their own.
pub(crate) const INNER: [&str; 7] = ["let", "log", "loss", "require", "over", "holding", "stop"];

/// Whether a statement at the top begins with the word.
pub(crate) fn is_top_keyword(word: &str) -> bool {
    matches!(word, "mlm" | "use" | "param")
        || BLOCKS.contains(&word)
        || BindingKind::from_keyword(word).is_some()
}

/// A statement or block. Ranges are of tokens; they begin and end with tokens that are no trivia.
#[derive(Debug)]
pub(crate) struct Statement {
    /// The lines of `///` directly above; may be empty.
    pub(crate) docs: Range<usize>,
    /// All of it, block included.
    pub(crate) tokens: Range<usize>,
    /// What stands before the `{` of a block; everything where there is none.
    pub(crate) head: Range<usize>,
    /// The block, if there is one.
    pub(crate) block: Option<Block>,
    /// What is wrong with lines or brackets.
    pub(crate) problem: Option<Problem>,
}

/// What stands in braces.
#[derive(Debug)]
pub(crate) struct Block {
    /// The `{`.
    pub(crate) open: usize,
    /// The `}`, if it is there.
    pub(crate) close: Option<usize>,
    /// Its statements.
    pub(crate) body: Vec<Statement>,
    /// What stands behind the `}` on its line and is no statement; may be empty.
    pub(crate) stray: Range<usize>,
    /// The statement that begins behind the `}` on its line, if one does.
    pub(crate) crowded: Option<usize>,
    /// Whether the `{` stands on a line of its own.
    pub(crate) late: bool,
}

/// Something wrong with brackets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// The bracket is not closed before the token that follows.
    Unclosed {
        /// The bracket.
        opener: usize,
        /// A closing bracket of another kind, where there is one.
        found: Option<usize>,
    },
    /// The closing bracket closes nothing.
    Stray(usize),
    /// The bracket (or `if`, or sign) is one too deep.
    TooDeep(usize),
}

/// Where statements stand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Top,
    Block,
}

/// Cuts the tokens into statements.
pub(crate) fn statements(text: &str, tokens: &[Token]) -> Vec<Statement> {
    let mut cutter = Cutter { text, tokens, at: 0 };
    cutter.statements(Place::Top)
}

struct Cutter<'a> {
    text: &'a str,
    tokens: &'a [Token],
    at: usize,
}

/// What reading to a statement's end finds.
struct Scan {
    /// Token after its last one.
    end: usize,
    /// The `{` of its block.
    open: Option<usize>,
    problem: Option<Problem>,
}

impl<'a> Cutter<'a> {
    fn slice(&self, token: usize) -> &'a str {
        self.tokens.get(token).and_then(|token| self.text.get(token.range())).unwrap_or("")
    }

    fn kind(&self, token: usize) -> Option<TokenKind> {
        self.tokens.get(token).map(|token| token.kind)
    }

    fn is_sign(&self, token: usize, sign: &str) -> bool {
        self.kind(token) == Some(TokenKind::Sign) && self.slice(token) == sign
    }

    /// The next token from `token` on that is neither space nor comment; a line break counts.
    fn on_line(&self, mut token: usize) -> usize {
        while matches!(self.kind(token), Some(TokenKind::Space | TokenKind::Comment | TokenKind::DocComment))
        {
            token += 1;
        }
        token
    }

    /// The next token from `token` on that is no trivia.
    fn significant(&self, mut token: usize) -> usize {
        while self.kind(token).is_some_and(TokenKind::is_trivia) {
            token += 1;
        }
        token
    }

    fn at_line_start(&self, token: usize) -> bool {
        token == 0 || self.kind(token - 1) == Some(TokenKind::Newline)
    }

    /// Whether the line begins as only a statement can: a keyword and a word or text.
    fn begins_statement(&self, token: usize, inner: bool) -> bool {
        if self.kind(token) != Some(TokenKind::Word) {
            return false;
        }
        let word = self.slice(token);
        let next = self.on_line(token + 1);
        let follows = match self.kind(next) {
            Some(TokenKind::Word) => !RESERVED.contains(&self.slice(next)),
            Some(TokenKind::Text | TokenKind::UnclosedText) => true,
            Some(TokenKind::Number) => matches!(word, "mlm" | "over"),
            _ => false,
        };
        follows && (is_top_keyword(word) || inner && INNER.contains(&word))
    }

    /// Whether the line looks like a setting: `path =`.
    fn looks_like_setting(&self, mut token: usize) -> bool {
        loop {
            if self.kind(token) != Some(TokenKind::Word) {
                return false;
            }
            token = self.on_line(token + 1);
            if self.is_sign(token, "=") {
                return true;
            }
            if !self.is_sign(token, ".") {
                return false;
            }
            token = self.on_line(token + 1);
        }
    }

    fn statements(&mut self, place: Place) -> Vec<Statement> {
        let mut list = Vec::new();
        loop {
            let docs = self.docs();
            if self.at >= self.tokens.len() {
                return list;
            }
            if place == Place::Block
                && (self.is_sign(self.at, "}")
                    || self.at_line_start(self.at) && self.begins_statement(self.at, false))
            {
                return list;
            }
            let mut statement = self.statement(place);
            statement.docs = docs;
            list.push(statement);
        }
    }

    /// Goes to the next token that is no trivia; the doc comments directly above it.
    fn docs(&mut self) -> Range<usize> {
        let mut docs = self.at..self.at;
        let mut breaks = 0;
        while let Some(kind) = self.kind(self.at).filter(|kind| kind.is_trivia()) {
            match kind {
                TokenKind::Newline => breaks += 1,
                TokenKind::DocComment => {
                    if docs.is_empty() || breaks > 1 {
                        docs.start = self.at;
                    }
                    docs.end = self.at + 1;
                    breaks = 0;
                }
                TokenKind::Comment => breaks = 0,
                _ => {}
            }
            self.at += 1;
        }
        if breaks > 1 { self.at..self.at } else { docs }
    }

    fn statement(&mut self, place: Place) -> Statement {
        let start = self.at;
        let blocky = place == Place::Top && self.has_block(start);
        let scan = self.scan(start, blocky, place);
        self.at = scan.end.max(start + 1);
        let head = start..self.last_significant(start, self.at) + 1;
        let mut statement =
            Statement { docs: start..start, tokens: head.clone(), head, block: None, problem: scan.problem };
        let mut open = scan.open;
        let mut late = false;
        if blocky && open.is_none() && scan.problem.is_none() {
            // A `{` on the next line is meant for this block.
            let next = self.significant(self.at);
            if self.is_sign(next, "{") {
                open = Some(next);
                late = true;
            }
        }
        if let Some(open) = open {
            self.at = open + 1;
            let body = self.statements(Place::Block);
            let close = self.is_sign(self.at, "}").then_some(self.at);
            let last = close.unwrap_or_else(|| self.last_significant(open, self.at));
            statement.tokens.end = last + 1;
            let mut stray = last + 1..last + 1;
            let mut crowded = None;
            if close.is_some() {
                self.at += 1;
                let next = self.on_line(self.at);
                let ends = matches!(self.kind(next), None | Some(TokenKind::Newline));
                if !ends && !self.begins_statement(next, false) {
                    let mut end = next;
                    while !matches!(self.kind(end), None | Some(TokenKind::Newline)) {
                        end += 1;
                    }
                    stray = next..self.last_significant(next, end) + 1;
                    statement.tokens.end = stray.end;
                    self.at = end;
                } else if !ends {
                    crowded = Some(next);
                }
            }
            statement.block = Some(Block { open, close, body, stray, crowded, late });
        }
        statement
    }

    /// The last token before `end`, from `start` on, that is no trivia.
    fn last_significant(&self, start: usize, end: usize) -> usize {
        (start..end)
            .rev()
            .find(|token| self.kind(*token).is_some_and(|kind| !kind.is_trivia()))
            .unwrap_or(start)
    }

    /// Whether a statement at the top has a block: its keyword says so, or nobody knows the keyword and
    /// there is a `{` before any `=`.
    fn has_block(&self, start: usize) -> bool {
        if self.kind(start) != Some(TokenKind::Word) {
            return false;
        }
        let word = self.slice(start);
        if BLOCKS.contains(&word) {
            return !self.is_sign(self.on_line(start + 1), "=");
        }
        if is_top_keyword(word) || INNER.contains(&word) {
            return false;
        }
        let mut token = start + 1;
        loop {
            match self.kind(token) {
                None | Some(TokenKind::Newline) => return false,
                Some(TokenKind::Sign) => match self.slice(token) {
                    "{" => return true,
                    "=" => return false,
                    _ => {}
                },
                _ => {}
            }
            token += 1;
        }
    }

    /// Reads to the end of the statement that begins at `start`.
    fn scan(&self, start: usize, blocky: bool, place: Place) -> Scan {
        let mut stack: Vec<(char, usize)> = Vec::new();
        let mut problem = None;
        // Where the statement ends if its bracket is never closed.
        let mut fallback = None;
        let mut deep = 0;
        let mut ifs = 0;
        let mut prefixes = 0;
        let mut previous = "";
        let mut token = start;
        while let Some(kind) = self.kind(token) {
            let text = self.slice(token);
            match kind {
                TokenKind::Newline => {
                    if stack.is_empty() {
                        return Scan { end: token, open: None, problem };
                    }
                    let next = self.significant(token);
                    if self.begins_statement(next, true) {
                        fallback.get_or_insert(token);
                        break;
                    }
                    if self.looks_like_setting(next) {
                        fallback.get_or_insert(token);
                    }
                    // Blank lines and comments are looked at once.
                    token = next.max(token + 1);
                    continue;
                }
                kind if kind.is_trivia() => {}
                TokenKind::Word if text == "if" => {
                    ifs += 1;
                    if ifs > DEPTH {
                        problem.get_or_insert(Problem::TooDeep(token));
                    }
                }
                TokenKind::Sign => match text {
                    "{" if blocky && stack.is_empty() => {
                        return Scan { end: token, open: Some(token), problem };
                    }
                    "(" | "[" | "{" => {
                        // The round bracket of `(0%, 50%]` may end square, and the other way round.
                        let kind = if previous == "in" { 'r' } else { text.chars().next().unwrap_or('(') };
                        if stack.len() < DEPTH {
                            stack.push((kind, token));
                        } else {
                            deep += 1;
                            problem.get_or_insert(Problem::TooDeep(token));
                        }
                    }
                    ")" | "]" | "}" if deep > 0 => deep -= 1,
                    ")" | "]" | "}" => {
                        let fits = |kind: char| match text {
                            ")" => matches!(kind, '(' | 'r'),
                            "]" => matches!(kind, '[' | 'r'),
                            _ => kind == '{',
                        };
                        match stack.last().copied() {
                            Some((kind, _)) if fits(kind) => {
                                stack.pop();
                            }
                            Some((_, opener)) => {
                                if text == "}"
                                    && place == Place::Block
                                    && !stack.iter().any(|(k, _)| *k == '{')
                                {
                                    let problem = problem.or(Some(Problem::Unclosed { opener, found: None }));
                                    return Scan { end: fallback.unwrap_or(token), open: None, problem };
                                }
                                problem.get_or_insert(Problem::Unclosed { opener, found: Some(token) });
                                // Either inner brackets lack their partner, or this one is of the wrong kind.
                                if stack.iter().any(|(kind, _)| fits(*kind)) {
                                    while stack.pop().is_some_and(|(kind, _)| !fits(kind)) {}
                                } else {
                                    stack.pop();
                                }
                            }
                            None if text == "}" && place == Place::Block => {
                                return Scan { end: token, open: None, problem };
                            }
                            None => {
                                problem.get_or_insert(Problem::Stray(token));
                            }
                        }
                    }
                    _ => {}
                },
                _ => {}
            }
            if !kind.is_trivia() {
                if text == "-" || text == "not" {
                    prefixes += 1;
                    if prefixes > DEPTH {
                        problem.get_or_insert(Problem::TooDeep(token));
                    }
                } else {
                    prefixes = 0;
                }
                previous = text;
            }
            token += 1;
        }
        let Some((_, opener)) = stack.last().copied() else {
            return Scan { end: token, open: None, problem };
        };
        let end = match problem {
            // What is too deep is passed over whole, so that it is read once.
            Some(Problem::TooDeep(_)) => token,
            _ => fallback.unwrap_or(token),
        };
        Scan { end, open: None, problem: problem.or(Some(Problem::Unclosed { opener, found: None })) }
    }
}
