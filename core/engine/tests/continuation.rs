//! Phases that go on where another ended give the bits of one phase.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use common::{Run, arm, curve, fit, instance, logged, phase};
use serde_json::json;
use zoo_engine::{ArmOutcome, StopFlag};
use zoo_record::{Collect, Event, Sink};
use zoo_schema::experiment::{Arm, Continuation, Length, Phase, Sampling, Schedule, Weight};

/// Everything that has a state or varies: optimizer, schedule, a weight, dropout, noise, parts of
/// updates, epochs that end within a phase.
fn whole() -> Phase {
    let mut graph = fit();
    graph.loss[0].weight = Weight::Scheduled(Schedule::Ramp { from: 1.0, to: 0.3, over: 9 });
    let mut phase = phase("first", graph, 14, 8);
    phase.accumulate = 2;
    phase.clip_norm = Some(0.5);
    phase.schedule = Some("schedule".to_owned());
    phase
}

fn continuing(name: &str, before: Option<&str>, updates: u64) -> Phase {
    let continues = Continuation { chain: "first".to_owned(), phase: before.map(str::to_owned) };
    Phase { name: name.to_owned(), continues: Some(continues), length: Length::Steps(updates), ..whole() }
}

fn run(phases: Vec<Phase>) -> Run {
    let mut arm: Arm = arm(phases);
    arm.instances.retain(|instance| instance.name != "line");
    arm.instances.insert(3, instance("line", "toy.line", json!({ "dropout": 0.2 })));
    let mechanism = json!({ "clip": 0.5, "noise_multiplier": 0.1 });
    arm.instances.push(instance("mechanism", "privacy.gaussian_mechanism", mechanism));
    Run::new(arm)
}

fn apart() -> Vec<Phase> {
    let first = Phase { length: Length::Steps(7), ..whole() };
    vec![first, continuing("second", Some("first"), 3), continuing("third", Some("second"), 4)]
}

fn finished(run: &Run) -> Vec<Event> {
    let (outcome, events) = run.go();
    assert!(matches!(outcome.unwrap(), ArmOutcome::Finished(_)));
    events
}

#[test]
fn three_phases_are_one() {
    let (one, three) = (run(vec![whole()]), run(apart()));
    let (together, in_parts) = (finished(&one), finished(&three));
    for name in ["loss", "learning_rate", "root", "grad_norm"] {
        let expected = curve(&together, name);
        assert_eq!(expected.len(), 14);
        assert_eq!(curve(&in_parts, name), expected, "{name}");
    }
    assert_eq!(one.model("line"), three.model("line"));
    // Without it the second phase begins anew, and ends elsewhere.
    let mut anew = apart();
    anew[1].continues = None;
    anew.truncate(2);
    let anew = run(anew);
    let events = finished(&anew);
    assert_ne!(curve(&events, "learning_rate")[7..], curve(&together, "learning_rate")[7..10]);
}

#[test]
fn sampled_and_noised_updates_go_on() {
    let noised = |phases: Vec<Phase>| {
        let noised = |mut phase: Phase| {
            phase.accumulate = 1;
            phase.sampling = Sampling::Poisson;
            phase.aggregate = Some("mechanism".to_owned());
            phase
        };
        run(phases.into_iter().map(noised).collect())
    };
    let (one, three) = (noised(vec![whole()]), noised(apart()));
    assert_eq!(curve(&finished(&three), "loss"), curve(&finished(&one), "loss"));
    assert_eq!(one.model("line"), three.model("line"));
}

#[test]
fn an_arm_without_the_first_phases_is_the_last_alone() {
    let (one, last) = (run(vec![whole()]), run(vec![continuing("third", None, 14)]));
    assert_eq!(curve(&finished(&last), "loss"), curve(&finished(&one), "loss"));
    assert_eq!(one.model("line"), last.model("line"));
}

/// Asks to stop when the given number of events were told.
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

#[test]
fn stopped_anywhere_and_resumed() {
    let one = run(vec![whole()]);
    finished(&one);
    let events = finished(&run(apart())).len();
    let mut stopped = 0;
    for number in 1..events {
        let again = run(apart());
        let stop = StopFlag::new();
        let mut sink = StopAt { collect: Collect::default(), stop: stop.clone(), events: number };
        if again.run_into(&mut sink, &stop, false).unwrap() == ArmOutcome::Stopped {
            stopped += 1;
        }
        let (outcome, _) = again.resume();
        outcome.unwrap();
        assert_eq!(again.model("line"), one.model("line"), "stopped at event {number}");
    }
    assert!(stopped > 10, "{stopped}");
}

#[test]
fn a_phase_that_another_arm_has_computed_is_continued() {
    let cache = tempfile::tempdir().unwrap();
    let one = run(vec![whole()]);
    finished(&one);
    let taken = |run: &Run| {
        let (outcome, events) = run.go_with(cache.path());
        outcome.unwrap();
        events.iter().filter(|event| matches!(event, Event::StageReused { .. })).count()
    };
    let (first, again) = (run(apart()), run(apart()));
    assert_eq!((taken(&first), taken(&again)), (0, 2));
    assert_eq!((first.model("line"), again.model("line")), (one.model("line"), one.model("line")));
    // Where later phases are longer, the rate of the first is another.
    let mut longer = apart();
    longer[2].length = Length::Steps(5);
    assert_eq!(taken(&run(longer)), 0);
    // Nor does a phase that nothing continues leave its optimizer.
    let mut alone = apart();
    alone[1].continues = None;
    alone.truncate(2);
    let alone = run(alone);
    assert_eq!(taken(&alone), 0);
    assert_eq!(logged(&alone.go().1).len(), 10);
}

#[test]
fn other_parameters_cannot_be_continued() {
    let mut phases = apart();
    phases[1].train = vec!["line.map.bias".to_owned()];
    let error = run(phases).go().0.unwrap_err().to_string();
    assert!(error.contains("`second` continues `first`, and must train what that trained"), "{error}");
}
