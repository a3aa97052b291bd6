//! Phases, evaluations and metrics of one arm.

use crate::continuation::written;
use crate::definitions::{Defined, find, is_measure, settings};
use crate::evaluate::{ArmChecker, Site};
use crate::steps::LogFacts;
use crate::value::{Unit, Value};
use crate::{list, nearest, place};
use std::collections::HashMap;
use zoo_diagnostics::{Diagnostic, Span, codes};
use zoo_schema::ParameterType;
use zoo_schema::experiment::{Arm, Evaluation, Instance, Length, Metric, Phase, Precision, Sampling};
use zoo_syntax::ast::{Binding, BindingKind, Expr, ExprKind, Stage, StageKind, Step};

/// What claims need to know of an arm.
#[derive(Clone, Debug)]
pub(crate) struct ArmFacts {
    pub(crate) name: String,
    pub(crate) percent: HashMap<String, bool>,
    pub(crate) unknown_cost: Option<String>,
    /// Errors were found in it, so that what it costs means nothing.
    pub(crate) wrong: bool,
}

impl<'d> ArmChecker<'d> {
    /// Every component that is bound, whether anything uses it or not.
    pub(crate) fn bound(&mut self) -> Vec<Instance> {
        let bindings: Vec<_> = self.definitions.bindings.iter().map(|(n, d)| (n.clone(), *d)).collect();
        for (name, binding) in bindings {
            self.binding(&name, binding.item.name.span);
        }
        std::mem::take(&mut self.instances)
    }

    /// Checks the arm and gives it complete.
    pub(crate) fn arm(&mut self) -> Arm {
        self.plugins();
        // Params and components that nothing uses are checked all the same.
        let params: Vec<_> = self.definitions.params.iter().map(|(n, d)| (n.clone(), *d)).collect();
        for (name, param) in params {
            self.param(&name, param.item, param.scope, param.item.name.span);
        }
        let mut phases = Vec::new();
        for (name, stage) in self.ordered_stages() {
            if let Some(phase) = self.phase(&name, stage, &phases) {
                phases.push(phase);
            }
        }
        let mut evaluations = Vec::new();
        let mut metrics = Vec::new();
        let mut logs: HashMap<String, Vec<LogFacts>> = HashMap::new();
        let bindings: Vec<_> = self.definitions.bindings.iter().map(|(n, d)| (n.clone(), *d)).collect();
        for (name, binding) in &bindings {
            match binding.item.kind {
                BindingKind::Eval => {
                    if let Some((evaluation, facts)) = self.evaluation(name, binding.item.name.span, &phases)
                    {
                        logs.insert(name.clone(), facts);
                        evaluations.push(evaluation);
                    } else {
                        logs.insert(name.clone(), Vec::new());
                    }
                }
                BindingKind::Metric if !self.is_component(name, *binding) => {}
                _ => {
                    self.binding(name, binding.item.name.span);
                }
            }
        }
        for (name, binding) in bindings.iter().filter(|(_, b)| b.item.kind == BindingKind::Metric) {
            if self.is_component(name, *binding) {
                continue;
            }
            if let Some(metric) = self.metric(name, &evaluations, &logs) {
                metrics.push(metric);
            }
        }
        if phases.is_empty() && evaluations.is_empty() && self.messages.errors == 0 {
            let empty = self.definitions.stages.is_empty()
                && !bindings.iter().any(|(_, b)| b.item.kind == BindingKind::Eval);
            if empty {
                self.error(
                    Diagnostic::error(codes::NOTHING_TO_DO, "the recipe trains nothing and measures nothing")
                        .primary(zoo_diagnostics::FileId(0).span(0..0), "neither a phase nor an evaluation")
                        .help("add a `phase` or an `eval`"),
                );
            }
        }
        self.keep_used(&phases, &evaluations);
        self.finish_costs();
        let item = self.definitions.arms.get(self.arm);
        Arm {
            name: item.map_or("main".to_owned(), |a| a.name.text.clone()),
            role: item.and_then(|a| a.role.as_ref()).map(|r| r.text.clone()),
            title: item.and_then(|a| a.title.as_ref()).map(|t| t.value.clone()).unwrap_or_default(),
            instances: std::mem::take(&mut self.instances),
            phases,
            evaluations,
            metrics,
            cost: self.cost.cost.clone(),
            seed_offset: 0,
        }
    }

    /// Whether a metric is a component, `evaluation.auc()`, to be called in steps: else it names a log,
    /// `EVALUATION.LOG`.
    pub(crate) fn is_component(&self, name: &str, binding: Defined<'d, Binding>) -> bool {
        let base = Some((&binding.item.value, binding.scope));
        self.in_force(name, base).is_some_and(|(expression, _)| {
            matches!(&expression.kind, ExprKind::Call { callee, .. }
                if callee.as_path().is_some_and(|path| path.names.len() > 1))
        })
    }

    pub(crate) fn facts(&self) -> ArmFacts {
        ArmFacts {
            name: self.definitions.arms.get(self.arm).map_or("main".to_owned(), |a| a.name.text.clone()),
            percent: self.percent.clone(),
            unknown_cost: self.cost.unknown.clone(),
            wrong: false,
        }
    }

    /// `use plugin "name" "range"` against what is in reach.
    fn plugins(&mut self) {
        for item in self.definitions.plugins.clone() {
            let name = &item.plugin.value;
            if let Some(refused) = self.catalogue.refused.iter().find(|r| r.name == *name) {
                self.error(
                    Diagnostic::error(
                        codes::PLUGIN_REFUSED,
                        format!("plugin `{name}` cannot be loaded: {}", refused.reason),
                    )
                    .primary(item.plugin.span, format!("found {}", refused.path))
                    .help(refused.help.clone()),
                );
                continue;
            }
            let Some(plugin) = self.catalogue.plugin(name) else {
                let known: Vec<String> = self.catalogue.plugins.iter().map(|p| p.name.clone()).collect();
                let diagnostic =
                    Diagnostic::error(codes::NO_SUCH_PLUGIN, format!("there is no plugin `{name}` in reach"))
                        .primary(item.plugin.span, "not found");
                self.error(match nearest(name, known.iter().map(String::as_str)) {
                    Some(near) => diagnostic.help_edit(
                        format!("did you mean `{near}`?"),
                        item.plugin.span,
                        format!("\"{near}\""),
                    ),
                    None => diagnostic.note(format!("in reach are {}", list(&known))),
                });
                continue;
            };
            let Some(range) = &item.version else { continue };
            match (semver::VersionReq::parse(&range.value), semver::Version::parse(&plugin.version)) {
                (Err(reason), _) => {
                    self.error(
                        Diagnostic::error(
                            codes::BAD_VERSION,
                            format!("\"{}\" is no range of versions", range.value),
                        )
                        .primary(range.span, reason.to_string())
                        .help("write `\">=0.1, <0.2\"`"),
                    );
                }
                (Ok(wanted), Ok(version)) if !wanted.matches(&version) => {
                    self.error(
                        Diagnostic::error(
                            codes::BAD_VERSION,
                            format!("plugin `{name}` is version {version}"),
                        )
                        .primary(range.span, "does not allow it")
                        .note(format!("found {}", plugin.path)),
                    );
                }
                _ => {}
            }
        }
    }

    /// Phases with `after` behind the ones they name, else in the order of the file.
    fn ordered_stages(&mut self) -> Vec<(String, Defined<'d, Stage>)> {
        let mut open: Vec<(String, Defined<'d, Stage>)> =
            self.definitions.stages.iter().map(|(n, d)| (n.clone(), *d)).collect();
        let names: Vec<String> = open.iter().map(|(n, _)| n.clone()).collect();
        let mut done: Vec<(String, Defined<'d, Stage>)> = Vec::new();
        while !open.is_empty() {
            let there = |full: &String| !names.contains(full) || done.iter().any(|(n, _)| n == full);
            let ready = open.iter().position(|(name, stage)| {
                let after = stage.item.after.as_ref().map(|after| format!("{}{}", stage.scope, after.text));
                let continued = self.continued(name, *stage).map(|(full, _)| full);
                after.iter().chain(&continued).all(there)
            });
            let Some(at) = ready else {
                let (name, stage) = &open[0];
                let span = stage.item.after.as_ref().map_or(stage.item.name.span, |a| a.span);
                let diagnostic =
                    Diagnostic::error(codes::CYCLE, format!("the phase `{name}` comes after itself"))
                        .primary(span, "by way of this");
                self.error(diagnostic);
                break;
            };
            let (name, stage) = open.remove(at);
            if let Some(after) = &stage.item.after
                && !names.contains(&format!("{}{}", stage.scope, after.text))
            {
                self.error(crate::unknown_name(&after.text, after.span, "phase", &names));
            }
            done.push((name, stage));
        }
        done
    }

    /// The value of a setting: an override, or what the block says.
    fn setting(
        &mut self,
        owner: &str,
        name: &str,
        base: Option<(&'d Expr, &'d str)>,
    ) -> Option<(&'d Expr, Value)> {
        let path = format!("{owner}.{name}");
        let (expression, scope) = self.in_force(&path, base)?;
        let value =
            self.remember(&path, expression.span, |this| this.value(expression, Site { scope, path: &path }));
        // `none` takes back what a weaker layer set.
        (value != Value::None).then_some((expression, value))
    }

    fn number(
        &mut self,
        owner: &str,
        name: &str,
        kind: &ParameterType,
        base: Option<(&'d Expr, &'d str)>,
    ) -> Option<f64> {
        let (expression, value) = self.setting(owner, name, base)?;
        self.converted(&value, kind, expression, &format!("`{owner}.{name}`"))?.as_f64()
    }

    fn instance_setting(
        &mut self,
        owner: &str,
        name: &str,
        wanted: &str,
        base: Option<(&'d Expr, &'d str)>,
    ) -> Option<Result<String, ()>> {
        let (expression, value) = self.setting(owner, name, base)?;
        let kind = ParameterType::Component(wanted.to_owned());
        let json = self.converted(&value, &kind, expression, &format!("`{owner}.{name}`"));
        Some(json.and_then(|j| Some(j.get("$instance")?.as_str()?.to_owned())).ok_or(()))
    }

    /// The step that a setting names.
    fn step_named(
        &mut self,
        owner: &str,
        base: Option<(&'d Expr, &'d str)>,
    ) -> Option<(Option<Defined<'d, Step>>, Span)> {
        let (expression, scope) = self.in_force(&format!("{owner}.step"), base)?;
        let name = expression.as_path().map(|p| p.to_string());
        let found = name.as_ref().and_then(|n| {
            find(&self.definitions.steps, &format!("{scope}{n}"))
                .or_else(|| find(&self.definitions.steps, n))
                .copied()
        });
        if found.is_none() {
            let names: Vec<String> = self.definitions.steps.iter().map(|(n, _)| n.clone()).collect();
            match name {
                Some(name) if self.definitions.broken.contains(&name) => {}
                Some(name) => {
                    self.error(crate::unknown_name(&name, expression.span, "step", &names));
                }
                None => {
                    self.error(
                        Diagnostic::error(codes::WRONG_TYPE, "a step is named, not computed")
                            .primary(expression.span, "expected the name of a step"),
                    );
                }
            }
        }
        Some((found, expression.span))
    }

    fn phase(&mut self, name: &str, stage: Defined<'d, Stage>, before: &[Phase]) -> Option<Phase> {
        let item = stage.item;
        if item.kind == StageKind::Rl {
            self.error(
                Diagnostic::error(
                    codes::NOT_SUPPORTED,
                    "reinforcement-learning phases are not supported by this version",
                )
                .primary(item.name.span, "an `rl` phase"),
            );
            return None;
        }
        // A setting that is wrong or cannot be read may be the one that is missing.
        let mut sound = !item.body.iter().any(|s| matches!(s, zoo_syntax::ast::BlockItem::Broken(_)));
        for setting in settings(&item.body) {
            let path = setting.path.to_string();
            if !crate::definitions::PHASE_SETTINGS.contains(&path.as_str())
                && let Some(first) = setting.path.names.first()
            {
                sound = false;
                let known = crate::definitions::PHASE_SETTINGS;
                let diagnostic =
                    crate::definitions::unknown_part(name, "setting", first, known, item.name.span);
                self.error(diagnostic);
            }
        }
        let written_continues = self.in_force(&format!("{name}.continues"), written(stage, "continues"));
        let chain = self.chain(name, stage);
        // One that continues a phase that is not there: what it lacks is that phase's.
        sound &= !chain.is_empty() || written_continues.is_none();
        let said = self.said(name, stage, &chain);
        let base = |key: &str| said.get(key).and_then(|(_, base)| *base);
        let owner = |key: &str| said.get(key).map_or(name, |(owner, _)| owner);
        let mut missing: Vec<(&str, &str)> = Vec::new();
        let length = match self.setting(owner("steps"), "steps", base("steps")) {
            None => {
                missing.push(("steps", "10k steps"));
                Length::Steps(1)
            }
            Some((expression, value)) => {
                let path = format!("`{name}.steps`");
                match &value {
                    Value::Number(epochs, Some(Unit::Epochs)) => Length::Epochs(*epochs),
                    value => {
                        let json = self.converted(value, &ParameterType::Count, expression, &path)?;
                        Length::Steps(json.as_u64().unwrap_or(0))
                    }
                }
            }
        };
        // A phase of no length is left out: that is how an arm does without it.
        if matches!(length, Length::Steps(0)) || length == Length::Epochs(0.0) {
            return None;
        }
        let data = self.instance_setting(owner("data"), "data", "data", base("data"));
        let batch = self.number(owner("batch"), "batch", &ParameterType::Count, base("batch"));
        let optimizer =
            self.instance_setting(owner("optimizer"), "optimizer", "optimizer", base("optimizer"));
        let step = self.step_named(owner("step"), base("step"));
        for (key, there, example) in [
            ("data", data.is_some(), "NAME_OF_DATA"),
            ("batch", self.in_force(&format!("{}.batch", owner("batch")), base("batch")).is_some(), "32 seq"),
            ("optimizer", optimizer.is_some(), "optimization.adamw(learning_rate: 1e-4)"),
            ("step", step.is_some(), "NAME_OF_STEP"),
        ] {
            if !there {
                missing.push((key, example));
            }
        }
        if !missing.is_empty() {
            if sound {
                let keys: Vec<String> = missing.iter().map(|(key, _)| (*key).to_owned()).collect();
                let lines: Vec<String> =
                    missing.iter().map(|(key, example)| format!("`{key} = {example}`")).collect();
                self.error(
                    Diagnostic::error(
                        codes::MISSING_PARAMETER,
                        format!("the phase `{name}` has no {}", list(&keys)),
                    )
                    .primary(item.name.span, "not set")
                    .help(format!("add {}", lines.join(", "))),
                );
            }
            return None;
        }
        let accumulate = self
            .number(owner("accumulate"), "accumulate", &ParameterType::Count, base("accumulate"))
            .unwrap_or(1.0);
        if batch == Some(0.0) || accumulate == 0.0 {
            let key = if batch == Some(0.0) { "batch" } else { "accumulate" };
            let span = self
                .in_force(&format!("{}.{key}", owner(key)), base(key))
                .map_or(item.name.span, |(e, _)| e.span);
            self.error(
                Diagnostic::error(
                    codes::OUT_OF_RANGE,
                    format!("`{name}.{key}` is 0, which is not at least 1"),
                )
                .primary(span, "this value"),
            );
            return None;
        }
        if let Some(size) = batch
            && accumulate > size
        {
            let span = self
                .in_force(&format!("{}.accumulate", owner("accumulate")), base("accumulate"))
                .map_or(item.name.span, |(e, _)| e.span);
            self.error(
                Diagnostic::error(
                    codes::OUT_OF_RANGE,
                    format!("{size} examples cannot be split into {accumulate} parts"),
                )
                .primary(span, "more parts than examples"),
            );
        }
        let schedule = self
            .instance_setting(owner("schedule"), "schedule", "schedule", base("schedule"))
            .transpose()
            .ok()
            .flatten();
        let clip_norm = self.number(owner("clip_norm"), "clip_norm", &ParameterType::Real, base("clip_norm"));
        let aggregate =
            self.instance_setting(owner("aggregate"), "aggregate", "aggregator", base("aggregate"));
        let aggregate = aggregate.transpose().ok().flatten();
        let sampling = match self.setting(owner("sampling"), "sampling", base("sampling")) {
            None => Sampling::Shuffled,
            Some((expression, value)) => {
                let choices = ParameterType::OneOf(["shuffled", "poisson"].map(str::to_owned).to_vec());
                match self.converted(&value, &choices, expression, &format!("`{name}.sampling`"))?.as_str() {
                    Some("poisson") => Sampling::Poisson,
                    _ => Sampling::Shuffled,
                }
            }
        };
        let precision = match self.setting(owner("precision"), "precision", base("precision")) {
            None => Precision::Float32,
            Some((expression, value)) => {
                let choices = ["auto", "float32", "bfloat16", "float16"].map(str::to_owned).to_vec();
                let path = format!("`{name}.precision`");
                match self.converted(&value, &ParameterType::OneOf(choices), expression, &path)?.as_str() {
                    Some("auto") => Precision::Auto,
                    Some("bfloat16") => Precision::Bfloat16,
                    Some("float16") => Precision::Float16,
                    _ => Precision::Float32,
                }
            }
        };
        let count = |this: &mut Self, key: &str| {
            this.number(owner(key), key, &ParameterType::Count, base(key)).map(|n| n as u64)
        };
        let evaluate_every = count(self, "evaluate_every").filter(|n| *n > 0);
        let save_every = count(self, "save_every").filter(|n| *n > 0);
        let keep = count(self, "keep").unwrap_or(1);
        let patience = count(self, "patience");
        let log_every = count(self, "log_every").unwrap_or(10).max(1);
        let train = self.trained(owner("train"), base("train"));
        let best = self
            .in_force(&format!("{name}.best"), base("best"))
            .and_then(|(e, _)| Some(e.as_path()?.to_string()));
        let continues = self.continuation(name, &chain, before);
        let (data, batch, optimizer) = (data?.ok()?, batch?, optimizer?.ok()?);
        let (step, _) = step?;
        let built = self.step(name, step?, &data, Some(batch), true)?;
        let updates = match length {
            Length::Steps(steps) => steps as f64,
            Length::Epochs(epochs) => {
                self.cost.cost.in_epochs.push(name.to_owned());
                epochs
            }
        };
        self.add_cost(name, &built, updates, batch, accumulate, &train, &optimizer);
        Some(Phase {
            name: name.to_owned(),
            continues,
            data,
            step: built.graph,
            length,
            batch: batch as u64,
            accumulate: accumulate as u64,
            optimizer,
            schedule,
            clip_norm,
            aggregate,
            sampling,
            precision,
            train,
            evaluate_every,
            save_every,
            keep,
            best,
            patience,
            log_every,
            place: place(self.sources, item.name.span),
        })
    }

    /// `train = [lora, discriminator.electra.encoder]`
    fn trained(&mut self, name: &str, base: Option<(&'d Expr, &'d str)>) -> Vec<String> {
        let Some((expression, _)) = self.in_force(&format!("{name}.train"), base) else { return Vec::new() };
        let items: Vec<&'d Expr> = match &expression.kind {
            ExprKind::List(items) => items.iter().collect(),
            _ => vec![expression],
        };
        let mut names = Vec::new();
        for item in items {
            match item.as_path() {
                Some(path) if find(&self.definitions.bindings, &path.names[0].text).is_some() => {
                    self.binding(&path.names[0].text.clone(), item.span);
                    names.push(path.to_string());
                }
                Some(path) => {
                    let known: Vec<String> =
                        self.definitions.bindings.iter().map(|(n, _)| n.clone()).collect();
                    self.error(crate::unknown_name(
                        &path.names[0].text,
                        path.names[0].span,
                        "model or adapter",
                        &known,
                    ));
                }
                None => {
                    self.error(
                        Diagnostic::error(
                            codes::WRONG_TYPE,
                            "`train` takes models, adapters, or parts of models",
                        )
                        .primary(item.span, "expected a name"),
                    );
                }
            }
        }
        names
    }

    fn evaluation(
        &mut self,
        name: &str,
        span: Span,
        phases: &[Phase],
    ) -> Option<(Evaluation, Vec<LogFacts>)> {
        let binding = find(&self.definitions.bindings, name).copied()?;
        let (expression, scope) = self.in_force(name, Some((&binding.item.value, binding.scope)))?;
        let ExprKind::Call { arguments, .. } = &expression.kind else {
            self.not_a_measurement(expression);
            return None;
        };
        if !is_measure(expression) {
            self.not_a_measurement(expression);
            return None;
        }
        let order = ["step", "data", "batch", "limit", "after", "during"];
        let mut given: HashMap<&str, (&'d Expr, &'d str)> = HashMap::new();
        let mut next = 0;
        for argument in arguments {
            let key = match &argument.name {
                Some(key) => match order.iter().find(|k| **k == key.text) {
                    Some(key) => *key,
                    None => {
                        let diagnostic = crate::definitions::unknown_part(name, "setting", key, &order, span);
                        self.error(diagnostic);
                        continue;
                    }
                },
                None => {
                    next += 1;
                    match order.get(next - 1) {
                        Some(key) => key,
                        None => {
                            self.error(
                                Diagnostic::error(
                                    codes::TOO_MANY_ARGUMENTS,
                                    "`measure` takes at most six arguments",
                                )
                                .primary(argument.span(), "one too many"),
                            );
                            continue;
                        }
                    }
                }
            };
            given.insert(key, (&argument.value, scope));
        }
        let base = |key: &str| given.get(key).copied();
        let step = self.step_named(name, base("step"));
        let data = self.instance_setting(name, "data", "data", base("data"));
        for (key, there) in [("step", step.is_some()), ("data", data.is_some())] {
            if !there {
                self.error(
                    Diagnostic::error(codes::MISSING_PARAMETER, format!("`{name}` has no `{key}`"))
                        .primary(expression.span, "not given")
                        .help("write `measure(STEP, data: DATA)`"),
                );
            }
        }
        let batch = self.number(name, "batch", &ParameterType::Count, base("batch")).unwrap_or(32.0).max(1.0);
        let limit = self.number(name, "limit", &ParameterType::Count, base("limit")).map(|n| n as u64);
        // An evaluation of no examples is left out: that is how a profile does without it.
        if limit == Some(0) {
            return None;
        }
        let during = match self.setting(name, "during", base("during")) {
            Some((at, value)) => {
                self.converted(&value, &ParameterType::Bool, at, "`during`").is_some_and(|j| j == true)
            }
            None => false,
        };
        let after = match self.in_force(&format!("{name}.after"), base("after")) {
            None => None,
            Some((at, _)) => {
                let path = at.as_path().map(|p| p.to_string()).unwrap_or_default();
                if find(&self.definitions.stages, &path).is_none() {
                    let names: Vec<String> = self.definitions.stages.iter().map(|(n, _)| n.clone()).collect();
                    self.error(crate::unknown_name(&path, at.span, "phase", &names));
                }
                // A phase that this arm leaves out: measured when what comes before it is done.
                phases.iter().any(|p| p.name == path).then_some(path)
            }
        };
        let (step, _) = step?;
        let data = data?.ok()?;
        let built = self.step(name, step?, &data, Some(batch), false)?;
        self.add_evaluation_cost(name, &built);
        Some((
            Evaluation {
                name: name.to_owned(),
                step: built.graph,
                data,
                batch: batch as u64,
                limit,
                after,
                during,
                place: place(self.sources, span),
            },
            built.logs,
        ))
    }

    fn not_a_measurement(&mut self, at: &Expr) {
        self.error(
            Diagnostic::error(codes::WRONG_TYPE, "an evaluation measures a step")
                .primary(at.span, "expected `measure(STEP, data: DATA)`"),
        );
    }

    fn metric(
        &mut self,
        name: &str,
        evaluations: &[Evaluation],
        logs: &HashMap<String, Vec<LogFacts>>,
    ) -> Option<Metric> {
        let binding = find(&self.definitions.bindings, name).copied()?;
        let (expression, _) = self.in_force(name, Some((&binding.item.value, binding.scope)))?;
        let path = expression.as_path().filter(|p| p.names.len() == 2);
        let Some(path) = path else {
            self.error(
                Diagnostic::error(codes::WRONG_TYPE, "a metric is a log of an evaluation")
                    .primary(expression.span, "expected `EVALUATION.LOG`"),
            );
            return None;
        };
        let (of, log) = (&path.names[0], &path.names[1]);
        let Some(facts) = logs.get(&of.text) else {
            let mut names: Vec<String> = logs.keys().cloned().collect();
            names.sort();
            self.error(crate::unknown_name(&of.text, of.span, "evaluation", &names));
            return None;
        };
        if !evaluations.iter().any(|e| e.name == of.text) {
            // The evaluation is wrong, and said so.
            self.percent.insert(name.to_owned(), false);
            return None;
        }
        let logged = |step: &Step| {
            step.body
                .iter()
                .any(|b| matches!(b, zoo_syntax::ast::Statement::Log { name, .. } if name.text == log.text))
        };
        let Some(found) = facts.iter().find(|f| f.name == log.text) else {
            let own = evaluations
                .iter()
                .find(|e| e.name == of.text)
                .and_then(|e| {
                    self.definitions.steps.iter().find(|(n, _)| n.rsplit('.').next() == Some(&*e.step.name))
                })
                .map(|(_, step)| step.item);
            // The log is wrong, and said so; or nothing is logged, and said so.
            if facts.is_empty() || own.is_some_and(logged) {
                self.percent.insert(name.to_owned(), false);
                return None;
            }
            // Another arm's step may log it: an arm without it has no such metric, and claims say so.
            let elsewhere = self.definitions.steps.iter().any(|(_, s)| logged(s.item));
            if !elsewhere {
                let known: Vec<String> = facts.iter().map(|f| f.name.clone()).collect();
                let diagnostic =
                    Diagnostic::error(codes::UNKNOWN_OUTPUT, format!("`{}` logs no `{}`", of.text, log.text))
                        .primary(log.span, "unknown log");
                self.error(match nearest(&log.text, known.iter().map(String::as_str)) {
                    Some(near) => diagnostic.help_edit(format!("did you mean `{near}`?"), log.span, near),
                    None => diagnostic.note(format!("it logs {}", list(&known))),
                });
            }
            return None;
        };
        self.percent.insert(name.to_owned(), found.percent);
        Some(Metric {
            name: name.to_owned(),
            evaluation: of.text.clone(),
            log: log.text.clone(),
            higher_is_better: found.higher_is_better,
            percent: found.percent,
        })
    }

    /// Keeps the instances that phases and evaluations need.
    fn keep_used(&mut self, phases: &[Phase], evaluations: &[Evaluation]) {
        use zoo_schema::experiment::Operation;
        let mut open: Vec<String> = Vec::new();
        for phase in phases {
            open.push(phase.data.clone());
            open.push(phase.optimizer.clone());
            open.extend(phase.schedule.clone());
            open.extend(phase.aggregate.clone());
            open.extend(phase.train.iter().map(|t| t.split('.').next().unwrap_or(t).to_owned()));
        }
        open.extend(evaluations.iter().map(|e| e.data.clone()));
        for graph in phases.iter().map(|p| &p.step).chain(evaluations.iter().map(|e| &e.step)) {
            open.extend(graph.nodes.iter().filter_map(|n| match &n.operation {
                Operation::Call { instance, .. } => Some(instance.clone()),
                _ => None,
            }));
        }
        let mut used: Vec<String> = Vec::new();
        while let Some(name) = open.pop() {
            if used.contains(&name) {
                continue;
            }
            if let Some(instance) = self.instances.iter().find(|i| i.name == name) {
                open.extend(instance.share.iter().map(|s| s.instance.clone()));
                open.extend(references(&serde_json::Value::Object(instance.parameters.clone())));
                open.extend(instance.on.iter().map(|s| s.instance.clone()));
                // Adapters belong to the models that they act on.
                let adapters =
                    self.instances.iter().filter(|i| i.on.as_ref().is_some_and(|s| s.instance == name));
                open.extend(adapters.map(|i| i.name.clone()));
            }
            used.push(name);
        }
        self.instances.retain(|i| used.contains(&i.name));
    }
}

fn references(value: &serde_json::Value) -> Vec<String> {
    match value {
        serde_json::Value::Object(object) => match object.get("$instance") {
            Some(serde_json::Value::String(name)) => vec![name.clone()],
            _ => object.values().flat_map(references).collect(),
        },
        serde_json::Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}
