//! What goes wrong says what, where, and what to do.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use common::{Graph, Run, arm, evaluation, fit, instance, measure, metric, phase};
use serde_json::{Value as Json, json};
use zoo_engine::EngineError;
use zoo_record::Event;
use zoo_schema::experiment::{Arm, Length, Operation, StepGraph};

/// An arm whose data is made otherwise.
fn with_rows(mut arm: Arm, name: &str, parameters: Json) -> Arm {
    let place = arm.instances.iter().position(|instance| instance.name == name).unwrap();
    arm.instances[place] = instance(name, "toy.rows", parameters);
    arm
}

fn failure(arm: Arm) -> String {
    Run::new(arm).go().0.unwrap_err().to_string()
}

#[test]
fn a_loss_that_is_no_number_names_step_rows_and_checkpoint() {
    for accumulate in [1, 2] {
        let mut training = phase("train", fit(), 16, 4);
        training.save_every = Some(1);
        training.accumulate = accumulate;
        let run = Run::new(with_rows(arm(vec![training]), "rows", json!({ "broken": 7 })));
        let (outcome, events) = run.go();
        let Err(EngineError::NotFinite(fault)) = outcome else { panic!("{outcome:?}") };
        assert!(fault.rows.contains(&7) && fault.rows.len() == 4, "{fault:?}");
        assert_eq!((fault.what.as_str(), fault.value.is_nan()), ("the loss", true));
        assert!(fault.step > 1, "the seed puts the row later");
        let good = run.checkpoints().join(format!("train-{:08}", fault.step - 1));
        assert_eq!(fault.last_good.as_ref(), Some(&good));
        assert!(good.join("line/model.safetensors").exists());
        let text = EngineError::NotFinite(fault).to_string();
        for part in ["phase `train`, step", "the loss is NaN", "rows of `rows`", "last good checkpoint"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(events.iter().any(|event| matches!(event, Event::CheckpointSaved { .. })));
    }
}

#[test]
fn evaluating_nothing_is_an_error() {
    let with = |change: &dyn Fn(&mut Arm)| {
        let mut arm = arm(vec![phase("train", fit(), 1, 4)]);
        arm.evaluations = vec![evaluation("unseen_error", measure(), 4)];
        change(&mut arm);
        failure(arm)
    };
    let text = with(&|arm| arm.evaluations[0].limit = Some(0));
    assert_eq!(text, "evaluation `unseen_error` evaluates nothing: its limit is 0 examples");
    let text = with(&|arm| *arm = with_rows(arm.clone(), "unseen", json!({ "rows": 0 })));
    assert_eq!(text, "evaluation `unseen_error` evaluates nothing: its data `unseen` has no examples");
    let text = with(&|arm| {
        let mut g = Graph::new("measure");
        let (x, y, weight) = (g.column("x"), g.column("y"), g.column("weight"));
        let predicted = g.call("predicted", "line", &[("x", &x)], "y");
        let inputs = [("predicted", &predicted), ("wanted", &y), ("weight", &weight)];
        let loss = g.call("loss", "error", &inputs, "loss");
        g.log("error", &loss);
        arm.evaluations[0].step = g.graph;
        *arm = with_rows(arm.clone(), "unseen", json!({ "weightless": true }));
    });
    assert!(text.contains("for `error`, nothing was counted by `loss` in 64 examples"), "{text}");
}

#[test]
fn an_update_without_targets_is_an_error() {
    let mut g = Graph::new("fit");
    let (x, y, weight) = (g.column("x"), g.column("y"), g.column("weight"));
    let predicted = g.call("predicted", "line", &[("x", &x)], "y");
    let loss =
        g.call("loss", "error", &[("predicted", &predicted), ("wanted", &y), ("weight", &weight)], "loss");
    g.loss(&loss, 1.0);
    let arm = with_rows(arm(vec![phase("train", g.graph, 2, 4)]), "rows", json!({ "weightless": true }));
    let text = failure(arm);
    assert!(text.contains("phase `train`, step 1: the loss `loss` has no target"), "{text}");
}

#[test]
fn loader_threads_fail_with_names() {
    let with = |parameters: Json| {
        let arm = with_rows(arm(vec![phase("train", fit(), 16, 4)]), "rows", parameters);
        failure(arm)
    };
    let text = with(json!({ "missing": 3 }));
    for part in ["`rows`", "toy.rows", "row 3 cannot be read"] {
        assert!(text.contains(part), "{text}");
    }
    let text = with(json!({ "panics": 3 }));
    for part in ["`rows`", "toy.rows", "row 3 is too much"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn data_must_fill_an_update() {
    let text = failure(with_rows(arm(vec![phase("train", fit(), 1, 16)]), "rows", json!({ "rows": 15 })));
    assert!(text.contains("an update takes 16 examples and `rows` has 15"), "{text}");
}

#[test]
fn something_must_be_trained() {
    let mut frozen = arm(vec![phase("train", fit(), 1, 4)]);
    frozen.instances.iter_mut().for_each(|instance| instance.frozen = instance.name == "line");
    let text = failure(frozen);
    assert!(text.contains("phase `train` has nothing to train"), "{text}");

    let mut g = Graph::new("detached");
    let (x, y) = (g.column("x"), g.column("y"));
    let predicted = g.call("predicted", "line", &[("x", &x)], "y");
    let held = g.node("held", Operation::Detach { of: predicted });
    let loss = g.call("loss", "error", &[("predicted", &held), ("wanted", &y)], "loss");
    g.loss(&loss, 1.0);
    let text = failure(arm(vec![phase("train", g.graph, 1, 4)]));
    assert!(text.contains("step `detached`: the loss (`loss`) depends on no parameter"), "{text}");
}

#[test]
fn float16_is_for_gpus() {
    let mut training = phase("train", fit(), 1, 4);
    training.precision = zoo_schema::experiment::Precision::Float16;
    assert!(failure(arm(vec![training])).contains("float16 is for GPUs"));
}

#[test]
fn incomplete_experiments_are_errors() {
    let text = failure(arm(vec![phase("train", StepGraph::default(), 1, 4)]));
    assert!(!text.is_empty());
    let mut unknown = arm(vec![phase("train", fit(), 1, 4)]);
    unknown.phases[0].optimizer = "none".to_owned();
    assert!(failure(unknown).contains("there is no instance `none`"));
    let mut column = Graph::new("fit");
    let x = column.column("z");
    let predicted = column.call("predicted", "line", &[("x", &x)], "y");
    let mean = column.mean("mean", &predicted);
    column.loss(&mean, 1.0);
    let text = failure(arm(vec![phase("train", column.graph, 1, 4)]));
    assert!(text.contains("phase `train`: the data has no column `z`"), "{text}");
    let mut lost = arm(vec![]);
    lost.metrics = vec![metric("error", "unseen_error", "error")];
    assert!(failure(lost).contains("the evaluation `unseen_error` gave no `error`"));
    let mut epochs = arm(vec![phase("train", fit(), 1, 4)]);
    epochs.phases[0].length = Length::Epochs(0.01);
    assert!(Run::new(epochs).go().0.is_ok(), "an epoch's part is at least one update");
}
