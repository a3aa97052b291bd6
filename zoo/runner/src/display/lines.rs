//! What is told of an event in one line.

use super::text::{self, bytes, count, duration, operations, significant};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use zoo_record::{Event, Measure, RunStarted, StepLogged, Values};
use zoo_schema::experiment::Experiment;

/// Stages that were found or made faster than this are not worth a line.
const SHORT_STAGE: f64 = 1.0;
/// Less memory than this is lost in what the process has anyway.
const LITTLE_MEMORY: f64 = (32 << 20) as f64;

/// Makes lines of events. Steps are told of every few seconds only.
#[derive(Debug)]
pub(crate) struct Lines {
    /// Whether a metric is a share, by its name.
    percent: BTreeMap<String, bool>,
    many: bool,
    last_step: Option<Instant>,
    between_steps: Duration,
}

impl Lines {
    pub(crate) fn new(experiment: &Experiment, between_steps: Duration) -> Self {
        let metrics = experiment.arms.iter().flat_map(|arm| &arm.metrics);
        Self {
            percent: metrics.map(|metric| (metric.name.clone(), metric.percent)).collect(),
            many: experiment.arms.len() > 1 || experiment.seeds > 1,
            last_step: None,
            between_steps,
        }
    }

    fn who(&self, arm: &str, seed: u64) -> String {
        if self.many { format!("[{arm}, seed {seed}] ") } else { String::new() }
    }

    /// The metrics of the recipe, as they are read.
    pub(crate) fn metrics(&self, values: &Values) -> String {
        let texts: Vec<String> = values
            .iter()
            .map(|(name, value)| {
                let percent = self.percent.get(name).copied().unwrap_or(false);
                format!("{name} {}", text::value(value, percent))
            })
            .collect();
        texts.join(", ")
    }

    /// Lines for what is not a step; none for what is not worth one.
    pub(crate) fn of(&self, event: &Event) -> Vec<String> {
        match event {
            Event::RunStarted(started) => header(started),
            Event::StageStarted { stage, .. } => vec![format!("{stage}: being made …")],
            Event::StageFinished { stage, seconds, bytes: size, .. } if *seconds >= SHORT_STAGE => {
                vec![format!("{stage}: made in {} ({})", duration(*seconds), bytes(*size as f64))]
            }
            Event::SeedStarted { arm, seed, resumed: Some(reached) } => {
                let place = match &reached.phase {
                    Some(phase) => format!("phase {phase}, step {}", reached.step),
                    None if reached.finished_phases.is_empty() => "its beginning".into(),
                    None => format!("the end of phase {}", reached.finished_phases.join(", ")),
                };
                vec![format!("{}goes on from {place}", self.who(arm, *seed))]
            }
            Event::PhaseStarted { arm, seed, phase, step, total, batch, precision } => {
                let from = if *step > 0 { format!(" from step {step}") } else { String::new() };
                vec![format!(
                    "{}phase {phase}{from}: {total} steps of {batch} examples, {precision}",
                    self.who(arm, *seed)
                )]
            }
            Event::EvaluationFinished { arm, seed, phase, step, evaluation, values, .. } => {
                let values: Vec<String> =
                    values.iter().map(|(name, value)| format!("{name} {}", significant(value, 4))).collect();
                vec![format!(
                    "{}{evaluation} after step {step} of {phase}: {}",
                    self.who(arm, *seed),
                    values.join(", ")
                )]
            }
            Event::Warning { arm, seed, message, help } => {
                let who = match (arm, seed) {
                    (Some(arm), Some(seed)) => self.who(arm, *seed),
                    _ => String::new(),
                };
                let mut lines = vec![format!("warning: {who}{message}")];
                lines.extend(help.iter().map(|help| format!("  help: {help}")));
                lines
            }
            Event::PlanMeasured { measure: Measure::Bytes, planned, measured, .. }
                if planned.max(*measured) < LITTLE_MEMORY =>
            {
                Vec::new()
            }
            Event::PlanMeasured { arm, what, part, measure, planned, measured, process } => {
                let show = |value: f64| match measure {
                    Measure::Bytes => bytes(value),
                    Measure::Seconds => duration(value),
                    Measure::Flops => operations(value),
                    Measure::Count => count(value),
                };
                let off = (planned / measured - 1.0) * 100.0;
                let process =
                    process.map(|grown| format!("; the process grew by {}", show(grown))).unwrap_or_default();
                vec![format!(
                    "[{arm}] {what} ({part}): planned {}, measured {} ({off:+.0} %){process}",
                    show(*planned),
                    show(*measured)
                )]
            }
            Event::SeedFinished { arm, seed, metrics, seconds } => {
                let metrics = self.metrics(metrics);
                let metrics = if metrics.is_empty() { String::new() } else { format!(": {metrics}") };
                vec![format!("{}done in {}{metrics}", self.who(arm, *seed), duration(*seconds))]
            }
            _ => Vec::new(),
        }
    }

    /// A line for a step, when it is time for one.
    pub(crate) fn of_step(&mut self, logged: &StepLogged, left: Option<f64>) -> Option<String> {
        let due = self.last_step.is_none_or(|last| last.elapsed() >= self.between_steps);
        if !due && logged.step < logged.total {
            return None;
        }
        self.last_step = Some(Instant::now());
        let left = left.map(|left| format!(", {} left", duration(left))).unwrap_or_default();
        Some(format!(
            "{}{} {}/{}: {}{left}",
            self.who(&logged.arm, logged.seed),
            logged.phase,
            logged.step,
            logged.total,
            step_values(&logged.values)
        ))
    }
}

/// `loss 2.31, 120 examples/s, 15.4k tokens/s`
pub(crate) fn step_values(values: &Values) -> String {
    let mut texts = Vec::new();
    if let Some(loss) = values.get("loss") {
        texts.push(format!("loss {}", significant(loss, 4)));
    }
    if let Some(speed) = values.get("examples_per_second") {
        texts.push(format!("{} examples/s", significant(speed, 3)));
    }
    if let Some(speed) = values.get("tokens_per_second") {
        texts.push(format!("{} tokens/s", count(speed)));
    }
    texts.join(", ")
}

fn header(started: &RunStarted) -> Vec<String> {
    let plural = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let mut lines = Vec::new();
    let name = if started.paper.is_empty() { &started.recipe } else { &started.paper };
    let title = if started.title.is_empty() { String::new() } else { format!(": {}", started.title) };
    lines.push(format!("{name}{title}"));
    let device = match started.device.model.as_str() {
        "" => started.device.name.clone(),
        model => format!("{} ({model})", started.device.name),
    };
    let profile = started.profile.as_ref().map(|profile| format!("profile {profile}, ")).unwrap_or_default();
    lines.push(format!(
        "{profile}{} over {}, on {device}, {}",
        plural(started.arms.len(), "arm"),
        plural(started.seeds.len(), "seed"),
        plural(started.threads as usize, "thread"),
    ));
    for arm in &started.arms {
        let role = arm.role.as_ref().map(|role| format!(" ({role})")).unwrap_or_default();
        let title = if arm.title.is_empty() { String::new() } else { format!(": {}", arm.title) };
        lines.push(format!(
            "  {}{role}{title}, {} steps, {} parameters, {}",
            arm.name,
            arm.steps,
            count(arm.parameters),
            operations(arm.train_flops)
        ));
    }
    lines.push(format!("run directory {}", started.run_dir));
    lines
}
