//! Whole trainings.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use common::{Graph, Run, arm, curve, evaluation, fit, instance, logged, measure, metric, phase};
use serde_json::json;
use zoo_engine::{ArmOutcome, PlannedMemory};
use zoo_record::{CheckpointKind, Collect, Event};
use zoo_schema::experiment::{Length, MemoryCost, Operator, PartCost, Precision, Share, ValueRef};

#[test]
fn a_line_is_learned_and_measured() {
    let mut arm = arm(vec![phase("train", fit(), 200, 16)]);
    arm.phases[0].schedule = Some("schedule".to_owned());
    arm.instances.retain(|instance| instance.name != "drift");
    arm.instances.insert(5, instance("drift", "toy.drift", json!({ "by": 0.0 })));
    arm.evaluations = vec![evaluation("unseen_error", measure(), 4)];
    arm.metrics = vec![metric("error", "unseen_error", "error"), metric("root", "unseen_error", "root")];
    let run = Run::new(arm);
    let (outcome, events) = run.go();
    let ArmOutcome::Finished(result) = outcome.unwrap() else { panic!("it was stopped") };
    let error = result.metrics.get("error").unwrap();
    assert!(error < 0.02, "{error}");
    assert!((result.metrics.get("root").unwrap() - error.sqrt()).abs() < 1e-6);
    let losses = curve(&events, "loss");
    assert_eq!(losses.len(), 200);
    assert!(losses[0] > 10.0 * losses[199]);
    for logged in logged(&events) {
        let of = |name: &str| logged.values.get(name).unwrap();
        assert!((of("loss") - of("error")).abs() < 1e-6);
        assert!((of("root") - of("error").sqrt()).abs() < 1e-6);
        assert_eq!(of("line.called"), 1.0);
    }
    assert_eq!(curve(&events, "learning_rate")[0], 0.0);
}

/// What is compared below: the model and the curve of the loss.
fn trace(run: &Run) -> (Vec<u8>, Vec<f64>) {
    let (outcome, events) = run.go();
    outcome.unwrap();
    (run.model("line"), curve(&events, "loss"))
}

fn two_parts() -> zoo_schema::experiment::Phase {
    let mut phase = phase("train", fit(), 12, 8);
    phase.accumulate = 2;
    phase
}

#[test]
fn the_number_of_loader_threads_makes_no_difference() {
    let all: Vec<_> = [1, 2, 4, 7]
        .into_iter()
        .map(|loader_threads| {
            let mut run = Run::new(arm(vec![two_parts()]));
            run.loader_threads = loader_threads;
            trace(&run)
        })
        .collect();
    assert!(all.iter().all(|one| *one == all[0]));
}

#[test]
fn the_same_seed_gives_the_same_bits_and_another_seed_others() {
    let run = Run::new(arm(vec![two_parts()]));
    let first = trace(&run);
    assert_eq!(first, trace(&run), "a run that starts anew forgets the old one");
    let mut other = Run::new(arm(vec![two_parts()]));
    other.seed = 2;
    let other = {
        let (outcome, events) = other.go();
        outcome.unwrap();
        (other.model("line"), curve(&events, "loss"))
    };
    assert_ne!(first.0, other.0);
    assert_ne!(first.1[0], other.1[0]);
}

#[test]
fn arms_share_order_noise_and_initial_values() {
    // Another arm has another model beside the same one, and no drift.
    let one = Run::new(arm(vec![two_parts()]));
    let mut other = Run::new(arm(vec![two_parts()]));
    other.arm.name = "other".to_owned();
    other.arm.instances.retain(|instance| instance.name != "contrast");
    let (_, a) = one.go();
    let (_, b) = other.go();
    assert_eq!(curve(&a, "loss"), curve(&b, "loss"));
}

#[test]
fn epochs_are_lengths() {
    let mut training = phase("train", fit(), 1, 10);
    training.length = Length::Epochs(2.5);
    training.log_every = 4;
    let (outcome, events) = Run::new(arm(vec![training])).go();
    outcome.unwrap();
    // 64 rows are six updates of ten.
    let steps: Vec<u64> = logged(&events).iter().map(|logged| logged.step).collect();
    assert_eq!(steps, [4, 8, 12, 15]);
    assert!(events.iter().any(|event| matches!(event, Event::PhaseStarted { total: 15, .. })));
}

/// Loss of `line` against `other`, which both get gradients.
fn pair() -> zoo_schema::experiment::StepGraph {
    let mut g = Graph::new("pair");
    let (x, y) = (g.column("x"), g.column("y"));
    let a = g.call("a", "line", &[("x", &x)], "y");
    let b = g.call("b", "other", &[("x", &x)], "y");
    let sum = g.arithmetic("sum", Operator::Add, &[&a, &b]);
    let loss = g.call("loss", "error", &[("predicted", &sum), ("wanted", &y)], "loss");
    g.loss(&loss, 1.0);
    g.graph
}

/// Which parameters of a model a training changes.
fn changed(run: &Run, model: &str) -> Vec<String> {
    run.go().0.unwrap();
    let after = run.parameters(model);
    let mut still = Run::new(run.arm.clone());
    still.arm.phases[0].length = Length::Steps(1);
    // A rate of zero shows the initial values.
    still.arm.instances.retain(|instance| instance.name != "optimizer");
    let optimizer = instance("optimizer", "optimization.adamw", json!({ "learning_rate": 0.0 }));
    still.arm.instances.push(optimizer);
    still.go().0.unwrap();
    let before = still.parameters(model);
    let pairs = before.iter().zip(&after).filter(|(a, b)| a.1 != b.1);
    pairs.map(|(a, _)| a.0.clone()).collect()
}

#[test]
fn frozen_models_and_chosen_parts_are_trained_alone() {
    let run = || Run::new(arm(vec![phase("train", pair(), 3, 8)]));
    let all = ["map.bias", "map.weight"];
    assert_eq!(changed(&run(), "line"), all, "and what the loss does not depend on stays");
    assert_eq!(changed(&run(), "other"), all);

    let mut frozen = run();
    frozen.arm.instances.iter_mut().for_each(|instance| instance.frozen = instance.name == "other");
    assert_eq!(changed(&frozen, "line"), all);
    assert_eq!(changed(&frozen, "other"), Vec::<String>::new());

    let mut chosen = run();
    chosen.arm.phases[0].train = vec!["other.map.bias".to_owned()];
    assert_eq!(changed(&chosen, "line"), Vec::<String>::new());
    assert_eq!(changed(&chosen, "other"), ["map.bias"]);
}

#[test]
fn shared_parameters_are_one_and_are_saved_with_both() {
    let mut run = Run::new(arm(vec![phase("train", pair(), 5, 8)]));
    let other = run.arm.instances.iter_mut().find(|instance| instance.name == "other").unwrap();
    other.share = vec![Share { prefix: "map".to_owned(), instance: "line".to_owned() }];
    run.arm.phases[0].save_every = Some(2);
    run.go().0.unwrap();
    let (line, other) = (run.parameters("line"), run.parameters("other"));
    assert_eq!(line, other, "both start `idle` at one, and the rest is shared");
    // A run that is resumed in the middle gives the same: the shared tensors are read once.
    let model = run.model("line");
    run.resume().0.unwrap();
    assert_eq!(run.model("line"), model);
}

#[test]
fn training_stops_early_and_keeps_the_best() {
    // A rate that is far too large makes things worse after a while.
    let mut training = phase("train", fit(), 400, 8);
    training.evaluate_every = Some(5);
    training.best = Some("error".to_owned());
    training.patience = Some(3);
    training.log_every = 50;
    let mut arm = arm(vec![training]);
    arm.evaluations = vec![evaluation("unseen_error", measure(), 4)];
    arm.evaluations[0].during = true;
    arm.metrics = vec![metric("error", "unseen_error", "error")];
    let run = Run::new(arm);
    let (outcome, events) = run.go();
    let ArmOutcome::Finished(result) = outcome.unwrap() else { panic!("it was stopped") };
    let evaluated: Vec<(u64, f64)> = events
        .iter()
        .filter_map(|event| match event {
            Event::EvaluationFinished { step, values, .. } => Some((*step, values.get("error").unwrap())),
            _ => None,
        })
        .collect();
    let (during, after) = evaluated.split_at(evaluated.len() - 1);
    let best = during.iter().copied().reduce(|a, b| if b.1 < a.1 { b } else { a }).unwrap();
    let last = during.last().unwrap();
    assert!(last.0 < 400, "it ended early: {during:?}");
    assert_eq!(last.0, best.0 + 15, "three evaluations after the best one");
    assert_eq!(after[0].1, best.1, "what is measured in the end is the best");
    assert_eq!(result.metrics.get("error"), Some(best.1));
    let kept = run.checkpoints().join(format!("train-{:08}/line/model.safetensors", best.0));
    assert_eq!(std::fs::read(kept).unwrap(), run.model("line"));
    let last_logged = logged(&events).last().copied().unwrap();
    assert_eq!((last_logged.step, last_logged.total), (last.0, 400));
}

#[test]
fn checkpoints_are_kept_as_many_as_asked_for() {
    let mut training = phase("train", fit(), 10, 8);
    training.save_every = Some(2);
    training.keep = 3;
    let run = Run::new(arm(vec![training]));
    let (outcome, events) = run.go();
    outcome.unwrap();
    let mut folders: Vec<String> = std::fs::read_dir(run.checkpoints())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    folders.sort();
    assert_eq!(folders, ["checkpoints.json", "final", "train-00000006", "train-00000008"]);
    let saved: Vec<(u64, CheckpointKind, &str)> = events
        .iter()
        .filter_map(|event| match event {
            Event::CheckpointSaved { step, kind, path, .. } => Some((*step, *kind, path.as_str())),
            _ => None,
        })
        .collect();
    assert_eq!(saved.len(), 5);
    assert_eq!(saved[4], (10, CheckpointKind::Final, "checkpoints/main/1/final"));
    assert_eq!(saved[0], (2, CheckpointKind::Last, "checkpoints/main/1/train-00000002"));
    let config = std::fs::read_to_string(run.checkpoints().join("final/line/config.json")).unwrap();
    assert!(config.contains("\"component\": \"toy.line\""), "{config}");
}

#[test]
fn the_batch_of_an_evaluation_makes_no_difference() {
    let results: Vec<Vec<f64>> = [1, 3, 10, 64]
        .into_iter()
        .map(|batch| {
            let mut arm = arm(vec![phase("train", fit(), 3, 8)]);
            let mut g = Graph { graph: measure() };
            let noisy_of = g.graph.nodes.iter().position(|node| node.id == "x").unwrap();
            let x = ValueRef { node: noisy_of, output: String::new() };
            let noisy = g.call("noisy", "jitter", &[("x", &x)], "x");
            let mean = g.mean("mean", &noisy);
            let sum = g.sum("sum", &noisy);
            let number = g.number(2.0);
            let quotient = g.arithmetic("quotient", Operator::Divide, &[&sum, &mean]);
            let half = g.arithmetic("half", Operator::Divide, &[&quotient, &number]);
            for (name, value) in [("mean", &mean), ("sum", &sum), ("half", &half)] {
                g.log(name, value);
            }
            arm.evaluations = vec![evaluation("unseen_error", g.graph, batch)];
            let (outcome, events) = Run::new(arm).go();
            outcome.unwrap();
            let values = events.iter().find_map(|event| match event {
                Event::EvaluationFinished { values, examples: 10, .. } => Some(values.clone()),
                _ => None,
            });
            values.unwrap().iter().map(|(_, value)| value).collect()
        })
        .collect();
    assert_eq!(results[0].len(), 5);
    // Ten rows of three, halved.
    assert!((results[0][4] - 15.0).abs() < 1e-4, "{:?}", results[0]);
    for other in &results[1..] {
        for (a, b) in results[0].iter().zip(other) {
            assert!((a - b).abs() < 1e-5 * a.abs().max(1.0), "{a} and {b}");
        }
    }
}

#[test]
fn an_arm_without_phases_is_only_measured() {
    let mut arm = arm(vec![]);
    arm.evaluations = vec![evaluation("unseen_error", measure(), 4)];
    arm.metrics = vec![metric("error", "unseen_error", "error")];
    let ArmOutcome::Finished(result) = Run::new(arm).go().0.unwrap() else { panic!("it was stopped") };
    assert!(result.metrics.get("error").unwrap() > 0.0);
}

#[test]
fn bfloat16_is_near_float32() {
    let train = |precision: Precision| {
        let mut training = phase("train", fit(), 20, 16);
        training.precision = precision;
        trace(&Run::new(arm(vec![training]))).1
    };
    let (wide, narrow) = (train(Precision::Float32), train(Precision::Bfloat16));
    assert_ne!(wide, narrow);
    for (a, b) in wide.iter().zip(&narrow) {
        assert!((a - b).abs() < 0.05 * a.max(0.1), "{a} and {b}");
    }
}

#[test]
fn the_plan_is_held_against_what_was_measured() {
    let mut training = phase("train", fit(), 3, 16);
    training.accumulate = 4;
    let mut arm = arm(vec![training]);
    arm.evaluations = vec![evaluation("unseen_error", measure(), 4)];
    let run = Run::new(arm);
    let (outcome, plain) = run.go();
    outcome.unwrap();
    let model = run.model("line");
    let memory = MemoryCost { parameters: 250e3, ..MemoryCost::default() };
    let planned = |part: &str| PlannedMemory {
        cost: PartCost { name: part.to_owned(), memory: memory.clone(), ..PartCost::default() },
        narrow: false,
    };
    let mut collect = Collect::default();
    run.run_planned(&mut collect, vec![planned("train"), planned("unseen_error")]).unwrap();
    let measured: Vec<(String, String)> = collect
        .events
        .iter()
        .filter_map(|event| match event {
            Event::PlanMeasured { what, part, planned, measured, .. } => {
                assert!(*planned == 1e6 && *measured > 0.0, "{event:?}");
                Some((what.clone(), part.clone()))
            }
            _ => None,
        })
        .collect();
    let pair = |what: &str, part: &str| (what.to_owned(), part.to_owned());
    let expected =
        [pair("peak memory of training", "train"), pair("peak memory of evaluation", "unseen_error")];
    assert_eq!(measured, expected);
    assert_eq!(model, run.model("line"), "a trial leaves no trace");
    assert_eq!(curve(&plain, "loss"), curve(&collect.events, "loss"));
}
