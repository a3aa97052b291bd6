//! A stranger's way, outside the workspace: `zoo plugin new`, build, `zoo plugin test`, the crate's own tests,
//! and a run of the recipe, with no edit in between.
//!
//! Three kinds always, with the dependencies that the workspace's build has compiled already; all kinds, and
//! from nothing, in the slow suite: `./zoo.sh test --all`.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::process::Command;
use zoo_tests::{Answer, Place, built, repository};

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
fn three_kinds_are_made_built_tested_and_run() {
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
    for kind in ["objective", "masker", "adapter"] {
        way(&place, kind, &folders);
    }
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
