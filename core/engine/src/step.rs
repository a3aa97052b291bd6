//! Runs the tasks of a step over one part or whole.

use crate::arithmetic::{Operand, apply};
use crate::graph::{Count, Input, Leaf, LeafKind, Program, Source, Task, Work};
use crate::totals::LeafValue;
use crate::{EngineError, Result};
use std::sync::Arc;
use tch::{Device, Kind, Tensor};
use zoo_host::{CallScope, Value, World};
use zoo_schema::Dtype;
use zoo_torch::modes::{Autocast, Gradients};

/// Values of a part or whole by slot.
pub(crate) type Values = Vec<Option<Value>>;

/// Rows that are computed at once, with what the loader made of them.
#[derive(Debug)]
pub(crate) struct Batch {
    /// Rows of the update or evaluation before the first of these.
    pub(crate) first_row: u64,
    /// How many.
    pub(crate) rows: usize,
    /// Slots and values, on the CPU.
    pub(crate) values: Vec<(usize, Value)>,
    /// Each row for itself, where that was asked for.
    pub(crate) singles: Vec<Batch>,
}

impl Batch {
    /// No rows.
    pub(crate) fn empty(first_row: u64) -> Self {
        Self { first_row, rows: 0, values: Vec::new(), singles: Vec::new() }
    }

    /// Numbers in all its tensors: how large it is.
    pub(crate) fn elements(&self) -> usize {
        self.values.iter().filter_map(|(_, v)| v.tensor()).map(Tensor::numel).sum()
    }

    /// Tokens, as far as known: elements of the largest matrix of whole numbers, padding included.
    pub(crate) fn tokens(&self) -> usize {
        let matrices = self.values.iter().filter_map(|(_, v)| v.tensor());
        let matrices = matrices.filter(|t| t.dim() == 2 && t.kind() == Kind::Int64);
        matrices.map(Tensor::numel).max().unwrap_or(0)
    }

    /// Tokens of its longest text, as far as known: columns of its widest matrix of whole numbers.
    pub(crate) fn length(&self) -> usize {
        let matrices = self.values.iter().filter_map(|(_, v)| v.tensor());
        let matrices = matrices.filter(|t| t.dim() == 2 && t.kind() == Kind::Int64);
        matrices.map(|t| t.size()[1] as usize).max().unwrap_or(0)
    }

    fn again(&self) -> Vec<(usize, Value)> {
        self.values.iter().map(|(slot, value)| (*slot, value.shallow_clone())).collect()
    }
}

/// Where in the run a part or whole stands.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moment {
    /// The update over the whole run, or [`EVALUATION`].
    pub(crate) update: u64,
    /// The update within the phase.
    pub(crate) phase_update: u64,
    /// Rows before the first one.
    pub(crate) first_row: u64,
    /// The part's number, or the batch's in an evaluation.
    pub(crate) part: u64,
    /// Rows.
    pub(crate) rows: usize,
}

/// The update that evaluations stand in: what they draw is the same whenever they are done.
pub(crate) const EVALUATION: u64 = u64::MAX;
/// The update of trials, whose results are thrown away.
pub(crate) const TRIAL: u64 = u64::MAX - 1;

/// Runs one step's tasks.
#[derive(Clone, Copy)]
pub(crate) struct Runner<'a> {
    pub(crate) world: &'a World,
    pub(crate) program: &'a Program,
    pub(crate) device: Device,
    /// Dropout and the like are active.
    pub(crate) training: bool,
    /// Narrower type of the forward pass.
    pub(crate) autocast: Option<Kind>,
    /// Every example keeps its row, and padding is computed: where the gradient of every example is looked
    /// at, and where the plan of memory is measured.
    pub(crate) keep_rows: bool,
}

impl Runner<'_> {
    /// Opens a region of the step's precision.
    pub(crate) fn region(&self) -> Result<Option<Autocast>> {
        Ok(match self.autocast {
            Some(kind) => Some(Autocast::enter(self.device, kind)?),
            None => None,
        })
    }

    /// The scope of a call; cheap to make.
    pub(crate) fn scope(&self, id: &Arc<str>, moment: &Moment, gradients: bool) -> CallScope {
        CallScope {
            step: Arc::clone(&self.program.name),
            node: Arc::clone(id),
            update: moment.update,
            phase_update: moment.phase_update,
            row_offset: moment.first_row,
            micro: moment.part,
            training: self.training,
            gradients,
            keep_rows: self.keep_rows,
            wanted: zoo_host::Wanted::All,
        }
    }

    /// The values of a batch in their slots, on the device.
    pub(crate) fn start(&self, batch: &Batch) -> Result<Values> {
        let mut values: Values = Vec::new();
        values.resize_with(self.program.slots, || None);
        for (slot, value) in batch.again() {
            values[slot] = Some(self.to_device(value)?);
        }
        Ok(values)
    }

    fn to_device(self, value: Value) -> Result<Value> {
        Ok(match value {
            Value::Tensor(tensor) if self.device != Device::Cpu => {
                // The loader pinned it; libtorch keeps pinned memory until the copy is made.
                Value::Tensor(tensor.f_to_device_(self.device, tensor.kind(), true, false)?)
            }
            other => other,
        })
    }

    /// Runs tasks in order. Values are dropped after the task for which `releases` lists them.
    pub(crate) fn run(
        &self,
        tasks: &[Task],
        releases: &[Vec<usize>],
        values: &mut Values,
        moment: &Moment,
        gradients: bool,
    ) -> Result<()> {
        for (place, task) in tasks.iter().enumerate() {
            self.one(task, values, moment, gradients)?;
            for slot in releases.get(place).into_iter().flatten() {
                values[*slot] = None;
            }
        }
        Ok(())
    }

    /// Runs one task.
    pub(crate) fn one(
        &self,
        task: &Task,
        values: &mut Values,
        moment: &Moment,
        gradients: bool,
    ) -> Result<()> {
        let gradients = gradients && task.gradients;
        match &task.work {
            Work::Call { instance, inputs, outputs } => {
                let mut scope = self.scope(&task.id, moment, gradients);
                scope.wanted = task.wanted.clone();
                let numbers = self.numbers(inputs, moment)?;
                let given = wire(inputs, &numbers, values)?;
                let mut made = self.world.call(*instance, &scope, &given)?;
                for (name, slot) in outputs {
                    values[*slot] = made.take(name);
                }
            }
            Work::Arithmetic { operator, operands, output } => {
                let operands = operands
                    .iter()
                    .map(|source| self.operand(source, values, moment))
                    .collect::<Result<Vec<_>>>()?;
                let _mode = Gradients::set(gradients)?;
                values[*output] = Some(match apply(*operator, &operands)? {
                    Operand::Tensor(tensor) => Value::Tensor(tensor),
                    Operand::Number(number) => Value::Real(number),
                });
            }
            Work::Detach { of, output } => {
                values[*output] = Some(match self.operand(of, values, moment)? {
                    Operand::Tensor(tensor) => Value::Tensor(tensor.f_detach()?),
                    Operand::Number(number) => Value::Real(number),
                });
            }
            // Set by whoever has the leaves.
            Work::Aggregate { .. } => {}
        }
        Ok(())
    }

    /// Numbers of a call's inputs as values that their ports take, in the order of the inputs.
    fn numbers(&self, inputs: &[Input], moment: &Moment) -> Result<Vec<Option<Value>>> {
        inputs
            .iter()
            .map(|input| {
                let number = match &input.source {
                    Source::Slot(_) => return Ok(None),
                    Source::Number(number) => *number,
                    Source::Scheduled(schedule) => schedule.at(moment.phase_update),
                };
                let full = |kind| Tensor::f_full([0_i64; 0], number, (kind, self.device));
                Ok(Some(match input.dtype {
                    Dtype::Integer => Value::Int(number as i64),
                    Dtype::Int => Value::Tensor(full(Kind::Int64)?),
                    Dtype::Bool => Value::Tensor(full(Kind::Bool)?),
                    Dtype::Float | Dtype::Any => Value::Tensor(full(Kind::Float)?),
                    Dtype::Real | Dtype::Text | Dtype::Bytes => Value::Real(number),
                }))
            })
            .collect()
    }

    fn operand(&self, source: &Source, values: &Values, moment: &Moment) -> Result<Operand> {
        Ok(match source {
            Source::Number(number) => Operand::Number(*number),
            Source::Scheduled(schedule) => Operand::Number(schedule.at(moment.phase_update)),
            Source::Slot(slot) => match value_at(values, *slot)? {
                Value::Tensor(tensor) => Operand::Tensor(tensor.shallow_clone()),
                other => Operand::Number(other.real().ok_or_else(|| {
                    EngineError::Experiment(format!(
                        "step `{}` computes with {}",
                        self.program.name,
                        other.describe()
                    ))
                })?),
            },
        })
    }

    /// The number of targets of an objective over these values.
    pub(crate) fn count(&self, count: &Count, values: &Values, moment: &Moment) -> Result<f64> {
        let numbers = self.numbers(&count.inputs, moment)?;
        let given = wire(&count.inputs, &numbers, values)?;
        Ok(self.world.count(count.instance, &self.scope(&count.id, moment, false), &given)?)
    }

    /// The number of targets from what the loader made, before anything runs on the device.
    pub(crate) fn count_ahead(&self, count: &Count, batch: &Batch, moment: &Moment) -> Result<f64> {
        let mut values: Values = Vec::new();
        values.resize_with(self.program.slots, || None);
        for input in &count.inputs {
            if let Some((slot, value)) =
                batch.values.iter().find(|(slot, _)| input.source.slot() == Some(*slot))
            {
                values[*slot] = Some(value.shallow_clone());
            }
        }
        self.count(count, &values, moment)
    }

    /// What a leaf adds for these values. `count` is the number of targets, where the leaf has any.
    /// The sum has its history where gradients are recorded.
    pub(crate) fn leaf(
        &self,
        leaf: &Leaf,
        values: &Values,
        moment: &Moment,
        count: Option<f64>,
        gradients: bool,
    ) -> Result<Option<LeafValue>> {
        if matches!(leaf.kind, LeafKind::Metric { .. }) {
            return Ok(None);
        }
        let _mode = Gradients::set(gradients && leaf.in_loss)?;
        let tensor = match self.operand(&leaf.source, values, moment)? {
            Operand::Tensor(tensor) => tensor,
            // Numbers stay where they can be looked at without waiting.
            number @ Operand::Number(_) => number.into_tensor(Device::Cpu)?,
        };
        let scalar = |tensor: &Tensor| -> Result<Tensor> {
            if tensor.numel() != 1 {
                return Err(EngineError::Experiment(format!(
                    "step `{}`: `{}` is one number, not {:?}",
                    self.program.name,
                    leaf.id,
                    tensor.size()
                )));
            }
            let tensor =
                if tensor.dim() == 0 { tensor.shallow_clone() } else { tensor.f_reshape([0_i64; 0])? };
            Ok(match tensor.kind() {
                Kind::Float | Kind::Double => tensor,
                _ => tensor.f_to_kind(Kind::Float)?,
            })
        };
        let weighted = |weight: f64| -> Result<LeafValue> {
            Ok(LeafValue { sum: scalar(&tensor)?.f_mul_scalar(weight)?, weight: Some(weight) })
        };
        Ok(Some(match leaf.kind {
            LeafKind::Loss { .. } => LeafValue { sum: scalar(&tensor)?, weight: Some(count.unwrap_or(0.0)) },
            LeafKind::OfObjective { .. } => weighted(count.unwrap_or(0.0))?,
            LeafKind::Scalar => weighted(moment.rows as f64)?,
            LeafKind::Mean => LeafValue { sum: sum(&tensor)?, weight: Some(tensor.numel() as f64) },
            LeafKind::Sum => LeafValue { sum: sum(&tensor)?, weight: None },
            LeafKind::Metric { .. } => return Ok(None),
        }))
    }
}

/// The sum of all elements, wide enough.
fn sum(tensor: &Tensor) -> Result<Tensor> {
    Ok(tensor.f_sum(match tensor.kind() {
        Kind::Half | Kind::BFloat16 | Kind::Float => Kind::Float,
        _ => Kind::Double,
    })?)
}

fn value_at(values: &Values, slot: usize) -> Result<&Value> {
    values.get(slot).and_then(Option::as_ref).ok_or_else(|| {
        EngineError::Experiment("an optional output that a component did not give is used".to_owned())
    })
}

/// Pairs ports with values. An optional output that was not given leaves its consumer's input out,
/// which the host then judges.
fn wire<'v>(
    inputs: &'v [Input],
    numbers: &'v [Option<Value>],
    values: &'v Values,
) -> Result<Vec<(&'v str, &'v Value)>> {
    let mut given = Vec::with_capacity(inputs.len());
    for (input, number) in inputs.iter().zip(numbers) {
        match (&input.source, number) {
            (Source::Slot(slot), _) => {
                if let Some(value) = values.get(*slot).and_then(Option::as_ref) {
                    given.push((input.port.as_str(), value));
                }
            }
            (_, Some(number)) => given.push((input.port.as_str(), number)),
            (_, None) => {}
        }
    }
    Ok(given)
}
