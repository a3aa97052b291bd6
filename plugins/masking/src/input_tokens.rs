//! Inputs of a causal language model with tokens hidden, whose targets stay.

use crate::vocabulary::Vocabulary;
use zoo_plugin::prelude::*;

/// Hides random tokens of a causal language model's input; what is to be predicted stays the original.
///
/// Of the n real tokens of a row, `max(1, floor(rate * (n - 1)))` are replaced by the mask token, each at most once. A
/// row of n tokens is input and target in one: its last token is predicted and never read, so n - 1 are inputs,
/// and the last of these, from which the last token is predicted, is not hidden either. No other token is exempt,
/// special ones included, but the first with `keep_first`. Where `rate` is 0% one token is hidden all the same, as in
/// the authors' code: the plain model has no masker.
///
/// The places are drawn anew for every row and update, as the paper describes it; in the authors' code all rows of
/// an update have the same places, and only 51 sets of places occur in a whole run.
///
/// # Paper
/// Zhuang, Jia, Li, Zhang, Shen, Cao, Liu: Mask-Enhanced Autoregressive Prediction, ICML 2025, section 3.1.
///
/// # Example
/// ```mlm
/// data corpus = text.lines(file: asset("corpus.txt"))
/// tokenizer wordpiece = text.wordpiece(corpus: corpus, vocabulary: 4000)
/// masker hide = masking.input_tokens(tokenizer: wordpiece, rate: 15%)
/// ```
#[component(
    masker,
    name = "masking.input_tokens",
    inputs(
        ids: "int[B, T]" = "token ids",
        attention_mask: "int[B, T]"? = "1 for tokens, 0 for padding behind them; all ones, when absent",
    ),
    outputs(
        ids: "int[B, T]" = "token ids with the hidden ones replaced by the mask token",
        labels: "int[B*T*rate]" = "the original tokens at the hidden places",
        positions: "int[B*T*rate]" = "the hidden places b * T + t, in order",
        selected: "bool[B, T]" = "true at the hidden places",
    ),
    loader,
    random,
)]
pub struct InputTokens {
    /// Gives the id of the mask token.
    #[param(component = "tokenizer")]
    pub tokenizer: Handle,
    /// Share of the inputs that is hidden.
    #[param(default = 0.15, range = "[0%, 100%)", kind = "fraction", varies)]
    pub rate: Varying,
    /// Whether the first token of a row is never hidden: attention may rest on it.
    #[param(default = false)]
    pub keep_first: bool,
    /// The mask token, where it is not [MASK] or <mask>.
    pub mask_token: Option<String>,
}

/// How many of `inputs` inputs are hidden.
pub fn hidden(rate: f64, inputs: usize) -> usize {
    ((rate * inputs as f64 + 1e-9) as usize).max(1)
}

impl InputTokens {
    /// The hidden places of a row of `length` tokens, inputs and the last target, in order.
    pub fn places(&self, rate: f64, length: usize, random: &mut impl RngExt) -> Vec<usize> {
        let first = usize::from(self.keep_first);
        // The last token is no input, and the last input is never hidden.
        let mut candidates: Vec<usize> = (first..length.saturating_sub(2).max(first)).collect();
        let number = hidden(rate, length.saturating_sub(1)).min(candidates.len());
        for i in 0..number {
            let other = random.random_range(i..candidates.len());
            candidates.swap(i, other);
        }
        candidates.truncate(number);
        candidates.sort_unstable();
        candidates
    }
}

impl Component for InputTokens {
    type State = Vocabulary;

    fn build(&self, cx: &mut Build<'_>) -> Result<Vocabulary> {
        Vocabulary::new(&cx.export(self.tokenizer)?, self.mask_token.as_deref())
    }

    fn call(
        &self,
        vocabulary: &Vocabulary,
        x: InputTokensInputs<'_>,
        cx: &mut Call<'_>,
    ) -> Result<InputTokensOutputs> {
        let (batch, length) = x.ids.size2()?;
        let shape = [batch, length];
        let mut ids: Vec<i64> = Vec::try_from(&x.ids.f_reshape([-1])?)?;
        let real: Vec<i64> = match x.attention_mask {
            Some(mask) => {
                Vec::try_from(&mask.f_ne(0)?.f_sum_dim_intlist([1_i64].as_slice(), false, Kind::Int64)?)?
            }
            None => vec![length; batch as usize],
        };
        let rate = self.rate.at("rate", cx);
        let (mut labels, mut positions, mut selected) = (Vec::new(), Vec::new(), vec![false; ids.len()]);
        for (row, tokens) in real.iter().enumerate() {
            for place in self.places(rate, *tokens as usize, &mut cx.rng("hide", row)) {
                let at = row * length as usize + place;
                labels.push(ids[at]);
                positions.push(at as i64);
                selected[at] = true;
                ids[at] = vocabulary.mask;
            }
        }
        Ok(InputTokensOutputs {
            ids: Tensor::f_from_slice(&ids)?.f_reshape(shape)?,
            labels: Tensor::f_from_slice(&labels)?,
            positions: Tensor::f_from_slice(&positions)?,
            selected: Tensor::f_from_slice(&selected)?.f_reshape(shape)?,
        })
    }
}
