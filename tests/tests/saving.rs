//! What a run saves of its models is what transformers loads: the same numbers, and the same bytes again.

#![allow(clippy::unwrap_used, reason = "a test may")]

use serde_json::Value as Json;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use zoo_tests::{Place, repository};

const COMPUTE: [&str; 4] = ["--device", "cpu", "--threads", "1"];

/// A run of the recipe in the place; the folder of what it saved.
fn run(place: &Place, out: &str, more: &[&str]) -> PathBuf {
    let words = [&["run", "saving.mlm", "--out", out, "--seeds", "1"], more, &COMPUTE[..]].concat();
    let answer = place.zoo(&words);
    assert_eq!(answer.code, 0, "{answer:#?}");
    let arm = place.path(out).join("checkpoints/only");
    let seed = std::fs::read_dir(&arm).unwrap().next().unwrap().unwrap().path();
    seed.join("final")
}

fn copy(from: &Path, to: &Path, names: &[&str]) {
    std::fs::create_dir_all(to).unwrap();
    for name in names {
        std::fs::copy(from.join(name), to.join(name)).unwrap();
    }
}

fn prepared() -> Place {
    let place = Place::new();
    let golden = repository().join("plugins/checkpoints/tests/golden");
    for name in ["bert_mlm", "electra_discriminator"] {
        copy(&golden.join(name), &place.path(name), &["config.json", "model.safetensors"]);
    }
    copy(&repository().join("tests/inference/words"), &place.path("words"), &["tokenizer.json"]);
    let recipe = std::fs::read_to_string(repository().join("tests/recipes/saving.mlm")).unwrap();
    place.write("saving.mlm", &recipe);
    let lines: Vec<String> =
        (0..24).map(|i| format!("the rain in rome, {}", "walking at ".repeat(i % 5))).collect();
    place.write("lines.txt", &lines.join("\n"));
    place
}

#[test]
fn what_was_loaded_is_saved_to_the_byte() {
    let place = prepared();
    // Nothing is learned at a rate of 0.
    let saved = run(&place, "still", &["--set", "rate=0"]);
    for (model, name) in [("loaded", "bert_mlm"), ("judge", "electra_discriminator")] {
        let ours = std::fs::read(saved.join(model).join("model.safetensors")).unwrap();
        let theirs = std::fs::read(place.path(name).join("model.safetensors")).unwrap();
        assert!(ours == theirs, "{model} is not saved as it was loaded");
        let config = |folder: &Path| -> Json {
            serde_json::from_str(&std::fs::read_to_string(folder.join("config.json")).unwrap()).unwrap()
        };
        let mut ours = config(&saved.join(model));
        ours.as_object_mut().unwrap().remove("zoo");
        assert_eq!(ours, config(&place.path(name)));
        assert!(saved.join(model).join("tokenizer.json").exists());
        // And loaded from there, it is saved so again.
        copy(&saved.join(model), &place.path(name), &["config.json", "model.safetensors"]);
    }
    let again = run(&place, "again", &["--set", "rate=0"]);
    for model in ["loaded", "judge", "made", "generator", "discriminator"] {
        for file in ["model.safetensors", "config.json"] {
            let read = |folder: &Path| std::fs::read(folder.join(model).join(file)).unwrap();
            assert!(read(&saved) == read(&again), "{model}/{file} differs");
        }
    }
}

/// A Python that has transformers: `ZOO_PYTHON`, or the one in the path.
fn python() -> String {
    std::env::var("ZOO_PYTHON").unwrap_or_else(|_| "python3".to_owned())
}

#[test]
fn what_was_trained_loads_in_transformers_with_the_same_numbers() {
    let place = prepared();
    let saved = run(&place, "trained", &[]);
    let models = ["loaded", "judge", "made", "generator", "discriminator"];
    let before = std::fs::read(place.path("bert_mlm/model.safetensors")).unwrap();
    assert!(before != std::fs::read(saved.join("loaded/model.safetensors")).unwrap(), "nothing was learned");
    let script = repository().join("tests/inference/loads_in_transformers.py");
    let output = Command::new(python())
        .arg(script)
        .args(models.map(|model| saved.join(model)))
        .stdin(Stdio::null())
        .output();
    let error = match &output {
        Err(error) => Some(format!("NOT CHECKED: `{}`: {error}", python())),
        Ok(output) if output.status.code() == Some(77) => {
            Some(String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_owned())
        }
        Ok(_) => None,
    };
    if let Some(error) = error {
        // Past what captures the output of tests that succeed.
        let _ = writeln!(std::io::stderr(), "{error} (ZOO_PYTHON names the Python to use)");
        return;
    }
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for model in models {
        let answer = place.zoo(&["parity", saved.join(model).to_str().unwrap()]);
        assert_eq!(answer.code, 0, "{model}: {answer:#?}");
        assert!(answer.out.contains("logits"), "{answer:#?}");
    }
}
