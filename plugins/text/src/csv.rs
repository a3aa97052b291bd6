//! Tables in text: comma- and tab-separated values.

use crate::file::utf8;
use crate::index::Rows;
use crate::table::{Chosen, Field, lines, no_column, place, table_component};
use zoo_plugin::prelude::*;

table_component! {
    /// A table with comma- or tab-separated values, a row for each record.
    ///
    /// The first record names the columns, unless `names` does. Records may be longer than that: what is
    /// beyond the last name is left out; a record that is too short for a chosen column is an error with
    /// its line. Fields may stand in double quotes and then hold separators and line ends; with
    /// `quotes: false` a quote is a character like any other.
    ///
    /// # Example
    /// ```mlm
    /// data pairs = text.csv(file: asset("pairs.tsv"), separator: "\t", columns: ["left", "right"], numbers: ["score"])
    /// ```
    #[component(
        data,
        name = "text.csv",
        outputs(
            columns: "text[B]" = "the chosen columns of text" columns_from = "columns",
            numbers: "float[B]" = "the chosen columns of numbers" columns_from = "numbers",
            integers: "int[B]" = "the chosen columns of whole numbers" columns_from = "integers",
        ),
        loader,
    )]
    pub struct SeparatedValues {
        /// What stands between fields, one character; `\t` is a tab.
        #[param(default = ",")]
        pub separator: String,
        /// Names of the columns in order, for a file whose first record is data.
        pub names: Option<Vec<String>>,
        /// Whether fields may stand in double quotes.
        #[param(default = true)]
        pub quotes: bool,
    }
}

/// Rows with the place of every chosen column.
#[derive(Debug)]
pub struct TableRows {
    rows: Rows,
    names: Vec<String>,
}

impl SeparatedValues {
    fn reader(&self) -> Result<csv::ReaderBuilder> {
        let separator = match self.separator.as_bytes() {
            [byte] => *byte,
            b"\\t" => b'\t',
            _ => {
                return Err(Error::new(format!("`{}` is not one character", self.separator))
                    .at("separator")
                    .help("a tab is \"\\t\""));
            }
        };
        let mut builder = csv::ReaderBuilder::new();
        builder.delimiter(separator).quoting(self.quotes).has_headers(false).flexible(true);
        Ok(builder)
    }

    fn record(&self, bytes: &[u8], at: &dyn Fn() -> String) -> Result<csv::ByteRecord> {
        let mut record = csv::ByteRecord::new();
        let mut reader = self.reader()?.from_reader(bytes);
        let read = reader.read_byte_record(&mut record).map_err(|e| Error::new(format!("{}: {e}", at())))?;
        if read { Ok(record) } else { Err(Error::new(format!("{}: the record is empty", at()))) }
    }
}

impl Component for SeparatedValues {
    type State = TableRows;

    fn build(&self, cx: &mut Build<'_>) -> Result<TableRows> {
        self.choice().check()?;
        let path = cx.asset(&self.file)?;
        let failed = |e: csv::Error| Error::new(format!("{}: {e}", path.display()));
        let open = || {
            std::fs::File::open(&path)
                .map(std::io::BufReader::new)
                .map_err(|e| crate::file::unreadable(&path, e))
        };
        let names = match &self.names {
            Some(names) => names.clone(),
            None => {
                let mut first = csv::ByteRecord::new();
                self.reader()?.from_reader(open()?).read_byte_record(&mut first).map_err(failed)?;
                first
                    .iter()
                    .map(|field| {
                        let field = field.strip_prefix(b"\xef\xbb\xbf").unwrap_or(field);
                        Ok(utf8(field.to_vec(), &path, 1)?.trim().to_owned())
                    })
                    .collect::<Result<Vec<_>>>()?
            }
        };
        for name in self.choice().names() {
            if !names.iter().any(|n| n == name) {
                return Err(no_column(&path.display().to_string(), name, &names).at("columns"));
            }
        }
        let rows = Rows::open(cx, &path, (&self.part, self.held_out), self.limit, |file, index| {
            let mut reader = self.reader()?.from_reader(open()?);
            let mut record = csv::ByteRecord::new();
            let mut number = 0_u64;
            loop {
                if !reader.read_byte_record(&mut record).map_err(failed)? {
                    return Ok(());
                }
                let (start, line) = record.position().map_or((0, 0), |p| (p.byte(), p.line()));
                number += 1;
                if number > 1 || self.names.is_some() {
                    let length = reader.position().byte() - start;
                    index.row(file.path(), start, record.as_slice(), length, line)?;
                }
            }
        })?;
        Ok(TableRows { rows, names })
    }

    fn length(&self, state: &TableRows, _: &mut Call<'_>) -> Result<usize> {
        Ok(state.rows.len())
    }

    fn read(&self, state: &TableRows, indices: &[i64], _: &mut Call<'_>) -> Result<SeparatedValuesOutputs> {
        let path = state.rows.file.path();
        let mut records = Vec::with_capacity(indices.len());
        for (bytes, line) in lines(&state.rows, indices)? {
            records.push((self.record(&bytes, &|| place(path, line))?, line));
        }
        let Chosen { columns, numbers, integers } = self.choice().gather(
            &records,
            |(record, line), name| {
                let column = state.names.iter().position(|n| n == name);
                match column.and_then(|i| record.get(i)) {
                    Some(bytes) => Ok(Field::Text(utf8(bytes.to_vec(), path, *line)?)),
                    None => Err(Error::new(format!(
                        "{}: the record has {} fields and none for column `{name}`",
                        place(path, *line),
                        record.len()
                    ))
                    .help(if self.quotes {
                        "if quotes in it are plain characters, set `quotes: false`"
                    } else {
                        "look at the separator"
                    })),
                }
            },
            |(_, line)| place(path, *line),
        )?;
        Ok(SeparatedValuesOutputs { columns, numbers, integers })
    }
}
