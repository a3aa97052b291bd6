//! The distribution of the privacy loss of all steps, by numerical convolution.

use super::fourier::self_convolution;
use super::loss::{Side, Step};
use super::{AccountingError, EPSILON_LIMIT, Mechanism, Result};

/// Places of the grid.
const PLACES: usize = 1 << 17;
/// Outcomes further out than this many standard deviations have no weight in 64 bits.
const REACH: f64 = 9.0;
/// Probability of losses outside of the grid.
const OUTSIDE: f64 = 1e-14;

/// The losses of all steps on a grid, for an example that is added and one that is removed.
#[derive(Clone, Debug)]
pub struct PrivacyLoss {
    directions: [Direction; 2],
}

/// One order of the two neighbouring data sets.
#[derive(Clone, Debug)]
struct Direction {
    first: f64,
    width: f64,
    /// For every place, the probability of losses from there on, …
    tail: Vec<f64>,
    /// … and the sum of probability times e^-loss.
    weighted: Vec<f64>,
}

impl PrivacyLoss {
    /// Of a mechanism.
    pub fn of(mechanism: &Mechanism) -> Self {
        Self { directions: [Side::With, Side::Without].map(|side| Direction::of(mechanism, side)) }
    }

    /// The exact delta at an epsilon, up to the grid: the larger of both orders.
    pub fn delta(&self, epsilon: f64) -> f64 {
        self.directions.iter().map(|d| d.delta(epsilon)).fold(0.0, f64::max).clamp(0.0, 1.0)
    }

    /// The smallest epsilon of a delta.
    ///
    /// # Errors
    ///
    /// None that is any privacy.
    pub fn epsilon(&self, delta: f64) -> Result<f64> {
        super::crossing(delta, 0.0, |epsilon| self.delta(epsilon))
            .map_err(|_| AccountingError::NoPrivacy { delta, limit: EPSILON_LIMIT })
    }
}

impl Direction {
    /// With the example first the loss is L(x) over outcomes with it; without it first, -L(x) over
    /// outcomes without.
    fn of(mechanism: &Mechanism, side: Side) -> Self {
        let step = Step::of(mechanism);
        let steps = mechanism.steps as f64;
        let sign = if side == Side::With { 1.0 } else { -1.0 };
        // E exp(t loss): over outcomes with the example one power more of the ratio.
        let log_moment = |t: f64| steps * step.log_moment(if side == Side::With { t + 1.0 } else { -t });
        // Chernoff's bound: P(S > x) <= exp(log_moment(t) - t x) for every t > 0.
        let powers = || (-12..=14).map(|exponent| 2_f64.powf(f64::from(exponent) / 2.0));
        let bound = |t: f64| (log_moment(t) - OUTSIDE.ln()) / t;
        let highest = powers().map(bound).fold(f64::INFINITY, f64::min);
        let lowest = powers().map(|t| bound(-t)).fold(f64::NEG_INFINITY, f64::max);
        let mean = steps * step.expectation(side, |x| sign * step.loss(x));
        let (lowest, highest) = (lowest.min(mean), highest.max(mean + 1e-9));
        let width = (highest - lowest) / (PLACES - 2) as f64;

        // One step, rounded to the grid of multiples of the width; a part of each bin goes to either
        // neighbour so that its mean is kept up to the second order.
        let mut one = vec![0.0; PLACES];
        let ends = [step.loss(-REACH), step.loss(step.mu + REACH)];
        let (low, high) = ((ends[0] / width).floor() as i64, (ends[1] / width).ceil() as i64);
        let mut kept = 0.0;
        let mut before = 1.0 - step.above(side, step.outcome((low as f64 - 0.5) * width));
        let mut above = step.above(side, step.outcome((low as f64 - 0.5) * width));
        for place in low..=high {
            let edge = step.outcome((place as f64 + 0.5) * width);
            let next = step.above(side, edge);
            let mut mass = above - next;
            if place == low {
                mass += before;
                before = 0.0;
            }
            above = next;
            kept += mass * sign * place as f64 * width;
            let place = if sign > 0.0 { place } else { -place };
            one[place.rem_euclid(PLACES as i64) as usize] += mass;
        }
        let all = self_convolution(&one, mechanism.steps);
        // What rounding did to the mean is taken back on the sum.
        let shift = mean - steps * kept;
        let first_place = (lowest / width).floor() as i64;
        let first = first_place as f64 * width + shift;
        let (mut tail, mut weighted) = (vec![0.0; PLACES + 1], vec![0.0; PLACES + 1]);
        for place in (0..PLACES).rev() {
            let mass = all[(first_place + place as i64).rem_euclid(PLACES as i64) as usize];
            let loss = first + place as f64 * width;
            tail[place] = tail[place + 1] + mass;
            weighted[place] = weighted[place + 1] + mass * (-loss).exp();
        }
        Self { first, width, tail, weighted }
    }

    /// The sum over losses above epsilon of probability times (1 - e^(epsilon - loss)).
    fn delta(&self, epsilon: f64) -> f64 {
        let place = ((epsilon - self.first) / self.width).ceil().clamp(0.0, PLACES as f64) as usize;
        if self.weighted[place] == 0.0 {
            return self.tail[place];
        }
        self.tail[place] - (epsilon + self.weighted[place].ln()).exp()
    }
}
