//! Rényi differential privacy of the subsampled Gaussian mechanism.

use super::Mechanism;
use super::loss::Step;

/// The Rényi divergence of order `order` > 1 between one step with and without an example.
///
/// # Paper
/// Mironov, Talwar, Zhang: Rényi Differential Privacy of the Sampled Gaussian Mechanism, 2019, section 3.3,
/// whose series for whole and broken orders are both this integral.
pub fn renyi_divergence(mechanism: &Mechanism, order: f64) -> f64 {
    Step::of(mechanism).log_moment(order) / (order - 1.0)
}

/// 2 to 31.9 in steps of a tenth, as the paper's code has them.
fn orders() -> impl Iterator<Item = f64> {
    (20..320).map(|tenths| f64::from(tenths) / 10.0)
}

/// How far the conversion to epsilon adds to the divergence.
fn conversion(order: f64, delta: f64, tight: bool) -> f64 {
    if tight {
        // Balle, Barthe, Gaboardi, Hsu, Sato: Hypothesis Testing Interpretations and Rényi Differential
        // Privacy, 2020, theorem 21.
        ((order - 1.0) / order).ln() - (delta.ln() + order.ln()) / (order - 1.0)
    } else {
        // Mironov: Rényi Differential Privacy, 2017, proposition 3.
        -delta.ln() / (order - 1.0)
    }
}

pub(super) fn epsilon(mechanism: &Mechanism, delta: f64, tight: bool) -> f64 {
    let steps = mechanism.steps as f64;
    orders()
        .map(|order| steps * renyi_divergence(mechanism, order) + conversion(order, delta, tight))
        .fold(f64::INFINITY, f64::min)
        .max(0.0)
}

pub(super) fn delta(mechanism: &Mechanism, epsilon: f64, tight: bool) -> f64 {
    let steps = mechanism.steps as f64;
    orders()
        .map(|order| {
            let rest = epsilon - steps * renyi_divergence(mechanism, order);
            let log = if tight {
                (order - 1.0) * (((order - 1.0) / order).ln() - rest) - order.ln()
            } else {
                -(order - 1.0) * rest
            };
            log.exp()
        })
        .fold(1.0, f64::min)
}
