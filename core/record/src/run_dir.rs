//! Where everything of a run lies.

use std::path::{Path, PathBuf};

/// A run directory. Only knows names: nothing here touches the disk.
///
/// | name | what |
/// |---|---|
/// | `experiment.json` | the checked experiment, enough to go on |
/// | `resolved.mlm` | the recipe with everything resolved |
/// | `zoo.lock` | plugins, libtorch, data and seeds, with hashes (TOML) |
/// | `metrics.jsonl` | a line for every logged step and evaluation |
/// | `events.jsonl` | a line for everything else that happened, over all the times it was resumed |
/// | `tensorboard/ARM/SEED/` | event files |
/// | `checkpoints/ARM/SEED/` | checkpoints |
/// | `artifacts/ARM/SEED/` | what components gave for the report |
/// | `result.json` | metrics and judgements |
/// | `environment.json` | machine, versions, command |
/// | `report.html` | the report |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDir {
    root: PathBuf,
}

impl RunDir {
    /// The run directory at this path.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `experiment.json`
    pub fn experiment(&self) -> PathBuf {
        self.root.join("experiment.json")
    }

    /// `resolved.mlm`
    pub fn resolved(&self) -> PathBuf {
        self.root.join("resolved.mlm")
    }

    /// `zoo.lock`
    pub fn lock(&self) -> PathBuf {
        self.root.join("zoo.lock")
    }

    /// `metrics.jsonl`
    pub fn metrics(&self) -> PathBuf {
        self.root.join("metrics.jsonl")
    }

    /// `events.jsonl`
    pub fn events(&self) -> PathBuf {
        self.root.join("events.jsonl")
    }

    /// `result.json`
    pub fn result(&self) -> PathBuf {
        self.root.join("result.json")
    }

    /// `environment.json`
    pub fn environment(&self) -> PathBuf {
        self.root.join("environment.json")
    }

    /// `report.html`
    pub fn report(&self) -> PathBuf {
        self.root.join("report.html")
    }

    /// `tensorboard`
    pub fn tensorboard_root(&self) -> PathBuf {
        self.root.join("tensorboard")
    }

    /// `tensorboard/ARM/SEED`
    pub fn tensorboard(&self, arm: &str, seed: u64) -> PathBuf {
        self.of(self.tensorboard_root(), arm, seed)
    }

    /// `checkpoints/ARM/SEED`
    pub fn checkpoints(&self, arm: &str, seed: u64) -> PathBuf {
        self.of(self.root.join("checkpoints"), arm, seed)
    }

    /// `artifacts/ARM/SEED`
    pub fn artifacts(&self, arm: &str, seed: u64) -> PathBuf {
        self.of(self.root.join("artifacts"), arm, seed)
    }

    fn of(&self, folder: PathBuf, arm: &str, seed: u64) -> PathBuf {
        folder.join(file_name(arm)).join(seed.to_string())
    }
}

/// A name made fit for a file: letters, digits, `-`, `_` and inner dots stay, every other byte becomes `%XX`.
pub fn file_name(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for (index, byte) in name.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => text.push(byte as char),
            b'.' if index > 0 => text.push('.'),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    if text.is_empty() { "%".into() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_the_folder() {
        assert_eq!(file_name("learned"), "learned");
        assert_eq!(file_name("../../etc"), "%2E.%2F..%2Fetc");
        assert_eq!(file_name(".."), "%2E.");
        assert_eq!(file_name("a b"), "a%20b");
        assert_eq!(file_name(""), "%");
        let dir = RunDir::new("runs/1");
        assert_eq!(dir.checkpoints("a", 3), Path::new("runs/1/checkpoints/a/3"));
    }
}
