//! From statements to the typed view and the tree, one statement at a time.

use crate::ast::{
    Arm, Binding, BlockItem, Broken, Claim, ClaimStatement, Docs, Edition, Item, Name, Paper, Param, Profile,
    Recipe, Setting, Stage, StageKind, Statement as StepStatement, Step, UseFile, UsePlugin,
};
use crate::explain::{self, Explainer};
use crate::grammar::{self, Parsed, Rule};
use crate::structure::{BLOCKS, Block, INNER, Problem, Statement, is_top_keyword};
use crate::tree::{Node, NodeKind, Token, TokenKind};
use crate::view::View;
use std::ops::Range;
use zoo_diagnostics::{Diagnostic, FileId, Span, codes};

/// The edition that this version reads.
pub(crate) const EDITION: u32 = 1;

pub(crate) struct Lower<'a> {
    pub(crate) file: FileId,
    pub(crate) text: &'a str,
    pub(crate) tokens: &'a [Token],
    pub(crate) nodes: Vec<Node>,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// In which block a statement stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inside {
    Step,
    Claim,
    Settings,
}

impl<'a> Lower<'a> {
    pub(crate) fn slice(&self, token: usize) -> &'a str {
        self.tokens.get(token).and_then(|token| self.text.get(token.range())).unwrap_or("")
    }

    /// The bytes of tokens.
    fn bytes(&self, tokens: &Range<usize>) -> Range<usize> {
        match (self.tokens.get(tokens.start), self.tokens.get(tokens.end.wrapping_sub(1))) {
            (Some(first), Some(last)) if !tokens.is_empty() => first.start as usize..last.end() as usize,
            (Some(first), _) => first.start as usize..first.start as usize,
            _ => self.text.len()..self.text.len(),
        }
    }

    pub(crate) fn span(&self, tokens: &Range<usize>) -> Span {
        self.file.span(self.bytes(tokens))
    }

    pub(crate) fn token_span(&self, token: usize) -> Span {
        self.span(&(token..token + 1))
    }

    /// Index of the token that holds a byte.
    fn token_at(&self, byte: usize) -> usize {
        self.tokens.partition_point(|token| (token.end() as usize) <= byte)
    }

    fn open(&mut self, kind: NodeKind, tokens: &Range<usize>) -> usize {
        self.nodes.push(Node { kind, tokens: tokens.start as u32..tokens.end as u32, end: 0 });
        self.nodes.len() - 1
    }

    fn close(&mut self, node: usize) {
        self.nodes[node].end = self.nodes.len() as u32;
    }

    /// All of the file.
    pub(crate) fn recipe(&mut self, statements: &[Statement]) -> Recipe {
        let root = self.open(NodeKind::Recipe, &(0..self.tokens.len()));
        self.edition(statements.first());
        let items = statements.iter().map(|statement| self.item(statement)).collect();
        self.close(root);
        Recipe { items, span: self.file.span(0..self.text.len()) }
    }

    /// The first statement is the edition.
    fn edition(&mut self, first: Option<&Statement>) {
        if first.is_some_and(|first| self.slice(first.head.start) == "mlm") {
            return;
        }
        // Above the comments, which belong to what follows them.
        let start = if self.text.starts_with('\u{feff}') { 3 } else { 0 };
        let insert = self.file.span(start..start);
        let place = first.map_or(insert, |first| self.token_span(first.head.start));
        self.diagnostics.push(
            Diagnostic::error(codes::MISSING_EDITION, "the recipe does not begin with its edition")
                .primary(place, "expected `mlm 1` before this")
                .help_edit("this zoo reads edition 1", insert, format!("mlm {EDITION}\n\n")),
        );
    }

    fn docs(&self, tokens: &Range<usize>) -> Docs {
        let lines: Vec<&str> = tokens
            .clone()
            .filter(|token| self.tokens[*token].kind == TokenKind::DocComment)
            .map(|token| {
                let line = self.slice(token).trim_start_matches('/').trim_end();
                line.strip_prefix(' ').unwrap_or(line)
            })
            .collect();
        let span = (!lines.is_empty()).then(|| self.span(tokens));
        Docs { text: lines.join("\n"), span }
    }

    /// Whether the tokens are sound; reports the first that is not.
    fn sound(&mut self, tokens: &Range<usize>) -> bool {
        for token in tokens.clone() {
            let kind = self.tokens[token].kind;
            if !matches!(kind, TokenKind::UnclosedText | TokenKind::Unknown) {
                continue;
            }
            let diagnostic = explain::bad_token(self, token);
            self.diagnostics.push(diagnostic);
            return false;
        }
        true
    }

    /// Parses what stands at `tokens`; reports why it is refused.
    fn parse<T>(
        &mut self,
        rule: Rule,
        tokens: &Range<usize>,
        build: impl FnOnce(&View<'a>, Parsed<'a>) -> Option<T>,
    ) -> Option<T> {
        let bytes = self.bytes(tokens);
        let text = self.text.get(bytes.clone()).unwrap_or("");
        match grammar::parse(rule, text) {
            Ok(pair) => {
                self.parts(pair.clone(), bytes.start);
                let view = View::new(self.file, bytes.start, text);
                let built = build(&view, pair);
                let errors = view.errors.into_inner();
                let failed = !errors.is_empty();
                self.diagnostics.extend(errors);
                if failed { None } else { built }
            }
            Err(at) => {
                let diagnostic = Explainer::new(self, tokens.clone()).explain(rule, bytes.start + at);
                self.diagnostics.push(diagnostic);
                None
            }
        }
    }

    /// Nodes for the parts of what pest matched.
    fn parts(&mut self, pair: Parsed<'_>, base: usize) {
        for part in pair.into_inner() {
            let kind = match part.as_rule() {
                Rule::type_expr => Some(NodeKind::Type),
                Rule::range => Some(NodeKind::Range),
                Rule::selector => Some(NodeKind::Selector),
                Rule::expr => Some(NodeKind::Expr),
                Rule::call => Some(NodeKind::Arguments),
                Rule::arg | Rule::field => Some(NodeKind::Argument),
                Rule::list => Some(NodeKind::List),
                Rule::record => Some(NodeKind::Record),
                Rule::if_expr => Some(NodeKind::If),
                Rule::number => Some(NodeKind::Number),
                _ => None,
            };
            let span = part.as_span();
            let start = self.token_at(base + span.start());
            let mut end = self.token_at(base + span.end().saturating_sub(1)) + 1;
            while end > start + 1 && self.tokens.get(end - 1).is_some_and(|token| token.kind.is_trivia()) {
                end -= 1;
            }
            // A value of one token says nothing that its token does not say.
            let node = kind
                .filter(|kind| *kind != NodeKind::Expr || end > start + 1)
                .filter(|_| start < end && end <= self.tokens.len())
                .map(|kind| self.open(kind, &(start..end)));
            self.parts(part, base);
            if let Some(node) = node {
                self.close(node);
            }
        }
    }

    /// Reports a problem with brackets.
    fn problem(&mut self, problem: Problem, statement: &Statement) {
        let diagnostic = explain::problem(self, problem, statement);
        self.diagnostics.push(diagnostic);
    }

    /// The name that a broken statement would have declared: the word after its keyword.
    fn declared(&self, head: &Range<usize>) -> Option<Name> {
        let mut words = head.clone().filter(|token| !self.tokens[*token].kind.is_trivia());
        words.next();
        let token = words.next()?;
        let text = self.slice(token);
        let name = self.tokens[token].kind == TokenKind::Word && !crate::tokens::RESERVED.contains(&text);
        name.then(|| Name { text: text.to_owned(), span: self.token_span(token) })
    }

    fn broken(&self, statement: &Statement, keyword: Option<&'static str>) -> Broken {
        let name = match keyword {
            Some("claim" | "mlm" | "use") => None,
            _ => self.declared(&statement.head),
        };
        Broken { keyword, name, span: self.span(&statement.tokens) }
    }

    fn item(&mut self, statement: &Statement) -> Item {
        let word = self.slice(statement.head.start);
        let is_word = self.tokens[statement.head.start].kind == TokenKind::Word;
        let kind = match word {
            "mlm" => NodeKind::Edition,
            "use" => match self.second(statement) {
                "plugin" => NodeKind::UsePlugin,
                _ => NodeKind::UseFile,
            },
            "param" => NodeKind::Param,
            _ if statement.block.is_some() => NodeKind::Block,
            _ if is_top_keyword(word) && !BLOCKS.contains(&word) => NodeKind::Binding,
            _ => NodeKind::Broken,
        };
        let node = self.open(kind, &statement.tokens);
        let before = self.diagnostics.len();
        let sound = self.sound(&statement.head);
        if sound && let Some(problem) = statement.problem {
            self.problem(problem, statement);
        }
        let readable = sound && statement.problem.is_none();
        let item = if !is_word || !is_top_keyword(word) || self.is_assignment(statement) {
            let mut keyword = None;
            if readable {
                let (diagnostic, meant) = explain::beginning(self, statement, None);
                self.diagnostics.push(diagnostic);
                keyword = meant;
            }
            if let Some(block) = &statement.block {
                self.skip_block(block);
            }
            Err(keyword)
        } else if let Some(block) = &statement.block {
            self.block(word, statement, block, readable).ok_or_else(|| keyword_of(word))
        } else if !readable {
            Err(keyword_of(word))
        } else {
            self.simple(word, statement).ok_or_else(|| keyword_of(word))
        };
        self.close(node);
        match item {
            Ok(item) => item,
            Err(keyword) => {
                // A block keeps its kind: its body may be sound.
                if kind != NodeKind::Block {
                    self.nodes[node].kind = NodeKind::Broken;
                }
                debug_assert!(
                    self.diagnostics.len() > before,
                    "a broken statement without a message: {word}"
                );
                Item::Broken(self.broken(statement, keyword))
            }
        }
    }

    /// Whether a keyword is followed by `=`, so that it is none.
    fn is_assignment(&self, statement: &Statement) -> bool {
        self.second(statement) == "=" && BLOCKS.contains(&self.slice(statement.head.start))
    }

    fn second(&self, statement: &Statement) -> &'a str {
        let mut rest = statement.head.clone().skip(1).filter(|token| !self.tokens[*token].kind.is_trivia());
        rest.next().map_or("", |token| self.slice(token))
    }

    fn simple(&mut self, word: &str, statement: &Statement) -> Option<Item> {
        let span = self.span(&statement.tokens);
        let docs = self.docs(&statement.docs);
        let head = &statement.head;
        match word {
            "mlm" => {
                let edition = self.parse(Rule::edition, head, |view, pair| {
                    let number = pair.into_inner().find(|part| part.as_rule() == Rule::integer)?;
                    Some((view.integer(&number), view.place(&number)))
                });
                let (number, place) = edition?;
                if number != EDITION {
                    self.diagnostics.push(
                        Diagnostic::error(
                            codes::UNKNOWN_EDITION,
                            format!("there is no edition {number} in this zoo"),
                        )
                        .primary(place, "unknown edition")
                        .note(if number > EDITION {
                            "this version reads edition 1; a later edition needs a later zoo"
                        } else {
                            "editions are counted from 1"
                        })
                        .help_edit(
                            "a recipe written for this version begins with",
                            place,
                            EDITION.to_string(),
                        ),
                    );
                }
                Some(Item::Edition(Edition { number, span }))
            }
            "use" if self.second(statement) == "plugin" => {
                self.parse(Rule::use_plugin, head, |view, pair| {
                    let mut texts = pair.into_inner().filter(|part| part.as_rule() == Rule::string);
                    let plugin = view.text(&texts.next()?);
                    Some(Item::UsePlugin(UsePlugin {
                        plugin,
                        version: texts.next().map(|text| view.text(&text)),
                        span,
                    }))
                })
            }
            "use" => self.parse(Rule::use_file, head, |view, pair| {
                let mut path = None;
                let mut name = None;
                for part in pair.into_inner() {
                    match part.as_rule() {
                        Rule::string => path = Some(view.text(&part)),
                        Rule::ident => name = Some(view.name(&part)),
                        _ => {}
                    }
                }
                Some(Item::UseFile(UseFile { path: path?, name, span }))
            }),
            "param" => self.parse(Rule::param, head, |view, pair| {
                let (mut name, mut type_expression, mut value, mut range) = (None, None, None, None);
                for part in pair.into_inner() {
                    match part.as_rule() {
                        Rule::ident => name = Some(view.name(&part)),
                        Rule::type_expr => type_expression = Some(view.type_expression(part)),
                        Rule::expr => value = Some(view.value(part)),
                        Rule::range => range = view.range(part),
                        _ => {}
                    }
                }
                let (name, type_expression) = (name?, type_expression?);
                Some(Item::Param(Param { docs, name, type_expression, value, range, span }))
            }),
            _ if BLOCKS.contains(&word) => {
                let diagnostic = explain::missing_block(self, statement);
                self.diagnostics.push(diagnostic);
                None
            }
            _ => self.parse(Rule::binding, head, |view, pair| {
                let (mut kind, mut name, mut value, mut on) = (None, None, None, None);
                for part in pair.into_inner() {
                    match part.as_rule() {
                        Rule::kind => kind = Some(view.kind(&part)),
                        Rule::ident => name = Some(view.name(&part)),
                        Rule::expr => value = Some(view.value(part)),
                        Rule::selector => on = view.selector(part),
                        _ => {}
                    }
                }
                let ((kind, kind_span), name, value) = (kind?, name?, value?);
                Some(Item::Binding(Binding { docs, kind, kind_span, name, value, on, span }))
            }),
        }
    }

    fn block(&mut self, word: &str, statement: &Statement, block: &Block, readable: bool) -> Option<Item> {
        let span = self.span(&statement.tokens);
        let docs = self.docs(&statement.docs);
        let rule = match word {
            "paper" => Rule::paper,
            "step" => Rule::step,
            "arm" => Rule::arm,
            "profile" => Rule::profile,
            "claim" => Rule::claim,
            _ => Rule::stage,
        };
        let node = self.open(NodeKind::Header, &statement.head);
        let (mut names, mut title, mut stage) = (Vec::new(), None, StageKind::Phase);
        let header = if readable {
            self.parse(rule, &statement.head, |view, pair| {
                for part in pair.into_inner() {
                    match part.as_rule() {
                        Rule::ident => names.push(view.name(&part)),
                        Rule::string => title = Some(view.text(&part)),
                        Rule::stage_kind if part.as_str() == "rl" => stage = StageKind::Rl,
                        _ => {}
                    }
                }
                Some(())
            })
        } else {
            None
        };
        self.close(node);
        if header.is_none() {
            self.nodes[node].kind = NodeKind::Broken;
        }
        if header.is_some() && block.late {
            let open = self.token_span(block.open);
            let end = self.span(&statement.head).after();
            self.diagnostics.push(
                Diagnostic::error(
                    codes::MISSING_BLOCK,
                    format!("the `{{` of this `{word}` is on a line of its own"),
                )
                .primary(open, "belongs to the line before")
                .help_edit("move it up", end.to(open), " {"),
            );
        }
        let inside = match word {
            "step" => Inside::Step,
            "claim" => Inside::Claim,
            _ => Inside::Settings,
        };
        let (mut step_body, mut claim_body, mut settings) = (Vec::new(), Vec::new(), Vec::new());
        for inner in &block.body {
            match inside {
                Inside::Step => step_body.push(self.step_statement(inner)),
                Inside::Claim => claim_body.push(self.claim_statement(inner)),
                Inside::Settings => settings.push(self.block_item(inner)),
            }
        }
        self.end_of_block(statement, block, header.is_some());
        header?;
        let mut names = names.into_iter();
        if word == "claim" {
            return Some(Item::Claim(Claim { docs, title: title?, body: claim_body, span }));
        }
        let name = names.next()?;
        Some(match word {
            "paper" => Item::Paper(Paper { docs, name, body: settings, span }),
            "step" => Item::Step(Step { docs, name, inputs: names.collect(), body: step_body, span }),
            "arm" => Item::Arm(Arm { docs, name, role: names.next(), title, body: settings, span }),
            "profile" => Item::Profile(Profile { docs, name, title, body: settings, span }),
            _ => Item::Stage(Stage { docs, kind: stage, name, after: names.next(), body: settings, span }),
        })
    }

    fn end_of_block(&mut self, statement: &Statement, block: &Block, known: bool) {
        if !block.stray.is_empty() {
            let node = self.open(NodeKind::Broken, &block.stray);
            self.close(node);
        }
        match block.close {
            None if known => {
                let diagnostic = explain::unclosed_block(self, statement, block);
                self.diagnostics.push(diagnostic);
            }
            Some(close) => {
                if let Some(next) = block.crowded {
                    self.diagnostics.push(
                        Diagnostic::error(codes::TWO_STATEMENTS, "two statements stand on one line")
                            .primary(self.token_span(next), "the second one begins here")
                            .help_edit(
                                "put it on a line of its own",
                                self.token_span(close).after().to(self.token_span(next).before()),
                                "\n",
                            ),
                    );
                }
                if !block.stray.is_empty() {
                    let place = self.span(&block.stray);
                    self.diagnostics.push(
                        Diagnostic::error(codes::STRAY_TEXT, "there is text behind the end of the block")
                            .primary(place, "not expected here")
                            .help_edit("is it a comment?", place.before(), "// "),
                    );
                }
            }
            _ => {}
        }
    }

    /// Reports the ends of a block whose statements nobody can judge.
    fn skip_block(&mut self, block: &Block) {
        for inner in &block.body {
            let node = self.open(NodeKind::Broken, &inner.tokens);
            self.close(node);
        }
    }

    /// What every statement of a block has in common; answers whether it can be parsed.
    fn inner(&mut self, statement: &Statement) -> bool {
        let sound = self.sound(&statement.head);
        if sound && let Some(problem) = statement.problem {
            self.problem(problem, statement);
        }
        sound && statement.problem.is_none()
    }

    fn inner_broken(&self, statement: &Statement) -> Broken {
        let word = self.slice(statement.head.start);
        let keyword = INNER.into_iter().find(|keyword| *keyword == word);
        let name = match keyword {
            Some("let" | "log") => self.declared(&statement.head),
            Some(_) => None,
            None => Some(Name { text: word.to_owned(), span: self.token_span(statement.head.start) })
                .filter(|_| self.tokens[statement.head.start].kind == TokenKind::Word),
        };
        Broken { keyword, name, span: self.span(&statement.tokens) }
    }

    /// Opens a node, parses, and marks the node where that fails.
    fn inner_statement<T>(
        &mut self,
        statement: &Statement,
        inside: Inside,
        read: impl FnOnce(&mut Self, &str) -> Option<Result<T, ()>>,
    ) -> Result<T, Broken> {
        let word = self.slice(statement.head.start);
        let kind = match (inside, word) {
            (Inside::Step, "let") => NodeKind::Let,
            (Inside::Step, "log") => NodeKind::Log,
            (Inside::Step, "loss") => NodeKind::Loss,
            (Inside::Claim, "require") => NodeKind::Require,
            (Inside::Claim, "over") => NodeKind::Over,
            (Inside::Claim, "holding") => NodeKind::Holding,
            (Inside::Claim, "stop") => NodeKind::Stop,
            _ => NodeKind::Setting,
        };
        let node = self.open(kind, &statement.tokens);
        let result = if self.inner(statement) {
            match read(self, word) {
                Some(result) => result,
                None => {
                    let (diagnostic, _) = explain::beginning(self, statement, Some(inside));
                    self.diagnostics.push(diagnostic);
                    Err(())
                }
            }
        } else {
            Err(())
        };
        self.close(node);
        result.map_err(|()| {
            self.nodes[node].kind = NodeKind::Broken;
            self.inner_broken(statement)
        })
    }

    fn step_statement(&mut self, statement: &Statement) -> StepStatement {
        let span = self.span(&statement.tokens);
        let head = statement.head.clone();
        let read = |this: &mut Self, word: &str| {
            let rule = match word {
                "let" => Rule::let_value,
                "log" => Rule::log_value,
                "loss" => Rule::loss_value,
                _ => return None,
            };
            let parsed = this.parse(rule, &head, |view, pair| {
                let (mut name, mut value) = (None, None);
                for part in pair.into_inner() {
                    match part.as_rule() {
                        Rule::ident => name = Some(view.name(&part)),
                        Rule::expr => value = Some(view.value(part)),
                        _ => {}
                    }
                }
                let value = value?;
                Some(match rule {
                    Rule::let_value => StepStatement::Let { name: name?, value, span },
                    Rule::log_value => StepStatement::Log { name: name?, value, span },
                    _ => StepStatement::Loss { value, span },
                })
            });
            Some(parsed.ok_or(()))
        };
        self.inner_statement(statement, Inside::Step, read).unwrap_or_else(StepStatement::Broken)
    }

    fn claim_statement(&mut self, statement: &Statement) -> ClaimStatement {
        let span = self.span(&statement.tokens);
        let head = statement.head.clone();
        let docs = self.docs(&statement.docs);
        let assignment = matches!(self.second(statement), "=" | ".");
        let read = |this: &mut Self, word: &str| {
            let rule = match word {
                "require" => Rule::require,
                "over" => Rule::over,
                "holding" => Rule::holding,
                "stop" => Rule::stop,
                _ if assignment => {
                    return Some(this.setting(&head, docs, span).map(ClaimStatement::Setting).ok_or(()));
                }
                _ => return None,
            };
            let parsed = this.parse(rule, &head, |view, pair| {
                let (mut value, mut number, mut paired) = (None, None, None);
                for part in pair.into_inner() {
                    match part.as_rule() {
                        Rule::expr => value = Some(view.value(part)),
                        Rule::path => value = Some(view.path_value(part)),
                        Rule::number => {
                            let number = view.number(part);
                            let span = number.span;
                            value =
                                Some(crate::ast::Expr { kind: crate::ast::ExprKind::Number(number), span });
                        }
                        Rule::confidence | Rule::tolerance => {
                            number = part.into_inner().next().map(|part| view.number(part));
                        }
                        Rule::paired => paired = Some(view.place(&part)),
                        _ => {}
                    }
                }
                Some(match rule {
                    Rule::require => ClaimStatement::Require { condition: value?, span },
                    Rule::over => ClaimStatement::Over { seeds: value?, paired, confidence: number, span },
                    Rule::holding => ClaimStatement::Holding { cost: value?, within: number, span },
                    _ => ClaimStatement::StopWhenDecided { span },
                })
            });
            Some(parsed.ok_or(()))
        };
        self.inner_statement(statement, Inside::Claim, read).unwrap_or_else(ClaimStatement::Broken)
    }

    fn block_item(&mut self, statement: &Statement) -> BlockItem {
        let span = self.span(&statement.tokens);
        let head = statement.head.clone();
        let docs = self.docs(&statement.docs);
        let second = self.second(statement);
        let first = self.tokens[head.start].kind;
        let read = |this: &mut Self, word: &str| {
            // What is no setting at all is explained by how it begins.
            let strange = first != TokenKind::Word
                || !matches!(second, "=" | "." | ":" | "") && (INNER.contains(&word) || is_top_keyword(word));
            if strange {
                return None;
            }
            Some(this.setting(&head, docs, span).map(BlockItem::Setting).ok_or(()))
        };
        self.inner_statement(statement, Inside::Settings, read).unwrap_or_else(BlockItem::Broken)
    }

    /// The only statement of the command line's `--set`, which is a setting.
    pub(crate) fn single(&mut self, statements: &[Statement], range: Range<usize>) -> Option<Setting> {
        let Some(first) = statements.first() else {
            self.diagnostics.push(
                Diagnostic::error(codes::MISSING_NAME, "there is nothing to set")
                    .primary(self.file.span(range), "expected `path=value`"),
            );
            return None;
        };
        if !self.inner(first) {
            return None;
        }
        let all = first.head.start..self.tokens.len();
        let all = all.start..self.last_significant(&all) + 1;
        self.setting(&all, Docs::default(), self.span(&all))
    }

    fn last_significant(&self, tokens: &Range<usize>) -> usize {
        tokens.clone().rev().find(|token| !self.tokens[*token].kind.is_trivia()).unwrap_or(tokens.start)
    }

    pub(crate) fn setting(&mut self, head: &Range<usize>, docs: Docs, span: Span) -> Option<Setting> {
        self.parse(Rule::setting, head, |view, pair| {
            let (mut path, mut value) = (None, None);
            for part in pair.into_inner() {
                match part.as_rule() {
                    Rule::path => path = Some(view.path(part)),
                    Rule::expr => value = Some(view.value(part)),
                    _ => {}
                }
            }
            Some(Setting { docs, path: path?, value: value?, span })
        })
    }
}

fn keyword_of(word: &str) -> Option<&'static str> {
    BLOCKS
        .into_iter()
        .chain(["mlm", "use", "param"])
        .chain(crate::ast::BindingKind::ALL.into_iter().map(crate::ast::BindingKind::keyword))
        .find(|keyword| *keyword == word)
}
