//! Draws have the distribution that the scores say, and depend on row and place alone.

#![allow(clippy::unwrap_used, reason = "a test may")]

use tch::{Device, Kind, Tensor};
use zoo_language_modelling::sample::{draw, uniform};

#[test]
fn numbers_are_uniform_and_follow_row_and_place() {
    let seeds = Tensor::from_slice(&(0..64).map(|i: i64| i * 7919 - 5).collect::<Vec<_>>());
    let positions = Tensor::arange(64 * 500, (Kind::Int64, Device::Cpu));
    let numbers = uniform(&seeds, &positions, 500).unwrap();
    let values = Vec::<f64>::try_from(&numbers).unwrap();
    assert!(values.iter().all(|v| *v > 0.0 && *v < 1.0));
    // Kolmogorov and Smirnov: 1.63 / sqrt(n) at 1 %.
    let mut sorted = values.clone();
    sorted.sort_by(f64::total_cmp);
    let count = sorted.len() as f64;
    let worst =
        sorted.iter().enumerate().map(|(i, v)| ((i as f64 + 0.5) / count - v).abs()).fold(0.0, f64::max);
    assert!(worst < 1.63 / count.sqrt(), "{worst}");
    // Neighbours do not go together.
    let mean = values.windows(2).map(|w| (w[0] - 0.5) * (w[1] - 0.5)).sum::<f64>() / count;
    assert!(mean.abs() < 4.0 / 12.0 / count.sqrt(), "{mean}");
    // A part of the batch, and other places, give the same numbers.
    let part = uniform(&seeds.narrow(0, 7, 1), &Tensor::from_slice(&[3_i64, 3, 499]), 500).unwrap();
    let part = Vec::<f64>::try_from(&part).unwrap();
    assert_eq!(part, [values[7 * 500 + 3], values[7 * 500 + 3], values[7 * 500 + 499]]);
}

#[test]
fn draws_have_the_softmax_distribution() {
    let scores = [0.5_f32, -1.0, 2.0, 0.0, -30.0];
    let count = 40_000;
    let seeds = Tensor::from_slice(&[42_i64]);
    let at = uniform(&seeds, &Tensor::arange(count, (Kind::Int64, Device::Cpu)), count).unwrap();
    for temperature in [1.0, 0.5, 2.0] {
        let logits = Tensor::from_slice(&scores).unsqueeze(0).repeat([count, 1]);
        let drawn = Vec::<i64>::try_from(draw(&logits, temperature, &at).unwrap()).unwrap();
        let weights: Vec<f64> = scores.iter().map(|s| (f64::from(*s) / temperature).exp()).collect();
        let total: f64 = weights.iter().sum();
        let mut chi = 0.0;
        for (token, weight) in weights.iter().enumerate() {
            let expected = count as f64 * weight / total;
            let got = drawn.iter().filter(|d| **d == token as i64).count() as f64;
            if expected > 5.0 {
                chi += (got - expected).powi(2) / expected;
            } else {
                assert!(got <= 5.0 * (expected + 1.0));
            }
        }
        // Chi squared with 3 degrees of freedom passes 16.3 once in a thousand.
        assert!(chi < 16.3, "temperature {temperature}: {chi}");
    }
}

#[test]
fn certain_scores_give_their_token_at_both_ends() {
    let logits = Tensor::from_slice(&[100_f32, 0.0, 0.0, 0.0, 0.0, 100.0]).reshape([2, 3]);
    for at in [1e-16, 1.0 - 1e-16] {
        let drawn = draw(&logits, 1.0, &Tensor::from_slice(&[at, at])).unwrap();
        assert_eq!(Vec::<i64>::try_from(drawn).unwrap(), [0, 2]);
    }
}
