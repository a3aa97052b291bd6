//! The whole experiment as text: every default filled in, for people and for the run directory.

use crate::catalogue::Catalogue;
use crate::value::json_text;
use serde_json::Value as Json;
use std::fmt::Write;
use zoo_schema::experiment::{
    Experiment, Instance, Length, Operation, Operator, Sampling, Share, StepGraph, ValueRef, Weight,
};
use zoo_schema::{ParameterType, kinds};

/// What `resolved.mlm` holds.
pub(crate) fn text(experiment: &Experiment, catalogue: &Catalogue) -> String {
    let mut text = String::new();
    let profile = experiment.profile.as_deref().unwrap_or("none");
    let _ = writeln!(
        text,
        "mlm 1\n\n// {} under profile {profile}, with every value filled in.",
        experiment.recipe
    );
    for set in &experiment.overrides {
        let _ = writeln!(text, "// --set {set}");
    }
    let _ = writeln!(text, "// {} runs an arm, seeds from {}.", experiment.seeds, experiment.first_seed);
    for plugin in &experiment.plugins {
        let _ = writeln!(text, "use plugin \"{}\" \"={}\"", plugin.name, plugin.version);
    }
    for arm in &experiment.arms {
        let _ = writeln!(
            text,
            "\n// ---- arm {} {}",
            arm.name,
            "-".repeat(70_usize.saturating_sub(arm.name.len()))
        );
        for instance in arm.instances.iter().filter(|i| !i.name.contains('@')) {
            let keyword = kinds::kind(&instance.kind).map_or("model", |k| k.keyword);
            let _ = writeln!(text, "{keyword} {} = {}", instance.name, call(instance, catalogue, &[]));
        }
        let mut written: Vec<&StepGraph> = Vec::new();
        for graph in arm.phases.iter().map(|p| &p.step).chain(arm.evaluations.iter().map(|e| &e.step)) {
            if !written.iter().any(|w| w.name == graph.name && w.loss == graph.loss) {
                written.push(graph);
                step(&mut text, graph, &arm.instances, catalogue);
            }
        }
        for phase in &arm.phases {
            let _ = writeln!(
                text,
                "phase {} {{\n  data = {}\n  step = {}",
                phase.name, phase.data, phase.step.name
            );
            if let Some(continues) = &phase.continues {
                let _ =
                    writeln!(text, "  continues = {}", continues.phase.as_ref().unwrap_or(&continues.chain));
            }
            let _ = match phase.length {
                Length::Steps(steps) => writeln!(text, "  steps = {steps} steps"),
                Length::Epochs(epochs) => writeln!(text, "  steps = {epochs} epochs"),
            };
            let _ = writeln!(
                text,
                "  batch = {} seq\n  accumulate = {}\n  optimizer = {}",
                phase.batch, phase.accumulate, phase.optimizer
            );
            if let Some(schedule) = &phase.schedule {
                let _ = writeln!(text, "  schedule = {schedule}");
            }
            if let Some(norm) = phase.clip_norm {
                let _ = writeln!(text, "  clip_norm = {norm}");
            }
            if let Some(aggregate) = &phase.aggregate {
                let _ = writeln!(text, "  aggregate = {aggregate}");
            }
            if phase.sampling == Sampling::Poisson {
                text.push_str("  sampling = \"poisson\"\n");
            }
            let _ =
                writeln!(text, "  precision = \"{}\"\n}}", format!("{:?}", phase.precision).to_lowercase());
        }
        for evaluation in &arm.evaluations {
            let _ = writeln!(
                text,
                "eval {} = measure({}, data: {}, batch: {} seq)",
                evaluation.name, evaluation.step.name, evaluation.data, evaluation.batch
            );
        }
        for metric in &arm.metrics {
            let _ = writeln!(text, "metric {} = {}.{}", metric.name, metric.evaluation, metric.log);
        }
    }
    for claim in &experiment.claims {
        let _ = writeln!(
            text,
            "\nclaim \"{}\" {{\n  require {}\n  over {} seeds{} at {}% confidence\n}}",
            claim.title,
            claim.text,
            claim.seeds,
            if claim.paired { " paired" } else { "" },
            crate::value::plain(claim.confidence * 100.0)
        );
    }
    text
}

fn call(instance: &Instance, catalogue: &Catalogue, inputs: &[String]) -> String {
    let schema = catalogue.component(&instance.component).map(|(_, c)| c);
    let mut arguments = inputs.to_vec();
    for (name, value) in &instance.parameters {
        if *value == Json::Null {
            continue;
        }
        let kind = schema.and_then(|s| s.parameter(name)).map_or(ParameterType::Real, |p| p.kind.clone());
        let value = match value.get("$schedule") {
            Some(schedule) => schedule.to_string(),
            None => json_text(value, &kind),
        };
        arguments.push(format!("{name}: {value}"));
    }
    if !instance.share.is_empty() {
        let part = |share: &Share| match share.prefix.as_str() {
            "" => share.instance.clone(),
            prefix => format!("{}.{prefix}", share.instance),
        };
        let shares: Vec<String> = instance.share.iter().map(part).collect();
        arguments.push(format!("share: [{}]", shares.join(", ")));
    }
    if let Some(weights) = &instance.weights {
        arguments.push(format!("weights: asset(\"{weights}\")"));
    }
    if instance.frozen {
        arguments.push("frozen: true".to_owned());
    }
    format!("{}({})", instance.component, arguments.join(", "))
}

fn step(text: &mut String, graph: &StepGraph, instances: &[Instance], catalogue: &Catalogue) {
    let name = |id: &str| id.replace('.', "_");
    let value = |reference: &ValueRef| -> String {
        let node = &graph.nodes[reference.node];
        match &node.operation {
            Operation::Column { column } => format!("batch.{column}"),
            Operation::Number { value } => crate::value::plain(*value),
            _ if reference.output.is_empty() => name(&node.id),
            _ => format!("{}.{}", name(&node.id), reference.output),
        }
    };
    let _ = writeln!(text, "step {}(batch) {{", graph.name);
    for node in &graph.nodes {
        let expression = match &node.operation {
            Operation::Column { .. } | Operation::Number { .. } => continue,
            Operation::Scheduled { schedule } => serde_json::to_string(schedule).unwrap_or_default(),
            Operation::Call { instance, inputs } => {
                let inputs: Vec<String> =
                    inputs.iter().map(|(port, r)| format!("{port}: {}", value(r))).collect();
                match instances.iter().find(|i| i.name == *instance) {
                    Some(inner) if instance.contains('@') => call(inner, catalogue, &inputs),
                    _ => format!("{instance}({})", inputs.join(", ")),
                }
            }
            Operation::Arithmetic { operator, operands } => {
                let operands: Vec<String> = operands.iter().map(value).collect();
                let sign = match operator {
                    Operator::Add => "+",
                    Operator::Subtract | Operator::Negate => "-",
                    Operator::Multiply => "*",
                    Operator::Divide => "/",
                    Operator::Equal => "==",
                    Operator::NotEqual => "!=",
                    Operator::Less => "<",
                    Operator::Greater => ">",
                    Operator::And => "and",
                    Operator::Or => "or",
                    Operator::Not => "not",
                };
                match operands.as_slice() {
                    [one] => format!("{sign} {one}"),
                    _ => operands.join(&format!(" {sign} ")),
                }
            }
            Operation::Mean { of } => format!("{}.mean()", value(of)),
            Operation::Sum { of } => format!("{}.sum()", value(of)),
            Operation::Detach { of } => format!("{}.detach()", value(of)),
        };
        let _ = writeln!(text, "  let {} = {expression}", name(&node.id));
    }
    for log in &graph.logs {
        let _ = writeln!(text, "  log {} = {}", log.name, value(&log.value));
    }
    if !graph.loss.is_empty() {
        let terms: Vec<String> = graph
            .loss
            .iter()
            .map(|term| match &term.weight {
                Weight::Constant(weight) if *weight == 1.0 => value(&term.value),
                Weight::Constant(weight) => {
                    format!("{} * {}", crate::value::plain(*weight), value(&term.value))
                }
                Weight::Scheduled(schedule) => {
                    format!(
                        "{} * {}",
                        serde_json::to_string(schedule).unwrap_or_default(),
                        value(&term.value)
                    )
                }
            })
            .collect();
        let _ = writeln!(text, "  loss = {}", terms.join(" + "));
    }
    let _ = writeln!(text, "}}");
}
