//! The contrastive loss against numbers worked out by hand and by finite differences.

#![allow(clippy::unwrap_used, reason = "a test may")]

use tch::{Device, Kind, Tensor};
use zoo_contrastive::InfoNce;
use zoo_plugin::prelude::Varying;

fn objective(positive_in_denominator: bool) -> InfoNce {
    InfoNce {
        temperature: Varying::constant(1.0),
        positive_in_denominator,
        negatives: "both_views".to_owned(),
        anchors: "both_views".to_owned(),
        negative_samples: None,
    }
}

fn losses(objective: &InfoNce, first: &Tensor, second: &Tensor, temperature: f64) -> Vec<f64> {
    let losses = objective.anchor_losses(first, second, temperature).unwrap();
    Vec::try_from(losses.to_kind(Kind::Double)).unwrap()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn close(got: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len());
    for (got, expected) in got.iter().zip(expected) {
        assert!((got - expected).abs() <= tolerance, "{got} is not {expected}");
    }
}

/// Deterministic values without a pattern, around zero.
fn matrix(rows: i64, columns: i64, salt: f64) -> Tensor {
    let values: Vec<f32> = (0..rows * columns)
        .map(|i| ((i as f64 * 12.9898 + salt).sin() * 43758.5453).fract() as f32)
        .collect();
    Tensor::from_slice(&values).reshape([rows, columns])
}

fn two_pairs() -> (Tensor, Tensor) {
    let first = Tensor::from_slice2(&[[1.0_f32, 0.0], [0.0, 1.0]]);
    let second = Tensor::from_slice2(&[[0.8_f32, 0.6], [-0.6, 0.8]]);
    (first, second)
}

#[test]
fn equal_vectors_cost_the_logarithm_of_the_number_of_candidates() {
    let same = Tensor::ones([200, 8], (Kind::Float, Device::Cpu));
    for temperature in [0.04, 0.2, 1.0] {
        let with = losses(&objective(true), &same, &same, temperature);
        assert_eq!(with.len(), 400);
        close(&with, &[5.988_961; 400], 3e-6);
        let without = losses(&objective(false), &same, &same, temperature);
        close(&without, &[5.986_452; 400], 3e-6);
    }
}

#[test]
fn two_pairs_by_hand() {
    let (first, second) = two_pairs();
    let at = |temperature| losses(&objective(true), &first, &second, temperature);
    close(&at(1.0), &[0.528_229, 0.818_925, 0.818_925, 0.528_229], 1e-6);
    close(&[mean(&at(1.0))], &[0.673_577], 1e-6);
    close(&at(0.2), &[0.019_045, 0.326_563, 0.326_563, 0.019_045], 1e-6);
    close(&[mean(&at(0.2))], &[0.172_804], 1e-6);
    close(&[mean(&at(0.04))], &[0.003_357_68], 1e-6);
}

#[test]
fn the_printed_form_can_be_negative() {
    let (first, second) = two_pairs();
    let got = losses(&objective(false), &first, &second, 0.2);
    close(&got, &[-3.951_413, -0.951_413, -0.951_413, -3.951_413], 2e-6);
    close(&[mean(&got)], &[-2.451_413], 2e-6);
}

#[test]
fn perfect_pairs_cost_almost_nothing() {
    let orthogonal = Tensor::eye(200, (Kind::Float, Device::Cpu));
    let got = losses(&objective(true), &orthogonal, &orthogonal, 0.04);
    // 5.5e-9 is below the spacing of float32 numbers at 25.
    assert!(mean(&got).abs() < 2e-6 && (398.0 * (-25f64).exp()).ln_1p() - 5.5274e-9 < 1e-12);
    // In the printed form the same sum stands alone under the logarithm, and float32 shows it.
    let printed = losses(&objective(false), &orthogonal, &orthogonal, 0.04);
    close(&printed, &[398f64.ln() - 25.0; 400], 1e-5);
    assert!((mean(&printed).exp() - 5.5274e-9).abs() < 1e-12);
}

#[test]
fn length_does_not_count_and_gradients_are_tangential() {
    let (first, second) = (matrix(5, 7, 0.3), matrix(5, 7, 1.7));
    let scale = Tensor::from_slice(&[0.1_f32, 3.0, 7.0, 0.5, 40.0]).unsqueeze(1);
    for printed in [true, false] {
        let plain = losses(&objective(printed), &first, &second, 0.2);
        let scaled = losses(&objective(printed), &(&first * &scale), &second, 0.2);
        close(&scaled, &plain, 2e-5);
        let z = first.copy().set_requires_grad(true);
        objective(printed).anchor_losses(&z, &second, 0.2).unwrap().mean(Kind::Float).backward();
        let along: Vec<f64> = Vec::try_from((z.grad() * &z).sum_dim_intlist(1, false, Kind::Double)).unwrap();
        assert!(along.iter().all(|x| x.abs() < 1e-6), "{along:?}");
        assert!(f64::try_from(z.grad().norm()).unwrap() > 1e-2);
    }
}

#[test]
fn gradients_agree_with_finite_differences() {
    let forms = [("both_views", "both_views"), ("other_view", "both_views"), ("other_view", "first_view")];
    for (negatives, anchors) in forms {
        for positive_in_denominator in [true, false] {
            let objective = InfoNce {
                temperature: Varying::constant(0.5),
                positive_in_denominator,
                negatives: negatives.to_owned(),
                anchors: anchors.to_owned(),
                negative_samples: None,
            };
            let (first, second) = (matrix(4, 3, 0.9), matrix(4, 3, 2.1));
            let (a, b) = (first.copy().set_requires_grad(true), second.copy().set_requires_grad(true));
            objective.anchor_losses(&a, &b, 0.5).unwrap().sum(Kind::Float).backward();
            for (which, gradient) in [(0, a.grad()), (1, b.grad())] {
                for place in 0..12 {
                    let moved = |by: f64| {
                        let views = [first.copy(), second.copy()];
                        let _ = views[which].view([12]).get(place).g_add_scalar_(by);
                        losses(&objective, &views[0], &views[1], 0.5).iter().sum::<f64>()
                    };
                    let expected = (moved(2e-3) - moved(-2e-3)) / 4e-3;
                    let got = f64::try_from(gradient.view([12]).get(place)).unwrap();
                    assert!(
                        (got - expected).abs() < 2e-3 * (1.0 + expected.abs()),
                        "{got} is not {expected}"
                    );
                }
            }
        }
    }
}

/// Rows of the similarity matrix one by one, in f64.
#[test]
fn every_form_follows_its_sum() {
    let (first, second) = (matrix(4, 6, 0.5), matrix(4, 6, 4.5));
    let rows = |x: &Tensor| -> Vec<Vec<f64>> {
        let x = x.to_kind(Kind::Double);
        let x = &x / x.norm_scalaropt_dim(2, [1i64].as_slice(), true);
        Vec::try_from(x).unwrap()
    };
    let (a, b) = (rows(&first), rows(&second));
    let s = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>() / 0.3;
    for negatives in ["both_views", "other_view"] {
        for anchors in ["both_views", "first_view"] {
            for positive_in_denominator in [true, false] {
                let objective = InfoNce {
                    temperature: Varying::constant(0.3),
                    positive_in_denominator,
                    negatives: negatives.to_owned(),
                    anchors: anchors.to_owned(),
                    negative_samples: None,
                };
                let mut expected = Vec::new();
                let sides = [(&a, &b), (&b, &a)];
                for (own, other) in &sides[..if anchors == "both_views" { 2 } else { 1 }] {
                    for i in 0..4 {
                        let mut sum = 0.0;
                        for j in 0..4 {
                            if j != i || positive_in_denominator {
                                sum += s(&own[i], &other[j]).exp();
                            }
                            if j != i && negatives == "both_views" {
                                sum += s(&own[i], &own[j]).exp();
                            }
                        }
                        expected.push(sum.ln() - s(&own[i], &other[i]));
                    }
                }
                close(&losses(&objective, &first, &second, 0.3), &expected, 2e-5);
                assert_eq!(objective.anchor_count(4), expected.len() as i64);
            }
        }
    }
}

#[test]
fn autocast_does_not_narrow_the_similarities() {
    let (first, second) = (matrix(64, 32, 0.1), matrix(64, 32, 0.2));
    let plain = losses(&objective(true), &first, &second, 0.04);
    let region = zoo_torch::modes::Autocast::enter(Device::Cpu, Kind::BFloat16).unwrap();
    let within = losses(&objective(true), &first, &second, 0.04);
    drop(region);
    assert_eq!(plain, within);
}

#[test]
fn a_single_example_has_no_negatives() {
    let one = matrix(1, 3, 0.0);
    assert_eq!(losses(&objective(true), &one, &one, 1.0), [0.0, 0.0]);
    let error = objective(false).anchor_losses(&one, &one, 1.0).unwrap_err();
    assert_eq!(error.at, "positive_in_denominator");
}

fn wav2vec(negative_samples: Option<usize>) -> InfoNce {
    InfoNce {
        negatives: "other_view".to_owned(),
        anchors: "first_view".to_owned(),
        negative_samples,
        ..objective(true)
    }
}

#[test]
fn groups_are_as_if_computed_alone() {
    let (first, second) = (matrix(7, 5, 0.3), matrix(7, 5, 0.7));
    // Groups of three, one and three, in turns.
    let groups = Tensor::from_slice(&[9_i64, -4, 9, 70, -4, 9, -4]);
    for objective in [wav2vec(None), objective(true)] {
        let got = objective.anchor_losses_among(&first, &second, Some(&groups), None, 0.1).unwrap();
        let got = Vec::<f64>::try_from(got.to_kind(Kind::Double)).unwrap();
        for own in [&[0_i64, 2, 5][..], &[1, 4, 6], &[3]] {
            let index = Tensor::from_slice(own);
            let alone =
                losses(&objective, &first.index_select(0, &index), &second.index_select(0, &index), 0.1);
            let sides = objective.anchor_count(7) as usize / 7;
            let expected: Vec<f64> = (0..sides)
                .flat_map(|side| own.iter().map(move |place| side * 7 + *place as usize))
                .map(|place| got[place])
                .collect();
            close(&expected, &alone, 1e-5);
        }
    }
}

/// Similarities of .9 with the positive and .1 and -.2 with two negatives at a temperature of .1, and 101 equal ones.
#[test]
fn masked_frames_by_hand() {
    let anchor = Tensor::from_slice2(&[[1.0_f32, 0.0, 0.0]; 3]);
    let to = |cosine: f64| [cosine as f32, (1.0 - cosine * cosine).sqrt() as f32, 0.0];
    let targets = Tensor::from_slice2(&[to(0.9), to(0.1), to(-0.2)]);
    close(&losses(&wav2vec(None), &anchor, &targets, 0.1)[..1], &[0.000_352_102], 1e-6);
    let same = Tensor::ones([200, 4], (Kind::Float, Device::Cpu));
    close(&losses(&wav2vec(Some(100)), &same, &same, 0.1), &[4.615_121; 200], 1e-5);
    // A group with fewer has what there is.
    let groups = Tensor::from_slice(&(0..200).map(|i| i64::from(i < 30)).collect::<Vec<_>>());
    let got = wav2vec(Some(100)).anchor_losses_among(&same, &same, Some(&groups), None, 0.1).unwrap();
    close(
        &Vec::<f64>::try_from(got.to_kind(Kind::Double)).unwrap()[29..31],
        &[30f64.ln(), 101f64.ln()],
        1e-5,
    );
}

#[test]
fn the_same_code_is_no_negative() {
    let same = Tensor::ones([5, 4], (Kind::Float, Device::Cpu));
    let codes = Tensor::from_slice(&[3_i64, 3, 3, 8, 1]);
    let got = wav2vec(None).anchor_losses_among(&same, &same, None, Some(&codes), 0.1).unwrap();
    let expected = [3f64.ln(), 3f64.ln(), 3f64.ln(), 5f64.ln(), 5f64.ln()];
    close(&Vec::<f64>::try_from(got.to_kind(Kind::Double)).unwrap(), &expected, 1e-5);
    let all = Tensor::from_slice(&[1_i64; 5]);
    let got = wav2vec(Some(2)).anchor_losses_among(&same, &same, None, Some(&all), 0.1).unwrap();
    close(&Vec::<f64>::try_from(got.to_kind(Kind::Double)).unwrap(), &[0.0; 5], 1e-6);
}
