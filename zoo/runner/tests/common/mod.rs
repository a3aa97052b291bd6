//! Whole runs of a small recipe by the program itself.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "shared by several tests")]

use serde_json::Value as Json;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use zoo_check::{Catalogue, Input, Plugin, check};
use zoo_discovery::{Hashes, Here, Limits, read_file};
use zoo_record::{Event, RunDir, RunResult, read_history};
use zoo_schema::experiment::Experiment;

const RECIPE: &str = include_str!("../../../../tests/recipes/line.mlm");

fn built(name: &str) -> PathBuf {
    let folder = std::env::current_exe().unwrap().parent().unwrap().to_owned();
    folder.join(format!("lib{name}.so"))
}

fn catalogue() -> Catalogue {
    let plugins = ["zoo_optimization", "zoo_toy"].map(|name| {
        let path = built(name);
        let content = read_file(&path, &Here::default(), &Limits::default()).unwrap();
        Plugin {
            name: content.build.name.clone(),
            version: content.build.version.clone(),
            path: path.display().to_string(),
            hash: Hashes::new(None).of(&path).unwrap(),
            components: content.components,
        }
    });
    Catalogue { plugins: plugins.into(), refused: Vec::new() }
}

/// The experiment of `tests/recipes/line.mlm` under these settings.
pub fn experiment(sets: &[&str], seeds: u64) -> Experiment {
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    let catalogue = catalogue();
    let checked = check(&Input {
        name: "line.mlm",
        text: RECIPE,
        read: &|_| Err("it uses no other file".into()),
        catalogue: &catalogue,
        profile: None,
        arms: &[],
        sets: &sets,
        seeds: Some(seeds),
        messages_only: false,
    });
    let mut experiment = checked.experiment.unwrap_or_else(|| panic!("{:#?}", checked.diagnostics));
    for plugin in &mut experiment.plugins {
        plugin.hash = Hashes::new(None).of(Path::new(&plugin.path)).unwrap();
    }
    experiment
}

/// A folder for runs, with a cache of its own.
pub struct Place {
    pub folder: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn dir(&self, name: &str) -> RunDir {
        RunDir::new(self.folder.path().join(name))
    }

    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_zoo-runner"));
        command
            .args(words)
            .args(["--device", "cpu", "--threads", "1"])
            .current_dir(self.folder.path())
            .env("ZOO_CACHE", self.folder.path().join("cache"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Writes the experiment and begins a run of it.
    pub fn begin(&self, experiment: &Experiment, run: &str, more: &[&str]) -> Child {
        let file = self.folder.path().join(format!("{run}.json"));
        std::fs::write(&file, serde_json::to_vec(experiment).unwrap()).unwrap();
        let words = ["run", "--experiment", file.to_str().unwrap(), "--out", run];
        self.command(&[&words, more].concat()).spawn().unwrap()
    }

    pub fn run(&self, experiment: &Experiment, run: &str, more: &[&str]) -> Output {
        self.begin(experiment, run, more).wait_with_output().unwrap()
    }

    pub fn resume(&self, run: &str, more: &[&str]) -> Output {
        self.command(&[&["resume", run], more].concat()).output().unwrap()
    }

    pub fn result(&self, run: &str) -> RunResult {
        RunResult::read(&self.dir(run).result()).unwrap()
    }

    pub fn events(&self, run: &str) -> Vec<Event> {
        read_history(&self.dir(run).events()).unwrap().into_iter().map(|line| line.event).collect()
    }

    /// The last model of every arm and seed, by their names.
    pub fn models(&self, run: &str, experiment: &Experiment) -> Vec<(String, u64, Vec<u8>)> {
        let mut models = Vec::new();
        for arm in &experiment.arms {
            for seed in 0..experiment.seeds {
                let seed = experiment.first_seed + seed;
                let folder = self.dir(run).checkpoints(&arm.name, seed);
                let path = folder.join("final/line/model.safetensors");
                models.push((arm.name.clone(), seed, std::fs::read(&path).unwrap_or_default()));
            }
        }
        models
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// All that a program said, for messages of tests.
pub fn said(output: &Output) -> String {
    format!("code {:?}\n{}\n{}", output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// The last line of standard output as JSON.
pub fn last_json(output: &Output) -> Json {
    let text = text(&output.stdout);
    let line = text.lines().last().unwrap_or_default();
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// Sends a signal by name.
pub fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args(["-s", name, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}
