//! From a recipe to a verdict with the real program, the real runner and real plugins.

#![allow(clippy::unwrap_used, reason = "a test may")]

use serde_json::Value;
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use zoo_tests::{Answer, Place, repository};

const COMPUTE: [&str; 4] = ["--device", "cpu", "--threads", "1"];

fn recipe() -> String {
    repository().join("tests/recipes/line.mlm").to_string_lossy().into_owned()
}

#[test]
fn a_run_ends_with_a_verdict_and_a_report() {
    let place = Place::new();
    let recipe = recipe();
    let words = [&["run", recipe.as_str(), "--json", "--seeds", "6"], &COMPUTE[..]].concat();
    let answer = place.zoo(&words);
    let result = answer.json();
    let outcome = result["claims"][0]["outcome"].as_str().unwrap();
    let code = match outcome {
        "holds" => 0,
        "fails" => 3,
        _ => 4,
    };
    assert_eq!((answer.code, outcome), (code, "holds"), "{answer:#?}");
    assert_eq!(result["profile"], "mini");
    assert_eq!(result["run_dir"], "runs/line-mini-1");
    let arms: Vec<&str> =
        result["arms"].as_array().unwrap().iter().map(|arm| arm["name"].as_str().unwrap()).collect();
    assert_eq!(arms, ["slow", "fast"]);
    assert!(result["arms"][0]["metrics"][0]["seeds"][0]["value"].is_number());

    // The page is of this run, and the same when it is made again.
    let page = std::fs::read_to_string(place.path("runs/line-mini-1/report.html")).unwrap();
    assert!(page.contains("The claim holds") && page.contains("Fitting a line"));
    let again = place.zoo(&["report", "runs/line-mini-1", "--out", "-"]);
    assert_eq!(again.code, 0, "{again:#?}");
    assert!(again.out == page, "the report differs when it is made again");

    // What was typed is written down.
    let environment = std::fs::read_to_string(place.path("runs/line-mini-1/environment.json")).unwrap();
    let environment: Value = serde_json::from_str(&environment).unwrap();
    let typed: Vec<&str> =
        environment["command"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    assert_eq!(typed[1..3], ["run", recipe.as_str()]);
}

#[test]
fn a_claim_that_fails_has_a_code_of_its_own() {
    let place = Place::new();
    let text = std::fs::read_to_string(recipe()).unwrap();
    let text = text.replace("distance(fast) < distance(slow)", "distance(fast) > distance(slow)");
    place.write("line.mlm", &text);
    let answer = place.zoo(&[&["run", "line.mlm", "--out", "run", "--seeds", "6"], &COMPUTE[..]].concat());
    assert_eq!(answer.code, 3, "{answer:#?}");
}

/// What Ctrl-C sends. A process that has just ended of itself is no mistake.
fn interrupt(child: &Child) {
    let _ = Command::new("sh").args(["-c", &format!("kill -INT {}", child.id())]).status().unwrap();
}

/// A control compares an arm with itself: nothing is found, and what differs is the seed alone.
#[test]
fn a_control_puts_an_arm_against_itself() {
    let place = Place::new();
    let text = std::fs::read_to_string(recipe()).unwrap();
    let more = "claim \"it comes close\" {\n  require distance(fast) < 1000\n  over seeds at 95% confidence\n}\n\n\
                claim \"as good\" {\n  require abs(distance(fast) - distance(slow)) < 1000\n  \
                over seeds paired at 95% confidence\n}\n\nprofile mini";
    place.write("line.mlm", &text.replace("profile mini", more).replace("  stop_when_decided = true\n", ""));
    let zoo = |words: &[&str]| place.zoo(&[words, &COMPUTE[..]].concat());
    let answer = zoo(&["run", "line.mlm", "--control", "--seeds", "4", "--profile", "mini"]);
    assert_eq!(answer.code, 0, "{answer:#?}");
    for part in [
        "Control: one arm against itself under other seeds",
        "as it should",
        "no control  it comes close\n             it is about one arm",
        "no control  as good\n             an arm and itself meet it",
    ] {
        assert!(answer.out.contains(part), "{part}: {}", answer.out);
    }
    assert!(answer.err.contains("no control: \"it comes close\": it is about one arm"), "{}", answer.err);
    let result = |run: &str| -> Value {
        let text = std::fs::read_to_string(place.path(run).join("result.json")).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let control = result("runs/line-mini-control-1");
    let value = |result: &Value, arm: usize, seed: usize| {
        let seed = &result["arms"][arm]["metrics"][0]["seeds"][seed];
        (seed["seed"].as_u64().unwrap(), seed["value"].as_f64().unwrap())
    };
    assert_eq!(control["arms"][0]["name"], "fast");
    assert_eq!(control["arms"][1]["name"], "fast_again");
    // The arm is what it is without a control, to the bit; its copy has the same seeds' numbers, and other draws.
    let answer = zoo(&["run", "line.mlm", "--out", "plain", "--seeds", "4"]);
    assert!([0, 3, 4].contains(&answer.code), "{answer:#?}");
    let plain = result("plain");
    assert_eq!(plain["arms"][1]["name"], "fast");
    for seed in 0..4 {
        assert_eq!(value(&control, 0, seed), value(&plain, 1, seed));
        assert_eq!(value(&control, 0, seed).0, value(&control, 1, seed).0);
        assert!(value(&control, 0, seed).1 != value(&control, 1, seed).1);
    }
    let page = std::fs::read_to_string(place.path("runs/line-mini-control-1/report.html")).unwrap();
    assert!(page.contains("A control: no claim holds, as it should be") && page.contains("no control"));

    // It goes on as what it is.
    let more = zoo(&["run", "--resume", "runs/line-mini-control-1", "--seeds", "5"]);
    assert!(more.code == 0 && more.out.contains("as it should"), "{more:#?}");

    // Where nothing has a control, nothing is run.
    let text = text
        .replace("distance(fast) < distance(slow)", "distance(fast) < 1000")
        .replace("  holding cost.steps within 0%\n", "");
    place.write("alone.mlm", &text);
    let answer = zoo(&["run", "alone.mlm", "--control"]);
    assert!(
        answer.code == 0 && answer.err.contains("no claim has a control; nothing was run"),
        "{answer:#?}"
    );
}

/// Ctrl-C reaches the runner through the program; the run goes on with `--resume`.
#[test]
fn a_stopped_run_goes_on() {
    let place = Place::new();
    let recipe = recipe();
    let words = [
        &["run", recipe.as_str(), "--out", "run", "--set", "steps=20000 steps", "--seeds", "2"],
        &COMPUTE[..],
    ]
    .concat();
    let child = place.command(&words).spawn().unwrap();
    let metrics = place.path("run/metrics.jsonl");
    let begun = Instant::now();
    while std::fs::metadata(&metrics).map_or(0, |metadata| metadata.len()) == 0 {
        assert!(begun.elapsed() < Duration::from_secs(120), "the run does not begin");
        std::thread::sleep(Duration::from_millis(20));
    }
    interrupt(&child);
    let stopped = Answer::of(&child.wait_with_output().unwrap());
    assert_eq!(stopped.code, 130, "{stopped:#?}");
    let page = std::fs::read_to_string(place.path("run/report.html")).unwrap();
    assert!(page.contains("The run was stopped") && page.contains("zoo run --resume run"));

    let child = place.command(&["run", "--resume", "run"]).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    interrupt(&child);
    let resumed = Answer::of(&child.wait_with_output().unwrap());
    assert!([0, 3, 4, 130].contains(&resumed.code), "{resumed:#?}");
}
