//! What an arm is predicted to cost, from the formulas of component schemas.

use crate::evaluate::ArmChecker;
use crate::steps::{Built, inputs_of};
use std::collections::HashMap;
use zoo_schema::experiment::{ArmCost, Operation};
use zoo_schema::formula::Formula;

/// Costs of the phases checked so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) cost: ArmCost,
    /// Why the floating point operations are not known, if so.
    pub(crate) unknown: Option<String>,
}

/// The value of a schema's formula.
pub(crate) fn formula(text: &str, names: &HashMap<String, f64>) -> Result<f64, String> {
    let parsed = Formula::parse(text).map_err(|e| e.to_string())?;
    parsed.evaluate(&|name| names.get(name).copied()).map_err(|e| e.to_string())
}

impl ArmChecker<'_> {
    /// Adds what the updates of a phase cost: a trained call counts three forward passes (one
    /// forward, two backward), one that needs no gradient counts one.
    pub(crate) fn add_cost(&mut self, built: &Built, updates: f64, batch: f64) {
        self.cost.cost.steps += updates;
        self.cost.cost.examples += updates * batch;
        let graph = &built.graph;
        // A node is differentiated when a loss needs it and a trained parameter stands before it.
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
                    let frozen = self.instances.iter().any(|x| x.name == *instance && x.frozen);
                    let stops = schema.is_some_and(|s| s.effects.stops_gradient);
                    !stops && (before || schema.is_some_and(|s| s.effects.parameters) && !frozen)
                }
                Operation::Detach { .. } => false,
                _ => before,
            };
        }
        for (i, node) in graph.nodes.iter().enumerate() {
            let Operation::Call { instance, .. } = &node.operation else { continue };
            if !in_loss[i] {
                continue;
            }
            let Some(text) = self.schemas.get(instance).and_then(|s| s.cost.flops.as_deref()) else {
                continue;
            };
            match formula(text, &built.names[i]) {
                Ok(flops) => {
                    let passes = if trained[i] { 3.0 } else { 1.0 };
                    self.cost.cost.train_flops += updates * passes * flops;
                }
                Err(reason) => {
                    self.cost.unknown.get_or_insert(format!("`{instance}`: {reason}"));
                }
            }
        }
    }

    /// Adds up the parameters of every model.
    pub(crate) fn add_parameters(&mut self) {
        for instance in &self.instances {
            let Some(text) = self.schemas.get(&instance.name).and_then(|s| s.cost.parameters.as_deref())
            else {
                continue;
            };
            let names =
                instance.parameters.iter().filter_map(|(n, v)| Some((n.clone(), v.as_f64()?))).collect();
            if let Ok(count) = formula(text, &names) {
                self.cost.cost.parameters += count;
            }
        }
    }
}
