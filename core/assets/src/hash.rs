//! The hash of a file or of a folder.

use crate::AssetError;
use sha2::{Digest, Sha256};
use std::fs::{self, File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What identifies the content of a file or folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// `sha256:` and 64 hexadecimal digits.
    ///
    /// Of a file: of its bytes, as `sha256sum` prints it. Of a folder: of the text that has for every
    /// file below it, in the order of their paths' bytes, the file's own digest (hexadecimal), two
    /// spaces, its path with `/` and a line feed; what `sha256sum` prints for them, hashed.
    pub hash: String,
    /// Bytes of all files together.
    pub bytes: u64,
}

/// Hashes a file, or a folder with all below it. Links are followed.
///
/// # Errors
/// [`AssetError::Io`]: something cannot be read, or links lead in a circle.
pub fn content_of(path: &Path) -> Result<Content, AssetError> {
    let metadata = fs::metadata(path).map_err(AssetError::io("read", path))?;
    if !metadata.is_dir() {
        let (digest, bytes) = digest_of(path)?;
        return Ok(Content { hash: format!("sha256:{digest}"), bytes });
    }
    let mut all = Sha256::new();
    let mut bytes = 0;
    for (name, file, _) in files_below(path)? {
        let (digest, size) = digest_of(&file)?;
        bytes += size;
        all.update(digest.as_bytes());
        all.update(b"  ");
        all.update(name);
        all.update(b"\n");
    }
    Ok(Content { hash: format!("sha256:{}", hexadecimal(&all.finalize())), bytes })
}

/// The SHA-256 of a file's bytes in hexadecimal, and how many there are.
pub(crate) fn digest_of(path: &Path) -> Result<(String, u64), AssetError> {
    let mut file = File::open(path).map_err(AssetError::io("read", path))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        let count = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(AssetError::io("read", path)(error)),
        };
        hasher.update(&buffer[..count]);
        bytes += count as u64;
    }
    Ok((hexadecimal(&hasher.finalize()), bytes))
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The SHA-256 of a text in hexadecimal.
pub(crate) fn digest_of_text(text: &str) -> String {
    hexadecimal(&Sha256::digest(text.as_bytes()))
}

const DEEPEST: usize = 64;

/// Every file below a folder: its path from there with `/` as bytes, where it is, and what the system
/// knows of it; in the order of the paths' bytes.
fn files_below(folder: &Path) -> Result<Vec<(Vec<u8>, PathBuf, Metadata)>, AssetError> {
    fn visit(
        folder: &Path,
        name: &[u8],
        depth: usize,
        out: &mut Vec<(Vec<u8>, PathBuf, Metadata)>,
    ) -> Result<(), AssetError> {
        if depth > DEEPEST {
            let circle = std::io::Error::other("more than 64 folders deep; links may lead in a circle");
            return Err(AssetError::io("read", folder)(circle));
        }
        for entry in fs::read_dir(folder).map_err(AssetError::io("read", folder))? {
            let entry = entry.map_err(AssetError::io("read", folder))?;
            let path = entry.path();
            let metadata = fs::metadata(&path).map_err(AssetError::io("read", &path))?;
            let mut below = name.to_vec();
            if !below.is_empty() {
                below.push(b'/');
            }
            below.extend_from_slice(entry.file_name().as_encoded_bytes());
            if metadata.is_dir() {
                visit(&path, &below, depth + 1, out)?;
            } else {
                out.push((below, path, metadata));
            }
        }
        Ok(())
    }
    let mut out = Vec::new();
    visit(folder, b"", 0, &mut out)?;
    out.sort_by(|left, right| left.0.cmp(&right.0));
    Ok(out)
}

/// A file that changed this short ago may change again within the clock's resolution.
const SETTLED: Duration = Duration::from_secs(2);

/// What changes when a file or folder changes, without reading its bytes: names, sizes, times, inodes.
/// `settled` tells whether the last change is long enough ago to rely on it.
pub(crate) fn signature_of(path: &Path) -> Result<(String, bool), AssetError> {
    let metadata = fs::metadata(path).map_err(AssetError::io("read", path))?;
    let files =
        if metadata.is_dir() { files_below(path)? } else { vec![(Vec::new(), path.to_owned(), metadata)] };
    let mut hasher = Sha256::new();
    let mut newest = 0;
    for (name, _, metadata) in &files {
        hasher.update((name.len() as u64).to_le_bytes());
        hasher.update(name);
        hasher.update(metadata.size().to_le_bytes());
        hasher.update(metadata.ino().to_le_bytes());
        for number in [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()] {
            hasher.update(number.to_le_bytes());
        }
        newest = newest.max(metadata.mtime()).max(metadata.ctime());
    }
    let newest = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(newest).unwrap_or(0));
    let settled = SystemTime::now().duration_since(newest).is_ok_and(|age| age > SETTLED);
    Ok((hexadecimal(&hasher.finalize()), settled))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_the_usual_hash() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("abc");
        fs::write(&path, "abc").unwrap();
        let content = content_of(&path).unwrap();
        // FIPS 180-2, appendix B.1
        assert_eq!(content.hash, "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(content.bytes, 3);
    }

    #[test]
    fn a_folder_has_the_hash_of_what_sha256sum_prints() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("b")).unwrap();
        fs::write(folder.path().join("b/x"), "one").unwrap();
        fs::write(folder.path().join("a"), "two").unwrap();
        // `/` sorts after `-` and before letters: bytes of the whole path count.
        fs::write(folder.path().join("b-"), "").unwrap();
        let content = content_of(folder.path()).unwrap();
        let lines: String = ["a", "b-", "b/x"]
            .map(|name| format!("{}  {name}\n", digest_of(&folder.path().join(name)).unwrap().0))
            .concat();
        assert_eq!(content.hash, format!("sha256:{}", digest_of_text(&lines)));
        assert_eq!(content.bytes, 6);
    }

    #[test]
    fn every_change_of_a_folder_changes_its_hash() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::write(root.join("a"), "1").unwrap();
        let mut seen = vec![content_of(root).unwrap().hash];
        let mut changed = |what: &str| {
            let hash = content_of(root).unwrap().hash;
            assert!(!seen.contains(&hash), "{what}");
            seen.push(hash);
        };
        fs::write(root.join("b"), "").unwrap();
        changed("an empty file more");
        fs::rename(root.join("b"), root.join("c")).unwrap();
        changed("another name");
        fs::write(root.join("a"), "2").unwrap();
        changed("another content");
    }

    #[test]
    fn links_in_a_circle_end() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("again")).unwrap();
        let error = content_of(folder.path()).unwrap_err().to_string();
        assert!(error.starts_with("cannot read"), "{error}");
    }

    #[test]
    fn a_fresh_file_is_not_settled() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, "1").unwrap();
        let (one, settled) = signature_of(&path).unwrap();
        assert!(!settled);
        fs::write(&path, "22").unwrap();
        assert_ne!(signature_of(&path).unwrap().0, one);
    }
}
