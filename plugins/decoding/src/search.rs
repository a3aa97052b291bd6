//! Token by token: what is written so far, and the loop that goes on.

use crate::beam;
use crate::options::{Options, OptionsError};
use crate::scores::{drawn, penalised, uniform, warped};
use std::collections::VecDeque;
use tch::{Device, Kind, TchError, Tensor};

/// Rows that are being written: prompts, filled up on the left, and their new tokens.
#[derive(Debug)]
pub struct Rows {
    /// int[R, S]
    pub ids: Tensor,
    /// 1 for tokens, 0 for padding, int[R, S]; none where nothing is padding.
    pub mask: Option<Tensor>,
}

impl Rows {
    fn new(prompts: &[&[i64]], padding: i64, device: Device) -> Result<Self, TchError> {
        let longest = prompts.iter().map(|prompt| prompt.len()).max().unwrap_or(0);
        let (mut ids, mut mask): (Vec<i64>, Vec<i64>) = (Vec::new(), Vec::new());
        for prompt in prompts {
            let missing = longest - prompt.len();
            ids.extend(std::iter::repeat_n(padding, missing).chain(prompt.iter().copied()));
            mask.extend(std::iter::repeat_n(0, missing).chain(std::iter::repeat_n(1, prompt.len())));
        }
        let tensor = |values: &[i64]| {
            let shape = [prompts.len() as i64, longest as i64];
            Tensor::f_from_slice(values)?.f_view(shape)?.f_to_device(device)
        };
        let padded = mask.contains(&0);
        Ok(Self { ids: tensor(&ids)?, mask: if padded { Some(tensor(&mask)?) } else { None } })
    }

    /// The tokens after the first `done`, which a model has seen, int[R, S - done].
    ///
    /// # Errors
    /// libtorch's.
    pub fn new_ids(&self, done: i64) -> Result<Tensor, TchError> {
        self.ids.f_narrow(1, done, self.ids.size2()?.1 - done)
    }

    /// Positions of the tokens after the first `done`, int[R, S - done]; none where they are counted from
    /// the row's start. Padding has no position; what stands there is seen by nobody.
    ///
    /// # Errors
    /// libtorch's.
    pub fn new_positions(&self, done: i64) -> Result<Option<Tensor>, TchError> {
        let Some(mask) = &self.mask else { return Ok(None) };
        let positions = mask.f_cumsum(1, Kind::Int64)?.f_sub_scalar(1)?.f_clamp_min(0)?;
        positions.f_narrow(1, done, mask.size2()?.1 - done).map(Some)
    }

    pub(crate) fn add(&mut self, tokens: &Tensor) -> Result<(), TchError> {
        let tokens = tokens.f_unsqueeze(1)?;
        self.ids = Tensor::f_cat(&[&self.ids, &tokens], 1)?;
        if let Some(mask) = &self.mask {
            self.mask = Some(Tensor::f_cat(&[mask, &tokens.f_ones_like()?], 1)?);
        }
        Ok(())
    }

    fn choose(&mut self, rows: &Tensor) -> Result<(), TchError> {
        self.ids = self.ids.f_index_select(0, rows)?;
        if let Some(mask) = &self.mask {
            self.mask = Some(mask.f_index_select(0, rows)?);
        }
        Ok(())
    }
}

/// A model that scores next tokens, with whatever it keeps of the rows so far.
pub trait Writer {
    /// What its calls can end in.
    type Error: From<TchError> + From<OptionsError>;

    /// Scores of the token after each row, float[R, V]. Rows grow from call to call, by one token or, where
    /// tokens were given to all of them, by several.
    ///
    /// # Errors
    /// The model's.
    fn scores(&mut self, rows: &Rows) -> Result<Tensor, Self::Error>;

    /// From now on there are these of the former rows, in this order, `int[R]`; a row may stand several
    /// times.
    ///
    /// # Errors
    /// libtorch's.
    fn choose(&mut self, rows: &Tensor) -> Result<(), Self::Error>;
}

impl<W: Writer + ?Sized> Writer for Box<W> {
    type Error = W::Error;

    fn scores(&mut self, rows: &Rows) -> Result<Tensor, Self::Error> {
        (**self).scores(rows)
    }

    fn choose(&mut self, rows: &Tensor) -> Result<(), Self::Error> {
        (**self).choose(rows)
    }
}

/// Why a text ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It has as many new tokens as it may.
    Length,
    /// One of the tokens that end texts.
    Token,
    /// [`Watch`] said so.
    Watch,
}

/// One text.
#[derive(Clone, Debug, PartialEq)]
pub struct Generated {
    /// The prompt and the new tokens.
    pub tokens: Vec<i64>,
    /// How many of them are the prompt's.
    pub prompt: usize,
    /// Logarithms of the probability of each new token, in the distribution that it was chosen from:
    /// after penalty, temperature and cuts; 0 for tokens that were given. Empty for beam search.
    pub log_probabilities: Vec<f64>,
    /// Places among the new tokens of those that [`Next::Insert`] gave, in order.
    pub inserted: Vec<usize>,
    /// Their sum; for beam search, divided by their penalised number.
    pub score: f64,
    /// Why it ends.
    pub ended: Ended,
}

impl Generated {
    /// The new tokens.
    pub fn new_tokens(&self) -> &[i64] {
        self.tokens.get(self.prompt..).unwrap_or_default()
    }
}

/// Sees every text after each of its new tokens: number of the text (of the prompt, for beam search), and
/// the new tokens so far. Whether the text ends here.
pub type Watch<'w, E> = dyn FnMut(usize, &[i64]) -> Result<bool, E> + 'w;

/// What comes after a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// The model's next token.
    Write,
    /// Nothing: the text ends here.
    End,
    /// These tokens, which count as new ones but are not the model's, and then the model's next.
    Insert(Vec<i64>),
}

/// Sees every text after each token that the model has chosen: number of the text, and its new tokens so far,
/// with those that were given. What comes next.
pub type Guide<'g, E> = dyn FnMut(usize, &[i64]) -> Result<Next, E> + 'g;

/// A writer with its rows.
pub(crate) struct Pen<'w, W> {
    pub(crate) writer: &'w mut W,
    pub(crate) rows: Rows,
    device: Device,
}

impl<W: Writer> Pen<'_, W> {
    /// Keeps these rows, in this order.
    pub(crate) fn choose(&mut self, rows: &[i64]) -> Result<(), W::Error> {
        let count = self.rows.ids.size2()?.0;
        if rows.len() as i64 == count && rows.iter().zip(0..).all(|(row, i)| *row == i) {
            return Ok(());
        }
        let rows = Tensor::f_from_slice(rows)?.f_to_device(self.device)?;
        self.rows.choose(&rows)?;
        self.writer.choose(&rows)
    }

    pub(crate) fn add(&mut self, tokens: &[i64]) -> Result<(), W::Error> {
        let tokens = Tensor::f_from_slice(tokens)?.f_to_device(self.device)?;
        Ok(self.rows.add(&tokens)?)
    }

    /// Each row as often as that, one after the other; and their scores.
    pub(crate) fn spread(&mut self, scores: Tensor, times: usize) -> Result<Tensor, W::Error> {
        if times == 1 {
            return Ok(scores);
        }
        let count = self.rows.ids.size2()?.0;
        let rows: Vec<i64> = (0..count).flat_map(|row| std::iter::repeat_n(row, times)).collect();
        self.choose(&rows)?;
        Ok(scores.f_repeat_interleave_self_int(times as i64, 0, None)?)
    }
}

pub(crate) fn numbers(tensor: &Tensor) -> Result<Vec<f64>, TchError> {
    Vec::try_from(tensor.f_to_kind(Kind::Double)?.f_reshape([-1])?.f_to_device(Device::Cpu)?)
}

pub(crate) fn wholes(tensor: &Tensor) -> Result<Vec<i64>, TchError> {
    Vec::try_from(tensor.f_reshape([-1])?.f_to_device(Device::Cpu)?)
}

/// Texts that begin with the prompts, `options.samples` for each, in their order. Prompts may differ in
/// length. `seeds` has a seed for each text, and is read only where tokens are drawn: the draws of a text
/// depend on its seed and on nothing else of the batch.
///
/// # Errors
/// Options that make no sense, an empty prompt, and what the writer and `watch` end in.
pub fn generate<W: Writer>(
    writer: &mut W,
    prompts: &[Vec<i64>],
    seeds: &[u64],
    options: &Options,
    device: Device,
    watch: &mut Watch<'_, W::Error>,
) -> Result<Vec<Generated>, W::Error> {
    if options.beams > 1 {
        return match begin(writer, prompts, seeds, options, device)? {
            Some(pen) => beam::search(pen, prompts, options, watch),
            None => Ok(Vec::new()),
        };
    }
    let guide =
        &mut |text: usize, tokens: &[i64]| Ok(if watch(text, tokens)? { Next::End } else { Next::Write });
    guided(writer, prompts, seeds, options, device, guide)
}

/// As [`generate`], with a guide that may also give tokens, as a tool's answer does in an agent's text. Rows
/// that are given tokens go on beside the others, in the same batch and with the same cache.
///
/// # Errors
/// As [`generate`], and beam search.
pub fn guided<W: Writer>(
    writer: &mut W,
    prompts: &[Vec<i64>],
    seeds: &[u64],
    options: &Options,
    device: Device,
    guide: &mut Guide<'_, W::Error>,
) -> Result<Vec<Generated>, W::Error> {
    if options.beams > 1 {
        return Err(
            OptionsError::new("beams", "beam search follows the model alone: it calls no tools").into()
        );
    }
    match begin(writer, prompts, seeds, options, device)? {
        Some(pen) => one_by_one(pen, prompts, seeds, options, guide),
        None => Ok(Vec::new()),
    }
}

/// Checks what is asked for; nothing, where there are no prompts.
fn begin<'w, W: Writer>(
    writer: &'w mut W,
    prompts: &[Vec<i64>],
    seeds: &[u64],
    options: &Options,
    device: Device,
) -> Result<Option<Pen<'w, W>>, W::Error> {
    options.check()?;
    if prompts.iter().any(Vec::is_empty) {
        let text = "a prompt has no tokens; give it the beginning token at least";
        return Err(OptionsError::new("", text).into());
    }
    if prompts.is_empty() {
        return Ok(None);
    }
    if options.sampling.is_some() && seeds.len() < prompts.len() * options.samples {
        return Err(OptionsError::new("seeds", "there is not a seed for each text").into());
    }
    let slices: Vec<&[i64]> = prompts.iter().map(Vec::as_slice).collect();
    Ok(Some(Pen { writer, rows: Rows::new(&slices, options.padding, device)?, device }))
}

/// The tokens that come next and their logarithms, by row.
fn chosen(
    scores: &Tensor,
    options: &Options,
    seeds: impl Iterator<Item = u64>,
    place: usize,
) -> Result<(Vec<i64>, Vec<f64>), TchError> {
    let (scores, tokens) = match &options.sampling {
        None => (scores.shallow_clone(), scores.f_argmax(-1, false)?),
        Some(sampling) => {
            let scores = warped(scores, sampling)?;
            let at: Vec<f64> = seeds.map(|seed| uniform(seed, place as u64)).collect();
            let tokens = drawn(&scores, &at)?;
            (scores, tokens)
        }
    };
    let chosen = scores.f_gather(1, &tokens.f_unsqueeze(1)?, false)?.f_squeeze_dim(1)?;
    let whole = scores.f_logsumexp([-1_i64].as_slice(), false)?;
    Ok((wholes(&tokens)?, numbers(&chosen.f_sub(&whole)?)?))
}

fn one_by_one<W: Writer>(
    mut pen: Pen<'_, W>,
    prompts: &[Vec<i64>],
    seeds: &[u64],
    options: &Options,
    guide: &mut Guide<'_, W::Error>,
) -> Result<Vec<Generated>, W::Error> {
    let start = |prompt: &Vec<i64>| Generated {
        tokens: prompt.clone(),
        prompt: prompt.len(),
        log_probabilities: Vec::new(),
        inserted: Vec::new(),
        score: 0.0,
        ended: Ended::Length,
    };
    let mut texts: Vec<Generated> = prompts
        .iter()
        .flat_map(|prompt| std::iter::repeat_with(|| start(prompt)).take(options.samples))
        .collect();
    // Tokens that were given and are not written yet.
    let mut given: Vec<VecDeque<i64>> = texts.iter().map(|_| VecDeque::new()).collect();
    // The text of each row: rows that have ended are computed no more.
    let mut open: Vec<usize> = (0..texts.len()).collect();
    let (mut step, mut spread) = (0, false);
    while step < options.new_tokens {
        let scored = !open.iter().all(|text| !given[*text].is_empty());
        let (mut tokens, mut logarithms) = (vec![0; open.len()], vec![0.0; open.len()]);
        if scored {
            let mut scores = pen.writer.scores(&pen.rows)?;
            if !spread {
                scores = pen.spread(scores, options.samples)?;
                spread = true;
            }
            let (ids, mask) = (&pen.rows.ids, pen.rows.mask.as_ref());
            let scores = penalised(&scores, ids, mask, options.repetition_penalty)?;
            let seeds = open.iter().map(|text| seeds.get(*text).copied().unwrap_or(0));
            (tokens, logarithms) = chosen(&scores, options, seeds, step)?;
        }
        let mut kept = Vec::new();
        for (row, number) in open.iter().enumerate() {
            let text = &mut texts[*number];
            if let Some(token) = given[*number].pop_front() {
                (tokens[row], logarithms[row]) = (token, 0.0);
                text.inserted.push(step);
            }
            text.tokens.push(tokens[row]);
            text.log_probabilities.push(logarithms[row]);
            text.score += logarithms[row];
            if text.inserted.last() == Some(&step) {
                kept.push(row as i64);
                continue;
            }
            let next = guide(*number, &text.tokens[text.prompt..])?;
            if options.ends.contains(&tokens[row]) {
                text.ended = Ended::Token;
                continue;
            }
            match next {
                Next::End => text.ended = Ended::Watch,
                Next::Write => kept.push(row as i64),
                Next::Insert(tokens) => {
                    given[*number].extend(tokens);
                    kept.push(row as i64);
                }
            }
        }
        step += 1;
        if kept.is_empty() || step == options.new_tokens {
            break;
        }
        pen.add(&tokens)?;
        if kept.len() < open.len() {
            pen.choose(&kept)?;
            open = kept.iter().map(|row| open[*row as usize]).collect();
        }
    }
    Ok(texts)
}
