//! Every optimizer against its formula, computed in f64 without libtorch.

#![allow(clippy::unwrap_used, reason = "a test may")]

use tch::{Device, Kind, Tensor};
use zoo_optimization::{Adafactor, AdamW, Lamb, StochasticGradientDescent, Update};

fn tensor(values: &[f64], shape: &[i64]) -> Tensor {
    Tensor::from_slice(values).to_kind(Kind::Float).reshape(shape)
}

fn values(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.detach().to_kind(Kind::Double).flatten(0, -1)).unwrap()
}

fn close(got: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len());
    for (got, expected) in got.iter().zip(expected) {
        assert!((got - expected).abs() <= tolerance * expected.abs().max(1.0), "{got} is not {expected}");
    }
}

/// Runs `steps` updates over one parameter and gives its value.
fn run(
    kinds: &[&[i64]],
    name: &str,
    parameter: &Tensor,
    gradients: &[Tensor],
    rate: f64,
    update: impl Fn(&Update<'_>),
) -> Vec<Tensor> {
    let states: Vec<Tensor> =
        kinds.iter().map(|shape| Tensor::zeros(*shape, (Kind::Float, Device::Cpu))).collect();
    for (i, gradient) in gradients.iter().enumerate() {
        let step = i64::try_from(i).unwrap() + 1;
        let all: Vec<&Tensor> = states.iter().collect();
        let x = Update::new(step, rate, vec![name], vec![parameter], vec![gradient], &all, kinds.len());
        update(&x.unwrap());
    }
    states
}

fn adamw() -> AdamW {
    AdamW {
        learning_rate: 1e-3,
        betas: vec![0.9, 0.999],
        epsilon: 1e-6,
        weight_decay: 0.1,
        bias_correction: true,
        no_decay: vec!["bias".to_owned(), "norm".to_owned()],
        layer_decay: 1.0,
    }
}

const START: [f64; 4] = [0.5, -1.5, 2.0, 0.25];
const FIRST: [f64; 4] = [0.1, -0.2, 0.4, 3.0];
const SECOND: [f64; 4] = [-0.3, 0.7, 0.1, -1.0];

#[test]
fn adamw_follows_its_formula_with_and_without_decay_and_correction() {
    for (name, decay) in [("model.a.weight", 0.1), ("model.a.bias", 0.0), ("model.LayerNorm.weight", 0.0)] {
        for bias_correction in [true, false] {
            let parameter = tensor(&START, &[2, 2]);
            let gradients = [tensor(&FIRST, &[2, 2]), tensor(&SECOND, &[2, 2])];
            let optimizer = AdamW { bias_correction, ..adamw() };
            let shape: &[i64] = &[2, 2];
            run(&[shape, shape], name, &parameter, &gradients, 0.01, |x| optimizer.update(x).unwrap());
            let expected: Vec<f64> = (0..4)
                .map(|i| {
                    let (mut p, mut m, mut v) = (START[i], 0.0, 0.0);
                    for (t, g) in [(1, FIRST[i]), (2, SECOND[i])] {
                        m = 0.9 * m + 0.1 * g;
                        v = 0.999 * v + 0.001 * g * g;
                        let (c1, c2) = if bias_correction {
                            (1.0 - 0.9f64.powi(t), 1.0 - 0.999f64.powi(t))
                        } else {
                            (1.0, 1.0)
                        };
                        p *= 1.0 - 0.01 * decay;
                        p -= 0.01 * (m / c1) / ((v / c2).sqrt() + 1e-6);
                    }
                    p
                })
                .collect();
            close(&values(&parameter), &expected, 1e-6);
        }
    }
}

/// ELECTRA's optimizer takes a first step of 3.1623 times the rate, whatever the gradient.
#[test]
fn adamw_without_bias_correction_takes_the_first_step_of_electra() {
    let optimizer = AdamW { bias_correction: false, weight_decay: 0.0, ..adamw() };
    let parameter = tensor(&[0.0; 4], &[4]);
    run(&[&[4], &[4]], "m.w", &parameter, &[tensor(&FIRST, &[4])], 1.0, |x| optimizer.update(x).unwrap());
    let expected = FIRST.map(|g| -0.1 * g / (0.001f64.sqrt() * g.abs() + 1e-6));
    close(&values(&parameter), &expected, 1e-6);
    for (value, gradient) in values(&parameter).iter().zip(FIRST) {
        assert!((value + 3.1623 * gradient.signum()).abs() < 1.1e-3);
    }
}

#[test]
fn adamw_slows_lower_layers() {
    let names = [
        "m.electra.embeddings.word_embeddings.weight",
        "m.electra.encoder.layer.1.dense.weight",
        "m.head.weight",
    ];
    let start = [tensor(&[0.0], &[1]), tensor(&[0.0], &[1]), tensor(&[0.0], &[1])];
    let gradients = [tensor(&[1.0], &[1]), tensor(&[1.0], &[1]), tensor(&[1.0], &[1])];
    let zeros: Vec<Tensor> = (0..6).map(|_| tensor(&[0.0], &[1])).collect();
    let optimizer = AdamW { layer_decay: 0.5, weight_decay: 0.0, ..adamw() };
    let x = Update::new(
        1,
        1.0,
        names.to_vec(),
        start.iter().collect(),
        gradients.iter().collect(),
        &zeros.iter().collect::<Vec<_>>(),
        2,
    );
    optimizer.update(&x.unwrap()).unwrap();
    // Two layers: embeddings at depth 0, layer 1 at 2, the head at 4.
    close(&start.each_ref().map(|p| values(p)[0]), &[-1.0 / 16.0, -0.25, -1.0], 1e-5);
}

#[test]
fn sgd_follows_its_formula() {
    for (momentum, nesterov, decay) in [(0.0, false, 0.0), (0.9, false, 0.1), (0.9, true, 0.1)] {
        let optimizer = StochasticGradientDescent {
            learning_rate: 0.1,
            momentum,
            nesterov,
            weight_decay: decay,
            no_decay: vec![],
            layer_decay: 1.0,
        };
        let parameter = tensor(&START, &[4]);
        let gradients = [tensor(&FIRST, &[4]), tensor(&SECOND, &[4])];
        run(&[&[4]], "m.w", &parameter, &gradients, 0.1, |x| optimizer.update(x).unwrap());
        let expected: Vec<f64> = (0..4)
            .map(|i| {
                let (mut p, mut v) = (START[i], 0.0);
                for g in [FIRST[i], SECOND[i]] {
                    let d = g + decay * p;
                    v = momentum * v + d;
                    p -= 0.1 * if nesterov { d + momentum * v } else { v };
                }
                p
            })
            .collect();
        close(&values(&parameter), &expected, 1e-6);
        close(&values(&gradients[0]), &FIRST, 1e-7);
    }
}

#[test]
fn lamb_follows_its_formula() {
    let optimizer = Lamb {
        learning_rate: 0.01,
        betas: vec![0.9, 0.999],
        epsilon: 1e-6,
        weight_decay: 0.1,
        bias_correction: true,
        no_decay: vec!["bias".to_owned()],
        layer_decay: 1.0,
    };
    for (name, decayed) in [("m.w", true), ("m.bias", false)] {
        let parameter = tensor(&START, &[2, 2]);
        let gradients = [tensor(&FIRST, &[2, 2]), tensor(&SECOND, &[2, 2])];
        let shape: &[i64] = &[2, 2];
        run(&[shape, shape], name, &parameter, &gradients, 0.01, |x| optimizer.update(x).unwrap());
        let (mut p, mut m, mut v) = (START, [0.0; 4], [0.0; 4]);
        for (t, g) in [(1, FIRST), (2, SECOND)] {
            let mut r = [0.0; 4];
            for i in 0..4 {
                m[i] = 0.9 * m[i] + 0.1 * g[i];
                v[i] = 0.999 * v[i] + 0.001 * g[i] * g[i];
                let (c1, c2) = (1.0 - 0.9f64.powi(t), 1.0 - 0.999f64.powi(t));
                r[i] = (m[i] / c1) / ((v[i] / c2).sqrt() + 1e-6) + if decayed { 0.1 * p[i] } else { 0.0 };
            }
            let norm = |x: &[f64; 4]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
            let trust = if decayed { norm(&p) / norm(&r) } else { 1.0 };
            for i in 0..4 {
                p[i] -= 0.01 * trust * r[i];
            }
        }
        close(&values(&parameter), &p, 1e-6);
    }
    // A parameter that starts at zero moves: its trust is 1.
    let parameter = tensor(&[0.0; 4], &[4]);
    run(&[&[4], &[4]], "m.w", &parameter, &[tensor(&FIRST, &[4])], 0.01, |x| optimizer.update(x).unwrap());
    close(&values(&parameter), &FIRST.map(|g| -0.01 * g.signum()), 1e-4);
    // And one without a gradient and a value stays.
    let parameter = tensor(&[0.0; 4], &[4]);
    run(&[&[4], &[4]], "m.w", &parameter, &[tensor(&[0.0; 4], &[4])], 0.01, |x| optimizer.update(x).unwrap());
    close(&values(&parameter), &[0.0; 4], 0.0);
}

fn adafactor() -> Adafactor {
    Adafactor {
        learning_rate: 0.01,
        epsilon: 1e-30,
        epsilon_scale: 1e-3,
        clip_threshold: 1.0,
        decay_rate: 0.8,
        scale_parameter: true,
        weight_decay: 0.0,
        no_decay: vec![],
        layer_decay: 1.0,
    }
}

#[test]
fn adafactor_factors_matrices() {
    let parameter = tensor(&START, &[2, 2]);
    let gradients = [tensor(&FIRST, &[2, 2]), tensor(&SECOND, &[2, 2])];
    let states = run(&[&[2], &[2], &[0]], "m.w", &parameter, &gradients, 0.01, |x| {
        adafactor().update(x).unwrap();
    });
    let rms = |x: &[f64; 4]| (x.iter().map(|x| x * x).sum::<f64>() / 4.0).sqrt();
    let (mut p, mut rows, mut columns) = (START, [0.0; 2], [0.0; 2]);
    for (t, g) in [(1.0f64, FIRST), (2.0, SECOND)] {
        let kept = 1.0 - t.powf(-0.8);
        for i in 0..2 {
            let row = (g[2 * i].powi(2) + g[2 * i + 1].powi(2)) / 2.0;
            let column = (g[i].powi(2) + g[i + 2].powi(2)) / 2.0;
            rows[i] = kept * rows[i] + (1.0 - kept) * row;
            columns[i] = kept * columns[i] + (1.0 - kept) * column;
        }
        let mean = (rows[0] + rows[1]) / 2.0;
        let mut u = [0.0; 4];
        for i in 0..4 {
            u[i] = g[i] / (rows[i / 2] * columns[i % 2] / mean).sqrt();
        }
        let (excess, size) = (rms(&u).max(1.0), rms(&p).max(1e-3));
        for i in 0..4 {
            p[i] -= 0.01 * size * u[i] / excess;
        }
    }
    close(&values(&parameter), &p, 1e-6);
    close(&values(&states[0]), &rows, 1e-6);
    close(&values(&states[1]), &columns, 1e-6);
}

#[test]
fn adafactor_keeps_all_of_vectors() {
    let parameter = tensor(&[0.0; 4], &[4]);
    let optimizer = Adafactor { scale_parameter: false, weight_decay: 0.1, ..adafactor() };
    let states = run(&[&[0], &[0], &[4]], "m.w", &parameter, &[tensor(&FIRST, &[4])], 0.01, |x| {
        optimizer.update(x).unwrap();
    });
    // In the first update the mean is the gradient's own square.
    close(&values(&parameter), &FIRST.map(|g| -0.01 * g.signum()), 1e-6);
    close(&values(&states[2]), &FIRST.map(|g| g * g), 1e-6);
    // A single number, and a tensor without elements.
    let single = tensor(&[1.0], &[]);
    run(&[&[0], &[0], &[]], "m.w", &single, &[tensor(&[2.0], &[])], 0.01, |x| optimizer.update(x).unwrap());
    close(&values(&single), &[1.0 - 0.001 - 0.01], 1e-6);
    let empty = Tensor::zeros([0, 3], (Kind::Float, Device::Cpu));
    run(&[&[0], &[3], &[0]], "m.w", &empty, &[empty.copy()], 0.01, |x| optimizer.update(x).unwrap());
}

#[test]
fn lists_that_do_not_fit_are_refused() {
    let p = tensor(&[1.0], &[1]);
    let refused = |step, rate, names: Vec<&'static str>, states: &[&Tensor]| {
        let error = Update::new(step, rate, names, vec![&p], vec![&p], states, 1).unwrap_err();
        format!("{}: {}", error.at, error.message)
    };
    assert_eq!(refused(0, 1.0, vec!["m.w"], &[&p]), "in.step: step 0: updates are counted from 1");
    assert_eq!(refused(1, f64::NAN, vec!["m.w"], &[&p]), "in.rate: a learning rate of NaN");
    assert_eq!(refused(1, 1.0, vec![], &[&p]), "in.names: 1 parameters need 1 entries here, not 0");
    assert_eq!(refused(1, 1.0, vec!["m.w"], &[]), "in.states: 1 parameters need 1 entries here, not 0");
    let wrong = AdamW { betas: vec![0.9], ..adamw() };
    let x = Update::new(1, 1.0, vec!["m.w"], vec![&p], vec![&p], &[&p, &p], 2).unwrap();
    assert_eq!(wrong.update(&x).unwrap_err().at, "betas");
    // No parameters: nothing to do.
    adamw().update(&Update::new(1, 1.0, vec![], vec![], vec![], &[], 2).unwrap()).unwrap();
}

#[test]
fn parameters_that_want_gradients_stay_leaves() {
    let parameter = tensor(&START, &[2, 2]).set_requires_grad(true);
    let gradient = [tensor(&FIRST, &[2, 2])];
    let shape: &[i64] = &[2, 2];
    let lamb = Lamb {
        learning_rate: 0.01,
        betas: vec![0.9, 0.999],
        epsilon: 1e-6,
        weight_decay: 0.1,
        bias_correction: true,
        no_decay: vec![],
        layer_decay: 1.0,
    };
    run(&[shape, shape], "m.w", &parameter, &gradient, 0.01, |x| lamb.update(x).unwrap());
    run(&[&[2], &[2], &[0]], "m.w", &parameter, &gradient, 0.01, |x| adafactor().update(x).unwrap());
    run(&[shape, shape], "m.w", &parameter, &gradient, 0.01, |x| adamw().update(x).unwrap());
    assert!(parameter.is_leaf() && parameter.requires_grad());
}
