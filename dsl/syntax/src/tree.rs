//! The lossless tree: every byte of the input is in exactly one token, and nodes are ranges of tokens.
//!
//! It is flat: `Tree::nodes` holds the nodes in pre-order, so a node's descendants follow it directly.

use std::ops::Range;

/// Kinds of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// Spaces and tabs, and carriage returns that end no line.
    Space,
    /// One line break, `\n` or `\r\n`.
    Newline,
    /// `// …` without the line break.
    Comment,
    /// `/// …` without the line break.
    DocComment,
    /// A keyword, a name, or a unit.
    Word,
    /// Digits with what is attached: `15%`, `5e-4`, `10k`.
    Number,
    /// A text with its quotes.
    Text,
    /// A text whose closing quote is missing; goes to the end of the line.
    UnclosedText,
    /// `= : , . ( ) [ ] { } + - * / == != < <= > >=`
    Sign,
    /// Something that has no meaning.
    Unknown,
}

impl TokenKind {
    /// Whether it only separates: spaces, line breaks and comments.
    pub fn is_trivia(self) -> bool {
        matches!(self, Self::Space | Self::Newline | Self::Comment | Self::DocComment)
    }

    /// Whether it is a comment of either sort.
    pub fn is_comment(self) -> bool {
        matches!(self, Self::Comment | Self::DocComment)
    }
}

/// A piece of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// First byte.
    pub start: u32,
    /// Length in bytes, at least 1.
    pub len: u32,
}

impl Token {
    /// First byte after it.
    pub fn end(self) -> u32 {
        self.start + self.len
    }

    /// Its bytes.
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end() as usize
    }
}

/// Kinds of nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NodeKind {
    /// The whole file.
    Recipe,
    /// `mlm 1`
    Edition,
    /// `use "…"`
    UseFile,
    /// `use plugin "…"`
    UsePlugin,
    /// `param …`
    Param,
    /// `model disc = …`
    Binding,
    /// A statement with a block: `paper`, `step`, `phase`, `rl`, `arm`, `profile`, `claim`.
    Block,
    /// The part of a block statement before its `{`.
    Header,
    /// `let …`
    Let,
    /// `log …`
    Log,
    /// `loss = …`
    Loss,
    /// `require …`
    Require,
    /// `over …`
    Over,
    /// `holding …`
    Holding,
    /// `stop when decided`
    Stop,
    /// `path = value`
    Setting,
    /// A type.
    Type,
    /// A range after `in`.
    Range,
    /// A selector after `on`.
    Selector,
    /// A value made of several parts.
    Expr,
    /// The arguments of a call, with their parentheses.
    Arguments,
    /// `name: value` or one value in a call.
    Argument,
    /// A list with its brackets.
    List,
    /// A record with its braces.
    Record,
    /// `if … then … else …`
    If,
    /// A number with its unit.
    Number,
    /// A statement or block that could not be read.
    Broken,
}

/// A range of tokens that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// What it is.
    pub kind: NodeKind,
    /// Its tokens, as indices into [`Tree::tokens`]; begins and ends with a token that is no trivia,
    /// except for the file's own node.
    pub tokens: Range<u32>,
    /// Index of the node after its last descendant.
    pub end: u32,
}

/// The lossless tree of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// All of the input, in order and without gaps.
    pub tokens: Vec<Token>,
    /// The nodes in pre-order; the first is the file.
    pub nodes: Vec<Node>,
}

impl Tree {
    /// Indices of a node's children.
    pub fn children(&self, node: usize) -> impl Iterator<Item = usize> + '_ {
        let end = self.nodes.get(node).map_or(0, |node| node.end as usize);
        let mut next = node + 1;
        std::iter::from_fn(move || {
            let child = next;
            if child >= end {
                return None;
            }
            next = self.nodes[child].end as usize;
            Some(child)
        })
    }

    /// The bytes of a node; empty for one without tokens.
    pub fn range(&self, node: usize) -> Range<usize> {
        let Some(node) = self.nodes.get(node) else { return 0..0 };
        let tokens = &self.tokens[node.tokens.start as usize..node.tokens.end as usize];
        match (tokens.first(), tokens.last()) {
            (Some(first), Some(last)) => first.start as usize..last.end() as usize,
            _ => 0..0,
        }
    }

    /// The innermost node that holds a byte.
    pub fn node_at(&self, offset: usize) -> usize {
        let mut node = 0;
        while let Some(child) = self.children(node).find(|child| self.range(*child).contains(&offset)) {
            node = child;
        }
        node
    }
}
