//! The recipe of structural objectives with the real program, small.

#![allow(clippy::unwrap_used, reason = "a test may")]

use zoo_tests::{Place, repository};

const ARMS: [&str; 6] = ["slm", "rts", "crts", "ssp", "psd", "joint_mspp"];

#[test]
fn every_objective_trains_and_the_same_seed_counts_the_same_confusions() {
    let place = Place::new();
    let recipe = std::fs::read_to_string(repository().join("recipes/structural-objectives.mlm")).unwrap();
    place.write("structural-objectives.mlm", &recipe);
    let run = |out: &str, arms: &[&str]| {
        let mut words =
            vec!["run", "structural-objectives.mlm", "--profile", "mini", "--json", "--seeds", "1"];
        words.extend(["--alone", "--out", out, "--device", "cpu", "--threads", "1"]);
        for arm in arms {
            words.extend(["--arm", arm]);
        }
        for set in [
            "hidden=32",
            "layers=1",
            "batch=8 seq",
            "pair_batch=8 seq",
            "tune_batch=8 seq",
            "warmup=2 steps",
            "steps=6 steps",
            "base_steps=3 steps",
            "structure_steps=3 steps",
            "questions=10",
            "probe_rows=200",
            "detection_rows=100",
            "relation_rows=40",
            "answer_rows=60",
            "sentences.documents=60",
            "documents.documents=40",
            "paragraphs.documents=40",
        ] {
            words.extend(["--set", set]);
        }
        let answer = place.zoo(&words);
        let result = answer.json();
        assert!(result["arms"].is_array(), "{answer:#?}");
        result["arms"].as_array().unwrap().iter().map(|arm| arm["metrics"].clone()).collect::<Vec<_>>()
    };
    let first = run("first", &ARMS);
    assert_eq!(first.len(), ARMS.len());
    assert_eq!(run("second", &["crts"])[0], first[2]);
    let entropy = first[2].as_array().unwrap().iter().find(|metric| metric["name"] == "entropy").unwrap();
    // The counts left their start, where every cluster is as likely: ln 16.
    let entropy = entropy["mean"].as_f64().unwrap();
    assert!((2.2994..2.7725).contains(&entropy), "{entropy}");
}

/// Two scores a token in place of 8000: of the 1.83 M multiplications a token of this encoder 57 % are the vocabulary's.
#[test]
fn detecting_costs_less_than_scoring_the_vocabulary() {
    let place = Place::new();
    let recipe = repository().join("recipes/structural-objectives.mlm");
    let answer = place.zoo(&["plan", "--json", "--profile", "mini", recipe.to_str().unwrap()]);
    let plan: serde_json::Value = serde_json::from_str(&answer.out).unwrap();
    let cost = |name: &str| {
        let arm = plan["arms"].as_array().unwrap().iter().find(|arm| arm["name"] == name).unwrap();
        arm["cost"]["train_flops"].as_f64().unwrap()
    };
    let ratio = cost("cost_masked") / cost("cost_rts");
    assert!((1.5..3.0).contains(&ratio), "{ratio}");
}
