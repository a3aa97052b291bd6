//! Files that are made once, under a name that says what they depend on.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use zoo_host::EnvironmentError;

/// Pause between two looks at a lock that someone else holds.
const POLL: Duration = Duration::from_millis(20);

/// A folder of files (or folders) that are there whole or not at all. Several threads and processes
/// may use it at once: of those that want the same file, one makes it and the others wait.
#[derive(Clone, Debug)]
pub struct Cache {
    root: PathBuf,
}

/// How a file of the cache came about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cached {
    /// Where it is.
    pub path: PathBuf,
    /// It was made now; otherwise it was there already.
    pub made: bool,
}

/// Why a file of the cache cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The one who makes it failed.
    #[error("{0}")]
    Produce(EnvironmentError),
    /// The system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// `create`, `lock`, …
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The one who makes it said that it is there, and it is not.
    #[error("nothing was written to {}", .0.display())]
    Nothing(PathBuf),
    /// The run was asked to stop while another one made the file.
    #[error("stopped while waiting for another process that makes {}", .0.display())]
    Cancelled(PathBuf),
}

impl CacheError {
    fn io<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + use<'a> {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}

impl Cache {
    /// The cache in this folder, which need not exist yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The place of a file, whether it is there or not.
    pub fn path(&self, folder: &str, name: &str) -> PathBuf {
        self.root.join(zoo_record::file_name(folder)).join(zoo_record::file_name(name))
    }

    /// The file of this folder and name. Where it is not there, `produce` writes a file or folder to the
    /// path it is given, which then appears under its name as a whole.
    ///
    /// `cancelled` is asked while another process makes the file.
    ///
    /// # Errors
    /// Those of `produce`; what the system refuses.
    pub fn get(
        &self,
        folder: &str,
        name: &str,
        cancelled: &dyn Fn() -> bool,
        produce: &mut dyn FnMut(&Path) -> Result<(), EnvironmentError>,
    ) -> Result<Cached, CacheError> {
        let path = self.path(folder, name);
        if path.exists() {
            return Ok(Cached { path, made: false });
        }
        let parent = path.parent().unwrap_or(&self.root).to_owned();
        fs::create_dir_all(&parent).map_err(CacheError::io("create", &parent))?;
        let _lock = self.lock(&path, cancelled)?;
        if path.exists() {
            return Ok(Cached { path, made: false });
        }
        // What a killed process left; nobody else writes here, for the lock is ours.
        let partial = beside(&path, "partial");
        remove(&partial).map_err(CacheError::io("remove", &partial))?;
        produce(&partial).map_err(|error| {
            let _ = remove(&partial);
            CacheError::Produce(error)
        })?;
        if !partial.exists() {
            return Err(CacheError::Nothing(partial));
        }
        sync(&partial).map_err(CacheError::io("sync", &partial))?;
        fs::rename(&partial, &path).map_err(CacheError::io("rename", &partial))?;
        File::open(&parent).and_then(|f| f.sync_all()).map_err(CacheError::io("sync", &parent))?;
        Ok(Cached { path, made: true })
    }

    /// Holds the lock of a file until it is dropped. Locks belong to open files, so threads exclude each
    /// other as processes do, and a killed process leaves none behind.
    fn lock(&self, path: &Path, cancelled: &dyn Fn() -> bool) -> Result<File, CacheError> {
        let path_of_lock = beside(path, "lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path_of_lock)
            .map_err(CacheError::io("create", &path_of_lock))?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) if cancelled() => {
                    return Err(CacheError::Cancelled(path.to_owned()));
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(POLL),
                Err(TryLockError::Error(error)) => {
                    return Err(CacheError::io("lock", &path_of_lock)(error));
                }
            }
        }
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{ending}"));
    path.with_file_name(name)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Brings a file, or all of a folder, to the disk.
fn sync(path: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            sync(&entry?.path())?;
        }
    }
    if metadata.is_dir() || metadata.is_file() {
        File::open(path)?.sync_all()?;
    }
    Ok(())
}

/// Bytes of a file, or of all files of a folder; 0 where there is none.
pub(crate) fn size(path: &Path) -> u64 {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            let entries = fs::read_dir(path).into_iter().flatten().flatten();
            entries.map(|entry| size(&entry.path())).sum()
        }
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn never() -> bool {
        false
    }

    #[test]
    fn one_of_many_threads_makes_it() {
        let folder = tempfile::tempdir().unwrap();
        let made = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let cached = Cache::new(folder.path())
                        .get("text.wordpiece", "vocabulary-ab", &never, &mut |path| {
                            made.fetch_add(1, Ordering::Relaxed);
                            std::thread::sleep(Duration::from_millis(60));
                            Ok(fs::write(path, "whole")?)
                        })
                        .unwrap();
                    assert_eq!(fs::read_to_string(cached.path).unwrap(), "whole");
                });
            }
        });
        assert_eq!(made.into_inner(), 1);
    }

    #[test]
    fn what_was_left_half_made_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        let path = cache.path("a", "b");
        fs::create_dir_all(beside(&path, "partial").join("old")).unwrap();
        let failed = cache.get("a", "b", &never, &mut |path| {
            fs::write(path, "half")?;
            Err("no more".into())
        });
        assert!(matches!(failed, Err(CacheError::Produce(_))));
        assert!(!path.exists() && !beside(&path, "partial").exists());
        let nothing = cache.get("a", "b", &never, &mut |_| Ok(()));
        assert!(nothing.unwrap_err().to_string().starts_with("nothing was written to"));
        let made = cache.get("a", "b", &never, &mut |path| {
            fs::create_dir(path)?;
            Ok(fs::write(path.join("one"), "1234")?)
        });
        assert!(made.unwrap().made);
        assert_eq!(size(&path), 4);
        assert!(!cache.get("a", "b", &never, &mut |_| Ok(())).unwrap().made);
    }

    #[test]
    fn who_waits_can_be_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        let path = cache.path("a", "b");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let _held = cache.lock(&path, &never).unwrap();
        let waited = cache.get("a", "b", &|| true, &mut |_| Ok(()));
        assert!(matches!(waited, Err(CacheError::Cancelled(_))), "{waited:?}");
    }

    #[test]
    fn names_cannot_leave_the_cache() {
        let cache = Cache::new("/cache");
        assert!(cache.path("../..", "../x").starts_with("/cache"));
        assert!(!cache.path("../..", "../x").display().to_string().contains("/../"));
    }
}
