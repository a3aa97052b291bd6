//! Agents that search and learn from rewards, with the real program, the real runner and real plugins:
//! MaskSearch's recipe, made small.

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
fn an_agent_learns_to_search_and_is_rewarded() {
    let place = Place::new();
    let read = |name: &str| std::fs::read_to_string(repository().join("recipes").join(name)).unwrap();
    place.write("masksearch.mlm", &read("masksearch.mlm"));
    std::fs::create_dir_all(place.path("masksearch")).unwrap();
    place.write("masksearch/policy.json", &read("masksearch/policy.json"));
    let mut words =
        vec!["run", "masksearch.mlm", "--profile", "mini", "--json", "--seeds", "1", "--out", "run"];
    words.extend(["--device", "cpu", "--threads", "1", "--arm", "ramp_reinforced", "--arm", "ramp_grpo"]);
    // Two entities and one relation are learnt in few updates.
    let world = "entities: 2, relations: 1";
    let masked = format!("masked=synthetic.masked_facts(items: 2000, maximum_masks: 1, {world})");
    let others = ["written", "asked", "unseen", "others"]
        .map(|name| format!("{name}=synthetic.two_hop_questions(items: 60, {world})"));
    for set in [
        masked.as_str(),
        &others[0],
        &others[1],
        &others[2],
        &others[3],
        "ramp_steps=8 steps",
        "tune_steps=120 steps",
        "reinforce_steps=3 steps",
        "groups=4",
        "questions=12 seq",
        "group=4",
        "batch=32 seq",
    ] {
        words.extend(["--set", set]);
    }
    let answer = place.zoo(&words);
    let result = answer.json();
    assert!(result["arms"].is_array(), "{answer:#?}");
    for arm in ["ramp_reinforced", "ramp_grpo"] {
        for name in ["correct", "well_formed"] {
            assert!(metric(&result, arm, name) > 0.8, "{arm}.{name}: {answer:#?}");
        }
        // It asks for both facts.
        assert!(metric(&result, arm, "calls") > 1.5, "{answer:#?}");
    }

    let events = std::fs::read_to_string(place.path("run/metrics.jsonl")).unwrap();
    let lines = events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let of_phase = |line: &Value| line["phase"] == "reinforcement" && line["values"]["written"].is_number();
    let lines: Vec<Value> = lines.filter(of_phase).collect();
    let of = |arm: &str| lines.iter().filter(move |line| line["arm"] == arm).count();
    assert_eq!((of("ramp_reinforced"), of("ramp_grpo")), (3, 3), "{events}");
    for line in &lines {
        let values = &line["values"];
        let number = |name: &str| values[name].as_f64().unwrap();
        // GRPO writes four texts for each of twelve questions; DAPO asks four questions at a time.
        let written = number("written");
        let grpo = line["arm"] == "ramp_grpo";
        assert!(if grpo { written == 48.0 } else { [16.0, 32.0, 48.0].contains(&written) }, "{line}");
        // The policy wrote the texts itself, with the same numbers.
        assert!((number("ratio") - 1.0).abs() < 1e-3 && number("clipped") == 0.0, "{line}");
    }
    let page = std::fs::read_to_string(place.path("run/report.html")).unwrap();
    assert!(page.contains("transcript") && page.contains("prompt: Q e"), "the report has what agents wrote");
}
