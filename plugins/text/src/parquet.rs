//! Parquet files.

use crate::file::{row, unreadable};
use crate::part::Part;
use crate::table::{Chosen, Field, no_column, table_component};
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::record::Field as Value;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use zoo_plugin::prelude::*;

table_component! {
    /// The rows of a Parquet file, or of all Parquet files of a folder.
    ///
    /// A group of rows is decoded when one of them is needed, the chosen columns alone, and the last few
    /// groups are kept. Files of a folder stand in the order of their names. The held-out part is chosen by
    /// the number of the row.
    ///
    /// # Example
    /// ```mlm
    /// data pages = text.parquet(file: asset("hf:datasets/wikimedia/wikipedia/20231101.en/"), columns: ["text"])
    /// ```
    #[component(
        data,
        name = "text.parquet",
        outputs(
            columns: "text[B]" = "the chosen columns of text" columns_from = "columns",
            numbers: "float[B]" = "the chosen columns of numbers" columns_from = "numbers",
            integers: "int[B]" = "the chosen columns of whole numbers" columns_from = "integers",
        ),
        loader,
    )]
    pub struct Parquet {}
}

/// Groups kept decoded.
const KEPT: usize = 4;

type Group = Arc<Vec<Vec<(String, Value)>>>;

/// Open Parquet files.
pub struct ParquetRows {
    path: PathBuf,
    files: Vec<(PathBuf, SerializedFileReader<std::fs::File>)>,
    /// File and number in it of every group.
    groups: Vec<(usize, usize)>,
    /// First row of every group.
    starts: Vec<usize>,
    /// Rows of the part; none: all.
    chosen: Option<Vec<usize>>,
    length: usize,
    names: Vec<String>,
    projection: ::parquet::schema::types::Type,
    kept: Mutex<Vec<(usize, Group)>>,
}

impl std::fmt::Debug for ParquetRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ParquetRows").field("path", &self.path).field("length", &self.length).finish()
    }
}

impl ParquetRows {
    fn group(&self, number: usize) -> Result<Group> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = kept.iter().position(|(n, _)| *n == number) {
            let entry = kept.remove(at);
            let group = Arc::clone(&entry.1);
            kept.push(entry);
            return Ok(group);
        }
        let (file, within) = self.groups[number];
        let (path, reader) = &self.files[file];
        let failed = |e: ::parquet::errors::ParquetError| unreadable(path, e);
        let reader = reader.get_row_group(within).map_err(failed)?;
        let mut rows = Vec::new();
        for row in reader.get_row_iter(Some(self.projection.clone())).map_err(failed)? {
            rows.push(row.map_err(failed)?.into_columns());
        }
        let group = Arc::new(rows);
        if kept.len() >= KEPT {
            kept.remove(0);
        }
        kept.push((number, Arc::clone(&group)));
        Ok(group)
    }
}

/// Opens a file, or the files of a folder.
fn open(path: &Path) -> Result<Vec<(PathBuf, SerializedFileReader<std::fs::File>)>> {
    let mut paths = vec![path.to_owned()];
    if path.is_dir() {
        let entries = std::fs::read_dir(path).map_err(|e| unreadable(path, e).at("file"))?;
        paths = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "parquet"));
        paths.sort();
    }
    paths
        .into_iter()
        .map(|path| {
            let file = std::fs::File::open(&path).map_err(|e| unreadable(&path, e).at("file"))?;
            let reader = SerializedFileReader::new(file).map_err(|e| unreadable(&path, e).at("file"))?;
            Ok((path, reader))
        })
        .collect()
}

fn field(value: &Value) -> Field {
    match value {
        Value::Null => Field::Null,
        Value::Bool(truth) => Field::Truth(*truth),
        Value::Byte(n) => Field::Whole(i64::from(*n)),
        Value::Short(n) => Field::Whole(i64::from(*n)),
        Value::Int(n) => Field::Whole(i64::from(*n)),
        Value::Long(n) => Field::Whole(*n),
        Value::UByte(n) => Field::Whole(i64::from(*n)),
        Value::UShort(n) => Field::Whole(i64::from(*n)),
        Value::UInt(n) => Field::Whole(i64::from(*n)),
        Value::ULong(n) => i64::try_from(*n).map_or(Field::Number(*n as f64), Field::Whole),
        Value::Float(n) => Field::Number(f64::from(*n)),
        Value::Double(n) => Field::Number(*n),
        Value::Str(text) => Field::Text(text.clone()),
        Value::Bytes(bytes) => match std::str::from_utf8(bytes.data()) {
            Ok(text) => Field::Text(text.to_owned()),
            Err(_) => Field::Other,
        },
        _ => Field::Other,
    }
}

impl Component for Parquet {
    type State = ParquetRows;

    fn build(&self, cx: &mut Build<'_>) -> Result<ParquetRows> {
        self.choice().check()?;
        let path = cx.asset(&self.file)?;
        let failed = |e: ::parquet::errors::ParquetError| unreadable(&path, e).at("file");
        let files = open(&path)?;
        let Some((_, first)) = files.first() else {
            return Err(unreadable(&path, "the folder has no file that ends in `.parquet`").at("file"));
        };
        let schema = first.metadata().file_metadata().schema();
        let names: Vec<String> = schema.get_fields().iter().map(|f| f.name().to_owned()).collect();
        let choice = self.choice();
        let wanted = choice.names();
        for name in &wanted {
            if !names.iter().any(|n| n == name) {
                return Err(no_column(&path.display().to_string(), name, &names).at("columns"));
            }
        }
        let fields =
            schema.get_fields().iter().filter(|f| wanted.contains(&f.name())).cloned().collect::<Vec<_>>();
        let projection = ::parquet::schema::types::Type::group_type_builder(schema.name())
            .with_fields(fields)
            .build()
            .map_err(failed)?;
        let (mut groups, mut starts, mut total) = (Vec::new(), Vec::new(), 0);
        for (file, (_, reader)) in files.iter().enumerate() {
            for (number, group) in reader.metadata().row_groups().iter().enumerate() {
                groups.push((file, number));
                starts.push(total);
                total += usize::try_from(group.num_rows()).unwrap_or(0);
            }
        }
        let part = Part::new(&self.part, self.held_out)?;
        let chosen = (part != Part::All).then(|| {
            let hashes: Vec<u64> = (0..total as u64).map(|i| crate::part::hash(&i.to_le_bytes())).collect();
            part.choose_hashed(&hashes, self.held_out)
        });
        let length = chosen.as_ref().map_or(total, Vec::len).min(self.limit.unwrap_or(usize::MAX));
        if length == 0 {
            return Err(
                Error::new(format!("{} has no rows for the part `{}`", path.display(), self.part)).at("file")
            );
        }
        Ok(ParquetRows {
            path,
            files,
            groups,
            starts,
            chosen,
            length,
            names,
            projection,
            kept: Mutex::default(),
        })
    }

    fn length(&self, state: &ParquetRows, _: &mut Call<'_>) -> Result<usize> {
        Ok(state.length)
    }

    fn read(&self, state: &ParquetRows, indices: &[i64], _: &mut Call<'_>) -> Result<ParquetOutputs> {
        let mut rows: Vec<(Group, usize, usize)> = Vec::with_capacity(indices.len());
        for index in indices {
            let i = row(*index, state.length)?;
            let number = state.chosen.as_ref().map_or(i, |chosen| chosen[i]);
            let group = state.starts.partition_point(|start| *start <= number).saturating_sub(1);
            rows.push((state.group(group)?, number - state.starts[group], number));
        }
        let at = |number: usize| format!("{}, row {number}", state.path.display());
        let Chosen { columns, numbers, integers } = self.choice().gather(
            &rows,
            |(group, within, number), name| {
                let row = group.get(*within).ok_or_else(|| {
                    Error::new(format!("{}: the group of rows is shorter than the file says", at(*number)))
                })?;
                row.iter()
                    .find(|(n, _)| n == name)
                    .map(|(_, value)| field(value))
                    .ok_or_else(|| no_column(&at(*number), name, &state.names))
            },
            |(_, _, number)| at(*number),
        )?;
        Ok(ParquetOutputs { columns, numbers, integers })
    }
}
