//! Sums that run over a log window or an evaluation.

use crate::Result;
use crate::arithmetic::on_numbers;
use crate::graph::{LeafKind, Program, Reading};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use tch::{Device, Kind, Tensor};

/// A leaf's sum and what it is divided by, over an update, a window or an evaluation.
#[derive(Debug)]
pub(crate) struct LeafValue {
    /// `float[]`
    pub(crate) sum: Tensor,
    /// Targets, elements or rows; none for what is only added up.
    pub(crate) weight: Option<f64>,
}

/// What one of so many counts; nothing of none.
pub(crate) fn share(weight: f64) -> f64 {
    if weight == 0.0 { 0.0 } else { 1.0 / weight }
}

impl LeafValue {
    /// The value that is meant; where nothing was counted, zero.
    pub(crate) fn value(&self) -> Result<Tensor> {
        Ok(match self.weight {
            None => self.sum.shallow_clone(),
            Some(weight) => self.sum.f_mul_scalar(share(weight))?,
        })
    }
}

/// Sums of numbers that may lie on a device: they are fetched only when someone looks.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    known: Vec<f64>,
    pending: Vec<Option<Tensor>>,
}

impl Sums {
    pub(crate) fn new(count: usize) -> Self {
        Self { known: vec![0.0; count], pending: (0..count).map(|_| None).collect() }
    }

    pub(crate) fn add_number(&mut self, place: usize, value: f64) {
        self.known[place] += value;
    }

    /// Adds a scalar tensor, without waiting for its device.
    pub(crate) fn add(&mut self, place: usize, value: &Tensor) -> Result<()> {
        if value.device() == Device::Cpu {
            self.known[place] += value.f_double_value(&[])?;
            return Ok(());
        }
        let _no_gradients = zoo_torch::modes::Gradients::set(false)?;
        let value = value.f_to_kind(Kind::Double)?;
        let pending = &mut self.pending[place];
        *pending = Some(match pending.take() {
            Some(sum) => sum.f_add(&value)?,
            None => value.f_detach()?,
        });
        Ok(())
    }

    /// All sums; waits for the device.
    pub(crate) fn read(&mut self) -> Result<&[f64]> {
        let places: Vec<usize> = (0..self.pending.len()).filter(|i| self.pending[*i].is_some()).collect();
        if !places.is_empty() {
            let tensors: Vec<Tensor> = self.pending.iter_mut().filter_map(Option::take).collect();
            // One transfer for all.
            let fetched = Vec::<f64>::try_from(Tensor::f_stack(&tensors, 0)?.f_to_device(Device::Cpu)?)?;
            for (place, value) in places.into_iter().zip(fetched) {
                self.known[place] += value;
            }
        }
        Ok(&self.known)
    }
}

/// Sums and weights of all leaves of a step.
#[derive(Debug)]
pub(crate) struct Totals {
    sums: Sums,
    weights: Vec<f64>,
}

/// Totals as a checkpoint has them: bits, since JSON has no NaN.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct SavedTotals {
    sums: Vec<u64>,
    weights: Vec<u64>,
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}

impl Totals {
    pub(crate) fn new(program: &Program) -> Self {
        let count = program.leaves.len();
        Self { sums: Sums::new(count), weights: vec![0.0; count] }
    }

    /// Adds what an update or a batch gave; leaves without a value (metrics) are left out.
    pub(crate) fn add(&mut self, values: &[Option<LeafValue>]) -> Result<()> {
        for (place, value) in values.iter().enumerate() {
            if let Some(value) = value {
                self.sums.add(place, &value.sum)?;
                self.weights[place] += value.weight.unwrap_or(0.0);
            }
        }
        Ok(())
    }

    pub(crate) fn save(&mut self) -> Result<SavedTotals> {
        Ok(SavedTotals { sums: bits(self.sums.read()?), weights: bits(&self.weights) })
    }

    pub(crate) fn restore(&mut self, saved: &SavedTotals) {
        for (place, sum) in saved.sums.iter().enumerate().take(self.weights.len()) {
            self.sums.add_number(place, f64::from_bits(*sum));
        }
        for (weight, saved) in self.weights.iter_mut().zip(&saved.weights) {
            *weight = f64::from_bits(*saved);
        }
    }

    /// The leaves of a reading that nothing was counted for.
    pub(crate) fn empty(&self, program: &Program, reading: &Reading) -> Vec<String> {
        let mut leaves = BTreeSet::new();
        reading.leaves(&mut leaves);
        leaves
            .into_iter()
            .filter(|leaf| !matches!(program.leaves[*leaf].kind, LeafKind::Metric { .. } | LeafKind::Sum))
            .filter(|leaf| self.weights[*leaf] == 0.0)
            .map(|leaf| program.leaves[leaf].id.to_string())
            .collect()
    }

    /// The number that a reading is. `wholes` is the number of updates, over which sums are averaged,
    /// or 1; `metric` gives a metric's value.
    pub(crate) fn value(
        &mut self,
        program: &Program,
        reading: &Reading,
        wholes: f64,
        phase_update: u64,
        metric: &mut dyn FnMut(zoo_host::InstanceId) -> Result<f64>,
    ) -> Result<f64> {
        Ok(match reading {
            Reading::Leaf(leaf) => {
                let sum = self.sums.read()?[*leaf];
                match program.leaves[*leaf].kind {
                    LeafKind::Metric { instance } => metric(instance)?,
                    LeafKind::Sum => sum / wholes,
                    _ => sum / self.weights[*leaf],
                }
            }
            Reading::Number(number) => *number,
            Reading::Scheduled(schedule) => schedule.at(phase_update),
            Reading::Arithmetic(operator, operands) => {
                let values = operands
                    .iter()
                    .map(|operand| self.value(program, operand, wholes, phase_update, metric))
                    .collect::<Result<Vec<_>>>()?;
                on_numbers(*operator, &values)?
            }
            Reading::Detached(inner) => self.value(program, inner, wholes, phase_update, metric)?,
        })
    }
}
