//! What sources with named columns share: the columns that the recipe chooses, by type.

use crate::index::Rows;
use std::path::Path;
use zoo_plugin::prelude::*;

/// The value of a field as it stands in the file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Field {
    Text(String),
    Number(f64),
    Whole(i64),
    Truth(bool),
    /// There and empty.
    Null,
    /// A list or an object.
    Other,
}

/// The chosen columns of some rows.
#[derive(Debug)]
pub(crate) struct Chosen {
    pub(crate) columns: Vec<Vec<String>>,
    pub(crate) numbers: Vec<Tensor>,
    pub(crate) integers: Vec<Tensor>,
}

/// Names of the columns that a recipe chooses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choice<'a> {
    pub(crate) columns: &'a [String],
    pub(crate) numbers: &'a [String],
    pub(crate) integers: &'a [String],
}

impl Choice<'_> {
    /// Every chosen name once.
    pub(crate) fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for name in self.columns.iter().chain(self.numbers).chain(self.integers) {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        names
    }

    /// Checks that there is something to read.
    pub(crate) fn check(&self) -> Result<()> {
        if self.names().is_empty() {
            return Err(Error::new("no column is chosen")
                .at("columns")
                .help("name columns of text in `columns`, of numbers in `numbers` or `integers`"));
        }
        Ok(())
    }

    /// Makes columns of rows: `field` gives the value of a named field of a row, `place` says where the
    /// row stands.
    pub(crate) fn gather<R>(
        &self,
        rows: &[R],
        field: impl Fn(&R, &str) -> Result<Field>,
        place: impl Fn(&R) -> String,
    ) -> Result<Chosen> {
        let wrong = |row: &R, name: &str, value: &Field, wanted: &str| {
            let found = match value {
                Field::Text(text) => format!("`{}`", text.chars().take(40).collect::<String>()),
                Field::Number(number) => number.to_string(),
                Field::Whole(number) => number.to_string(),
                Field::Truth(truth) => truth.to_string(),
                Field::Null => "nothing".to_owned(),
                Field::Other => "a list or an object".to_owned(),
            };
            Error::new(format!("{}: column `{name}` holds {found}, which is no {wanted}", place(row)))
        };
        let mut columns = Vec::new();
        for name in self.columns {
            let mut column = Vec::with_capacity(rows.len());
            for row in rows {
                column.push(match field(row, name)? {
                    Field::Text(text) => text,
                    Field::Whole(number) => number.to_string(),
                    Field::Number(number) => number.to_string(),
                    Field::Truth(truth) => truth.to_string(),
                    value => return Err(wrong(row, name, &value, "text")),
                });
            }
            columns.push(column);
        }
        let mut numbers = Vec::new();
        for name in self.numbers {
            let mut column = Vec::with_capacity(rows.len());
            for row in rows {
                let value = field(row, name)?;
                let number = match &value {
                    Field::Number(number) => Some(*number),
                    Field::Whole(number) => Some(*number as f64),
                    Field::Text(text) => text.trim().parse().ok(),
                    _ => None,
                };
                column.push(number.ok_or_else(|| wrong(row, name, &value, "number"))? as f32);
            }
            numbers.push(Tensor::f_from_slice(&column)?);
        }
        let mut integers = Vec::new();
        for name in self.integers {
            let mut column = Vec::with_capacity(rows.len());
            for row in rows {
                let value = field(row, name)?;
                let number = match &value {
                    Field::Whole(number) => Some(*number),
                    Field::Number(number) if number.fract() == 0.0 => Some(*number as i64),
                    Field::Truth(truth) => Some(i64::from(*truth)),
                    Field::Text(text) => text.trim().parse().ok(),
                    _ => None,
                };
                column.push(number.ok_or_else(|| wrong(row, name, &value, "whole number"))?);
            }
            integers.push(Tensor::f_from_slice(&column)?);
        }
        Ok(Chosen { columns, numbers, integers })
    }
}

/// Where a row of a file stands, for messages.
pub(crate) fn place(path: &Path, line: u64) -> String {
    format!("{}, line {line}", path.display())
}

/// A name that a file does not have, with those that it has.
pub(crate) fn no_column(at: &str, name: &str, known: &[String]) -> Error {
    let mut shown = known.iter().take(20).map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
    if known.len() > 20 {
        shown.push_str(", …");
    }
    Error::new(format!("{at}: there is no column `{name}`")).help(format!("there are {shown}"))
}

/// Rows of lines with their numbers, read at these indices.
pub(crate) fn lines(rows: &Rows, indices: &[i64]) -> Result<Vec<(Vec<u8>, u64)>> {
    indices.iter().map(|index| rows.get(*index)).collect()
}

/// Declares a source over a file with named columns.
macro_rules! table_component {
    ($(#[$attribute:meta])* $visibility:vis struct $name:ident { $($extra:tt)* }) => {
        $(#[$attribute])*
        $visibility struct $name {
            /// The file.
            #[param(kind = "asset")]
            pub file: String,
            /// Columns of text that are read; each is an output of its name.
            #[param(default = [])]
            pub columns: Vec<String>,
            /// Columns of numbers that are read.
            #[param(default = [])]
            pub numbers: Vec<String>,
            /// Columns of whole numbers that are read; true and false count as 1 and 0.
            #[param(default = [])]
            pub integers: Vec<String>,
            /// Which rows: all, those not held out, or the held-out ones, chosen by a hash of their content.
            #[param(default = "all", one_of("all", "train", "held_out"))]
            pub part: String,
            /// Share of the rows that is held out.
            #[param(default = 0.0, range = "[0%, 100%]", kind = "fraction")]
            pub held_out: f64,
            /// At most this many rows, the first ones of the part; all, when not given.
            pub limit: Option<usize>,
            $($extra)*
        }

        impl $name {
            fn choice(&self) -> $crate::table::Choice<'_> {
                $crate::table::Choice {
                    columns: &self.columns,
                    numbers: &self.numbers,
                    integers: &self.integers,
                }
            }
        }
    };
}
pub(crate) use table_component;
