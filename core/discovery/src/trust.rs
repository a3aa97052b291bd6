//! Which plugin files the user has allowed.
//!
//! A plugin is native code. One that lies beside a recipe came with the recipe, perhaps from a stranger;
//! it is loaded only after the user has allowed that very file once. The list is JSON, canonical paths
//! with the BLAKE3 hashes of the files.

use std::collections::BTreeMap;
use std::fs::{File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

const READ_LIMIT: u64 = 4 << 20;
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// The user's list of allowed files.
#[derive(Debug, Default)]
pub struct Allowed {
    file: Option<PathBuf>,
    hashes: BTreeMap<PathBuf, String>,
}

/// What the list says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This file with this content.
    Allowed,
    /// The file, but with another content.
    Changed,
    /// Nothing.
    Unknown,
}

impl Allowed {
    /// Reads the list. A list that is not there is empty.
    ///
    /// # Errors
    /// When it cannot be read, is no list, or can be written by others than the user, who could then
    /// allow what they like.
    pub fn read(file: Option<&Path>) -> io::Result<Self> {
        let Some(path) = file else { return Ok(Self::default()) };
        let empty = Self { file: Some(path.to_owned()), hashes: BTreeMap::new() };
        let opened = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(empty),
            opened => opened?,
        };
        if opened.metadata()?.mode() & WRITABLE_BY_OTHERS != 0 {
            let text = format!("others can write it; chmod go-w {}", path.display());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        }
        let mut text = String::new();
        opened.take(READ_LIMIT).read_to_string(&mut text)?;
        let hashes = serde_json::from_str(&text)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("it is no list: {error}")))?;
        Ok(Self { hashes, ..empty })
    }

    /// What the list says of a file with this hash.
    pub fn verdict(&self, path: &Path, hash: &str) -> Verdict {
        let known = path.canonicalize().ok().and_then(|path| self.hashes.get(&path));
        match known {
            Some(known) if known == hash => Verdict::Allowed,
            Some(_) => Verdict::Changed,
            None => Verdict::Unknown,
        }
    }

    /// Allows the file with this content, and no other in its place.
    ///
    /// # Errors
    /// When the file is gone, or the list cannot be written.
    pub fn allow(&mut self, path: &Path, hash: &str) -> io::Result<()> {
        self.hashes.insert(path.canonicalize()?, hash.to_owned());
        self.write()
    }

    /// Takes the file from the list; false where it was not on it.
    ///
    /// # Errors
    /// When the list cannot be written.
    pub fn forget(&mut self, path: &Path) -> io::Result<bool> {
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let known = self.hashes.remove(&path).is_some();
        if known {
            self.write()?;
        }
        Ok(known)
    }

    /// The files on the list with their hashes, by path.
    pub fn files(&self) -> impl Iterator<Item = (&Path, &str)> {
        self.hashes.iter().map(|(path, hash)| (path.as_path(), hash.as_str()))
    }

    /// Replaces the list as a whole, readable and writable by the user alone.
    fn write(&self) -> io::Result<()> {
        let Some(file) = &self.file else {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "there is no home folder to keep the list in; set XDG_CONFIG_HOME or HOME",
            ));
        };
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let temporary = file.with_extension(format!("{}.tmp", std::process::id()));
        let mut out = File::create(&temporary)?;
        out.set_permissions(Permissions::from_mode(0o600))?;
        out.write_all(&serde_json::to_vec_pretty(&self.hashes)?)?;
        out.sync_all()?;
        std::fs::rename(&temporary, file)
    }
}
