//! Values of expressions in one arm. Names bind late: an override replaces a definition, and what
//! depends on it follows.

use crate::catalogue::Catalogue;
use crate::definitions::{Definitions, find};
use crate::graph::TypedGraph;
use crate::value::{Mismatch, Range, Unit, Value, convert, from_json, plain, unit_of, written};
use crate::{Messages, list, nearest, unknown_name};
use serde_json::Value as Json;
use std::collections::HashMap;
use zoo_diagnostics::{Diagnostic, Sources, Span, codes};
use zoo_schema::experiment::{Instance, Schedule};
use zoo_schema::{Component, ParameterType};
use zoo_syntax::ast::{Argument, BinaryOperator, Expr, ExprKind, Param, TypeExpression, UnaryOperator};

/// Checks one arm. Everything it computes is remembered by full name.
pub(crate) struct ArmChecker<'d> {
    pub(crate) definitions: &'d Definitions<'d>,
    pub(crate) catalogue: &'d Catalogue,
    pub(crate) sources: &'d Sources,
    pub(crate) messages: &'d mut Messages,
    pub(crate) arm: usize,
    memory: HashMap<String, Value>,
    /// What is being computed, for cycles.
    pub(crate) stack: Vec<(String, Span)>,
    /// Finished instances, referenced ones before those that refer to them.
    pub(crate) instances: Vec<Instance>,
    pub(crate) schemas: HashMap<String, &'d Component>,
    pub(crate) graphs: Vec<TypedGraph>,
    /// Metric name to whether it is printed as a percentage.
    pub(crate) percent: HashMap<String, bool>,
    pub(crate) cost: crate::cost::Totals,
    pub(crate) messages_only: bool,
}

/// Values may depend on each other in a row this long.
const CHAIN: usize = 64;

/// Where an expression stands.
#[derive(Clone, Copy)]
pub(crate) struct Site<'s> {
    /// Scope of its names: empty, or `name.` in a used file.
    pub(crate) scope: &'s str,
    /// Name that an inline component gets.
    pub(crate) path: &'s str,
}

impl<'d> ArmChecker<'d> {
    pub(crate) fn new(
        definitions: &'d Definitions<'d>,
        catalogue: &'d Catalogue,
        sources: &'d Sources,
        messages: &'d mut Messages,
        arm: usize,
    ) -> Self {
        Self {
            definitions,
            catalogue,
            sources,
            messages,
            arm,
            memory: HashMap::new(),
            stack: Vec::new(),
            instances: Vec::new(),
            schemas: HashMap::new(),
            graphs: Vec::new(),
            percent: HashMap::new(),
            cost: crate::cost::Totals::default(),
            messages_only: false,
        }
    }

    /// The value of a full name, if it has been computed.
    pub(crate) fn computed(&self, name: &str) -> Option<&Value> {
        self.memory.get(name)
    }

    pub(crate) fn error(&mut self, diagnostic: Diagnostic) -> Value {
        self.messages.push(diagnostic);
        Value::Unknown
    }

    /// The value of a name or number, for expressions of claims: parameters as profile and command
    /// line set them, whatever the arm.
    pub(crate) fn value_of_parameters(&mut self, expression: &Expr) -> Value {
        match expression.as_path() {
            Some(path) if path.names.len() == 1 => self.name("", &path.names[0].text, expression.span),
            Some(path) => self.path(&path, Site { scope: "", path: "claim" }),
            None => Value::Unknown,
        }
    }

    /// Runs `body` unless `name` is being computed already, which is an error that prints the cycle.
    pub(crate) fn remember(
        &mut self,
        name: &str,
        span: Span,
        body: impl FnOnce(&mut Self) -> Value,
    ) -> Value {
        if let Some(value) = self.memory.get(name) {
            return value.clone();
        }
        if let Some(at) = self.stack.iter().position(|(n, _)| n == name) {
            let mut names: Vec<String> = self.stack[at..].iter().map(|(n, _)| format!("`{n}`")).collect();
            names.push(format!("`{name}`"));
            let mut diagnostic = Diagnostic::error(codes::CYCLE, format!("`{name}` depends on itself"))
                .primary(span, "needed here")
                .note(names.join(" needs "));
            for (_, inner) in self.stack[at + 1..].iter().take(3) {
                if *inner != span {
                    diagnostic = diagnostic.secondary(*inner, "by way of this");
                }
            }
            return self.error(diagnostic.help("give one of them a value that needs none of the others"));
        }
        if self.stack.len() >= CHAIN {
            return self.error(
                Diagnostic::error(
                    codes::NESTED_TOO_DEEPLY,
                    format!("`{name}` is at the end of a chain of more than {CHAIN} values"),
                )
                .primary(span, "needed here")
                .help("values may depend on each other, but not in such a long row"),
            );
        }
        self.stack.push((name.to_owned(), span));
        let value = body(self);
        self.stack.pop();
        self.memory.insert(name.to_owned(), value.clone());
        value
    }

    /// The expression in force for a path, with its scope.
    pub(crate) fn in_force(
        &self,
        path: &str,
        base: Option<(&'d Expr, &'d str)>,
    ) -> Option<(&'d Expr, &'d str)> {
        match self.definitions.overriding(path, self.arm) {
            Some(o) => Some((&o.setting.value, "")),
            None => base,
        }
    }

    /// The value of a name, looked up in a scope.
    fn name(&mut self, scope: &str, name: &str, span: Span) -> Value {
        let full = format!("{scope}{name}");
        if let Some(param) = find(&self.definitions.params, &full).copied() {
            return self.param(&full, param.item, param.scope, span);
        }
        if find(&self.definitions.bindings, &full).is_some() {
            return self.binding(&full, span);
        }
        if self.definitions.broken.contains(&full) {
            return Value::Unknown;
        }
        if name == "none" {
            return Value::None;
        }
        let known: Vec<String> = self
            .definitions
            .all_names()
            .iter()
            .filter_map(|n| n.strip_prefix(scope).map(str::to_owned))
            .collect();
        let what = if find(&self.definitions.steps, &full).is_some() {
            let text = format!("`{name}` is a step, which is no value");
            return self.error(
                Diagnostic::error(codes::UNKNOWN_NAME, text).primary(span, "a value is expected here"),
            );
        } else if find(&self.definitions.stages, &full).is_some() {
            let text = format!("`{name}` is a phase, which is no value");
            return self.error(
                Diagnostic::error(codes::UNKNOWN_NAME, text).primary(span, "a value is expected here"),
            );
        } else {
            "parameter or component"
        };
        self.error(unknown_name(name, span, what, &known))
    }

    /// The value of a recipe's parameter, converted to its type and inside its range.
    pub(crate) fn param(&mut self, full: &str, param: &'d Param, scope: &'d str, span: Span) -> Value {
        self.remember(full, span, |this| {
            let Some(kind) = this.type_of(&param.type_expression) else { return Value::Unknown };
            let base = param.value.as_ref().map(|value| (value, scope));
            let Some((expression, scope)) = this.in_force(full, base) else {
                return this.error(
                    Diagnostic::error(codes::PARAMETER_WITHOUT_VALUE, format!("`{full}` has no value"))
                        .primary(param.name.span, "declared here without a default")
                        .help(format!("give it a default, or `--set {full}=…`")),
                );
            };
            if let Some(wrong) = this.bare_text(expression, &kind, scope) {
                return this.error(wrong);
            }
            let value = this.value(expression, Site { scope, path: full });
            let Some(json) = this.converted(&value, &kind, expression, &format!("`{full}`")) else {
                return Value::Unknown;
            };
            if let Some(range) = &param.range
                && let (Some(number), Some(allowed)) = (json.as_f64(), this.range(range, scope))
                && !allowed.contains(number)
            {
                let unit = unit_of(&kind);
                let text =
                    format!("`{full}` is {}, which is not {}", written(number, unit), allowed.describe(unit));
                return this.error(
                    Diagnostic::error(codes::OUT_OF_RANGE, text)
                        .primary(expression.span, "this value")
                        .secondary(range.span(), "allowed range"),
                );
            }
            // Counts keep the unit they were written with: `1 epochs` is not `1 steps`.
            match (&value, &kind) {
                (Value::Number(_, unit), ParameterType::Count) => {
                    Value::Number(json.as_f64().unwrap_or(f64::NAN), *unit)
                }
                (Value::Component { .. }, _) => value,
                _ => from_json(&json, &kind),
            }
        })
    }

    /// A message for a name that nobody knows where a text is wanted: most likely a text without its
    /// quotes. On the command line the shell takes quotes away.
    pub(crate) fn bare_text(
        &self,
        expression: &Expr,
        kind: &ParameterType,
        scope: &str,
    ) -> Option<Diagnostic> {
        let ExprKind::Name(name) = &expression.kind else { return None };
        if self.definitions.begins(&format!("{scope}{name}")) {
            return None;
        }
        let meant = match kind {
            ParameterType::Text | ParameterType::Path => name.as_str(),
            ParameterType::OneOf(choices) if choices.contains(name) => name.as_str(),
            ParameterType::OneOf(choices) => nearest(name, choices.iter().map(String::as_str))?,
            _ => return None,
        };
        let diagnostic = Diagnostic::error(codes::WRONG_TYPE, "a text stands in quotes")
            .primary(expression.span, "a name, and nothing is called so")
            .help_edit("write", expression.span, format!("\"{meant}\""));
        Some(if self.sources.is_command_line(expression.span.file_id()) {
            diagnostic
                .note("the shell takes quotes away; keep them with another pair: `--set 'NAME=\"TEXT\"'`")
        } else {
            diagnostic
        })
    }

    fn type_of(&mut self, written: &TypeExpression) -> Option<ParameterType> {
        match written.to_string().parse() {
            Ok(kind) => Some(kind),
            Err(reason) => {
                let known = [
                    "bool", "int", "real", "count", "tokens", "fraction", "points", "duration", "size",
                    "text", "path", "asset", "one_of", "list",
                ];
                let mut diagnostic =
                    Diagnostic::error(codes::UNKNOWN_TYPE, format!("there is no type `{written}`"))
                        .primary(written.name.span, "not a type");
                diagnostic = match nearest(&written.name.text, known) {
                    Some(near) => {
                        diagnostic.help_edit(format!("did you mean `{near}`?"), written.name.span, near)
                    }
                    None => diagnostic.note(reason.to_string()),
                };
                self.error(diagnostic);
                None
            }
        }
    }

    fn range(&mut self, range: &'d zoo_syntax::ast::Range, scope: &str) -> Option<Range> {
        use zoo_syntax::ast::Range as Written;
        let mut bound = |expression: &'d Expr| match self.value(expression, Site { scope, path: "range" }) {
            Value::Number(number, _) => Some(number),
            _ => None,
        };
        Some(match range {
            Written::Interval { low_open, low, high, high_open, .. } => {
                Range { low: Some((bound(low)?, !low_open)), high: Some((bound(high)?, !high_open)) }
            }
            Written::Compare { operator, bound: limit, .. } => {
                let limit = bound(limit)?;
                match operator {
                    BinaryOperator::GreaterEqual => Range { low: Some((limit, true)), high: None },
                    BinaryOperator::Greater => Range { low: Some((limit, false)), high: None },
                    BinaryOperator::LessEqual => Range { low: None, high: Some((limit, true)) },
                    BinaryOperator::Less => Range { low: None, high: Some((limit, false)) },
                    _ => return None,
                }
            }
        })
    }

    /// JSON in base units, or a message that says what was expected.
    pub(crate) fn converted(
        &mut self,
        value: &Value,
        kind: &ParameterType,
        at: &Expr,
        what: &str,
    ) -> Option<Json> {
        if *value == Value::Unknown {
            return None;
        }
        let mismatch = match convert(value, kind) {
            Ok(json) => return Some(json),
            Err(mismatch) => mismatch,
        };
        let found = value.describe();
        let literal = matches!(at.kind, ExprKind::Number(_));
        let diagnostic = match mismatch {
            Mismatch::MissingUnit(unit) => {
                let number = if let Value::Number(number, _) = value { *number } else { f64::NAN };
                let meaning = match kind {
                    ParameterType::Fraction => format!("this is {}%", plain(number * 100.0)),
                    ParameterType::Points => format!("this is {} percentage points", plain(number * 100.0)),
                    _ => "a plain number".to_owned(),
                };
                let article = if matches!(
                    kind,
                    ParameterType::Fraction | ParameterType::Duration | ParameterType::Size
                ) {
                    "a"
                } else {
                    "in"
                };
                let headline = format!("{what} is {article} {kind}, and {} has no unit", plain(number));
                let diagnostic = Diagnostic::error(codes::MISSING_UNIT, headline).primary(at.span, meaning);
                if literal && unit == "%" && number > 0.0 && number < 1.0 {
                    let meant = format!("{}%", plain(number * 100.0));
                    diagnostic.help_edit("in per cent", at.span, meant)
                } else if literal {
                    let text = self.sources.slice(at.span).to_owned();
                    diagnostic.help_edit(
                        format!("for {}{unit}, write", plain(number)),
                        at.span,
                        format!("{text}{unit}"),
                    )
                } else {
                    diagnostic.help(format!("multiply by `1{unit}`"))
                }
            }
            Mismatch::WrongUnit(unit) => {
                let wanted = match kind {
                    ParameterType::Fraction => "a fraction is written in `%`",
                    ParameterType::Points => "a difference of fractions is written in `pt`",
                    ParameterType::Tokens => "a number of tokens is written in `tok`",
                    ParameterType::Duration => "a time is written in `ms`, `s`, `min` or `h`",
                    ParameterType::Size => "an amount of memory is written in `KiB`, `MiB` or `GiB`",
                    ParameterType::Count => "a count is a plain number, or in `steps`, `seq`, `seeds`",
                    _ => "a plain number is expected",
                };
                Diagnostic::error(codes::WRONG_UNIT, format!("{what} is of type {kind}, not {}", unit.name()))
                    .primary(at.span, format!("this is {}", unit.name()))
                    .note(wanted)
            }
            Mismatch::NotWhole(number) => Diagnostic::error(
                codes::NOT_WHOLE,
                format!("{what} is a {kind}, and {} is not whole", plain(number)),
            )
            .primary(at.span, format!("this is {}", plain(number)))
            .help("choose the numbers it is made of so that it comes out whole"),
            Mismatch::Negative(number) => Diagnostic::error(
                codes::OUT_OF_RANGE,
                format!("{what} is a {kind}, and {} is negative", plain(number)),
            )
            .primary(at.span, "below zero"),
            Mismatch::NoChoice(text) => {
                let ParameterType::OneOf(choices) = kind else { return None };
                let diagnostic =
                    Diagnostic::error(codes::NO_SUCH_CHOICE, format!("{what} cannot be \"{text}\""))
                        .primary(at.span, "no such choice");
                match nearest(&text, choices.iter().map(String::as_str)) {
                    Some(near) => diagnostic.help_edit(
                        format!("did you mean \"{near}\"?"),
                        at.span,
                        format!("\"{near}\""),
                    ),
                    None => diagnostic.note(format!("choices are {}", list(choices))),
                }
            }
            Mismatch::OtherKind { kind: found, wanted } => Diagnostic::error(
                codes::WRONG_KIND,
                format!("{what} takes {}, not {}", crate::a_kind(&wanted), crate::a_kind(&found)),
            )
            .primary(at.span, format!("this is of kind {found}")),
            Mismatch::OtherType => {
                Diagnostic::error(codes::WRONG_TYPE, format!("{what} is of type {kind}, not {found}"))
                    .primary(at.span, format!("this is {found}"))
            }
        };
        self.error(diagnostic);
        None
    }

    /// The value of an expression.
    pub(crate) fn value(&mut self, expression: &'d Expr, site: Site<'_>) -> Value {
        match &expression.kind {
            ExprKind::Number(number) => {
                Value::Number(number.base(), number.unit.and_then(|u| Unit::of(u.as_str())).map(|(u, _)| u))
            }
            ExprKind::Text(text) => Value::Text(text.value.clone()),
            ExprKind::Bool(value) => Value::Bool(*value),
            ExprKind::Name(name) => self.name(site.scope, name, expression.span),
            ExprKind::List(items) => {
                let values: Vec<Value> = items
                    .iter()
                    .enumerate()
                    .map(|(i, item)| {
                        let path = format!("{}.{i}", site.path);
                        self.value(item, Site { path: &path, ..site })
                    })
                    .collect();
                if values.contains(&Value::Unknown) { Value::Unknown } else { Value::List(values) }
            }
            ExprKind::Record(_) => self.error(
                Diagnostic::error(codes::WRONG_TYPE, "a record is no value here")
                    .primary(expression.span, "not expected here")
                    .help("give the parts as arguments of their own"),
            ),
            ExprKind::Member { .. } => match expression.as_path() {
                Some(path) => self.path(&path, site),
                None => self.error(
                    Diagnostic::error(codes::WRONG_TYPE, "only names have parts here")
                        .primary(expression.span, "not a path of names"),
                ),
            },
            ExprKind::Index { .. } => self.error(
                Diagnostic::error(codes::WRONG_TYPE, "nothing is indexed here")
                    .primary(expression.span, "not expected here"),
            ),
            ExprKind::Call { callee, arguments } => self.call(expression, callee, arguments, site),
            ExprKind::Unary { operator, operand } => match (operator, self.value(operand, site)) {
                (_, Value::Unknown) => Value::Unknown,
                (UnaryOperator::Negate, Value::Number(number, unit)) => Value::Number(-number, unit),
                (UnaryOperator::Not, Value::Bool(value)) => Value::Bool(!value),
                (_, other) => self.error(
                    Diagnostic::error(
                        codes::WRONG_TYPE,
                        format!("`{}` does not apply here", operator.as_str()),
                    )
                    .primary(operand.span, format!("this is {}", other.describe())),
                ),
            },
            ExprKind::Binary { operator, operator_span, left, right } => {
                let values = (self.value(left, site), self.value(right, site));
                self.binary(*operator, *operator_span, (left, &values.0), (right, &values.1))
            }
            ExprKind::If { condition, then, otherwise } => match self.value(condition, site) {
                Value::Bool(true) => self.value(then, site),
                Value::Bool(false) => self.value(otherwise, site),
                Value::Unknown => Value::Unknown,
                other => self.error(
                    Diagnostic::error(codes::WRONG_TYPE, "a condition is true or false")
                        .primary(condition.span, format!("this is {}", other.describe())),
                ),
            },
        }
    }

    fn binary(
        &mut self,
        operator: BinaryOperator,
        operator_span: Span,
        (left_at, left): (&Expr, &Value),
        (right_at, right): (&Expr, &Value),
    ) -> Value {
        use BinaryOperator as B;
        match (operator, left, right) {
            (_, Value::Unknown, _) | (_, _, Value::Unknown) => Value::Unknown,
            (B::And, Value::Bool(a), Value::Bool(b)) => Value::Bool(*a && *b),
            (B::Or, Value::Bool(a), Value::Bool(b)) => Value::Bool(*a || *b),
            (B::Equal, a, b) if !matches!((a, b), (Value::Number(..), Value::Number(..))) => {
                Value::Bool(a == b)
            }
            (B::NotEqual, a, b) if !matches!((a, b), (Value::Number(..), Value::Number(..))) => {
                Value::Bool(a != b)
            }
            (_, Value::Number(a, unit_a), Value::Number(b, unit_b)) => {
                let additive = !matches!(operator, B::Multiply | B::Divide);
                let percent = |unit: &Option<Unit>| matches!(unit, Some(Unit::Percent | Unit::Points));
                let clash = match (unit_a, unit_b) {
                    (Some(x), Some(y)) if additive => x != y && !(percent(unit_a) && percent(unit_b)),
                    (Some(x), None) | (None, Some(x)) if additive => {
                        matches!(x, Unit::Percent | Unit::Points | Unit::Size | Unit::Duration)
                    }
                    _ => false,
                };
                if clash {
                    let name = |unit: &Option<Unit>| unit.map_or("a plain number", Unit::name);
                    return self.error(
                        Diagnostic::error(
                            codes::UNITS_CLASH,
                            format!("{} and {} do not go together", name(unit_a), name(unit_b)),
                        )
                        .primary(operator_span, "between these")
                        .secondary(left_at.span, format!("this is {}", left.describe()))
                        .secondary(right_at.span, format!("this is {}", right.describe())),
                    );
                }
                let number = match operator {
                    B::Add => a + b,
                    B::Subtract => a - b,
                    B::Multiply => a * b,
                    B::Divide if *b == 0.0 => {
                        return self.error(
                            Diagnostic::error(codes::OUT_OF_RANGE, "division by zero")
                                .primary(right_at.span, "this is 0"),
                        );
                    }
                    B::Divide => a / b,
                    B::Equal => return Value::Bool(a == b),
                    B::NotEqual => return Value::Bool(a != b),
                    B::Less => return Value::Bool(a < b),
                    B::LessEqual => return Value::Bool(a <= b),
                    B::Greater => return Value::Bool(a > b),
                    B::GreaterEqual => return Value::Bool(a >= b),
                    B::And | B::Or => {
                        return self.error(
                            Diagnostic::error(
                                codes::WRONG_TYPE,
                                format!("`{}` joins truth values", operator.as_str()),
                            )
                            .primary(operator_span, "between numbers"),
                        );
                    }
                };
                // A share of something is that something; a product with a plain number keeps the unit.
                let unit = match (operator, unit_a, unit_b) {
                    (B::Divide, Some(a), Some(b)) if a == b => None,
                    (B::Multiply, Some(Unit::Percent), Some(other)) => Some(*other),
                    (B::Multiply, Some(other), Some(Unit::Percent)) => Some(*other),
                    (B::Multiply, None, Some(Unit::Percent)) | (B::Multiply, Some(Unit::Percent), None) => {
                        let literal = |e: &Expr| matches!(e.kind, ExprKind::Number(_));
                        // `2 * 15%` is a fraction, `hidden * 25%` a number.
                        let plain_side = if unit_a.is_none() { left_at } else { right_at };
                        literal(plain_side).then_some(Unit::Percent)
                    }
                    (_, Some(unit), _) => Some(*unit),
                    (B::Divide, None, Some(_)) => None,
                    (_, None, other) => *other,
                };
                Value::Number(number, unit)
            }
            _ => self.error(
                Diagnostic::error(codes::WRONG_TYPE, format!("`{}` does not apply here", operator.as_str()))
                    .primary(operator_span, "between these")
                    .secondary(left_at.span, format!("this is {}", left.describe()))
                    .secondary(right_at.span, format!("this is {}", right.describe())),
            ),
        }
    }

    /// `a.b`: a name of a used file, a parameter of a component, a setting of a phase.
    fn path(&mut self, path: &zoo_syntax::ast::Path, site: Site<'_>) -> Value {
        let names = &path.names;
        let scope = site.scope;
        let two = format!("{}.{}", names[0].text, names[1].text);
        let (head, rest) = if self.definitions.has(&two) || self.definitions.broken.contains(&two) {
            (two, &names[2..])
        } else {
            (format!("{scope}{}", names[0].text), &names[1..])
        };
        if rest.is_empty() {
            return self.name("", &head, path.span);
        }
        if self.definitions.broken.contains(&head) {
            return Value::Unknown;
        }
        if let Some(stage) = find(&self.definitions.stages, &head).copied() {
            let setting = &rest[0].text;
            let full = format!("{head}.{setting}");
            let base = crate::definitions::settings(&stage.item.body)
                .find(|s| s.path.to_string() == *setting)
                .map(|s| (&s.value, stage.scope));
            return match self.in_force(&full, base) {
                Some((expression, scope)) => self
                    .remember(&full, path.span, |this| this.value(expression, Site { scope, path: &full })),
                None => self.error(
                    Diagnostic::error(
                        codes::UNKNOWN_PARAMETER,
                        format!("the phase `{head}` does not set `{setting}`"),
                    )
                    .primary(rest[0].span, "has no value"),
                ),
            };
        }
        if find(&self.definitions.bindings, &head).is_some() {
            let of = self.binding(&head, names[0].span);
            let Value::Component { name, .. } = of else { return Value::Unknown };
            return self.parameter_of(&name, &rest[0]);
        }
        if self.catalogue.component(&path.to_string()).is_some() {
            let text = format!("`{path}` is a component; call it to have one");
            return self.error(
                Diagnostic::error(codes::UNKNOWN_NAME, text).primary(path.span, "not called").help_edit(
                    "add the parentheses",
                    path.span.after(),
                    "()",
                ),
            );
        }
        self.error(self.definitions.unknown(path, scope, "parameter or component"))
    }

    /// The value of a parameter of a finished instance.
    fn parameter_of(&mut self, instance: &str, name: &zoo_syntax::ast::Name) -> Value {
        let Some(schema) = self.schemas.get(instance).copied() else { return Value::Unknown };
        let Some(parameter) = schema.parameter(&name.text) else {
            let known: Vec<&str> = schema.parameters.iter().map(|p| p.name.as_str()).collect();
            let defined = find(&self.definitions.bindings, instance).map_or(name.span, |b| b.item.name.span);
            let diagnostic = crate::definitions::unknown_part(instance, "parameter", name, &known, defined);
            return self.error(diagnostic);
        };
        let found = self.instances.iter().find(|i| i.name == instance);
        let json = found.and_then(|i| i.parameters.get(&name.text)).cloned().unwrap_or(Json::Null);
        if let Some(Json::String(reference)) = json.get("$instance") {
            let kind = self.schemas.get(reference.as_str()).map(|s| s.kind.clone()).unwrap_or_default();
            return Value::Component { name: reference.clone(), kind };
        }
        from_json(&json, &parameter.kind)
    }

    fn call(
        &mut self,
        expression: &'d Expr,
        callee: &'d Expr,
        arguments: &'d [Argument],
        site: Site<'_>,
    ) -> Value {
        if let ExprKind::Name(name) = &callee.kind {
            match name.as_str() {
                "asset" => return self.asset(expression, arguments),
                "ramp" | "cosine" | "exponential" => return self.ramp(name, expression, arguments, site),
                "steps_at" => return self.steps_at(expression, arguments, site),
                "measure" => {
                    return self.error(
                        Diagnostic::error(codes::WRONG_TYPE, "`measure` makes an evaluation")
                            .primary(expression.span, "only `eval NAME = measure(…)` is possible"),
                    );
                }
                _ => {}
            }
        }
        match self.instance(site.path, expression, site.scope, None, None) {
            Some(kind) => Value::Component { name: site.path.to_owned(), kind },
            None => Value::Unknown,
        }
    }

    fn asset(&mut self, expression: &'d Expr, arguments: &'d [Argument]) -> Value {
        if let [Argument { name: None, value }] = arguments
            && let ExprKind::Text(text) = &value.kind
        {
            let uri = &text.value;
            let known = ["file:", "https:", "http:", "hf:", "pypi:"];
            if let Some((scheme, _)) = uri.split_once(':')
                && !known.contains(&format!("{scheme}:").as_str())
                && scheme.len() > 1
            {
                let mut diagnostic =
                    Diagnostic::error(codes::BAD_ASSET, format!("there is no asset scheme `{scheme}:`"))
                        .primary(value.span, "unknown scheme")
                        .note("schemes are `file:`, `https:`, `hf:` and `pypi:`");
                if let Some(near) = nearest(&format!("{scheme}:"), known) {
                    diagnostic = diagnostic.help(format!("did you mean `{near}`?"));
                }
                return self.error(diagnostic);
            }
            if let Some(rest) = uri.strip_prefix("pypi:")
                && !(rest.contains("==") && rest.contains('/'))
            {
                return self.error(
                    Diagnostic::error(codes::BAD_ASSET, "a package is pinned, and a path in it is named")
                        .primary(value.span, "expected `pypi:NAME==VERSION/PATH`"),
                );
            }
            let uri = if uri.contains(':') { uri.clone() } else { format!("file:{uri}") };
            return Value::Asset(uri);
        }
        self.error(
            Diagnostic::error(codes::BAD_ASSET, "`asset` takes one string")
                .primary(expression.span, "expected `asset(\"file:…\")`, `https:`, `hf:` or `pypi:`"),
        )
    }

    fn ramp(
        &mut self,
        which: &str,
        expression: &'d Expr,
        arguments: &'d [Argument],
        site: Site<'_>,
    ) -> Value {
        let mut parts = HashMap::new();
        for argument in arguments {
            let Some(name) = &argument.name else { continue };
            if let Value::Number(number, unit) = self.value(&argument.value, site) {
                parts.insert(name.text.as_str(), (number, unit));
            } else {
                return Value::Unknown;
            }
        }
        match (parts.get("from"), parts.get("to"), parts.get("over"), parts.len() == arguments.len()) {
            (Some((from, _)), Some((to, _)), Some((over, _)), true) if parts.len() == 3 => {
                let (from, to, over) = (*from, *to, *over as u64);
                Value::Schedule(match which {
                    "ramp" => Schedule::Ramp { from, to, over },
                    "cosine" => Schedule::Cosine { from, to, over },
                    _ if from * to > 0.0 => Schedule::Exponential { from, to, over },
                    _ => {
                        return self.error(
                            Diagnostic::error(
                                codes::BAD_SCHEDULE,
                                "`exponential` goes between two values of one sign, neither of them 0",
                            )
                            .primary(
                                expression.span,
                                "expected `exponential(from: 2.0, to: 0.1, over: 2k steps)`",
                            ),
                        );
                    }
                })
            }
            _ => self.error(
                Diagnostic::error(codes::BAD_SCHEDULE, format!("`{which}` takes `from:`, `to:` and `over:`"))
                    .primary(
                        expression.span,
                        format!("expected `{which}(from: 15%, to: 30%, over: 2k steps)`"),
                    ),
            ),
        }
    }

    fn steps_at(&mut self, expression: &'d Expr, arguments: &'d [Argument], site: Site<'_>) -> Value {
        let mut at = Vec::new();
        if let [Argument { name: None, value }] = arguments {
            match self.value(value, site) {
                Value::Unknown => return Value::Unknown,
                Value::List(pairs) => {
                    for pair in pairs {
                        if let Value::List(pair) = &pair
                            && let [Value::Number(step, _), Value::Number(value, _)] = pair.as_slice()
                        {
                            at.push((*step as u64, *value));
                        }
                    }
                    if at.first().is_some_and(|(step, _)| *step == 0)
                        && at.is_sorted_by_key(|(step, _)| *step)
                    {
                        return Value::Schedule(Schedule::StepsAt { at });
                    }
                }
                _ => {}
            }
        }
        self.error(
            Diagnostic::error(
                codes::BAD_SCHEDULE,
                "`steps_at` takes pairs of update and value, from update 0 on",
            )
            .primary(expression.span, "expected `steps_at([[0, 15%], [1000, 30%]])`"),
        )
    }
}
