//! How evenly codes are used.

use std::sync::{Mutex, PoisonError};
use zoo_plugin::prelude::*;

/// exp of the entropy of each row, [G, V] to [G]: as many codes as are used, if all were used alike.
///
/// # Errors
/// libtorch's.
pub fn perplexities(mean: &Tensor) -> Result<Tensor> {
    // Where p is 0, p ln p is; the floor keeps its gradient finite.
    let terms = mean.f_mul(&mean.f_clamp_min(1e-12)?.f_log()?)?;
    Ok(terms.f_sum_dim_intlist([-1_i64].as_slice(), false, terms.kind())?.f_neg()?.f_exp()?)
}

/// Probabilities `[B, T, G, V]` summed over the frames that count, [G, V], and how many these are.
fn summed(probabilities: &Tensor, mask: Option<&Tensor>) -> Result<(Tensor, f64)> {
    let kind = if probabilities.kind() == Kind::Double { Kind::Double } else { Kind::Float };
    let wide = probabilities.f_to_kind(kind)?;
    let size = wide.size();
    let Some(mask) = mask else {
        let sum = wide.f_sum_dim_intlist([0_i64, 1].as_slice(), false, kind)?;
        return Ok((sum, (size[0] * size[1]) as f64));
    };
    let counts = mask.f_ne(0)?.f_to_kind(kind)?;
    let sum = wide.f_mul(&counts.f_unsqueeze(-1)?.f_unsqueeze(-1)?)?;
    let number = f64::try_from(counts.f_sum(Kind::Double)?)?;
    Ok((sum.f_sum_dim_intlist([0_i64, 1].as_slice(), false, kind)?, number))
}

/// The diversity loss: how far the codes' mean probabilities over all frames of an update are from uniform.
///
/// With P the perplexity of the mean, exp of its entropy, (V - P) / V of V codes, averaged over groups: 0 where all
/// are used alike, 1 - 1/V where there is one alone. It is one number for an update, not a sum over frames, and that
/// of the whole update, however many parts it is computed in.
///
/// # Paper
/// Baevski, Zhou, Mohamed, Auli: wav2vec 2.0, NeurIPS 2020, equation 4, in the form of the authors' code.
///
/// # Example
/// ```mlm
/// objective diversity = speech.codebook_diversity()
/// ```
#[component(
    objective,
    name = "speech.codebook_diversity",
    inputs(
        probabilities: "float[B, N, G, V]" = "of the codes, for each frame and group",
        attention_mask: "int[B, N]"? = "1 for frames, 0 for padding; all ones, when absent",
    ),
    outputs(loss: "float[]" = "(V - P) / V"),
    count_inputs(probabilities),
    whole_update,
    cost(flops = "3 * B * N * G * V", activations = "B * N * G * V"),
)]
pub struct CodebookDiversity;

impl CodebookDiversity {
    /// The loss of mean probabilities [G, V].
    ///
    /// # Errors
    /// libtorch's.
    pub fn of_mean(mean: &Tensor) -> Result<Tensor> {
        let codes = mean.size().last().copied().unwrap_or(1) as f64;
        Ok(perplexities(mean)?.f_mul_scalar(-1.0 / codes)?.f_add_scalar(1.0)?.f_mean(mean.kind())?)
    }
}

impl Component for CodebookDiversity {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Ok(())
    }

    fn call(
        &self,
        _: &(),
        x: CodebookDiversityInputs<'_>,
        _: &mut Call<'_>,
    ) -> Result<CodebookDiversityOutputs> {
        let (sum, count) = summed(x.probabilities, x.attention_mask)?;
        Ok(CodebookDiversityOutputs { loss: Self::of_mean(&sum.f_div_scalar(count.max(1.0))?)? })
    }

    fn count(&self, _: &(), _: &Inputs<'_>, _: &mut Call<'_>) -> Result<f64> {
        Ok(1.0)
    }
}

/// Probabilities of an evaluation so far.
#[derive(Debug, Default)]
pub struct Usage {
    sum: Option<Tensor>,
    count: f64,
}

impl Usage {
    /// Adds frames.
    ///
    /// # Errors
    /// libtorch's.
    pub fn add(&mut self, probabilities: &Tensor, mask: Option<&Tensor>) -> Result<()> {
        let (sum, count) = summed(&probabilities.f_detach()?, mask)?;
        let sum = sum.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?;
        self.sum = Some(match self.sum.take() {
            Some(before) => before.f_add(&sum)?,
            None => sum,
        });
        self.count += count;
        Ok(())
    }

    /// The mean of the groups' perplexities.
    ///
    /// # Errors
    /// No frame came.
    pub fn perplexity(&self) -> Result<f64> {
        let Some(sum) = self.sum.as_ref().filter(|_| self.count > 0.0) else {
            return Err(Error::new("no frames came, and no codes").help("evaluate on at least one frame"));
        };
        let each = perplexities(&sum.f_div_scalar(self.count)?)?;
        Ok(f64::try_from(each.f_mean(Kind::Double)?)?)
    }
}

/// As how many codes are in use, if all were used alike: exp of the entropy of their mean probabilities over all
/// frames of the evaluation; the mean of several groups.
///
/// # Paper
/// Baevski, Zhou, Mohamed, Auli: wav2vec 2.0, NeurIPS 2020, section 3.2.
///
/// # Example
/// ```mlm
/// metric used = speech.codebook_perplexity()
/// ```
#[component(
    metric,
    name = "speech.codebook_perplexity",
    inputs(
        probabilities: "float[B, T, G, V]" = "of the codes, for each frame and group",
        attention_mask: "int[B, T]"? = "1 for frames, 0 for padding; all ones, when absent",
    ),
    outputs(value: "real"? = "between 1 and the number of codes" better = "higher"),
    state,
)]
pub struct CodebookPerplexity;

impl Component for CodebookPerplexity {
    type State = Mutex<Usage>;

    fn build(&self, _: &mut Build<'_>) -> Result<Self::State> {
        Ok(Mutex::default())
    }

    fn call(
        &self,
        state: &Self::State,
        x: CodebookPerplexityInputs<'_>,
        _: &mut Call<'_>,
    ) -> Result<CodebookPerplexityOutputs> {
        let mut usage = state.lock().unwrap_or_else(PoisonError::into_inner);
        usage.add(x.probabilities, x.attention_mask)?;
        // Of all frames together: it is there when the evaluation is through.
        Ok(CodebookPerplexityOutputs { value: None })
    }

    fn finish(&self, state: &Self::State, _: &mut Call<'_>) -> Result<f64> {
        state.lock().unwrap_or_else(PoisonError::into_inner).perplexity()
    }

    fn reset(&self, state: &Self::State, _: &mut Call<'_>) -> Result<()> {
        *state.lock().unwrap_or_else(PoisonError::into_inner) = Usage::default();
        Ok(())
    }
}
