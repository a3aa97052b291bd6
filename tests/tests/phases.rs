//! Phases that continue each other, with the real program and real plugins: the recipe of CLM-then-MLM on a text that
//! is made up here.

#![allow(clippy::unwrap_used, reason = "a test may")]

use serde_json::Value;
use std::fmt::Write;
use zoo_tests::{Place, repository};

/// Sentences in which names have capitals.
fn verses() -> String {
    let names = ["Ada", "Bela", "Cid", "Dora", "Eli"];
    let verbs = ["saw", "heard", "found", "knew"];
    let mut text = String::new();
    for row in 0..400_usize {
        let (one, other) = (names[row % 5], names[(row / 5) % 5]);
        let verb = verbs[(row / 25) % 4];
        let _ =
            writeln!(text, "And {one} {verb} the house of {other}, and {other} {verb} number{}.", row % 7);
    }
    text
}

/// Values of an arm's log lines, by phase and step.
fn logged(metrics: &str, arm: &str, name: &str) -> Vec<(String, f64)> {
    let lines = metrics.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines
        .filter(|line| line["arm"] == arm && line["evaluation"].is_null() && line["phase"] != "probe")
        .filter_map(|line| Some((line["phase"].as_str()?.to_owned(), line["values"][name].as_f64()?)))
        .collect()
}

#[test]
fn causal_then_masked_is_one_training() {
    let place = Place::new();
    place.write("verses.txt", &verses());
    let recipe = std::fs::read_to_string(repository().join("recipes/clm-then-mlm.mlm")).unwrap();
    place.write("clm-then-mlm.mlm", &recipe);
    let lines = "text.lines(file: asset(\"file:verses.txt\")";
    let sets = [
        format!("train={lines}, part: \"train\", held_out: 20%)"),
        format!("unseen={lines}, part: \"held_out\", held_out: 20%)"),
        format!("few={lines}, part: \"train\", held_out: 70%)"),
        "vocabulary=40".to_owned(),
        "hidden=16".to_owned(),
        "heads=2".to_owned(),
        "steps=24 steps".to_owned(),
        "warmup=4 steps".to_owned(),
        "decay=6 steps".to_owned(),
        "probe_steps=6 steps".to_owned(),
        "causal.log_every=1".to_owned(),
        "deviation=0.02".to_owned(),
    ];
    let mut words =
        vec!["run", "clm-then-mlm.mlm", "--profile", "mini", "--json", "--seeds", "2", "--out", "run"];
    // One after the other: lines of the metrics are in the order of seeds.
    words.extend(["--device", "cpu", "--threads", "1", "--jobs", "1"]);
    words.extend(sets.iter().flat_map(|set| ["--set", set.as_str()]));
    let answer = place.zoo(&words);
    let result = answer.json();
    assert_eq!(result["claims"].as_array().map(Vec::len), Some(2), "{answer:#?}");

    let metrics = std::fs::read_to_string(place.path("run/metrics.jsonl")).unwrap();
    let rates = |arm: &str| -> Vec<f64> {
        logged(&metrics, arm, "learning_rate").into_iter().map(|(_, rate)| rate).collect()
    };
    // Two seeds of one schedule: 4 up, 6 down, and no restart at the switch, wherever it is.
    let expected = rates("mlm");
    assert_eq!(expected.len(), 48);
    assert!(
        (expected[0] - 0.25e-3).abs() < 1e-9 && (expected[12] - 1e-3).abs() < 1e-9 && expected[23] == 0.0
    );
    for arm in ["biphasic", "clm"] {
        assert_eq!(rates(arm), expected, "{arm}");
    }
    let phases = |arm: &str, phase: &str| {
        logged(&metrics, arm, "loss").into_iter().filter(|(name, _)| name == phase).count()
    };
    assert_eq!((phases("biphasic", "causal"), phases("biphasic", "masked")), (12, 36));
    assert_eq!((phases("clm", "causal"), phases("clm", "masked")), (48, 0));
    // What both predict at first is nothing: the logarithm of the vocabulary.
    let first = |arm: &str| logged(&metrics, arm, "loss")[0].1;
    for arm in ["mlm", "clm"] {
        assert!((first(arm) - 40_f64.ln()).abs() < 0.3, "{arm}: {}", first(arm));
    }
    // The page shows how the masked loss falls over both phases.
    let page = std::fs::read_to_string(place.path("run/report.html")).unwrap();
    assert!(page.contains("mlm_loss"));
}
