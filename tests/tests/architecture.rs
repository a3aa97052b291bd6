//! The invariants of `ARCHITECTURE.md`, read from the sources and from cargo's own graph.

// Also outside of the test functions, in what they share.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every Rust source below a folder of the repository, with its path from there.
fn sources(folder: &str) -> Vec<(String, String)> {
    fn visit(path: &Path, root: &Path, out: &mut Vec<(String, String)>) {
        for entry in fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                visit(&path, root, out);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                out.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let root = root();
    let mut out = Vec::new();
    visit(&root.join(folder), &root, &mut out);
    assert!(!out.is_empty(), "{folder}");
    out
}

/// A line's code, without its comment.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

/// Names of everything that a package is linked from.
fn linked(package: &str) -> Vec<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["tree", "--package", package, "--edges", "normal,no-proc-macro"])
        .args(["--prefix", "none", "--format", "{p}"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let names: Vec<_> = text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
    assert_eq!(names.first().map(String::as_str), Some(package));
    names
}

fn package(manifest: &Path) -> String {
    let text = fs::read_to_string(manifest).unwrap();
    let line = text.lines().find(|line| line.starts_with("name = ")).unwrap();
    line.split('"').nth(1).unwrap().to_owned()
}

/// Packages of a folder of the repository.
fn packages(folder: &str) -> Vec<String> {
    let mut out = Vec::new();
    for entry in fs::read_dir(root().join(folder)).unwrap() {
        let manifest = entry.unwrap().path().join("Cargo.toml");
        if manifest.is_file() {
            out.push(package(&manifest));
        }
    }
    assert!(out.len() > 2, "{folder}: {out:?}");
    out
}

#[test]
fn the_language_and_the_command_line_link_no_libtorch() {
    let mut without = packages("dsl");
    without.extend(["zoo", "zoo-discovery", "zoo-record", "zoo-statistics"].map(str::to_owned));
    for name in without {
        for linked in linked(&name) {
            assert!(
                !["tch", "torch-sys", "zoo-torch", "zoo-host"].contains(&linked.as_str()),
                "{name}: {linked}"
            );
        }
    }
    // The other way round, so that the test would see it.
    assert!(linked("zoo-runner").contains(&"torch-sys".to_owned()));
}

#[test]
fn the_abi_has_no_dependencies() {
    assert_eq!(linked("zoo-abi"), ["zoo-abi"]);
}

#[test]
fn the_language_does_no_input_and_output() {
    for (name, text) in sources("dsl") {
        let library = name.contains("/src/") && !name.ends_with("/testing.rs");
        if !library {
            continue;
        }
        for line in text.lines().map(code) {
            for word in ["std::fs", "std::net", "std::process", "std::env", "File::open"] {
                // Unit tests may read cases from files.
                let in_tests =
                    text.find("#[cfg(test)]").is_some_and(|at| text.find(line).is_some_and(|l| l > at));
                assert!(!line.contains(word) || in_tests, "{name}: {line}");
            }
        }
    }
}

#[test]
fn unsafe_code_lives_at_the_boundary() {
    // The SDK's boundary, the host, the shim's wrappers, and what the SDK's macro writes into a plugin.
    let allowed = ["core/abi/", "core/host/", "core/plugin/", "core/plugin-macros/", "core/torch/"];
    for folder in ["core", "dsl", "plugins", "zoo"] {
        for (name, text) in sources(folder) {
            if allowed.iter().any(|place| name.starts_with(place)) {
                continue;
            }
            for line in text.lines().map(code) {
                let found = ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern", "#[unsafe("];
                assert!(!found.iter().any(|word| line.contains(word)), "{name}: {line}");
            }
        }
    }
}

#[test]
fn only_the_command_line_prints() {
    for folder in ["core", "dsl", "plugins"] {
        for (name, text) in sources(folder) {
            // Build scripts talk to cargo so; tests and examples print what they found.
            if !name.contains("/src/") || name.starts_with("core/plugin-build/") {
                continue;
            }
            for line in text.lines().map(code) {
                let prints = ["println!(", "eprintln!(", "print!(", "eprint!("]
                    .iter()
                    .any(|word| line.contains(word) && !line.contains(&format!("_{word}")));
                let in_tests =
                    text.find("#[cfg(test)]").is_some_and(|at| text.find(line).is_some_and(|l| l > at));
                assert!(!prints || in_tests, "{name}: {line}");
            }
        }
    }
}

#[test]
fn each_special_dependency_has_its_place() {
    for (dependency, places) in [
        ("pest", &["dsl/syntax"][..]),
        ("libloading", &["core/host"]),
        ("inventory", &["core/plugin"]),
        // `zoo embed` reads a hub's folder without a recipe, and so without a tokenizer component.
        ("tokenizers", &["plugins/text", "zoo/inference"]),
        ("ureq", &["core/assets"]),
    ] {
        for folder in ["core", "dsl", "plugins", "zoo"] {
            for entry in fs::read_dir(root().join(folder)).unwrap() {
                let path = entry.unwrap().path();
                let Ok(text) = fs::read_to_string(path.join("Cargo.toml")) else { continue };
                let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
                let uses = text.lines().take_while(|line| *line != "[dev-dependencies]").any(|line| {
                    line.starts_with(&format!("{dependency}.")) || line.starts_with(&format!("{dependency} "))
                });
                assert!(!uses || places.contains(&name.as_str()), "{name} depends on {dependency}");
            }
        }
    }
}

#[test]
fn plugins_know_only_the_sdk() {
    for name in packages("plugins") {
        for linked in linked(&name) {
            let inner = ["zoo-host", "zoo-engine", "zoo-check", "zoo-syntax", "zoo-record", "zoo-discovery"];
            assert!(!inner.contains(&linked.as_str()), "{name}: {linked}");
        }
    }
}
