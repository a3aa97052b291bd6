//! Runs from their beginning to the verdict.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use common::{Place, experiment, last_json, said, text};
use zoo_record::{Event, Lock, RunState};
use zoo_statistics::Outcome;

#[test]
fn a_run_ends_with_a_verdict_and_its_files() {
    let place = Place::new();
    let experiment = experiment(&["steps=30"], 2);
    let output = place.run(&experiment, "one", &["--json"]);
    let object = last_json(&output);
    assert_eq!(object["state"], "finished", "{}", said(&output));
    assert_eq!(object["run_dir"], "one");
    assert_eq!(object["arms"][1]["name"], "fast");
    assert_eq!(object["arms"][1]["metrics"][0]["seeds"].as_array().unwrap().len(), 2);
    assert_eq!(text(&output.stdout).lines().count(), 1, "all else goes to standard error");
    let told = text(&output.stderr);
    assert!(told.contains("Fitting a line") && told.contains("Verdict"), "{told}");

    let dir = place.dir("one");
    for file in [dir.experiment(), dir.resolved(), dir.metrics(), dir.environment(), dir.report()] {
        assert!(file.metadata().unwrap().len() > 0, "{}", file.display());
    }
    let lock = Lock::read(&dir.lock()).unwrap();
    assert_eq!(lock.seeds, [1, 2]);
    let names: Vec<&str> = lock.plugins.iter().map(|plugin| plugin.name.as_str()).collect();
    assert_eq!(names, ["zoo-optimization", "zoo-toy"]);
    assert!(lock.plugins.iter().all(|plugin| plugin.hash.len() == 64));

    // Seed by seed, every arm with the same seed.
    let order: Vec<(String, u64)> = place
        .events("one")
        .into_iter()
        .filter_map(|event| match event {
            Event::SeedFinished { arm, seed, .. } => Some((arm, seed)),
            _ => None,
        })
        .collect();
    let order: Vec<(&str, u64)> = order.iter().map(|(arm, seed)| (arm.as_str(), *seed)).collect();
    assert_eq!(order, [("slow", 1), ("fast", 1), ("slow", 2), ("fast", 2)]);

    // The exit code is the verdict's.
    let result = place.result("one");
    let code = match result.claims[0].outcome {
        Outcome::Holds => 0,
        Outcome::Fails => 3,
        Outcome::Undecided => 4,
    };
    assert_eq!(output.status.code(), Some(code));

    // A run that is done is judged again, and nothing is computed.
    let before = place.events("one").len();
    let again = place.resume("one", &["--json"]);
    assert_eq!(again.status.code(), Some(code), "{}", said(&again));
    assert_eq!(last_json(&again)["claims"], object["claims"]);
    let new = &place.events("one")[before..];
    assert!(!new.iter().any(|event| matches!(event, Event::SeedStarted { .. })), "{new:?}");

    // More seeds go on where it ended.
    let more = place.resume("one", &["--seeds", "3", "--json"]);
    let value = &last_json(&more)["arms"][0]["metrics"][0];
    assert_eq!(value["seeds"].as_array().unwrap().len(), 3, "{}", said(&more));
    assert_eq!(value["seeds"][0], object["arms"][0]["metrics"][0]["seeds"][0]);
    let fewer = place.resume("one", &["--seeds", "1"]);
    assert_eq!(fewer.status.code(), Some(2), "{}", said(&fewer));
}

#[test]
fn a_phase_that_arms_share_is_computed_once_and_gives_the_same_bits() {
    let place = Place::new();
    let experiment = experiment(&["steps=20"], 1);
    let shared = place.run(&experiment, "shared", &[]);
    assert!(shared.status.code().is_some_and(|code| code != 1), "{}", said(&shared));
    let alone = place.run(&experiment, "alone", &["--alone"]);
    assert!(alone.status.code().is_some_and(|code| code != 1), "{}", said(&alone));
    let reused = |run: &str| {
        let events = place.events(run);
        events
            .iter()
            .filter(|e| matches!(e, Event::StageReused { stage, .. } if stage == "phase base"))
            .count()
    };
    assert_eq!((reused("shared"), reused("alone")), (1, 0));
    let models = place.models("shared", &experiment);
    assert!(models.iter().all(|(_, _, bytes)| !bytes.is_empty()));
    assert_eq!(models, place.models("alone", &experiment));
    // A later run finds it too, for both of its arms.
    let later = place.run(&experiment, "later", &[]);
    assert_eq!(reused("later"), 2, "{}", said(&later));
    assert_eq!(models, place.models("later", &experiment));
    // The curve of the arm that took it over is whole.
    let lines = zoo_record::read_metrics(&place.dir("shared").metrics()).unwrap();
    let steps = |arm: &str| -> Vec<u64> {
        lines.iter().filter(|l| l.arm == arm && l.phase == "base").map(|l| l.step).collect()
    };
    assert_eq!(steps("slow"), steps("fast"));
    assert!(!steps("fast").is_empty());
}

#[test]
fn a_run_ends_early_when_every_claim_is_decided() {
    let place = Place::new();
    // An effect that is plain to see: the second arm learns, the first does not.
    let experiment = experiment(&["steps=60", "seeds=12"], 12);
    let output = place.run(&experiment, "early", &[]);
    let result = place.result("early");
    assert_eq!(result.state, RunState::Finished, "{}", said(&output));
    let seeds = result.arms[0].metrics[0].seeds.len();
    assert!((3..12).contains(&seeds), "{seeds} seeds; {}", said(&output));
    assert_eq!(result.claims[0].outcome, Outcome::Holds);
    assert_eq!(output.status.code(), Some(0));
    let judged: Vec<bool> = place
        .events("early")
        .into_iter()
        .filter_map(|event| match event {
            Event::ClaimJudged { last, .. } => Some(last),
            _ => None,
        })
        .collect();
    assert_eq!(judged.len(), seeds, "a look after every seed");
    assert_eq!(judged.iter().filter(|last| **last).count(), 1);
}

#[test]
fn what_is_wrong_from_the_beginning_writes_nothing() {
    let place = Place::new();
    let mut experiment = experiment(&["steps=5"], 1);
    std::fs::create_dir_all(place.dir("taken").root()).unwrap();
    std::fs::write(place.dir("taken").root().join("thesis.tex"), "years").unwrap();
    let taken = place.run(&experiment, "taken", &[]);
    assert_eq!(taken.status.code(), Some(2), "{}", said(&taken));
    assert!(text(&taken.stderr).contains("taken is not empty: choose another folder"), "{}", said(&taken));

    experiment.arms[0].cost.steps = 7.0;
    let unfair = place.run(&experiment, "unfair", &["--json"]);
    assert_eq!(unfair.status.code(), Some(2), "{}", said(&unfair));
    assert!(last_json(&unfair)["error"].as_str().unwrap().contains("holds `cost.steps` equal within 0%"));
    assert!(!place.dir("unfair").experiment().exists());

    std::fs::write(place.folder.path().join("broken.json"), "{").unwrap();
    let broken = place.command(&["run", "--experiment", "broken.json", "--out", "broken"]).output().unwrap();
    assert_eq!(broken.status.code(), Some(2), "{}", said(&broken));
    assert_eq!(place.resume("nowhere", &[]).status.code(), Some(2));
    let device = place.command(&["resume", "nowhere", "--device", "gpu"]).output().unwrap();
    assert_eq!(device.status.code(), Some(2));
}

#[test]
fn other_plugins_than_in_the_lock_are_an_error() {
    let place = Place::new();
    let experiment = experiment(&["steps=10"], 1);
    let output = place.run(&experiment, "one", &[]);
    assert!(place.dir("one").report().exists(), "{}", said(&output));
    let path = place.dir("one").lock();
    let mut lock = Lock::read(&path).unwrap();
    lock.plugins[1].hash = "0".repeat(64);
    lock.write(&path).unwrap();
    let refused = place.resume("one", &[]);
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    let told = text(&refused.stderr);
    assert!(told.contains("plugin `zoo-toy`") && told.contains("--allow-changed-plugins"), "{told}");
    let allowed = place.resume("one", &["--allow-changed-plugins", "--seeds", "2"]);
    assert_ne!(allowed.status.code(), Some(1), "{}", said(&allowed));
    assert!(
        text(&allowed.stdout).contains("warning: the run goes on with other parts"),
        "{}",
        said(&allowed)
    );
    // Now the lock says what is there.
    let after = place.resume("one", &[]);
    assert_ne!(after.status.code(), Some(1), "{}", said(&after));
}

#[test]
fn the_speed_of_an_arm_is_measured() {
    let place = Place::new();
    let experiment = experiment(&[], 1);
    let file = place.folder.path().join("bench.json");
    std::fs::write(&file, serde_json::to_vec(&experiment).unwrap()).unwrap();
    let words = ["bench", "--experiment", "bench.json", "--steps", "30", "--json"];
    let unnamed = place.command(&words).output().unwrap();
    assert_eq!(unnamed.status.code(), Some(2), "{}", said(&unnamed));
    let output = place.command(&[&words[..], &["--arm", "fast"]].concat()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let result = last_json(&output);
    assert_eq!(
        (&result["arm"], &result["phase"], &result["steps"]),
        (&"fast".into(), &"base".into(), &30.into())
    );
    assert!(result["steps_per_second"].as_f64().unwrap() > 1.0);
    assert!(result["peak_flops_per_second"].as_f64().unwrap() > 1e8);
    // Of `jitter`, the model and the objective.
    assert_eq!(result["calls"], 3);
    let parts = result["parts"].as_array().unwrap();
    let names: Vec<&str> = parts.iter().map(|part| part["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["waiting for data", "forward", "backward", "optimizer", "rest"]);
    let shares: f64 = parts.iter().map(|part| part["share"].as_f64().unwrap()).sum();
    assert!((shares - 1.0).abs() < 0.05, "{shares}");
}
