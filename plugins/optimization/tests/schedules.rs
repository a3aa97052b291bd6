//! Schedules at chosen points, and groups of parameters.

#![allow(clippy::unwrap_used, reason = "a test may")]

use zoo_optimization::groups::{groups, is_excluded, layer_factors};
use zoo_optimization::{Constant, Cosine, InverseSquareRoot, Linear, WarmupStableDecay};

fn near(got: f64, expected: f64) {
    assert!((got - expected).abs() < 1e-12, "{got} is not {expected}");
}

fn linear(warmup: usize, fall_from: &str) -> Linear {
    Linear { warmup, warmup_share: 0.0, fall_from: fall_from.to_owned() }
}

/// The learning rate of ELECTRA-small: peak 5e-4, 10,000 updates of warm-up, a million in all.
#[test]
fn linear_is_electras() {
    let schedule = linear(10_000, "start");
    near(5e-4 * schedule.factor(5_000, 1_000_000), 2.4875e-4);
    near(schedule.factor(0, 1_000_000), 0.0);
    near(schedule.factor(1_000_000, 1_000_000), 0.0);
    near(schedule.factor(500_000, 1_000_000), 0.5);
}

#[test]
fn linear_from_the_end_of_warmup() {
    let schedule = linear(100, "warmup");
    near(schedule.factor(50, 1100), 0.5);
    near(schedule.factor(100, 1100), 1.0);
    near(schedule.factor(600, 1100), 0.5);
    near(schedule.factor(1100, 1100), 0.0);
    near(schedule.factor(2000, 1100), 0.0);
}

#[test]
fn warmup_as_a_share() {
    let schedule = Constant { warmup: 0, warmup_share: 0.1 };
    near(schedule.factor(0, 1000), 0.0);
    near(schedule.factor(50, 1000), 0.5);
    near(schedule.factor(100, 1000), 1.0);
    near(schedule.factor(999, 1000), 1.0);
    let both = Constant { warmup: 200, warmup_share: 0.1 };
    near(both.factor(100, 1000), 0.5);
}

#[test]
fn cosine_falls_to_its_floor() {
    let schedule = Cosine { warmup: 100, warmup_share: 0.0, floor: 0.1 };
    near(schedule.factor(50, 1100), 0.5 * 1.0);
    near(schedule.factor(100, 1100), 1.0);
    near(schedule.factor(600, 1100), 0.55);
    near(schedule.factor(1100, 1100), 0.1);
}

#[test]
fn inverse_square_root_peaks_where_the_warmup_ends() {
    let schedule = InverseSquareRoot { warmup: 4000 };
    near(schedule.factor(2000, 0), 0.5);
    near(schedule.factor(4000, 0), 1.0);
    near(schedule.factor(16_000, 0), 0.5);
}

#[test]
fn no_schedule_leaves_its_bounds() {
    for total in [0, 1, 7, 100] {
        for step in -1..=total + 2 {
            for warmup in [0, 1, 5, 1000] {
                let share = 0.3;
                for factor in [
                    Constant { warmup, warmup_share: share }.factor(step, total),
                    linear(warmup, "start").factor(step, total),
                    linear(warmup, "warmup").factor(step, total),
                    Cosine { warmup, warmup_share: share, floor: 0.2 }.factor(step, total),
                    InverseSquareRoot { warmup }.factor(step, total),
                    WarmupStableDecay { warmup, warmup_share: share, decay: 3, decay_share: share }
                        .factor(step, total),
                ] {
                    assert!((0.0..=1.0).contains(&factor), "{factor} at {step} of {total}, {warmup}");
                }
            }
        }
    }
}

#[test]
fn biases_and_norms_are_exempt() {
    let words = ["bias".to_owned(), "norm".to_owned()];
    for (name, exempt) in [
        ("bert.encoder.layer.0.attention.self.query.weight", false),
        ("bert.encoder.layer.0.attention.self.query.bias", true),
        ("bert.encoder.layer.0.output.LayerNorm.weight", true),
        ("bert.encoder.layer_norm.0.dense.weight", false),
        ("normal.embeddings.weight", false),
        ("norm.weight", false),
        ("g.generator_lm_head.bias", true),
        ("bias", true),
    ] {
        assert_eq!(is_excluded(name, &words), exempt, "{name}");
    }
    assert!(!is_excluded("m.bias", &[]));
    assert!(!is_excluded("m.weight", &[String::new()]));
}

#[test]
fn layers_learn_slower_downwards_in_each_model() {
    let names = [
        "d.electra.embeddings.word_embeddings.weight",
        "d.electra.embeddings_project.weight",
        "d.electra.encoder.layer.0.output.dense.weight",
        "d.electra.encoder.layer.11.output.dense.weight",
        "d.classifier.weight",
        "g.encoder.layers.0.weight",
        "g.head.weight",
    ];
    let factors = layer_factors(&names, 0.8);
    for (factor, power) in factors.iter().zip([14, 14, 13, 2, 0, 2, 0]) {
        near(*factor, 0.8f64.powi(power));
    }
    assert_eq!(layer_factors(&names, 1.0), [1.0; 7]);
}

#[test]
fn groups_hold_every_parameter_once() {
    let names =
        ["m.a.weight", "m.a.bias", "m.encoder.layer.0.b.weight", "m.encoder.layer.0.b.bias", "m.c.weight"];
    let words = ["bias".to_owned()];
    let made = groups(&names, &words, 1.0);
    let members: Vec<_> = made.iter().map(|g| (g.decayed, g.members.clone())).collect();
    assert_eq!(members, [(true, vec![0, 2, 4]), (false, vec![1, 3])]);
    assert_eq!(groups(&names, &words, 0.5).len(), 4);
    assert_eq!(groups(&[], &words, 0.5), []);
}

#[test]
fn warmup_stable_decay_agrees_with_the_published_rates() {
    let schedule = WarmupStableDecay { warmup: 2000, warmup_share: 0.0, decay: 2000, decay_share: 0.0 };
    let published = [
        (0, 2.5e-7),
        (999, 2.5e-4),
        (1999, 5e-4),
        (20_000, 5e-4),
        (39_999, 5e-4),
        (40_000, 4.9975e-4),
        (40_999, 2.5e-4),
        (41_999, 0.0),
    ];
    for (step, rate) in published {
        let got = 5e-4 * schedule.factor(step, 42_000);
        assert!((got - rate).abs() < 1e-15, "update {step}: {got}, not {rate}");
    }
    let shares = WarmupStableDecay { warmup: 0, warmup_share: 0.25, decay: 0, decay_share: 0.5 };
    assert_eq!([0, 1, 3, 4, 6, 7].map(|step| shares.factor(step, 8)), [0.5, 1.0, 1.0, 0.75, 0.25, 0.0]);
    let constant = WarmupStableDecay { warmup: 0, warmup_share: 0.0, decay: 0, decay_share: 0.0 };
    assert_eq!([0, 4, 9].map(|step| constant.factor(step, 10)), [1.0; 3]);
}
