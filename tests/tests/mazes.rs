//! The recipe of MLM-U on mazes with the real program, at a size that takes seconds.

#![allow(clippy::unwrap_used, reason = "a test may")]

use zoo_tests::{Place, repository};

#[test]
fn ways_are_written_judged_and_drawn() {
    let place = Place::new();
    let recipe = repository().join("recipes/mlm-u-mazes.mlm").to_string_lossy().into_owned();
    let mut words =
        vec!["run", recipe.as_str(), "--profile", "mini", "--json", "--seeds", "1", "--out", "run"];
    words.extend(["--device", "cpu", "--threads", "1"]);
    for set in ["steps=4 steps", "batch=8 seq", "hidden=16", "unseen_worlds=20", "layers=1", "test.limit=20"]
    {
        words.extend(["--set", set]);
    }
    let answer = place.zoo(&words);
    let result = answer.json();
    let arms = result["arms"].as_array().unwrap_or_else(|| panic!("{answer:#?}"));
    let value = |arm: &str, name: &str| {
        let arm = arms.iter().find(|a| a["name"] == arm).unwrap();
        let metric = arm["metrics"].as_array().unwrap().iter().find(|m| m["name"] == name);
        metric.and_then(|metric| metric["seeds"][0]["value"].as_f64())
    };
    for (arm, name) in [("next", "full_path"), ("mlm_u", "full_path"), ("mlm_u", "full_path_surest")] {
        let share = value(arm, name).unwrap();
        assert!((0.0..=1.0).contains(&share), "{arm} {name}: {share}");
        // A path that is the data's is a path.
        assert!(value(arm, "valid_path").unwrap() >= if name == "full_path_surest" { share } else { 0.0 });
    }
    let page = std::fs::read_to_string(place.path("run/report.html")).unwrap();
    assert!(page.contains("path 1") && page.contains("image/svg+xml"));
}
