//! The trait that a component implements, and its registration.

use crate::boundary;
use crate::context::{Build, Call};
use crate::error::{Error, Result};
use crate::values::{Columns, Inputs, Output, Outputs};
use serde::de::DeserializeOwned;

/// What the attribute [`component`](macro@crate::component) generates.
pub trait Ports: Sized {
    /// The inputs by name.
    type Inputs<'a>;
    /// The outputs by name.
    type Outputs: Outputs;
    /// The schema in JSON: the same bytes as in the file's section.
    const SCHEMA: &'static str;
    /// Called on several threads at once.
    const CONCURRENT: bool;
    /// Reads the inputs of a call.
    fn inputs<'a>(ports: &Inputs<'a>) -> Result<Self::Inputs<'a>>;
}

/// A component: a function with declared ports and parameters. The struct that implements it holds
/// the parameters, complete and checked.
pub trait Component: Ports + DeserializeOwned + Send + 'static {
    /// What an instance keeps: handles of trained parameters, tables, files.
    type State: Send + 'static;

    /// Makes an instance. Everything that can fail for reasons of the recipe fails here.
    fn build(&self, cx: &mut Build<'_>) -> Result<Self::State>;

    /// Computes the outputs; only those that [`Call::wants`] need be there.
    fn call(
        &self,
        _state: &Self::State,
        _inputs: Self::Inputs<'_>,
        _cx: &mut Call<'_>,
    ) -> Result<Self::Outputs> {
        Err(Error::unsupported("call"))
    }

    /// Data: the number of examples.
    fn length(&self, _state: &Self::State, _cx: &mut Call<'_>) -> Result<usize> {
        Err(Error::unsupported("length"))
    }

    /// Data: the columns at these indices, one row each.
    fn read(&self, _state: &Self::State, _indices: &[i64], _cx: &mut Call<'_>) -> Result<Self::Outputs> {
        Err(Error::unsupported("read"))
    }

    /// Objectives: the number of targets by which the sum of the whole update is divided. Only the
    /// inputs that the schema lists under `count_inputs` are there.
    fn count(&self, _state: &Self::State, _ports: &Inputs<'_>, _cx: &mut Call<'_>) -> Result<f64> {
        Err(Error::unsupported("count"))
    }

    /// Metrics: the value over all calls since the last reset.
    fn finish(&self, _state: &Self::State, _cx: &mut Call<'_>) -> Result<f64> {
        Err(Error::unsupported("finish"))
    }

    /// Metrics: forgets what was accumulated.
    fn reset(&self, _state: &Self::State, _cx: &mut Call<'_>) -> Result<()> {
        Err(Error::unsupported("reset"))
    }

    /// Tokenizers: the `tokenizer.json`. Models: the `config.json` by which other programs load a
    /// checkpoint of them.
    fn export(&self, _state: &Self::State) -> Result<Vec<u8>> {
        Err(Error::unsupported("export"))
    }

    /// The state that is no parameter, for a checkpoint.
    fn save(&self, _state: &Self::State) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }

    /// Takes back what [`save`](Self::save) gave.
    fn load(&self, _state: &Self::State, _saved: &[u8]) -> Result<()> {
        Ok(())
    }
}

/// A component in the plugin's table.
#[derive(Clone, Copy, Debug)]
pub struct Registration {
    pub(crate) table: fn() -> zoo_abi::Component,
}

impl Registration {
    /// The registration of a component; the attribute submits it.
    pub const fn of<T: Component>() -> Self {
        Self { table: boundary::table::<T> }
    }
}

inventory::collect!(Registration);

/// Reads columns by the names in the schema of what was read.
pub(crate) fn named_columns(names: Vec<String>, values: Vec<Option<Output>>) -> Columns {
    let columns = names.into_iter().zip(values).filter_map(|(name, value)| Some((name, value?))).collect();
    Columns { columns }
}
