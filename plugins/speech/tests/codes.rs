//! Codes, their diversity and gradients against numbers worked out by hand.

#![allow(clippy::unwrap_used, reason = "a test may")]

use tch::{Device, Kind, Tensor};
use zoo_speech::{CodeChart, CodebookDiversity, Quantizer, Usage, perplexities};

fn numbers(x: &Tensor) -> Vec<f64> {
    Vec::try_from(x.to_kind(Kind::Double).reshape([-1])).unwrap()
}

fn close(got: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len());
    for (got, expected) in got.iter().zip(expected) {
        assert!((got - expected).abs() <= tolerance, "{got} is not {expected}");
    }
}

/// Deterministic values without a pattern, around zero.
fn wave(shape: &[i64], salt: f64) -> Tensor {
    let count: i64 = shape.iter().product();
    let values: Vec<f64> =
        (0..count).map(|i| ((i as f64 * 12.9898 + salt).sin() * 43758.5453).fract()).collect();
    Tensor::from_slice(&values).reshape(shape)
}

#[test]
fn diversity_by_hand() {
    let of = |mean: &Tensor| numbers(&CodebookDiversity::of_mean(mean).unwrap());
    let double = (Kind::Double, Device::Cpu);
    close(&of(&Tensor::full([1, 1024], 1.0 / 1024.0, double)), &[0.0], 1e-9);
    let one = Tensor::zeros([1, 1024], double);
    let _ = one.narrow(1, 7, 1).fill_(1.0);
    close(&of(&one), &[0.999_023], 1e-6);
    let mean = Tensor::from_slice(&[0.5, 0.25, 0.25, 0.0]).reshape([1, 4]);
    close(&numbers(&perplexities(&mean).unwrap()), &[2.828_427], 1e-6);
    close(&of(&mean), &[0.292_893], 1e-6);
    // The form of wav2vec 2.0's paper, (1 / GV) Σ p ln p, is that of the same entropy.
    close(&[-numbers(&perplexities(&mean).unwrap())[0].ln() / 4.0], &[-0.259_930], 1e-6);
    // Groups are averaged.
    let both = Tensor::cat(&[mean.shallow_clone(), Tensor::full([1, 4], 0.25, double)], 0);
    close(&of(&both), &[0.292_893 / 2.0], 1e-6);
    // A code of probability 0 has a finite gradient.
    let leaf = mean.set_requires_grad(true);
    CodebookDiversity::of_mean(&leaf).unwrap().backward();
    assert!(numbers(&leaf.grad()).iter().all(|x| x.is_finite()));
}

#[test]
fn perplexity_is_over_the_frames_that_count() {
    let hot = |code: i64| Tensor::from(code).one_hot(4).reshape([1, 1, 1, 4]).to_kind(Kind::Float);
    let frames = Tensor::cat(&[hot(0), hot(1), hot(2)], 1);
    let mask = Tensor::from_slice2(&[[1_i64, 1, 0]]);
    let mut usage = Usage::default();
    usage.add(&frames, Some(&mask)).unwrap();
    close(&[usage.perplexity().unwrap()], &[2.0], 1e-6);
    usage.add(&frames, None).unwrap();
    // (2, 2, 1) of 5.
    let entropy = -(2.0 * 0.4 * 0.4_f64.ln() + 0.2 * 0.2_f64.ln());
    close(&[usage.perplexity().unwrap()], &[entropy.exp()], 1e-6);
    assert!(Usage::default().perplexity().unwrap_err().message.contains("no frames came"));
}

/// Two groups of five codes of three numbers.
fn quantizer() -> (Quantizer, Tensor, Tensor) {
    let weight = wave(&[10, 4], 0.1).set_requires_grad(true);
    let table = wave(&[2, 5, 3], 0.2).set_requires_grad(true);
    (Quantizer::from_tensors(weight.shallow_clone(), table.shallow_clone()), weight, table)
}

#[test]
fn forwards_there_are_codes_and_backwards_their_mixture() {
    let (quantizer, _, table) = quantizer();
    let (noise, temperature) = (wave(&[2, 6, 10], 3.0), 0.7);
    let leaf = quantizer.logits(&wave(&[2, 6, 4], 0.5)).unwrap().detach().set_requires_grad(true);
    let (vectors, ids) = quantizer.quantize(&leaf, Some((&noise, temperature))).unwrap();
    for (vector, id) in numbers(&vectors).chunks(6).zip(Vec::<i64>::try_from(ids.reshape([-1])).unwrap()) {
        let row = |group: i64, code: i64| numbers(&table.select(0, group).select(0, code));
        // Exactly, not nearly.
        assert_eq!(vector, [row(0, id % 5), row(1, id / 5)].concat());
    }
    let along = wave(&[2, 6, 6], 9.0);
    let of_codes = Tensor::run_backward(&[(&vectors * &along).sum(Kind::Double)], &[&leaf], false, false);
    let soft = ((&leaf + &noise) / temperature).reshape([12, 2, 5]).softmax(-1, Kind::Double);
    let mixture = Tensor::einsum("ngv,gvd->ngd", &[&soft, &table], None::<i64>).reshape([2, 6, 6]);
    let of_mixture = Tensor::run_backward(&[(mixture * along).sum(Kind::Double)], &[&leaf], false, false);
    close(&numbers(&of_codes[0]), &numbers(&of_mixture[0]), 1e-12);
    assert!(numbers(&of_codes[0]).iter().any(|x| x.abs() > 1e-3));
}

/// The prediction loss takes ids, and so leaves the quantizer alone; the others move it.
#[test]
fn ids_have_no_gradient() {
    let (quantizer, weight, table) = quantizer();
    let logits = quantizer.logits(&wave(&[2, 6, 4], 0.5)).unwrap();
    let noise = wave(&[2, 6, 10], 3.0);
    let (vectors, ids) = quantizer.quantize(&logits, Some((&noise, 1.0))).unwrap();
    assert!(!ids.requires_grad() && vectors.requires_grad());
    vectors.square().sum(Kind::Double).backward();
    for leaf in [weight, table] {
        assert!(f64::try_from(leaf.grad().abs().sum(Kind::Double)).unwrap() > 1e-3);
    }
    // Outside of training nothing flows through the choice.
    let (other, _, _) = self::quantizer();
    let logits = other.logits(&wave(&[2, 6, 4], 0.5)).unwrap().detach().set_requires_grad(true);
    let (_, ids) = other.quantize(&logits, None).unwrap();
    let best = logits.reshape([2, 6, 2, 5]).argmax(-1, false);
    assert_eq!(
        Vec::<i64>::try_from(ids.reshape([-1])).unwrap(),
        Vec::<i64>::try_from((best.select(2, 0) + best.select(2, 1) * 5).reshape([-1])).unwrap()
    );
}

#[test]
fn steady_codes_are_those_of_steady_phones() {
    let phones = Tensor::from_slice2(&[[0_i64, 0, 0, 1, 1], [0, 1, 2, 3, 4]]);
    let ids = Tensor::from_slice2(&[[7_i64, 7, 3, 3, 3], [1, 1, 1, 1, 1]]);
    close(&numbers(&CodeChart::steady(&ids, &phones).unwrap()), &[2.0 / 3.0, 1.0], 1e-6);
}
