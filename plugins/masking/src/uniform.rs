//! Random tokens in place of selected ones.

use crate::vocabulary::Vocabulary;
use zoo_plugin::prelude::*;

/// Draws a token for each place, every ordinary one equally likely: fakes that no model made.
///
/// Special tokens are never drawn; the original may be. A place that stands twice gets the same token
/// twice. The draws depend on the run's seed and the row alone.
///
/// # Example
/// ```mlm
/// data corpus = text.lines(file: asset("corpus.txt"))
/// tokenizer wordpiece = text.wordpiece(corpus: corpus, vocabulary: 4000)
/// model noise = masking.uniform_sample(tokenizer: wordpiece)
/// ```
#[component(
    sampler,
    name = "masking.uniform_sample",
    inputs(
        ids: "int[B, T]" = "token ids, for their shape",
        positions: "int[M]" = "flat places b * T + t, in order of rows",
    ),
    outputs(tokens: "int[M]" = "a random token for each place"),
    loader,
    random,
    stops_gradient,
)]
pub struct UniformSample {
    /// Gives the ids to draw from.
    #[param(component = "tokenizer")]
    pub tokenizer: Handle,
    /// The mask token, where it is not [MASK] or <mask>.
    pub mask_token: Option<String>,
}

impl Component for UniformSample {
    type State = Vocabulary;

    fn build(&self, cx: &mut Build<'_>) -> Result<Vocabulary> {
        Vocabulary::new(&cx.export(self.tokenizer)?, self.mask_token.as_deref())
    }

    fn call(
        &self,
        vocabulary: &Vocabulary,
        x: UniformSampleInputs<'_>,
        cx: &mut Call<'_>,
    ) -> Result<UniformSampleOutputs> {
        let (batch, length) = x.ids.size2()?;
        let positions: Vec<i64> = Vec::try_from(x.positions)?;
        let mut drawn: Vec<Vec<Option<i64>>> = vec![vec![]; batch as usize];
        let mut generators: Vec<Option<ChaCha8Rng>> = (0..batch).map(|_| None).collect();
        let mut tokens = Vec::with_capacity(positions.len());
        for position in positions {
            let (b, t) = (position / length.max(1), (position % length.max(1)) as usize);
            let row = usize::try_from(b).ok().filter(|b| *b < drawn.len()).ok_or_else(|| {
                Error::new(format!("there is no place {position} in rows of {batch} times {length}"))
                    .at("in.positions")
            })?;
            if drawn[row].is_empty() {
                drawn[row].resize(length as usize, None);
            }
            let random = generators[row].get_or_insert_with(|| cx.rng("tokens", row));
            let ordinary = &vocabulary.ordinary;
            tokens
                .push(*drawn[row][t].get_or_insert_with(|| ordinary[random.random_range(0..ordinary.len())]));
        }
        Ok(UniformSampleOutputs { tokens: Tensor::f_from_slice(&tokens)? })
    }
}
