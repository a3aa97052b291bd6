//! The recipe language: its grammar, its lossless tree, and the typed view of a recipe.
//!
//! [`parse`] never fails and never panics: it gives a tree that holds every byte, a view in which what
//! could not be read is marked as broken, and the errors, several in one pass, each with the reason at
//! the place.

pub mod ast;
mod explain;
mod grammar;
mod lower;
mod structure;
mod tokens;
pub mod tree;
mod view;

pub use ast::Recipe;
pub use tree::Tree;
pub use zoo_diagnostics::{Diagnostic, FileId, Span};

use lower::Lower;
use std::ops::Range;
use tree::{Node, NodeKind, Token, TokenKind};
use zoo_diagnostics::codes;

/// A recipe may have this many bytes.
pub const MAXIMUM_SIZE: usize = 1024 * 1024;

/// What parsing gives.
#[derive(Clone, Debug)]
pub struct Parse {
    /// Every byte of the input.
    pub tree: Tree,
    /// The typed view.
    pub recipe: Recipe,
    /// Errors in the order of the file.
    pub diagnostics: Vec<Diagnostic>,
}

/// Parses a recipe. `file` is the text's number in [`zoo_diagnostics::Sources`].
///
/// Takes time in proportion to the text's length. A text of more than [`MAXIMUM_SIZE`] is refused: its
/// tree is one token.
pub fn parse(file: FileId, text: &str) -> Parse {
    if text.len() > MAXIMUM_SIZE {
        return too_large(file, text);
    }
    let tokens = tokens::tokens(text, 0);
    let statements = structure::statements(text, &tokens);
    let mut lower = Lower { file, text, tokens: &tokens, nodes: Vec::new(), diagnostics: Vec::new() };
    let recipe = lower.recipe(&statements);
    let Lower { nodes, mut diagnostics, .. } = lower;
    diagnostics.sort_by_key(|diagnostic| diagnostic.span().map(|span| span.start));
    Parse { tree: Tree { tokens, nodes }, recipe, diagnostics }
}

fn too_large(file: FileId, text: &str) -> Parse {
    let len = u32::try_from(text.len()).unwrap_or(u32::MAX);
    let tree = Tree {
        tokens: vec![Token { kind: TokenKind::Unknown, start: 0, len }],
        nodes: vec![Node { kind: NodeKind::Recipe, tokens: 0..1, end: 1 }],
    };
    let diagnostic = Diagnostic::error(
        codes::FILE_TOO_LARGE,
        format!(
            "the file has {:.1} MiB, and a recipe has at most 1 MiB",
            text.len() as f64 / MAXIMUM_SIZE as f64
        ),
    )
    .primary(file.span(0..0), "too large from here on")
    .help("is this a data file? A recipe names it with `asset(\"file:…\")`");
    Parse {
        tree,
        recipe: Recipe { items: Vec::new(), span: file.span(0..text.len()) },
        diagnostics: vec![diagnostic],
    }
}

/// Parses one setting, `path = value`, that stands at `range` of a text: what follows `--set` on the
/// command line. Spans point into the whole text.
///
/// # Errors
/// When it is no setting: what is wrong with it.
pub fn parse_setting(file: FileId, text: &str, range: Range<usize>) -> Result<ast::Setting, Vec<Diagnostic>> {
    let Some(part) = text.get(range.clone()).filter(|part| part.len() <= MAXIMUM_SIZE) else {
        return Err(vec![
            Diagnostic::error(codes::FILE_TOO_LARGE, "the setting is too long")
                .primary(file.span(range), "this one"),
        ]);
    };
    let tokens = tokens::tokens(part, range.start);
    let mut lower = Lower { file, text, tokens: &tokens, nodes: Vec::new(), diagnostics: Vec::new() };
    match lower.single(&structure::statements(text, &tokens), range) {
        Some(setting) if lower.diagnostics.is_empty() => Ok(setting),
        _ => Err(lower.diagnostics),
    }
}
