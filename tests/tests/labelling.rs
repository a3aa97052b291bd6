//! Look-Right's recipe with the real program: a name's label is told by the word behind it.

#![allow(clippy::unwrap_used, reason = "a test may")]

use serde_json::Value;
use zoo_tests::{Place, repository};

fn metric(result: &Value, arm: &str, name: &str) -> f64 {
    let arms = result["arms"].as_array().unwrap();
    let arm = arms.iter().find(|a| a["name"] == arm).unwrap();
    let metric = arm["metrics"].as_array().unwrap().iter().find(|m| m["name"] == name).unwrap();
    metric["seeds"][0]["value"].as_f64().unwrap()
}

#[test]
fn labels_that_the_next_word_decides_need_a_layer_without_the_mask() {
    let place = Place::new();
    let recipe = std::fs::read_to_string(repository().join("recipes/look-right.mlm")).unwrap();
    place.write("look-right.mlm", &recipe);
    let mut words = vec!["run", "look-right.mlm", "--profile", "mini", "--json", "--seeds", "1"];
    words.extend(["--out", "run", "--device", "cpu", "--threads", "1", "--arm", "causal", "--arm", "full"]);
    for set in ["hidden=32", "batch=16 seq", "pretrain_steps=20 steps", "label_steps=250 steps"] {
        words.extend(["--set", set]);
    }
    // Names and markers of few kinds, so that little training is enough.
    for data in ["corpus", "sentences", "unseen_sentences"] {
        words.push("--set");
        words.push(match data {
            "corpus" => "corpus.names=4",
            "sentences" => "sentences.names=4",
            _ => "unseen_sentences.names=4",
        });
    }
    let answer = place.zoo(&words);
    let result = answer.json();
    assert!(result["arms"].is_array(), "{answer:#?}");
    let (causal, full) = (metric(&result, "causal", "accuracy"), metric(&result, "full", "accuracy"));
    // Three classes: a guess is a third. So small a model does not learn it all; the margin is the recipe's.
    assert!(causal < 0.42, "{causal}, {answer:#?}");
    assert!(full >= causal + 0.10, "{full} against {causal}, {answer:#?}");
    // Every entity is one word here.
    assert!((metric(&result, "full", "entity_f1") - full).abs() < 1e-9);
    // The confusion of classes is drawn for the report.
    let drawn = place.path("run/artifacts/full/1/label-00000250-coding-confusion");
    assert!(std::fs::read_to_string(drawn).unwrap().contains("rows: right class"));
}
