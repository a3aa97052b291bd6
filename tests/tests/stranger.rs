//! A stranger's way, outside the workspace: `zoo plugin new`, build, `zoo plugin test`, the crate's own tests,
//! and a run of the recipe, with no edit in between.
//!
//! A plugin outside the workspace compiles the SDK and the shim to libtorch anew, once for all kinds, which
//! is why this is part of the slow suite: `./zoo.sh test --all`.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::process::Command;
use zoo_tests::{Answer, Place};

const KINDS: [&str; 8] =
    ["objective", "masker", "architecture", "adapter", "tool", "reward", "data", "metric"];

/// The whole way for one kind, with a target folder that all share.
fn way(place: &Place, kind: &str, target: &Path) {
    let name = format!("strange-{kind}");
    let answer = place.zoo(&["plugin", "new", &name, "--kind", kind]);
    assert_eq!(answer.code, 0, "{kind}: {answer:#?}");

    let folder = place.path(&format!("zoo-{name}"));
    let within = |words: &[&str]| {
        let mut command = place.command(words);
        command.current_dir(&folder).env("CARGO_TARGET_DIR", target);
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
    own_tests.args(["test", "--test", "component"]).current_dir(&folder).env("CARGO_TARGET_DIR", target);
    let answer = Answer::of(&own_tests.output().unwrap());
    assert_eq!(answer.code, 0, "{kind}: the crate's own tests: {answer:#?}");

    let library = target.join(format!("debug/libzoo_strange_{kind}.so"));
    let answer = within(&["run", "recipes/example.mlm", "--plugin", library.to_str().unwrap(), "--json"]);
    assert_eq!(answer.code, 0, "{kind}: the claim holds: {answer:#?}");
    assert_eq!(answer.json()["claims"].as_array().map(Vec::len), Some(1), "{kind}: {answer:#?}");
}

#[test]
#[ignore = "compiles the SDK outside the workspace"]
fn every_kind_is_made_built_tested_and_run() {
    let place = Place::new();
    // Kept between calls of the tests.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("stranger");
    for kind in KINDS {
        way(&place, kind, &target);
    }
}
