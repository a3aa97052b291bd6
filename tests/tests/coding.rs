//! The recipe of few-shot coding with the real program, small.

#![allow(clippy::unwrap_used, reason = "a test may")]

use zoo_tests::{Place, repository};

const ARMS: [&str; 7] =
    ["cls_full", "cls_adapter", "pet_full", "pet_adapter", "pet_random", "setfit", "near_adapter"];

#[test]
fn every_way_of_coding_trains_and_the_same_seed_codes_the_same() {
    let place = Place::new();
    let recipe = std::fs::read_to_string(repository().join("recipes/few-shot-coding.mlm")).unwrap();
    place.write("few-shot-coding.mlm", &recipe);
    let run = |out: &str, arms: &[&str]| {
        let mut words = vec!["run", "few-shot-coding.mlm", "--profile", "mini", "--json", "--seeds", "1"];
        words.extend(["--alone", "--out", out, "--device", "cpu", "--threads", "1"]);
        for arm in arms {
            words.extend(["--arm", arm]);
        }
        for set in [
            "hidden=32",
            "layers=1",
            "pretrain_steps=10 steps",
            "tune_steps=4 epochs",
            "corpus.sentences=500",
            "unseen.sentences=100",
            "other_topic.sentences=64",
        ] {
            words.extend(["--set", set]);
        }
        let answer = place.zoo(&words);
        let result = answer.json();
        assert!(result["arms"].is_array(), "{answer:#?}");
        result["arms"].as_array().unwrap().iter().map(|arm| arm["metrics"].to_string()).collect::<Vec<_>>()
    };
    let first = run("first", &ARMS);
    assert_eq!(first.len(), ARMS.len());
    assert_eq!(run("second", &["pet_adapter"])[0], first[3]);
    let report = std::fs::read_to_string(place.path("first/report.html")).unwrap();
    assert!(report.contains("sentence without") || report.contains("no stance"));
}
