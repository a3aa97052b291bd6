//! Rows of token ids on disk, made once and read by index.
//!
//! A row is its number of tokens, its number of tokens in the first segment, and the tokens, padded to
//! the rows' length; every number takes two bytes, or four where the vocabulary is too large.

use crate::file::{Source, row};
use crate::index::unwritable;
use crate::tokenizer::Frame;
use std::io::Write;
use std::path::{Path, PathBuf};
use zoo_plugin::prelude::*;

/// Writes rows.
pub(crate) struct RowWriter {
    out: std::io::BufWriter<std::fs::File>,
    path: PathBuf,
    length: usize,
    wide: bool,
    pad: u32,
    count: u64,
}

/// Whether ids of this vocabulary need four bytes.
pub(crate) fn is_wide(vocabulary: usize, length: usize) -> bool {
    vocabulary > 1 << 16 || length >= 1 << 16
}

impl RowWriter {
    pub(crate) fn new(path: &Path, length: usize, wide: bool, pad: u32) -> Result<Self> {
        let file = std::fs::File::create(path).map_err(|e| unwritable(path, &e))?;
        let out = std::io::BufWriter::with_capacity(1 << 20, file);
        Ok(Self { out, path: path.to_owned(), length, wide, pad, count: 0 })
    }

    /// Adds a row of at most `length` tokens, the first `first` of them in segment 0.
    pub(crate) fn push(&mut self, ids: &[u32], first: usize) -> Result<()> {
        let pad = std::iter::repeat_n(self.pad, self.length.saturating_sub(ids.len()));
        let numbers = [ids.len() as u32, first as u32].into_iter();
        for number in numbers.chain(ids.iter().copied().take(self.length)).chain(pad) {
            let bytes = number.to_le_bytes();
            let width = if self.wide { 4 } else { 2 };
            self.out.write_all(&bytes[..width]).map_err(|e| unwritable(&self.path, &e))?;
        }
        self.count += 1;
        Ok(())
    }

    /// Number of rows; an error when there is none.
    pub(crate) fn finish(mut self) -> Result<u64> {
        self.out.flush().map_err(|e| unwritable(&self.path, &e))?;
        if self.count == 0 {
            return Err(Error::new("the source is too short for a single row").at("length"));
        }
        Ok(self.count)
    }
}

/// Rows open for reading.
#[derive(Debug)]
pub struct PackedRows {
    source: Source,
    length: usize,
    wide: bool,
}

/// A batch of rows, int[B, length] each.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) ids: Tensor,
    pub(crate) attention_mask: Tensor,
    pub(crate) segment_ids: Tensor,
}

impl PackedRows {
    pub(crate) fn open(path: &Path, length: usize, wide: bool) -> Result<Self> {
        Ok(Self { source: Source::open(path)?, length, wide })
    }

    fn width(&self) -> usize {
        (self.length + 2) * if self.wide { 4 } else { 2 }
    }

    pub(crate) fn len(&self) -> usize {
        (self.source.length() / self.width() as u64) as usize
    }

    /// The numbers of one row: tokens, tokens of the first segment, then the ids.
    pub(crate) fn row(&self, index: i64) -> Result<Vec<i64>> {
        let i = row(index, self.len())?;
        let bytes = self.source.bytes((i * self.width()) as u64, self.width())?;
        let step = if self.wide { 4 } else { 2 };
        Ok(bytes
            .chunks_exact(step)
            .map(|b| b.iter().rev().fold(0_i64, |sum, byte| (sum << 8) | i64::from(*byte)))
            .collect())
    }

    pub(crate) fn batch(&self, indices: &[i64]) -> Result<Batch> {
        let size = indices.len() * self.length;
        let (mut ids, mut mask, mut segments) =
            (Vec::with_capacity(size), Vec::with_capacity(size), Vec::with_capacity(size));
        for index in indices {
            let numbers = self.row(*index)?;
            let (used, first) = (numbers[0] as usize, numbers[1] as usize);
            ids.extend_from_slice(&numbers[2..]);
            mask.extend((0..self.length).map(|t| i64::from(t < used)));
            segments.extend((0..self.length).map(|t| i64::from(t >= first && t < used)));
        }
        let shape = [indices.len() as i64, self.length as i64];
        let tensor =
            |values: &[i64]| -> Result<Tensor> { Ok(Tensor::f_from_slice(values)?.f_reshape(shape)?) };
        Ok(Batch { ids: tensor(&ids)?, attention_mask: tensor(&mask)?, segment_ids: tensor(&segments)? })
    }
}

/// `[CLS] A [SEP]` or `[CLS] A [SEP] B [SEP]`, and how many of its tokens are in the first segment.
pub(crate) fn framed(frame: Frame, first: &[u32], second: &[u32]) -> (Vec<u32>, usize) {
    let mut ids = Vec::with_capacity(first.len() + second.len() + 3);
    ids.push(frame.begin);
    ids.extend_from_slice(first);
    ids.push(frame.end);
    let boundary = ids.len();
    if !second.is_empty() {
        ids.extend_from_slice(second);
        ids.push(frame.end);
    }
    (ids, boundary)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_as_they_went_in_both_widths() {
        let folder = tempfile::tempdir().unwrap();
        for wide in [false, true] {
            let path = folder.path().join(format!("{wide}"));
            let mut writer = RowWriter::new(&path, 6, wide, 9).unwrap();
            let big = if wide { 70_000 } else { 65_535 };
            writer.push(&[1, big, 2, 5, 2], 3).unwrap();
            writer.push(&[1, 2], 2).unwrap();
            assert_eq!(writer.finish().unwrap(), 2);
            let rows = PackedRows::open(&path, 6, wide).unwrap();
            assert_eq!(rows.len(), 2);
            let batch = rows.batch(&[1, 0]).unwrap();
            let flat = |t: &Tensor| Vec::<i64>::try_from(t.reshape([-1])).unwrap();
            assert_eq!(flat(&batch.ids), [1, 2, 9, 9, 9, 9, 1, i64::from(big), 2, 5, 2, 9]);
            assert_eq!(flat(&batch.attention_mask), [1, 1, 0, 0, 0, 0, 1, 1, 1, 1, 1, 0]);
            assert_eq!(flat(&batch.segment_ids), [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0]);
        }
    }
}
