//! Files of lines: plain text and JSON.

use crate::file::utf8;
use crate::index::Rows;
use crate::table::{Chosen, Field, lines, no_column, place, table_component};
use zoo_plugin::prelude::*;

/// The lines of a text file, a row each.
///
/// The file may be of any size: where its lines lie is found once and kept, and rows are read when they
/// are needed. It must be UTF-8; lines end in `\n` or `\r\n`.
///
/// # Example
/// ```mlm
/// data sentences = text.lines(file: asset("sentences.txt"), part: "train", held_out: 5%)
/// ```
#[component(
    data,
    name = "text.lines",
    outputs(text: "text[B]" = "the line without its end"),
    loader,
)]
pub struct Lines {
    /// The file.
    #[param(kind = "asset")]
    pub file: String,
    /// Whether lines of nothing but white space are left out.
    #[param(default = true)]
    pub skip_empty: bool,
    /// Which lines: all, those not held out, or the held-out ones, chosen by a hash of their content.
    #[param(default = "all", one_of("all", "train", "held_out"))]
    pub part: String,
    /// Share of the lines that is held out.
    #[param(default = 0.0, range = "[0%, 100%]", kind = "fraction")]
    pub held_out: f64,
    /// At most this many lines, the first ones of the part; all, when not given.
    pub limit: Option<usize>,
}

impl Component for Lines {
    type State = Rows;

    fn build(&self, cx: &mut Build<'_>) -> Result<Rows> {
        let path = cx.asset(&self.file)?;
        Rows::open(cx, &path, (&self.part, self.held_out), self.limit, |file, index| {
            file.lines(|number, offset, line| {
                if self.skip_empty && line.trim_ascii().is_empty() {
                    return Ok(());
                }
                index.row(file.path(), offset, line, line.len() as u64, number)
            })
        })
    }

    fn length(&self, rows: &Rows, _: &mut Call<'_>) -> Result<usize> {
        Ok(rows.len())
    }

    fn read(&self, rows: &Rows, indices: &[i64], _: &mut Call<'_>) -> Result<LinesOutputs> {
        let text = lines(rows, indices)?
            .into_iter()
            .map(|(bytes, line)| utf8(bytes, rows.file.path(), line))
            .collect::<Result<_>>()?;
        Ok(LinesOutputs { text })
    }
}

table_component! {
    /// A file of JSON objects, one a line.
    ///
    /// Columns are fields of the objects; `answer.text` is the field `text` of the object `answer`. Lines
    /// that are empty are left out.
    ///
    /// # Example
    /// ```mlm
    /// data reviews = text.jsonl(file: asset("reviews.jsonl"), columns: ["text"], integers: ["stars"])
    /// ```
    #[component(
        data,
        name = "text.jsonl",
        outputs(
            columns: "text[B]" = "the chosen fields of text" columns_from = "columns",
            numbers: "float[B]" = "the chosen fields of numbers" columns_from = "numbers",
            integers: "int[B]" = "the chosen fields of whole numbers" columns_from = "integers",
        ),
        loader,
    )]
    pub struct JsonLines {}
}

fn json_field(object: &serde_json::Value, name: &str) -> Option<Field> {
    let mut value = object;
    for part in name.split('.') {
        value = value.get(part)?;
    }
    Some(match value {
        serde_json::Value::Null => Field::Null,
        serde_json::Value::Bool(truth) => Field::Truth(*truth),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(whole) => Field::Whole(whole),
            None => Field::Number(number.as_f64().unwrap_or(f64::NAN)),
        },
        serde_json::Value::String(text) => Field::Text(text.clone()),
        _ => Field::Other,
    })
}

impl Component for JsonLines {
    type State = Rows;

    fn build(&self, cx: &mut Build<'_>) -> Result<Rows> {
        self.choice().check()?;
        let path = cx.asset(&self.file)?;
        Rows::open(cx, &path, (&self.part, self.held_out), self.limit, |file, index| {
            file.lines(|number, offset, line| {
                if line.trim_ascii().is_empty() {
                    return Ok(());
                }
                index.row(file.path(), offset, line, line.len() as u64, number)
            })
        })
    }

    fn length(&self, rows: &Rows, _: &mut Call<'_>) -> Result<usize> {
        Ok(rows.len())
    }

    fn read(&self, rows: &Rows, indices: &[i64], _: &mut Call<'_>) -> Result<JsonLinesOutputs> {
        let path = rows.file.path();
        let mut objects = Vec::with_capacity(indices.len());
        for (bytes, line) in lines(rows, indices)? {
            let object: serde_json::Value = serde_json::from_slice(&bytes)
                .map_err(|e| Error::new(format!("{}: this is no JSON: {e}", place(path, line))))?;
            objects.push((object, line));
        }
        let Chosen { columns, numbers, integers } = self.choice().gather(
            &objects,
            |(object, line), name| {
                json_field(object, name).ok_or_else(|| {
                    let known: Vec<String> =
                        object.as_object().map(|o| o.keys().cloned().collect()).unwrap_or_default();
                    no_column(&place(path, *line), name, &known)
                })
            },
            |(_, line)| place(path, *line),
        )?;
        Ok(JsonLinesOutputs { columns, numbers, integers })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_json() {
        let object: serde_json::Value =
            serde_json::from_str(r#"{"a": {"b": 3}, "c": 1.5, "d": null}"#).unwrap();
        assert_eq!(json_field(&object, "a.b"), Some(Field::Whole(3)));
        assert_eq!(json_field(&object, "c"), Some(Field::Number(1.5)));
        assert_eq!(json_field(&object, "d"), Some(Field::Null));
        assert_eq!(json_field(&object, "a"), Some(Field::Other));
        assert_eq!(json_field(&object, "a.x"), None);
    }
}
