//! A share of the targets that is drawn anew for every row.

use zoo_plugin::prelude::*;

/// Hides a share of the target tokens that is uniform between none and all of them, drawn for every row.
///
/// With r uniform in [0, 1], each target stays visible with probability r; of n targets 0, 1, … or n are
/// hidden, all numbers equally often. A hidden token is not replaced: it is left out of `attention_mask`, and
/// so out of what a model attends to. With `selection: "last"` the hidden ones are the last of a row, as many
/// as above, as if written from left to right.
///
/// # Paper
/// Kitouni et al.: The Factorization Curse, 2024 (MLM-U); Nolte et al.: Transformers Can Navigate Mazes With
/// Multi-Step Prediction, 2024.
///
/// # Example
/// ```mlm
/// masker mask = masking.uniform_rate()
/// ```
#[component(
    masker,
    name = "masking.uniform_rate",
    inputs(
        ids: "int[B, T]" = "token ids",
        attention_mask: "int[B, T]" = "1 for tokens, 0 for padding",
        prediction_mask: "int[B, T]" = "1 for tokens that are to be predicted",
    ),
    outputs(
        attention_mask: "int[B, T]" = "1 for tokens that stay visible",
        labels: "int[B*T]" = "the hidden token at every place b * T + t; -100 for none",
    ),
    loader,
    random,
)]
pub struct UniformRate {
    /// Which tokens are hidden.
    #[param(default = "random", one_of("random", "last"))]
    pub selection: String,
}

impl UniformRate {
    /// Which of `count` targets of a row are hidden.
    pub fn hidden(&self, count: usize, random: &mut ChaCha8Rng) -> Vec<bool> {
        let keep = random.random();
        self.hidden_at(keep, count, random)
    }

    /// The same at a probability `keep` of staying visible.
    pub fn hidden_at(&self, keep: f64, count: usize, random: &mut ChaCha8Rng) -> Vec<bool> {
        let mut hidden: Vec<bool> = (0..count).map(|_| random.random::<f64>() >= keep).collect();
        if self.selection == "last" {
            hidden.sort_unstable();
        }
        hidden
    }

    /// Hides targets, those that `choose` says for a row and its number of targets; all are `int[B, T]`.
    ///
    /// # Errors
    ///
    /// libtorch's.
    pub fn hide(
        &self,
        ids: &Tensor,
        attention_mask: &Tensor,
        prediction_mask: &Tensor,
        mut choose: impl FnMut(usize, usize) -> Vec<bool>,
    ) -> Result<UniformRateOutputs> {
        let (batch, length) = ids.size2()?;
        let (ids, targets) = (rows(ids)?, rows(prediction_mask)?);
        let mut visible = rows(attention_mask)?;
        let mut labels = vec![-100; ids.len()];
        for b in 0..batch as usize {
            let start = b * length as usize;
            let places: Vec<usize> =
                (start..start + length as usize).filter(|place| targets[*place] != 0).collect();
            let hidden = choose(b, places.len());
            for (place, _) in places.into_iter().zip(hidden).filter(|(_, hidden)| *hidden) {
                visible[place] = 0;
                labels[place] = ids[place];
            }
        }
        Ok(UniformRateOutputs {
            attention_mask: Tensor::f_from_slice(&visible)?.f_reshape([batch, length])?,
            labels: Tensor::f_from_slice(&labels)?,
        })
    }
}

/// Elements of a matrix of whole numbers, row by row.
fn rows(tensor: &Tensor) -> Result<Vec<i64>> {
    Ok(Vec::try_from(&tensor.f_reshape([-1])?)?)
}

impl Component for UniformRate {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Ok(())
    }

    fn call(&self, _: &(), x: UniformRateInputs<'_>, cx: &mut Call<'_>) -> Result<UniformRateOutputs> {
        self.hide(x.ids, x.attention_mask, x.prediction_mask, |row, count| {
            self.hidden(count, &mut cx.rng("hide", row))
        })
    }
}
