//! The inside of a statement: values, arguments, numbers.

use crate::ast::{Magnitude, Unit};
use crate::lower::Lower;
use crate::structure::{INNER, is_top_keyword};
use crate::tokens::RESERVED;
use crate::tree::TokenKind;
use std::ops::Range;
use zoo_diagnostics::{Diagnostic, Span, codes, similar};

/// What is wrong, if anything.
pub(super) type Explained = Result<(), Diagnostic>;

/// Goes through the tokens of a refused statement as the grammar does, and stops at the first that does
/// not fit. Nested values recurse at most as deep as brackets nest.
pub(crate) struct Explainer<'l, 'a> {
    pub(super) lower: &'l Lower<'a>,
    /// The tokens that are no trivia.
    tokens: Vec<usize>,
    pub(super) at: usize,
    /// The whole statement.
    pub(super) range: Range<usize>,
}

/// What is separated by commas.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Items {
    Arguments,
    Values,
    Fields,
}

impl<'l, 'a> Explainer<'l, 'a> {
    pub(crate) fn new(lower: &'l Lower<'a>, range: Range<usize>) -> Self {
        let tokens = range.clone().filter(|token| !lower.tokens[*token].kind.is_trivia()).collect();
        Self { lower, tokens, at: 0, range }
    }

    pub(super) fn kind(&self) -> Option<TokenKind> {
        self.kind_at(0)
    }

    pub(super) fn text(&self) -> &'a str {
        self.text_at(0)
    }

    /// The statement's first word.
    fn text_first(&self) -> &'a str {
        self.tokens.first().map_or("", |token| self.lower.slice(*token))
    }

    pub(super) fn kind_at(&self, ahead: usize) -> Option<TokenKind> {
        self.tokens.get(self.at + ahead).map(|token| self.lower.tokens[*token].kind)
    }

    pub(super) fn text_at(&self, ahead: usize) -> &'a str {
        self.tokens.get(self.at + ahead).map_or("", |token| self.lower.slice(*token))
    }

    pub(super) fn span_at(&self, ahead: usize) -> Span {
        match self.tokens.get(self.at + ahead) {
            Some(token) => self.lower.token_span(*token),
            None => self.lower.span(&self.range).after(),
        }
    }

    /// The place of the token, or of the end.
    pub(super) fn span(&self) -> Span {
        self.span_at(0)
    }

    /// The place of the token before.
    pub(super) fn before(&self) -> Span {
        match self.at.checked_sub(1).and_then(|at| self.tokens.get(at)) {
            Some(token) => self.lower.token_span(*token),
            None => self.lower.span(&self.range).before(),
        }
    }

    /// The token as messages call it.
    pub(super) fn found(&self) -> String {
        if self.kind().is_none() {
            "the end of the statement".to_owned()
        } else {
            format!("`{}`", self.text())
        }
    }

    pub(super) fn is_word(&self) -> bool {
        self.kind() == Some(TokenKind::Word)
    }

    pub(super) fn is_name(&self) -> bool {
        self.is_word() && !RESERVED.contains(&self.text())
    }

    pub(super) fn take(&mut self, text: &str) -> bool {
        let here = !matches!(self.kind(), None | Some(TokenKind::Text)) && self.text() == text;
        self.at += usize::from(here);
        here
    }

    /// Where the gap before the token is, for insertions.
    pub(super) fn gap(&self) -> Span {
        self.before().after()
    }

    /// A value.
    pub(super) fn value(&mut self) -> Explained {
        loop {
            while self.take("-") || self.take("not") {}
            self.primary()?;
            self.parts()?;
            if !self.operator()? {
                return Ok(());
            }
        }
    }

    /// An operator between two values; whether there is one.
    fn operator(&mut self) -> Result<bool, Diagnostic> {
        let (text, span) = (self.text(), self.span());
        match self.kind() {
            Some(TokenKind::Sign)
                if matches!(text, "+" | "-" | "*" | "/" | "==" | "!=" | "<" | "<=" | ">" | ">=") =>
            {
                self.at += 1;
                // `**`, `<>`, `=>`, `+=`: two signs that are one elsewhere.
                let doubled = span.end() == self.span().start
                    && matches!((text, self.text()), ("*", "*") | ("<", ">") | ("+" | "*" | "/", "=" | "=="));
                if doubled {
                    let both = span.to(self.span());
                    let written = format!("{text}{}", self.text());
                    let diagnostic = Diagnostic::error(
                        codes::UNKNOWN_OPERATOR,
                        format!("there is no operator `{written}`"),
                    )
                    .primary(both, "unknown operator");
                    return Err(match written.as_str() {
                        "<>" => diagnostic.help_edit("write `!=`", both, "!="),
                        "**" => diagnostic.note("a power is a product: `x * x`"),
                        _ => diagnostic.note("operators are `+ - * /`, comparisons, `and`, `or` and `not`"),
                    });
                }
                Ok(true)
            }
            Some(TokenKind::Word) if matches!(text, "and" | "or") => {
                self.at += 1;
                Ok(true)
            }
            Some(TokenKind::Sign) if text == "=" && matches!(self.text_at(1), "<" | ">") => {
                let both = span.to(self.span_at(1));
                let right = if self.text_at(1) == "<" { "<=" } else { ">=" };
                Err(Diagnostic::error(
                    codes::UNKNOWN_OPERATOR,
                    format!("there is no operator `={}`", self.text_at(1)),
                )
                .primary(both, "unknown operator")
                .help_edit(format!("write `{right}`"), both, right))
            }
            _ => Ok(false),
        }
    }

    fn primary(&mut self) -> Explained {
        let (text, span) = (self.text(), self.span());
        match self.kind() {
            Some(TokenKind::Number) => self.number(),
            Some(TokenKind::Text) => {
                self.at += 1;
                Ok(())
            }
            Some(TokenKind::Word) if text == "if" => self.condition(),
            Some(TokenKind::Word) if matches!(text, "true" | "false") || !RESERVED.contains(&text) => {
                self.at += 1;
                if matches!(text, "True" | "False") && !matches!(self.text(), "(" | ".") {
                    let lower = text.to_lowercase();
                    // Not wrong as a name; wrong only if something else is.
                    self.at -= 1;
                    let diagnostic = Diagnostic::error(codes::MISSING_VALUE, format!("`{text}` is no value"))
                        .primary(span, "unknown name")
                        .help_edit(format!("did you mean `{lower}`?"), span, lower.clone());
                    return Err(diagnostic);
                }
                Ok(())
            }
            Some(TokenKind::Sign) => match text {
                "(" => {
                    self.at += 1;
                    self.value()?;
                    if self.text() == "," {
                        return Err(Diagnostic::error(codes::UNREADABLE, "parentheses hold one value")
                            .primary(self.span(), "a second one")
                            .help("a list stands in square brackets: `[a, b]`"));
                    }
                    self.close(")")
                }
                "[" => {
                    self.at += 1;
                    self.items("]", Items::Values)
                }
                "{" => {
                    self.at += 1;
                    self.items("}", Items::Fields)
                }
                "." if self.kind_at(1) == Some(TokenKind::Number) => {
                    Err(Diagnostic::error(codes::BAD_NUMBER, "a number begins with a digit")
                        .primary(span.to(self.span_at(1)), "no digit before the point")
                        .help_edit("write", span.before(), "0"))
                }
                "+" => Err(Diagnostic::error(codes::UNKNOWN_OPERATOR, "a value has no sign `+`")
                    .primary(span, "not needed")
                    .help_edit("leave it out", span, "")),
                _ => Err(self.missing_value()),
            },
            _ => Err(self.missing_value()),
        }
    }

    pub(super) fn missing_value(&self) -> Diagnostic {
        let after = self.before();
        let text = self.lower.text.get(after.range()).unwrap_or("");
        let diagnostic =
            Diagnostic::error(codes::MISSING_VALUE, format!("a value is missing after `{text}`"));
        match self.kind() {
            None => diagnostic
                .primary(after, "nothing follows")
                .note("a statement ends with its line, unless a bracket is open"),
            Some(_) => diagnostic.primary(self.span(), format!("expected a value, found {}", self.found())),
        }
    }

    fn condition(&mut self) -> Explained {
        let start = self.span();
        self.at += 1;
        self.value()?;
        for word in ["then", "else"] {
            if !self.take(word) {
                let mut diagnostic =
                    Diagnostic::error(codes::INCOMPLETE_IF, format!("the `if` has no `{word}`"));
                diagnostic = match self.kind() {
                    None => diagnostic.primary(start, "this one"),
                    Some(_) => diagnostic
                        .primary(self.span(), format!("expected `{word}`"))
                        .secondary(start, "of this `if`"),
                };
                return Err(
                    diagnostic.help("an `if` has both branches: `if CONDITION then VALUE else VALUE`")
                );
            }
            self.value()?;
        }
        Ok(())
    }

    /// Calls, indices and members behind a value.
    fn parts(&mut self) -> Explained {
        loop {
            if self.take("(") {
                self.items(")", Items::Arguments)?;
            } else if self.take("[") {
                if !self.take("*") {
                    if self.text() == "]" {
                        return Err(self.missing_value());
                    }
                    self.value()?;
                }
                if self.text() == "," {
                    return Err(Diagnostic::error(codes::UNREADABLE, "an index is one value")
                        .primary(self.span(), "a second one")
                        .help("is a comma missing before the `[`?"));
                }
                self.close("]")?;
            } else if self.text() == "." && self.kind() == Some(TokenKind::Sign) {
                self.at += 1;
                self.member()?;
            } else {
                return Ok(());
            }
        }
    }

    fn member(&mut self) -> Explained {
        if self.is_name() {
            self.at += 1;
            return Ok(());
        }
        let span = self.span();
        Err(match self.kind() {
            Some(TokenKind::Word) => {
                Diagnostic::error(codes::BAD_NAME, format!("`{}` cannot be a name", self.text()))
                    .primary(span, "a word of the language")
            }
            _ => Diagnostic::error(codes::MISSING_NAME, "a name is missing after `.`")
                .primary(self.before(), format!("expected a name, found {}", self.found())),
        })
    }

    pub(super) fn close(&mut self, closer: &str) -> Explained {
        if self.take(closer) {
            return Ok(());
        }
        self.after_number()?;
        if self.kind().is_none() {
            return Err(Diagnostic::error(codes::UNCLOSED_BRACKET, format!("a `{closer}` is missing"))
                .primary(self.before(), format!("expected `{closer}` after this")));
        }
        Err(Diagnostic::error(codes::UNREADABLE, format!("{} does not fit here", self.found()))
            .primary(self.span(), format!("expected an operator or `{closer}`")))
    }

    fn items(&mut self, closer: &str, items: Items) -> Explained {
        let start = self.before();
        loop {
            if self.take(closer) {
                return Ok(());
            }
            self.item(items)?;
            if self.take(",") || self.text() == closer {
                continue;
            }
            return Err(self.between_items(closer, items, start));
        }
    }

    fn item(&mut self, items: Items) -> Explained {
        let named = self.text_at(1) == ":" && self.kind_at(1) == Some(TokenKind::Sign);
        let equals = self.text_at(1) == "=" && self.is_name();
        let span = self.span();
        if equals && items != Items::Values {
            let gap = span.after().to(self.span_at(2).before());
            let what = if items == Items::Fields { "fields of a record" } else { "arguments" };
            return Err(Diagnostic::error(codes::WRONG_SEPARATOR, format!("{what} are given with `:`"))
                .primary(self.span_at(1), "`=` is for settings and bindings")
                .help_edit("write", gap, ": "));
        }
        if named {
            match self.kind() {
                Some(TokenKind::Text) => {
                    let bare = self.text().trim_matches('"').to_owned();
                    return Err(Diagnostic::error(codes::BAD_NAME, "names stand without quotes")
                        .primary(span, "a text, not a name")
                        .help_edit("write", span, bare));
                }
                Some(TokenKind::Word) if !self.is_name() => {
                    return Err(Diagnostic::error(
                        codes::BAD_NAME,
                        format!("`{}` cannot be a name", self.text()),
                    )
                    .primary(span, "a word of the language"));
                }
                Some(TokenKind::Word) if items == Items::Values => {
                    return Err(Diagnostic::error(codes::UNREADABLE, "the values of a list have no names")
                        .primary(span.to(self.span_at(1)), "not possible in a list")
                        .help("a record has names: `{a: 1}`"));
                }
                Some(TokenKind::Word) => {
                    self.at += 2;
                    return self.value();
                }
                _ => {}
            }
        }
        if items == Items::Fields {
            let diagnostic = if self.is_name() {
                Diagnostic::error(codes::MISSING_VALUE, format!("the field `{}` has no value", self.text()))
                    .primary(span, "expected `: VALUE` after it")
            } else {
                Diagnostic::error(codes::MISSING_NAME, "a field of a record has a name")
                    .primary(span, format!("expected `NAME: VALUE`, found {}", self.found()))
            };
            return Err(diagnostic);
        }
        self.value()
    }

    /// Neither a comma nor the end of the list.
    fn between_items(&mut self, closer: &str, items: Items, start: Span) -> Diagnostic {
        if self.text_at(1) != ":"
            && let Err(diagnostic) = self.after_number()
        {
            return diagnostic;
        }
        let span = self.span();
        match self.kind() {
            None => Diagnostic::error(codes::UNCLOSED_BRACKET, format!("a `{closer}` is missing"))
                .primary(start, "opened here"),
            Some(TokenKind::Word | TokenKind::Number | TokenKind::Text)
                if !matches!(self.text(), "then" | "else" | "in" | "on") =>
            {
                let what = match items {
                    Items::Arguments => "arguments",
                    Items::Values => "values",
                    Items::Fields => "fields",
                };
                Diagnostic::error(codes::MISSING_COMMA, format!("a comma is missing between two {what}"))
                    .primary(span, "the next one begins here")
                    .help_edit("separate them", self.gap(), ",")
            }
            Some(TokenKind::Sign) if matches!(self.text(), "{" | "[") => {
                Diagnostic::error(codes::MISSING_COMMA, "a comma is missing")
                    .primary(span, "the next value begins here")
                    .help_edit("separate them", self.gap(), ",")
            }
            Some(TokenKind::Sign) if self.text() == "=" => {
                Diagnostic::error(codes::UNKNOWN_OPERATOR, "`=` is no operator in a value")
                    .primary(span, "not possible here")
                    .help_edit("two values are compared with `==`", span, "==")
            }
            _ => Diagnostic::error(codes::UNREADABLE, format!("{} does not fit here", self.found()))
                .primary(span, format!("expected `,` or `{closer}`")),
        }
    }

    /// A word behind a number that is no unit.
    pub(super) fn after_number(&mut self) -> Explained {
        let previous = self.at.checked_sub(1).and_then(|at| self.tokens.get(at));
        let number = previous.is_some_and(|token| self.lower.tokens[*token].kind == TokenKind::Number);
        if !number || !self.is_name() {
            return Ok(());
        }
        let (span, text) = (self.span(), self.text());
        if text == "percent" || text == "per" || text == "pct" {
            let gap = self.before().after().to(span);
            return Err(Diagnostic::error(codes::UNKNOWN_UNIT, format!("there is no unit `{text}`"))
                .primary(span, "unknown unit")
                .help_edit("per cent is written `%`", gap, "%"));
        }
        Err(unknown_unit(text, span))
    }

    /// A number, with the unit behind it.
    pub(super) fn number(&mut self) -> Explained {
        let (text, span) = (self.text(), self.span());
        self.at += 1;
        let digits = digits(text);
        let suffix = &text[digits..];
        let place = self.lower.file.span(span.start as usize + digits..span.end() as usize);
        let magnitude = Magnitude::ALL.iter().any(|magnitude| magnitude.as_str() == suffix);
        if suffix.is_empty() || magnitude {
            // A unit on the next line is a name.
            let gap = self.before().end() as usize..self.span().start as usize;
            let near =
                self.lower.text.get(gap).is_some_and(|gap| gap.bytes().all(|b| b == b' ' || b == b'\t'));
            if near && self.is_word() && Unit::from_word(self.text()).is_some() {
                self.at += 1;
            }
            return Ok(());
        }
        if suffix == "%" || Unit::from_word(suffix).is_some() {
            return Ok(());
        }
        let bad = Diagnostic::error(codes::BAD_NUMBER, format!("`{text}` is not a number"));
        if suffix.starts_with('_') {
            let cleaned: String = text.chars().filter(|character| *character != '_').collect();
            let diagnostic = bad.primary(place, "digits stand together");
            return Err(if digits_only(&cleaned) {
                diagnostic.help_edit("write", span, cleaned)
            } else {
                diagnostic
            });
        }
        if suffix.ends_with('%')
            || suffix.contains(|c: char| c.is_ascii_digit())
            || suffix.starts_with(['e', 'E', 'x']) && suffix.len() == 1
        {
            return Err(bad
                .primary(place, "not part of a number")
                .note("numbers are `12`, `0.5`, `5e-4`, `15%`, `10k`; a name begins with a letter"));
        }
        let split = Magnitude::ALL.iter().find_map(|magnitude| {
            let unit = suffix.strip_prefix(magnitude.as_str())?;
            Unit::from_word(unit).map(|unit| format!("{} {}", magnitude.as_str(), unit.as_str()))
        });
        if let Some(split) = split {
            return Err(bad
                .primary(place, "magnitude and unit in one word")
                .help_edit("write", place, split));
        }
        let other = match suffix {
            "K" => Some("k"),
            "m" | "mio" => Some("M"),
            "G" | "b" => Some("B"),
            _ => None,
        };
        if let Some(other) = other {
            return Err(Diagnostic::error(codes::UNKNOWN_UNIT, format!("there is no magnitude `{suffix}`"))
                .primary(place, "unknown magnitude")
                .note("`k` is a thousand, `M` a million, `B` a billion")
                .help_edit(format!("did you mean `{other}`?"), place, other));
        }
        Err(unknown_unit(suffix, place))
    }

    /// The end of the statement.
    pub(super) fn end(&mut self) -> Explained {
        self.after_number_unless_statement()?;
        let span = self.span();
        let text = self.text();
        if self.kind().is_none() {
            return Ok(());
        }
        if self.begins_statement() {
            let line = self.line_indent();
            return Err(Diagnostic::error(codes::TWO_STATEMENTS, "two statements stand on one line")
                .primary(span, "the second one begins here")
                .help_edit(
                    "put it on a line of its own",
                    self.gap().to(span.before()),
                    format!("\n{line}"),
                ));
        }
        if text == "," && self.kind_at(1) == Some(TokenKind::Number) {
            return Err(Diagnostic::error(codes::BAD_NUMBER, "the digits of a number stand together")
                .primary(span, "not part of a number")
                .help_edit("leave the comma out", span.to(self.span_at(1).before()), ""));
        }
        if text == "=" && self.text_first() == "require" {
            return Err(Diagnostic::error(codes::UNKNOWN_OPERATOR, "`=` is no comparison")
                .primary(span, "not possible here")
                .note("a claim says which number is larger, with `>` or `<`"));
        }
        if text == "=" {
            return Err(Diagnostic::error(codes::UNKNOWN_OPERATOR, "`=` is no operator in a value")
                .primary(span, "not possible here")
                .help_edit("two values are compared with `==`", span, "=="));
        }
        let rest = span.to(self.lower.span(&self.range).after());
        let mut diagnostic = Diagnostic::error(
            codes::STRAY_TEXT,
            format!("{} stands behind the end of the statement", self.found()),
        )
        .primary(rest, "not expected here");
        if text == "{" {
            diagnostic = diagnostic.note("this statement has no block");
        } else {
            diagnostic = diagnostic.help_edit("is it a comment?", span.before(), "// ");
        }
        Err(diagnostic)
    }

    fn after_number_unless_statement(&mut self) -> Explained {
        if self.begins_statement() { Ok(()) } else { self.after_number() }
    }

    /// Whether another statement begins at the token.
    fn begins_statement(&self) -> bool {
        if !self.is_word() {
            return false;
        }
        let mut ahead = 1;
        while self.text_at(ahead) == "." && self.kind_at(ahead + 1) == Some(TokenKind::Word) {
            ahead += 2;
        }
        let keyword = is_top_keyword(self.text()) || INNER.contains(&self.text());
        self.text_at(ahead) == "=" && self.is_name()
            || keyword && matches!(self.kind_at(1), Some(TokenKind::Word | TokenKind::Text))
            || self.text() == "let" && self.kind_at(1) == Some(TokenKind::Word)
            || self.text() == "over" && self.kind_at(1) == Some(TokenKind::Number)
    }

    /// The white space that the statement's line begins with.
    fn line_indent(&self) -> &'a str {
        let start = self.lower.span(&self.range).start as usize;
        let before = self.lower.text.get(..start).unwrap_or("");
        let line = before.rfind('\n').map_or(0, |at| at + 1);
        let indent = &before[line..];
        if indent.bytes().all(|byte| byte == b' ' || byte == b'\t') { indent } else { "" }
    }
}

fn unknown_unit(text: &str, span: Span) -> Diagnostic {
    let diagnostic = Diagnostic::error(codes::UNKNOWN_UNIT, format!("there is no unit `{text}`"))
        .primary(span, "unknown unit");
    let other = match text {
        "tokens" | "token" | "toks" => Some("tok"),
        "sequences" | "sequence" | "seqs" | "examples" => Some("seq"),
        "points" | "point" | "pts" | "pp" => Some("pt"),
        "KB" | "kB" | "kb" => Some("KiB"),
        "MB" | "mb" => Some("MiB"),
        "GB" | "gb" => Some("GiB"),
        "sec" | "secs" | "seconds" | "second" => Some("s"),
        "minutes" | "minute" | "mins" => Some("min"),
        "hours" | "hour" | "hrs" | "hr" => Some("h"),
        _ => similar(text, Unit::ALL.into_iter().map(Unit::as_str)),
    };
    match other {
        Some(other) => diagnostic.help_edit(format!("did you mean `{other}`?"), span, other),
        None => {
            let units: Vec<String> = Unit::ALL.iter().map(|unit| format!("`{}`", unit.as_str())).collect();
            diagnostic.note(format!("units are {}", units.join(", ")))
        }
    }
}

/// Length of the digits, the part after the point and the exponent.
fn digits(text: &str) -> usize {
    let bytes = text.as_bytes();
    let run = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut at = run(0);
    if bytes.get(at) == Some(&b'.') && run(at + 1) > 0 {
        at += 1 + run(at + 1);
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        if bytes.len() > at + 1 + sign && run(at + 1 + sign) > 0 {
            at += 1 + sign + run(at + 1 + sign);
        }
    }
    at
}

fn digits_only(text: &str) -> bool {
    let rest = &text[digits(text)..];
    rest.is_empty() || rest == "%" || Magnitude::ALL.iter().any(|magnitude| magnitude.as_str() == rest)
}
