//! Gaussian differential privacy, by the central limit theorem for Poisson sampling.

use super::Mechanism;
use super::loss::above;

/// The mechanism's mu: `q sqrt(T (exp(1 / sigma²) - 1))`, or exactly `sqrt(T) / sigma` without sampling.
///
/// # Paper
/// Bu, Dong, Long, Su: Deep Learning with Gaussian Differential Privacy, 2020, corollary 4.
pub fn gdp_mu(mechanism: &Mechanism) -> f64 {
    let (q, steps) = (mechanism.sampling_rate, mechanism.steps as f64);
    if q == 1.0 {
        return steps.sqrt() / mechanism.noise_multiplier;
    }
    q * (steps * mechanism.noise_multiplier.powi(-2).exp_m1()).sqrt()
}

/// `Phi(-eps/mu + mu/2) - e^eps Phi(-eps/mu - mu/2)` (Dong, Roth, Su, 2022, corollary 2.13).
pub(super) fn delta(mu: f64, epsilon: f64) -> f64 {
    let with = above(epsilon / mu - mu / 2.0);
    let without = above(epsilon / mu + mu / 2.0);
    if without == 0.0 { with } else { (with - (epsilon + without.ln()).exp()).clamp(0.0, 1.0) }
}
