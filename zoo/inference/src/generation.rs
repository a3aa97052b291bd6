//! Text from a causal model: the likeliest next token each time, or beam search, with keys and values
//! of earlier tokens kept.

use crate::model::{Head, Model};
use crate::{Error, Result};
use tch::{Device, Kind, Tensor};
use zoo_host::Value;

/// How to generate.
#[derive(Clone, Debug)]
pub struct Options {
    /// Most tokens to add to each prompt.
    pub new_tokens: usize,
    /// Tokens that end a text; they are part of it.
    pub ends: Vec<i64>,
    /// Texts that are followed side by side, of which the likeliest is given; 1 is greedy.
    pub beams: usize,
    /// Beam search divides the logarithm of a text's probability by the number of its new tokens to
    /// this power.
    pub length_penalty: f64,
    /// Whether keys and values of earlier tokens are kept. Without, everything is computed anew for each
    /// token, to the same result.
    pub cache: bool,
    /// What shorter prompts are filled up with, on the left; it is hidden from the model.
    pub padding: i64,
}

impl Default for Options {
    fn default() -> Self {
        Self { new_tokens: 20, ends: Vec::new(), beams: 1, length_penalty: 1.0, cache: true, padding: 0 }
    }
}

/// One text.
#[derive(Clone, Debug, PartialEq)]
pub struct Generated {
    /// The prompt and the new tokens.
    pub tokens: Vec<i64>,
    /// The logarithm of the new tokens' probability; for beam search, divided by their penalised number.
    pub score: f64,
}

/// The rows that are being written.
struct Rows<'m> {
    model: &'m Model,
    /// [rows, S]
    ids: Tensor,
    /// 1 for tokens, 0 for padding, [rows, S]
    mask: Tensor,
    past: Vec<Tensor>,
    cache: bool,
    device: Device,
}

impl Rows<'_> {
    /// Logarithms of probabilities of the token after each row, float[rows, vocabulary].
    fn next(&mut self) -> Result<Tensor> {
        // Padding has no position; what stands there is seen by nobody.
        let positions = self.mask.f_cumsum(1, Kind::Int64)?.f_sub_scalar(1)?.f_clamp_min(0)?;
        let length = self.ids.size2()?.1;
        let done = if self.cache { self.past.first().map_or(0, |t| t.size()[2]) } else { 0 };
        let ids = Value::Tensor(self.ids.f_narrow(1, done, length - done)?);
        let positions = Value::Tensor(positions.f_narrow(1, done, length - done)?);
        let mask = Value::Tensor(self.mask.shallow_clone());
        let past = Value::List(self.past.drain(..).map(Value::Tensor).collect());
        let mut inputs = vec![("ids", &ids), ("attention_mask", &mask), ("position_ids", &positions)];
        let mut wanted = vec!["logits"];
        if self.cache {
            wanted.push("cache");
            if done > 0 {
                let Value::List(values) = &past else { return Err(Error::Unknown(String::new())) };
                inputs.extend(values.iter().map(|value| ("past", value)));
            }
        }
        let mut outputs = self.model.call(&inputs, &wanted, false)?;
        if let Some(Value::List(list)) = outputs.take("cache") {
            self.past = list
                .into_iter()
                .filter_map(|value| match value {
                    Value::Tensor(tensor) => Some(tensor),
                    _ => None,
                })
                .collect();
        }
        let logits =
            outputs.take_tensor("logits").ok_or_else(|| Error::Unknown("the model gave no scores".into()))?;
        Ok(logits.f_select(1, -1)?.f_log_softmax(-1, Kind::Float)?)
    }

    /// Adds a token to each row.
    fn add(&mut self, tokens: &[i64]) -> Result<()> {
        let tokens = Tensor::f_from_slice(tokens)?.f_unsqueeze(1)?.f_to_device(self.device)?;
        self.mask = Tensor::f_cat(&[&self.mask, &tokens.f_ones_like()?], 1)?;
        self.ids = Tensor::f_cat(&[&self.ids, &tokens], 1)?;
        Ok(())
    }

    /// Keeps these rows, in this order.
    fn choose(&mut self, rows: &[i64]) -> Result<()> {
        if rows.iter().enumerate().all(|(i, row)| i as i64 == *row) && rows.len() as i64 == self.ids.size()[0]
        {
            return Ok(());
        }
        let rows = Tensor::f_from_slice(rows)?.f_to_device(self.device)?;
        self.ids = self.ids.f_index_select(0, &rows)?;
        self.mask = self.mask.f_index_select(0, &rows)?;
        for tensor in &mut self.past {
            *tensor = tensor.f_index_select(0, &rows)?;
        }
        Ok(())
    }
}

/// Texts that begin with the prompts, in their order. Prompts may differ in length.
///
/// # Errors
/// A model that does not write, an empty prompt, and everything that a call can end in.
pub fn generate(
    model: &Model,
    prompts: &[Vec<i64>],
    options: &Options,
    device: Device,
) -> Result<Vec<Generated>> {
    if model.head() != Head::CausalLm {
        return Err(Error::Unknown(format!("`{}` writes no text", model.head().component())));
    }
    if prompts.iter().any(Vec::is_empty) {
        return Err(Error::Unknown("a prompt has no tokens; give it the beginning token at least".into()));
    }
    let Some(longest) = prompts.iter().map(Vec::len).max() else { return Ok(Vec::new()) };
    let beams = options.beams.max(1);
    let (mut ids, mut mask): (Vec<i64>, Vec<i64>) = (Vec::new(), Vec::new());
    for prompt in prompts {
        let padding = longest - prompt.len();
        for _ in 0..beams {
            ids.extend(std::iter::repeat_n(options.padding, padding).chain(prompt.iter().copied()));
            mask.extend(std::iter::repeat_n(0, padding).chain(std::iter::repeat_n(1, prompt.len())));
        }
    }
    let shape = [(prompts.len() * beams) as i64, longest as i64];
    let rows = Rows {
        model,
        ids: Tensor::f_from_slice(&ids)?.f_view(shape)?.f_to_device(device)?,
        mask: Tensor::f_from_slice(&mask)?.f_view(shape)?.f_to_device(device)?,
        past: Vec::new(),
        cache: options.cache,
        device,
    };
    if beams == 1 { greedy(rows, prompts, options) } else { beam(rows, prompts, options, beams) }
}

fn numbers(tensor: &Tensor) -> Result<Vec<f64>> {
    Ok(Vec::try_from(tensor.f_to_kind(Kind::Double)?.f_reshape([-1])?.f_to_device(Device::Cpu)?)?)
}

fn wholes(tensor: &Tensor) -> Result<Vec<i64>> {
    Ok(Vec::try_from(tensor.f_reshape([-1])?.f_to_device(Device::Cpu)?)?)
}

fn greedy(mut rows: Rows<'_>, prompts: &[Vec<i64>], options: &Options) -> Result<Vec<Generated>> {
    let mut texts: Vec<Generated> =
        prompts.iter().map(|prompt| Generated { tokens: prompt.clone(), score: 0.0 }).collect();
    // The text of each row: rows that have ended are computed no more.
    let mut open: Vec<usize> = (0..texts.len()).collect();
    for step in 0..options.new_tokens {
        let (best, tokens) = rows.next()?.f_max_dim(-1, false)?;
        let (best, tokens) = (numbers(&best)?, wholes(&tokens)?);
        let mut kept = Vec::new();
        for (row, (token, score)) in tokens.iter().zip(best).enumerate() {
            let text = &mut texts[open[row]];
            text.tokens.push(*token);
            text.score += score;
            if !options.ends.contains(token) {
                kept.push(row as i64);
            }
        }
        if kept.is_empty() || step + 1 == options.new_tokens {
            break;
        }
        rows.add(&tokens)?;
        rows.choose(&kept)?;
        open = kept.iter().map(|row| open[*row as usize]).collect();
    }
    Ok(texts)
}

/// The texts of one prompt that have ended, best first.
#[derive(Default)]
struct Ended {
    texts: Vec<Generated>,
    closed: bool,
}

impl Ended {
    fn add(&mut self, text: Generated, beams: usize) {
        let place = self.texts.partition_point(|other| other.score >= text.score);
        self.texts.insert(place, text);
        self.texts.truncate(beams);
    }
}

fn beam(mut rows: Rows<'_>, prompts: &[Vec<i64>], options: &Options, beams: usize) -> Result<Vec<Generated>> {
    let penalty = |count: usize| (count.max(1) as f64).powf(options.length_penalty);
    let mut ended: Vec<Ended> = prompts.iter().map(|_| Ended::default()).collect();
    // Scores and tokens of the open texts, `beams` for each prompt. In the beginning all are the same: one counts.
    let mut scores: Vec<f64> =
        (0..prompts.len() * beams).map(|i| if i % beams == 0 { 0.0 } else { -1e9 }).collect();
    let mut texts: Vec<Vec<i64>> =
        prompts.iter().flat_map(|prompt| std::iter::repeat_n(prompt.clone(), beams)).collect();
    for step in 1..=options.new_tokens {
        let logarithms = rows.next()?;
        let vocabulary = logarithms.size2()?.1;
        let before: Vec<f32> = scores.iter().map(|score| *score as f32).collect();
        let before = Tensor::f_from_slice(&before)?.f_unsqueeze(1)?.f_to_device(logarithms.device())?;
        let all = logarithms.f_add(&before)?.f_view([prompts.len() as i64, beams as i64 * vocabulary])?;
        // As many that go on remain even if every beam has a way to end.
        let wanted = (beams * (1 + options.ends.len().max(1))).min(beams * vocabulary as usize);
        let (best, places) = all.f_topk(wanted as i64, 1, true, true)?;
        let (best, places) = (numbers(&best)?, wholes(&places)?);
        let (mut sources, mut tokens, mut next_scores) = (Vec::new(), Vec::new(), Vec::new());
        for (prompt, done) in ended.iter_mut().enumerate() {
            let mut open = 0;
            for rank in 0..wanted {
                let (score, place) = (best[prompt * wanted + rank], places[prompt * wanted + rank]);
                let (row, token) = (prompt * beams + (place / vocabulary) as usize, place % vocabulary);
                if options.ends.contains(&token) {
                    if rank < beams && !done.closed {
                        let mut text = texts[row].clone();
                        text.push(token);
                        done.add(Generated { tokens: text, score: score / penalty(step) }, beams);
                    }
                } else if open < beams {
                    sources.push(row as i64);
                    tokens.push(token);
                    next_scores.push(score);
                    open += 1;
                }
            }
            for _ in open..beams {
                sources.push((prompt * beams) as i64);
                tokens.push(options.padding);
                next_scores.push(-1e9);
            }
            let likeliest = next_scores[prompt * beams] / penalty(step);
            done.closed |=
                done.texts.len() == beams && done.texts.last().is_some_and(|worst| worst.score >= likeliest);
        }
        texts = sources.iter().map(|row| texts[*row as usize].clone()).collect();
        texts.iter_mut().zip(&tokens).for_each(|(text, token)| text.push(*token));
        scores = next_scores;
        if step == options.new_tokens || ended.iter().all(|done| done.closed) {
            break;
        }
        rows.choose(&sources)?;
        rows.add(&tokens)?;
    }
    for (prompt, done) in ended.iter_mut().enumerate().filter(|(_, done)| !done.closed) {
        for row in prompt * beams..(prompt + 1) * beams {
            let count = texts[row].len() - prompts[prompt].len();
            done.add(Generated { tokens: texts[row].clone(), score: scores[row] / penalty(count) }, beams);
        }
    }
    Ok(ended.into_iter().filter_map(|done| done.texts.into_iter().next()).collect())
}
