//! The Edgeworth accountant: the sum of the steps' privacy losses, by its first cumulants.

use super::loss::{Side, Step, above, density};
use super::{Mechanism, Result, crossing};

/// The first five cumulants of a step's privacy loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cumulants(pub [f64; 5]);

impl Cumulants {
    /// Of the loss of one step of the mechanism, over outcomes of a side. From centred moments: raw ones
    /// cancel.
    pub fn of(mechanism: &Mechanism, side: Side) -> Self {
        let step = Step::of(mechanism);
        let mean = step.expectation(side, |x| step.loss(x));
        let centred = |power: i32| step.expectation(side, |x| (step.loss(x) - mean).powi(power));
        let (second, third) = (centred(2), centred(3));
        let fourth = centred(4) - 3.0 * second * second;
        let fifth = centred(5) - 10.0 * third * second;
        Self([mean, second, third, fourth, fifth])
    }

    /// The probability that the sum of `steps` losses is above x, by the expansion of this order.
    fn above(&self, x: f64, steps: f64, order: u32) -> f64 {
        let [k1, k2, k3, k4, k5] = self.0.map(|k| steps * k);
        let s = k2.sqrt();
        let z = (x - k1) / s;
        let he = |coefficients: &[f64]| coefficients.iter().fold(0.0, |sum, c| sum * z + c);
        let mut correction = 0.0;
        if order >= 1 {
            correction += k3 / (6.0 * s.powi(3)) * he(&[1.0, 0.0, -1.0]);
        }
        if order >= 2 {
            correction += k4 / (24.0 * s.powi(4)) * he(&[1.0, 0.0, -3.0, 0.0]);
            correction += k3 * k3 / (72.0 * s.powi(6)) * he(&[1.0, 0.0, -10.0, 0.0, 15.0, 0.0]);
        }
        if order >= 3 {
            correction += k5 / (120.0 * s.powi(5)) * he(&[1.0, 0.0, -6.0, 0.0, 3.0]);
            correction += k3 * k4 / (144.0 * s.powi(7)) * he(&[1.0, 0.0, -15.0, 0.0, 45.0, 0.0, -15.0]);
            correction += k3.powi(3) / (1296.0 * s.powi(9))
                * he(&[1.0, 0.0, -28.0, 0.0, 210.0, 0.0, -420.0, 0.0, 105.0]);
        }
        above(z) + density(z) * correction
    }
}

/// Both sides' cumulants.
struct Expansion {
    without: Cumulants,
    with: Cumulants,
    steps: f64,
    order: u32,
}

impl Expansion {
    fn of(mechanism: &Mechanism, order: u32) -> Self {
        Self {
            without: Cumulants::of(mechanism, Side::Without),
            with: Cumulants::of(mechanism, Side::With),
            steps: mechanism.steps as f64,
            order,
        }
    }

    /// P(S_Y > epsilon) - e^epsilon P(S_X > epsilon).
    fn delta(&self, epsilon: f64) -> f64 {
        let with = self.with.above(epsilon, self.steps, self.order);
        let without = self.without.above(epsilon, self.steps, self.order);
        // e^epsilon may be infinite where the probability is 0.
        if without == 0.0 { with } else { with - (epsilon + without.abs().ln()).exp().copysign(without) }
    }
}

/// `delta(epsilon) = P(S_Y > epsilon) - e^epsilon P(S_X > epsilon)` with both probabilities by the expansion
/// of this order; not clamped, as it may leave [0, 1] far in the tail.
///
/// # Paper
/// Wang, Gao, Zhang, Shen, Su: Analytical Composition of Differential Privacy via the Edgeworth Accountant,
/// arXiv 2206.04236; Behnia et al.: EW-Tune, 2022.
pub fn edgeworth_delta(mechanism: &Mechanism, epsilon: f64, order: u32) -> f64 {
    Expansion::of(mechanism, order).delta(epsilon)
}

/// Above the mean of S_Y the estimate falls; below there may be spurious roots for few steps.
pub(super) fn epsilon(mechanism: &Mechanism, delta: f64, order: u32) -> Result<f64> {
    let expansion = Expansion::of(mechanism, order);
    let mean = (expansion.with.0[0] * expansion.steps).max(0.0);
    if expansion.delta(mean) <= delta {
        // The answer is below the mean, if there is any below it.
        let found = crossing(delta, 0.0, |e| if e >= mean { 0.0 } else { expansion.delta(e) })?;
        return Ok(found.min(mean));
    }
    crossing(delta, mean, |epsilon| expansion.delta(epsilon))
}
