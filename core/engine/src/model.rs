//! The components of an arm: created once, in order, under the run's seed.

use crate::{EngineError, Result};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use zoo_host::{InstanceId, Parameter, World};
use zoo_schema::Component;
use zoo_schema::experiment::{Arm, Instance, Operation, StepGraph};

/// An instance of the arm.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) id: InstanceId,
    pub(crate) schema: Arc<Component>,
    /// As the experiment has it.
    pub(crate) instance: Instance,
}

/// Every instance of the arm by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Instances {
    all: Vec<Made>,
    places: HashMap<String, usize>,
    by_id: HashMap<InstanceId, usize>,
}

impl Instances {
    /// Creates all instances of an arm, in its order: referenced ones stand before those that refer
    /// to them. Initial values, shared parameters and weights are the host's work.
    pub(crate) fn create(world: &World, arm: &Arm) -> Result<Self> {
        let mut instances = Self::default();
        for instance in &arm.instances {
            let id = world.create(instance)?;
            let schema = Arc::new(world.schema(id)?);
            let place = instances.all.len();
            instances.places.insert(instance.name.clone(), place);
            instances.by_id.insert(id, place);
            instances.all.push(Made { id, schema, instance: instance.clone() });
        }
        Ok(instances)
    }

    /// The instance of that name.
    pub(crate) fn get(&self, name: &str) -> Result<&Made> {
        let place = self.places.get(name);
        place
            .and_then(|place| self.all.get(*place))
            .ok_or_else(|| EngineError::Experiment(format!("there is no instance `{name}`")))
    }

    /// The instance with that id.
    pub(crate) fn by_id(&self, id: InstanceId) -> Result<&Made> {
        let place = self.by_id.get(&id);
        place
            .and_then(|place| self.all.get(*place))
            .ok_or_else(|| EngineError::Experiment(format!("there is no instance {id:?}")))
    }

    /// All, in the order of the arm.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Made> {
        self.all.iter()
    }

    /// The names of all instances that a step calls, or that those refer to, act on or share with.
    pub(crate) fn reached(&self, graph: &StepGraph) -> BTreeSet<String> {
        let mut open: Vec<String> = graph
            .nodes
            .iter()
            .filter_map(|node| match &node.operation {
                Operation::Call { instance, .. } => Some(instance.clone()),
                _ => None,
            })
            .collect();
        let mut reached = BTreeSet::new();
        while let Some(name) = open.pop() {
            if !reached.insert(name.clone()) {
                continue;
            }
            if let Ok(made) = self.get(&name) {
                made.instance.parameters.values().for_each(|value| references(value, &mut open));
            }
            // Adapters are called by the models they act on.
            let adapters =
                self.all.iter().filter(|m| m.instance.on.as_ref().is_some_and(|on| on.instance == name));
            open.extend(adapters.map(|m| m.instance.name.clone()));
        }
        reached
    }

    /// Chooses what a phase trains: what `train` names, or every model of its step.
    pub(crate) fn train(
        &self,
        world: &World,
        phase: &zoo_schema::experiment::Phase,
    ) -> Result<Vec<Parameter>> {
        let names: Vec<String> = if phase.train.is_empty() {
            let with_parameters: BTreeSet<String> =
                world.parameters().into_iter().map(|p| p.instance).collect();
            self.reached(&phase.step).intersection(&with_parameters).cloned().collect()
        } else {
            phase.train.clone()
        };
        let trained = world.train_only(&names)?;
        if trained.is_empty() {
            return Err(EngineError::Experiment(format!(
                "phase `{}` has nothing to train: every parameter of {} is frozen, or there is none",
                phase.name,
                if names.is_empty() { "its step".to_owned() } else { format!("`{}`", names.join("`, `")) },
            )));
        }
        Ok(trained)
    }
}

fn references(value: &serde_json::Value, into: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(map) => {
            if let Some(serde_json::Value::String(name)) = map.get("$instance") {
                into.push(name.clone());
            }
        }
        serde_json::Value::Array(values) => values.iter().for_each(|value| references(value, into)),
        _ => {}
    }
}
