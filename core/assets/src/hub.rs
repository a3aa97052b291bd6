//! Files and folders of the Hugging Face hub.

use crate::AssetError;
use crate::download::{Client, Request};
use crate::hash::digest_of;
use crate::options::Options;
use crate::progress::Progress;
use crate::uri::{RepositoryKind, is_commit};
use serde::Deserialize;
use std::fs;
use std::path::{Component, Path, PathBuf};
use ureq::http::HeaderMap;

/// A file or folder of a repository, and whose it is for messages.
pub(crate) struct Hub<'a> {
    pub(crate) uri: &'a str,
    pub(crate) kind: RepositoryKind,
    pub(crate) repository: &'a str,
    pub(crate) revision: Option<&'a str>,
    pub(crate) path: &'a str,
}

#[derive(Deserialize)]
struct Listing {
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

impl Hub<'_> {
    pub(crate) fn is_folder(&self) -> bool {
        self.path.is_empty() || self.path.ends_with('/')
    }

    fn prefix(&self) -> &'static str {
        if self.kind == RepositoryKind::Dataset { "datasets/" } else { "" }
    }

    fn file_url(&self, options: &Options, revision: &str, path: &str) -> String {
        let path: Vec<_> = path.split('/').map(escaped).collect();
        format!("{}/{}{}/resolve/{revision}/{}", options.hub, self.prefix(), self.repository, path.join("/"))
    }

    /// Fetches into the folder: what it stands at there, and the commit that it is of.
    pub(crate) fn fetch(
        &self,
        client: &Client,
        options: &Options,
        folder: &Path,
        progress: &dyn Progress,
    ) -> Result<(PathBuf, Option<String>), AssetError> {
        if self.is_folder() {
            return self.fetch_folder(client, options, folder, progress);
        }
        let revision = self.revision.unwrap_or("main");
        let (path, commit) = self.fetch_file(client, options, revision, self.path, folder, progress)?;
        Ok((path, commit.or_else(|| self.revision.filter(|r| is_commit(r)).map(str::to_owned))))
    }

    fn fetch_file(
        &self,
        client: &Client,
        options: &Options,
        revision: &str,
        path: &str,
        folder: &Path,
        progress: &dyn Progress,
    ) -> Result<(PathBuf, Option<String>), AssetError> {
        let url = self.file_url(options, revision, path);
        let advice = |status: u16, headers: &HeaderMap| self.advice(status, headers, revision, path, options);
        let request = Request { uri: self.uri, url: &url, token: options.token.as_deref(), advice: &advice };
        let (file, said) = client.file(&request, folder, progress)?;
        if let Some(expected) = said.sha256 {
            let (found, _) = digest_of(&file)?;
            if found != expected {
                let _ = fs::remove_file(&file);
                return Err(AssetError::WrongHash {
                    uri: self.uri.to_owned(),
                    expected: format!("sha256:{expected}"),
                    found: format!("sha256:{found}"),
                    place: "the hub's own hash; the download was thrown away, call again".to_owned(),
                });
            }
        }
        Ok((file, said.commit))
    }

    /// Every file below the path, at one commit. Finished files stay when a later one fails.
    fn fetch_folder(
        &self,
        client: &Client,
        options: &Options,
        folder: &Path,
        progress: &dyn Progress,
    ) -> Result<(PathBuf, Option<String>), AssetError> {
        let revision = self.revision.unwrap_or("main");
        let kind = if self.kind == RepositoryKind::Dataset { "datasets" } else { "models" };
        let url = format!("{}/api/{kind}/{}/revision/{revision}", options.hub, self.repository);
        let advice = |status: u16, headers: &HeaderMap| self.advice(status, headers, revision, "", options);
        let request = Request { uri: self.uri, url: &url, token: options.token.as_deref(), advice: &advice };
        let text = client.text(&request, progress)?;
        let unexpected = |reason: String| AssetError::Network {
            uri: self.uri.to_owned(),
            url: url.clone(),
            reason: format!("its list of files cannot be read: {reason}"),
        };
        let listing: Listing = serde_json::from_str(&text).map_err(|error| unexpected(error.to_string()))?;
        if !is_commit(&listing.sha) {
            return Err(unexpected(format!("`{}` is no commit", listing.sha)));
        }
        // Of another commit, what an earlier call fetched is of no use.
        let parts = folder.join("parts");
        let content = parts.join(&listing.sha);
        if parts.exists() && !content.exists() {
            fs::remove_dir_all(&parts).map_err(AssetError::io("remove", &parts))?;
        }
        fs::create_dir_all(&content).map_err(AssetError::io("create", &content))?;
        let mut count = 0;
        for name in listing.siblings.iter().map(|sibling| sibling.rfilename.as_str()) {
            let Some(below) = name.strip_prefix(self.path).filter(|below| !below.is_empty()) else {
                continue;
            };
            if !Path::new(below).components().all(|part| matches!(part, Component::Normal(_))) {
                return Err(unexpected(format!("`{name}` is no path inside of the repository")));
            }
            count += 1;
            let target = content.join(below);
            if target.exists() {
                continue;
            }
            let (file, _) = self.fetch_file(client, options, &listing.sha, name, folder, progress)?;
            let parent = target.parent().unwrap_or(&content);
            fs::create_dir_all(parent).map_err(AssetError::io("create", parent))?;
            fs::rename(&file, &target).map_err(AssetError::io("write", &target))?;
        }
        if count == 0 {
            let mut folders: Vec<_> = listing
                .siblings
                .iter()
                .filter_map(|s| s.rfilename.split_once('/'))
                .map(|(top, _)| top)
                .collect();
            folders.dedup();
            let near = if folders.is_empty() {
                "; it has no folders".to_owned()
            } else {
                format!("; its folders are {}", folders[..folders.len().min(10)].join(", "))
            };
            return Err(AssetError::NoMember {
                uri: self.uri.to_owned(),
                container: format!("{} at {}", self.repository, listing.sha),
                member: self.path.to_owned(),
                near,
            });
        }
        Ok((content, Some(listing.sha)))
    }

    /// The hub says in `X-Error-Code` what it means; a repository that nobody may see is "not there".
    fn advice(
        &self,
        status: u16,
        headers: &HeaderMap,
        revision: &str,
        path: &str,
        options: &Options,
    ) -> Option<String> {
        let code = headers.get("x-error-code").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let repository = self.repository;
        let token = match options.token {
            Some(_) => "the token in HF_TOKEN gives no right to it",
            None => "if it is private, set HF_TOKEN to a token that may read it",
        };
        match (code, status) {
            ("GatedRepo", _) => Some(format!(
                "{repository} is gated: accept its terms at {}/{}{repository}, and set HF_TOKEN to a token of \
                 that account",
                options.hub,
                self.prefix()
            )),
            ("RevisionNotFound", _) => Some(format!("{repository} has no revision `{revision}`")),
            ("EntryNotFound", _) => {
                Some(format!("{repository} has no file `{path}` at revision `{revision}`"))
            }
            ("RepoNotFound", _) | (_, 401 | 403) => {
                Some(format!("there is no {}{repository} that may be read; {token}", self.prefix()))
            }
            (_, 404) => {
                Some(format!("{repository} has no `{path}` at revision `{revision}`; check the names"))
            }
            _ => None,
        }
    }
}

/// A part of a path in an address (RFC 3986, unreserved characters stay).
fn escaped(part: &str) -> String {
    let mut out = String::new();
    for byte in part.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn parts_of_paths_are_escaped() {
        assert_eq!(super::escaped("a b+ü.txt"), "a%20b%2B%C3%BC.txt");
    }
}
