//! A run that was stopped or killed and resumed ends with the same bits as one that was not.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use common::{Run, arm, curve, evaluation, fit, instance, logged, measure, metric, phase};
use serde_json::json;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use zoo_engine::{ArmOutcome, StopFlag};
use zoo_record::{Collect, Event, Reached, Sink, StepLogged};
use zoo_schema::experiment::Arm;

/// Two phases with everything that has a state: optimizer, schedule, a component that counts its calls, a
/// metric in a log window, dropout, noise, parts of updates, a best checkpoint, sampled and weighed examples.
fn demanding() -> Arm {
    let mut first = phase("first", fit(), 7, 8);
    first.accumulate = 2;
    first.log_every = 3;
    first.save_every = Some(2);
    first.clip_norm = Some(0.5);
    first.schedule = Some("schedule".to_owned());
    let mut second = phase("second", fit(), 6, 4);
    second.log_every = 4;
    second.evaluate_every = Some(2);
    second.save_every = Some(5);
    second.best = Some("error".to_owned());
    second.sampling = zoo_schema::experiment::Sampling::Poisson;
    second.aggregate = Some("mechanism".to_owned());
    let mut arm = arm(vec![first, second]);
    arm.instances.retain(|instance| instance.name != "line");
    let line = instance("line", "toy.line", json!({ "dropout": 0.2 }));
    arm.instances.insert(3, line);
    let mechanism = json!({ "clip": 0.5, "noise_multiplier": 0.1 });
    arm.instances.push(instance("mechanism", "privacy.gaussian_mechanism", mechanism));
    arm.evaluations = vec![evaluation("unseen_error", measure(), 3), evaluation("between", measure(), 8)];
    arm.evaluations[0].during = true;
    arm.evaluations[1].after = Some("first".to_owned());
    arm.metrics = vec![metric("error", "unseen_error", "error"), metric("half", "between", "root")];
    arm
}

/// Asks to stop when the given number of events of any kind were told.
struct StopAt {
    collect: Collect,
    stop: StopFlag,
    events: usize,
}

impl Sink for StopAt {
    fn event(&mut self, event: &Event) {
        self.collect.event(event);
        if self.collect.events.len() >= self.events {
            self.stop.stop();
        }
    }
}

fn finished(outcome: ArmOutcome) -> zoo_record::Values {
    match outcome {
        ArmOutcome::Finished(result) => result.metrics,
        ArmOutcome::Stopped => panic!("it was stopped"),
    }
}

#[test]
fn stopped_at_every_event_and_resumed() {
    let undisturbed = Run::new(demanding());
    let (outcome, events) = undisturbed.go();
    let metrics = finished(outcome.unwrap());
    let losses = curve(&events, "loss");
    let mut stopped = 0;
    for number in 1..events.len() {
        let run = Run::new(demanding());
        let stop = StopFlag::new();
        let mut sink = StopAt { collect: Collect::default(), stop: stop.clone(), events: number };
        if run.run_into(&mut sink, &stop, false).unwrap() == ArmOutcome::Stopped {
            stopped += 1;
        }
        let (outcome, after) = run.resume();
        assert_eq!(finished(outcome.unwrap()), metrics, "stopped at event {number}");
        assert_eq!(run.model("line"), undisturbed.model("line"), "stopped at event {number}");
        // What was logged before and after is what was logged at once.
        let Some(Event::SeedStarted { resumed, .. }) = after.first() else { panic!("{:?}", after.first()) };
        let reached = resumed.clone().unwrap_or_default();
        let mut all: Vec<&StepLogged> = logged(&sink.collect.events)
            .into_iter()
            .filter(|logged| reached.includes(&logged.phase, logged.step))
            .collect();
        all.extend(logged(&after));
        let got: Vec<f64> = all.iter().map(|logged| logged.values.get("loss").unwrap()).collect();
        assert_eq!(got, losses, "stopped at event {number}");
        let roots: Vec<f64> = all.iter().map(|logged| logged.values.get("root").unwrap()).collect();
        assert_eq!(roots, curve(&events, "root"), "stopped at event {number}");
    }
    assert!(stopped > 20, "{stopped}");
}

#[test]
fn a_finished_arm_is_resumed_without_training() {
    let run = Run::new(demanding());
    let metrics = finished(run.go().0.unwrap());
    let model = run.model("line");
    let (outcome, events) = run.resume();
    assert_eq!(finished(outcome.unwrap()), metrics);
    assert_eq!(run.model("line"), model);
    assert!(logged(&events).is_empty());
    let resumed =
        Reached { finished_phases: vec!["first".to_owned(), "second".to_owned()], phase: None, step: 0 };
    assert!(matches!(&events[0], Event::SeedStarted { resumed: Some(reached), .. } if *reached == resumed));
}

#[test]
fn a_checkpoint_of_another_arm_is_refused() {
    let mut run = Run::new(demanding());
    run.go().0.unwrap();
    run.arm.phases[0].batch = 16;
    let error = run.resume().0.unwrap_err().to_string();
    assert!(error.contains("belongs to another arm"), "{error}");
}

/// A training that takes long enough to be killed.
fn long(folder: &Path) -> Run {
    let mut arm = demanding();
    for phase in &mut arm.phases {
        phase.length = zoo_schema::experiment::Length::Steps(150);
        phase.save_every = Some(4);
    }
    arm.phases[1].evaluate_every = Some(25);
    let mut run = Run::new(arm);
    run.folder = tempfile::Builder::new().tempdir_in(folder).unwrap();
    run
}

const FOLDER: &str = "ZOO_TEST_RUN_FOLDER";

/// Not a test of its own: the process that is killed.
#[test]
#[ignore = "started by the next test"]
fn child() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let experiment_folder = Path::new(&folder);
    let run = long(std::env::temp_dir().as_path());
    let at = zoo_record::RunDir::new(experiment_folder);
    let mut collect = Collect::default();
    let outcome = run.run_in(&at, &mut collect, &StopFlag::new(), true).unwrap();
    assert!(matches!(outcome, ArmOutcome::Finished(_)));
}

#[test]
fn killed_at_random_moments_and_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let undisturbed = long(folder.path());
    finished(undisturbed.go().0.unwrap());
    let at = folder.path().join("killed");
    let final_model =
        |root: &Path| std::fs::read(root.join("checkpoints/main/1/final/line/model.safetensors")).unwrap();
    let mut kills = 0;
    let began = Instant::now();
    loop {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--ignored", "--quiet"])
            .env(FOLDER, &at)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Later every time, so that it comes to an end; odd numbers hit every kind of moment.
        let patience = Duration::from_micros(60_000 + 37_391 * kills);
        let started = Instant::now();
        let ended = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break Some(status);
            }
            if kills < 20 && started.elapsed() > patience {
                child.kill().unwrap();
                child.wait().unwrap();
                break None;
            }
            std::thread::sleep(Duration::from_micros(500));
        };
        match ended {
            Some(status) => {
                assert!(status.success());
                break;
            }
            None => kills += 1,
        }
        assert!(began.elapsed() < Duration::from_secs(300), "it does not come to an end");
    }
    assert!(kills >= 3, "{kills} kills");
    assert_eq!(final_model(&at), undisturbed.model("line"));
}
