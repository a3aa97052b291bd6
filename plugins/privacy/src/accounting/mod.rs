//! What training by the subsampled Gaussian mechanism costs in privacy.
//!
//! A mechanism is (epsilon, delta)-private if for data sets that differ in one example no outcome's
//! probability differs by more than a factor `e^epsilon`, up to a remainder `delta` (Dwork and Roth, 2014).
//! Accountants relate epsilon and delta of a mechanism that is repeated:
//!
//! | accountant | what it gives |
//! | --- | --- |
//! | [`Accountant::Pld`] | the exact privacy curve, by numerical convolution, up to about 1e-4 in epsilon |
//! | [`Accountant::Rdp`] | an upper bound, by moments of every order |
//! | [`Accountant::Edgeworth`] | an estimate, by a finite-sample expansion around the central limit theorem |
//! | [`Accountant::Gdp`] | an estimate, by the central limit theorem alone |
//!
//! Estimates carry no guarantee: where noise is small and few examples are sampled, they promise less
//! epsilon than is spent.

mod edgeworth;
mod fourier;
mod gdp;
mod loss;
mod pld;
mod rdp;

pub use edgeworth::{Cumulants, edgeworth_delta};
pub use gdp::gdp_mu;
pub use loss::Side;
pub use pld::PrivacyLoss;
pub use rdp::renyi_divergence;

/// What cannot be answered, and why.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum AccountingError {
    /// A number outside of its range.
    #[error("`{name}` is {value}, which is not {allowed}")]
    OutOfRange {
        /// The number.
        name: &'static str,
        /// Its value.
        value: f64,
        /// What it may be.
        allowed: &'static str,
    },
    /// No epsilon up to the largest that is looked at has that delta.
    #[error("delta {delta} is not reached by any epsilon up to {limit}: there is next to no privacy")]
    NoPrivacy {
        /// What was asked for.
        delta: f64,
        /// How far was looked.
        limit: f64,
    },
    /// No noise gives that privacy.
    #[error("no noise multiplier up to {limit} gives epsilon {epsilon} at delta {delta}")]
    NotReached {
        /// What was asked for.
        epsilon: f64,
        /// What was asked for.
        delta: f64,
        /// How far was looked.
        limit: f64,
    },
}

type Result<T> = std::result::Result<T, AccountingError>;

/// Steps of the Gaussian mechanism, each on a Poisson sample of the data.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mechanism {
    /// Standard deviation of the noise, in units of the largest norm of an example's contribution.
    pub noise_multiplier: f64,
    /// Probability that an example takes part in a step, in (0, 1].
    pub sampling_rate: f64,
    /// Number of steps.
    pub steps: u64,
}

/// How privacy is counted. See the [module](self).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accountant {
    /// Privacy loss distribution, composed by Fourier transform (Koskela, Jälkö, Honkela, 2020; Gopi, Lee,
    /// Wutschitz, 2021): exact up to the grid. The worse of adding and removing an example.
    Pld,
    /// Rényi differential privacy (Mironov, Talwar, Zhang, 2019), orders 2 to 31.9 in steps of 0.1.
    Rdp {
        /// The conversion to epsilon by Balle et al. (2020) instead of Mironov's (2017).
        tight: bool,
    },
    /// Edgeworth expansion of the privacy loss (Wang et al., 2022); order 0 is the central limit theorem.
    Edgeworth {
        /// Terms of the expansion, 0 to 3.
        order: u32,
    },
    /// Gaussian differential privacy by its central limit theorem (Dong, Roth, Su, 2022; Bu et al., 2020).
    Gdp,
}

/// Epsilons beyond this are no privacy.
const EPSILON_LIMIT: f64 = 500.0;
const NOISE_LIMIT: f64 = 1e5;

fn in_range(name: &'static str, value: f64, fine: bool, allowed: &'static str) -> Result<()> {
    if fine { Ok(()) } else { Err(AccountingError::OutOfRange { name, value, allowed }) }
}

impl Mechanism {
    /// The mechanism, its numbers held against their ranges.
    ///
    /// # Errors
    ///
    /// A noise multiplier of 0 or less, a rate outside of (0, 1], no steps.
    pub fn new(noise_multiplier: f64, sampling_rate: f64, steps: u64) -> Result<Self> {
        let (sigma, q) = (noise_multiplier, sampling_rate);
        in_range("noise_multiplier", sigma, sigma > 0.0 && sigma.is_finite(), "above 0")?;
        in_range("sampling_rate", q, q > 0.0 && q <= 1.0, "above 0 and at most 1")?;
        in_range("steps", steps as f64, steps > 0, "at least 1")?;
        Ok(Self { noise_multiplier, sampling_rate, steps })
    }
}

impl Accountant {
    /// The probability with which privacy of this epsilon may fail, in [0, 1].
    ///
    /// # Errors
    ///
    /// A negative epsilon; an Edgeworth order above 3.
    pub fn delta(self, mechanism: &Mechanism, epsilon: f64) -> Result<f64> {
        in_range("epsilon", epsilon, epsilon >= 0.0 && epsilon.is_finite(), "at least 0")?;
        Ok(match self {
            Self::Pld => PrivacyLoss::of(mechanism).delta(epsilon),
            Self::Rdp { tight } => rdp::delta(mechanism, epsilon, tight),
            Self::Edgeworth { order } => {
                in_range("order", f64::from(order), order <= 3, "at most 3")?;
                edgeworth_delta(mechanism, epsilon, order).clamp(0.0, 1.0)
            }
            Self::Gdp => gdp::delta(gdp_mu(mechanism), epsilon),
        })
    }

    /// The smallest epsilon of this delta.
    ///
    /// # Errors
    ///
    /// A delta outside of (0, 1); no epsilon that is any privacy.
    pub fn epsilon(self, mechanism: &Mechanism, delta: f64) -> Result<f64> {
        in_range("delta", delta, delta > 0.0 && delta < 1.0, "between 0 and 1")?;
        match self {
            Self::Pld => PrivacyLoss::of(mechanism).epsilon(delta),
            Self::Rdp { tight } => Ok(rdp::epsilon(mechanism, delta, tight)),
            Self::Gdp => {
                let mu = gdp_mu(mechanism);
                crossing(delta, 0.0, |epsilon| gdp::delta(mu, epsilon))
            }
            Self::Edgeworth { order } => {
                in_range("order", f64::from(order), order <= 3, "at most 3")?;
                edgeworth::epsilon(mechanism, delta, order)
            }
        }
    }

    /// The smallest noise multiplier by which steps at this sampling rate stay within epsilon at delta, up
    /// to a share of 1e-6.
    ///
    /// # Errors
    ///
    /// Numbers out of range; privacy that no noise gives.
    pub fn noise_multiplier(self, epsilon: f64, delta: f64, sampling_rate: f64, steps: u64) -> Result<f64> {
        in_range("epsilon", epsilon, epsilon > 0.0 && epsilon.is_finite(), "above 0")?;
        in_range("delta", delta, delta > 0.0 && delta < 1.0, "between 0 and 1")?;
        // How far the spent epsilon is above the wanted one, in logarithms, where it is nearly a straight
        // line over the noise.
        let excess = |noise: f64| -> Result<f64> {
            match self.epsilon(&Mechanism::new(noise.exp(), sampling_rate, steps)?, delta) {
                Ok(spent) => Ok((spent.max(1e-12) / epsilon).ln()),
                Err(AccountingError::NoPrivacy { limit, .. }) => Ok((limit / epsilon).ln().max(1.0)),
                Err(error) => Err(error),
            }
        };
        let mut high = (0.0, excess(0.0)?);
        let mut low = high;
        while high.1 > 0.0 {
            low = high;
            high.0 += std::f64::consts::LN_2;
            if high.0 > NOISE_LIMIT.ln() {
                return Err(AccountingError::NotReached { epsilon, delta, limit: NOISE_LIMIT });
            }
            high.1 = excess(high.0)?;
        }
        // Below a tenth the losses are so large that nothing is private.
        while low.1 <= 0.0 && low.0 > 0.1_f64.ln() {
            high = low;
            low.0 -= std::f64::consts::LN_2;
            low.1 = excess(low.0)?;
        }
        if low.1 <= 0.0 {
            return Ok(low.0.exp());
        }
        // Regula falsi with the Illinois rule, and halving where that is slow.
        let (mut weight_low, mut weight_high, mut round) = (1.0, 1.0, 0_u32);
        while high.0 - low.0 > 1e-7 {
            round += 1;
            let (above, below) = (low.1 * weight_low, -high.1 * weight_high);
            let middle = if round.is_multiple_of(4) || above + below <= 0.0 {
                f64::midpoint(low.0, high.0)
            } else {
                low.0 + (high.0 - low.0) * (above / (above + below)).clamp(0.001, 0.999)
            };
            let found = excess(middle)?;
            if found > 0.0 {
                (low, weight_low, weight_high) = ((middle, found), 1.0, weight_high / 2.0);
            } else {
                (high, weight_high, weight_low) = ((middle, found), 1.0, weight_low / 2.0);
                if found > -1e-7 {
                    break;
                }
            }
        }
        Ok(high.0.exp())
    }
}

/// The epsilon from `from` on at which a falling function comes down to `delta`; `from` itself where it is
/// below there.
fn crossing(delta: f64, from: f64, of: impl Fn(f64) -> f64) -> Result<f64> {
    if of(from) <= delta {
        return Ok(from);
    }
    let (mut low, mut step) = (from, 0.5);
    while of(low + step) > delta {
        low += step;
        step *= 1.5;
        if low > EPSILON_LIMIT {
            return Err(AccountingError::NoPrivacy { delta, limit: EPSILON_LIMIT });
        }
    }
    let mut high = low + step;
    while high - low > 1e-10 * high.max(1.0) {
        let middle = f64::midpoint(low, high);
        if of(middle) > delta { low = middle } else { high = middle }
    }
    Ok(high)
}
