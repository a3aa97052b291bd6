//! A stranger's way, outside the workspace: `zoo plugin new`, build, `zoo plugin test`, the crate's own tests,
//! and a run of the recipe, with no edit in between.
//!
//! Four kinds always, three of which then work beside a first-party model, with the dependencies that the workspace's build has compiled already; all kinds, and
//! from nothing, in the slow suite: `./zoo.sh test --all`.

#![allow(clippy::unwrap_used, reason = "tests")]

use serde_json::json;
use std::path::Path;
use std::process::Command;
use zoo_tests::{Answer, Place, built, repository, safetensors};

const KINDS: [&str; 8] =
    ["objective", "masker", "architecture", "adapter", "tool", "reward", "data", "metric"];

/// Where cargo puts what it makes: the libraries, and what it keeps on the way.
struct Folders<'a> {
    target: &'a Path,
    build: &'a Path,
}

impl Folders<'_> {
    fn tell(&self, command: &mut Command) {
        command.env("CARGO_TARGET_DIR", self.target).env("CARGO_BUILD_BUILD_DIR", self.build);
    }
}

/// The whole way for one kind.
fn way(place: &Place, kind: &str, folders: &Folders<'_>) {
    let name = format!("strange-{kind}");
    let answer = place.zoo(&["plugin", "new", &name, "--kind", kind]);
    assert_eq!(answer.code, 0, "{kind}: {answer:#?}");

    let folder = place.path(&format!("zoo-{name}"));
    // What the template gives is the author's to read: no more than a page.
    let source = std::fs::read_to_string(folder.join("src/lib.rs")).unwrap();
    let code = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with("//");
    let lines = source.lines().take_while(|line| *line != "#[cfg(test)]").filter(code).count();
    assert!(lines <= 60, "{kind}: {lines} lines of code");
    // The dependencies in the versions of the workspace.
    std::fs::copy(repository().join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    let within = |words: &[&str]| {
        let mut command = place.command(words);
        command.current_dir(&folder);
        folders.tell(&mut command);
        // Cargo's own folder is the user's, not the test's.
        for variable in ["HOME", "CARGO_HOME", "RUSTUP_HOME"] {
            if let Some(value) = std::env::var_os(variable) {
                command.env(variable, value);
            }
        }
        Answer::of(&command.output().unwrap())
    };
    let answer = within(&["plugin", "test", ".", "--profile", "dev", "--json"]);
    assert_eq!(answer.code, 0, "{kind}: {answer:#?}");
    let report: serde_json::Value = serde_json::from_str(&answer.out).unwrap();
    let passed = report["checks"].as_array().unwrap().iter().filter(|check| check["outcome"] == "passed");
    assert!(passed.count() >= 7, "{kind}: {answer:#?}");

    let mut own_tests = Command::new("cargo");
    own_tests.args(["test", "--test", "component"]).current_dir(&folder);
    folders.tell(&mut own_tests);
    let answer = Answer::of(&own_tests.output().unwrap());
    assert_eq!(answer.code, 0, "{kind}: the crate's own tests: {answer:#?}");

    let library = folders.target.join(format!("debug/libzoo_strange_{kind}.so"));
    let answer = within(&["run", "recipes/example.mlm", "--plugin", library.to_str().unwrap(), "--json"]);
    assert_eq!(answer.code, 0, "{kind}: the claim holds: {answer:#?}");
    assert_eq!(answer.json()["claims"].as_array().map(Vec::len), Some(1), "{kind}: {answer:#?}");
}

#[test]
fn four_kinds_are_made_built_tested_and_run_and_work_beside_a_model() {
    let place = Place::new();
    // As the workspace compiles its dependencies, so that cargo finds them compiled.
    place.write(
        ".cargo/config.toml",
        "[profile.dev]\ndebug = \"line-tables-only\"\n\n\
         [profile.dev.package.\"*\"]\nopt-level = 1\ndebug = false\n",
    );
    let workspace = built().parent().unwrap();
    // The libraries elsewhere: beside the program, zoo would take them for its own.
    let folders = Folders { target: &place.path("target"), build: workspace };
    for kind in ["objective", "adapter", "tool", "reward"] {
        way(&place, kind, &folders);
    }
    beside_a_model(&place, folders.target);
}

/// An adapter, a tool and a reward that no first-party model knows work beside one in `zoo generate`.
fn beside_a_model(place: &Place, target: &Path) {
    place.reference_model("llama_clm", "pieces", None);
    let library = |kind: &str| target.join(format!("debug/libzoo_strange_{kind}.so")).display().to_string();
    let plugins = ["adapter", "tool", "reward"].map(library);
    let mut words = vec!["generate", "--model", "llama_clm", "--greedy", "--max-new-tokens=48"];
    for path in &plugins {
        words.extend(["--plugin", path]);
    }
    let line = |wanted: &str| [json!({ "prompt": "the rain in", "wanted": wanted }).to_string()];

    let mut tensors = Vec::new();
    for layer in [0, 1] {
        tensors.push((format!("layers.{layer}.attention.value.down"), [4, 32]));
        tensors.push((format!("layers.{layer}.attention.value.up"), [32, 4]));
    }
    std::fs::write(place.path("low.safetensors"), safetensors(&tensors)).unwrap();
    let low = ["--adapter", "strange_adapter.low_rank(rank: 4) on layers[*].attention.value"];
    let reward = ["--reward", "common = strange_reward.overlap()"];
    let plain = place.answers(&[&words[..], &reward].concat(), &line("rain")).remove(0);
    let trained = [&words[..], &reward, &low, &["--adapter-weights", "low.safetensors"]].concat();
    let adapted = place.answers(&trained, &line("rain")).remove(0);
    assert_ne!(adapted["tokens"], plain["tokens"]);

    // A part of what the adapted model writes is taken for a question that no calculator understands.
    let text: Vec<char> = adapted["text"].as_str().unwrap().trim_start().chars().collect();
    assert!(text.len() > 14, "{adapted}");
    let part = |range: std::ops::Range<usize>| text[range].iter().collect::<String>();
    let (open, query, close) = (part(0..2), part(2..8), part(8..14));
    let tool = ["--tool", "strange_tool.calculator()", "--call-open", &open, "--call-close", &close];
    let all = [&trained[..], &tool].concat();
    let first = place.answers(&all, &line("rain")).remove(0);
    assert_eq!(first["calls"][0], json!({ "query": query.trim(), "result": "error" }), "{first}");
    assert!(first["text"].as_str().unwrap().contains("error"), "{first}");
    // The reward reads the text with the tool's answers.
    let second = place.answers(&all, &line(first["text"].as_str().unwrap())).remove(0);
    assert_eq!(second["rewards"], json!({ "common": 1.0 }), "{second}");
}

#[test]
#[ignore = "compiles the SDK outside the workspace"]
fn every_kind_is_made_built_tested_and_run() {
    let place = Place::new();
    // Kept between calls of the tests.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("stranger");
    let folders = Folders { target: &target, build: &target };
    for kind in KINDS {
        way(&place, kind, &folders);
    }
}
