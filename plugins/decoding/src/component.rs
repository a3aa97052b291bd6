//! The component: a model of the recipe writes.

use crate::options::{Options, OptionsError, Sampling};
use crate::search::{Generated, Rows, Writer, generate, wholes};
use zoo_plugin::prelude::*;
use zoo_plugin::{Description, Handle, Output};

/// Texts that a causal model goes on with: roll-outs.
///
/// Prompts are the tokens that `attention_mask` shows, wherever padding stands. The texts come filled up
/// on the right, prompt and new tokens together, `samples` rows for each prompt one after the other, so
/// that a loss over new tokens is one over `ids` at `new_mask`. The model is called outside of training:
/// no gradients, no dropout. It is a component with the ports of `checkpoint.causal_lm`: `ids`,
/// `attention_mask`, `position_ids`, `past`, and the outputs `logits` and `cache`.
///
/// Options mean what they mean in transformers' `generate`, and come in its order: repetition penalty,
/// temperature, top-k, top-p, min-p. Draws follow from the run's seed, the update, the row and the place.
///
/// # Example
/// ```mlm
/// model writer = checkpoint.causal_lm(config: "file:gpt2.json")
/// model write  = decoding.generate(model: writer, new_tokens: 8, temperature: 0.7, top_p: 90%)
/// ```
#[component(
    function,
    name = "decoding.generate",
    inputs(
        ids: "int[B, T]" = "token ids of the prompts",
        attention_mask: "int[B, T]"? = "1 for tokens, 0 for padding; all ones, when absent",
    ),
    outputs(
        ids: "int[B*samples, S]" = "prompts and new tokens",
        attention_mask: "int[B*samples, S]" = "1 for tokens, 0 for padding",
        new_mask: "int[B*samples, S]" = "1 for new tokens",
        log_probabilities: "float[B*samples, S]" = "logarithm of the probability with which each new token was chosen; 0 elsewhere",
    ),
    random,
    stops_gradient,
)]
pub struct Generate {
    /// What scores next tokens.
    #[param(component = "architecture")]
    pub model: Handle,
    /// Most tokens to add to each prompt.
    #[param(default = 64, range = ">= 1", kind = "tokens")]
    pub new_tokens: usize,
    /// Tokens that end a text; they are part of it.
    #[param(default = [])]
    pub ends: Vec<i64>,
    /// Scores are divided by it; 0 takes the likeliest token each time.
    #[param(default = 1.0, range = ">= 0", varies)]
    pub temperature: Varying,
    /// Only so many of the likeliest tokens; all, when absent.
    #[param(range = ">= 1")]
    pub top_k: Option<usize>,
    /// Only the likeliest tokens that together have this probability.
    #[param(range = "[0%, 100%]", kind = "fraction")]
    pub top_p: Option<f64>,
    /// Only tokens at least this probable, as a share of the likeliest one's probability.
    #[param(range = "[0%, 100%]", kind = "fraction")]
    pub min_p: Option<f64>,
    /// Positive scores of tokens that the text has are divided by it, negative ones multiplied.
    #[param(default = 1.0, range = "> 0")]
    pub repetition_penalty: f64,
    /// Texts for each prompt.
    #[param(default = 1, range = ">= 1")]
    pub samples: usize,
    /// The token that rows are filled up with.
    #[param(default = 0, range = ">= 0")]
    pub padding: i64,
}

impl From<OptionsError> for Error {
    fn from(error: OptionsError) -> Self {
        Self::new(error.message).at(error.at)
    }
}

/// A model of the recipe, and what it keeps of the rows.
pub(crate) struct Referenced<'c, 'h> {
    cx: &'c Call<'h>,
    model: Handle,
    description: &'c Description,
    past: Vec<Tensor>,
}

impl<'c, 'h> Referenced<'c, 'h> {
    pub(crate) fn new(cx: &'c Call<'h>, model: Handle, description: &'c Description) -> Self {
        Self { cx, model, description, past: Vec::new() }
    }
}

impl Writer for Referenced<'_, '_> {
    type Error = Error;

    fn scores(&mut self, rows: &Rows) -> Result<Tensor> {
        if self.cx.cancelled() {
            return Err(Error::cancelled());
        }
        let done = self.past.first().map_or(0, |t| t.size().get(2).copied().unwrap_or(0));
        let mut inputs = vec![("ids", Output::Tensor(rows.new_ids(done)?))];
        if let Some(mask) = &rows.mask {
            inputs.push(("attention_mask", Output::Tensor(mask.shallow_clone())));
        }
        if let Some(positions) = rows.new_positions(done)? {
            inputs.push(("position_ids", Output::Tensor(positions)));
        }
        if done > 0 {
            let past = self.past.drain(..).map(Output::Tensor).collect();
            inputs.push(("past", Output::List(past)));
        }
        let outputs = self.cx.call_by_name(self.model, self.description, inputs, &["logits", "cache"])?;
        let mut scores = None;
        for output in outputs.into_iter().flatten() {
            match output {
                Output::Tensor(logits) => scores = Some(logits.f_select(1, -1)?),
                Output::List(cache) => self.past.extend(cache.into_iter().filter_map(|value| match value {
                    Output::Tensor(tensor) => Some(tensor),
                    _ => None,
                })),
                _ => {}
            }
        }
        scores.ok_or_else(|| Error::new(format!("`{}` gave no scores", self.description.name)).at("model"))
    }

    fn choose(&mut self, rows: &Tensor) -> Result<()> {
        for tensor in &mut self.past {
            *tensor = tensor.f_index_select(0, rows)?;
        }
        Ok(())
    }
}

/// The tokens of each row that the mask shows.
pub(crate) fn prompts(ids: &Tensor, mask: Option<&Tensor>) -> Result<Vec<Vec<i64>>> {
    let length = ids.size2()?.1.max(1) as usize;
    let ids = wholes(ids)?;
    let shown = mask.map(wholes).transpose()?;
    let row = |number: usize, tokens: &[i64]| match &shown {
        None => tokens.to_vec(),
        Some(shown) => {
            let shown = shown.get(number * length..).unwrap_or_default();
            tokens.iter().zip(shown).filter(|(_, s)| **s != 0).map(|(t, _)| *t).collect()
        }
    };
    Ok(ids.chunks(length).enumerate().map(|(number, tokens)| row(number, tokens)).collect())
}

fn filled(texts: &[Generated], padding: i64, device: Device) -> Result<GenerateOutputs> {
    let longest = texts.iter().map(|text| text.tokens.len()).max().unwrap_or(0);
    let count = texts.len() * longest;
    let (mut ids, mut mask, mut new) = (vec![padding; count], vec![0_i64; count], vec![0_i64; count]);
    let mut logarithms = vec![0_f32; count];
    for (row, text) in texts.iter().enumerate() {
        let start = row * longest;
        for (place, token) in (start..).zip(&text.tokens) {
            (ids[place], mask[place]) = (*token, 1);
        }
        for (place, logarithm) in (start + text.prompt..).zip(&text.log_probabilities) {
            (new[place], logarithms[place]) = (1, *logarithm as f32);
        }
    }
    let shape = [texts.len() as i64, longest as i64];
    let whole = |values: &[i64]| -> Result<Tensor> {
        Ok(Tensor::f_from_slice(values)?.f_view(shape)?.f_to_device(device)?)
    };
    Ok(GenerateOutputs {
        ids: whole(&ids)?,
        attention_mask: whole(&mask)?,
        new_mask: whole(&new)?,
        log_probabilities: Tensor::f_from_slice(&logarithms)?.f_view(shape)?.f_to_device(device)?,
    })
}

impl Component for Generate {
    type State = Description;

    fn build(&self, cx: &mut Build<'_>) -> Result<Description> {
        cx.describe(self.model)
    }

    fn call(
        &self,
        description: &Description,
        x: GenerateInputs<'_>,
        cx: &mut Call<'_>,
    ) -> Result<GenerateOutputs> {
        let temperature = self.temperature.at("temperature", cx);
        let sampling = Sampling { temperature, top_k: self.top_k, top_p: self.top_p, min_p: self.min_p };
        let options = Options {
            new_tokens: self.new_tokens,
            ends: self.ends.clone(),
            sampling: (temperature > 0.0).then_some(sampling),
            repetition_penalty: self.repetition_penalty,
            samples: self.samples,
            padding: self.padding,
            ..Options::default()
        };
        let prompts = prompts(x.ids, x.attention_mask)?;
        if prompts.iter().any(Vec::is_empty) {
            return Err(Error::new("a prompt has no tokens").at("in.attention_mask"));
        }
        // Of rows and not of texts, so that how an update is split changes nothing.
        let of_row = |row: usize| {
            let seed = cx.seed("tokens", row);
            (0..self.samples as u64).map(move |k| seed.wrapping_add(k.wrapping_mul(0xd134_2543_de82_ef95)))
        };
        let seeds: Vec<u64> = (0..prompts.len()).flat_map(of_row).collect();
        let device = x.ids.device();
        let mut writer = Referenced::new(cx, self.model, description);
        let texts = generate(&mut writer, &prompts, &seeds, &options, device, &mut |_, _| Ok(false))?;
        filled(&texts, self.padding, device)
    }
}
