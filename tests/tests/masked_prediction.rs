//! Masked next-token prediction with the real program and real plugins: MEAP's recipe on few documents.

#![allow(clippy::unwrap_used, reason = "a test may")]

use serde_json::Value;
use zoo_tests::{Place, repository};

fn metric(result: &Value, arm: &str, name: &str) -> f64 {
    let arms = result["arms"].as_array().unwrap();
    let arm = arms.iter().find(|a| a["name"] == arm).unwrap();
    arm["metrics"].as_array().unwrap().iter().find(|m| m["name"] == name).unwrap()["mean"].as_f64().unwrap()
}

#[test]
fn inputs_are_hidden_and_long_answers_have_copies() {
    let place = Place::new();
    let recipe = std::fs::read_to_string(repository().join("recipes/meap.mlm")).unwrap();
    place.write("meap.mlm", &recipe);
    // Ten prompts with answers of 60 words, and two of 50, which have no copy.
    let mut table = "instruction,output\n".to_owned();
    for row in 0..12_usize {
        let words = if row < 10 { 60 } else { 50 };
        let answer: Vec<String> = (0..words).map(|i| format!("word{}", (row + i) % 8)).collect();
        table += &format!("key{} value{},{}\n", row % 8, row % 8, answer.join(" "));
    }
    place.write("answers.csv", &table);
    let sets = [
        "steps=40 steps",
        "documents=400",
        "test_rows=60",
        "length=72 tok",
        "hidden=16",
        "heads=2",
        "feed_forward=32",
        "tune.steps=1 epochs",
        "tune_batch=2 seq",
        "tune.log_every=1",
        "instructions=text.csv(file: asset(\"file:answers.csv\"), columns: [\"instruction\", \"output\"])",
    ];
    let mut words = vec!["run", "meap.mlm", "--profile", "mini", "--json", "--seeds", "1", "--out", "run"];
    words.extend(["--device", "cpu", "--threads", "1", "--arm", "ntp", "--arm", "meap"]);
    words.extend(sets.iter().flat_map(|set| ["--set", set]));
    let answer = place.zoo(&words);
    let result = answer.json();
    assert!(result["arms"].is_array(), "{answer:#?}");
    for arm in ["ntp", "meap"] {
        // Nothing is learnt yet but which tokens there are; attention is nearly even, of some twenty.
        let (loss, paid) = (metric(&result, arm, "loss"), metric(&result, arm, "attention_paid"));
        assert!(loss > 1.5 && loss < 64_f64.ln(), "{arm}: {loss}");
        assert!(paid > 0.02 && paid < 0.2, "{arm}: {paid}");
        assert!((0.0..=1.0).contains(&metric(&result, arm, "recall")));
    }
    let metrics = std::fs::read_to_string(place.path("run/metrics.jsonl")).unwrap();
    let updates = |arm: &str| {
        let lines = metrics.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|l| l["arm"] == arm && l["phase"] == "tune" && l["values"]["loss"].is_number()).count()
    };
    assert_eq!((updates("ntp"), updates("meap")), (6, 11));
}
