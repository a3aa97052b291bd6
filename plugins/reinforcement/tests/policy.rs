//! The policy objective against numbers worked out by hand.

#![allow(clippy::unwrap_used, reason = "a test may")]

use tch::{Device, Kind, Tensor};
use zoo_reinforcement::{GroupAdvantage, OverlongPenalty, PolicyClip};

fn close(got: &Tensor, expected: &[f64], tolerance: f64) {
    let got: Vec<f64> = Vec::try_from(got.to_kind(Kind::Double).reshape([-1])).unwrap();
    assert_eq!(got.len(), expected.len());
    for (got, expected) in got.iter().zip(expected) {
        assert!((got - expected).abs() <= tolerance, "{got} is not {expected}");
    }
}

fn advantages(rewards: &[f32], group: usize, deviation: &str) -> Tensor {
    let component = GroupAdvantage { group, deviation: deviation.to_owned(), epsilon: 1e-6 };
    component.advantages(&Tensor::from_slice(rewards)).unwrap()
}

#[test]
fn advantages_are_deviations_from_the_group() {
    let half = [1.0, 1.0, -1.0, -1.0];
    close(&advantages(&half, 4, "population"), &[1.0, 1.0, -1.0, -1.0], 2e-6);
    close(&advantages(&half, 4, "sample"), &[0.866_025, 0.866_025, -0.866_025, -0.866_025], 2e-6);
    let one = [1.0, -1.0, -1.0, -1.0];
    close(&advantages(&one, 4, "population"), &[1.732_051, -0.577_350, -0.577_350, -0.577_350], 4e-6);
    close(&advantages(&one, 4, "sample"), &[1.5, -0.5, -0.5, -0.5], 3e-6);
    close(&advantages(&one, 4, "none"), &[1.5, -0.5, -0.5, -0.5], 1e-6);
    // Groups do not see each other, and constant ones are exactly 0, also where a mean is rounded.
    let two = [0.1, 0.1, 0.1, 1.0, 0.0, 0.5];
    let of_two = advantages(&two, 3, "population");
    close(&of_two.narrow(0, 0, 3), &[0.0; 3], 0.0);
    close(&of_two.narrow(0, 3, 3), &[1.224_742, -1.224_742, 0.0], 4e-6);
    let component = GroupAdvantage { group: 4, deviation: "population".to_owned(), epsilon: 0.0 };
    let error = component.advantages(&Tensor::from_slice(&two)).unwrap_err();
    assert!(error.to_string().contains("6 rewards do not make groups of 4"), "{error}");
}

fn clip(upper: f64, aggregation: &str, kl_weight: f64) -> PolicyClip {
    PolicyClip { lower: 0.2, upper, aggregation: aggregation.to_owned(), kl_weight }
}

fn row(values: &[f64]) -> Tensor {
    Tensor::from_slice(values).to_kind(Kind::Float).unsqueeze(0)
}

/// Term and its derivative by the ratio, of one token.
fn term(objective: &PolicyClip, ratio: f64, advantage: f64) -> (f64, f64) {
    let new = row(&[ratio.ln()]).set_requires_grad(true);
    let terms = objective.terms(&new, &row(&[0.0]), &Tensor::from_slice(&[advantage as f32]), None).unwrap();
    let gradient = Tensor::run_backward(&[terms.sum(Kind::Float)], &[&new], false, false);
    // d term / d log r = r d term / d r
    (terms.double_value(&[0, 0]), gradient[0].double_value(&[0, 0]) / ratio)
}

#[test]
fn terms_are_cut_off_on_the_side_that_pays() {
    let (grpo, dapo) = (clip(0.2, "sequence_mean", 0.0), clip(0.28, "token_mean", 0.0));
    for (ratio, advantage, of_grpo, of_dapo) in [
        (1.25, 1.0, (1.20, 0.0), (1.25, 1.0)),
        (1.40, 1.0, (1.20, 0.0), (1.28, 0.0)),
        (0.70, 1.0, (0.70, 1.0), (0.70, 1.0)),
        (0.70, -1.0, (-0.80, 0.0), (-0.80, 0.0)),
        (1.40, -1.0, (-1.40, -1.0), (-1.40, -1.0)),
    ] {
        for (objective, expected) in [(&grpo, of_grpo), (&dapo, of_dapo)] {
            let got = term(objective, ratio, advantage);
            assert!(
                (got.0 - expected.0).abs() < 1e-6 && (got.1 - expected.1).abs() < 1e-6,
                "{ratio} {got:?}"
            );
        }
    }
}

/// Texts of 2 and of 8 tokens, of a width of 8.
fn two_lengths() -> (Tensor, Tensor) {
    let mask = Tensor::zeros([2, 8], (Kind::Int64, Device::Cpu));
    let _ = mask.narrow(0, 0, 1).narrow(1, 3, 2).fill_(1);
    let _ = mask.narrow(0, 1, 1).fill_(1);
    (mask, Tensor::from_slice(&[1.0_f32, -1.0]))
}

fn objective(component: &PolicyClip, mask: &Tensor, advantages: &Tensor) -> f64 {
    let zeros = Tensor::zeros(mask.size(), (Kind::Float, Device::Cpu));
    let sum = component.clipped(&zeros, &zeros, advantages, mask, None).unwrap().loss.double_value(&[]);
    -sum / component.targets(mask).unwrap()
}

#[test]
fn a_token_of_a_long_text_counts_as_the_aggregation_says() {
    let (mask, advantages) = two_lengths();
    let (tokens, sequences) = (clip(0.2, "token_mean", 0.0), clip(0.2, "sequence_mean", 0.0));
    assert_eq!((tokens.targets(&mask).unwrap(), sequences.targets(&mask).unwrap()), (10.0, 2.0));
    assert!((objective(&tokens, &mask, &advantages) + 0.6).abs() < 1e-6);
    assert!(objective(&sequences, &mask, &advantages).abs() < 1e-6);
    let equal = Tensor::ones([2, 8], (Kind::Int64, Device::Cpu));
    let advantages = Tensor::from_slice(&[2.0_f32, -1.0]);
    let of = |component| objective(component, &equal, &advantages);
    assert!((of(&tokens) - of(&sequences)).abs() < 1e-6 && (of(&tokens) - 0.5).abs() < 1e-6);
    // A text in which the policy wrote nothing is none.
    let none = Tensor::from_slice2(&[[1_i64, 1], [0, 0]]);
    assert_eq!(sequences.targets(&none).unwrap(), 1.0);
}

#[test]
fn what_the_mask_hides_changes_nothing() {
    let (mask, advantages) = two_lengths();
    let component = clip(0.28, "token_mean", 0.1);
    let base = Tensor::randn([2, 8], (Kind::Float, Device::Cpu)).set_requires_grad(true);
    let (old, reference) = (&base.detach() - 0.1, &base.detach() + 0.3);
    let loss = |new: &Tensor, old: &Tensor, reference: &Tensor| {
        component.clipped(new, old, &advantages, &mask, Some(reference)).unwrap()
    };
    let plain = loss(&base, &old, &reference);
    let gradient = &Tensor::run_backward(&[&plain.loss], &[&base], false, false)[0];
    assert_eq!(f64::try_from((gradient * mask.eq(0)).abs().sum(Kind::Double)).unwrap(), 0.0);
    assert!(f64::try_from(gradient.abs().sum(Kind::Double)).unwrap() > 0.0);
    let spoilt = |tensor: &Tensor| tensor.detach().masked_fill(&mask.eq(0), f64::NEG_INFINITY);
    let other = loss(&spoilt(&base), &spoilt(&old), &spoilt(&reference));
    for (a, b) in [(&plain.loss, &other.loss), (&plain.ratio, &other.ratio), (&plain.clipped, &other.clipped)]
    {
        assert_eq!(a.double_value(&[]), b.double_value(&[]));
    }
    assert!((plain.ratio.double_value(&[]) - 0.1_f64.exp()).abs() < 1e-5);
}

#[test]
fn on_the_policys_own_texts_the_gradient_is_that_of_reinforce() {
    let (mask, advantages) = two_lengths();
    let component = clip(0.28, "token_mean", 0.0);
    let new = Tensor::randn([2, 8], (Kind::Float, Device::Cpu)).set_requires_grad(true);
    let clipped = component.clipped(&new, &new.detach(), &advantages, &mask, None).unwrap();
    let loss = clipped.loss / component.targets(&mask).unwrap();
    let reinforce = -(&new * advantages.unsqueeze(1) * &mask).sum(Kind::Float) / mask.sum(Kind::Float);
    let gradient = |loss: Tensor| Tensor::run_backward(&[loss], &[&new], false, false).remove(0);
    let (a, b) = (gradient(loss), gradient(reinforce));
    assert!(a.allclose(&b, 1e-6, 1e-7, false), "{a} {b}");
    // A group of equal rewards has no gradient.
    let zero = component.clipped(&new, &new.detach(), &advantages.zeros_like(), &mask, None).unwrap();
    assert_eq!(f64::try_from(gradient(zero.loss).abs().sum(Kind::Double)).unwrap(), 0.0);
}

#[test]
fn the_divergence_is_never_negative() {
    // ln(reference / policy) is 0, 0.5, -0.5; the advantage is 0.
    let component = clip(0.2, "token_mean", 2.0);
    let zeros = row(&[0.0; 3]);
    let terms = component
        .terms(&zeros, &zeros, &Tensor::from_slice(&[0.0_f32]), Some(&row(&[0.0, 0.5, -0.5])))
        .unwrap();
    close(&terms, &[0.0, -2.0 * 0.148_721, -2.0 * 0.106_531], 2e-6);
    let error = component.terms(&zeros, &zeros, &Tensor::from_slice(&[0.0_f32]), None).unwrap_err();
    assert_eq!(error.at, "in.reference_log_probabilities");
}

#[test]
fn length_is_punished_in_the_last_tokens() {
    let component = OverlongPenalty { maximum: 20480, margin: 4096, factor: 1.0 };
    let lengths = Tensor::from_slice(&[1_i64, 16384, 16385, 18432, 20480, 20481]);
    let expected = [0.0, 0.0, -0.000_244_140_625, -0.5, -1.0, -1.0];
    close(&component.penalties(&lengths).unwrap(), &expected, 0.0);
    let half = OverlongPenalty { factor: 0.5, ..component };
    close(&half.penalties(&lengths).unwrap(), &expected.map(|e| e / 2.0), 0.0);
}
