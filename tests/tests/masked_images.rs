//! The recipe of masked-token optimisation with the real program, at a size that takes seconds, on made-up digits.

#![allow(clippy::unwrap_used, reason = "a test may")]

use zoo_tests::{Place, repository};

/// Sixty-four numbers and a class, as the file of the digits has them.
fn digits() -> String {
    let record = |row: usize| {
        let pixel = |place: usize| ((place * (row % 10 + 3) + row) % 17).to_string();
        (0..64).map(pixel).chain([(row % 10).to_string()]).collect::<Vec<_>>().join(",")
    };
    (0..1500).map(|row| record(row) + "\n").collect()
}

#[test]
fn patches_are_hidden_predicted_and_drawn() {
    let place = Place::new();
    let recipe = std::fs::read_to_string(repository().join("recipes/mto.mlm")).unwrap();
    let asset = "pypi:scikit-learn==1.7.2/sklearn/datasets/data/digits.csv.gz";
    assert_eq!(recipe.matches(asset).count(), 3);
    place.write("digits.csv", &digits());
    place.write("mto.mlm", &recipe.replace(asset, "file:digits.csv"));
    let mut words = vec!["run", "mto.mlm", "--profile", "mini", "--json", "--seeds", "1", "--out", "run"];
    words.extend(["--device", "cpu", "--threads", "1"]);
    for set in ["steps=4 steps", "batch=16 seq", "hidden=16", "layers=1", "labelled=100"] {
        words.extend(["--set", set]);
    }
    let answer = place.zoo(&words);
    let result = answer.json();
    let arms = result["arms"].as_array().unwrap_or_else(|| panic!("{answer:#?}"));
    for arm in ["simmim", "mto", "untrained"] {
        let metrics = arms.iter().find(|a| a["name"] == arm).unwrap()["metrics"].as_array().unwrap();
        for name in ["error", "heterogeneity", "hidden_attention", "accuracy"] {
            let metric = metrics.iter().find(|m| m["name"] == name).unwrap();
            let value = metric["seeds"][0]["value"].as_f64().unwrap();
            assert!((0.0..=1.0).contains(&value), "{arm} {name}: {value}");
        }
    }
    let page = std::fs::read_to_string(place.path("run/report.html")).unwrap();
    assert!(page.contains("image 1") && page.contains("image/svg+xml"));
}
