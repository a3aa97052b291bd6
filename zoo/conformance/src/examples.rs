//! The examples of a component: pieces of recipes, checked, and what its instances are made from.

use crate::Options;
use crate::report::{Result, Stop, failed, skipped};
use serde_json::{Map, Value as Json};
use std::collections::BTreeMap;
use zoo_check::value::{Range, Unit, Value, convert, kind_fits};
use zoo_check::{Catalogue, Input};
use zoo_diagnostics::Sources;
use zoo_host::Registry;
use zoo_schema::experiment::{Instance, Place, Sites};
use zoo_schema::formula::Formula;
use zoo_schema::{Component, Default as ParameterDefault, ParameterType};
use zoo_syntax::ast::{
    Argument, BlockItem, Expr, ExprKind, Item, Segment, Selector, Statement, UnaryOperator,
};

/// Larger counts are made this small: conformance is not a question of size.
const LARGE: i64 = 64;

/// Every component of a registry, for the checker.
pub fn catalogue(registry: &Registry) -> Catalogue {
    // The checker asks which plugin a component is of only for its messages.
    let components = registry.schemas().cloned().collect();
    let mut plugins: Vec<zoo_check::Plugin> = registry
        .plugins()
        .map(|plugin| zoo_check::Plugin {
            name: plugin.build.name.clone(),
            version: plugin.build.version.clone(),
            path: plugin.path.display().to_string(),
            hash: plugin.hash.clone(),
            components: Vec::new(),
        })
        .collect();
    if let Some(first) = plugins.first_mut() {
        first.components = components;
    }
    Catalogue { plugins, refused: Vec::new() }
}

/// A piece of a recipe without the line that says its edition.
fn without_edition(text: &str) -> String {
    let lines = text.lines().map(|line| if line.trim_start().starts_with("mlm ") { "" } else { line });
    lines.collect::<Vec<_>>().join("\n")
}

/// What may stand around an example: it is a statement of a recipe, of a step, or of a phase. Each
/// begins on the third line.
const FRAMES: [(&str, &str); 3] =
    [("mlm 1\n\n", "\n"), ("mlm 1\nstep example(batch) {\n", "\n}\n"), ("mlm 1\nphase example {\n", "\n}\n")];

/// A call of a component in an example.
#[derive(Clone)]
struct Use {
    /// The binding's name; empty within a step or phase.
    name: String,
    component: String,
    arguments: Vec<Argument>,
    on: Option<Selector>,
}

/// The calls of components in a piece of a recipe, and which of [`FRAMES`] it fits.
fn uses(text: &str) -> std::result::Result<(Vec<Use>, usize), String> {
    let text = without_edition(text);
    let mut wrong = None;
    for (number, (before, after)) in FRAMES.iter().enumerate() {
        let whole = format!("{before}{text}{after}");
        let mut sources = Sources::new();
        let file = sources.add("example", whole.as_str());
        let parse = zoo_syntax::parse(file, &whole);
        if let Some(error) = parse.diagnostics.iter().find(|d| d.is_error()) {
            let line = error.span().map(|span| sources.position(span).line.saturating_sub(2));
            // As a statement of a recipe it is most often meant.
            wrong.get_or_insert(match line {
                Some(line) => format!("line {line}: {}", error.headline),
                None => error.headline.clone(),
            });
            continue;
        }
        let mut found = Vec::new();
        for item in parse.recipe.items {
            match item {
                Item::Binding(binding) => {
                    if let Some((component, arguments)) = call(&binding.value) {
                        found.push(Use { name: binding.name.text, component, arguments, on: binding.on });
                    }
                }
                Item::Step(step) => step.body.iter().for_each(|statement| match statement {
                    Statement::Let { value, .. }
                    | Statement::Log { value, .. }
                    | Statement::Loss { value, .. } => {
                        within(value, &mut found);
                    }
                    Statement::Broken(_) => {}
                }),
                Item::Stage(stage) => stage.body.iter().for_each(|item| {
                    if let BlockItem::Setting(setting) = item {
                        within(&setting.value, &mut found);
                    }
                }),
                _ => {}
            }
        }
        return Ok((found, number));
    }
    Err(wrong.unwrap_or_default())
}

/// The component that an expression calls, with the arguments.
fn call(expression: &Expr) -> Option<(String, Vec<Argument>)> {
    let ExprKind::Call { callee, arguments } = &expression.kind else { return None };
    let path = callee.as_path()?;
    (path.names.len() == 2).then(|| (path.to_string(), arguments.clone()))
}

fn within(expression: &Expr, found: &mut Vec<Use>) {
    if let Some((component, arguments)) = call(expression) {
        found.push(Use { name: String::new(), component, arguments, on: None });
    }
    match &expression.kind {
        ExprKind::Call { callee, arguments } => {
            within(callee, found);
            arguments.iter().for_each(|argument| within(&argument.value, found));
        }
        ExprKind::Member { of, .. } => within(of, found),
        ExprKind::Unary { operand, .. } => within(operand, found),
        ExprKind::Binary { left, right, .. } => {
            within(left, found);
            within(right, found);
        }
        _ => {}
    }
}

/// Every example is parsed, checked as part of a recipe, and every argument held against the schema.
pub(crate) fn check(schema: &Component, catalogue: &Catalogue, options: &Options) -> Result<()> {
    if schema.examples.is_empty() {
        return failed("there is none");
    }
    let (known, _) =
        uses(&options.surroundings).map_err(|e| Stop::Failed(format!("the surroundings: {e}")))?;
    for example in &schema.examples {
        let (found, frame) = uses(example).map_err(Stop::Failed)?;
        if !found.iter().any(|u| u.component == schema.name) {
            return failed(format!("`{}` does not use it", example.lines().next().unwrap_or_default()));
        }
        for one in &found {
            let Some((_, component)) = catalogue.component(&one.component) else { continue };
            hold_against(component, &one.arguments, frame == 1, &|name| {
                let other = found.iter().chain(&known).find(|u| u.name == name)?;
                catalogue.component(&other.component).map(|(_, c)| c.kind.clone())
            })?;
        }
        if frame == 0 {
            in_a_recipe(example, &found, &known, catalogue, &options.surroundings)?;
        }
    }
    Ok(())
}

/// What the checker says about the example's own lines. Names that neither it nor the surroundings
/// define are the reader's to fill in.
fn in_a_recipe(
    example: &str,
    found: &[Use],
    known: &[Use],
    catalogue: &Catalogue,
    surroundings: &str,
) -> Result<()> {
    let head = "mlm 1\n\npaper example {\n  title = \"An example\"\n}\n\n";
    let example = without_edition(example);
    let text = format!("{head}{example}\n\n{}\n", without_edition(surroundings));
    let range = head.len()..head.len() + example.len();
    let checked = zoo_check::check(&Input {
        name: "example",
        text: &text,
        read: &|_| Err("examples use no other file".to_owned()),
        catalogue,
        profile: None,
        arms: &[],
        sets: &[],
        seeds: None,
        messages_only: false,
    });
    for diagnostic in checked.diagnostics.iter().filter(|d| d.is_error()) {
        let Some(span) = diagnostic.span().filter(|span| range.contains(&span.range().start)) else {
            continue;
        };
        let slice = checked.sources.slice(span);
        let open =
            zoo_schema::types::is_name(slice) && !found.iter().chain(known).any(|other| other.name == slice);
        if !open {
            return failed(format!("{} `{slice}`: {}", diagnostic.code, diagnostic.headline));
        }
    }
    Ok(())
}

/// A literal's worth; a name is a component of the kind that `kind_of` tells.
fn worth(expression: &Expr, kind_of: &dyn Fn(&str) -> Option<String>) -> Value {
    match &expression.kind {
        ExprKind::Number(number) => {
            Value::Number(number.base(), number.unit.and_then(|u| Unit::of(u.as_str())).map(|(u, _)| u))
        }
        ExprKind::Text(text) => Value::Text(text.value.clone()),
        ExprKind::Bool(value) => Value::Bool(*value),
        ExprKind::List(items) => Value::List(items.iter().map(|item| worth(item, kind_of)).collect()),
        ExprKind::Name(name) => match kind_of(name) {
            Some(kind) => Value::Component { name: name.clone(), kind },
            None => Value::Unknown,
        },
        ExprKind::Unary { operator: UnaryOperator::Negate, operand } => match worth(operand, kind_of) {
            Value::Number(number, unit) => Value::Number(-number, unit),
            other => other,
        },
        ExprKind::Call { callee, arguments } => {
            match (
                callee.as_path().map(|p| p.to_string()).as_deref(),
                arguments.first().map(|a| &a.value.kind),
            ) {
                (Some("asset"), Some(ExprKind::Text(uri))) => Value::Asset(uri.value.clone()),
                _ => Value::Unknown,
            }
        }
        _ => Value::Unknown,
    }
}

fn hold_against(
    component: &Component,
    arguments: &[Argument],
    in_step: bool,
    kind_of: &dyn Fn(&str) -> Option<String>,
) -> Result<()> {
    for (place, argument) in arguments.iter().enumerate() {
        // In a step, inputs stand among the arguments, and those without a name are inputs.
        let named = argument.name.as_ref().map(|n| n.text.as_str());
        if in_step && named.is_none_or(|name| component.input(name).is_some()) {
            continue;
        }
        let parameter = match &argument.name {
            Some(name) if matches!(name.text.as_str(), "share" | "weights" | "frozen") => continue,
            Some(name) => component.parameter(&name.text),
            None => component.parameters.get(place),
        };
        let Some(parameter) = parameter else {
            let name =
                argument.name.as_ref().map_or_else(|| format!("number {}", place + 1), |n| n.text.clone());
            return failed(format!("`{}` has no parameter `{name}`", component.name));
        };
        let value = worth(&argument.value, kind_of);
        if let Err(mismatch) = convert(&value, &parameter.kind) {
            return failed(format!(
                "parameter `{}` of `{}` is {} and {} stands there ({mismatch:?})",
                parameter.name,
                component.name,
                parameter.kind,
                value.describe()
            ));
        }
        if let (Value::Number(number, _), Some(range)) =
            (&value, parameter.range.as_deref().and_then(Range::parse))
            && !range.contains(*number)
        {
            return failed(format!("parameter `{}` must be {}", parameter.name, range.describe(None)));
        }
    }
    Ok(())
}

/// Instances for a test of the component: what it refers to first, itself last.
pub(crate) fn instances(schema: &Component, registry: &Registry, options: &Options) -> Result<Vec<Instance>> {
    let example = schema.examples.first().map_or("", String::as_str);
    let (own, _) = uses(example).map_err(Stop::Failed)?;
    let (known, _) =
        uses(&options.surroundings).map_err(|e| Stop::Failed(format!("the surroundings: {e}")))?;
    let all: BTreeMap<&str, &Use> =
        known.iter().chain(&own).filter(|u| !u.name.is_empty()).map(|u| (u.name.as_str(), u)).collect();
    let mut maker = Maker { registry, uses: all, made: Vec::new(), pending: Vec::new() };
    match own.iter().find(|u| u.component == schema.name) {
        Some(subject) => maker.used(subject, true)?,
        None => maker.make("subject", schema, &[], true)?,
    }
    Ok(maker.made)
}

struct Maker<'a> {
    registry: &'a Registry,
    uses: BTreeMap<&'a str, &'a Use>,
    made: Vec<Instance>,
    pending: Vec<String>,
}

impl<'a> Maker<'a> {
    fn used(&mut self, one: &'a Use, subject: bool) -> Result<()> {
        let name = if one.name.is_empty() { "subject" } else { one.name.as_str() };
        if self.made.iter().any(|i| i.name == name) {
            return Ok(());
        }
        if self.pending.iter().any(|p| p == name) {
            return failed(format!("`{name}` refers to itself"));
        }
        let Some(schema) = self.registry.schema(&one.component) else {
            return skipped(format!("`{name}` needs `{}`, which no loaded plugin has", one.component));
        };
        self.pending.push(name.to_owned());
        if let Some(selector) = &one.on {
            self.refer(&selector.model.text)?;
        }
        self.make(name, schema, &one.arguments, subject)?;
        if let (Some(selector), Some(made)) = (&one.on, self.made.last_mut()) {
            let mut names = vec![String::new()];
            for segment in &selector.segments {
                let parts: Vec<String> = match segment {
                    Segment::Name(name) => vec![name.text.clone()],
                    Segment::All(name) => vec![format!("{}.0", name.text)],
                    Segment::Index(name, index) => vec![format!("{}.{index}", name.text)],
                    Segment::Choice(names) => names.iter().map(|n| n.text.clone()).collect(),
                };
                names = names
                    .iter()
                    .flat_map(|before| {
                        parts.iter().map(move |part| {
                            if before.is_empty() { part.clone() } else { format!("{before}.{part}") }
                        })
                    })
                    .collect();
            }
            made.on = Some(Sites { instance: selector.model.text.clone(), names });
        }
        Ok(())
    }

    fn refer(&mut self, name: &str) -> Result<()> {
        match self.uses.get(name).copied() {
            Some(other) => self.used(other, false),
            None => skipped(format!("nothing stands for `{name}`, which its example refers to")),
        }
    }

    fn make(&mut self, name: &str, schema: &Component, arguments: &[Argument], subject: bool) -> Result<()> {
        let mut parameters = Map::new();
        let components: BTreeMap<String, String> = self
            .uses
            .iter()
            .filter_map(|(name, other)| {
                Some(((*name).to_owned(), self.registry.schema(&other.component)?.kind.clone()))
            })
            .collect();
        let (mut frozen, mut weights) = (false, None);
        for (place, argument) in arguments.iter().enumerate() {
            let value = worth(&argument.value, &|name| components.get(name).cloned());
            let parameter = match &argument.name {
                Some(name) if name.text == "frozen" => {
                    frozen = value == Value::Bool(true);
                    continue;
                }
                Some(name) if name.text == "weights" => {
                    if let Value::Asset(uri) | Value::Text(uri) = value {
                        weights = Some(uri);
                    }
                    continue;
                }
                Some(name) if name.text == "share" => continue,
                Some(name) => schema.parameter(&name.text),
                None => schema.parameters.get(place),
            };
            let Some(parameter) = parameter else { continue };
            if let ExprKind::Name(name) = &argument.value.kind
                && matches!(value, Value::Unknown)
            {
                // A name of the reader's: a component that stands for it, or the default.
                if let ParameterType::Component(_) = parameter.kind {
                    continue;
                }
                if parameter.default.is_none() && !parameter.optional {
                    return skipped(format!("nothing stands for `{name}`, which its example refers to"));
                }
                continue;
            }
            let Ok(json) = convert(&value, &parameter.kind) else { continue };
            if !json.is_null() {
                parameters.insert(parameter.name.clone(), json);
            }
        }
        for parameter in &schema.parameters {
            if let ParameterType::Component(kind) = &parameter.kind
                && !parameters.contains_key(&parameter.name)
                && !parameter.optional
            {
                let stands = components.iter().find(|(other, other_kind)| {
                    kind_fits(other_kind, kind) && !self.pending.contains(*other)
                });
                let Some((stands, _)) = stands else {
                    return skipped(format!(
                        "nothing stands for its parameter `{}`, a {kind}",
                        parameter.name
                    ));
                };
                parameters.insert(parameter.name.clone(), serde_json::json!({ "$instance": stands }));
            }
        }
        let references: Vec<String> = parameters.values().flat_map(referred).collect();
        for reference in references {
            self.refer(&reference)?;
        }
        let small =
            subject && !matches!(schema.kind.as_str(), "data" | "tokenizer" | "optimizer" | "schedule");
        complete(schema, &mut parameters, small);
        self.made.push(Instance {
            name: name.to_owned(),
            component: schema.name.clone(),
            kind: schema.kind.clone(),
            parameters,
            share: Vec::new(),
            weights,
            frozen,
            on: None,
            place: Place::default(),
            parameter_places: Map::new(),
        });
        Ok(())
    }
}

fn referred(value: &Json) -> Vec<String> {
    match value {
        Json::Object(map) => {
            map.get("$instance").and_then(|n| n.as_str()).map(str::to_owned).into_iter().collect()
        }
        Json::Array(values) => values.iter().flat_map(referred).collect(),
        _ => Vec::new(),
    }
}

/// Fills in what has a formula, makes large counts small, and invents what has no default.
fn complete(schema: &Component, parameters: &mut Map<String, Json>, small: bool) {
    for parameter in &schema.parameters {
        if !parameters.contains_key(&parameter.name)
            && let Some(ParameterDefault::Value(value)) = &parameter.default
        {
            parameters.insert(parameter.name.clone(), value.clone());
        }
        let range = parameter.range.as_deref().and_then(Range::parse);
        let counts = matches!(parameter.kind, ParameterType::Count | ParameterType::Tokens);
        if small && counts {
            let limit = if parameter.name.contains("layers") { 2 } else { LARGE };
            let allowed = range.as_ref().is_none_or(|r| r.contains(limit as f64));
            if let Some(value) = parameters.get_mut(&parameter.name)
                && value.as_i64().is_some_and(|v| v > limit)
                && allowed
            {
                *value = Json::from(limit);
            }
        }
        if parameters.contains_key(&parameter.name) || parameter.optional || parameter.default.is_some() {
            continue;
        }
        let fits = |candidates: &[f64]| {
            candidates.iter().copied().find(|c| range.as_ref().is_none_or(|r| r.contains(*c))).unwrap_or(1.0)
        };
        let invented = match &parameter.kind {
            ParameterType::Bool => Json::from(false),
            ParameterType::Int | ParameterType::Count | ParameterType::Tokens => {
                Json::from(fits(&[8.0, 2.0, 1.0]) as i64)
            }
            ParameterType::Real | ParameterType::Points | ParameterType::Duration => {
                Json::from(fits(&[0.5, 1.0, 2.0]))
            }
            ParameterType::Fraction => Json::from(fits(&[0.25, 0.5, 0.0])),
            ParameterType::Size => Json::from(1 << 20),
            ParameterType::OneOf(choices) => choices.first().map_or(Json::Null, |c| Json::from(c.as_str())),
            _ => continue,
        };
        parameters.insert(parameter.name.clone(), invented);
    }
    // Formulas may use each other; a second pass settles chains of them.
    for _ in 0..schema.parameters.len() {
        for parameter in &schema.parameters {
            if parameters.contains_key(&parameter.name) {
                continue;
            }
            let Some(ParameterDefault::Formula { formula }) = &parameter.default else { continue };
            let value_of = |name: &str| parameters.get(name).and_then(Json::as_f64);
            let Ok(value) = Formula::parse(formula).and_then(|f| f.evaluate(&value_of)) else { continue };
            let json = match parameter.kind {
                ParameterType::Int | ParameterType::Count | ParameterType::Tokens => {
                    Json::from(value.round() as i64)
                }
                _ => Json::from(value),
            };
            parameters.insert(parameter.name.clone(), json);
        }
    }
}
