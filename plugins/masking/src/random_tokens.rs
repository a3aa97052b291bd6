//! Single tokens, selected at random.

use crate::vocabulary::Vocabulary;
use zoo_plugin::prelude::*;

/// Selects tokens at random and hides most of them: the input of a masked language model.
///
/// In a row of n tokens, special ones included, `round(rate * n)` are selected, at least one and at most
/// `maximum`; special tokens and padding never are. Of the selected tokens a share becomes the mask
/// token, a share a random token, and the rest stays. With replacement a token may be selected twice: it
/// then stands twice among the targets, and is hidden if one of the two selections says so, as in
/// ELECTRA's code. With `independent` every ordinary token is selected by itself with probability `rate`, and
/// how many that are varies from row to row. What a row gets depends on the run's seed and the row alone.
///
/// With `mask_share: 0%` and `random_share: 100%` no mask is ever shown: with `labels` as targets that is swapped
/// language modelling (SLM), with `replaced` as labels random token substitution (RTS).
///
/// # Paper
/// Devlin, Chang, Lee, Toutanova: BERT, NAACL 2019, section 3.1; Clark et al.: ELECTRA, ICLR 2020,
/// section 2 and `pretrain_helpers.py` of its code.
///
/// # Example
/// ```mlm
/// data corpus = text.lines(file: asset("corpus.txt"))
/// tokenizer wordpiece = text.wordpiece(corpus: corpus, vocabulary: 4000)
/// masker mask = masking.random_tokens(tokenizer: wordpiece, rate: 15%)
/// ```
#[component(
    masker,
    name = "masking.random_tokens",
    inputs(
        ids: "int[B, T]" = "token ids",
        attention_mask: "int[B, T]"? = "1 for tokens, 0 for padding; all ones, when absent",
    ),
    outputs(
        ids: "int[B, T]" = "token ids with the selected ones hidden",
        labels: "int[B*T*rate]" = "the original tokens at the selected places",
        positions: "int[B*T*rate]" = "the selected places b * T + t, in order of rows",
        selected: "bool[B, T]" = "true at the selected places",
        targets: "int[B*T]" = "the original token at every place b * T + t that is selected, -100 at others: for models that score every place",
        replaced: "int[B, T]" = "1 at the selected places, even where a random token is the original, 0 at other tokens, -100 at special ones and padding: for detectors of random tokens",
    ),
    loader,
    random,
)]
pub struct RandomTokens {
    /// Gives the ids of special tokens.
    #[param(component = "tokenizer")]
    pub tokenizer: Handle,
    /// Share of a row's tokens that is selected.
    #[param(default = 0.15, range = "(0%, 100%]", kind = "fraction", varies)]
    pub rate: Varying,
    /// Share of the selected tokens that becomes the mask token.
    #[param(default = 0.8, range = "[0%, 100%]", kind = "fraction")]
    pub mask_share: f64,
    /// Share of the selected tokens that becomes a random token; what is left stays as it is.
    #[param(default = 0.0, range = "[0%, 100%]", kind = "fraction")]
    pub random_share: f64,
    /// Whether a token may be selected twice.
    #[param(default = false)]
    pub with_replacement: bool,
    /// Whether each token is selected by itself with probability `rate`, in place of a fixed number in a row.
    #[param(default = false)]
    pub independent: bool,
    /// Most tokens selected in a row; `(rate + 0.5%) * T`, rounded down, when not given.
    pub maximum: Option<usize>,
    /// The mask token, where it is not [MASK] or <mask>.
    pub mask_token: Option<String>,
}

/// What detectors are told: 1 at selected places, 0 at other ordinary tokens, -100 elsewhere.
pub(crate) fn replaced(selected: &[bool], ordinary: impl Iterator<Item = bool>) -> Vec<i64> {
    let label = |(selected, ordinary): (&bool, bool)| match (selected, ordinary) {
        (true, _) => 1,
        (_, true) => 0,
        _ => -100,
    };
    selected.iter().zip(ordinary).map(label).collect()
}

/// What happened to the rows of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Masked {
    /// Ids with the selected ones hidden, rows one after the other.
    pub ids: Vec<i64>,
    /// Original ids at the selected places.
    pub labels: Vec<i64>,
    /// Flat places.
    pub positions: Vec<i64>,
    /// By place.
    pub selected: Vec<bool>,
}

/// Number of tokens selected among `tokens` in a row of length `length`.
pub fn count(rate: f64, tokens: usize, length: usize, maximum: Option<usize>) -> usize {
    let most = maximum.unwrap_or(((rate + 0.005) * length as f64 + 1e-9) as usize);
    let wanted = (rate * tokens as f64).round_ties_even() as usize;
    wanted.min(most).max(1)
}

impl RandomTokens {
    /// Masks one row into `out`. `random` must be the row's own.
    pub fn row(
        &self,
        rate: f64,
        vocabulary: &Vocabulary,
        (ids, tokens): (&[i64], &[bool]),
        random: &mut ChaCha8Rng,
        out: &mut Masked,
    ) {
        let offset = out.ids.len();
        out.ids.extend_from_slice(ids);
        out.selected.resize(offset + ids.len(), false);
        let mut candidates: Vec<usize> =
            (0..ids.len()).filter(|t| tokens[*t] && !vocabulary.is_special(ids[*t])).collect();
        if candidates.is_empty() {
            return;
        }
        let number = if self.independent {
            candidates.retain(|_| random.random::<f64>() < rate);
            candidates.len()
        } else {
            let total = tokens.iter().filter(|real| **real).count();
            let number = count(rate, total, ids.len(), self.maximum);
            if self.with_replacement { number } else { number.min(candidates.len()) }
        };
        let mut changed = vec![false; ids.len()];
        for i in 0..number {
            let t = if self.independent {
                candidates[i]
            } else if self.with_replacement {
                candidates[random.random_range(0..candidates.len())]
            } else {
                let other = random.random_range(i..candidates.len());
                candidates.swap(i, other);
                candidates[i]
            };
            out.positions.push((offset + t) as i64);
            out.labels.push(ids[t]);
            out.selected[offset + t] = true;
            let draw: f64 = random.random();
            if draw < self.mask_share {
                out.ids[offset + t] = vocabulary.mask;
                changed[t] = true;
            } else if draw < self.mask_share + self.random_share
                && !changed[t]
                && !vocabulary.ordinary.is_empty()
            {
                out.ids[offset + t] = vocabulary.ordinary[random.random_range(0..vocabulary.ordinary.len())];
            }
        }
    }
}

impl Component for RandomTokens {
    type State = Vocabulary;

    fn build(&self, cx: &mut Build<'_>) -> Result<Vocabulary> {
        if self.mask_share + self.random_share > 1.0 + 1e-9 {
            let text = format!(
                "{} and {} of the selected tokens are more than all",
                self.mask_share, self.random_share
            );
            return Err(Error::new(text)
                .at("random_share")
                .help("`mask_share` and `random_share` together are at most 100%"));
        }
        if self.independent && (self.with_replacement || self.maximum.is_some()) {
            let other = if self.with_replacement { "with_replacement" } else { "maximum" };
            return Err(Error::new(format!("`independent` selection knows no `{other}`"))
                .at(other)
                .help("leave one of the two out"));
        }
        Vocabulary::new(&cx.export(self.tokenizer)?, self.mask_token.as_deref())
    }

    fn call(
        &self,
        vocabulary: &Vocabulary,
        x: RandomTokensInputs<'_>,
        cx: &mut Call<'_>,
    ) -> Result<RandomTokensOutputs> {
        let (batch, length) = x.ids.size2()?;
        let ids: Vec<i64> = Vec::try_from(&x.ids.f_reshape([-1])?)?;
        let tokens: Vec<bool> = match x.attention_mask {
            Some(mask) => {
                let mask: Vec<i64> = Vec::try_from(&mask.f_reshape([-1])?)?;
                mask.into_iter().map(|m| m != 0).collect()
            }
            None => vec![true; ids.len()],
        };
        let rate = self.rate.at("rate", cx);
        let mut out = Masked::default();
        let width = length.max(1) as usize;
        for (b, (row, real)) in ids.chunks(width).zip(tokens.chunks(width)).enumerate() {
            self.row(rate, vocabulary, (row, real), &mut cx.rng("select", b), &mut out);
        }
        let shape = [batch, length];
        let mut targets = vec![-100; ids.len()];
        out.positions.iter().zip(&out.labels).for_each(|(place, label)| targets[*place as usize] = *label);
        let ordinary = ids.iter().zip(&tokens).map(|(id, real)| *real && !vocabulary.is_special(*id));
        let replaced = replaced(&out.selected, ordinary);
        Ok(RandomTokensOutputs {
            ids: Tensor::f_from_slice(&out.ids)?.f_reshape(shape)?,
            labels: Tensor::f_from_slice(&out.labels)?,
            positions: Tensor::f_from_slice(&out.positions)?,
            selected: Tensor::f_from_slice(&out.selected)?.f_reshape(shape)?,
            targets: Tensor::f_from_slice(&targets)?,
            replaced: Tensor::f_from_slice(&replaced)?.f_reshape(shape)?,
        })
    }
}
