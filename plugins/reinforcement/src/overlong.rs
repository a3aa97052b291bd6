//! A reward against texts that are too long.

use zoo_plugin::prelude::*;

/// A penalty that grows over the last tokens that a text may have: soft overlong punishment.
///
/// 0 up to `maximum - margin` tokens, then falling in a line to -1 at `maximum`, and -1 beyond, all times
/// `factor`. It is added to the reward of the outcome, and is no measure of what is right: a group that differs
/// in length alone should not be kept for it.
///
/// # Paper
/// Yu et al.: DAPO, arXiv 2503.14476, equation 13.
///
/// # Example
/// ```mlm
/// reward overlong = reinforcement.overlong_penalty(maximum: 20480 tok, margin: 4096 tok)
/// ```
#[component(
    reward,
    name = "reinforcement.overlong_penalty",
    inputs(lengths: "int[N]" = "tokens of each text"),
    outputs(score: "float[N]" = "between -factor and 0" better = "higher"),
    stops_gradient,
)]
pub struct OverlongPenalty {
    /// From here on the penalty is full.
    #[param(default = 20480, range = ">= 1", kind = "tokens")]
    pub maximum: usize,
    /// Tokens before it over which the penalty grows.
    #[param(default = 4096, range = ">= 1", kind = "tokens")]
    pub margin: usize,
    /// The full penalty.
    #[param(default = 1.0, range = ">= 0")]
    pub factor: f64,
}

impl OverlongPenalty {
    /// Lengths, `int[N]`, to penalties, `float[N]`.
    ///
    /// # Errors
    /// libtorch's.
    pub fn penalties(&self, lengths: &Tensor) -> Result<Tensor> {
        let (maximum, margin) = (self.maximum as f64, self.margin as f64);
        let over = lengths.f_to_kind(Kind::Double)?.f_neg()?.f_add_scalar(maximum - margin)?;
        let penalties = over.f_div_scalar(margin)?.f_clamp(-1.0, 0.0)?;
        Ok(penalties.f_mul_scalar(self.factor)?.f_to_kind(Kind::Float)?)
    }
}

impl Component for OverlongPenalty {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        if self.margin > self.maximum {
            let text = format!("a margin of {} tokens is more than all {}", self.margin, self.maximum);
            return Err(Error::new(text).at("margin"));
        }
        Ok(())
    }

    fn call(&self, _: &(), x: OverlongPenaltyInputs<'_>, _: &mut Call<'_>) -> Result<OverlongPenaltyOutputs> {
        Ok(OverlongPenaltyOutputs { score: self.penalties(x.lengths)? })
    }
}
