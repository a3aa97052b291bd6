//! List operations against values computed by hand.

#![allow(clippy::unwrap_used, reason = "a test may")]

use tch::{Device, Kind, Tensor};
use zoo_torch::lists::{self, AdamW};

fn close(tensor: &Tensor, expected: &[f64], tolerance: f64) {
    let got = Vec::<f64>::try_from(tensor.to_kind(Kind::Double).flatten(0, -1)).unwrap();
    assert_eq!(got.len(), expected.len());
    for (got, expected) in got.iter().zip(expected) {
        assert!((got - expected).abs() <= tolerance, "{got} is not {expected}");
    }
}

const OPTIONS: AdamW = AdamW {
    learning_rate: 1.0,
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-6,
    weight_decay: 0.0,
    step: 1,
    bias_correction: true,
};

/// The formula in f64, for one number.
fn reference(options: &AdamW, parameter: f64, gradient: f64, first: f64, second: f64) -> [f64; 3] {
    let m = options.beta1 * first + (1.0 - options.beta1) * gradient;
    let v = options.beta2 * second + (1.0 - options.beta2) * gradient * gradient;
    let (c1, c2) = if options.bias_correction {
        (1.0 - options.beta1.powf(options.step as f64), 1.0 - options.beta2.powf(options.step as f64))
    } else {
        (1.0, 1.0)
    };
    let decayed = parameter * (1.0 - options.learning_rate * options.weight_decay);
    [decayed - options.learning_rate * (m / c1) / ((v / c2).sqrt() + options.epsilon), m, v]
}

#[test]
fn adamw_without_bias_correction_takes_a_larger_first_step() {
    // update = 0.1 g / (sqrt(0.001) |g| + 1e-6), about 3.1623 sign(g)
    let gradients = [0.5f32, -2.0, 1e-3];
    let parameter = Tensor::zeros([3], (Kind::Float, Device::Cpu));
    let gradient = Tensor::from_slice(&gradients);
    let (first, second) = (parameter.zeros_like(), parameter.zeros_like());
    let options = AdamW { bias_correction: false, ..OPTIONS };
    lists::adamw_(&options, &[&parameter], &[&gradient], &[&first], &[&second]).unwrap();
    let expected: Vec<f64> = gradients
        .iter()
        .map(|g| f64::from(*g))
        .map(|g| -0.1 * g / (0.001f64.sqrt() * g.abs() + 1e-6))
        .collect();
    close(&parameter, &expected, 2e-6);
    assert!((parameter.double_value(&[1]) - 3.1623).abs() < 1e-3);
}

#[test]
fn adamw_with_bias_correction_takes_a_unit_first_step() {
    let parameter = Tensor::from_slice(&[1f32, 1.0]);
    let gradient = Tensor::from_slice(&[0.5f32, -2.0]);
    let (first, second) = (parameter.zeros_like(), parameter.zeros_like());
    lists::adamw_(&OPTIONS, &[&parameter], &[&gradient], &[&first], &[&second]).unwrap();
    close(&parameter, &[0.0, 2.0], 1e-5);
    close(&first, &[0.05, -0.2], 1e-7);
    close(&second, &[0.001 * 0.25, 0.001 * 4.0], 1e-9);
}

#[test]
fn adamw_follows_its_formula_over_steps_and_sizes() {
    for bias_correction in [true, false] {
        // Two tensors, one beyond a vector's width, one a single number.
        let size = 37;
        let start: Vec<f32> = (0..size).map(|i| (i as f32 * 0.7).sin()).collect();
        let gradient: Vec<f32> = (0..size).map(|i| (i as f32 * 1.3).cos()).collect();
        let (p, g) = (Tensor::from_slice(&start), Tensor::from_slice(&gradient));
        let (m, v) = (p.zeros_like(), p.zeros_like());
        let mut expected: Vec<[f64; 3]> = start.iter().map(|p| [f64::from(*p), 0.0, 0.0]).collect();
        for step in 1..=5 {
            let options = AdamW { learning_rate: 0.01, weight_decay: 0.1, step, bias_correction, ..OPTIONS };
            let views = [p.narrow(0, 0, size - 1), p.narrow(0, size - 1, 1)];
            let slices = |t: &Tensor| [t.narrow(0, 0, size - 1), t.narrow(0, size - 1, 1)];
            let (gs, ms, vs) = (slices(&g), slices(&m), slices(&v));
            lists::adamw_(
                &options,
                &[&views[0], &views[1]],
                &[&gs[0], &gs[1]],
                &[&ms[0], &ms[1]],
                &[&vs[0], &vs[1]],
            )
            .unwrap();
            for (state, g) in expected.iter_mut().zip(&gradient) {
                *state = reference(&options, state[0], f64::from(*g), state[1], state[2]);
            }
        }
        let column = |i: usize| expected.iter().map(|state| state[i]).collect::<Vec<_>>();
        close(&p, &column(0), 1e-6);
        close(&m, &column(1), 1e-6);
        close(&v, &column(2), 1e-6);
    }
}

#[test]
fn adamw_writes_into_leaves_that_want_gradients() {
    let parameter = Tensor::ones([2], (Kind::Float, Device::Cpu)).set_requires_grad(true);
    let gradient = Tensor::ones([2], (Kind::Float, Device::Cpu));
    let (first, second) = (gradient.zeros_like(), gradient.zeros_like());
    let before = zoo_torch::tensor::version(&parameter).unwrap();
    lists::adamw_(&OPTIONS, &[&parameter], &[&gradient], &[&first], &[&second]).unwrap();
    assert!(parameter.requires_grad() && parameter.is_leaf());
    assert!(zoo_torch::tensor::version(&parameter).unwrap() > before);
    close(&parameter.detach(), &[0.0, 0.0], 1e-5);
}

#[test]
fn adamw_refuses_what_does_not_fit() {
    let a = Tensor::ones([2], (Kind::Float, Device::Cpu));
    let error = lists::adamw_(&OPTIONS, &[&a], &[], &[&a], &[&a]).unwrap_err();
    assert_eq!(error.to_string(), "fused AdamW: parameters and gradients differ in number: 1 and 0");
    let error = lists::adamw_(&AdamW { step: 0, ..OPTIONS }, &[], &[], &[], &[]).unwrap_err();
    assert_eq!(error.to_string(), "step is 0: it must be at least 1");
    let error = lists::adamw_(&AdamW { beta1: 1.0, ..OPTIONS }, &[], &[], &[], &[]).unwrap_err();
    assert_eq!(error.to_string(), "beta1 is 1: it must be in [0, 1)");
    let long = Tensor::ones([3], (Kind::Float, Device::Cpu)).to_kind(Kind::Int64);
    let error = lists::adamw_(&OPTIONS, &[&a], &[&long], &[&a], &[&a]).unwrap_err();
    assert!(error.to_string().starts_with("libtorch, in fused AdamW: "), "{error}");
    assert!(!error.to_string().contains('\n'));
    lists::adamw_(&OPTIONS, &[], &[], &[], &[]).unwrap();
}

#[test]
fn norm_and_clipping() {
    let a = Tensor::from_slice(&[3f32, 0.0]);
    let b = Tensor::from_slice(&[0f32, 4.0, 0.0]);
    close(&lists::norm(&[&a, &b]).unwrap(), &[5.0], 1e-6);
    // Below the limit nothing changes.
    close(&lists::clip_norm_(&[&a, &b], 6.0).unwrap(), &[5.0], 1e-6);
    close(&a, &[3.0, 0.0], 0.0);
    close(&lists::clip_norm_(&[&a, &b], 1.0).unwrap(), &[5.0], 1e-6);
    close(&a, &[0.6, 0.0], 1e-6);
    close(&b, &[0.0, 0.8, 0.0], 1e-6);
    assert!(lists::norm(&[]).is_err());
    assert!(lists::clip_norm_(&[&a], 0.0).is_err());
    assert!(lists::clip_norm_(&[&a], f64::NAN).is_err());
    // Half precision is summed in float.
    let half = Tensor::from_slice(&[300f32; 4]).to_kind(Kind::Half);
    close(&lists::norm(&[&half]).unwrap(), &[600.0], 1e-3);
}

#[test]
fn a_norm_that_is_not_finite_shows() {
    let a = Tensor::from_slice(&[f32::NAN, 1.0]);
    assert!(lists::clip_norm_(&[&a], 1.0).unwrap().double_value(&[]).is_nan());
}

#[test]
fn sums_copies_and_means_of_lists() {
    let a = Tensor::from_slice(&[1f32, 2.0]);
    let b = Tensor::from_slice(&[10f32, 20.0]);
    lists::scale_(&[&a], 2.0).unwrap();
    close(&a, &[2.0, 4.0], 0.0);
    lists::add_(&[&a], &[&b], 0.5).unwrap();
    close(&a, &[7.0, 14.0], 0.0);
    lists::lerp_(&[&a], &[&b], 0.25).unwrap();
    close(&a, &[7.75, 15.5], 0.0);
    lists::copy_(&[&a], &[&b.to_kind(Kind::Double)]).unwrap();
    close(&a, &[10.0, 20.0], 0.0);
    lists::zero_(&[&a, &b]).unwrap();
    close(&b, &[0.0, 0.0], 0.0);
    assert!(lists::add_(&[&a], &[], 1.0).is_err());
    assert!(lists::copy_(&[&a], &[&Tensor::ones([3], (Kind::Float, Device::Cpu))]).is_err());
    lists::scale_(&[], 1.0).unwrap();
}

#[test]
fn unscaling_finds_infinities() {
    let found = Tensor::zeros([1], (Kind::Float, Device::Cpu));
    let inverse = Tensor::from_slice(&[0.5f32]);
    let a = Tensor::from_slice(&[4f32, 8.0]);
    lists::unscale_(&[&a], &found, &inverse).unwrap();
    close(&a, &[2.0, 4.0], 0.0);
    close(&found, &[0.0], 0.0);
    let b = Tensor::from_slice(&[f32::INFINITY]);
    lists::unscale_(&[&a, &b], &found, &inverse).unwrap();
    close(&found, &[1.0], 0.0);
}

#[test]
fn adamw_reads_gradients_of_any_layout() {
    let gradient = Tensor::from_slice(&[1f32, -1.0, 1.0, 1.0, -1.0, 1.0]).reshape([2, 3]);
    let transposed = gradient.transpose(0, 1).contiguous().transpose(0, 1);
    assert!(!transposed.is_contiguous());
    let parameter = Tensor::zeros([2, 3], (Kind::Float, Device::Cpu));
    let (first, second) = (parameter.zeros_like(), parameter.zeros_like());
    lists::adamw_(&OPTIONS, &[&parameter], &[&transposed], &[&first], &[&second]).unwrap();
    close(&parameter, &[-1.0, 1.0, -1.0, -1.0, 1.0, -1.0], 1e-5);
    // One number seen many times has nowhere to put many values.
    let expanded = Tensor::zeros([1], (Kind::Float, Device::Cpu)).expand([2, 3], false);
    assert!(lists::adamw_(&OPTIONS, &[&expanded], &[&gradient], &[&first], &[&second]).is_err());
    assert!(lists::adamw_(&OPTIONS, &[&parameter], &[&gradient.get(0)], &[&first], &[&second]).is_err());
    // A parameter stored column by column works when its means are, too.
    let strided = Tensor::zeros([3, 2], (Kind::Float, Device::Cpu)).transpose(0, 1);
    let error = lists::adamw_(&OPTIONS, &[&strided], &[&gradient], &[&first], &[&second]).unwrap_err();
    assert!(error.to_string().ends_with("are not laid out alike in memory"), "{error}");
    let (first, second) = (strided.zeros_like(), strided.zeros_like());
    lists::adamw_(&OPTIONS, &[&strided], &[&gradient], &[&first], &[&second]).unwrap();
    close(&strided.contiguous(), &[-1.0, 1.0, -1.0, -1.0, 1.0, -1.0], 1e-5);
}
