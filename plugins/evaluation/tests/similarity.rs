//! Correlations and isotropy against numbers worked out by hand.

#![allow(clippy::unwrap_used, reason = "a test may")]

use tch::{Kind, Tensor};
use zoo_evaluation::{Isotropy, MeanCosine, Scores};

fn scores(predicted: &[f64], gold: &[f64]) -> Scores {
    let mut scores = Scores::default();
    // Two parts: a correlation is of all examples, not a mean over batches.
    let half = predicted.len() / 2;
    for part in [0..half, half..predicted.len()] {
        scores.add(&Tensor::from_slice(&predicted[part.clone()]), &Tensor::from_slice(&gold[part])).unwrap();
    }
    scores
}

#[test]
fn spearman_is_pearson_of_ranks_with_ties() {
    // As scipy.stats.spearmanr and pearsonr give.
    let x = scores(&[0.1, 0.4, 0.35, 0.8, 0.8, -1.0], &[1.0, 2.0, 2.0, 5.0, 3.0, 2.0]);
    assert!((x.spearman().unwrap() - 0.800_853_434_723_806_7).abs() < 1e-12, "{}", x.spearman().unwrap());
    assert!((x.pearson().unwrap() - 0.516_917_982_142_734_4).abs() < 1e-12, "{}", x.pearson().unwrap());
}

#[test]
fn only_the_order_counts_for_spearman() {
    let gold = [1.0, 2.0, 3.0, 4.0];
    let bent = scores(&[0.0, 1.0, 10.0, 1e6], &gold);
    assert!((bent.spearman().unwrap() - 1.0).abs() < 1e-12);
    assert!(bent.pearson().unwrap() < 0.9);
    let reversed = scores(&[4.0, 3.0, 2.0, 1.0], &gold);
    assert!((reversed.spearman().unwrap() + 1.0).abs() < 1e-12);
}

#[test]
fn a_constant_side_says_nothing() {
    assert_eq!(scores(&[1.0, 1.0, 1.0], &[1.0, 2.0, 3.0]).spearman().unwrap(), 0.0);
    assert_eq!(scores(&[1.0, 2.0, 3.0], &[5.0, 5.0, 5.0]).pearson().unwrap(), 0.0);
}

#[test]
fn what_cannot_be_correlated_is_an_error() {
    assert!(Scores::default().spearman().is_err());
    assert!(scores(&[1.0], &[1.0]).pearson().is_err());
    assert!(scores(&[1.0, f64::NAN, 3.0], &[1.0, 2.0, 3.0]).spearman().is_err());
    let (long, short) = (Tensor::from_slice(&[1.0, 2.0]), Tensor::from_slice(&[1.0]));
    assert!(Scores::default().add(&long, &short).is_err());
}

fn rows(values: &[f64], columns: i64) -> Tensor {
    Tensor::from_slice(values).reshape([-1, columns])
}

#[test]
fn isotropy_of_a_cross_is_one_and_of_a_single_direction_one_over_e() {
    for normalize in [false, true] {
        let isotropy = Isotropy { normalize };
        let cross = rows(&[1., 0., -1., 0., 0., 1., 0., -1.], 2);
        assert!((isotropy.of(&cross).unwrap() - 1.0).abs() < 1e-12);
        let one = rows(&[1., 0., 1., 0., 1., 0.], 2);
        assert!((isotropy.of(&one).unwrap() - 0.367_879_441_171_442_3).abs() < 1e-12);
    }
    // Long vectors do not overflow, and do not count when brought to length one.
    let long = rows(&[1e3, 0., 1e3, 0.], 2);
    assert_eq!(Isotropy { normalize: false }.of(&long).unwrap(), 0.0);
    assert!((Isotropy { normalize: true }.of(&long).unwrap() - (-1f64).exp()).abs() < 1e-12);
}

#[test]
fn mean_cosine_is_over_all_pairs() {
    // 45° twice and 90° once.
    let x = rows(&[1., 0., 3., 3., 0., 2.], 2);
    assert!((MeanCosine.of(&x).unwrap() - 2f64.sqrt() / 3.0).abs() < 1e-12);
    assert!(
        (MeanCosine.of(&Tensor::ones([5, 3], (Kind::Double, tch::Device::Cpu))).unwrap() - 1.0).abs() < 1e-12
    );
    assert!(MeanCosine.of(&rows(&[1., 0.], 2)).is_err());
}
