//! How an update is split is not part of its meaning: for every way that a loss can be normalised, 16x1,
//! 8x2, 4x4 and 2x8 give the same parameters and the same logs.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use common::{Graph, Run, arm, curve, difference, instance, phase};
use serde_json::json;
use zoo_record::Event;
use zoo_schema::experiment::{LossTerm, Operator, Schedule, StepGraph, Weight};

/// Eight updates of 16 rows in so many parts: parameters, and events.
fn train(step: &StepGraph, accumulate: u64) -> (Vec<(String, Vec<f64>)>, Vec<Event>) {
    let mut phase = phase("train", step.clone(), 8, 16);
    phase.accumulate = accumulate;
    phase.clip_norm = Some(1.0);
    let mut arm = arm(vec![phase]);
    // Plain gradients: a difference is not hidden by a division by its own size.
    arm.instances.retain(|instance| instance.name != "optimizer");
    arm.instances.push(instance("optimizer", "optimization.sgd", json!({ "learning_rate": 0.1 })));
    let run = Run::new(arm);
    let (outcome, events) = run.go();
    outcome.unwrap();
    let mut parameters = run.parameters("line");
    parameters.extend(run.parameters("other"));
    (parameters, events)
}

fn all_splits_agree(step: &StepGraph) {
    let (whole, told) = train(step, 1);
    let losses = curve(&told, "loss");
    assert!(losses[7] < losses[0], "it learns: {losses:?}");
    for accumulate in [2, 4, 8, 3] {
        let (split, events) = train(step, accumulate);
        let off = difference(&whole, &split);
        assert!(off < 1e-6, "in {accumulate} parts, parameters are {off} off");
        for name in step.logs.iter().map(|log| log.name.as_str()).chain(["loss", "grad_norm"]) {
            let (a, b) = (curve(&told, name), curve(&events, name));
            assert_eq!((a.len(), b.len()), (8, 8), "{name}");
            for (a, b) in a.iter().zip(&b) {
                assert!((a - b).abs() < 2e-6 * a.abs().max(1.0), "{name} in {accumulate} parts: {a} and {b}");
            }
        }
    }
}

#[test]
fn targets_that_are_counted_ahead() {
    let mut g = Graph::new("ahead");
    let (x, y, weight) = (g.column("x"), g.column("y"), g.column("weight"));
    let noisy = g.call("noisy", "jitter", &[("x", &x)], "x");
    let predicted = g.call("predicted", "line", &[("x", &noisy)], "y");
    let loss =
        g.call("loss", "error", &[("predicted", &predicted), ("wanted", &y), ("weight", &weight)], "loss");
    let mean = g.mean("mean", &predicted);
    let total = g.sum("total", &weight);
    let root = g.call("root", "root", &[("predicted", &predicted), ("wanted", &y)], "value");
    g.loss(&loss, 2.0);
    for (name, value) in [("error", &loss), ("mean", &mean), ("targets", &total), ("root", &root)] {
        g.log(name, value);
    }
    all_splits_agree(&g.graph);
}

#[test]
fn targets_that_the_batch_gives_by_arithmetic() {
    let mut g = Graph::new("arithmetic");
    let (x, y, row) = (g.column("x"), g.column("y"), g.column("row"));
    let number = g.number(20.0);
    let early = g.arithmetic("early", Operator::Less, &[&row, &number]);
    let one = g.number(1.0);
    let weight = g.arithmetic("weight", Operator::Multiply, &[&early, &one]);
    let predicted = g.call("predicted", "line", &[("x", &x)], "y");
    let loss =
        g.call("loss", "error", &[("predicted", &predicted), ("wanted", &y), ("weight", &weight)], "loss");
    let share = g.mean("share", &early);
    g.loss(&loss, 1.0);
    g.log("share", &share);
    all_splits_agree(&g.graph);
}

#[test]
fn targets_that_the_model_decides() {
    let mut g = Graph::new("afterwards");
    let (x, y) = (g.column("x"), g.column("y"));
    let predicted = g.call("predicted", "line", &[("x", &x)], "y");
    let importance = g.call("importance_of", "other", &[("x", &x)], "y");
    let loss = g.call(
        "loss",
        "importance",
        &[("predicted", &predicted), ("wanted", &y), ("importance", &importance)],
        "loss",
    );
    g.loss(&loss, 1.0);
    g.log("weighted", &loss);
    all_splits_agree(&g.graph);
}

#[test]
fn means_sums_and_scalars() {
    let mut g = Graph::new("plain");
    let (x, y) = (g.column("x"), g.column("y"));
    let predicted = g.call("predicted", "line", &[("x", &x)], "y");
    let size = graph_size(&mut g);
    let difference = g.arithmetic("difference", Operator::Subtract, &[&predicted, &y]);
    let square = g.arithmetic("square", Operator::Multiply, &[&difference, &difference]);
    let mean = g.mean("mean", &square);
    let sum = g.sum("sum", &square);
    g.loss(&mean, 1.0);
    g.loss(&sum, 0.05);
    g.loss(&size, 0.1);
    g.log("mean", &mean);
    g.log("sum", &sum);
    g.log("size", &size);
    all_splits_agree(&g.graph);
}

/// The mean square of the weights of the model's call that stands in the step.
fn graph_size(g: &mut Graph) -> zoo_schema::experiment::ValueRef {
    let node = g.graph.nodes.iter().position(|node| node.id == "predicted").unwrap();
    zoo_schema::experiment::ValueRef { node, output: "size".to_owned() }
}

#[test]
fn a_quotient_of_sums() {
    let mut g = Graph::new("quotient");
    let (x, y) = (g.column("x"), g.column("y"));
    let predicted = g.call("predicted", "line", &[("x", &x)], "y");
    let other = g.call("scale", "other", &[("x", &x)], "y");
    let difference = g.arithmetic("difference", Operator::Subtract, &[&predicted, &y]);
    let square = g.arithmetic("square", Operator::Multiply, &[&difference, &difference]);
    let scale = g.arithmetic("scale_square", Operator::Multiply, &[&other, &other]);
    let (above, below) = (g.sum("above", &square), g.sum("below", &scale));
    let one = g.number(1.0);
    let below = g.arithmetic("below_one", Operator::Add, &[&below, &one]);
    let quotient = g.arithmetic("quotient", Operator::Divide, &[&above, &below]);
    g.loss(&quotient, 1.0);
    g.log("quotient", &quotient);
    all_splits_agree(&g.graph);
}

#[test]
fn a_mean_that_is_computed_with() {
    // Every prediction less the mean of all: the mean is that of the whole update.
    let mut g = Graph::new("centred");
    let (x, y) = (g.column("x"), g.column("y"));
    let predicted = g.call("predicted", "line", &[("x", &x)], "y");
    let mean = g.mean("mean", &predicted);
    let centred = g.arithmetic("centred", Operator::Subtract, &[&predicted, &mean]);
    let loss = g.call("loss", "error", &[("predicted", &centred), ("wanted", &y)], "loss");
    g.loss(&loss, 1.0);
    g.log("error", &loss);
    all_splits_agree(&g.graph);
}

#[test]
fn examples_that_are_compared_with_each_other() {
    let mut g = Graph::new("compared");
    let (x, y) = (g.column("x"), g.column("y"));
    let noisy = g.call("noisy", "jitter", &[("x", &x)], "x");
    let a = g.call("a", "line", &[("x", &x)], "vector");
    let b = g.call("b", "other", &[("x", &noisy)], "vector");
    let contrast = g.call("contrast", "contrast", &[("a", &a), ("b", &b)], "loss");
    let right = zoo_schema::experiment::ValueRef { output: "right".to_owned(), ..contrast.clone() };
    let right = g.mean("right", &right);
    let predicted = zoo_schema::experiment::ValueRef { output: "y".to_owned(), ..a };
    let error = g.call("error_of", "error", &[("predicted", &predicted), ("wanted", &y)], "loss");
    g.loss(&contrast, 1.0);
    g.loss(&error, 0.5);
    g.log("contrast", &contrast);
    g.log("right", &right);
    g.log("error", &error);
    all_splits_agree(&g.graph);
}

#[test]
fn comparing_only_for_a_log() {
    let mut g = Graph::new("logged");
    let (x, y) = (g.column("x"), g.column("y"));
    let a = g.call("a", "line", &[("x", &x)], "vector");
    let b = g.call("b", "other", &[("x", &x)], "vector");
    let contrast = g.call("contrast", "contrast", &[("a", &a), ("b", &b)], "loss");
    let predicted = zoo_schema::experiment::ValueRef { output: "y".to_owned(), ..a };
    let error = g.call("error_of", "error", &[("predicted", &predicted), ("wanted", &y)], "loss");
    g.loss(&error, 1.0);
    g.log("contrast", &contrast);
    all_splits_agree(&g.graph);
}

#[test]
fn a_detached_quotient_and_a_weight_that_varies() {
    let mut g = Graph::new("varying");
    let (x, y) = (g.column("x"), g.column("y"));
    let predicted = g.call("predicted", "line", &[("x", &x)], "y");
    let error = g.call("error_of", "error", &[("predicted", &predicted), ("wanted", &y)], "loss");
    g.graph.loss.push(LossTerm {
        value: error.clone(),
        weight: Weight::Scheduled(Schedule::Ramp { from: 1.0, to: 0.2, over: 8 }),
    });
    let held = g.node("held", zoo_schema::experiment::Operation::Detach { of: error.clone() });
    let one = g.arithmetic("one", Operator::Divide, &[&error, &held]);
    g.loss(&one, 0.01);
    g.log("one", &one);
    all_splits_agree(&g.graph);
}
