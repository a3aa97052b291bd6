//! What an arm is predicted to cost, from the formulas of component schemas.
//!
//! Memory is predicted at the worst moment: the end of the forward pass, when everything that the
//! backward pass needs is kept, with gradients and states of the optimizer from the update before.

use crate::evaluate::ArmChecker;
use crate::steps::{Built, Sizes, inputs_of};
use std::collections::{HashMap, HashSet};
use zoo_schema::experiment::{ArmCost, Instance, LengthCost, MemoryCost, Operation, PartCost, StepGraph};
use zoo_schema::formula::Formula;
use zoo_schema::{Dtype, StateLayout};

/// Costs of the phases checked so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) cost: ArmCost,
    /// Why the floating point operations are not known, if so.
    pub(crate) unknown: Option<String>,
    /// Evaluations, in their order; they stand after the phases.
    evaluations: Vec<PartCost>,
}

/// The value of a schema's formula.
pub(crate) fn formula(text: &str, names: &HashMap<String, f64>) -> Result<f64, String> {
    let parsed = Formula::parse(text).map_err(|e| e.to_string())?;
    parsed.evaluate(&|name| names.get(name).copied()).map_err(|e| e.to_string())
}

/// What of a step's graph is differentiated.
struct Differentiated {
    /// The loss needs it.
    in_loss: Vec<bool>,
    /// A trained parameter stands in it or before it.
    trained: Vec<bool>,
}

impl Differentiated {
    /// Whether a backward pass goes through the node.
    fn backward(&self, node: usize) -> bool {
        self.in_loss[node] && self.trained[node]
    }
}

impl ArmChecker<'_> {
    fn differentiated(&self, graph: &StepGraph, train: &[String]) -> Differentiated {
        let mut in_loss = vec![false; graph.nodes.len()];
        let mut open: Vec<usize> = graph.loss.iter().map(|t| t.value.node).collect();
        while let Some(node) = open.pop() {
            if !std::mem::replace(&mut in_loss[node], true) {
                open.extend(inputs_of(&graph.nodes[node].operation).iter().map(|r| r.node));
            }
        }
        let mut trained = vec![false; graph.nodes.len()];
        for (i, node) in graph.nodes.iter().enumerate() {
            let before = inputs_of(&node.operation).iter().any(|r| trained[r.node]);
            trained[i] = match &node.operation {
                Operation::Call { instance, .. } => {
                    let schema = self.schemas.get(instance);
                    let stops = schema.is_some_and(|s| s.effects.stops_gradient);
                    let own =
                        schema.is_some_and(|s| s.effects.parameters) && self.is_trained(instance, train);
                    !stops && (before || own)
                }
                Operation::Detach { .. } => false,
                _ => before,
            };
        }
        Differentiated { in_loss, trained }
    }

    /// Whether a phase that trains these names trains parameters of the instance, or of an adapter on it.
    fn is_trained(&self, instance: &str, train: &[String]) -> bool {
        let chosen = |name: &str| {
            let frozen = self.instances.iter().any(|x| x.name == name && x.frozen);
            let named = |path: &String| path.split('.').next() == Some(name);
            !frozen && (train.is_empty() || train.iter().any(named))
        };
        let on_it = |other: &&Instance| other.on.as_ref().is_some_and(|sites| sites.instance == instance);
        chosen(instance) || self.instances.iter().filter(on_it).any(|adapter| chosen(&adapter.name))
    }

    /// Adds what the updates of a phase cost: a trained call counts three forward passes (one
    /// forward, two backward), one that needs no gradient counts one.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn add_cost(
        &mut self,
        phase: &str,
        built: &Built,
        updates: f64,
        batch: f64,
        accumulate: f64,
        train: &[String],
        optimizer: &str,
    ) {
        self.cost.cost.steps += updates;
        self.cost.cost.examples += updates * batch;
        let graph = &built.graph;
        let differentiated = self.differentiated(graph, train);
        let mut flops = 0.0;
        for (i, node) in graph.nodes.iter().enumerate() {
            let Operation::Call { instance, .. } = &node.operation else { continue };
            if !differentiated.in_loss[i] {
                continue;
            }
            let Some(text) = self.schemas.get(instance).and_then(|s| s.cost.flops.as_deref()) else {
                continue;
            };
            match formula(text, &built.sizes.names[i]) {
                Ok(of_call) => flops += if differentiated.trained[i] { 3.0 } else { 1.0 } * of_call,
                Err(reason) => {
                    let reason = self.not_told(instance).unwrap_or(reason);
                    self.cost.unknown.get_or_insert(format!("`{instance}`: {reason}"));
                }
            }
        }
        self.cost.cost.train_flops += updates * flops;
        let names: HashSet<&str> = graph
            .nodes
            .iter()
            .filter_map(|node| match &node.operation {
                Operation::Call { instance, .. } => Some(instance.as_str()),
                _ => None,
            })
            .collect();
        let in_step = |x: &&Instance| {
            names.contains(x.name.as_str())
                || x.on.as_ref().is_some_and(|sites| names.contains(sites.instance.as_str()))
        };
        let trained: Vec<&Instance> =
            self.instances.iter().filter(in_step).filter(|x| self.is_trained(&x.name, train)).collect();
        let gradients = self.parameters(&trained);
        let states = self.schemas.get(optimizer).map(|s| s.effects.states.as_slice()).unwrap_or_default();
        // Factored states are too small to count.
        let whole = states.iter().filter(|state| state.layout == StateLayout::Same).count();
        let memory = |sizes: &Sizes| MemoryCost {
            gradients,
            states: whole as f64 * gradients,
            ..self.memory(graph, sizes, Some(&differentiated), accumulate)
        };
        let part = part(phase, flops, built, memory);
        self.cost.cost.parts.push(part);
    }

    /// Why the costs of an instance are not known: parameters that its formulas take and that may be left out
    /// (sizes of a model that its files tell) have no value.
    fn not_told(&self, instance: &str) -> Option<String> {
        let schema = self.schemas.get(instance)?;
        let instance = self.instances.iter().find(|x| x.name == instance)?;
        let cost = &schema.cost;
        let texts = [&cost.flops, &cost.parameters, &cost.activations, &cost.workspace];
        let formulas: Vec<Formula> =
            texts.into_iter().flatten().filter_map(|text| Formula::parse(text).ok()).collect();
        let missing: Vec<String> = schema
            .parameters
            .iter()
            .filter(|p| p.optional && instance.parameters.get(&p.name).is_none_or(|value| value.is_null()))
            .filter(|p| formulas.iter().any(|formula| formula.names().contains(&p.name.as_str())))
            .map(|p| format!("`{}`", p.name))
            .collect();
        (!missing.is_empty()).then(|| {
            let missing = missing.join(", ");
            format!("what it costs depends on {missing}, which its files tell when it is loaded; give them in the recipe to know it before")
        })
    }

    /// Adds what a batch of an evaluation costs.
    pub(crate) fn add_evaluation_cost(&mut self, evaluation: &str, built: &Built) {
        let mut flops = 0.0;
        for (i, node) in built.graph.nodes.iter().enumerate() {
            if let Operation::Call { instance, .. } = &node.operation
                && let Some(text) = self.schemas.get(instance).and_then(|s| s.cost.flops.as_deref())
            {
                flops += formula(text, &built.sizes.names[i]).unwrap_or(0.0);
            }
        }
        let part = part(evaluation, flops, built, |sizes| self.memory(&built.graph, sizes, None, 1.0));
        self.cost.evaluations.push(part);
    }

    /// Memory of one part of an update, or of a batch, without parameters and what belongs to them.
    fn memory(
        &self,
        graph: &StepGraph,
        sizes: &Sizes,
        differentiated: Option<&Differentiated>,
        parts: f64,
    ) -> MemoryCost {
        let mut memory = MemoryCost::default();
        let last_use = last_uses(graph);
        let read: HashSet<(usize, &str)> = graph
            .nodes
            .iter()
            .flat_map(|node| inputs_of(&node.operation))
            .chain(graph.logs.iter().map(|log| &log.value))
            .chain(graph.loss.iter().map(|term| &term.value))
            .map(|value| (value.node, value.output.as_str()))
            .collect();
        // Outputs live until they are used last, unless the backward pass needs them.
        let mut alive = 0.0;
        let mut released: Vec<Vec<f64>> = vec![Vec::new(); graph.nodes.len()];
        for (i, node) in graph.nodes.iter().enumerate() {
            let loader = match &node.operation {
                Operation::Column { .. } => true,
                Operation::Call { instance, .. } => {
                    self.schemas.get(instance).is_some_and(|s| s.effects.loader)
                }
                _ => false,
            };
            if loader {
                memory.batch_bytes +=
                    sizes.outputs[i].iter().map(|(_, t, n)| width(*t) * n.unwrap_or(0.0)).sum::<f64>();
                continue;
            }
            let floats: f64 = sizes.outputs[i]
                .iter()
                .filter(|(output, dtype, _)| {
                    dtype.has_shape() && *dtype != Dtype::Text && read.contains(&(i, output.as_str()))
                })
                .map(|(_, dtype, count)| width(*dtype) / 4.0 * count.unwrap_or(0.0))
                .sum();
            let backward = differentiated.is_some_and(|d| d.backward(i));
            let mut workspace = 0.0;
            let (mut kept, mut outputs) = if backward { (floats, 0.0) } else { (0.0, floats) };
            if let Operation::Call { instance, .. } = &node.operation
                && let Some(cost) = self.schemas.get(instance).map(|s| &s.cost)
            {
                let value = |text: Option<&str>| text.and_then(|text| formula(text, &sizes.names[i]).ok());
                let lacks = |text: Option<&str>| text.is_some() && value(text).is_none();
                if (lacks(cost.parameters.as_deref()) || lacks(cost.workspace.as_deref()))
                    && self.not_told(instance).is_some()
                {
                    memory.unknown.push(instance.clone());
                }
                workspace = value(cost.workspace.as_deref()).unwrap_or(0.0);
                if backward {
                    match value(cost.activations.as_deref()) {
                        Some(activations) => (kept, outputs) = (activations, floats),
                        None if self.schemas.get(instance).is_some_and(|s| s.effects.parameters)
                            && !memory.unknown.contains(instance) =>
                        {
                            memory.unknown.push(instance.clone());
                        }
                        None => {}
                    }
                }
            }
            // What the call makes is there at its worst moment, and what it gives at its end.
            let during = f64::max(workspace, kept + outputs);
            memory.workspace = f64::max(memory.workspace, memory.activations + alive + during);
            memory.activations += kept;
            alive += outputs;
            released[last_use[i].max(i)].push(outputs);
            alive -= released[i].iter().sum::<f64>();
        }
        // The worst moment in all, of which the kept values are a part.
        memory.workspace -= memory.activations;
        memory.activations /= parts;
        memory.workspace /= parts;
        memory.batch_bytes /= parts;
        memory.accumulate = parts;
        memory
    }

    /// Parameters of these instances, shared ones once.
    fn parameters(&self, of: &[&Instance]) -> f64 {
        let mut sum = 0.0;
        for instance in of {
            let Some(schema) = self.schemas.get(&instance.name) else { continue };
            let Some(text) = schema.cost.parameters.as_deref() else { continue };
            let names: HashMap<String, f64> =
                instance.parameters.iter().filter_map(|(n, v)| Some((n.clone(), v.as_f64()?))).collect();
            let Ok(count) = formula(text, &names) else { continue };
            sum += count;
            for share in &instance.share {
                // Of what is shared with one of these, only that one's is counted.
                if !of.iter().any(|other| other.name == share.instance) {
                    continue;
                }
                if share.prefix.is_empty() {
                    sum -= count;
                } else if let Some(part) = schema.cost.parts.get(&share.prefix) {
                    sum -= formula(part, &names).unwrap_or(0.0);
                }
            }
        }
        sum
    }

    /// Adds up the parameters of every model, and puts the parts in order.
    pub(crate) fn finish_costs(&mut self) {
        let all: Vec<&Instance> = self.instances.iter().collect();
        let parameters = self.parameters(&all);
        self.cost.cost.parameters = parameters;
        self.cost.cost.parts.append(&mut self.cost.evaluations);
        for part in &mut self.cost.cost.parts {
            part.memory.parameters = parameters;
            part.by_length.iter_mut().for_each(|known| known.memory.parameters = parameters);
        }
    }
}

/// Costs of a phase or evaluation, by the memory that sizes need.
fn part(name: &str, flops: f64, built: &Built, memory: impl Fn(&Sizes) -> MemoryCost) -> PartCost {
    let by_length = built.by_length.iter();
    PartCost {
        name: name.to_owned(),
        flops,
        memory: memory(&built.sizes),
        by_length: by_length
            .map(|(length, sizes)| LengthCost { length: *length, memory: memory(sizes) })
            .collect(),
    }
}

/// Bytes of an element.
fn width(dtype: Dtype) -> f64 {
    match dtype {
        Dtype::Float | Dtype::Any => 4.0,
        Dtype::Int => 8.0,
        Dtype::Bool => 1.0,
        Dtype::Text | Dtype::Real | Dtype::Integer | Dtype::Bytes => 0.0,
    }
}

/// For every node, the last one that uses it.
fn last_uses(graph: &StepGraph) -> Vec<usize> {
    let mut last = vec![0; graph.nodes.len()];
    for (i, node) in graph.nodes.iter().enumerate() {
        for input in inputs_of(&node.operation) {
            last[input.node] = last[input.node].max(i);
        }
    }
    // What is logged or minimised lives to the end.
    let end = graph.nodes.len().saturating_sub(1);
    let kept = graph.logs.iter().map(|l| l.value.node).chain(graph.loss.iter().map(|t| t.value.node));
    for node in kept {
        last[node] = end;
    }
    last
}
