//! Files with one JSON value a line, that only grow.

use crate::{RecordError, write_atomic_with};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

/// Appends to a file of JSON lines. Each line reaches the system in one write, so a killed process leaves
/// at most its last line incomplete; opening the file again cuts that off.
#[derive(Debug)]
pub(crate) struct JsonLines<Line> {
    path: PathBuf,
    file: File,
    line: PhantomData<fn(Line)>,
}

impl<Line: Serialize + DeserializeOwned> JsonLines<Line> {
    /// Opens or creates the file and repairs its end.
    pub(crate) fn open(path: &Path) -> Result<Self, RecordError> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(RecordError::io("create", folder))?;
        }
        repair::<Line>(path)?;
        let file =
            OpenOptions::new().create(true).append(true).open(path).map_err(RecordError::io("open", path))?;
        Ok(Self { path: path.to_owned(), file, line: PhantomData })
    }

    pub(crate) fn append(&mut self, line: &Line) -> Result<(), RecordError> {
        let mut text = serde_json::to_vec(line).map_err(|error| RecordError::damaged(&self.path, error))?;
        text.push(b'\n');
        self.file.write_all(&text).map_err(RecordError::io("write", &self.path))
    }

    /// Drops the lines that are not kept. The file is replaced in one go, and only when there is a line to drop.
    pub(crate) fn retain(&mut self, keep: impl Fn(&Line) -> bool) -> Result<(), RecordError> {
        let lines: Vec<Line> = read(&self.path)?;
        if lines.iter().all(&keep) {
            return Ok(());
        }
        write_atomic_with(&self.path, |file| {
            for line in lines.iter().filter(|line| keep(line)) {
                serde_json::to_writer(&mut *file, line)?;
                file.write_all(b"\n")?;
            }
            Ok(())
        })?;
        // The old handle still writes to the file that was replaced.
        let reopened = OpenOptions::new().append(true).open(&self.path);
        self.file = reopened.map_err(RecordError::io("open", &self.path))?;
        Ok(())
    }
}

/// All lines; none when there is no file. An incomplete last line is left out.
pub(crate) fn read<Line: DeserializeOwned>(path: &Path) -> Result<Vec<Line>, RecordError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(RecordError::io("open", path)(error)),
    };
    let (mut reader, mut text, mut lines) = (BufReader::new(file), Vec::new(), Vec::new());
    // What is wrong is an error only if something follows it.
    let mut wrong: Option<(usize, serde_json::Error)> = None;
    for number in 1.. {
        text.clear();
        if reader.read_until(b'\n', &mut text).map_err(RecordError::io("read", path))? == 0 {
            break;
        }
        if let Some((number, error)) = wrong {
            return Err(RecordError::damaged(path, format!("line {number}: {error}")));
        }
        match serde_json::from_slice(&text) {
            Ok(line) if text.ends_with(b"\n") => lines.push(line),
            Ok(_) => {}
            Err(error) => wrong = Some((number, error)),
        }
    }
    Ok(lines)
}

/// Cuts off what a crash left of a last line: no line end, or (after a power cut) bytes that are no JSON.
fn repair<Line: DeserializeOwned>(path: &Path) -> Result<(), RecordError> {
    let content = match fs::read(path) {
        Ok(content) => content,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(RecordError::io("read", path)(error)),
    };
    let end_of_line =
        |before: usize| content[..before].iter().rposition(|byte| *byte == b'\n').map(|at| at + 1);
    let mut end = end_of_line(content.len()).unwrap_or(0);
    if end > 0 {
        let start = end_of_line(end - 1).unwrap_or(0);
        if serde_json::from_slice::<Line>(&content[start..end]).is_err() {
            end = start;
        }
    }
    if end == content.len() {
        return Ok(());
    }
    let file = OpenOptions::new().write(true).open(path).map_err(RecordError::io("open", path))?;
    file.set_len(end as u64).and_then(|()| file.sync_all()).map_err(RecordError::io("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_line_is_repaired_and_lines_are_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/lines.jsonl");
        let mut lines = JsonLines::<u64>::open(&path).unwrap();
        for number in 10..15 {
            lines.append(&number).unwrap();
        }
        fs::write(&path, "10\n11\n12\n1").unwrap();
        assert_eq!(read::<u64>(&path).unwrap(), [10, 11, 12]);
        let mut lines = JsonLines::<u64>::open(&path).unwrap();
        lines.append(&13).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "10\n11\n12\n13\n");
        lines.retain(|number| number % 2 == 0).unwrap();
        lines.append(&20).unwrap();
        assert_eq!(read::<u64>(&path).unwrap(), [10, 12, 20]);

        fs::write(&path, b"10\n\0\0\0\0\n").unwrap();
        JsonLines::<u64>::open(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"10\n");
        fs::write(&path, "10\nten\n11\n").unwrap();
        assert!(read::<u64>(&path).unwrap_err().to_string().contains("line 2"));
        assert!(read::<u64>(&folder.path().join("none")).unwrap().is_empty());
    }
}
