//! Data, with a stage, and on several threads.

use zoo_plugin::prelude::*;

/// The numbers from 0 on, as integers and as words.
///
/// # Example
/// ```mlm
/// data numbers = probe.numbers(count: 100)
/// ```
#[component(
    data,
    name = "probe.numbers",
    outputs(number: "int[B]" = "the number", word: "text[B]" = "the number as a text"),
    loader
)]
pub struct Numbers {
    /// How many.
    #[param(default = 10)]
    pub count: usize,
}

impl Component for Numbers {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Ok(())
    }

    fn length(&self, _: &(), _: &mut Call<'_>) -> Result<usize> {
        Ok(self.count)
    }

    fn read(&self, _: &(), indices: &[i64], _: &mut Call<'_>) -> Result<NumbersOutputs> {
        if let Some(out) = indices.iter().find(|i| **i < 0 || **i >= self.count as i64) {
            return Err(Error::new(format!("there is no example {out}")));
        }
        Ok(NumbersOutputs {
            number: Tensor::f_from_slice(indices)?,
            word: indices.iter().map(ToString::to_string).collect(),
        })
    }
}

/// Lines of a file that is made once, as columns of the recipe's choice.
///
/// # Example
/// ```mlm
/// data numbers = probe.numbers(count: 100)
/// data table = probe.table(columns: ["left", "right"], words: numbers)
/// ```
#[component(
    data,
    name = "probe.table",
    outputs(cells: "text[B]" = "one column a name" columns_from = "columns"),
    loader
)]
pub struct Table {
    /// Names of the columns.
    #[param(kind = "list[text]")]
    pub columns: Vec<String>,
    /// Data whose words stand in the cells.
    #[param(component = "data")]
    pub words: Handle,
}

impl Component for Table {
    type State = Vec<String>;

    fn build(&self, cx: &mut Build<'_>) -> Result<Self::State> {
        let length = cx.length(self.words)?;
        let indices: Vec<i64> = (0..length as i64).collect();
        let columns = cx.read(self.words, &indices)?;
        let words = columns.texts("word")?.join("\n");
        let path = cx.stage("words", |path| Ok(std::fs::write(path, words)?))?;
        Ok(std::fs::read_to_string(path)?.lines().map(str::to_owned).collect())
    }

    fn length(&self, state: &Self::State, _: &mut Call<'_>) -> Result<usize> {
        Ok(state.len())
    }

    fn read(&self, state: &Self::State, indices: &[i64], _: &mut Call<'_>) -> Result<TableOutputs> {
        if let Some(out) = indices.iter().find(|i| **i < 0 || **i >= state.len() as i64) {
            return Err(Error::new(format!("there is no example {out}")));
        }
        let cells = self
            .columns
            .iter()
            .map(|column| indices.iter().map(|i| format!("{column} {}", state[*i as usize])).collect())
            .collect();
        Ok(TableOutputs { cells })
    }
}
