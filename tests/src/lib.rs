//! Whole-program tests: the built program with the built plugins, as a user meets them.
//!
//! `cargo test` builds a package's own programs and no other package's, so [`built`] has cargo make the
//! program, the runner and the plugins before the first of these tests uses them.
#![allow(clippy::unwrap_used, reason = "only tests use it")]

use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use tempfile::TempDir;

/// The repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The folder with the program, the runner and the first-party plugins, as new as their sources.
///
/// # Panics
/// When they cannot be built, or, where the test runs without cargo, are not there.
pub fn built() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        // The test is in `deps` below it.
        let own = std::env::current_exe().unwrap();
        let folder = own.parent().and_then(Path::parent).unwrap().to_owned();
        if let Some(cargo) = std::env::var_os("CARGO") {
            build(Path::new(&cargo), &folder);
        }
        for name in ["zoo", "zoo-runner", "libzoo_toy.so", "libzoo_optimization.so", "libzoo_transformer.so"]
        {
            assert!(folder.join(name).is_file(), "{name} is not built: call `cargo build --workspace` first");
        }
        folder
    })
}

/// Builds the workspace into `folder`, which is a target folder's `debug` or `release`. The cargo that
/// runs the tests has given its lock back by then; other processes of tests wait for this one's.
fn build(cargo: &Path, folder: &Path) {
    let profile = match folder.file_name().and_then(|name| name.to_str()).unwrap() {
        "debug" => "dev",
        other => other,
    };
    // All of it: fewer packages would ask their dependencies for other features, and compile them again.
    let output = Command::new(cargo)
        .args(["build", "--workspace", "--profile", profile, "--target-dir"])
        .arg(folder.parent().unwrap())
        .current_dir(repository())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the program and its plugins cannot be built:\n{errors}");
}

/// A folder to work in, with a home and a cache of its own.
pub struct Place {
    folder: TempDir,
}

/// What a command gave.
#[derive(Debug)]
pub struct Answer {
    /// The standard output.
    pub out: String,
    /// The standard error.
    pub err: String,
    /// The exit code; −1 where a signal ended it.
    pub code: i32,
}

impl Answer {
    /// Of a process that has ended.
    pub fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            out: text(&output.stdout),
            err: text(&output.stderr),
            code: output.status.code().unwrap_or(-1),
        }
    }

    /// The last line of the standard output, which is the result as JSON.
    pub fn json(&self) -> Value {
        let last = self.out.lines().last().unwrap_or_default();
        serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

impl Default for Place {
    fn default() -> Self {
        Self::new()
    }
}

impl Place {
    /// An empty one.
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file into it.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The program, to be called in it.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(built().join("zoo"));
        command
            .args(words)
            .current_dir(self.folder.path())
            .env("HOME", self.path("home"))
            .env("ZOO_CACHE", self.path("cache"))
            .env_remove("ZOO_PLUGIN_PATH")
            .env_remove("XDG_DATA_HOME")
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_CACHE_HOME")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Calls the program.
    pub fn zoo(&self, words: &[&str]) -> Answer {
        Answer::of(&self.command(words).output().unwrap())
    }

    /// Calls the program with lines on its standard input.
    pub fn with_lines(&self, words: &[&str], lines: &[String]) -> Answer {
        let mut child = self.command(words).stdin(Stdio::piped()).spawn().unwrap();
        let mut text = lines.join("\n");
        text.push('\n');
        // A program that refuses its options reads nothing.
        let _ = child.stdin.take().unwrap().write_all(text.as_bytes());
        Answer::of(&child.wait_with_output().unwrap())
    }

    /// The same where it goes well: the lines of JSON that it answers with.
    pub fn answers(&self, words: &[&str], lines: &[String]) -> Vec<Value> {
        let answer = self.with_lines(words, lines);
        assert_eq!(answer.code, 0, "{answer:#?}");
        answer.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// A small reference model with a tokenizer, in a folder of its name; with names of classes.
    pub fn reference_model(&self, name: &str, tokenizer: &str, labels: Option<&Value>) {
        let golden = repository().join("plugins/checkpoints/tests/golden").join(name);
        let folder = self.path(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::copy(golden.join("model.safetensors"), folder.join("model.safetensors")).unwrap();
        let mut config: Value =
            serde_json::from_str(&std::fs::read_to_string(golden.join("config.json")).unwrap()).unwrap();
        if let Some(labels) = labels {
            let named = labels.as_array().unwrap().iter().enumerate();
            config["id2label"] = named.map(|(i, label)| (i.to_string(), label.clone())).collect();
        }
        std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
        for file in std::fs::read_dir(repository().join("tests/inference").join(tokenizer)).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), folder.join(file.file_name())).unwrap();
        }
    }
}

/// A safetensors file of matrices of these names and shapes, with numbers between -1 and 1.
pub fn safetensors(tensors: &[(String, [usize; 2])]) -> Vec<u8> {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, shape) in tensors {
        let start = data.len();
        for i in 0..shape[0] * shape[1] {
            data.extend(((start + 7 * i) as f32).sin().to_le_bytes());
        }
        let entry = json!({ "dtype": "F32", "shape": shape, "data_offsets": [start, data.len()] });
        header.insert(name.clone(), entry);
    }
    let mut header = Value::Object(header).to_string();
    header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat()
}
