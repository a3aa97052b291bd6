//! Schedules: factors of the peak rate by the number of updates made.

use zoo_plugin::prelude::*;

/// Updates of warm-up: the number, or the share of the whole where that is more.
fn warmup(updates: usize, share: f64, total: i64) -> f64 {
    (updates as f64).max(share * total as f64)
}

/// From 0 to 1 over the warm-up; 1 after it, or where there is none.
fn ramp(step: f64, warmup: f64) -> f64 {
    if step >= warmup { 1.0 } else { step / warmup }
}

/// Share of the way from `from` to `total` that is still to go, between 1 and 0.
fn remaining(step: f64, from: f64, total: f64) -> f64 {
    if total <= from {
        return if step < total { 1.0 } else { 0.0 };
    }
    ((total - step) / (total - from)).clamp(0.0, 1.0)
}

macro_rules! schedule {
    ($name:ident, $inputs:ident, $outputs:ident) => {
        impl Component for $name {
            type State = ();

            fn build(&self, _: &mut Build<'_>) -> Result<()> {
                Ok(())
            }

            fn call(&self, _: &(), x: $inputs<'_>, _: &mut Call<'_>) -> Result<$outputs> {
                Ok($outputs { factor: self.factor(x.step, x.total) })
            }
        }
    };
}

/// The peak rate throughout, after a linear warm-up.
///
/// # Example
/// ```mlm
/// schedule = optimization.constant(warmup: 500 steps)
/// ```
#[component(
    schedule,
    name = "optimization.constant",
    inputs(step: "integer" = "updates made before this one", total: "integer" = "updates of the phase"),
    outputs(factor: "real" = "what the peak rate is multiplied by"),
)]
pub struct Constant {
    /// Updates over which the rate rises from 0.
    #[param(default = 0)]
    pub warmup: usize,
    /// The same as a share of the phase; the longer of the two counts.
    #[param(default = 0.0, range = "[0%, 100%]", kind = "fraction")]
    pub warmup_share: f64,
}

impl Constant {
    /// The factor after `step` of `total` updates.
    pub fn factor(&self, step: i64, total: i64) -> f64 {
        ramp(step.max(0) as f64, warmup(self.warmup, self.warmup_share, total))
    }
}

schedule!(Constant, ConstantInputs, ConstantOutputs);

/// A linear fall to 0 at the end, after a linear warm-up.
///
/// With `fall_from: "start"` the factor is `min(1, t / warmup) * (1 - t / total)`, as in BERT's
/// and ELECTRA's code; with `"warmup"` the fall begins at 1 where the warm-up ends, as in the
/// transformers library.
///
/// # Paper
/// Devlin, Chang, Lee, Toutanova: BERT, NAACL 2019, appendix A.2; Clark, Luong, Le, Manning: ELECTRA,
/// ICLR 2020, appendix A.
///
/// # Example
/// ```mlm
/// schedule = optimization.linear(warmup: 10k steps)
/// ```
#[component(
    schedule,
    name = "optimization.linear",
    inputs(step: "integer" = "updates made before this one", total: "integer" = "updates of the phase"),
    outputs(factor: "real" = "what the peak rate is multiplied by"),
)]
pub struct Linear {
    /// Updates over which the rate rises from 0.
    #[param(default = 0)]
    pub warmup: usize,
    /// The same as a share of the phase; the longer of the two counts.
    #[param(default = 0.0, range = "[0%, 100%]", kind = "fraction")]
    pub warmup_share: f64,
    /// Where the straight line that falls to 0 begins.
    #[param(default = "start", one_of("start", "warmup"))]
    pub fall_from: String,
}

impl Linear {
    /// The factor after `step` of `total` updates.
    pub fn factor(&self, step: i64, total: i64) -> f64 {
        let warmup = warmup(self.warmup, self.warmup_share, total);
        let (step, total) = (step.max(0) as f64, total as f64);
        let from = if self.fall_from == "start" { 0.0 } else { warmup };
        ramp(step, warmup) * remaining(step, from, total)
    }
}

schedule!(Linear, LinearInputs, LinearOutputs);

/// Half a cosine from 1 down to `floor`, after a linear warm-up.
///
/// # Paper
/// Loshchilov, Hutter: SGDR: Stochastic Gradient Descent with Warm Restarts, ICLR 2017, equation 5,
/// without restarts.
///
/// # Example
/// ```mlm
/// schedule = optimization.cosine(warmup: 500 steps, floor: 10%)
/// ```
#[component(
    schedule,
    name = "optimization.cosine",
    inputs(step: "integer" = "updates made before this one", total: "integer" = "updates of the phase"),
    outputs(factor: "real" = "what the peak rate is multiplied by"),
)]
pub struct Cosine {
    /// Updates over which the rate rises from 0.
    #[param(default = 0)]
    pub warmup: usize,
    /// The same as a share of the phase; the longer of the two counts.
    #[param(default = 0.0, range = "[0%, 100%]", kind = "fraction")]
    pub warmup_share: f64,
    /// The factor at the end.
    #[param(default = 0.0, range = "[0%, 100%]", kind = "fraction")]
    pub floor: f64,
}

impl Cosine {
    /// The factor after `step` of `total` updates.
    pub fn factor(&self, step: i64, total: i64) -> f64 {
        let warmup = warmup(self.warmup, self.warmup_share, total);
        let (step, total) = (step.max(0) as f64, total as f64);
        let made = 1.0 - remaining(step, warmup, total);
        let cosine = 0.5 * (1.0 + (std::f64::consts::PI * made).cos());
        ramp(step, warmup) * (self.floor + (1.0 - self.floor) * cosine)
    }
}

schedule!(Cosine, CosineInputs, CosineOutputs);

/// The inverse square root of the number of updates, after a linear warm-up.
///
/// The factor is `min(t / warmup, sqrt(warmup / t))`: 1 where the warm-up ends.
///
/// # Paper
/// Vaswani, Shazeer, Parmar, Uszkoreit, Jones, Gomez, Kaiser, Polosukhin: Attention Is All You Need,
/// NeurIPS 2017, section 5.3.
///
/// # Example
/// ```mlm
/// schedule = optimization.inverse_sqrt(warmup: 4k steps)
/// ```
#[component(
    schedule,
    name = "optimization.inverse_sqrt",
    inputs(step: "integer" = "updates made before this one", total: "integer" = "updates of the phase"),
    outputs(factor: "real" = "what the peak rate is multiplied by"),
)]
pub struct InverseSquareRoot {
    /// Updates over which the rate rises from 0; the later fall is measured in it.
    #[param(default = 4000, range = ">= 1")]
    pub warmup: usize,
}

impl InverseSquareRoot {
    /// The factor after `step` updates.
    pub fn factor(&self, step: i64, _total: i64) -> f64 {
        let warmup = self.warmup.max(1) as f64;
        let step = step.max(0) as f64;
        if step < warmup { step / warmup } else { (warmup / step).sqrt() }
    }
}

schedule!(InverseSquareRoot, InverseSquareRootInputs, InverseSquareRootOutputs);

/// The peak rate between a linear warm-up and a linear fall to 0 at the end.
///
/// For update t, counted from 0, of T, with W updates of warm-up and D of decay, the factor is
/// `min(1, (t + 1) / W, (T - t - 1) / D)`: the first update already moves the weights, and the last one
/// of the phase has rate 0.
///
/// # Paper
/// Hu et al.: MiniCPM, COLM 2024, section 4; with the counting of the code of Gisserot-Boukhlef et al.:
/// Should We Still Pretrain Encoders with Masked Language Modeling?, ICLR 2026.
///
/// # Example
/// ```mlm
/// schedule = optimization.warmup_stable_decay(warmup: 2k steps, decay: 2k steps)
/// ```
#[component(
    schedule,
    name = "optimization.warmup_stable_decay",
    inputs(step: "integer" = "updates made before this one", total: "integer" = "updates of the phase"),
    outputs(factor: "real" = "what the peak rate is multiplied by"),
)]
pub struct WarmupStableDecay {
    /// Updates over which the rate rises to the peak.
    #[param(default = 0)]
    pub warmup: usize,
    /// The same as a share of the phase; the longer of the two counts.
    #[param(default = 0.0, range = "[0%, 100%]", kind = "fraction")]
    pub warmup_share: f64,
    /// Updates at the end over which the rate falls to 0; 0 for no fall.
    #[param(default = 0)]
    pub decay: usize,
    /// The same as a share of the phase; the longer of the two counts.
    #[param(default = 0.0, range = "[0%, 100%]", kind = "fraction")]
    pub decay_share: f64,
}

impl WarmupStableDecay {
    /// The factor after `step` of `total` updates.
    pub fn factor(&self, step: i64, total: i64) -> f64 {
        let rise = warmup(self.warmup, self.warmup_share, total);
        let fall = warmup(self.decay, self.decay_share, total);
        let made = step.max(0) as f64 + 1.0;
        let left = (total as f64 - made).max(0.0);
        ramp(made, rise).min(ramp(left, fall))
    }
}

schedule!(WarmupStableDecay, WarmupStableDecayInputs, WarmupStableDecayOutputs);
