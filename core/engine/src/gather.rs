//! Values of all parts of an update, brought together.

use crate::graph::Program;
use crate::step::Values;
use crate::{EngineError, Result};
use tch::Tensor;
use zoo_host::Value;

/// Values of the slots in [`Program::gathered`], part after part, without history.
pub(crate) struct Gathered<'a> {
    program: &'a Program,
    /// By place in the list of slots, then by part.
    values: Vec<Vec<Option<Value>>>,
}

impl<'a> Gathered<'a> {
    pub(crate) fn new(program: &'a Program) -> Self {
        Self { program, values: program.gathered.iter().map(|_| Vec::new()).collect() }
    }

    /// Takes the values of the next part.
    pub(crate) fn take(&mut self, values: &Values) -> Result<()> {
        for (slot, taken) in self.program.gathered.iter().zip(&mut self.values) {
            taken.push(match values.get(*slot).and_then(Option::as_ref) {
                Some(Value::Tensor(tensor)) => Some(Value::Tensor(tensor.f_detach()?)),
                Some(other) => Some(other.shallow_clone()),
                None => None,
            });
        }
        Ok(())
    }

    /// One value of all parts: tensors and texts one after the other; a single number is that of the
    /// first part, since it does not depend on the rows.
    pub(crate) fn joined(&self, place: usize, step: &str) -> Result<Option<Value>> {
        let parts = &self.values[place];
        Ok(match parts.first().and_then(Option::as_ref) {
            None => None,
            Some(Value::Tensor(first)) if first.dim() > 0 => {
                let tensors: Vec<&Tensor> =
                    parts.iter().filter_map(|value| value.as_ref().and_then(Value::tensor)).collect();
                let width = |tensor: &Tensor| tensor.size().get(1..).map(<[i64]>::to_vec).unwrap_or_default();
                if let Some(other) = tensors.iter().find(|tensor| width(tensor) != width(first)) {
                    return Err(EngineError::Experiment(format!(
                        "step `{step}`: parts of an update cannot be brought together for what compares all \
                         of its examples: {:?} and {:?} differ beyond the first dimension; let it read one \
                         vector an example, or set `accumulate = 1`",
                        first.size(),
                        other.size()
                    )));
                }
                Some(Value::Tensor(Tensor::f_cat(&tensors, 0)?))
            }
            Some(Value::Texts(_)) => {
                let texts = parts.iter().flatten().filter_map(|value| match value {
                    Value::Texts(texts) => Some(texts.iter().cloned()),
                    _ => None,
                });
                Some(Value::Texts(texts.flatten().collect()))
            }
            Some(other) => Some(other.shallow_clone()),
        })
    }

    /// The rows of a part in a gradient of the joined value; none where the value is another part's.
    pub(crate) fn slice(&self, place: usize, part: usize, gradient: &Tensor) -> Result<Option<Tensor>> {
        let rows = |value: &Option<Value>| value.as_ref().and_then(Value::tensor).map(|t| t.size());
        let parts = &self.values[place];
        Ok(match rows(&parts[part]).as_deref() {
            Some([]) if part == 0 => Some(gradient.shallow_clone()),
            Some([own, ..]) => {
                let before = parts[..part].iter().filter_map(rows).filter_map(|s| s.first().copied()).sum();
                Some(gradient.f_narrow(0, before, *own)?)
            }
            _ => None,
        })
    }
}
