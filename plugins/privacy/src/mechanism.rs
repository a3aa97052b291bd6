//! Clipping of examples and noise on their sum.

use crate::accounting::{Accountant, AccountingError, Mechanism};
use zoo_plugin::prelude::*;

/// The Gaussian mechanism of differentially private training: DP-SGD with any optimizer behind it.
///
/// An example's gradient, over all trained parameters together, is scaled by `min(1, clip / norm)`. Noise
/// with standard deviation `noise_multiplier * clip` for each number is added to their sum, which is
/// divided by the expected number of examples. What an optimizer makes of the result costs no more privacy.
///
/// The noise is either given, or it is the least that stays within `epsilon` at `delta` by an accountant,
/// over `steps` updates that take each example with probability `sampling_rate`: `sampling = "poisson"` in
/// the phase, and a `batch` of that share of the data. Accountants:
///
/// * `pld`: the exact privacy curve by numerical convolution;
/// * `rdp`: an upper bound by Rényi divergences, `rdp_tight` with the better conversion to epsilon;
/// * `edgeworth`: an estimate by the Edgeworth expansion of the privacy loss, of `order` 0 to 3;
/// * `gdp`: an estimate by the central limit theorem.
///
/// Estimates promise nothing: with little noise and rare sampling more epsilon is spent than they say, which
/// `privacy.accounts` tells. Noise is drawn by a generator that is no cryptographic one.
///
/// # Paper
/// Abadi et al.: Deep Learning with Differential Privacy, CCS 2016; Behnia et al.: EW-Tune, 2022.
///
/// # Example
/// ```mlm
/// aggregator private = privacy.gaussian_mechanism(
///   clip: 1.0, accountant: "edgeworth", epsilon: 3, delta: 1e-4, sampling_rate: 10%, steps: 200,
/// )
/// ```
#[component(
    aggregator,
    name = "privacy.gaussian_mechanism",
    inputs(norms: "float[B]" = "norms of the examples' gradients"),
    outputs(
        weights: "float[B]" = "factors that clip them",
        noise: "real" = "standard deviation of the noise on each number of the sum",
    ),
)]
pub struct GaussianMechanism {
    /// Largest norm of an example's gradient; larger ones are scaled down to it.
    #[param(range = "> 0")]
    pub clip: f64,
    /// Standard deviation of the noise in units of `clip`; 0 is no privacy. Calibrated, when absent.
    #[param(range = ">= 0")]
    pub noise_multiplier: Option<f64>,
    /// Who says how much noise is needed.
    #[param(default = "pld", one_of("pld", "rdp", "rdp_tight", "edgeworth", "gdp"))]
    pub accountant: String,
    /// Terms of the Edgeworth expansion.
    #[param(default = 1, range = "[0, 3]")]
    pub order: usize,
    /// The privacy that is wanted.
    #[param(range = "> 0")]
    pub epsilon: Option<f64>,
    /// The probability with which it may fail.
    #[param(default = 1e-5, range = "(0, 1)")]
    pub delta: f64,
    /// The probability that an example takes part in an update.
    #[param(range = "(0%, 100%]", kind = "fraction")]
    pub sampling_rate: Option<f64>,
    /// The number of updates.
    #[param(range = ">= 1")]
    pub steps: Option<usize>,
}

/// An accounting error as a component's.
pub(crate) fn refused(error: AccountingError) -> Error {
    let parameter = match &error {
        AccountingError::OutOfRange { name, .. } => Some(*name),
        AccountingError::NoPrivacy { .. } => Some("delta"),
        AccountingError::NotReached { .. } => Some("epsilon"),
    };
    let plain = Error::new(error.to_string());
    parameter.map_or_else(|| Error::new(error.to_string()), |name| plain.at(name))
}

impl GaussianMechanism {
    /// The accountant that the parameters name.
    pub fn accountant(&self) -> Accountant {
        match self.accountant.as_str() {
            "rdp" => Accountant::Rdp { tight: false },
            "rdp_tight" => Accountant::Rdp { tight: true },
            "edgeworth" => Accountant::Edgeworth { order: self.order as u32 },
            "gdp" => Accountant::Gdp,
            _ => Accountant::Pld,
        }
    }

    /// The probability and number of updates that accounting needs.
    ///
    /// # Errors
    ///
    /// One of them is not given.
    pub fn sampling(&self) -> Result<(f64, u64)> {
        let lacking = |name: &str, example: &str| {
            Error::new(format!("without `{name}` nobody can say what the mechanism costs"))
                .at(name)
                .help(format!("add `{name}: {example}`, as the phase has it"))
        };
        let rate = self.sampling_rate.ok_or_else(|| lacking("sampling_rate", "10%"))?;
        let steps = self.steps.ok_or_else(|| lacking("steps", "200"))?;
        Ok((rate, steps as u64))
    }

    /// The noise multiplier: given, or calibrated.
    ///
    /// # Errors
    ///
    /// Neither noise nor epsilon, or both; privacy that no noise gives.
    pub fn noise(&self) -> Result<f64> {
        match (self.noise_multiplier, self.epsilon) {
            (Some(noise), None) => Ok(noise),
            (None, Some(epsilon)) => {
                let (rate, steps) = self.sampling()?;
                self.accountant().noise_multiplier(epsilon, self.delta, rate, steps).map_err(refused)
            }
            (None, None) => Err(Error::new("neither the noise is given nor the privacy that is wanted")
                .at("noise_multiplier")
                .help("write `noise_multiplier: 1.1`, or `epsilon: 3` with `sampling_rate` and `steps`")),
            (Some(_), Some(_)) => {
                Err(Error::new("noise and epsilon are both given, and one follows from the other")
                    .at("epsilon")
                    .help("leave one out; an arm takes a setting back with `none`"))
            }
        }
    }

    /// What accountants judge.
    ///
    /// # Errors
    ///
    /// As [`Self::noise`] and [`Self::sampling`] have them; no noise.
    pub fn mechanism(&self) -> Result<Mechanism> {
        let (rate, steps) = self.sampling()?;
        Mechanism::new(self.noise()?, rate, steps).map_err(refused)
    }

    /// Factors `min(1, clip / norm)`; 1 where the norm is 0.
    ///
    /// # Errors
    ///
    /// What libtorch refuses.
    pub fn weights(&self, norms: &Tensor) -> Result<Tensor> {
        Ok(norms.f_reciprocal()?.f_mul_scalar(self.clip)?.f_clamp_max(1.0)?)
    }
}

impl Component for GaussianMechanism {
    type State = f64;

    fn build(&self, _: &mut Build<'_>) -> Result<f64> {
        self.noise()
    }

    fn call(
        &self,
        noise: &f64,
        x: GaussianMechanismInputs<'_>,
        _: &mut Call<'_>,
    ) -> Result<GaussianMechanismOutputs> {
        Ok(GaussianMechanismOutputs { weights: self.weights(x.norms)?, noise: noise * self.clip })
    }
}
