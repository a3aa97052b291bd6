//! Shares, entropies and areas against numbers by hand, in one batch and in several.

#![allow(clippy::unwrap_used, reason = "a test may")]

use tch::{Device, Kind, Tensor};
use zoo_evaluation::{Ranked, Sum};

fn area(scores: &[f32], positive: &[bool]) -> f64 {
    let mut ranked = Ranked::default();
    ranked.add(&Tensor::from_slice(scores), &Tensor::from_slice(positive), None).unwrap();
    ranked.area().unwrap()
}

#[test]
fn areas_by_hand() {
    assert_eq!(area(&[0.1, 0.4, 0.35, 0.8], &[false, false, true, true]), 0.75);
    assert_eq!(area(&[1.0, 2.0], &[true, false]), 0.0);
    assert_eq!(area(&[3.0, 3.0, 3.0], &[true, false, true]), 0.5);
    assert_eq!(area(&[1.0, 2.0, 2.0, 3.0], &[false, true, false, true]), 0.875);
}

#[test]
fn an_area_is_that_of_all_pairs_however_batches_are_cut() {
    tch::manual_seed(5);
    let scores = (Tensor::randn([300], (Kind::Float, Device::Cpu)) * 4.0).round();
    let positive = (&scores + Tensor::randn([300], (Kind::Float, Device::Cpu)) * 8.0).gt(2.0);
    let (s, p) = (Vec::<f32>::try_from(&scores).unwrap(), Vec::<bool>::try_from(&positive).unwrap());
    let (mut won, mut pairs) = (0.0, 0.0);
    for (a, _) in s.iter().zip(&p).filter(|(_, p)| **p) {
        for (b, _) in s.iter().zip(&p).filter(|(_, p)| !**p) {
            pairs += 1.0;
            won += if a > b {
                1.0
            } else if a == b {
                0.5
            } else {
                0.0
            };
        }
    }
    let mut ranked = Ranked::default();
    for (from, count) in [(0, 7), (7, 200), (207, 93)] {
        ranked.add(&scores.narrow(0, from, count), &positive.narrow(0, from, count), None).unwrap();
    }
    assert!((ranked.area().unwrap() - won / pairs).abs() < 1e-12);
}

#[test]
fn an_area_needs_both_kinds() {
    let mut ranked = Ranked::default();
    ranked.add(&Tensor::from_slice(&[1.0_f32]), &Tensor::from_slice(&[true]), None).unwrap();
    assert!(ranked.area().unwrap_err().message.contains("1 positive and 0 negative"));
    assert!(ranked.add(&Tensor::from_slice(&[f32::NAN]), &Tensor::from_slice(&[true]), None).is_err());
}

#[test]
fn masks_choose_what_counts() {
    let values = Tensor::from_slice(&[true, false, true, true]);
    let mask = Tensor::from_slice(&[1_i64, 1, 0, 1]);
    let mut sum = Sum::default();
    sum.add(&values, Some(&mask)).unwrap();
    assert_eq!(sum, Sum { total: 2.0, count: 3.0 });
    assert!(sum.add(&values, Some(&mask.narrow(0, 0, 2))).is_err());
    assert!(Sum::default().mean().is_err());
}

/// The loss of the best constant answer for shares of 9 % and 15 %, and none where nothing varies.
#[test]
fn entropies_of_shares() {
    for (total, entropy) in [(9.0, 0.302_538), (15.0, 0.422_709), (0.0, 0.0), (100.0, 0.0)] {
        let got = Sum { total, count: 100.0 }.entropy().unwrap();
        assert!((got - entropy).abs() < 1e-6, "{got} is not {entropy}");
    }
}

#[test]
fn components_without_parameters_are_made_of_an_empty_object() {
    serde_json::from_str::<zoo_evaluation::Rate>("{}").unwrap();
}
