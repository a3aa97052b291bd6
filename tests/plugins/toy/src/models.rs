//! Models of a few numbers.

use std::sync::atomic::{AtomicU64, Ordering};
use zoo_plugin::prelude::*;

/// A linear map with a vector and a number as outputs.
///
/// # Example
/// ```mlm
/// model line = toy.line()
/// ```
#[component(
    architecture,
    name = "toy.line",
    inputs(x: "float[B, W]" = "features"),
    outputs(
        y: "float[B]" = "the first element of the map",
        vector: "float[B, width]" = "all of it",
        size: "float[]" = "mean square of the weights",
    ),
    parameters,
    random,
)]
pub struct Line {
    /// Features.
    #[param(default = 3)]
    pub inputs: i64,
    /// Elements of the vector.
    #[param(default = 2)]
    pub width: i64,
    /// Share of features that is dropped while it is trained.
    #[param(default = 0.0, range = "[0, 1)")]
    pub dropout: f64,
}

impl Component for Line {
    type State = (Tensor, Tensor, Tensor);

    fn build(&self, cx: &mut Build<'_>) -> Result<Self::State> {
        let weight =
            cx.parameter("map.weight", &[self.width, self.inputs], Init::Normal { mean: 0.0, std: 0.5 })?;
        let bias = cx.parameter("map.bias", &[self.width], Init::Zeros)?;
        // Nothing depends on it: a trained parameter without a gradient.
        let idle = cx.parameter("idle.weight", &[2], Init::Ones)?;
        Ok((weight, bias, idle))
    }

    fn call(
        &self,
        (weight, bias, _): &Self::State,
        x: LineInputs<'_>,
        cx: &mut Call<'_>,
    ) -> Result<LineOutputs> {
        let input = dropout(x.x.shallow_clone(), self.dropout, cx)?;
        let vector = input.f_linear(weight, Some(bias))?;
        if cx.gradients() {
            cx.metric("called", 1.0);
        }
        Ok(LineOutputs { y: vector.f_select(1, 0)?, size: weight.f_square()?.f_mean(None)?, vector })
    }
}

/// Counts how often it was called while trained, and adds a little of the count: a state that matters.
///
/// # Example
/// ```mlm
/// model drift = toy.drift()
/// ```
#[component(
    function,
    name = "toy.drift",
    inputs(x: "float[B]" = "numbers"),
    outputs(x: "float[B]" = "the same and a little more"),
    state,
)]
pub struct Drift {
    /// What a call adds.
    #[param(default = 0.01)]
    pub by: f64,
}

impl Component for Drift {
    type State = AtomicU64;

    fn build(&self, _: &mut Build<'_>) -> Result<AtomicU64> {
        Ok(AtomicU64::new(0))
    }

    fn call(&self, count: &AtomicU64, x: DriftInputs<'_>, cx: &mut Call<'_>) -> Result<DriftOutputs> {
        let calls =
            if cx.training() { count.fetch_add(1, Ordering::SeqCst) } else { count.load(Ordering::SeqCst) };
        Ok(DriftOutputs { x: x.x.f_add_scalar(self.by * calls as f64)? })
    }

    fn save(&self, count: &AtomicU64) -> Result<Option<Vec<u8>>> {
        Ok(Some(count.load(Ordering::SeqCst).to_le_bytes().to_vec()))
    }

    fn load(&self, count: &AtomicU64, saved: &[u8]) -> Result<()> {
        let bytes = saved.try_into().map_err(|_| Error::new("a state of eight bytes"))?;
        count.store(u64::from_le_bytes(bytes), Ordering::SeqCst);
        Ok(())
    }
}

/// Multiplies by a random sign on the device, without gradient.
///
/// # Example
/// ```mlm
/// model twist = toy.twist()
/// ```
#[component(
    sampler,
    name = "toy.twist",
    inputs(x: "float[B, W]" = "numbers"),
    outputs(sign: "float[B, W]" = "1 or -1"),
    random,
    stops_gradient,
)]
pub struct Twist {}

impl Component for Twist {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Ok(())
    }

    fn call(&self, _: &(), x: TwistInputs<'_>, _: &mut Call<'_>) -> Result<TwistOutputs> {
        Ok(TwistOutputs { sign: x.x.f_rand_like()?.f_sub_scalar(0.5)?.f_sign()? })
    }
}
