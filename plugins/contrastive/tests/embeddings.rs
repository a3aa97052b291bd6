//! Poolers, similarities, alignment and uniformity against numbers worked out by hand.

#![allow(clippy::unwrap_used, reason = "a test may")]

use tch::{Device, Kind, Tensor};
use zoo_contrastive::{Alignment, CosineSimilarity, Pooler, Uniformity};

fn pool(method: &str, hidden: &Tensor, mask: Option<&Tensor>) -> Vec<f64> {
    let pooled = Pooler { method: method.to_owned() }.pool(hidden, mask).unwrap();
    Vec::try_from(pooled.to_kind(Kind::Double).flatten(0, -1)).unwrap()
}

#[test]
fn poolers_leave_padding_out_except_the_one_that_says_so() {
    let hidden =
        Tensor::from_slice(&[1f32, 10., 2., -20., 9., 99., 4., 1., 5., 5., 6., 3.]).reshape([2, 3, 2]);
    let mask = Tensor::from_slice(&[1i64, 1, 0, 1, 1, 1]).reshape([2, 3]);
    assert_eq!(pool("mean", &hidden, Some(&mask)), [1.5, -5.0, 5.0, 3.0]);
    let close = |got: Vec<f64>, expected: [f64; 4]| {
        assert!(got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{got:?}");
    };
    close(pool("mean_with_padding", &hidden, Some(&mask)), [4.0, 89.0 / 3.0, 5.0, 3.0]);
    assert_eq!(pool("first", &hidden, Some(&mask)), [1.0, 10.0, 4.0, 1.0]);
    assert_eq!(pool("last", &hidden, Some(&mask)), [2.0, -20.0, 6.0, 3.0]);
    assert_eq!(pool("maximum", &hidden, Some(&mask)), [2.0, 10.0, 6.0, 5.0]);
    // Without a mask every token counts.
    close(pool("mean", &hidden, None), [4.0, 89.0 / 3.0, 5.0, 3.0]);
    assert_eq!(pool("last", &hidden, None), [9.0, 99.0, 6.0, 3.0]);
}

#[test]
fn what_stands_in_the_padding_does_not_matter() {
    let hidden = Tensor::rand([2, 4, 3], (Kind::Float, Device::Cpu));
    let mask = Tensor::from_slice(&[0i64, 1, 1, 0, 1, 0, 0, 0]).reshape([2, 4]);
    let other = hidden.where_self(&mask.unsqueeze(2).ne(0), &Tensor::from(7e5f32));
    for method in ["mean", "last", "maximum"] {
        assert_eq!(pool(method, &hidden, Some(&mask)), pool(method, &other, Some(&mask)), "{method}");
    }
}

#[test]
fn a_sequence_of_padding_alone_gives_zeros() {
    let hidden = Tensor::ones([1, 2, 3], (Kind::Float, Device::Cpu));
    let mask = Tensor::zeros([1, 2], (Kind::Int64, Device::Cpu));
    assert_eq!(pool("mean", &hidden, Some(&mask)), [0.0; 3]);
    assert_eq!(pool("maximum", &hidden, Some(&mask)), [0.0; 3]);
}

#[test]
fn cosines_by_hand() {
    let first = Tensor::from_slice(&[3f32, 4., 1., 0., 0., 0.]).reshape([3, 2]);
    let second = Tensor::from_slice(&[4f32, 3., -2., 0., 1., 1.]).reshape([3, 2]);
    let got: Vec<f32> = Vec::try_from(CosineSimilarity::similarity(&first, &second).unwrap()).unwrap();
    assert!((got[0] - 0.96).abs() < 1e-6 && (got[1] + 1.0).abs() < 1e-6 && got[2] == 0.0, "{got:?}");
}

#[test]
fn a_zero_vector_has_a_finite_gradient() {
    let zero = Tensor::zeros([1, 3], (Kind::Float, Device::Cpu)).set_requires_grad(true);
    let other = Tensor::ones([1, 3], (Kind::Float, Device::Cpu));
    CosineSimilarity::similarity(&zero, &other).unwrap().sum(Kind::Float).backward();
    assert!(bool::try_from(zero.grad().isfinite().all()).unwrap());
}

#[test]
fn alignment_is_the_mean_distance() {
    // Opposite vectors are 2 apart, equal ones 0, orthogonal ones √2.
    let first = Tensor::from_slice(&[1f32, 0., 5., 0., 0., 2.]).reshape([3, 2]);
    let second = Tensor::from_slice(&[-3f32, 0., 1., 0., 1., 0.]).reshape([3, 2]);
    for (exponent, expected) in [(2.0, 2.0), (1.0, (2.0 + 2f64.sqrt()) / 3.0)] {
        let mut total = Default::default();
        let alignment = Alignment { exponent };
        alignment.add(&mut total, &first.narrow(0, 0, 2), &second.narrow(0, 0, 2)).unwrap();
        alignment.add(&mut total, &first.narrow(0, 2, 1), &second.narrow(0, 2, 1)).unwrap();
        assert!((total.mean().unwrap() - expected).abs() < 1e-6);
    }
}

#[test]
fn uniformity_is_zero_for_equal_vectors_and_lower_for_spread_ones() {
    let uniformity = Uniformity { scale: 2.0 };
    let same = Tensor::ones([3, 2], (Kind::Float, Device::Cpu));
    assert!(uniformity.of(&same).unwrap().abs() < 1e-6);
    // Pairs ±e1, ±e2: two at distance² 4, four at distance² 2.
    let cross = Tensor::from_slice(&[1f32, 0., -1., 0., 0., 1., 0., -1.]).reshape([4, 2]);
    let expected = ((2.0 * (-8f64).exp() + 4.0 * (-4f64).exp()) / 6.0).ln();
    assert!((uniformity.of(&cross).unwrap() - expected).abs() < 1e-6);
    assert!(uniformity.of(&same.narrow(0, 0, 1)).is_err());
}
