//! Private training with the real program, the real runner and real plugins: EW-Tune's recipe on a table that
//! is made up here.

#![allow(clippy::unwrap_used, reason = "a test may")]

use serde_json::Value;
use std::fmt::Write;
use zoo_tests::{Place, repository};

/// Three clusters of points in two dimensions, a row each, class last.
fn table() -> String {
    let mut text = String::new();
    for row in 0..240 {
        let class = row % 3;
        let (x, y) = [(0, 9), (9, 0), (9, 9)][class];
        let _ = writeln!(text, "{},{},{class}", x + row % 5, y + row % 7);
    }
    text
}

fn metric(result: &Value, arm: &str, name: &str) -> Vec<f64> {
    let arms = result["arms"].as_array().unwrap();
    let arm = arms.iter().find(|a| a["name"] == arm).unwrap();
    let metric = arm["metrics"].as_array().unwrap().iter().find(|m| m["name"] == name).unwrap();
    metric["seeds"].as_array().unwrap().iter().map(|seed| seed["value"].as_f64().unwrap()).collect()
}

#[test]
fn accountants_set_the_noise_and_tell_what_it_costs() {
    let place = Place::new();
    place.write("table.csv", &table());
    let recipe = std::fs::read_to_string(repository().join("recipes/ew-tune.mlm")).unwrap();
    place.write("ew-tune.mlm", &recipe);
    let source =
        "tabular.labelled_vectors(file: asset(\"file:table.csv\"), width: 2, scale: 10, shuffled: true";
    let (train, unseen) = (format!("train={source}, limit: 180)"), format!("unseen={source}, skip: 180)"));
    let mut words = vec!["run", "ew-tune.mlm", "--profile", "mini", "--json", "--seeds", "2", "--out", "run"];
    words.extend([
        "--device",
        "cpu",
        "--threads",
        "1",
        "--arm",
        "rdp",
        "--arm",
        "edgeworth",
        "--arm",
        "open",
    ]);
    for set in [
        train.as_str(),
        unseen.as_str(),
        "classifier=tabular.linear_classifier(width: 2, classes: 3)",
        "batch=18 seq",
        "steps=40 steps",
        "published_spent.limit=0",
        "epsilon=3",
    ] {
        words.extend(["--set", set]);
    }
    let answer = place.zoo(&words);
    let result = answer.json();
    assert!(result["arms"].is_array(), "{answer:#?}");
    let of = |arm: &str, name: &str| metric(&result, arm, name)[0];
    // As `privacy.accounts` has it, and calibrated by another route.
    for (arm, own) in [("rdp", "rdp_epsilon"), ("edgeworth", "edgeworth_epsilon")] {
        assert!((of(arm, own) - 3.0).abs() < 1e-4, "{answer:#?}");
    }
    assert!(of("rdp", "noise_multiplier") > 1.05 * of("edgeworth", "noise_multiplier"));
    assert!(of("rdp", "exact_epsilon") < 3.0);
    // Another seed has other noise and the same account.
    assert_eq!(metric(&result, "rdp", "exact_epsilon")[0], metric(&result, "rdp", "exact_epsilon")[1]);
    assert!(metric(&result, "open", "accuracy").iter().all(|accuracy| *accuracy > 0.9), "{answer:#?}");

    // Arms that differ in noise alone are trained each for itself.
    let events = std::fs::read_to_string(place.path("run/metrics.jsonl")).unwrap();
    let last_loss = |arm: &str| {
        let of_arm =
            |line: &Value| line["values"]["loss"].is_number() && line["arm"] == arm && line["seed"] == 1;
        events
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .filter(of_arm)
            .map(|line| line["values"]["loss"].as_f64().unwrap())
            .next_back()
            .unwrap()
    };
    assert_ne!(last_loss("rdp"), last_loss("edgeworth"), "{events}");
    let page = std::fs::read_to_string(place.path("run/report.html")).unwrap();
    assert!(page.contains("privacy spent") && page.contains("image/svg+xml"));
}
