//! The privacy loss of one step, and integrals over it.

use super::Mechanism;
use statrs::function::erf::erfc;
use std::f64::consts::{PI, SQRT_2};

/// Which of the two neighbouring data sets the outcome is drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Without the example: x ~ N(0, 1).
    Without,
    /// With it: x ~ (1 - q) N(0, 1) + q N(mu, 1), mu = 1 / sigma.
    With,
}

/// The density of the standard normal distribution.
pub(crate) fn density(x: f64) -> f64 {
    (-x * x / 2.0).exp() / (2.0 * PI).sqrt()
}

/// The probability of a standard normal number above x.
pub(crate) fn above(x: f64) -> f64 {
    erfc(x / SQRT_2) / 2.0
}

/// One step: outcomes, their densities, their losses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) mu: f64,
    pub(crate) rate: f64,
}

impl Step {
    pub(crate) fn of(mechanism: &Mechanism) -> Self {
        Self { mu: 1.0 / mechanism.noise_multiplier, rate: mechanism.sampling_rate }
    }

    /// ln dQ/dP = ln(1 - q + q exp(mu x - mu²/2)), without cancellation.
    pub(crate) fn loss(&self, x: f64) -> f64 {
        let exponent = self.mu * x - self.mu * self.mu / 2.0;
        if self.rate == 1.0 {
            return exponent;
        }
        if exponent > 30.0 {
            return exponent + (self.rate + (1.0 - self.rate) * (-exponent).exp()).ln();
        }
        (self.rate * exponent.exp_m1()).ln_1p()
    }

    /// The outcome with this loss; minus infinity for losses below the smallest.
    pub(crate) fn outcome(&self, loss: f64) -> f64 {
        if self.rate == 1.0 {
            return loss / self.mu + self.mu / 2.0;
        }
        // exp(l) - 1 + q over q
        let inside = loss.exp_m1() / self.rate + 1.0;
        if inside <= 0.0 { f64::NEG_INFINITY } else { inside.ln() / self.mu + self.mu / 2.0 }
    }

    /// The probability of outcomes above x.
    pub(crate) fn above(&self, side: Side, x: f64) -> f64 {
        match side {
            Side::Without => above(x),
            Side::With => (1.0 - self.rate) * above(x) + self.rate * above(x - self.mu),
        }
    }

    /// The integral of a function of the outcome over a side's distribution, by the trapezoidal rule, which
    /// converges faster than any power of the width for integrands like these.
    pub(crate) fn expectation(&self, side: Side, of: impl Fn(f64) -> f64) -> f64 {
        const REACH: f64 = 12.0;
        let width = (0.05_f64).min(0.1 / self.mu);
        let points = ((2.0 * REACH + self.mu) / width).ceil() as usize;
        let weight = |x: f64| match side {
            Side::Without => density(x),
            Side::With => (1.0 - self.rate) * density(x) + self.rate * density(x - self.mu),
        };
        let point = |index: usize| -REACH + index as f64 * width;
        width * (0..=points).map(point).map(|x| weight(x) * of(x)).sum::<f64>()
    }

    /// ln E[exp(order * loss)] over outcomes without the example: the logarithm of a moment.
    pub(crate) fn log_moment(&self, order: f64) -> f64 {
        const REACH: f64 = 12.0;
        let width = (0.05_f64).min(0.1 / self.mu);
        let (low, high) = ((order * self.mu).min(0.0) - REACH, (order * self.mu).max(0.0) + REACH);
        let points = ((high - low) / width).ceil() as usize;
        let exponent = |index: usize| {
            let x = low + index as f64 * width;
            order * self.loss(x) - x * x / 2.0
        };
        let exponents: Vec<f64> = (0..=points).map(exponent).collect();
        let largest = exponents.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = exponents.iter().map(|e| (e - largest).exp()).sum();
        largest + (sum * width / (2.0 * PI).sqrt()).ln()
    }
}
