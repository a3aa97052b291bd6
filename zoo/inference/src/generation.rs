//! Text from a causal model, with keys and values of earlier tokens kept: the search of `zoo-decoding`
//! over a [`Model`].

use crate::model::{Head, Model};
use crate::{Error, Result};
use tch::{Device, Tensor};
use zoo_decoding::{Rows, Watch, Writer};
use zoo_host::Value;

pub use zoo_decoding::{Ended, Generated, Options, Sampling};

/// A causal model, and what it keeps of the rows.
struct Causal<'m> {
    model: &'m Model,
    past: Vec<Value>,
    cache: bool,
}

impl Writer for Causal<'_> {
    type Error = Error;

    fn scores(&mut self, rows: &Rows) -> Result<Tensor> {
        let done = match self.past.first() {
            Some(Value::Tensor(keys)) => keys.size().get(2).copied().unwrap_or(0),
            _ => 0,
        };
        let ids = Value::Tensor(rows.new_ids(done)?);
        let mask = rows.mask.as_ref().map(|mask| Value::Tensor(mask.shallow_clone()));
        let positions = rows.new_positions(done)?.map(Value::Tensor);
        let mut inputs = vec![("ids", &ids)];
        inputs.extend(mask.iter().map(|mask| ("attention_mask", mask)));
        inputs.extend(positions.iter().map(|positions| ("position_ids", positions)));
        inputs.extend(self.past.iter().map(|value| ("past", value)));
        let wanted: &[&str] = if self.cache { &["logits", "cache"] } else { &["logits"] };
        let mut outputs = self.model.call(&inputs, wanted, false)?;
        if let Some(Value::List(cache)) = outputs.take("cache") {
            self.past = cache;
        }
        let logits =
            outputs.take_tensor("logits").ok_or_else(|| Error::Unknown("the model gave no scores".into()))?;
        Ok(logits.f_select(1, -1)?)
    }

    fn choose(&mut self, rows: &Tensor) -> Result<()> {
        for value in &mut self.past {
            if let Value::Tensor(tensor) = value {
                *tensor = tensor.f_index_select(0, rows)?;
            }
        }
        Ok(())
    }
}

/// Texts that begin with the prompts, `options.samples` for each, in their order; see
/// [`zoo_decoding::generate`]. Without `cache` everything is computed anew for each token, to the same
/// result.
///
/// # Errors
/// A model that does not write, options that make no sense, an empty prompt, and everything that a call
/// can end in.
pub fn generate(
    model: &Model,
    prompts: &[Vec<i64>],
    seeds: &[u64],
    options: &Options,
    (device, cache): (Device, bool),
    watch: &mut Watch<'_, Error>,
) -> Result<Vec<Generated>> {
    if model.head() != Head::CausalLm {
        return Err(Error::Unknown(format!("`{}` writes no text", model.head().component())));
    }
    let mut writer = Causal { model, past: Vec::new(), cache };
    zoo_decoding::generate(&mut writer, prompts, seeds, options, device, watch)
}
