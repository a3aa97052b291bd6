//! The statements, each from its keyword to its end.

use super::values::{Explained, Explainer};
use crate::grammar::Rule;
use crate::tokens::RESERVED;
use crate::tree::TokenKind;
use zoo_diagnostics::{Diagnostic, Edit, Span, codes, similar};

impl Explainer<'_, '_> {
    /// Why the grammar refuses the statement; `stop` is the byte where it stopped.
    pub(crate) fn explain(mut self, rule: Rule, stop: usize) -> Diagnostic {
        match self.statement(rule) {
            Err(diagnostic) => diagnostic,
            Ok(()) => {
                let place = self.lower.file.span(stop..(stop + 1).min(self.lower.text.len()).max(stop));
                Diagnostic::error(codes::UNREADABLE, "the statement cannot be read")
                    .primary(place, "something does not fit here")
            }
        }
    }

    /// What is wrong with the header of a block, if anything.
    pub(crate) fn header(mut self, word: &str) -> Option<Diagnostic> {
        let rule = match word {
            "paper" => Rule::paper,
            "step" => Rule::step,
            "arm" => Rule::arm,
            "profile" => Rule::profile,
            "claim" => Rule::claim,
            _ => Rule::stage,
        };
        self.statement(rule).err()
    }

    fn statement(&mut self, rule: Rule) -> Explained {
        if rule == Rule::setting {
            self.path()?;
            self.equals()?;
            self.value()?;
            return self.end();
        }
        let keyword = self.text();
        self.at += 1;
        match rule {
            Rule::edition => return self.edition(),
            Rule::use_plugin => {
                self.at += 1;
                self.text_expected("`use plugin` has the plugin's name in quotes")?;
                if self.kind() == Some(TokenKind::Text) {
                    self.at += 1;
                } else if matches!(self.kind(), Some(TokenKind::Sign | TokenKind::Number)) {
                    let rest = self.span().to(self.lower.span(&self.range).after());
                    let text = self.lower.text.get(rest.range()).unwrap_or("");
                    return Err(Diagnostic::error(codes::MISSING_TEXT, "the version stands in quotes")
                        .primary(rest, "not in quotes")
                        .help_edit("write", rest, format!("\"{text}\"")));
                }
            }
            Rule::use_file => {
                self.text_expected("`use` has a file in quotes")?;
                if self.take("as") {
                    self.name("file")?;
                }
            }
            Rule::param => self.param()?,
            Rule::binding => {
                self.name(keyword)?;
                self.equals()?;
                self.value()?;
                if self.take("on") {
                    self.selector()?;
                }
            }
            Rule::paper | Rule::profile => {
                self.name(keyword)?;
                if rule == Rule::profile && self.kind() == Some(TokenKind::Text) {
                    self.at += 1;
                }
            }
            Rule::step => self.step()?,
            Rule::stage => {
                self.name(keyword)?;
                if self.take("after") {
                    self.name("phase before it")?;
                }
            }
            Rule::arm => self.arm()?,
            Rule::claim => self.text_expected("a claim says in quotes what is claimed")?,
            Rule::let_value | Rule::log_value => {
                self.name(if keyword == "let" { "value" } else { "log" })?;
                self.equals()?;
                self.value()?;
            }
            Rule::loss_value => {
                self.equals()?;
                self.value()?;
            }
            Rule::require => {
                if matches!(self.text(), "=" | ":") {
                    return Err(self.clause("`require` has no `=`", "require LEFT > RIGHT"));
                }
                self.value()?;
            }
            Rule::over => self.over()?,
            Rule::holding => self.holding()?,
            Rule::stop => {
                let complete = self.take("when") && self.take("decided");
                return if complete {
                    self.end()
                } else {
                    Err(self.clause("`stop` cannot be read", "stop when decided"))
                };
            }
            _ => {}
        }
        self.end()
    }

    fn edition(&mut self) -> Explained {
        let text = self.text();
        let whole = self.kind() == Some(TokenKind::Number) && text.bytes().all(|byte| byte.is_ascii_digit());
        if whole {
            self.at += 1;
            return self.end();
        }
        let diagnostic = Diagnostic::error(codes::UNKNOWN_EDITION, "the edition is a whole number");
        Err(match self.kind() {
            None => diagnostic.primary(self.before(), "no number follows").help_edit(
                "this zoo reads edition 1",
                self.gap(),
                " 1",
            ),
            Some(_) => diagnostic.primary(self.span(), "not a whole number").help_edit(
                "this zoo reads edition 1",
                self.span(),
                "1",
            ),
        })
    }

    fn text_expected(&mut self, headline: &str) -> Explained {
        if self.kind() == Some(TokenKind::Text) {
            self.at += 1;
            return Ok(());
        }
        let diagnostic = Diagnostic::error(codes::MISSING_TEXT, headline);
        Err(match self.kind() {
            None => diagnostic.primary(self.before(), "expected a text after this"),
            Some(_) => {
                // Words up to the end, as one text.
                let mut ahead = 0;
                while matches!(self.kind_at(ahead), Some(TokenKind::Word | TokenKind::Number))
                    || matches!(self.text_at(ahead), "." | "/" | "-")
                {
                    ahead += 1;
                }
                let place = if ahead == 0 { self.span() } else { self.span().to(self.span_at(ahead - 1)) };
                let text = self.lower.text.get(place.range()).unwrap_or("").to_owned();
                let diagnostic = diagnostic.primary(place, "not a text in quotes");
                if ahead == 0 {
                    diagnostic
                } else {
                    diagnostic.help_edit("write", place, format!("\"{text}\""))
                }
            }
        })
    }

    /// The name of something that is declared.
    fn name(&mut self, what: &str) -> Explained {
        let (span, text) = (self.span(), self.text());
        if !self.is_name() {
            return Err(match self.kind() {
                Some(TokenKind::Word) => {
                    Diagnostic::error(codes::BAD_NAME, format!("`{text}` cannot be a name"))
                        .primary(span, "a word of the language")
                        .help_edit("give it another name", span, format!("{text}_"))
                }
                Some(TokenKind::Number) => {
                    Diagnostic::error(codes::BAD_NAME, format!("`{text}` cannot be a name"))
                        .primary(span, "a name begins with a letter or `_`")
                }
                Some(TokenKind::Text) => {
                    let bare = text.trim_matches('"');
                    let plain =
                        !bare.is_empty() && bare.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
                    let diagnostic = Diagnostic::error(codes::BAD_NAME, "a name stands without quotes")
                        .primary(span, "a text, not a name");
                    if plain { diagnostic.help_edit("write", span, bare) } else { diagnostic }
                }
                _ => {
                    let diagnostic =
                        Diagnostic::error(codes::MISSING_NAME, format!("the {what} has no name"));
                    match self.kind() {
                        None => diagnostic.primary(self.before(), "expected a name after this"),
                        Some(_) => {
                            diagnostic.primary(span, format!("expected a name, found {}", self.found()))
                        }
                    }
                }
            });
        }
        self.at += 1;
        if self.text() == "-" && self.span().start == span.end() {
            // `my-model`
            let mut end = self.span();
            let mut ahead = 0;
            while self.span_at(ahead).start == end.end() || ahead == 0 {
                if !(self.text_at(ahead) == "-"
                    || matches!(self.kind_at(ahead), Some(TokenKind::Word | TokenKind::Number)))
                {
                    break;
                }
                end = self.span_at(ahead);
                ahead += 1;
            }
            let whole = span.to(end);
            let written = self.lower.text.get(whole.range()).unwrap_or("");
            return Err(Diagnostic::error(codes::BAD_NAME, format!("`{written}` cannot be a name"))
                .primary(whole, "a name has no `-`")
                .help_edit("write", whole, written.replace('-', "_")));
        }
        Ok(())
    }

    /// The `=` before a value.
    fn equals(&mut self) -> Explained {
        if self.take("=") {
            return Ok(());
        }
        let span = self.span();
        let missing = || Diagnostic::error(codes::MISSING_EQUALS, "there is no `=` before the value");
        Err(match self.kind() {
            None => missing().primary(self.before(), "expected `= VALUE` after this"),
            Some(_) if self.text() == ":" && self.kind_at(1).is_some() => {
                let end = if self.text_at(1) == "=" { self.span_at(1) } else { span };
                Diagnostic::error(codes::WRONG_SEPARATOR, "a value is set with `=`")
                    .primary(span.to(end), "`:` is for arguments and types")
                    .help_edit("write", self.gap().to(end), " =")
            }
            Some(_) if self.text() == "==" => {
                missing().primary(span, "this compares").help_edit("write", span, "=")
            }
            Some(TokenKind::Word | TokenKind::Number | TokenKind::Text) => {
                missing().primary(span, "expected `=` before this").help_edit("add it", span.before(), "= ")
            }
            Some(_) => missing().primary(span, format!("expected `=`, found {}", self.found())),
        })
    }

    /// `disc.layers`
    fn path(&mut self) -> Explained {
        loop {
            if !self.is_name() {
                let span = self.span();
                return Err(match self.kind() {
                    Some(TokenKind::Word) => {
                        Diagnostic::error(codes::BAD_NAME, format!("`{}` cannot be a name", self.text()))
                            .primary(span, "a word of the language")
                    }
                    _ => Diagnostic::error(codes::MISSING_NAME, "the name of what is set is missing")
                        .primary(span, format!("expected a name, found {}", self.found())),
                });
            }
            self.at += 1;
            if !self.take(".") {
                return Ok(());
            }
        }
    }

    fn param(&mut self) -> Explained {
        self.name("parameter")?;
        if !self.take(":") {
            let after = self.gap();
            let diagnostic = Diagnostic::error(codes::MISSING_TYPE, "the parameter has no type");
            let types = "`count`, `real`, `fraction`, `tokens` and so on";
            return Err(if self.is_name() && !matches!(self.text(), "in") {
                diagnostic.primary(self.span(), "expected `:` before this").help_edit(
                    "write",
                    self.gap(),
                    " :",
                )
            } else {
                let guess = self.guess_type();
                diagnostic.primary(self.before(), format!("expected `: TYPE` after this: {types}")).help_edit(
                    "it could be",
                    after,
                    format!(" : {guess}"),
                )
            });
        }
        self.type_expression()?;
        if self.take("=") {
            self.value()?;
        } else if self.text() == "==" {
            self.equals()?;
        } else if matches!(self.kind(), Some(TokenKind::Number | TokenKind::Text)) {
            return self.equals();
        }
        if self.take("in") {
            self.range_expression()?;
        }
        Ok(())
    }

    /// A type for the value that follows `=`.
    fn guess_type(&self) -> &'static str {
        let ahead = usize::from(self.text() == "=");
        let text = self.text_at(ahead);
        match self.kind_at(ahead) {
            Some(TokenKind::Text) => "text",
            Some(TokenKind::Number) if text.ends_with('%') => "fraction",
            Some(TokenKind::Number) if self.text_at(ahead + 1) == "tok" => "tokens",
            Some(TokenKind::Number) if text.contains(['.', 'e']) => "real",
            Some(TokenKind::Word) if matches!(text, "true" | "false") => "bool",
            _ => "count",
        }
    }

    fn type_expression(&mut self) -> Explained {
        let (span, text) = (self.span(), self.text());
        if !self.is_name() {
            let diagnostic = Diagnostic::error(codes::MISSING_TYPE, "the parameter has no type");
            return Err(match self.kind() {
                None => diagnostic.primary(self.before(), "expected a type after this"),
                Some(_) => diagnostic.primary(span, format!("expected a type, found {}", self.found())),
            });
        }
        self.at += 1;
        let bad = |headline: &str| Diagnostic::error(codes::BAD_TYPE, headline.to_owned());
        if self.take("[") {
            self.type_expression()?;
            if !self.take("]") {
                return Err(bad("a list has one type").primary(self.span(), "expected `]`"));
            }
            return Ok(());
        }
        if self.text() == "<" {
            return Err(bad("this is not a type")
                .primary(self.span(), "not possible in a type")
                .help("a list of numbers is `list[real]`"));
        }
        let open = self.span();
        if !self.take("(") {
            return Ok(());
        }
        if text == "list" {
            let mut ahead = 0;
            while !matches!(self.text_at(ahead), ")" | "") {
                ahead += 1;
            }
            let edit = |span: Span, text: &str| Edit { span, replacement: text.to_owned() };
            return Err(bad("a list's type stands in square brackets")
                .primary(open, "not possible here")
                .help_edits("write", vec![edit(open, "["), edit(self.span_at(ahead), "]")]));
        }
        let first = self.at;
        loop {
            if self.take(")") {
                if self.at == first + 1 {
                    return Err(
                        bad("there is nothing to choose from").primary(open.to(self.before()), "no choice")
                    );
                }
                return Ok(());
            }
            if self.kind() != Some(TokenKind::Text) {
                let diagnostic =
                    bad("choices are texts in quotes").primary(self.span(), "not a text in quotes");
                return Err(if self.is_word() {
                    // All bare words up to the bracket at once.
                    let mut edits = Vec::new();
                    let mut ahead = 0;
                    while !matches!(self.text_at(ahead), ")" | "") {
                        if self.kind_at(ahead) == Some(TokenKind::Word) {
                            let text = format!("\"{}\"", self.text_at(ahead));
                            edits.push(Edit { span: self.span_at(ahead), replacement: text });
                        }
                        ahead += 1;
                    }
                    diagnostic.help_edits("write", edits)
                } else {
                    diagnostic
                });
            }
            self.at += 1;
            if !self.take(",") && self.text() != ")" {
                return Err(Diagnostic::error(
                    codes::MISSING_COMMA,
                    "a comma is missing between two choices",
                )
                .primary(self.span(), "the next one begins here")
                .help_edit("separate them", self.gap(), ","));
            }
        }
    }

    fn range_expression(&mut self) -> Explained {
        let bad = |headline: &str| Diagnostic::error(codes::BAD_RANGE, headline.to_owned());
        let form = "a range is `[0%, 50%]`, with a round bracket where the end is left out, or `>= 0`";
        if ["<=", ">=", "<", ">"].iter().any(|order| self.take(order)) {
            return self.value();
        }
        let open = self.span();
        if !(self.take("(") || self.take("[")) {
            let diagnostic = match self.kind() {
                None => bad("the range is missing").primary(self.before(), "expected a range after this"),
                Some(_) => {
                    let rest = self.span().to(self.lower.span(&self.range).after());
                    bad("this is not a range").primary(rest, "not a range")
                }
            };
            return Err(diagnostic.note(form));
        }
        self.value()?;
        if !self.take(",") {
            if self.kind() == Some(TokenKind::Number) {
                return Err(bad("the ends of a range are separated by a comma")
                    .primary(self.span(), "the second one begins here")
                    .help_edit("write", self.gap(), ","));
            }
            self.after_number()?;
            return Err(bad("a range has two ends").primary(open.to(self.span()), "only one").note(form));
        }
        self.value()?;
        if self.take(")") || self.take("]") {
            return Ok(());
        }
        self.after_number()?;
        Err(bad("a range has two ends").primary(self.span(), "expected `]` or `)`").note(form))
    }

    fn selector(&mut self) -> Explained {
        let bad = |this: &Self| {
            let place = if this.kind().is_none() { this.before() } else { this.span() };
            Err(Diagnostic::error(codes::BAD_SELECTOR, "this is no part of a model")
                .primary(place, "cannot be read")
                .help("after `on` comes a model and a way in it: `lm.layers[*].attention.{query, value}`"))
        };
        if !self.is_name() {
            return bad(self);
        }
        self.at += 1;
        while self.take(".") {
            if self.take("{") {
                loop {
                    if !self.is_name() {
                        return bad(self);
                    }
                    self.at += 1;
                    let comma = self.take(",");
                    if self.take("}") {
                        break;
                    }
                    if !comma {
                        return bad(self);
                    }
                }
                continue;
            }
            if !self.is_name() {
                return bad(self);
            }
            self.at += 1;
            if self.take("[") {
                let index =
                    self.kind() == Some(TokenKind::Number) && self.text().bytes().all(|b| b.is_ascii_digit());
                if index {
                    self.at += 1;
                } else if !self.take("*") {
                    return bad(self);
                }
                if !self.take("]") {
                    return bad(self);
                }
            }
        }
        if self.kind().is_some() { bad(self) } else { Ok(()) }
    }

    fn step(&mut self) -> Explained {
        self.name("step")?;
        let missing = Diagnostic::error(codes::MISSING_INPUTS, "the step does not say what it is given");
        let open = self.span();
        if !self.take("(") {
            return Err(missing.primary(self.before(), "expected `(batch)` after this").help_edit(
                "write",
                self.gap(),
                "(batch)",
            ));
        }
        if self.text() == ")" {
            let both = open.to(self.span());
            return Err(missing.primary(both, "no name").help_edit("write", both, "(batch)"));
        }
        loop {
            self.name("batch")?;
            let comma = self.take(",");
            if self.take(")") {
                return Ok(());
            }
            if !comma {
                return Err(Diagnostic::error(codes::MISSING_COMMA, "a comma is missing between two names")
                    .primary(self.span(), format!("found {}", self.found())));
            }
        }
    }

    fn arm(&mut self) -> Explained {
        self.name("arm")?;
        let after = self.gap();
        if self.take(":") {
            self.name("role")?;
        } else if self.is_name() {
            return Err(Diagnostic::error(
                codes::STRAY_TEXT,
                format!("{} stands behind the arm's name", self.found()),
            )
            .primary(self.span(), "not expected here")
            .help_edit("a role follows a colon", after, " :"));
        }
        if self.kind() == Some(TokenKind::Text) {
            self.at += 1;
        }
        Ok(())
    }

    fn clause(&self, headline: &str, form: &str) -> Diagnostic {
        let place = if self.kind().is_none() { self.before() } else { self.span() };
        let label = if self.kind().is_none() { "the rest is missing" } else { "does not fit here" };
        Diagnostic::error(codes::BAD_CLAUSE, headline.to_owned())
            .primary(place, label)
            .help(format!("it is written `{form}`"))
    }

    fn over(&mut self) -> Explained {
        const FORM: &str = "over 5 seeds paired at 95% confidence";
        const HEADLINE: &str = "`over` cannot be read";
        match self.kind() {
            Some(TokenKind::Number) => {
                self.number()?;
                if !matches!(self.text(), "paired" | "at" | "with") {
                    self.after_number()?;
                }
            }
            Some(TokenKind::Word) if !RESERVED.contains(&self.text()) && self.text() != "at" => {
                self.path()?
            }
            _ => return Err(self.clause(HEADLINE, FORM)),
        }
        self.take("paired");
        if self.kind().is_none() {
            return Ok(());
        }
        if !self.take("at") {
            let diagnostic = self.clause(HEADLINE, FORM);
            let near = similar(self.text(), ["paired", "at"]);
            return Err(match (self.text(), near) {
                ("with", _) => diagnostic.help_edit("a confidence follows `at`", self.span(), "at"),
                (_, Some(near)) => diagnostic.help_edit(format!("did you mean `{near}`?"), self.span(), near),
                _ => diagnostic,
            });
        }
        if self.kind() != Some(TokenKind::Number) {
            return Err(self.clause(HEADLINE, FORM));
        }
        self.number()?;
        if self.take("confidence") {
            return if self.kind().is_none() { Ok(()) } else { Err(self.clause(HEADLINE, FORM)) };
        }
        let diagnostic = self.clause("`confidence` is missing after the percentage", FORM);
        Err(match self.kind() {
            None => diagnostic.help_edit("add it", self.gap(), " confidence"),
            Some(_) => diagnostic,
        })
    }

    fn holding(&mut self) -> Explained {
        const FORM: &str = "holding cost.train_flops within 5%";
        if self.kind().is_none() || matches!(self.text(), "=" | ":") {
            return Err(self.clause("`holding` cannot be read", FORM));
        }
        self.value()?;
        if self.take("within") {
            if self.kind() != Some(TokenKind::Number) {
                return Err(self.clause("`within` is followed by a percentage", FORM));
            }
            return self.number();
        }
        if self.kind().is_none() { Ok(()) } else { Err(self.clause("`holding` cannot be read", FORM)) }
    }
}
