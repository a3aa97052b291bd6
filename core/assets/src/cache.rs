//! One folder of the cache for every asset.
//!
//! ```text
//! CACHE/assets/KEY/entry.json    what the asset is, its hash, where its content stands
//!                  lock          held by the process that fetches it
//!                  part, part.json, parts/     what arrived of a download
//!                  HASH/NAME     the content: a file or a folder
//! ```

use crate::AssetError;
use crate::hash::{Content, content_of, digest_of_text, signature_of};
use crate::progress::Progress;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

const VERSION: u32 = 1;

/// What `entry.json` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    version: u32,
    /// The asset's canonical URI.
    pub(crate) uri: String,
    /// What a name that may move stood for.
    pub(crate) revision: Option<String>,
    /// `sha256:…`
    pub(crate) hash: String,
    pub(crate) bytes: u64,
    /// The content, from the folder; absent for a file of this machine, which stays where it is.
    place: Option<String>,
    /// See [`signature_of`].
    signature: String,
}

/// The folder of one asset.
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
    uri: String,
}

/// The asset is this process's to fetch, until it is dropped.
pub(crate) struct Guard {
    // Unlocked when it is closed.
    _file: File,
}

impl Folder {
    /// Of that asset; makes nothing.
    pub(crate) fn new(cache: &Path, uri: &str) -> Self {
        // The whole URI stands in the entry and is compared; half of the digest is a name.
        let key = digest_of_text(uri)[..32].to_owned();
        Self { path: cache.join("assets").join(key), uri: uri.to_owned() }
    }

    fn make(&self) -> Result<(), AssetError> {
        fs::create_dir_all(&self.path).map_err(AssetError::io("create", &self.path))
    }

    /// Waits until no other process or thread fetches the asset.
    pub(crate) fn lock(&self, uri: &str, progress: &dyn Progress) -> Result<Guard, AssetError> {
        self.make()?;
        let path = self.path.join("lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(AssetError::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                progress.waiting(uri);
                file.lock().map_err(AssetError::io("lock", &path))?;
            }
            Err(TryLockError::Error(error)) => return Err(AssetError::io("lock", &path)(error)),
        }
        Ok(Guard { _file: file })
    }

    /// The entry, if there is one of this asset that can be read; a damaged one is none.
    pub(crate) fn entry(&self) -> Option<Entry> {
        let text = fs::read_to_string(self.path.join("entry.json")).ok()?;
        let entry: Entry = serde_json::from_str(&text).ok()?;
        (entry.version == VERSION && entry.uri == self.uri).then_some(entry)
    }

    /// The path of the entry's content, if it is as it was when it was fetched. Content that was touched is
    /// hashed again.
    pub(crate) fn content(&self, entry: &Entry) -> Option<PathBuf> {
        let path = self.path.join(entry.place.as_ref()?);
        let (signature, _) = signature_of(&path).ok()?;
        if signature == entry.signature {
            return Some(path);
        }
        let content = content_of(&path).ok()?;
        if content.hash != entry.hash {
            tracing::warn!(uri = entry.uri, path = %path.display(), "the cached content was changed");
            return None;
        }
        // Copied or restored: the same bytes, other times.
        let _ = self.write(&Entry { signature, ..entry.clone() });
        Some(path)
    }

    /// Moves content into its place and writes the entry. The content of an earlier entry is removed.
    pub(crate) fn place(
        &self,
        from: &Path,
        name: &str,
        content: &Content,
        revision: Option<String>,
    ) -> Result<(Entry, PathBuf), AssetError> {
        let earlier = self.entry();
        // Other content has another path: who reads the earlier one is not given half of each.
        let digest = content.hash.trim_start_matches("sha256:");
        let folder = &digest[..digest.len().min(16)];
        let place = format!("{folder}/{name}");
        let path = self.path.join(&place);
        let parent = self.path.join(folder);
        if parent.exists() {
            fs::remove_dir_all(&parent).map_err(AssetError::io("replace", &parent))?;
        }
        fs::create_dir_all(&parent).map_err(AssetError::io("create", &parent))?;
        fs::rename(from, &path).map_err(AssetError::io("write", &path))?;
        let entry = Entry {
            version: VERSION,
            uri: self.uri.clone(),
            revision,
            hash: content.hash.clone(),
            bytes: content.bytes,
            signature: signature_of(&path)?.0,
            place: Some(place.clone()),
        };
        self.write(&entry)?;
        if let Some(old) = earlier.and_then(|entry| entry.place).filter(|old| *old != place)
            && let Some(old) = Path::new(&old).parent()
        {
            let _ = fs::remove_dir_all(self.path.join(old));
        }
        Ok((entry, path))
    }

    /// What a file or folder of this machine hashes to; from the cache while it is unchanged.
    pub(crate) fn local(&self, path: &Path) -> Result<Content, AssetError> {
        let (signature, settled) = signature_of(path)?;
        if let Some(entry) = self.entry().filter(|entry| entry.signature == signature) {
            return Ok(Content { hash: entry.hash, bytes: entry.bytes });
        }
        let content = content_of(path)?;
        // Only what did not change while it was read can be relied on. A cache that cannot be written is
        // no reason to fail: the hash is computed again next time.
        if settled && signature_of(path)?.0 == signature && self.make().is_ok() {
            let _ = self.write(&Entry {
                version: VERSION,
                uri: self.uri.clone(),
                revision: None,
                hash: content.hash.clone(),
                bytes: content.bytes,
                place: None,
                signature,
            });
        }
        Ok(content)
    }

    fn write(&self, entry: &Entry) -> Result<(), AssetError> {
        let path = self.path.join("entry.json");
        let text = serde_json::to_vec_pretty(entry)
            .map_err(|error| AssetError::io("write", &path)(std::io::Error::other(error)))?;
        write_whole(&path, &text)
    }
}

/// Writes a small file so that it is there whole or not at all.
pub(crate) fn write_whole(path: &Path, content: &[u8]) -> Result<(), AssetError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let written = || -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    written().map_err(AssetError::io("write", path))
}
