//! Claims: inequalities over results of arms, and costs that arms must share.

use crate::definitions::Definitions;
use crate::phases::ArmFacts;
use crate::value::{Unit, plain};
use crate::{Input, Messages, list, nearest, place};
use zoo_diagnostics::{Diagnostic, Sources, Span, codes};
use zoo_schema::experiment::{Arm, Claim, Experiment, Holding, Operator, Quantity, Relation, Requirement};
use zoo_syntax::ast::{BinaryOperator, ClaimStatement, Expr, ExprKind, UnaryOperator};

/// Costs that `holding` and `cost.…` know.
const COSTS: &[&str] = &["train_flops", "parameters", "steps", "examples"];

struct Checker<'c, 'd> {
    definitions: &'c Definitions<'d>,
    sources: &'c Sources,
    messages: &'c mut Messages,
    facts: &'c [ArmFacts],
    arms: &'c [Arm],
}

/// A quantity with what its numbers mean.
struct Typed {
    quantity: Quantity,
    /// Made of metrics that are shares.
    fraction: bool,
    /// A plain number, and where it stands.
    number: Option<(f64, Option<Unit>, Span)>,
}

pub(crate) fn check(
    definitions: &Definitions<'_>,
    sources: &Sources,
    messages: &mut Messages,
    facts: &[ArmFacts],
    input: &Input<'_>,
    experiment: &mut Experiment,
) {
    let mut claims = Vec::new();
    {
        let mut checker = Checker { definitions, sources, messages, facts, arms: &experiment.arms };
        for claim in &definitions.claims {
            claims.extend(checker.claim(claim, input));
        }
    }
    let asked = claims.iter().map(|c: &Claim| c.seeds).max().unwrap_or(1);
    experiment.seeds = input.seeds.unwrap_or(asked).max(1);
    experiment.claims = claims;
}

/// The arms that a claim compares.
pub(crate) fn arms_of(claim: &Claim) -> Vec<String> {
    let mut arms = Vec::new();
    collect(&claim.require.left, &mut arms);
    collect(&claim.require.right, &mut arms);
    arms.sort();
    arms.dedup();
    arms
}

fn collect(quantity: &Quantity, arms: &mut Vec<String>) {
    match quantity {
        Quantity::Number(_) => {}
        Quantity::Metric { arm, .. } => arms.push(arm.clone()),
        Quantity::Arithmetic { left, right, .. } => {
            collect(left, arms);
            collect(right, arms);
        }
        Quantity::Negative(inner) | Quantity::Absolute(inner) => collect(inner, arms),
    }
}

impl Checker<'_, '_> {
    fn error<T>(&mut self, diagnostic: Diagnostic) -> Option<T> {
        self.messages.push(diagnostic);
        None
    }

    fn claim(&mut self, claim: &zoo_syntax::ast::Claim, input: &Input<'_>) -> Option<Claim> {
        let mut require = None;
        let mut seeds = None;
        let mut paired = false;
        let mut confidence = 0.95;
        let mut holding = Vec::new();
        let mut stop = false;
        let mut source = None;
        let mut profiles: Option<Vec<String>> = None;
        let mut broken = false;
        for statement in &claim.body {
            if let ClaimStatement::Setting(setting) = statement {
                match (setting.path.to_string().as_str(), &setting.value.kind) {
                    ("source", ExprKind::Text(text)) => source = Some(text.value.clone()),
                    ("profiles", ExprKind::List(items)) => {
                        let names = items.iter().filter_map(|e| match &e.kind {
                            ExprKind::Text(text) => Some((text.value.clone(), e.span)),
                            ExprKind::Name(name) => Some((name.clone(), e.span)),
                            _ => None,
                        });
                        let known = self.definitions.profile_names();
                        let mut chosen = Vec::new();
                        for (name, span) in names {
                            if !known.contains(&name) {
                                self.messages.push(crate::unknown_name(&name, span, "profile", &known));
                            }
                            chosen.push(name);
                        }
                        profiles = Some(chosen);
                    }
                    ("stop_when_decided", ExprKind::Bool(value)) => stop = *value,
                    ("source" | "profiles" | "stop_when_decided", _) => {
                        let wanted = match setting.path.to_string().as_str() {
                            "source" => "a string",
                            "profiles" => "a list of profiles",
                            _ => "true or false",
                        };
                        self.messages.push(
                            Diagnostic::error(
                                codes::WRONG_TYPE,
                                format!("`{}` takes {wanted}", setting.path),
                            )
                            .primary(setting.value.span, format!("not {wanted}")),
                        );
                    }
                    (other, _) => {
                        let known = ["source", "profiles", "stop_when_decided"];
                        let name = &setting.path.names[0];
                        let diagnostic = Diagnostic::error(
                            codes::UNKNOWN_PARAMETER,
                            format!("a claim has no setting `{other}`"),
                        )
                        .primary(name.span, "unknown setting");
                        self.messages.push(match nearest(other, known) {
                            Some(near) => diagnostic.help_edit(format!("did you mean `{near}`?"), name.span, near),
                            None => diagnostic.note("it has `require`, `over`, `holding`, `source`, `profiles` and `stop_when_decided`"),
                        });
                    }
                }
            }
        }
        if profiles.as_ref().is_some_and(|p| !input.profile.is_some_and(|now| p.iter().any(|x| x == now))) {
            return None;
        }
        for statement in &claim.body {
            match statement {
                ClaimStatement::Require { condition, span } => {
                    if require.is_some() {
                        self.messages.push(
                            Diagnostic::error(codes::ONE_REQUIREMENT, "a claim requires one thing")
                                .primary(*span, "a second one")
                                .help("make it a claim of its own: each is judged, and the number of claims counts"),
                        );
                    }
                    match self.requirement(condition) {
                        Some(made) => require = Some((made, condition.span)),
                        None => broken = true,
                    }
                }
                ClaimStatement::Over { seeds: number, paired: p, confidence: c, span } => {
                    seeds = self.seeds(number, input, &mut broken);
                    paired = p.is_some();
                    if let Some(c) = c {
                        confidence =
                            if c.unit.is_none() && c.value > 1.0 { c.value / 100.0 } else { c.base() };
                        if !(0.5..1.0).contains(&confidence) {
                            self.messages.push(
                                Diagnostic::error(
                                    codes::OUT_OF_RANGE,
                                    "a confidence is between 50% and 100%",
                                )
                                .primary(c.span, "this value")
                                .help_edit("the usual one is", c.span, "95%"),
                            );
                            broken = true;
                        }
                    }
                    let _ = span;
                }
                ClaimStatement::Holding { cost, within, span } => {
                    if let Some(held) = self.holding(cost, within.as_ref()) {
                        holding.push((held, *span));
                    }
                }
                ClaimStatement::StopWhenDecided { .. } => stop = true,
                ClaimStatement::Broken(_) => broken = true,
                ClaimStatement::Setting(_) => {}
            }
        }
        let Some((require, condition)) = require else {
            if !broken {
                self.messages.push(
                    Diagnostic::error(codes::ONE_REQUIREMENT, "the claim requires nothing")
                        .primary(claim.title.span, "no `require`")
                        .help("add `require METRIC(ARM) > METRIC(OTHER_ARM)`"),
                );
            }
            return None;
        };
        let made = Claim {
            title: claim.title.value.clone(),
            require,
            text: self.sources.slice(condition).to_owned(),
            paired,
            confidence,
            seeds: seeds.unwrap_or(3),
            holding: holding.iter().map(|(h, _)| h.clone()).collect(),
            source,
            stop_when_decided: stop,
            place: place(self.sources, claim.title.span),
        };
        for (held, span) in holding {
            self.check_holding(&made, &held, span);
        }
        (!broken).then_some(made)
    }

    fn seeds(&mut self, expression: &Expr, input: &Input<'_>, broken: &mut bool) -> Option<u64> {
        let value = match &expression.kind {
            ExprKind::Number(number) => Some(number.base()),
            _ => {
                // A parameter, as the first arm sees it.
                let mut arm = crate::evaluate::ArmChecker::new(
                    self.definitions,
                    input.catalogue,
                    self.sources,
                    self.messages,
                    usize::MAX,
                );
                match arm.seeds_value(expression) {
                    crate::value::Value::Number(number, _) => Some(number),
                    crate::value::Value::Unknown => {
                        *broken = true;
                        return None;
                    }
                    _ => None,
                }
            }
        };
        match value {
            Some(number) if number >= 1.0 && number.fract() == 0.0 => Some(number as u64),
            _ => {
                self.messages.push(
                    Diagnostic::error(
                        codes::OUT_OF_RANGE,
                        "a claim is judged over a whole number of seeds, at least 1",
                    )
                    .primary(expression.span, "this value"),
                );
                *broken = true;
                None
            }
        }
    }

    fn requirement(&mut self, condition: &Expr) -> Option<Requirement> {
        let ExprKind::Binary { operator, operator_span, left, right } = &condition.kind else {
            return self.not_an_inequality(condition.span);
        };
        let relation = match operator {
            BinaryOperator::Greater | BinaryOperator::GreaterEqual => Relation::Greater,
            BinaryOperator::Less | BinaryOperator::LessEqual => Relation::Less,
            BinaryOperator::Equal => {
                return self.error(
                    Diagnostic::error(codes::NOT_AN_INEQUALITY, "two measured numbers are never equal")
                        .primary(*operator_span, "`==`")
                        .help("say how near is near enough: `abs(a - b) < 1 pt`"),
                );
            }
            _ => return self.not_an_inequality(condition.span),
        };
        let (a, b) = (self.quantity(left), self.quantity(right));
        let (a, b) = (a?, b?);
        self.check_units(&a, &b);
        let mut arms = Vec::new();
        collect(&a.quantity, &mut arms);
        collect(&b.quantity, &mut arms);
        if arms.is_empty() {
            return self.error(
                Diagnostic::error(codes::NOT_AN_INEQUALITY, "the claim is about no measured number")
                    .primary(condition.span, "only numbers that are known before the run"),
            );
        }
        Some(Requirement { left: a.quantity, relation, right: b.quantity })
    }

    fn not_an_inequality<T>(&mut self, span: Span) -> Option<T> {
        self.error(
            Diagnostic::error(codes::NOT_AN_INEQUALITY, "a claim is an inequality")
                .primary(span, "not one")
                .help("write `METRIC(ARM) > METRIC(OTHER_ARM)`, with a margin if you like: `+ 1 pt`"),
        )
    }

    /// A share is compared with shares: a plain number beside it lacks its unit.
    fn check_units(&mut self, a: &Typed, b: &Typed) {
        for (measured, other) in [(a, b), (b, a)] {
            let Some((number, unit, span)) = &other.number else { continue };
            if measured.fraction && unit.is_none() && *number != 0.0 {
                let text = self.sources.slice(*span).to_owned();
                // `> 0.8` of a share means 80%; as a difference 1.0 would mean one point.
                let (edit, meaning) = if *number > 0.0 && *number < 1.0 {
                    (format!("{}%", plain(number * 100.0)), format!("{text} as a share is"))
                } else {
                    (format!("{text} pt"), "one percentage point is `1 pt`".to_owned())
                };
                self.messages.push(
                    Diagnostic::error(codes::MARGIN_WITHOUT_UNIT, "the number has no unit")
                        .primary(*span, "a plain number")
                        .note("the metric is a share: 0.751 is printed as 75.1%")
                        .help_edit(meaning, *span, edit),
                );
            }
        }
    }

    fn quantity(&mut self, expression: &Expr) -> Option<Typed> {
        match &expression.kind {
            ExprKind::Number(number) => {
                let unit = number.unit.and_then(|u| Unit::of(u.as_str())).map(|(u, _)| u);
                let value = number.base();
                Some(Typed {
                    quantity: Quantity::Number(value),
                    fraction: matches!(unit, Some(Unit::Percent | Unit::Points)),
                    number: Some((value, unit, expression.span)),
                })
            }
            ExprKind::Name(_) | ExprKind::Member { .. } => self.parameter(expression),
            ExprKind::Unary { operator: UnaryOperator::Negate, operand } => {
                let inner = self.quantity(operand)?;
                Some(Typed { quantity: Quantity::Negative(Box::new(inner.quantity)), ..inner })
            }
            ExprKind::Binary { operator, left, right, .. } => {
                let (left, right) = (self.quantity(left), self.quantity(right));
                let (left, right) = (left?, right?);
                let operator = match operator {
                    BinaryOperator::Add => Operator::Add,
                    BinaryOperator::Subtract => Operator::Subtract,
                    BinaryOperator::Multiply => Operator::Multiply,
                    BinaryOperator::Divide => Operator::Divide,
                    _ => return self.not_an_inequality(expression.span),
                };
                if matches!(operator, Operator::Add | Operator::Subtract) {
                    self.check_units(&left, &right);
                }
                let fraction = match operator {
                    Operator::Divide => left.fraction && !right.fraction,
                    _ => left.fraction || right.fraction,
                };
                Some(Typed {
                    quantity: Quantity::Arithmetic {
                        operator,
                        left: Box::new(left.quantity),
                        right: Box::new(right.quantity),
                    },
                    fraction,
                    number: None,
                })
            }
            ExprKind::Call { callee, arguments } => {
                let name = callee.as_path().map(|p| p.to_string()).unwrap_or_default();
                let [argument] = arguments.as_slice() else {
                    return self.error(
                        Diagnostic::error(codes::UNKNOWN_METRIC, format!("`{name}` takes one arm"))
                            .primary(expression.span, "expected `METRIC(ARM)`"),
                    );
                };
                if name == "abs" {
                    let inner = self.quantity(&argument.value)?;
                    return Some(Typed { quantity: Quantity::Absolute(Box::new(inner.quantity)), ..inner });
                }
                let arm = argument.value.as_path().map(|p| p.to_string()).unwrap_or_default();
                let arms: Vec<String> = self.facts.iter().map(|f| f.name.clone()).collect();
                let Some(facts) = self.facts.iter().find(|f| f.name == arm) else {
                    let diagnostic =
                        Diagnostic::error(codes::UNKNOWN_ARM, format!("there is no arm `{arm}`"))
                            .primary(argument.value.span, "unknown arm");
                    return self.error(match nearest(&arm, arms.iter().map(String::as_str)) {
                        Some(near) => {
                            diagnostic.help_edit(format!("did you mean `{near}`?"), argument.value.span, near)
                        }
                        None => diagnostic.note(format!("arms are {}", list(&arms))),
                    });
                };
                if let Some(cost) = name.strip_prefix("cost.") {
                    let cost = cost.to_owned();
                    return self.cost_of(&cost, &arm, callee.span);
                }
                let Some(fraction) = facts.percent.get(&name).copied() else {
                    return self.unknown_metric(&name, &arm, callee.span);
                };
                Some(Typed { quantity: Quantity::Metric { metric: name, arm }, fraction, number: None })
            }
            _ => self.not_an_inequality(expression.span),
        }
    }

    fn unknown_metric<T>(&mut self, name: &str, arm: &str, span: Span) -> Option<T> {
        let mut known: Vec<String> =
            self.facts.iter().filter(|f| f.name == arm).flat_map(|f| f.percent.keys().cloned()).collect();
        known.sort();
        let elsewhere: Vec<String> =
            self.facts.iter().filter(|f| f.percent.contains_key(name)).map(|f| f.name.clone()).collect();
        let headline = if elsewhere.is_empty() {
            format!("there is no metric `{name}`")
        } else {
            format!("the arm `{arm}` has no metric `{name}`")
        };
        let label = if elsewhere.is_empty() { "unknown metric" } else { "not measured in this arm" };
        let mut diagnostic = Diagnostic::error(codes::UNKNOWN_METRIC, headline).primary(span, label);
        if !elsewhere.is_empty() {
            diagnostic = diagnostic.note(format!("it is measured in {}", list(&elsewhere)));
        }
        self.error(match nearest(name, known.iter().map(String::as_str)) {
            Some(near) => diagnostic.help_edit(format!("did you mean `{near}`?"), span, near),
            None => diagnostic.note(format!("metrics are {}", list(&known))),
        })
    }

    /// A parameter of the recipe as a number.
    fn parameter(&mut self, expression: &Expr) -> Option<Typed> {
        let mut arm = crate::evaluate::ArmChecker::new(
            self.definitions,
            &EMPTY,
            self.sources,
            self.messages,
            usize::MAX,
        );
        match arm.seeds_value(expression) {
            crate::value::Value::Number(value, unit) => Some(Typed {
                quantity: Quantity::Number(value),
                fraction: matches!(unit, Some(Unit::Percent | Unit::Points)),
                number: Some((value, unit, expression.span)),
            }),
            crate::value::Value::Unknown => None,
            other => self.error(
                Diagnostic::error(codes::WRONG_TYPE, "a claim compares numbers")
                    .primary(expression.span, format!("this is {}", other.describe())),
            ),
        }
    }

    fn cost_named(&mut self, name: &str, span: Span) -> Option<()> {
        if COSTS.contains(&name) {
            return Some(());
        }
        let diagnostic = Diagnostic::error(codes::UNKNOWN_COST, format!("there is no cost `{name}`"))
            .primary(span, "unknown cost");
        self.error(match nearest(name, COSTS.iter().copied()) {
            Some(near) => {
                diagnostic.help_edit(format!("did you mean `cost.{near}`?"), span, format!("cost.{near}"))
            }
            None => {
                let known: Vec<String> = COSTS.iter().map(|c| format!("cost.{c}")).collect();
                diagnostic.note(format!("costs are {}", list(&known)))
            }
        })
    }

    fn cost_of(&mut self, name: &str, arm: &str, span: Span) -> Option<Typed> {
        self.cost_named(name, span)?;
        let value = self.arms.iter().find(|a| a.name == arm).map(|a| cost(a, name))?;
        Some(Typed { quantity: Quantity::Number(value), fraction: false, number: None })
    }

    fn holding(&mut self, expression: &Expr, within: Option<&zoo_syntax::ast::Number>) -> Option<Holding> {
        let path = expression.as_path().map(|p| p.to_string()).unwrap_or_default();
        let Some(name) = path.strip_prefix("cost.") else {
            return self.error(
                Diagnostic::error(codes::UNKNOWN_COST, "`holding` names a cost")
                    .primary(expression.span, "expected `cost.train_flops`, for example"),
            );
        };
        self.cost_named(name, expression.span)?;
        let within = match within {
            None => 0.0,
            Some(number) if number.unit.is_some_and(|u| u.as_str() == "%") || number.value == 0.0 => {
                number.base()
            }
            Some(number) => {
                return self.error(
                    Diagnostic::error(codes::MISSING_UNIT, "the tolerance is a share and has no unit")
                        .primary(number.span, "a plain number")
                        .help_edit("in per cent", number.span, format!("{}%", plain(number.value))),
                );
            }
        };
        Some(Holding { cost: name.to_owned(), within })
    }

    fn check_holding(&mut self, claim: &Claim, held: &Holding, span: Span) {
        let names = arms_of(claim);
        // What an arm with errors costs is not known, and its errors say why.
        if self.facts.iter().any(|f| f.wrong && names.contains(&f.name)) {
            return;
        }
        let arms: Vec<&Arm> = self.arms.iter().filter(|a| names.contains(&a.name)).collect();
        if held.cost == "train_flops" {
            let unknown = self.facts.iter().find(|f| names.contains(&f.name) && f.unknown_cost.is_some());
            if let Some(facts) = unknown {
                let reason = facts.unknown_cost.clone().unwrap_or_default();
                let diagnostic = Diagnostic::error(
                    codes::COST_UNKNOWN,
                    format!("the training cost of arm `{}` cannot be computed", facts.name),
                )
                .primary(span, "asked for here")
                .note(reason);
                self.messages.push(diagnostic);
                return;
            }
        }
        let (Some(low), Some(high)) = (
            arms.iter().min_by(|a, b| cost(a, &held.cost).total_cmp(&cost(b, &held.cost))),
            arms.iter().max_by(|a, b| cost(a, &held.cost).total_cmp(&cost(b, &held.cost))),
        ) else {
            return;
        };
        let (small, large) = (cost(low, &held.cost), cost(high, &held.cost));
        if large <= small * (1.0 + held.within) + 1e-9 {
            return;
        }
        let ratio = large / small;
        let mut diagnostic = Diagnostic::error(
            codes::COSTS_DIFFER,
            format!("`cost.{}` is not the same in the arms", held.cost),
        )
        .primary(
            span,
            format!("the largest is {} times the smallest", plain((ratio * 1000.0).round() / 1000.0)),
        )
        .note(format!("`{}`: {small:.4e}, `{}`: {large:.4e}", low.name, high.name));
        if let Some(phase) = low.phases.last()
            && let zoo_schema::experiment::Length::Steps(steps) = phase.length
            && held.cost != "parameters"
        {
            let equal = (steps as f64 * ratio).round();
            diagnostic = diagnostic.help(format!(
                "`{}.steps = {} steps` in arm `{}` would make it equal",
                phase.name,
                plain(equal),
                low.name
            ));
        }
        self.messages.push(diagnostic);
    }
}

static EMPTY: crate::Catalogue = crate::Catalogue { plugins: Vec::new(), refused: Vec::new() };

fn cost(arm: &Arm, name: &str) -> f64 {
    match name {
        "train_flops" => arm.cost.train_flops,
        "parameters" => arm.cost.parameters,
        "steps" => arm.cost.steps,
        _ => arm.cost.examples,
    }
}

impl crate::evaluate::ArmChecker<'_> {
    /// The value of an expression over the recipe's parameters, outside of any arm.
    pub(crate) fn seeds_value(&mut self, expression: &Expr) -> crate::value::Value {
        self.value_of_parameters(expression)
    }
}
