//! Where the run's assets come from, and where what is fetched and made is kept.

use std::path::{Path, PathBuf};
use zoo_engine::{AssetSource, Fetched};
use zoo_host::EnvironmentError;
use zoo_record::LockedAsset;

/// `ZOO_CACHE`, else `zoo` in the user's cache folder, else `.zoo/cache` here.
pub(crate) fn cache_folder() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("ZOO_CACHE")
        .or_else(|| Some(set("XDG_CACHE_HOME")?.join("zoo")))
        .or_else(|| Some(set("HOME")?.join(".cache/zoo")))
        .unwrap_or_else(|| PathBuf::from(".zoo/cache"))
}

/// The source of assets.
pub(crate) fn source(_offline: bool) -> Box<dyn AssetSource> {
    Box::new(Local)
}

/// Files of this machine.
struct Local;

impl AssetSource for Local {
    fn fetch(&self, uri: &str) -> Result<Fetched, EnvironmentError> {
        let path = PathBuf::from(uri.strip_prefix("file:").unwrap_or(uri));
        let mut hasher = blake3::Hasher::new();
        let mut bytes = 0;
        add(&path, Path::new(""), &mut hasher, &mut bytes)
            .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let hash = format!("blake3:{}", hasher.finalize().to_hex());
        Ok(Fetched { path, locked: LockedAsset { uri: uri.to_owned(), revision: None, hash, bytes } })
    }
}

/// A file's content, or names and contents of a folder's files in the order of their names.
fn add(root: &Path, inside: &Path, hasher: &mut blake3::Hasher, bytes: &mut u64) -> std::io::Result<()> {
    let path = root.join(inside);
    if !path.is_dir() {
        let content = std::fs::read(if inside.as_os_str().is_empty() { root } else { &path })?;
        *bytes += content.len() as u64;
        hasher.update(inside.to_string_lossy().as_bytes());
        hasher.update(&(content.len() as u64).to_le_bytes());
        hasher.update(&content);
        return Ok(());
    }
    let mut names: Vec<_> =
        std::fs::read_dir(&path)?.map(|entry| Ok(entry?.file_name())).collect::<std::io::Result<_>>()?;
    names.sort();
    names.into_iter().try_for_each(|name| add(root, &inside.join(name), hasher, bytes))
}
