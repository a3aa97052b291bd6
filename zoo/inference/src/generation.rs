//! Text from a causal model, or from one that reads another text first, with keys and values of earlier
//! tokens kept: the search of `zoo-decoding` over a [`Model`].

use crate::model::{Head, Model};
use crate::text::optional;
use crate::{Error, Result};
use serde_json::{Map, Value as Json};
use tch::{Device, Kind, Tensor};
use zoo_decoding::{Guide, Rows, Watch, Writer};
use zoo_host::Value;

pub use zoo_decoding::tools::{Called, Protocol, ToolLoop};
pub use zoo_decoding::{Ended, Generated, Next, Options, Sampling};

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
        choose(&mut self.past, rows)
    }
}

fn choose(values: &mut [Value], rows: &Tensor) -> Result<()> {
    for value in values {
        if let Value::Tensor(tensor) = value {
            *tensor = tensor.f_index_select(0, rows)?;
        }
    }
    Ok(())
}

/// A model that reads the prompts and writes texts of their own, and what it keeps of the rows.
struct Pair<'m> {
    model: &'m Model,
    /// `ids` and `attention_mask` of the texts that are read, a row each.
    read: [Value; 2],
    /// Their keys and values.
    memory: Vec<Value>,
    past: Vec<Value>,
    cache: bool,
    /// Tokens that a row must have at that length.
    forced: Vec<(i64, i64)>,
}

impl<'m> Pair<'m> {
    /// The texts that are read, and the token that those written begin with.
    fn new(
        model: &'m Model,
        prompts: &[Vec<i64>],
        options: &Options,
        (device, cache): (Device, bool),
    ) -> Result<(Self, i64)> {
        let said: Map<String, Json> =
            optional(&model.folder().join("generation_config.json"))?.unwrap_or_default();
        let whole =
            |name: &str| [&said, model.config()].iter().find_map(|map| map.get(name).and_then(Json::as_i64));
        let start =
            whole("decoder_start_token_id").or(whole("bos_token_id")).or(whole("pad_token_id")).unwrap_or(0);
        let longest = prompts.iter().map(Vec::len).max().unwrap_or(0);
        let (mut ids, mut mask): (Vec<i64>, Vec<i64>) = (Vec::new(), Vec::new());
        for prompt in prompts {
            let missing = longest - prompt.len();
            ids.extend(prompt.iter().copied().chain(std::iter::repeat_n(options.padding, missing)));
            mask.extend(std::iter::repeat_n(1, prompt.len()).chain(std::iter::repeat_n(0, missing)));
        }
        let tensor = |values: &[i64]| -> Result<Value> {
            let shape = [prompts.len() as i64, longest as i64];
            Ok(Value::Tensor(Tensor::f_from_slice(values)?.f_view(shape)?.f_to_device(device)?))
        };
        let first = whole("forced_bos_token_id").map(|token| (1, token));
        let last = whole("forced_eos_token_id").map(|token| (options.new_tokens as i64, token));
        let forced = first.into_iter().chain(last).collect();
        let read = [tensor(&ids)?, tensor(&mask)?];
        Ok((Self { model, read, memory: Vec::new(), past: Vec::new(), cache, forced }, start))
    }
}

impl Writer for Pair<'_> {
    type Error = Error;

    fn scores(&mut self, rows: &Rows) -> Result<Tensor> {
        let done = match self.past.first() {
            Some(Value::Tensor(keys)) => keys.size().get(2).copied().unwrap_or(0),
            _ => 0,
        };
        let new = Value::Tensor(rows.new_ids(done)?);
        let [ids, mask] = &self.read;
        let mut inputs = vec![("decoder_ids", &new), ("attention_mask", mask)];
        if self.memory.is_empty() {
            inputs.push(("ids", ids));
        }
        inputs.extend(self.memory.iter().map(|value| ("memory", value)));
        inputs.extend(self.past.iter().map(|value| ("past", value)));
        let wanted: &[&str] = match (self.cache, self.memory.is_empty()) {
            (false, _) => &["logits"],
            (true, true) => &["logits", "cache", "memory"],
            (true, false) => &["logits", "cache"],
        };
        let mut outputs = self.model.call(&inputs, wanted, false)?;
        for (name, kept) in [("cache", &mut self.past), ("memory", &mut self.memory)] {
            if let Some(Value::List(list)) = outputs.take(name) {
                *kept = list;
            }
        }
        let logits =
            outputs.take_tensor("logits").ok_or_else(|| Error::Unknown("the model gave no scores".into()))?;
        let scores = logits.f_select(1, -1)?;
        let length = rows.ids.size2()?.1;
        match self.forced.iter().find(|(at, _)| *at == length) {
            None => Ok(scores),
            Some((_, token)) => {
                let columns = Tensor::f_arange(scores.size2()?.1, (Kind::Int64, scores.device()))?;
                let others = columns.f_ne(*token)?.f_unsqueeze(0)?;
                Ok(scores.f_masked_fill(&others, f64::NEG_INFINITY)?)
            }
        }
    }

    fn choose(&mut self, rows: &Tensor) -> Result<()> {
        choose(&mut self.read, rows)?;
        choose(&mut self.memory, rows)?;
        choose(&mut self.past, rows)
    }
}

/// The writer for a batch, and the tokens that its texts begin with where they are not the prompts.
type Begun<'m> = (Box<dyn Writer<Error = Error> + 'm>, Option<Vec<Vec<i64>>>);

fn writer<'m>(
    model: &'m Model,
    prompts: &[Vec<i64>],
    options: &Options,
    (device, cache): (Device, bool),
) -> Result<Begun<'m>> {
    match model.head() {
        Head::Seq2Seq => {
            if prompts.iter().any(Vec::is_empty) {
                return Err(Error::Unknown("a prompt has no tokens to read".to_owned()));
            }
            let (writer, start) = Pair::new(model, prompts, options, (device, cache))?;
            Ok((Box::new(writer), Some(vec![vec![start]; prompts.len()])))
        }
        Head::CausalLm => Ok((Box::new(Causal { model, past: Vec::new(), cache }), None)),
        other => Err(Error::Unknown(format!("`{}` writes no text", other.component()))),
    }
}

/// Texts that begin with the prompts, `options.samples` for each, in their order; see
/// [`zoo_decoding::generate`]. A model that reads one text and writes another reads the prompts: its texts
/// begin with its start token alone; after it and at full length they have the tokens that
/// `forced_bos_token_id` and `forced_eos_token_id` say. Without `cache` everything is computed anew for each
/// token, to the same result.
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
    let (mut writer, starts) = writer(model, prompts, options, (device, cache))?;
    let prompts = starts.as_deref().unwrap_or(prompts);
    zoo_decoding::generate(&mut writer, prompts, seeds, options, device, watch)
}

/// As [`generate`], with a guide that may also give tokens, as a tool's answer does; see
/// [`zoo_decoding::guided`].
///
/// # Errors
/// As [`generate`], and beam search.
pub fn guided(
    model: &Model,
    prompts: &[Vec<i64>],
    seeds: &[u64],
    options: &Options,
    (device, cache): (Device, bool),
    guide: &mut Guide<'_, Error>,
) -> Result<Vec<Generated>> {
    let (mut writer, starts) = writer(model, prompts, options, (device, cache))?;
    let prompts = starts.as_deref().unwrap_or(prompts);
    zoo_decoding::guided(&mut writer, prompts, seeds, options, device, guide)
}
