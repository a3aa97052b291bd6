//! Hashes of files, remembered between runs.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// A file that changed this short ago may change again within the clock's resolution.
const SETTLED: Duration = Duration::from_secs(2);
const CACHE_LIMIT: u64 = 4 << 20;
const ENTRY_LIMIT: usize = 1000;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    size: u64,
    modified: i128,
    changed: i128,
    inode: u64,
    hash: String,
}

impl Entry {
    fn of(metadata: &Metadata, hash: String) -> Self {
        let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        Self {
            size: metadata.size(),
            modified: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            changed: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
            hash,
        }
    }
}

/// BLAKE3 hashes of files. A hash is taken from the cache while size, inode, and the times of
/// modification and change of the file are as they were.
#[derive(Debug, Default)]
pub struct Hashes {
    file: Option<PathBuf>,
    entries: Mutex<Option<BTreeMap<PathBuf, Entry>>>,
}

impl Hashes {
    /// With a cache in that folder; without one every hash is computed. An unreadable cache is an
    /// empty one.
    pub fn new(folder: Option<&Path>) -> Self {
        Self { file: folder.map(|f| f.join("plugin-hashes.json")), entries: Mutex::new(None) }
    }

    fn read(&self) -> Option<BTreeMap<PathBuf, Entry>> {
        let mut text = String::new();
        File::open(self.file.as_ref()?).ok()?.take(CACHE_LIMIT).read_to_string(&mut text).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Replaces the cache as a whole. Failing to is no error: the next run computes again.
    fn write(&self, entries: &BTreeMap<PathBuf, Entry>) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let temporary = file.with_extension(format!("{}.tmp", std::process::id()));
        let mut out = File::create(&temporary)?;
        out.write_all(&serde_json::to_vec(entries)?)?;
        std::fs::rename(&temporary, file)
    }

    /// The hash of the file's bytes, hexadecimal.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn of(&self, path: &Path) -> io::Result<String> {
        let path = path.canonicalize()?;
        let metadata = path.metadata()?;
        let mut guard = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let entries = guard.get_or_insert_with(|| self.read().unwrap_or_default());
        if let Some(known) = entries.get(&path)
            && *known == Entry::of(&metadata, known.hash.clone())
        {
            return Ok(known.hash.clone());
        }
        let file = File::open(&path)?;
        let before = file.metadata()?;
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(&file)?;
        let hash = hasher.finalize().to_hex().to_string();
        let after = file.metadata()?;
        let entry = Entry::of(&before, hash.clone());
        let settled = before
            .modified()
            .ok()
            .and_then(|at| SystemTime::now().duration_since(at).ok())
            .is_some_and(|age| age > SETTLED);
        if settled && entry == Entry::of(&after, hash.clone()) {
            if entries.len() >= ENTRY_LIMIT {
                entries.retain(|path, _| path.exists());
                if entries.len() >= ENTRY_LIMIT {
                    entries.clear();
                }
            }
            entries.insert(path, entry);
            // A read-only or full home costs time, not correctness.
            let _ = self.write(entries);
        }
        Ok(hash)
    }
}
