//! Plugins that zoo's compiler has not built do real work in recipes, through the program: a loss with
//! gradients in C, a masker in C++ over libtorch itself, and a loss from a Rust compiler older than any
//! that zoo can be built with.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::path::{Path, PathBuf};
use std::process::Command;
use zoo_tests::{Place, repository};

fn built(place: &Place, language: &str) -> PathBuf {
    let status = Command::new(repository().join(format!("tests/plugins/{language}/build.sh")))
        .arg(place.path(""))
        .status();
    assert!(status.unwrap().success());
    place.path(&format!("libzoo_{language}.so"))
}

/// The claim holds, and the run's record names the plugin.
fn holds(place: &Place, recipe: &str, library: &Path, name: &str) {
    let library = library.to_str().unwrap();
    let words = [
        "run",
        recipe,
        "--plugin",
        library,
        "--json",
        "--out",
        "run",
        "--seeds",
        "6",
        "--device",
        "cpu",
        "--threads",
        "1",
    ];
    let answer = place.zoo(&words);
    assert_eq!(
        (answer.code, answer.json()["claims"][0]["outcome"].as_str()),
        (0, Some("holds")),
        "{answer:#?}"
    );
    assert!(
        answer.err.contains(&format!("plugin `{name}` 1.0.0 is loaded from {library}")),
        "{}",
        answer.err
    );
    let lock = std::fs::read_to_string(place.path("run/zoo.lock")).unwrap();
    assert!(lock.contains(&format!("\"{name}\"")), "{lock}");
}

/// The line of `line.mlm`, fitted with another loss.
fn line(place: &Place, plugin: &str, replace: &[(&str, &str)]) -> String {
    let mut text = std::fs::read_to_string(repository().join("tests/recipes/line.mlm")).unwrap();
    let used = format!("use plugin \"zoo-toy\"\nuse plugin \"{plugin}\"");
    for (old, new) in [&[("use plugin \"zoo-toy\"", used.as_str())], replace].concat() {
        assert!(text.contains(old), "{old}");
        text = text.replace(old, new);
    }
    place.write("line.mlm", &text);
    "line.mlm".to_owned()
}

#[test]
fn a_loss_in_c_trains() {
    let place = Place::new();
    let library = built(&place, "c");
    // It compares rows: the map learns to give its input back.
    let recipe = line(
        &place,
        "zoo-c",
        &[
            ("toy.squared_error()", "c.scaled_squares(start: 1.5)"),
            ("model line = toy.line()", "model line = toy.line(width: 3)"),
            ("error(predicted.y, batch.y)", "error(predicted.vector, batch.x)"),
            ("log root = root(predicted.y, batch.y)", "log root = error(predicted.vector, batch.x).loss"),
            ("metric root = toy.root_mean_square()\n", ""),
        ],
    );
    holds(&place, &recipe, &library, "zoo-c");
}

#[test]
fn a_masker_in_cpp_masks() {
    let place = Place::new();
    let library = built(&place, "cpp");
    let recipe = repository().join("tests/recipes/foreign_masker.mlm");
    holds(&place, recipe.to_str().unwrap(), &library, "zoo-cpp");
}

#[test]
#[cfg(all(target_arch = "x86_64", target_env = "gnu"))]
fn a_plugin_of_another_compiler_trains() {
    let place = Place::new();
    let library = repository().join("tests/plugins/older_rust/abi-1.0-x86_64/libzoo_older.so");
    // It was another compiler: the standard library in the file says which.
    let bytes = std::fs::read(&library).unwrap();
    let has = |text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
    assert!(has("rustc 1.63.0") && has("/usr/src/rustc-1.63.0/"), "which compiler built it?");
    let error = [("toy.squared_error()", "older.scaled_squares(start: 1.5)")];
    let recipe = line(&place, "zoo-older", &error);
    holds(&place, &recipe, &library, "zoo-older");
}

/// The lock has version and hash, and a run goes on with another file only when it is told to.
#[test]
#[cfg(all(target_arch = "x86_64", target_env = "gnu"))]
fn a_run_is_bound_to_its_plugins() {
    let place = Place::new();
    let library = place.path("libzoo_older.so");
    let built = repository().join("tests/plugins/older_rust/abi-1.0-x86_64/libzoo_older.so");
    std::fs::copy(built, &library).unwrap();
    let ranged = |range: &str| {
        let used = format!("use plugin \"zoo-older\" \"{range}\"");
        let error = [
            ("toy.squared_error()", "older.scaled_squares(start: 1.5)"),
            ("use plugin \"zoo-older\"", used.as_str()),
        ];
        line(&place, "zoo-older", &error)
    };
    let library = library.to_str().unwrap();
    let begun = |recipe: &str| {
        let words = ["run", recipe, "--plugin", library, "--out", "run", "--seeds", "1"];
        place.zoo(&[&words[..], &["--device", "cpu", "--threads", "1"]].concat())
    };
    let answer = begun(&ranged(">=1.1, <2"));
    assert!(answer.code == 2 && answer.err.contains("plugin `zoo-older` is version 1.0.0"), "{answer:#?}");
    let answer = begun(&ranged(">=1.0, <2"));
    assert!([0, 3, 4].contains(&answer.code), "{answer:#?}");
    let locked = || std::fs::read_to_string(place.path("run/zoo.lock")).unwrap();
    let shown = place.zoo(&["plugin", "list", "--json", "--plugin", library]);
    let shown: serde_json::Value = serde_json::from_str(&shown.out).unwrap();
    let plugins = shown["plugins"].as_array().unwrap();
    let hash = plugins.iter().find(|plugin| plugin["name"] == "zoo-older").unwrap()["blake3"].clone();
    let hash = hash.as_str().unwrap();
    for part in ["name = \"zoo-older\"\nversion = \"1.0.0\"", hash] {
        assert!(locked().contains(part), "{part}: {}", locked());
    }

    // Another file, as a rebuild makes one.
    let mut bytes = std::fs::read(library).unwrap();
    bytes.extend([0; 8]);
    std::fs::write(library, bytes).unwrap();
    let goes_on = |more: &[&str]| {
        place.zoo(&[&["run", "--resume", "run", "--seeds", "2", "--plugin", library], more].concat())
    };
    let answer = goes_on(&[]);
    assert_eq!(answer.code, 1, "{answer:#?}");
    for part in ["plugin `zoo-older`", "--allow-changed-plugins"] {
        assert!(answer.err.contains(part), "{part}: {answer:#?}");
    }
    let answer = goes_on(&["--allow-changed-plugins"]);
    assert!([0, 3, 4].contains(&answer.code), "{answer:#?}");
    assert!(!locked().contains(hash), "the lock has the file that the run went on with: {}", locked());
}

#[test]
fn the_plugins_in_c_and_cpp_are_short() {
    for (file, limit) in [("c/zoo_c.c", 100), ("cpp/zoo_cpp.cpp", 100)] {
        let text = std::fs::read_to_string(repository().join("tests/plugins").join(file)).unwrap();
        assert!(text.lines().count() < limit, "{file}: {} lines", text.lines().count());
    }
}
