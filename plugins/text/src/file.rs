//! Files that are read in pieces, by any thread, without being held in memory.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use zoo_plugin::prelude::*;

/// A file open for reading at any place.
#[derive(Debug)]
pub(crate) struct Source {
    file: File,
    path: PathBuf,
    length: u64,
}

/// An error about a file, with its name.
pub(crate) fn unreadable(path: &Path, reason: impl std::fmt::Display) -> Error {
    Error::new(format!("{} cannot be read: {reason}", path.display()))
}

impl Source {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| unreadable(path, e))?;
        let metadata = file.metadata().map_err(|e| unreadable(path, e))?;
        if metadata.is_dir() {
            return Err(unreadable(path, "it is a folder, not a file")
                .help("name a file in it, or use `text.files` for a folder of files"));
        }
        Ok(Self { file, path: path.to_owned(), length: metadata.len() })
    }

    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The bytes of a stretch.
    pub(crate) fn bytes(&self, offset: u64, length: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, offset).map_err(|e| unreadable(&self.path, e))?;
        Ok(bytes)
    }

    /// Calls `line` for every line: its number from 1, its offset, and its bytes without the line's end.
    pub(crate) fn lines(&self, mut line: impl FnMut(u64, u64, &[u8]) -> Result<()>) -> Result<()> {
        use std::io::{BufRead, BufReader};
        let mut reader = BufReader::with_capacity(1 << 20, &self.file);
        let (mut number, mut offset) = (0, 0);
        let mut buffer = Vec::new();
        loop {
            buffer.clear();
            let read = reader.read_until(b'\n', &mut buffer).map_err(|e| unreadable(&self.path, e))?;
            if read == 0 {
                return Ok(());
            }
            number += 1;
            line(number, offset, trimmed(&buffer))?;
            offset += read as u64;
        }
    }
}

/// Without `\n` or `\r\n` at the end.
fn trimmed(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// The text, or an error that says where it is no UTF-8. `line` is the number of its first line.
pub(crate) fn utf8(bytes: Vec<u8>, path: &Path, line: u64) -> Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let before = &error.as_bytes()[..at];
        let line = line + before.iter().filter(|b| **b == b'\n').count() as u64;
        let column = before.iter().rev().take_while(|b| **b != b'\n').count() + 1;
        let byte = error.as_bytes().get(at).copied().unwrap_or(0);
        Error::new(format!("{}, line {line}, byte {column}: 0x{byte:02x} is no UTF-8", path.display()))
            .help("convert the file, for example: iconv -f latin1 -t utf-8 OLD > NEW")
    })
}

/// Checks that an index is one of `length` rows.
pub(crate) fn row(index: i64, length: usize) -> Result<usize> {
    usize::try_from(index)
        .ok()
        .filter(|i| *i < length)
        .ok_or_else(|| Error::new(format!("there is no row {index}: the source has {length}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_bytes_are_placed() {
        let error = utf8(b"one\ntwo \xff".to_vec(), Path::new("a.txt"), 3).unwrap_err();
        assert_eq!(error.message, "a.txt, line 4, byte 5: 0xff is no UTF-8");
    }

    #[test]
    fn lines_have_numbers_and_offsets() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        std::fs::write(&path, "one\r\n\nthree").unwrap();
        let mut seen = Vec::new();
        let source = Source::open(&path).unwrap();
        source
            .lines(|number, offset, line| {
                seen.push((number, offset, String::from_utf8(line.to_vec()).unwrap()));
                Ok(())
            })
            .unwrap();
        assert_eq!(seen, [(1, 0, "one".into()), (2, 5, String::new()), (3, 6, "three".into())]);
        assert_eq!(source.bytes(6, 5).unwrap(), b"three");
        assert!(Source::open(folder.path()).is_err());
    }
}
