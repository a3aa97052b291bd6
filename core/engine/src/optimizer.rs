//! The optimizer of a phase: its rate, its states, clipping, and the scaling of float16 losses.

use crate::model::Instances;
use crate::{EngineError, Result};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tch::{Device, Kind, Tensor};
use zoo_host::{CallScope, InstanceId, Parameter, Value, World};
use zoo_schema::experiment::{Phase, Schedule};
use zoo_torch::lists;

/// The peak rate.
enum Peak {
    Constant(f64),
    Varying(Schedule),
}

/// The optimizer of a phase and what it keeps for every trained parameter.
pub(crate) struct Optimizer<'a> {
    world: &'a World,
    id: InstanceId,
    schedule: Option<InstanceId>,
    peak: Peak,
    total: u64,
    phase: Arc<str>,
    parameters: Vec<Parameter>,
    /// Kind after kind, each in the order of the parameters: as the component gets them.
    states: Vec<(String, Tensor)>,
    /// Lists of all parameters, made once.
    names: Value,
    values: Value,
    state_values: Value,
}

impl<'a> Optimizer<'a> {
    /// The optimizer of a phase, with states of zero. Its schedule runs over `total` updates.
    pub(crate) fn new(
        world: &'a World,
        instances: &Instances,
        phase: &Phase,
        parameters: Vec<Parameter>,
        total: u64,
    ) -> Result<Self> {
        let made = instances.get(&phase.optimizer)?;
        let schedule =
            phase.schedule.as_ref().map(|name| instances.get(name)).transpose()?.map(|made| made.id);
        let given = made.instance.parameters.get("learning_rate");
        let wrong = || {
            EngineError::Experiment(format!(
                "the optimizer `{}` has no number `learning_rate`",
                phase.optimizer
            ))
        };
        let peak = match given.and_then(|value| value.get("$schedule")) {
            Some(schedule) => Peak::Varying(serde_json::from_value(schedule.clone()).map_err(|_| wrong())?),
            None => Peak::Constant(given.and_then(serde_json::Value::as_f64).ok_or_else(wrong)?),
        };
        let mut states = Vec::new();
        for state in &made.schema.effects.states {
            for parameter in &parameters {
                let shape = state.layout.shape(&parameter.tensor.size());
                let zeros = Tensor::f_zeros(&shape, (Kind::Float, parameter.tensor.device()))?;
                states.push((format!("{}.{}", parameter.name, state.name), zeros));
            }
        }
        let tensors = |tensors: &mut dyn Iterator<Item = &Tensor>| -> Value {
            Value::List(tensors.map(|tensor| Value::Tensor(tensor.shallow_clone())).collect())
        };
        let names = Value::Texts(parameters.iter().map(|p| p.name.clone()).collect());
        let values = tensors(&mut parameters.iter().map(|p| &p.tensor));
        let state_values = tensors(&mut states.iter().map(|(_, tensor)| tensor));
        Ok(Self {
            world,
            id: made.id,
            schedule,
            peak,
            total,
            phase: phase.name.as_str().into(),
            parameters,
            states,
            names,
            values,
            state_values,
        })
    }

    pub(crate) fn parameters(&self) -> Vec<&Tensor> {
        self.parameters.iter().map(|parameter| &parameter.tensor).collect()
    }

    fn scope(&self, update: u64, phase_update: u64) -> CallScope {
        CallScope {
            step: Arc::clone(&self.phase),
            node: "optimizer".into(),
            update,
            phase_update,
            training: true,
            ..CallScope::default()
        }
    }

    /// The learning rate of an update, counted from 0.
    pub(crate) fn rate(&self, update: u64, phase_update: u64) -> Result<f64> {
        let peak = match &self.peak {
            Peak::Constant(rate) => *rate,
            Peak::Varying(schedule) => schedule.at(phase_update),
        };
        let Some(schedule) = self.schedule else { return Ok(peak) };
        let step = Value::Int(phase_update.cast_signed());
        let total = Value::Int(self.total.cast_signed());
        let scope = CallScope { node: "schedule".into(), ..self.scope(update, phase_update) };
        let outputs = self.world.call(schedule, &scope, &[("step", &step), ("total", &total)])?;
        let factor = outputs.get("factor").and_then(Value::real).unwrap_or(f64::NAN);
        Ok(peak * factor)
    }

    /// Changes the parameters by an update's gradients; those without one stay.
    pub(crate) fn step(&self, gradients: &[Tensor], rate: f64, update: u64, phase_update: u64) -> Result<()> {
        let count = self.parameters.len();
        let reached: Vec<usize> = (0..count).filter(|i| gradients[*i].defined()).collect();
        let step = Value::Int(phase_update.cast_signed() + 1);
        let rate = Value::Real(rate);
        let list =
            Value::List(reached.iter().map(|i| Value::Tensor(gradients[*i].shallow_clone())).collect());
        let scope = self.scope(update, phase_update);
        let call = |names: &Value, values: &Value, states: &Value| -> Result<()> {
            let mut inputs = vec![
                ("step", &step),
                ("rate", &rate),
                ("names", names),
                ("parameters", values),
                ("gradients", &list),
            ];
            // A port without values is left out.
            if matches!(states, Value::List(list) if !list.is_empty()) {
                inputs.push(("states", states));
            }
            self.world.call(self.id, &scope, &inputs)?;
            Ok(())
        };
        if reached.len() == count {
            return call(&self.names, &self.values, &self.state_values);
        }
        let tensor = |tensor: &Tensor| Value::Tensor(tensor.shallow_clone());
        let kinds = self.states.len().checked_div(count).unwrap_or(0);
        let names = Value::Texts(reached.iter().map(|i| self.parameters[*i].name.clone()).collect());
        let values = Value::List(reached.iter().map(|i| tensor(&self.parameters[*i].tensor)).collect());
        let states = (0..kinds).flat_map(|kind| reached.iter().map(move |i| kind * count + i));
        let states = Value::List(states.map(|place| tensor(&self.states[place].1)).collect());
        call(&names, &values, &states)
    }

    /// States by the parameter's name and their own: `model.weight.first_moment`.
    pub(crate) fn states(&self) -> &[(String, Tensor)] {
        &self.states
    }

    /// Copies saved states back; all must be there.
    pub(crate) fn load(&self, saved: &[(String, Tensor)]) -> std::result::Result<(), String> {
        let saved: std::collections::HashMap<&str, &Tensor> =
            saved.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        if saved.len() != self.states.len() {
            return Err(format!(
                "it has {} optimizer states and {} are needed",
                saved.len(),
                self.states.len()
            ));
        }
        for (name, state) in &self.states {
            let tensor =
                saved.get(name.as_str()).ok_or_else(|| format!("it lacks the optimizer state `{name}`"))?;
            if tensor.size() != state.size() {
                return Err(format!(
                    "the optimizer state `{name}` has the shape {:?} and {:?} is needed",
                    tensor.size(),
                    state.size()
                ));
            }
            state.shallow_clone().f_copy_(tensor).map_err(|e| e.to_string())?;
        }
        Ok(())
    }
}

/// The gradients that are there.
pub(crate) fn defined(gradients: &[Tensor]) -> Vec<&Tensor> {
    gradients.iter().filter(|gradient| gradient.defined()).collect()
}

/// The scale of a float16 loss: as large as gradients allow, so that small ones do not vanish.
///
/// Doubled after 2000 updates without overflow, halved by one, which skips its update (Micikevicius et
/// al., "Mixed Precision Training", 2018, section 3.2; the numbers are those of libtorch).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Scaler {
    pub(crate) scale: f64,
    /// Updates since the last change.
    pub(crate) good: u64,
}

impl Default for Scaler {
    fn default() -> Self {
        Self { scale: 65536.0, good: 0 }
    }
}

impl Scaler {
    const INTERVAL: u64 = 2000;

    /// Takes the scale out of the gradients; false where one of them has overflown.
    pub(crate) fn unscale(&self, gradients: &[&Tensor], device: Device) -> Result<bool> {
        let found = Tensor::f_zeros([1], (Kind::Float, device))?;
        let inverse = Tensor::f_full([1], 1.0 / self.scale, (Kind::Float, device))?;
        lists::unscale_(gradients, &found, &inverse)?;
        Ok(found.f_double_value(&[0])? == 0.0)
    }

    /// Takes note of an update.
    pub(crate) fn note(&mut self, fine: bool) {
        if !fine {
            *self = Self { scale: self.scale / 2.0, good: 0 };
        } else if self.good + 1 == Self::INTERVAL {
            *self = Self { scale: self.scale * 2.0, good: 0 };
        } else {
            self.good += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_falls_at_once_and_rises_slowly() {
        let mut scaler = Scaler::default();
        scaler.note(false);
        assert_eq!(scaler, Scaler { scale: 32768.0, good: 0 });
        (0..2000).for_each(|_| scaler.note(true));
        assert_eq!(scaler, Scaler { scale: 65536.0, good: 0 });
    }

    #[test]
    fn an_overflow_is_found() {
        let scaler = Scaler { scale: 4.0, good: 0 };
        let fine = Tensor::from_slice(&[8.0_f32]);
        assert!(scaler.unscale(&[&fine], Device::Cpu).unwrap());
        assert_eq!(fine.double_value(&[0]), 2.0);
        let wrong = Tensor::from_slice(&[1.0_f32, f32::INFINITY]);
        assert!(!scaler.unscale(&[&fine, &wrong], Device::Cpu).unwrap());
    }
}
