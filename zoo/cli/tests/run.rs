//! `zoo run` up to the runner, with a runner made for the test; and `zoo report`.

#![allow(clippy::unwrap_used)]

mod common;

use common::Place;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use zoo_schema::experiment::Experiment;

/// Puts a runner beside the program that writes down what it is given.
fn runner(place: &Place, end: &str) {
    let script = format!("#!/bin/sh\nprintf '%s\\n' \"$@\" > words\ncat > given\n{end}\n");
    let path = place.write("bin/zoo-runner", &script);
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn words(place: &Place) -> Vec<String> {
    fs::read_to_string(place.path("words")).unwrap().lines().map(str::to_owned).collect()
}

fn given(place: &Place) -> Experiment {
    serde_json::from_slice(&fs::read(place.path("given")).unwrap()).unwrap()
}

#[test]
fn the_experiment_reaches_the_runner_and_its_end_is_ours() {
    let place = Place::new();
    runner(&place, "exit 3");
    let answer = place.zoo(&[
        "run",
        "recipes/toy.mlm",
        "--seeds",
        "2",
        "--set",
        "noise=20%",
        "--device",
        "cpu",
        "--json",
    ]);
    assert_eq!(answer.code, 3, "{}", answer.all());
    assert_eq!(answer.out, "", "all that is printed with --json is the runner's");
    assert!(answer.err.contains("profile `mini`, as none was named"), "{}", answer.err);
    let words = words(&place);
    assert_eq!(words[..7], ["run", "--experiment", "-", "--out", "runs/toy-mini-1", "--device", "cpu"]);
    assert_eq!(words[7], "--json");
    assert_eq!(words.iter().filter(|word| *word == "--typed").count(), 10);
    assert!(place.path("runs/toy-mini-1").is_dir());
    let experiment = given(&place);
    assert_eq!((experiment.profile.as_deref(), experiment.seeds), (Some("mini"), 2));
    assert_eq!(experiment.overrides, ["noise=20%"]);
    assert_eq!(experiment.arms.len(), 2);
    assert_eq!(experiment.plugins[0].hash.len(), 64, "plugins are hashed");
    assert!(experiment.plugins[0].path.starts_with('/'));
    // Nothing is left behind but the run's folder.
    let left: Vec<_> = fs::read_dir(place.path(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("zoo-"))
        .collect();
    assert!(left.is_empty(), "{left:?}");

    // The next run has a folder of its own.
    place.zoo(&["run", "recipes/toy.mlm", "--profile", "paper", "--arm", "wide"]);
    assert_eq!(given(&place).arms.len(), 1);
    place.zoo(&["run", "recipes/toy.mlm"]);
    assert!(place.path("runs/toy-mini-2").is_dir() && place.path("runs/toy-paper-1").is_dir());
}

#[test]
fn a_wrong_recipe_runs_nothing() {
    let place = Place::new();
    runner(&place, "exit 0");
    place.recipe_with("toy.network(", "toy.netwrok(");
    let answer = place.zoo(&["run", "recipes/toy.mlm"]);
    assert_eq!(answer.code, 2);
    assert!(answer.err.contains("error[Z0201]") && answer.err.contains("nothing was run"), "{}", answer.err);
    assert!(!place.path("words").exists() && !place.path("runs").exists());
}

#[test]
fn a_folder_that_is_taken_is_refused() {
    let place = Place::new();
    runner(&place, "exit 0");
    place.write("out/experiment.json", "{}");
    let answer = place.zoo(&["run", "recipes/toy.mlm", "--out", "out"]);
    assert_eq!(answer.code, 2);
    assert!(answer.err.contains("`zoo run --resume out` goes on"), "{}", answer.err);
    place.write("full/file", "");
    let answer = place.zoo(&["run", "recipes/toy.mlm", "--out", "full"]);
    assert!(answer.code == 2 && answer.err.contains("is not empty"), "{}", answer.err);
    assert_eq!(place.zoo(&["run", "recipes/toy.mlm", "--out", "new/folder"]).code, 0);
    assert!(place.path("new/folder").is_dir());
}

#[test]
fn resuming_goes_to_the_runner() {
    let place = Place::new();
    runner(&place, "exit 130");
    let answer = place.zoo(&["run", "--resume", "runs/none"]);
    assert!(answer.code == 2 && answer.err.contains("is no run that could go on"), "{}", answer.all());
    place.write("runs/toy-mini-1/experiment.json", "{}");
    let answer = place.zoo(&["run", "--resume", "runs/toy-mini-1", "--seeds", "5"]);
    assert_eq!(answer.code, 130);
    assert_eq!(words(&place)[..4], ["resume", "runs/toy-mini-1", "--seeds", "5"]);
}

/// A run's folder may come from someone else.
#[test]
fn a_run_that_goes_on_loads_only_what_is_trusted() {
    let place = Place::new();
    runner(&place, "exit 3");
    let file = "recipes/plugins/libzoo_toy.so";
    assert_eq!(place.zoo(&["run", "recipes/toy.mlm", "--out", "one"]).code, 3);
    fs::copy(place.path("given"), place.path("one/experiment.json")).unwrap();
    fs::remove_file(place.path("words")).unwrap();
    let goes_on = |options: &[&str]| place.zoo(&[&["run", "--resume", "one"], options].concat());
    // As it was allowed once, for the recipe.
    let answer = goes_on(&[]);
    assert!(answer.code == 3 && answer.err.contains("plugin `zoo-toy` is loaded from"), "{}", answer.all());
    fs::remove_file(place.path("words")).unwrap();

    place.zoo(&["plugin", "allow", "--forget", file]);
    let answer = goes_on(&[]);
    assert_eq!(answer.code, 2, "{}", answer.all());
    for part in ["the run wants plugin `zoo-toy` from", "BLAKE3", "zoo run --resume one --plugin"] {
        assert!(answer.err.contains(part), "{part}: {}", answer.err);
    }
    assert!(!place.path("words").exists(), "nothing was started");
    assert_eq!(goes_on(&["--plugin", file]).code, 3);

    // Another file under the path that was allowed.
    place.allow("zoo-toy");
    let mut bytes = fs::read(place.path(file)).unwrap();
    bytes.extend([0; 8]);
    fs::write(place.path(file), bytes).unwrap();
    assert_eq!(goes_on(&[]).code, 2);
}

#[test]
fn without_a_runner_it_is_said() {
    let place = Place::new();
    let answer = place.zoo(&["run", "recipes/toy.mlm"]);
    assert!(answer.code == 2 && answer.err.contains("zoo-runner` is not there"), "{}", answer.all());
}

#[test]
fn signals_reach_the_runner() {
    let place = Place::new();
    // The runner is the same process: it has the number that was started.
    runner(&place, "echo $$ > process; exit 0");
    let mut child =
        place.command(&["run", "recipes/toy.mlm"]).stderr(std::process::Stdio::null()).spawn().unwrap();
    let number = child.id();
    child.wait().unwrap();
    assert_eq!(fs::read_to_string(place.path("process")).unwrap().trim(), number.to_string());
}

#[test]
fn a_report_is_made_again_from_the_run() {
    let place = Place::new();
    runner(&place, "exit 0");
    place.zoo(&["run", "recipes/toy.mlm", "--out", "run"]);
    fs::copy(place.path("given"), place.path("run/experiment.json")).unwrap();
    let answer = place.zoo(&["report", "run"]);
    assert_eq!((answer.code, answer.out.as_str()), (0, "run/report.html\n"), "{}", answer.all());
    let html = fs::read_to_string(place.path("run/report.html")).unwrap();
    assert!(html.contains("<h1>A toy</h1>") && html.contains("The run is not finished"));
    assert_eq!(place.zoo(&["report", "run", "--out", "-"]).out, html);
    let table = place.zoo(&["report", "run", "--table"]);
    assert!(table.code == 0 && table.out.starts_with("| paper | claim |"), "{}", table.all());
    let two = place.zoo(&["report", "run", "run"]);
    assert!(two.code == 2 && two.err.contains("`--table` makes one table of several"), "{}", two.all());
    let wrong = place.zoo(&["report", "recipes"]);
    assert!(wrong.code == 2 && wrong.err.contains("is no run directory"), "{}", wrong.all());
    let value: Value = serde_json::from_slice(&fs::read(place.path("given")).unwrap()).unwrap();
    assert_eq!(value["paper"]["title"], "A toy");
}
