//! Components with their parameters: every one given, converted, inside its range.

use crate::definitions::{find, is_measure};
use crate::evaluate::{ArmChecker, Site};
use crate::value::{Range, Value, kind_fits, unit_of, written};
use crate::{list, nearest, place};
use serde_json::{Map, Value as Json};
use std::collections::HashMap;
use zoo_diagnostics::{Diagnostic, Span, codes};
use zoo_schema::experiment::{Instance, Share, Sites};
use zoo_schema::formula::Formula;
use zoo_schema::{Component, Default as SchemaDefault, Parameter, ParameterType};
use zoo_syntax::ast::{Argument, BindingKind, Expr, ExprKind, Segment, Selector};

/// Arguments of every model that are no parameters of its component.
const MODEL_ARGUMENTS: &[&str] = &["share", "weights", "frozen"];

/// Whether a component takes them: models do, and whatever else keeps tensors that can be shared and loaded.
fn takes_model_arguments(schema: &Component) -> bool {
    matches!(schema.kind.as_str(), "architecture" | "head" | "pooler") || schema.effects.parameters
}

impl<'d> ArmChecker<'d> {
    /// The value of a binding: a component, or what it stands for.
    pub(crate) fn binding(&mut self, full: &str, span: Span) -> Value {
        let Some(binding) = find(&self.definitions.bindings, full).copied() else { return Value::Unknown };
        self.remember(full, span, |this| {
            let base = Some((&binding.item.value, binding.scope));
            let Some((expression, scope)) = this.in_force(full, base) else { return Value::Unknown };
            let kind = binding.item.kind;
            let measured = kind == BindingKind::Eval
                || kind == BindingKind::Metric && !this.is_component(full, binding)
                || is_measure(expression);
            if measured {
                return this.error(
                    Diagnostic::error(
                        codes::WRONG_TYPE,
                        format!("`{full}` is {} and no value", crate::a_kind(kind.keyword())),
                    )
                    .primary(span, "a value is expected here"),
                );
            }
            match &expression.kind {
                ExprKind::Call { callee, .. } if callee.as_path().is_some_and(|p| p.names.len() > 1) => {
                    match this.instance(full, expression, scope, Some(kind), binding.item.on.as_ref()) {
                        Some(kind) => Value::Component { name: full.to_owned(), kind },
                        None => Value::Unknown,
                    }
                }
                _ => this.value(expression, Site { scope, path: full }),
            }
        })
    }

    /// The component that a path names, or a message with the nearest ones.
    pub(crate) fn component(
        &mut self,
        path: &zoo_syntax::ast::Path,
        wanted: Option<BindingKind>,
    ) -> Option<&'d Component> {
        let name = path.to_string();
        if let Some((_, component)) = self.catalogue.component(&name) {
            return Some(component);
        }
        if let Some(refused) = self.catalogue.refused.iter().find(|r| r.components.contains(&name)) {
            // Where the recipe says that it uses the plugin, it has been told.
            if !self.definitions.plugins.iter().any(|used| used.plugin.value == refused.name) {
                self.error(
                    Diagnostic::error(
                        codes::PLUGIN_REFUSED,
                        format!("plugin `{}` cannot be loaded: {}", refused.name, refused.reason),
                    )
                    .primary(path.span, format!("it has `{name}`; found {}", refused.path))
                    .help(refused.help.clone()),
                );
            }
            return None;
        }
        let what = wanted.map_or("component", BindingKind::keyword);
        let names = self.catalogue.names();
        let mut diagnostic = Diagnostic::error(codes::UNKNOWN_COMPONENT, format!("no component `{name}`"));
        let namespace = &path.names[0].text;
        let plugin = self
            .catalogue
            .plugins
            .iter()
            .find(|p| p.components.iter().any(|c| c.name.split('.').next() == Some(namespace.as_str())));
        diagnostic = match plugin {
            Some(plugin) => diagnostic
                .primary(path.span, format!("no such {what} in plugin `{}` {}", plugin.name, plugin.version)),
            None => diagnostic
                .primary(path.span, format!("no plugin in reach has components named `{namespace}.…`")),
        };
        // Within the namespace first: `masking.unform` is nearer to `masking.uniform` than to anything else.
        let inside: Vec<&String> =
            names.iter().filter(|n| n.split('.').next() == Some(namespace.as_str())).collect();
        let last = path.names.last().map_or("", |n| n.text.as_str());
        let near = nearest(last, inside.iter().filter_map(|n| n.split('.').nth(1)))
            .map(|near| format!("{namespace}.{near}"))
            .or_else(|| nearest(&name, names.iter().map(String::as_str)).map(str::to_owned))
            .or_else(|| names.iter().find(|n| n.split('.').nth(1) == Some(last)).cloned());
        diagnostic = match (near, plugin) {
            (Some(near), _) => diagnostic.help_edit("there is one with a similar name", path.span, near),
            (None, Some(plugin)) => {
                let names: Vec<String> = plugin.components.iter().map(|c| c.name.clone()).collect();
                diagnostic.note(format!("`{}` has {}", plugin.name, list(&names)))
            }
            (None, None) => {
                diagnostic.help("`zoo plugin list` shows the plugins in reach and why others were refused")
            }
        };
        self.error(diagnostic);
        None
    }

    /// Completes the component that `expression` calls, under the name `path`. Answers its kind.
    pub(crate) fn instance(
        &mut self,
        path: &str,
        expression: &'d Expr,
        scope: &str,
        bound_as: Option<BindingKind>,
        on: Option<&'d Selector>,
    ) -> Option<String> {
        let ExprKind::Call { callee, arguments } = &expression.kind else { return None };
        let Some(callee_path) = callee.as_path() else {
            self.error(
                Diagnostic::error(codes::UNKNOWN_COMPONENT, "a component is called by its name")
                    .primary(callee.span, "expected `namespace.component(…)`"),
            );
            return None;
        };
        let schema = self.component(&callee_path, bound_as)?;
        if let Some(keyword) = bound_as
            && !kind_matches(keyword, &schema.kind)
        {
            let right = zoo_schema::kinds::kind(&schema.kind).map_or("", |k| k.keyword);
            let binding = find(&self.definitions.bindings, path).copied();
            let mut diagnostic = Diagnostic::error(
                codes::WRONG_KIND,
                format!(
                    "`{}` is {}, not {}",
                    schema.name,
                    crate::a_kind(&schema.kind),
                    crate::a_kind(keyword.keyword())
                ),
            )
            .primary(callee.span, format!("of kind {}", schema.kind));
            if let Some(binding) = binding {
                diagnostic =
                    diagnostic.help_edit(format!("declare it as `{right}`"), binding.item.kind_span, right);
            }
            self.error(diagnostic);
            return None;
        }
        self.complete(path, schema, arguments, scope, expression.span, on)
    }

    /// Fills in every parameter from override, argument, or default.
    pub(crate) fn complete(
        &mut self,
        path: &str,
        schema: &'d Component,
        arguments: &'d [Argument],
        scope: &str,
        span: Span,
        on: Option<&'d Selector>,
    ) -> Option<String> {
        let is_model = takes_model_arguments(schema);
        let mut given: HashMap<&str, (&'d Expr, String)> = HashMap::new();
        let mut failed = false;
        let mut next = 0;
        for argument in arguments {
            let name = match &argument.name {
                None => {
                    let Some(parameter) = schema.parameters.get(next) else {
                        self.error(
                            Diagnostic::error(
                                codes::TOO_MANY_ARGUMENTS,
                                format!(
                                    "`{}` has {}",
                                    schema.name,
                                    crate::count(schema.parameters.len(), "parameter")
                                ),
                            )
                            .primary(argument.value.span, "one too many"),
                        );
                        failed = true;
                        continue;
                    };
                    next += 1;
                    parameter.name.as_str()
                }
                Some(name) => match schema.parameter(&name.text) {
                    Some(parameter) => parameter.name.as_str(),
                    None => match MODEL_ARGUMENTS.iter().find(|m| is_model && **m == name.text) {
                        Some(reserved) => reserved,
                        None => {
                            self.unknown_parameter(path, schema, name, span);
                            failed = true;
                            continue;
                        }
                    },
                },
            };
            if let Some((first, _)) = given.get(name) {
                let first = first.span;
                self.error(
                    Diagnostic::error(codes::SET_TWICE, format!("`{name}` is given twice"))
                        .primary(argument.span(), "again here")
                        .secondary(first, "first here"),
                );
                failed = true;
                continue;
            }
            given.insert(name, (&argument.value, scope.to_owned()));
        }
        self.apply_overrides(path, schema, is_model, &mut given, span, &mut failed);

        let mut parameters = Map::new();
        let mut places = Map::new();
        let mut missing = Vec::new();
        for parameter in &schema.parameters {
            let value = match given.get(parameter.name.as_str()) {
                Some((expression, scope)) => {
                    let (expression, scope) = (*expression, scope.clone());
                    let at = place(self.sources, expression.span);
                    places.insert(parameter.name.clone(), serde_json::to_value(at).unwrap_or(Json::Null));
                    match self.given(path, parameter, expression, &scope) {
                        Some(json) => json,
                        None => {
                            failed = true;
                            Json::Null
                        }
                    }
                }
                None => match &parameter.default {
                    Some(SchemaDefault::Value(value)) => value.clone(),
                    Some(SchemaDefault::Formula { formula }) => {
                        match computed(formula, parameter, &parameters) {
                            Some(json) => json,
                            None => {
                                failed = true;
                                Json::Null
                            }
                        }
                    }
                    None if parameter.optional => Json::Null,
                    None => {
                        missing.push(parameter);
                        Json::Null
                    }
                },
            };
            parameters.insert(parameter.name.clone(), value);
        }
        if !missing.is_empty() {
            let names: Vec<String> = missing.iter().map(|p| p.name.clone()).collect();
            let plural = if names.len() == 1 { "parameter" } else { "parameters" };
            let mut diagnostic = Diagnostic::error(
                codes::MISSING_PARAMETER,
                format!("`{}` needs the {plural} {}", schema.name, list(&names)),
            )
            .primary(span, format!("{} not given", if names.len() == 1 { "it is" } else { "they are" }));
            for parameter in &missing {
                diagnostic = diagnostic.note(format!(
                    "`{}: {}`: {}",
                    parameter.name,
                    parameter.kind,
                    parameter.doc.lines().next().unwrap_or_default()
                ));
            }
            self.error(diagnostic);
            failed = true;
        }
        // A formula or default may leave the range too, when what it depends on was set.
        for parameter in &schema.parameters {
            if !failed
                && let Some(json) = parameters.get(&parameter.name)
                && let Some(number) = json.as_f64()
                && let Some(range) = parameter.range.as_deref().and_then(Range::parse)
                && !range.contains(number)
            {
                let at = given.get(parameter.name.as_str()).map_or(span, |(e, _)| e.span);
                let unit = unit_of(&parameter.kind);
                let headline = format!(
                    "`{}` of `{path}` is {}, which is not {}",
                    parameter.name,
                    written(number, unit),
                    range.describe(unit)
                );
                self.error(Diagnostic::error(codes::OUT_OF_RANGE, headline).primary(at, "this value").note(
                    format!("`{}` allows {}", schema.name, parameter.range.as_deref().unwrap_or_default()),
                ));
                failed = true;
            }
        }
        let share = given.get("share").map(|(e, s)| (*e, s.clone()));
        let share =
            if is_model { share.map(|(e, s)| self.shares(e, &s)).unwrap_or_default() } else { Vec::new() };
        let weights = match given.get("weights").map(|(e, s)| (*e, s.clone())) {
            Some((expression, scope)) if is_model && schema.parameter("weights").is_none() => {
                match self.value(expression, Site { scope: &scope, path }) {
                    Value::Asset(uri) => Some(uri),
                    Value::Text(file) => Some(format!("file:{file}")),
                    Value::None | Value::Unknown => None,
                    other => {
                        self.error(
                            Diagnostic::error(codes::WRONG_TYPE, "`weights` takes an asset")
                                .primary(expression.span, format!("this is {}", other.describe())),
                        );
                        None
                    }
                }
            }
            _ => None,
        };
        let frozen = match given.get("frozen").map(|(e, s)| (*e, s.clone())) {
            Some((expression, scope)) if is_model && schema.parameter("frozen").is_none() => {
                let value = self.value(expression, Site { scope: &scope, path });
                self.converted(&value, &ParameterType::Bool, expression, "`frozen`")
                    .is_some_and(|j| j == true)
            }
            _ => false,
        };
        let on = on.and_then(|selector| self.sites(selector));
        self.schemas.insert(path.to_owned(), schema);
        if failed {
            return None;
        }
        self.instances.push(Instance {
            name: path.to_owned(),
            component: schema.name.clone(),
            kind: schema.kind.clone(),
            parameters,
            share,
            weights,
            frozen,
            on,
            place: place(self.sources, span),
            parameter_places: places,
        });
        Some(schema.kind.clone())
    }

    /// Puts `path.parameter = …` of profiles, arms and the command line in the place of arguments.
    fn apply_overrides(
        &mut self,
        path: &str,
        schema: &'d Component,
        is_model: bool,
        given: &mut HashMap<&'d str, (&'d Expr, String)>,
        span: Span,
        failed: &mut bool,
    ) {
        let definitions = self.definitions;
        // A parameter set at a weaker layer than the whole component belonged to the one replaced.
        let whole = definitions.overriding(path, self.arm).map(|o| o.layer);
        let prefix = format!("{path}.");
        let mut wrong = Vec::new();
        for o in definitions.overrides.iter().filter(|o| o.arm.is_none_or(|a| a == self.arm)) {
            let Some(name) = o.path.strip_prefix(&prefix) else { continue };
            if name.contains('.') || whole.is_some_and(|w| w > o.layer) {
                continue;
            }
            let known = schema.parameter(name).map(|p| p.name.as_str());
            match known.or_else(|| MODEL_ARGUMENTS.iter().copied().find(|m| is_model && *m == name)) {
                Some(parameter) => {
                    if definitions.overriding(&o.path, self.arm).is_some_and(|best| best.layer == o.layer) {
                        given.insert(parameter, (&o.setting.value, String::new()));
                    }
                }
                None => wrong.push(o),
            }
        }
        for o in wrong {
            if let Some(last) = o.setting.path.names.last() {
                self.unknown_parameter(path, schema, last, span);
                *failed = true;
            }
        }
    }

    fn unknown_parameter(
        &mut self,
        path: &str,
        schema: &Component,
        name: &zoo_syntax::ast::Name,
        span: Span,
    ) {
        let mut known: Vec<String> = schema.parameters.iter().map(|p| p.name.clone()).collect();
        if takes_model_arguments(schema) {
            known.extend(MODEL_ARGUMENTS.iter().map(|m| (*m).to_owned()));
        }
        let mut diagnostic =
            Diagnostic::error(codes::UNKNOWN_PARAMETER, format!("`{path}` has no parameter `{}`", name.text))
                .primary(name.span, "unknown parameter");
        if name.span.file != span.file || span.end() < name.span.start || name.span.end() < span.start {
            diagnostic = diagnostic.secondary(span, format!("`{path}` is this component"));
        }
        diagnostic = match nearest(&name.text, known.iter().map(String::as_str)) {
            Some(near) => diagnostic.help_edit(format!("did you mean `{near}`?"), name.span, near),
            None => diagnostic.note(format!("`{}` has {}", schema.name, list(&known))),
        };
        self.error(diagnostic);
    }

    fn given(
        &mut self,
        path: &str,
        parameter: &Parameter,
        expression: &'d Expr,
        scope: &str,
    ) -> Option<Json> {
        let inner = format!("{path}.{}", parameter.name);
        if let Some(wrong) = self.bare_text(expression, &parameter.kind, scope) {
            self.error(wrong);
            return None;
        }
        let value = self.value(expression, Site { scope, path: &inner });
        if let Value::Schedule(schedule) = &value {
            if parameter.varies {
                return Some(serde_json::json!({ "$schedule": schedule }));
            }
            self.error(
                Diagnostic::error(codes::BAD_SCHEDULE, format!("`{}` cannot vary in time", parameter.name))
                    .primary(expression.span, "a schedule")
                    .help("give it a number"),
            );
            return None;
        }
        if value == Value::None && parameter.optional {
            return Some(Json::Null);
        }
        // A number stands for a list of one where a list is asked for? No: lists are written as lists.
        self.converted(&value, &parameter.kind, expression, &format!("`{}`", parameter.name))
    }

    /// `[discriminator.electra.embeddings]`
    fn shares(&mut self, expression: &'d Expr, scope: &str) -> Vec<Share> {
        let ExprKind::List(items) = &expression.kind else {
            self.error(
                Diagnostic::error(codes::WRONG_TYPE, "`share` takes a list of parts of other models")
                    .primary(expression.span, "expected `[model.part]`"),
            );
            return Vec::new();
        };
        let mut shares = Vec::new();
        for item in items {
            let Some(path) = item.as_path() else {
                self.error(
                    Diagnostic::error(codes::WRONG_TYPE, "only parts of models can be shared")
                        .primary(item.span, "expected `model.part`"),
                );
                continue;
            };
            let full = format!("{scope}{}", path.names[0].text);
            if find(&self.definitions.bindings, &full).is_none() {
                let known: Vec<String> = self.definitions.bindings.iter().map(|(n, _)| n.clone()).collect();
                self.error(crate::unknown_name(&path.names[0].text, path.names[0].span, "model", &known));
                continue;
            }
            if let Value::Component { name, .. } = self.binding(&full, item.span) {
                let prefix: Vec<&str> = path.names[1..].iter().map(|n| n.text.as_str()).collect();
                shares.push(Share { prefix: prefix.join("."), instance: name });
            }
        }
        shares
    }

    /// `lm.layers[*].attention.{query,value}` against the sites of the model's schema.
    fn sites(&mut self, selector: &'d Selector) -> Option<Sites> {
        let model = &selector.model.text;
        let Value::Component { name, .. } = self.binding(model, selector.model.span) else {
            if find(&self.definitions.bindings, model).is_none() {
                let known: Vec<String> = self.definitions.bindings.iter().map(|(n, _)| n.clone()).collect();
                self.error(crate::unknown_name(model, selector.model.span, "model", &known));
            }
            return None;
        };
        let schema = self.schemas.get(&name).copied()?;
        let instance = self.instances.iter().find(|i| i.name == name)?;
        let mut all = Vec::new();
        for site in &schema.sites {
            expand(&site.name, &instance.parameters, &mut all);
        }
        let names: Vec<String> =
            all.iter().filter(|site| selected(site, &selector.segments)).cloned().collect();
        if names.is_empty() {
            let mut patterns: Vec<String> = schema.sites.iter().map(|s| s.name.clone()).collect();
            patterns.truncate(8);
            self.error(
                Diagnostic::error(codes::NO_SUCH_SITE, format!("`{model}` has no such site"))
                    .primary(selector.span, "selects nothing")
                    .note(format!("its sites are {}", list(&patterns))),
            );
            return None;
        }
        Some(Sites { instance: name, names })
    }
}

/// Whether a component of this kind is bound with this keyword.
fn kind_matches(keyword: BindingKind, kind: &str) -> bool {
    zoo_schema::kinds::kind(kind).is_some_and(|k| k.keyword == keyword.keyword())
        || kind_fits(kind, keyword.keyword())
        // An augmenter or sampler is as well a function from inputs to outputs.
        || keyword == BindingKind::Model && matches!(kind, "sampler" | "function")
        || keyword == BindingKind::Metric && kind == "metric"
}

fn computed(formula: &str, parameter: &Parameter, before: &Map<String, Json>) -> Option<Json> {
    let value = Formula::parse(formula).ok()?.evaluate(&|name| before.get(name)?.as_f64()).ok()?;
    Some(match parameter.kind {
        ParameterType::Int | ParameterType::Count | ParameterType::Tokens | ParameterType::Size => {
            Json::from(value.floor() as i64)
        }
        _ => Json::from(value),
    })
}

/// Writes `layers.{layers}.x` out for every layer.
fn expand(pattern: &str, parameters: &Map<String, Json>, into: &mut Vec<String>) {
    let Some((before, rest)) = pattern.split_once('{') else {
        into.push(pattern.to_owned());
        return;
    };
    let Some((name, after)) = rest.split_once('}') else { return };
    let count = parameters.get(name).and_then(Json::as_u64).unwrap_or(0).min(100_000);
    for i in 0..count {
        expand(&format!("{before}{i}{after}"), parameters, into);
    }
}

/// Whether a selector's segments match the beginning of a site's name.
fn selected(site: &str, segments: &[Segment]) -> bool {
    let parts: Vec<&str> = site.split('.').collect();
    let mut at = 0;
    for segment in segments {
        let Some(part) = parts.get(at) else { return false };
        let matches = match segment {
            Segment::Name(name) => {
                at += 1;
                name.text == *part
            }
            Segment::Choice(names) => {
                at += 1;
                names.iter().any(|n| n.text == *part)
            }
            Segment::All(name) => {
                at += 2;
                name.text == *part && parts.get(at - 1).is_some_and(|p| p.parse::<u32>().is_ok())
            }
            Segment::Index(name, index) => {
                at += 2;
                name.text == *part && parts.get(at - 1).is_some_and(|p| p.parse() == Ok(*index))
            }
        };
        if !matches {
            return false;
        }
    }
    true
}
