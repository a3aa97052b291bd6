//! Files that are there whole or not at all.

use crate::RecordError;
use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Writes a file so that after a crash at any moment either the old or the new content is there:
/// temporary file in the same folder, fsync, rename, fsync of the folder. Folders are made.
pub fn write_atomic(path: &Path, content: impl AsRef<[u8]>) -> Result<(), RecordError> {
    write_atomic_with(path, |file| file.write_all(content.as_ref()))
}

/// Like [`write_atomic`], with content that is written piece by piece.
pub fn write_atomic_with(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>,
) -> Result<(), RecordError> {
    let folder = folder_of(path);
    fs::create_dir_all(folder).map_err(RecordError::io("create", folder))?;
    let temporary = temporary_name(path);
    let written = || -> std::io::Result<()> {
        let mut file =
            BufWriter::new(OpenOptions::new().write(true).create(true).truncate(true).open(&temporary)?);
        write(&mut file)?;
        let file = file.into_inner().map_err(|error| error.into_error())?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    if let Err(error) = written() {
        let _ = fs::remove_file(&temporary);
        return Err(RecordError::io("write", path)(error));
    }
    sync_folder(folder)
}

/// Makes the names in a folder durable: a rename or a new file is on disk after it.
pub fn sync_folder(folder: &Path) -> Result<(), RecordError> {
    // Only Unix lets a folder be opened and synced; elsewhere renames are durable by themselves or not at all.
    #[cfg(unix)]
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(RecordError::io("sync", folder))?;
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Unique among processes and threads, and told apart from real files by its ending.
fn temporary_name(path: &Path) -> PathBuf {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}-{count}.partial", std::process::id()));
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/file.json");
        write_atomic(&path, "one").unwrap();
        write_atomic(&path, "two").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        let failed = write_atomic_with(&path, |file| {
            file.write_all(b"half")?;
            Err(std::io::Error::other("out of paper"))
        });
        assert!(failed.unwrap_err().to_string().starts_with("cannot write"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
