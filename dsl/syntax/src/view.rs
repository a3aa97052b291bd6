//! From what pest matched to the typed view and the tree's nodes.

use crate::ast::{
    Argument, BinaryOperator, BindingKind, Expr, ExprKind, Field, Magnitude, Name, Number, Path, Range,
    Segment, Selector, Text, TypeExpression, UnaryOperator, Unit,
};
use crate::grammar::{Parsed, Rule};
use pest::pratt_parser::{Assoc, Op, PrattParser};
use std::cell::RefCell;
use std::sync::LazyLock;
use zoo_diagnostics::{Diagnostic, FileId, Span, codes};

/// Values may be built of parts this deep: operators, calls and members in a row count as well.
pub(crate) const VALUE_DEPTH: usize = 128;

static OPERATORS: LazyLock<PrattParser<Rule>> = LazyLock::new(|| {
    PrattParser::new()
        .op(Op::infix(Rule::or, Assoc::Left))
        .op(Op::infix(Rule::and, Assoc::Left))
        .op(Op::prefix(Rule::not))
        .op(Op::infix(Rule::equal, Assoc::Left)
            | Op::infix(Rule::not_equal, Assoc::Left)
            | Op::infix(Rule::less, Assoc::Left)
            | Op::infix(Rule::less_equal, Assoc::Left)
            | Op::infix(Rule::greater, Assoc::Left)
            | Op::infix(Rule::greater_equal, Assoc::Left))
        .op(Op::infix(Rule::add, Assoc::Left) | Op::infix(Rule::subtract, Assoc::Left))
        .op(Op::infix(Rule::multiply, Assoc::Left) | Op::infix(Rule::divide, Assoc::Left))
        .op(Op::prefix(Rule::negate))
});

/// Reads the pairs of one statement. What pest matches and the language still refuses is collected.
pub(crate) struct View<'a> {
    file: FileId,
    /// First byte of the statement in the file.
    base: usize,
    text: &'a str,
    pub(crate) errors: RefCell<Vec<Diagnostic>>,
}

/// A value with what its neighbours must know.
struct Built {
    expr: Expr,
    /// Its place with the parentheses around it.
    outer: Span,
    depth: usize,
    /// A comparison without parentheses around it.
    comparison: bool,
}

impl<'a> View<'a> {
    pub(crate) fn new(file: FileId, base: usize, text: &'a str) -> Self {
        Self { file, base, text, errors: RefCell::new(Vec::new()) }
    }

    fn error(&self, diagnostic: Diagnostic) {
        self.errors.borrow_mut().push(diagnostic);
    }

    /// The pair's place. Only of pairs that end with a token: others may end with white space.
    fn span(&self, pair: &Parsed<'_>) -> Span {
        let span = pair.as_span();
        self.file.span(self.base + span.start()..self.base + span.end())
    }

    pub(crate) fn name(&self, pair: &Parsed<'_>) -> Name {
        Name { text: pair.as_str().to_owned(), span: self.span(pair) }
    }

    pub(crate) fn text(&self, pair: &Parsed<'_>) -> Text {
        let inner = pair.as_str();
        let inner = inner.get(1..inner.len().saturating_sub(1)).unwrap_or("");
        let mut value = String::with_capacity(inner.len());
        let mut characters = inner.char_indices();
        while let Some((at, character)) = characters.next() {
            if character != '\\' {
                value.push(character);
                continue;
            }
            match characters.next().map(|(_, escaped)| escaped) {
                Some('n') => value.push('\n'),
                Some('t') => value.push('\t'),
                Some('r') => value.push('\r'),
                Some(same @ ('"' | '\\')) => value.push(same),
                other => {
                    let other = other.unwrap_or('\\');
                    let start = self.base + pair.as_span().start() + 1 + at;
                    let span = self.file.span(start..start + 1 + other.len_utf8());
                    self.error(
                        Diagnostic::error(codes::BAD_ESCAPE, format!("`\\{other}` means nothing in a text"))
                            .primary(span, "unknown escape")
                            .help_edit(
                                "for a backslash, write two",
                                self.file.span(start..start + 1),
                                "\\\\",
                            ),
                    );
                }
            }
        }
        Text { value, span: self.span(pair) }
    }

    /// Digits as a small whole number.
    pub(crate) fn integer(&self, pair: &Parsed<'_>) -> u32 {
        pair.as_str().parse().unwrap_or_else(|_| {
            self.error(
                Diagnostic::error(codes::BAD_NUMBER, "the number is too large")
                    .primary(self.span(pair), format!("at most {}", u32::MAX)),
            );
            0
        })
    }

    pub(crate) fn number(&self, pair: Parsed<'_>) -> Number {
        let mut number = Number {
            value: 0.0,
            whole: true,
            magnitude: None,
            unit: None,
            unit_span: None,
            span: self.span(&pair),
        };
        for part in pair.into_inner() {
            let text = part.as_str();
            match part.as_rule() {
                Rule::digits => {
                    number.whole = !text.contains(['.', 'e', 'E']);
                    number.value = text.parse().unwrap_or(f64::INFINITY);
                    if !number.value.is_finite() {
                        self.error(
                            Diagnostic::error(codes::BAD_NUMBER, "the number is too large")
                                .primary(self.span(&part), "more than a double holds"),
                        );
                    }
                }
                Rule::magnitude => {
                    number.magnitude =
                        Magnitude::ALL.into_iter().find(|magnitude| magnitude.as_str() == text);
                }
                Rule::percent | Rule::unit => {
                    number.unit = Unit::from_word(text);
                    number.unit_span = Some(self.span(&part));
                }
                _ => {}
            }
        }
        number
    }

    pub(crate) fn path(&self, pair: Parsed<'_>) -> Path {
        let names: Vec<Name> = pair.into_inner().map(|name| self.name(&name)).collect();
        let span = match (names.first(), names.last()) {
            (Some(first), Some(last)) => first.span.to(last.span),
            _ => self.file.span(self.base..self.base),
        };
        Path { names, span }
    }

    /// A path as a value.
    pub(crate) fn path_value(&self, pair: Parsed<'_>) -> Expr {
        let mut value: Option<Expr> = None;
        let mut names = self.path(pair).names;
        if names.len() > VALUE_DEPTH {
            self.too_deep(names[VALUE_DEPTH].span);
            names.truncate(VALUE_DEPTH);
        }
        for name in names {
            value = Some(match value {
                None => Expr { span: name.span, kind: ExprKind::Name(name.text) },
                Some(of) => {
                    Expr { span: of.span.to(name.span), kind: ExprKind::Member { of: Box::new(of), name } }
                }
            });
        }
        value.unwrap_or_else(|| self.nothing().expr)
    }

    pub(crate) fn type_expression(&self, pair: Parsed<'_>) -> TypeExpression {
        let whole = pair.as_span();
        // The rule may end with white space after a name alone.
        let end = whole.start() + whole.as_str().trim_end().len();
        let mut name = Name { text: String::new(), span: self.span(&pair) };
        let mut element = None;
        let mut choices = Vec::new();
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::ident => name = self.name(&part),
                Rule::type_expr => element = Some(Box::new(self.type_expression(part))),
                Rule::string => choices.push(self.text(&part)),
                _ => {}
            }
        }
        let bare = element.is_none() && choices.is_empty();
        let span = if bare { name.span } else { self.file.span(self.base + whole.start()..self.base + end) };
        TypeExpression { name, element, choices, span }
    }

    pub(crate) fn range(&self, pair: Parsed<'_>) -> Option<Range> {
        let mut start = None;
        let mut end = None;
        let mut order = None;
        let mut values = Vec::new();
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::range_open => start = Some((part.as_str() == "(", self.span(&part))),
                Rule::range_close => end = Some((part.as_str() == ")", self.span(&part))),
                Rule::range_order => {
                    let operator = match part.as_str() {
                        ">=" => BinaryOperator::GreaterEqual,
                        "<=" => BinaryOperator::LessEqual,
                        ">" => BinaryOperator::Greater,
                        _ => BinaryOperator::Less,
                    };
                    order = Some((operator, self.span(&part)));
                }
                Rule::expr => values.push(self.value(part)),
                _ => {}
            }
        }
        let mut values = values.into_iter();
        let first = values.next()?;
        if let Some((operator, span)) = order {
            return Some(Range::Compare { operator, span: span.to(first.span), bound: first });
        }
        let ((low_open, from), (high_open, to), high) = (start?, end?, values.next()?);
        Some(Range::Interval { low_open, low: first, high, high_open, span: from.to(to) })
    }

    pub(crate) fn selector(&self, pair: Parsed<'_>) -> Option<Selector> {
        let mut model = None;
        let mut segments = Vec::new();
        let mut span: Option<Span> = None;
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::ident => {
                    let name = self.name(&part);
                    span = Some(name.span);
                    model = Some(name);
                }
                Rule::choice => {
                    span = span.map(|before| before.to(self.span(&part)));
                    segments.push(Segment::Choice(part.into_inner().map(|name| self.name(&name)).collect()));
                }
                Rule::place => {
                    let whole = part.as_span();
                    let end = whole.start() + whole.as_str().trim_end().len();
                    let here = self.file.span(self.base + whole.start()..self.base + end);
                    span = span.map(|before| before.to(here));
                    let mut parts = part.into_inner();
                    let name = self.name(&parts.next()?);
                    segments.push(match parts.next() {
                        None => Segment::Name(name),
                        Some(index) if index.as_rule() == Rule::star => Segment::All(name),
                        Some(index) => Segment::Index(name, self.integer(&index)),
                    });
                }
                _ => {}
            }
        }
        Some(Selector { model: model?, segments, span: span? })
    }

    /// The value of an `expr`.
    pub(crate) fn value(&self, pair: Parsed<'_>) -> Expr {
        self.expr(pair).expr
    }

    /// What stands where a value could not be built; an error has been reported.
    fn nothing(&self) -> Built {
        let span = self.file.span(self.base..self.base);
        Built { expr: Expr { kind: ExprKind::Bool(false), span }, outer: span, depth: 0, comparison: false }
    }

    fn too_deep(&self, span: Span) {
        if self.errors.borrow().iter().all(|error| error.code != codes::NESTED_TOO_DEEPLY) {
            self.error(
                Diagnostic::error(codes::NESTED_TOO_DEEPLY, "the value has too many parts")
                    .primary(span, format!("more than {VALUE_DEPTH} operators and parts in a row"))
                    .help("give parts of it names of their own, with `let` in a step or with parameters"),
            );
        }
    }

    fn expr(&self, pair: Parsed<'_>) -> Built {
        OPERATORS
            .map_primary(|term| self.term(term))
            .map_prefix(|operator, operand| {
                let span = self.span(&operator).to(operand.outer);
                let operator =
                    if operator.as_rule() == Rule::not { UnaryOperator::Not } else { UnaryOperator::Negate };
                let depth = operand.depth + 1;
                if depth > VALUE_DEPTH {
                    self.too_deep(span.before());
                    return operand;
                }
                let kind = ExprKind::Unary { operator, operand: Box::new(operand.expr) };
                Built { expr: Expr { kind, span }, outer: span, depth, comparison: false }
            })
            .map_infix(|left, operator, right| self.binary(left, &operator, right))
            .parse(pair.into_inner())
    }

    fn binary(&self, left: Built, pair: &Parsed<'_>, right: Built) -> Built {
        let operator = match pair.as_rule() {
            Rule::add => BinaryOperator::Add,
            Rule::subtract => BinaryOperator::Subtract,
            Rule::multiply => BinaryOperator::Multiply,
            Rule::divide => BinaryOperator::Divide,
            Rule::equal => BinaryOperator::Equal,
            Rule::not_equal => BinaryOperator::NotEqual,
            Rule::less => BinaryOperator::Less,
            Rule::less_equal => BinaryOperator::LessEqual,
            Rule::greater => BinaryOperator::Greater,
            Rule::greater_equal => BinaryOperator::GreaterEqual,
            Rule::and => BinaryOperator::And,
            _ => BinaryOperator::Or,
        };
        let operator_span = self.span(pair);
        let depth = left.depth.max(right.depth) + 1;
        if depth > VALUE_DEPTH {
            self.too_deep(operator_span);
            return left;
        }
        if operator.is_comparison()
            && left.comparison
            && let ExprKind::Binary { operator_span: first, .. } = &left.expr.kind
        {
            // With the parentheses, if it has any: they stand between the two operators.
            let middle = self.file.span(first.end() as usize..operator_span.start as usize);
            let copy = self.slice(middle).trim().to_owned();
            let diagnostic = Diagnostic::error(codes::CHAINED_COMPARISON, "comparisons cannot be chained")
                .primary(operator_span, "a second comparison")
                .secondary(*first, "the first one");
            self.error(if self.text.starts_with("require") {
                diagnostic.help("make two claims of it: each requires one thing")
            } else {
                diagnostic.help_edit("compare twice", operator_span.before(), format!("and {copy} "))
            });
        }
        let span = left.outer.to(right.outer);
        let kind = ExprKind::Binary {
            operator,
            operator_span,
            left: Box::new(left.expr),
            right: Box::new(right.expr),
        };
        Built { expr: Expr { kind, span }, outer: span, depth, comparison: operator.is_comparison() }
    }

    fn slice(&self, span: Span) -> &'a str {
        let range = span.range();
        self.text.get(range.start - self.base..range.end - self.base).unwrap_or("")
    }

    fn term(&self, pair: Parsed<'_>) -> Built {
        let mut parts = pair.into_inner();
        let Some(primary) = parts.next() else { return self.nothing() };
        let mut built = self.primary(primary);
        for part in parts {
            let span = built.outer.to(self.span(&part));
            let mut depth = built.depth + 1;
            if depth > VALUE_DEPTH {
                self.too_deep(self.span(&part).before());
                return built;
            }
            let of = Box::new(built.expr);
            let kind = match part.as_rule() {
                Rule::call => {
                    let mut arguments = Vec::new();
                    for argument in part.into_inner() {
                        let (argument, inner) = self.argument(argument);
                        arguments.push(argument);
                        depth = depth.max(inner + 1);
                    }
                    ExprKind::Call { callee: of, arguments }
                }
                Rule::index => {
                    let index = part.into_inner().next().filter(|index| index.as_rule() == Rule::expr);
                    let index = index.map(|index| {
                        let index = self.expr(index);
                        depth = depth.max(index.depth + 1);
                        Box::new(index.expr)
                    });
                    ExprKind::Index { of, index }
                }
                _ => {
                    let Some(name) = part.into_inner().next() else { return self.nothing() };
                    ExprKind::Member { of, name: self.name(&name) }
                }
            };
            built = Built { expr: Expr { kind, span }, outer: span, depth, comparison: false };
        }
        built
    }

    fn argument(&self, pair: Parsed<'_>) -> (Argument, usize) {
        let mut name = None;
        let mut value = self.nothing();
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::ident => name = Some(self.name(&part)),
                _ => value = self.expr(part),
            }
        }
        (Argument { name, value: value.expr }, value.depth)
    }

    fn primary(&self, pair: Parsed<'_>) -> Built {
        let mut span = self.span(&pair);
        let mut depth = 0;
        let mut inner = |expr: Parsed<'_>| {
            let built = self.expr(expr);
            depth = depth.max(built.depth + 1);
            built.expr
        };
        let kind = match pair.as_rule() {
            Rule::number => ExprKind::Number(self.number(pair)),
            Rule::string => ExprKind::Text(self.text(&pair)),
            Rule::boolean => ExprKind::Bool(pair.as_str() == "true"),
            Rule::list => ExprKind::List(pair.into_inner().map(&mut inner).collect()),
            Rule::record => ExprKind::Record(
                pair.into_inner()
                    .filter_map(|field| {
                        let mut parts = field.into_inner();
                        let name = self.name(&parts.next()?);
                        Some(Field { name, value: inner(parts.next()?) })
                    })
                    .collect(),
            ),
            Rule::parens => {
                let Some(expr) = pair.into_inner().next() else { return self.nothing() };
                return Built { comparison: false, outer: span, ..self.expr(expr) };
            }
            Rule::if_expr => {
                let mut parts = pair.into_inner().filter(|part| part.as_rule() == Rule::expr);
                let (Some(condition), Some(then), Some(otherwise)) =
                    (parts.next(), parts.next(), parts.next())
                else {
                    return self.nothing();
                };
                let (condition, then) = (Box::new(inner(condition)), Box::new(inner(then)));
                let last = self.expr(otherwise);
                depth = depth.max(last.depth + 1);
                span = span.before().to(last.outer);
                ExprKind::If { condition, then, otherwise: Box::new(last.expr) }
            }
            _ => ExprKind::Name(pair.as_str().to_owned()),
        };
        Built { expr: Expr { kind, span }, outer: span, depth, comparison: false }
    }

    pub(crate) fn kind(&self, pair: &Parsed<'_>) -> (BindingKind, Span) {
        (BindingKind::from_keyword(pair.as_str()).unwrap_or(BindingKind::Data), self.span(pair))
    }

    pub(crate) fn place(&self, pair: &Parsed<'_>) -> Span {
        self.span(pair)
    }
}
