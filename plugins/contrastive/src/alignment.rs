//! Alignment and uniformity of embeddings on the unit sphere.

use crate::cosine::normalized;
use std::sync::{Mutex, PoisonError};
use zoo_plugin::prelude::*;

/// How far apart the two vectors of an example are: the mean of `|f(x) - f(y)|^exponent` over all examples,
/// for vectors of length one.
///
/// # Paper
/// Wang, Isola: Understanding Contrastive Representation Learning through Alignment and Uniformity on the
/// Hypersphere, ICML 2020, equation 1.
///
/// # Example
/// ```mlm
/// metric alignment = contrastive.alignment()
/// ```
#[component(
    metric,
    name = "contrastive.alignment",
    inputs(
        first: "float[B, hidden]" = "one vector an example",
        second: "float[B, hidden]" = "the other vector of the same examples",
    ),
    outputs(value: "real"? = "mean distance, raised to the exponent" better = "lower"),
    state,
)]
pub struct Alignment {
    /// Power of the distance.
    #[param(default = 2.0, range = "> 0")]
    pub exponent: f64,
}

/// What [`Alignment`] adds up.
#[derive(Debug, Default)]
pub struct Total {
    sum: f64,
    count: f64,
}

impl Alignment {
    /// Sum over the rows of two matrices [B, hidden], and their number.
    pub fn add(&self, total: &mut Total, first: &Tensor, second: &Tensor) -> Result<()> {
        let difference = normalized(first)?.f_sub(&normalized(second)?)?.f_to_kind(Kind::Double)?;
        let distance = difference.f_norm_scalaropt_dim(2.0, [-1_i64].as_slice(), false)?;
        total.sum += f64::try_from(distance.f_pow_tensor_scalar(self.exponent)?.f_sum(Kind::Double)?)?;
        total.count += first.size()[0] as f64;
        Ok(())
    }
}

impl Total {
    /// The mean, or an error where nothing was added.
    pub fn mean(&self) -> Result<f64> {
        if self.count == 0.0 {
            return Err(Error::new("no example was measured"));
        }
        Ok(self.sum / self.count)
    }
}

impl Component for Alignment {
    type State = Mutex<Total>;

    fn build(&self, _: &mut Build<'_>) -> Result<Self::State> {
        Ok(Mutex::default())
    }

    fn call(
        &self,
        state: &Self::State,
        x: AlignmentInputs<'_>,
        _: &mut Call<'_>,
    ) -> Result<AlignmentOutputs> {
        let mut total = state.lock().unwrap_or_else(PoisonError::into_inner);
        self.add(&mut total, x.first, x.second)?;
        Ok(AlignmentOutputs { value: total.mean().ok() })
    }

    fn finish(&self, state: &Self::State, _: &mut Call<'_>) -> Result<f64> {
        state.lock().unwrap_or_else(PoisonError::into_inner).mean()
    }

    fn reset(&self, state: &Self::State, _: &mut Call<'_>) -> Result<()> {
        *state.lock().unwrap_or_else(PoisonError::into_inner) = Total::default();
        Ok(())
    }
}

/// How evenly the vectors lie on the sphere: the logarithm of the mean of `exp(-scale · |f(x) - f(y)|²)` over all
/// pairs of different examples. The lower, the more even; 0 where all vectors are the same.
///
/// # Paper
/// Wang, Isola, ICML 2020, equation 2.
///
/// # Example
/// ```mlm
/// metric uniformity = contrastive.uniformity()
/// ```
#[component(
    metric,
    name = "contrastive.uniformity",
    inputs(embedding: "float[B, hidden]" = "one vector an example"),
    outputs(value: "real"? = "logarithm of the mean potential" better = "lower"),
    state,
)]
pub struct Uniformity {
    /// `t` of the paper.
    #[param(default = 2.0, range = "> 0")]
    pub scale: f64,
}

impl Uniformity {
    /// Over the rows of a matrix [B, hidden].
    pub fn of(&self, embedding: &Tensor) -> Result<f64> {
        let rows = embedding.size()[0];
        if rows < 2 {
            return Err(Error::new("uniformity is of pairs, and fewer than two examples were measured"));
        }
        let x = normalized(embedding)?.f_to_kind(Kind::Double)?;
        // |a - b|² = 2 - 2ab for vectors of length one; row by row, so that memory stays linear.
        let mut sum = 0.0;
        for row in 1..rows {
            let cosine = x.f_narrow(0, 0, row)?.f_mv(&x.f_select(0, row)?)?;
            let potential = cosine.f_sub_scalar(1.0)?.f_mul_scalar(2.0 * self.scale)?.f_exp()?;
            sum += f64::try_from(potential.f_sum(Kind::Double)?)?;
        }
        Ok((sum / (rows as f64 * (rows - 1) as f64 / 2.0)).ln())
    }
}

fn joined(parts: &[Tensor]) -> Result<Tensor> {
    if parts.is_empty() {
        return Err(Error::new("no example was measured"));
    }
    Ok(Tensor::f_cat(parts, 0)?)
}

impl Component for Uniformity {
    type State = Mutex<Vec<Tensor>>;

    fn build(&self, _: &mut Build<'_>) -> Result<Self::State> {
        Ok(Mutex::default())
    }

    fn call(
        &self,
        state: &Self::State,
        x: UniformityInputs<'_>,
        _: &mut Call<'_>,
    ) -> Result<UniformityOutputs> {
        let part = x.embedding.f_detach()?.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?;
        state.lock().unwrap_or_else(PoisonError::into_inner).push(part);
        // A value of pairs is not one of batches: it is there when all of them are.
        Ok(UniformityOutputs { value: None })
    }

    fn finish(&self, state: &Self::State, _: &mut Call<'_>) -> Result<f64> {
        self.of(&joined(&state.lock().unwrap_or_else(PoisonError::into_inner))?)
    }

    fn reset(&self, state: &Self::State, _: &mut Call<'_>) -> Result<()> {
        state.lock().unwrap_or_else(PoisonError::into_inner).clear();
        Ok(())
    }
}
