//! Why a statement is refused: what stands at its beginning, its brackets, its tokens.
//!
//! The grammar says only where it stopped. The functions here look at what is there, and say what is
//! missing, with an edit where there is one; [`values`] goes through the inside of a statement.

mod statements;
mod values;

pub(crate) use values::Explainer;

use crate::ast::BindingKind;
use crate::lower::{Inside, Lower};
use crate::structure::{BLOCKS, Block, DEPTH, INNER, Problem, Statement, is_top_keyword};
use crate::tree::TokenKind;
use zoo_diagnostics::{Diagnostic, codes, similar};

/// A token that cannot stand anywhere.
pub(crate) fn bad_token(lower: &Lower<'_>, token: usize) -> Diagnostic {
    let (span, text) = (lower.token_span(token), lower.slice(token));
    if lower.tokens[token].kind == TokenKind::UnclosedText {
        // What follows a text on its line is seldom meant to belong to it.
        let trimmed = text.trim_end_matches([' ', '\t', ')', ']', '}', ',', '{']).trim_end();
        let end = lower.file.span(span.start as usize + trimmed.len()..span.start as usize + trimmed.len());
        let begin = lower.file.span(span.start as usize..span.start as usize + 1);
        let diagnostic =
            Diagnostic::error(codes::UNCLOSED_TEXT, "the text is never closed").primary(begin, "begins here");
        if trimmed == "\"" {
            return diagnostic
                .note("quotes are paired from the left: is one missing, or one too many, before it?");
        }
        return diagnostic.help_edit("a text ends with a quote on the same line", end, "\"");
    }
    let before = token.checked_sub(1).map(|token| lower.tokens[token].kind);
    let previous = (0..token).rev().find(|token| !lower.tokens[*token].kind.is_trivia());
    let error = |code, headline: String, label: &str| Diagnostic::error(code, headline).primary(span, label);
    let operator = |instead: &str| {
        error(codes::UNKNOWN_OPERATOR, format!("there is no operator `{text}`"), "unknown operator")
            .help_edit(format!("write `{instead}`"), span, instead)
    };
    match text {
        "&&" | "&" => operator("and"),
        "||" | "|" => operator("or"),
        "!" => operator("not "),
        "^" => error(codes::UNKNOWN_OPERATOR, "there is no operator `^`".to_owned(), "unknown operator")
            .note("operators are `+ - * /`, comparisons, `and`, `or` and `not`"),
        "%" if before == Some(TokenKind::Space)
            && previous.is_some_and(|token| lower.tokens[token].kind == TokenKind::Number) =>
        {
            let gap = previous.map_or(span, |token| lower.token_span(token).after().to(span.before()));
            error(codes::BAD_NUMBER, "`%` stands apart from its number".to_owned(), "belongs to the number")
                .help_edit("leave out the space", gap, "")
        }
        "%" => error(codes::UNKNOWN_OPERATOR, "there is no operator `%`".to_owned(), "unknown operator")
            .note("`%` belongs to a number: `15%`"),
        "#" => error(codes::UNKNOWN_CHARACTER, "`#` begins no comment".to_owned(), "no meaning here")
            .help_edit("comments begin with `//`", span, "//"),
        "'" => {
            let diagnostic = error(
                codes::UNKNOWN_CHARACTER,
                "texts stand in double quotes".to_owned(),
                "not a quote here",
            );
            let line = &lower.text[span.end() as usize..];
            let line = line.split(['\n', '\r']).next().unwrap_or("");
            match line.find('\'') {
                Some(len) if !line[..len].contains(['"', '\\']) => {
                    let end = span.end() as usize + len;
                    let close = lower.file.span(end..end + 1);
                    let edit = |span| zoo_diagnostics::Edit { span, replacement: "\"".to_owned() };
                    diagnostic.help_edits("write", vec![edit(span), edit(close)])
                }
                _ => diagnostic,
            }
        }
        ";" => error(codes::UNKNOWN_CHARACTER, "`;` has no meaning".to_owned(), "not needed")
            .note("a statement ends with its line; values are separated by `,`"),
        _ => {
            let shown: String = text.chars().flat_map(char::escape_debug).collect();
            let diagnostic = error(
                codes::UNKNOWN_CHARACTER,
                format!("`{shown}` has no meaning here"),
                "unknown character",
            );
            if text.chars().all(char::is_alphabetic) {
                diagnostic.note("names have the letters a to z and A to Z, digits and `_`")
            } else {
                diagnostic
            }
        }
    }
}

fn closer_of(opener: &str) -> &'static str {
    match opener {
        "(" => ")",
        "[" => "]",
        _ => "}",
    }
}

/// Something wrong with a statement's brackets.
pub(crate) fn problem(lower: &Lower<'_>, problem: Problem, statement: &Statement) -> Diagnostic {
    match problem {
        Problem::Unclosed { opener, found } => {
            let (text, span) = (lower.slice(opener), lower.token_span(opener));
            let closer = closer_of(text);
            if let Some(found) = found {
                let place = lower.token_span(found);
                let wrong = lower.slice(found);
                return Diagnostic::error(
                    codes::UNCLOSED_BRACKET,
                    format!("`{text}` is closed by `{wrong}`"),
                )
                .primary(place, format!("expected `{closer}`"))
                .secondary(span, "opened here")
                .help(format!("close it with `{closer}`, or take out one of the two"));
            }
            let end = lower.span(&statement.tokens).after();
            Diagnostic::error(codes::UNCLOSED_BRACKET, format!("this `{text}` is never closed"))
                .primary(span, "opened here")
                .help_edit(format!("close it with `{closer}`"), end, closer)
        }
        Problem::Stray(token) => {
            let text = lower.slice(token);
            Diagnostic::error(codes::STRAY_CLOSER, format!("this `{text}` closes nothing"))
                .primary(lower.token_span(token), "nothing is open here")
                .help_edit("take it out", lower.token_span(token), "")
        }
        Problem::TooDeep(token) => {
            let what = match lower.slice(token) {
                "if" => "`if`",
                "-" | "not" => "signs",
                _ => "brackets",
            };
            Diagnostic::error(codes::NESTED_TOO_DEEPLY, format!("{what} are nested more than {DEPTH} deep"))
                .primary(lower.token_span(token), "one too many")
                .help("give the inner parts names of their own")
        }
    }
}

/// A block whose `}` is missing.
pub(crate) fn unclosed_block(lower: &Lower<'_>, statement: &Statement, block: &Block) -> Diagnostic {
    let word = lower.slice(statement.head.start);
    let end = lower.span(&statement.tokens).after();
    let next =
        (statement.tokens.end..lower.tokens.len()).find(|token| !lower.tokens[*token].kind.is_trivia());
    let mut diagnostic =
        Diagnostic::error(codes::UNCLOSED_BLOCK, format!("the block of this `{word}` is never closed"))
            .primary(lower.token_span(block.open), "opened here");
    if let Some(next) = next {
        diagnostic = diagnostic.secondary(lower.token_span(next), "the next statement begins here");
    }
    diagnostic.help_edit("close it", end, "\n}")
}

/// A block statement without its `{`.
pub(crate) fn missing_block(lower: &Lower<'_>, statement: &Statement) -> Diagnostic {
    let word = lower.slice(statement.head.start);
    let explainer = Explainer::new(lower, statement.head.clone());
    if let Some(diagnostic) = explainer.header(word) {
        return diagnostic;
    }
    let end = lower.span(&statement.head).after();
    Diagnostic::error(codes::MISSING_BLOCK, format!("this `{word}` has no block"))
        .primary(lower.span(&statement.head), "expected `{` after it")
        .help_edit("a block may be empty", end, " {}")
}

/// A statement that does not begin as one does. Also gives the keyword that may have been meant.
pub(crate) fn beginning(
    lower: &Lower<'_>,
    statement: &Statement,
    inside: Option<Inside>,
) -> (Diagnostic, Option<&'static str>) {
    let head = statement.head.start;
    let (span, word) = (lower.token_span(head), lower.slice(head));
    if lower.tokens[head].kind != TokenKind::Word {
        return (no_word(lower, head, inside), None);
    }
    let second = statement.head.clone().skip(1).find(|token| !lower.tokens[*token].kind.is_trivia());
    let assignment = second.is_some_and(|token| matches!(lower.slice(token), "=" | "."));
    let misplaced = |headline: String, label: &str| {
        Diagnostic::error(codes::MISPLACED_STATEMENT, headline).primary(span, label)
    };
    if !assignment || INNER.contains(&word) && inside.is_none() {
        if INNER.contains(&word) {
            let home = if matches!(word, "let" | "log" | "loss") { "a step" } else { "a claim" };
            return (misplaced(format!("`{word}` stands in {home}"), "not possible here"), None);
        }
        if inside.is_some() && is_top_keyword(word) {
            let diagnostic =
                misplaced(format!("`{word}` stands at the top of the file"), "not possible in a block")
                    .help("move it out of the block; or is a `}` missing above it?");
            return (diagnostic, None);
        }
    }
    let diagnostic = match inside {
        None if assignment => {
            let diagnostic =
                misplaced(format!("`{word}` is set outside of a block"), "a setting stands in a block");
            let block = if word == "title" || word == "arxiv" { "paper" } else { "phase, arm or profile" };
            diagnostic
                .help(format!("put it into the block of a {block}, or declare it: `param {word} : TYPE = …`"))
        }
        Some(Inside::Step) if assignment && similar(word, ["loss"]).is_none() => misplaced(
            format!("`{word}` is set in a step"),
            "a value gets its name with `let`",
        )
        .help_edit("declare it", span.before(), "let "),
        _ => return misspelt(lower, statement, inside),
    };
    (diagnostic, None)
}

/// A statement that begins with something else than a word.
fn no_word(lower: &Lower<'_>, token: usize, inside: Option<Inside>) -> Diagnostic {
    let (span, text) = (lower.token_span(token), lower.slice(token));
    if text == "{" {
        return Diagnostic::error(codes::UNKNOWN_BLOCK, "a block has no name")
            .primary(span, "whose block is this?");
    }
    let wanted = match inside {
        None => "`param`, `model` or `phase`",
        Some(Inside::Step) => "`let`, `log` or `loss`",
        Some(Inside::Claim) => "`require`, `over` or `holding`",
        Some(Inside::Settings) => "`steps` of `steps = 100 steps`",
    };
    Diagnostic::error(codes::UNREADABLE, format!("no statement begins with `{text}`"))
        .primary(span, format!("expected a word such as {wanted}"))
        .note("if it belongs to the line above: a statement goes on over several lines only inside brackets")
}

fn misspelt(
    lower: &Lower<'_>,
    statement: &Statement,
    inside: Option<Inside>,
) -> (Diagnostic, Option<&'static str>) {
    let head = statement.head.start;
    let (span, word) = (lower.token_span(head), lower.slice(head));
    let bindings = BindingKind::ALL.map(BindingKind::keyword);
    let top: Vec<&'static str> = ["param", "use", "mlm"].into_iter().chain(bindings).chain(BLOCKS).collect();
    let candidates: Vec<&'static str> = match inside {
        None if statement.block.is_some() => BLOCKS.to_vec(),
        None => top,
        Some(Inside::Step) => vec!["let", "log", "loss"],
        Some(Inside::Claim) => vec!["require", "over", "holding", "stop", "source", "profiles"],
        Some(Inside::Settings) => Vec::new(),
    };
    let near = similar(word, candidates.iter().copied());
    if inside.is_none() && statement.block.is_some() && near.is_none() {
        let diagnostic = Diagnostic::error(codes::UNKNOWN_BLOCK, format!("there is no block `{word}`"))
            .primary(span, "unknown block");
        let kind = BindingKind::from_keyword(word.trim_end_matches('s'))
            .or_else(|| similar(word, bindings).and_then(BindingKind::from_keyword));
        return match kind {
            Some(kind) => {
                let keyword = kind.keyword();
                (
                    diagnostic.help(format!("a {keyword} is bound: `{keyword} NAME = COMPONENT(…)`")),
                    Some(keyword),
                )
            }
            None => (diagnostic.note(format!("blocks are {}", listed(&BLOCKS))), None),
        };
    }
    let place = match inside {
        None => "statement",
        Some(Inside::Step) => "statement of a step",
        Some(Inside::Claim) => "statement of a claim",
        Some(Inside::Settings) => "setting",
    };
    let diagnostic = Diagnostic::error(codes::MISSPELT_KEYWORD, format!("`{word}` begins no {place}"))
        .primary(span, "unknown word");
    match near {
        Some(near) => (diagnostic.help_edit(format!("did you mean `{near}`?"), span, near), Some(near)),
        None => (diagnostic.note(format!("a {place} begins with {}", listed(&candidates))), None),
    }
}

fn listed(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => format!("`{one}`"),
        [most @ .., last] => {
            let most: Vec<String> = most.iter().map(|word| format!("`{word}`")).collect();
            format!("{} or `{last}`", most.join(", "))
        }
    }
}
