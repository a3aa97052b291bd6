//! Means with their intervals.

use crate::Interval;
use statrs::distribution::{ContinuousCDF, StudentsT};

/// A mean and how well it is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// Standard error of the mean.
    pub standard_error: f64,
    /// Degrees of freedom of the standard error.
    pub freedom: f64,
}

impl Estimate {
    /// The two-sided t interval.
    pub fn interval(&self, level: f64) -> Interval {
        if self.standard_error == 0.0 {
            return Interval { low: self.mean, high: self.mean };
        }
        let half = student_quantile(1.0 - (1.0 - level) / 2.0, self.freedom) * self.standard_error;
        Interval { low: self.mean - half, high: self.mean + half }
    }
}

/// Quantile of Student's t distribution. Without a finite answer (no degrees of freedom, a probability
/// outside of (0, 1)) it is infinite, so that an interval made of it decides nothing.
pub fn student_quantile(probability: f64, freedom: f64) -> f64 {
    if !(0.0 < probability && probability < 1.0) {
        return f64::INFINITY;
    }
    match StudentsT::new(0.0, 1.0, freedom) {
        Ok(student) => student.inverse_cdf(probability),
        Err(_) => f64::INFINITY,
    }
}

/// Mean of one sample. None for fewer than two values.
pub fn one_sample(values: &[f64]) -> Option<Estimate> {
    let (mean, variance) = mean_and_variance(values)?;
    let count = values.len() as f64;
    Some(Estimate { mean, standard_error: (variance / count).sqrt(), freedom: count - 1.0 })
}

/// Sum of the means of independent samples, by Welch and Satterthwaite. None when one has fewer than two values.
pub fn sum_of_arms(arms: &[Vec<f64>]) -> Option<Estimate> {
    let (mut mean, mut squared_error, mut denominator) = (0.0, 0.0, 0.0);
    for values in arms {
        let (arm_mean, variance) = mean_and_variance(values)?;
        let count = values.len() as f64;
        mean += arm_mean;
        squared_error += variance / count;
        denominator += (variance / count).powi(2) / (count - 1.0);
    }
    let smallest = arms.iter().map(Vec::len).min()? as f64 - 1.0;
    let freedom = if denominator > 0.0 { squared_error.powi(2) / denominator } else { smallest };
    Some(Estimate { mean, standard_error: squared_error.sqrt(), freedom })
}

/// Sample variance with n − 1. What is only rounding (values equal to 12 digits) counts as no variance.
fn mean_and_variance(values: &[f64]) -> Option<(f64, f64)> {
    if values.len() < 2 {
        return None;
    }
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
    let scale = values.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
    if variance.sqrt() <= 1e-12 * scale {
        return Some((mean, 0.0));
    }
    Some((mean, variance))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (probability, freedom, value) in [
            (0.975, 1.0, 12.706_204_736),
            (0.975, 2.0, 4.302_652_730),
            (0.975, 4.0, 2.776_445_105),
            (0.995, 9.0, 3.249_835_542),
            (0.9995, 2.0, 31.599_054_58),
            (0.975, 200.0, 1.971_896_224),
        ] {
            let found = student_quantile(probability, freedom);
            assert!((found - value).abs() < 1e-6 * value, "{probability} {freedom}: {found} is not {value}");
        }
        assert_eq!(student_quantile(0.975, 0.0), f64::INFINITY);
        // Down to the smallest tails that several claims with several looks ask for.
        for freedom in [1.0, 1.3, 2.0, 2.7, 5.0, 17.5, 99.0, 400.0] {
            for tail in [0.1, 0.025, 1e-3, 1e-5, 1e-7] {
                let quantile = student_quantile(1.0 - tail, freedom);
                let found = StudentsT::new(0.0, 1.0, freedom).unwrap().sf(quantile);
                assert!((found / tail - 1.0).abs() < 1e-3, "{freedom} {tail}: {found}");
            }
        }
        assert_eq!(student_quantile(1.0, 3.0), f64::INFINITY);
    }

    #[test]
    fn one_sample_is_students() {
        // R: t.test(c(1.1, 2.3, 1.9, 2.8))
        let interval = one_sample(&[1.1, 2.3, 1.9, 2.8]).unwrap().interval(0.95);
        assert!((interval.low - 0.883_085).abs() < 1e-3 && (interval.high - 3.166_915).abs() < 1e-3);
    }

    #[test]
    fn two_arms_are_welchs() {
        // Computed by hand: a = 1..4 (variance 5/3), b = −(2, 4, 9) (variance 13): 1.25 of 5/3 / 4 and 13 / 3.
        let estimate = sum_of_arms(&[vec![1.0, 2.0, 3.0, 4.0], vec![-2.0, -4.0, -9.0]]).unwrap();
        let (first, second) = (5.0 / 12.0, 13.0 / 3.0);
        assert!((estimate.mean + 2.5).abs() < 1e-12);
        assert!((estimate.standard_error.powi(2) - (first + second)).abs() < 1e-12);
        let freedom = (first + second) * (first + second) / (first * first / 3.0 + second * second / 2.0);
        assert!((estimate.freedom - freedom).abs() < 1e-12);
    }

    #[test]
    fn too_few_and_equal_values() {
        assert_eq!(one_sample(&[1.0]), None);
        assert_eq!(sum_of_arms(&[vec![1.0, 2.0], vec![1.0]]), None);
        let same = one_sample(&[0.1 + 0.2, 0.3, 0.3]).unwrap();
        assert_eq!(same.standard_error, 0.0);
        assert_eq!(same.interval(0.95).low, same.interval(0.95).high);
    }
}
