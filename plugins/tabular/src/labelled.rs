//! Rows of numbers with a label.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use zoo_plugin::prelude::*;

/// Rows of numbers with a class, from comma-separated values without a header, plain or gzipped.
///
/// One field of a record is the class, a whole number from 0; all others are its features, in order, divided
/// by `scale`. The table is read once and held in memory.
///
/// # Example
/// ```mlm
/// data digits = tabular.labelled_vectors(
///   file: asset("pypi:scikit-learn==1.7.2/sklearn/datasets/data/digits.csv.gz"), width: 64, scale: 16,
/// )
/// ```
#[component(
    data,
    name = "tabular.labelled_vectors",
    outputs(features: "float[B, width]" = "the numbers of a row", label: "int[B]" = "its class, from 0"),
    loader,
)]
pub struct LabelledVectors {
    /// The file.
    #[param(kind = "asset")]
    pub file: String,
    /// Numbers in a row, beside its class.
    #[param(range = ">= 1")]
    pub width: usize,
    /// The field with the class, counted from 0; the last one, when absent.
    pub label_field: Option<usize>,
    /// Features are divided by it.
    #[param(default = 1.0, range = "> 0")]
    pub scale: f64,
    /// Rows are mixed, into an order that is the same in every run, before some are chosen: files often have
    /// what belongs together side by side.
    #[param(default = false)]
    pub shuffled: bool,
    /// Rows that are left out from the beginning.
    #[param(default = 0)]
    pub skip: usize,
    /// At most this many rows; all, when absent.
    #[param(range = ">= 1")]
    pub limit: Option<usize>,
}

/// A table in memory.
#[derive(Debug)]
pub struct Table {
    /// Features of one row after the other.
    pub features: Vec<f32>,
    /// The classes.
    pub labels: Vec<i64>,
}

impl LabelledVectors {
    /// Reads the table of a file.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, a record with another number of fields, a field that is no number, a class
    /// below 0, no rows; with file and line.
    pub fn table(&self, path: &Path) -> Result<Table> {
        let failed = |reason: String| Error::new(format!("{}: {reason}", path.display()));
        let file = File::open(path).map_err(|error| failed(error.to_string()))?;
        let mut bytes = Vec::new();
        let mut reader = BufReader::new(file);
        let mut magic = [0; 2];
        let read = reader.read(&mut magic).map_err(|error| failed(error.to_string()))?;
        let whole = magic[..read].chain(reader);
        let is_gzip = magic == [0x1f, 0x8b];
        let outcome = if is_gzip {
            flate2::read::MultiGzDecoder::new(whole).read_to_end(&mut bytes)
        } else {
            { whole }.read_to_end(&mut bytes)
        };
        outcome.map_err(|error| failed(error.to_string()))?;

        let mut records =
            csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes.as_slice());
        let (mut features, mut labels) = (Vec::new(), Vec::new());
        let mut rows = Vec::new();
        for record in records.records() {
            rows.push(record.map_err(|error| failed(error.to_string()))?);
        }
        if self.shuffled {
            rows.shuffle(&mut ChaCha8Rng::seed_from_u64(0));
        }
        for record in rows.iter().skip(self.skip).take(self.limit.unwrap_or(usize::MAX)) {
            let line = record.position().map_or(0, csv::Position::line);
            let wrong = |reason: String| failed(format!("line {line}: {reason}"));
            if record.len() != self.width + 1 {
                return Err(wrong(format!(
                    "{} fields, which are {} features and a class",
                    record.len(),
                    record.len().saturating_sub(1)
                ))
                .at("width"));
            }
            let label_field = self.label_field.unwrap_or(self.width);
            for (place, field) in record.iter().enumerate() {
                let number: f64 = field
                    .trim()
                    .parse()
                    .map_err(|_| wrong(format!("field {place} holds `{field}`, which is no number")))?;
                if place == label_field {
                    if number < 0.0 || number.fract() != 0.0 {
                        return Err(
                            wrong(format!("the class is {number}, no whole number from 0")).at("label_field")
                        );
                    }
                    labels.push(number as i64);
                } else {
                    features.push((number / self.scale) as f32);
                }
            }
        }
        if labels.is_empty() {
            return Err(failed(format!("no row is left after the first {}", self.skip)).at("skip"));
        }
        Ok(Table { features, labels })
    }
}

impl Component for LabelledVectors {
    type State = Table;

    fn build(&self, cx: &mut Build<'_>) -> Result<Table> {
        if let Some(field) = self.label_field
            && field > self.width
        {
            return Err(Error::new(format!("there is no field {field} among {}", self.width + 1))
                .at("label_field")
                .help("fields are counted from 0"));
        }
        let path = cx.asset(&self.file)?;
        self.table(&path)
    }

    fn length(&self, table: &Table, _: &mut Call<'_>) -> Result<usize> {
        Ok(table.labels.len())
    }

    fn read(&self, table: &Table, indices: &[i64], _: &mut Call<'_>) -> Result<LabelledVectorsOutputs> {
        let (mut features, mut labels) = (Vec::with_capacity(indices.len() * self.width), Vec::new());
        for index in indices {
            let row =
                usize::try_from(*index).ok().filter(|row| *row < table.labels.len()).ok_or_else(|| {
                    Error::new(format!("there is no row {index}: the table has {}", table.labels.len()))
                })?;
            features.extend_from_slice(&table.features[row * self.width..][..self.width]);
            labels.push(table.labels[row]);
        }
        Ok(LabelledVectorsOutputs {
            features: Tensor::f_from_slice(&features)?.f_reshape([-1, self.width as i64])?,
            label: Tensor::f_from_slice(&labels)?,
        })
    }
}
