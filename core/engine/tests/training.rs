//! Whole trainings.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use common::{Run, arm, curve, evaluation, fit, logged, measure, metric, phase};
use zoo_engine::ArmOutcome;

#[test]
fn a_line_is_learned_and_measured() {
    let mut arm = arm(vec![phase("train", fit(), 200, 16)]);
    arm.phases[0].schedule = Some("schedule".to_owned());
    arm.instances.retain(|instance| instance.name != "drift");
    arm.instances.insert(5, common::instance("drift", "toy.drift", serde_json::json!({ "by": 0.0 })));
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
