//! Where the rows of a file lie: a table on disk, so that files of any size are read by index.

use crate::file::{Source, row, unreadable};
use crate::part::{Part, hash};
use std::io::Write;
use std::path::Path;
use zoo_plugin::prelude::*;

/// One row: first byte, length in bytes, line number from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) offset: u64,
    pub(crate) length: u32,
    pub(crate) line: u64,
}

const WIDTH: usize = 20;

/// Collects the rows of a file while it is read through once.
pub(crate) struct IndexWriter {
    entries: Vec<Entry>,
    hashes: Vec<u64>,
}

impl IndexWriter {
    pub(crate) fn new() -> Self {
        Self { entries: Vec::new(), hashes: Vec::new() }
    }

    pub(crate) fn row(
        &mut self,
        path: &Path,
        offset: u64,
        content: &[u8],
        length: u64,
        line: u64,
    ) -> Result<()> {
        let length = u32::try_from(length)
            .map_err(|_| unreadable(path, format!("the row at line {line} is longer than 4 GiB")))?;
        self.entries.push(Entry { offset, length, line });
        // By content: equal rows fall into the same part.
        self.hashes.push(hash(content));
        Ok(())
    }

    /// Writes the table of the rows that belong to the part.
    pub(crate) fn finish(self, to: &Path, part: Part, held_out: f64, limit: Option<usize>) -> Result<()> {
        let mut out = std::io::BufWriter::new(std::fs::File::create(to).map_err(|e| unwritable(to, &e))?);
        let chosen = part.choose_hashed(&self.hashes, held_out);
        for i in chosen.into_iter().take(limit.unwrap_or(usize::MAX)) {
            let Entry { offset, length, line } = self.entries[i];
            out.write_all(&offset.to_le_bytes())
                .and_then(|()| out.write_all(&length.to_le_bytes()))
                .and_then(|()| out.write_all(&line.to_le_bytes()))
                .map_err(|e| unwritable(to, &e))?;
        }
        out.flush().map_err(|e| unwritable(to, &e))
    }
}

/// An error about a file that is being made.
pub(crate) fn unwritable(path: &Path, reason: &std::io::Error) -> Error {
    Error::new(format!("{} cannot be written: {reason}", path.display()))
}

/// A file with its rows.
#[derive(Debug)]
pub struct Rows {
    pub(crate) file: Source,
    table: Source,
}

impl Rows {
    /// Opens a file and the table that `scan` makes of it, once for all runs.
    pub(crate) fn open(
        cx: &Build<'_>,
        path: &Path,
        part: (&str, f64),
        limit: Option<usize>,
        scan: impl FnOnce(&Source, &mut IndexWriter) -> Result<()>,
    ) -> Result<Self> {
        let file = Source::open(path)?;
        let chosen = Part::new(part.0, part.1)?;
        let table = cx.stage("rows", |to| {
            let mut writer = IndexWriter::new();
            scan(&file, &mut writer)?;
            writer.finish(to, chosen, part.1, limit)
        })?;
        let rows = Self { table: Source::open(&table)?, file };
        if rows.len() == 0 {
            let text = format!("{} has no rows for the part `{}`", rows.file.path().display(), part.0);
            return Err(Error::new(text).at("file"));
        }
        Ok(rows)
    }

    pub(crate) fn len(&self) -> usize {
        (self.table.length() / WIDTH as u64) as usize
    }

    /// The bytes of a row and the number of its first line.
    pub(crate) fn get(&self, index: i64) -> Result<(Vec<u8>, u64)> {
        let i = row(index, self.len())?;
        let entry = self.table.bytes((i * WIDTH) as u64, WIDTH)?;
        let number = |from: usize, to: usize| {
            entry[from..to].iter().rev().fold(0_u64, |sum, byte| (sum << 8) | u64::from(*byte))
        };
        let (offset, length, line) = (number(0, 8), number(8, 12), number(12, 20));
        Ok((self.file.bytes(offset, length as usize)?, line))
    }
}
