//! Gradients of single examples: clipped, noised, and the same however they are computed.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use common::{Graph, Run, arm, curve, difference, instance, phase};
use serde_json::{Value as Json, json};
use zoo_record::Event;
use zoo_schema::experiment::{Phase, Sampling, StepGraph};

/// A linear model's squared error on jittered rows, one target a row.
fn line() -> StepGraph {
    let mut g = Graph::new("line");
    let (x, y) = (g.column("x"), g.column("y"));
    let noisy = g.call("noisy", "jitter", &[("x", &x)], "x");
    let predicted = g.call("predicted", "line", &[("x", &noisy)], "y");
    let loss = g.call("loss", "error", &[("predicted", &predicted), ("wanted", &y)], "loss");
    g.loss(&loss, 1.0);
    g.log("error", &loss);
    g.graph
}

type Trained = (Vec<(String, Vec<f64>)>, Vec<Event>);

fn train(step: &StepGraph, mechanism: Option<Json>, change: impl Fn(&mut Phase)) -> Trained {
    let mut phase = phase("train", step.clone(), 6, 16);
    phase.aggregate = mechanism.as_ref().map(|_| "mechanism".to_owned());
    change(&mut phase);
    let mut arm = arm(vec![phase]);
    arm.instances.retain(|instance| instance.name != "optimizer");
    arm.instances.push(instance("optimizer", "optimization.sgd", json!({ "learning_rate": 0.1 })));
    if let Some(mechanism) = mechanism {
        arm.instances.push(instance("mechanism", "privacy.gaussian_mechanism", mechanism));
    }
    let run = Run::new(arm);
    let (outcome, events) = run.go();
    outcome.unwrap();
    (run.parameters("line"), events)
}

fn warnings(events: &[Event]) -> Vec<&str> {
    events
        .iter()
        .filter_map(|event| match event {
            Event::Warning { message, .. } => Some(message.as_str()),
            _ => None,
        })
        .collect()
}

fn mechanism(clip: f64, noise: f64) -> Option<Json> {
    Some(json!({ "clip": clip, "noise_multiplier": noise }))
}

#[test]
fn without_noise_and_with_a_large_norm_it_is_the_plain_update() {
    let (plain, told) = train(&line(), None, |_| {});
    for accumulate in [1, 4] {
        let (found, events) = train(&line(), mechanism(1e9, 0.0), |phase| phase.accumulate = accumulate);
        assert!(warnings(&events).is_empty(), "{:?}", warnings(&events));
        let off = difference(&plain, &found);
        assert!(off < 1e-6, "in {accumulate} parts, parameters are {off} off");
        for name in ["loss", "error", "grad_norm"] {
            for (a, b) in curve(&told, name).iter().zip(curve(&events, name)) {
                assert!((a - b).abs() < 1e-5 * a.abs().max(1.0), "{name}: {a} and {b}");
            }
        }
    }
}

#[test]
fn losses_that_only_the_model_can_normalise_have_a_pass_for_each_example() {
    let mut g = Graph::new("weighted");
    let (x, y) = (g.column("x"), g.column("y"));
    let predicted = g.call("predicted", "line", &[("x", &x)], "y");
    let given = [("predicted", &predicted), ("wanted", &y), ("importance", &predicted)];
    let loss = g.call("loss", "importance", &given, "loss");
    g.loss(&loss, 1.0);
    let (whole, events) = train(&g.graph, mechanism(0.5, 0.0), |_| {});
    let said = warnings(&events);
    assert!(said.len() == 1 && said[0].contains("in a pass of its own"), "{said:?}");
    for accumulate in [3, 16] {
        let (split, _) = train(&g.graph, mechanism(0.5, 0.0), |phase| phase.accumulate = accumulate);
        let off = difference(&whole, &split);
        assert!(off < 1e-6, "{off}");
    }
}

#[test]
fn examples_without_targets_add_nothing() {
    let mut g = Graph::new("some");
    let (x, y, weight) = (g.column("x"), g.column("y"), g.column("weight"));
    let predicted = g.call("predicted", "line", &[("x", &x)], "y");
    let given = [("predicted", &predicted), ("wanted", &y), ("weight", &weight)];
    let loss = g.call("loss", "error", &given, "loss");
    g.loss(&loss, 1.0);
    let (whole, events) = train(&g.graph, mechanism(0.5, 0.0), |_| {});
    assert!(warnings(&events).is_empty(), "{:?}", warnings(&events));
    let (single, _) = train(&g.graph, mechanism(0.5, 0.0), |phase| phase.accumulate = 16);
    let off = difference(&whole, &single);
    assert!(off < 1e-6, "{off}");
}

#[test]
fn no_example_moves_the_sum_by_more_than_the_norm() {
    let clip = 1e-3;
    let (_, events) = train(&line(), mechanism(clip, 0.0), |_| {});
    // Sixteen clipped examples over sixteen: at most the norm itself.
    assert!(curve(&events, "grad_norm").iter().all(|norm| *norm <= clip * 1.0001 && *norm > 0.0));
    let (split, others) = train(&line(), mechanism(clip, 0.0), |phase| phase.accumulate = 16);
    for (a, b) in curve(&events, "grad_norm").iter().zip(curve(&others, "grad_norm")) {
        assert!((a - b).abs() < 1e-5 * a, "{a} and {b}");
    }
    assert!(!split.is_empty());
}

#[test]
fn noise_has_the_deviation_that_was_asked_for() {
    // One update of SGD at rate 0.1 from the same start: what differs is the noise.
    let one = |phase: &mut Phase| phase.length = zoo_schema::experiment::Length::Steps(1);
    let (quiet, _) = train(&line(), mechanism(1.0, 0.0), one);
    let (loud, _) = train(&line(), mechanism(1.0, 1000.0), one);
    let (again, _) = train(&line(), mechanism(1.0, 1000.0), one);
    assert_eq!(loud, again, "noise is a function of the seed");
    let off = difference(&quiet, &loud);
    // 1000 · 1 / 16 · 0.1 = 6.25; the largest of a few normal numbers.
    assert!(off > 2.0 && off < 30.0, "{off}");
}

#[test]
fn poisson_samples_are_divided_by_the_expected_number() {
    let poisson = |phase: &mut Phase| phase.sampling = Sampling::Poisson;
    let (found, events) = train(&line(), mechanism(1e9, 0.0), poisson);
    let (again, _) = train(&line(), mechanism(1e9, 0.0), poisson);
    assert_eq!(found, again);
    assert!(curve(&events, "loss").iter().all(|loss| loss.is_finite()));
    let (plain, _) = train(&line(), None, poisson);
    // Without an aggregator an update is the mean over what came, so that both differ.
    assert!(difference(&plain, &found) > 1e-6);
}

#[test]
fn updates_without_examples_have_noise_alone() {
    let few = |phase: &mut Phase| {
        phase.sampling = Sampling::Poisson;
        phase.batch = 1;
        phase.length = zoo_schema::experiment::Length::Steps(30);
    };
    let (found, events) = train(&line(), mechanism(1.0, 0.1), few);
    assert_eq!(curve(&events, "loss").len(), 30);
    assert!(curve(&events, "loss").contains(&0.0), "some of thirty samples of one on average are empty");
    assert!(found.iter().all(|(_, values)| values.iter().all(|value| value.is_finite())));
}
