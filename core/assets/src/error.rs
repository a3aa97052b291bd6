//! Why an asset cannot be had.

use std::io;
use std::path::{Path, PathBuf};

/// Why an asset cannot be had. The texts say what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AssetError {
    /// The URI is none that zoo knows.
    #[error("`{uri}` is no asset: {reason}")]
    BadUri {
        /// As given.
        uri: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no such file or folder on this machine.
    #[error("`{uri}` is not there: no file or folder {}", path.display())]
    NoFile {
        /// As given.
        uri: String,
        /// Where it was looked for.
        path: PathBuf,
    },
    /// It is not in the cache, and the network must not be used.
    #[error(
        "`{uri}` is not in the cache, and the network must not be used (ZOO_OFFLINE or HF_HUB_OFFLINE is set); \
         fetch it once with network, or unset the variable"
    )]
    Offline {
        /// As given.
        uri: String,
    },
    /// The server answered, and does not give it.
    #[error("`{uri}` cannot be fetched: {url} answers {status} ({advice})")]
    Refused {
        /// As given.
        uri: String,
        /// What was asked.
        url: String,
        /// The status of HTTP.
        status: u16,
        /// What it means here, and what to do.
        advice: String,
    },
    /// The server cannot be reached, or its answers break off.
    #[error(
        "`{uri}` cannot be fetched from {url}: {reason}; what arrived is kept, and the next call goes on"
    )]
    Network {
        /// As given.
        uri: String,
        /// What was asked.
        url: String,
        /// The last thing that went wrong.
        reason: String,
    },
    /// The content is not what was expected.
    #[error("`{uri}` has other content than expected: {found}, not {expected} ({place})")]
    WrongHash {
        /// As given.
        uri: String,
        /// The expected hash with its kind.
        expected: String,
        /// The hash of what is there.
        found: String,
        /// Who expected it, or what to do.
        place: String,
    },
    /// pip cannot fetch the package.
    #[error("`{uri}` cannot be fetched with pip: {reason}")]
    Package {
        /// As given.
        uri: String,
        /// What pip says, and what to do.
        reason: String,
    },
    /// The package or repository has no such file or folder.
    #[error("`{uri}` is not there: {container} has no `{member}`{near}")]
    NoMember {
        /// As given.
        uri: String,
        /// The package or repository.
        container: String,
        /// What was looked for.
        member: String,
        /// What stands near it, as the end of the sentence; may be empty.
        near: String,
    },
    /// An archive is damaged, or does what no archive should.
    #[error("`{uri}`: {} cannot be unpacked: {reason}", archive.display())]
    Archive {
        /// As given.
        uri: String,
        /// The archive.
        archive: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// `read`, `write`, `create`, …
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl AssetError {
    pub(crate) fn io<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + use<'a> {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}
