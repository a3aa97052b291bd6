//! The schema of a component, as its plugin file carries it in JSON.

use crate::types::{ParameterType, PortType};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The build facts of a plugin file, read before it is loaded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Build {
    /// The plugin's name, `zoo-text` for `libzoo_text.so`.
    pub name: String,
    /// Its version, semver.
    pub version: String,
    /// ABI `major.minor` it was built for.
    pub abi: String,
    /// The entry symbol.
    pub entry: String,
    /// libtorch's version it was built with; absent where it does not link libtorch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub libtorch: Option<String>,
    /// The compiler, for information.
    #[serde(default)]
    pub compiler: String,
    /// The target triple.
    pub target: String,
    /// `unwind` or `abort`.
    #[serde(default = "unwind")]
    pub panic: String,
    /// Version of the SDK; absent where none was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sdk: Option<String>,
}

fn unwind() -> String {
    "unwind".to_owned()
}

/// What a component declares.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Component {
    /// `namespace.name`, as recipes write it.
    pub name: String,
    /// `objective`, `masker`, `architecture`, …: a contract on ports, see [`crate::kinds`].
    pub kind: String,
    /// First line of the doc comment.
    pub summary: String,
    /// The rest of it, Markdown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Where the method comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paper: Option<String>,
    /// Parameters in order; a call without names fills them in this order.
    #[serde(default, rename = "params")]
    pub parameters: Vec<Parameter>,
    /// Input ports in order; a call in a step without names fills them in this order.
    #[serde(default, rename = "in")]
    pub inputs: Vec<Port>,
    /// Output ports in order.
    #[serde(default, rename = "out")]
    pub outputs: Vec<Port>,
    /// Inputs of an objective that its number of targets depends on; they must come from the batch
    /// alone for the count to be known ahead.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub count_inputs: Vec<String>,
    /// Named places where adapters can act.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sites: Vec<Site>,
    /// What it does beside computing outputs from inputs.
    #[serde(default)]
    pub effects: Effects,
    /// What a call costs.
    #[serde(default)]
    pub cost: Cost,
    /// Recipe fragments that use it; each is a test.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<String>,
}

/// A parameter of a component.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    /// The name.
    pub name: String,
    /// The type.
    #[serde(rename = "type")]
    pub kind: ParameterType,
    /// The value when none is given; without it the parameter must be given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Default>,
    /// May be left out even without a default; then it reaches the component as `null`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
    /// Allowed range, as recipes write it: `(0, 1]`, `>= 1`; in base units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<String>,
    /// May vary in time: a schedule (`ramp`, `cosine`, `exponential`, `steps_at`) may stand for its value.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub varies: bool,
    /// What it means; with the unit.
    #[serde(default)]
    pub doc: String,
}

/// A default: a value in base units, or a formula over other parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Default {
    /// `{"formula": "4 * hidden"}`
    Formula {
        /// See [`crate::formula`].
        formula: String,
    },
    /// Any other JSON value.
    Value(Value),
}

/// An input or output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Port {
    /// The name.
    pub name: String,
    /// Element type and shape.
    #[serde(rename = "type")]
    pub kind: PortType,
    /// An input that may be left out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
    /// Takes or gives several values.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub repeated: bool,
    /// `higher` or `lower`, for outputs that measure something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub better: Option<String>,
    /// `fraction` for outputs that are shares of one, printed as a percentage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// A parameter (of type `list[text]`) that names the columns this output stands for: a data
    /// source whose columns the recipe chooses. The output then repeats, one a column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns_from: Option<String>,
    /// What it means.
    #[serde(default)]
    pub doc: String,
}

/// A named place in an architecture where adapters can act.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Site {
    /// `layers.{layers}.attention.query`: a parameter's name in braces stands for every index below
    /// its value.
    pub name: String,
    /// Size of the last dimension of the input, a formula.
    pub input: String,
    /// Size of the last dimension of the output, a formula.
    pub output: String,
}

/// What a component does beside computing outputs from inputs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Effects {
    /// Draws random numbers.
    pub random: bool,
    /// Has state that a checkpoint must hold.
    pub state: bool,
    /// Has trained parameters.
    pub parameters: bool,
    /// Works on the batch alone, on the CPU: runs ahead on loader threads.
    pub loader: bool,
    /// An objective that compares the examples of the whole update with each other, so that a
    /// split update must bring them together again (in-batch negatives).
    pub whole_update: bool,
    /// Inputs that the component writes to: optimizers only.
    pub writes: Vec<String>,
    /// Tensors that an optimizer keeps for every parameter. They reach it through its input `states`,
    /// one kind after the other: all parameters' first state, then all parameters' second.
    pub states: Vec<OptimizerState>,
    /// No gradient flows through it.
    pub stops_gradient: bool,
}

/// A tensor that an optimizer keeps for every parameter, float32, zero at first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OptimizerState {
    /// Its name in checkpoints: `first_moment`.
    pub name: String,
    /// Its shape.
    #[serde(default)]
    pub layout: StateLayout,
}

/// The shape of an optimizer's state, by that of the parameter. What does not apply to a parameter is
/// a tensor of no elements, shape `[0]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StateLayout {
    /// The parameter's shape.
    #[default]
    Same,
    /// For matrices and above: the shape without the last dimension.
    Rows,
    /// For matrices and above: the shape without the last but one dimension.
    Columns,
    /// For vectors and single numbers: the parameter's shape.
    Vectors,
}

impl StateLayout {
    /// The shape of the state of a parameter of that shape.
    ///
    /// ```
    /// use zoo_schema::StateLayout;
    /// assert_eq!(StateLayout::Rows.shape(&[2, 3, 5]), [2, 3]);
    /// assert_eq!(StateLayout::Columns.shape(&[2, 3, 5]), [2, 5]);
    /// assert_eq!(StateLayout::Vectors.shape(&[2, 3, 5]), [0]);
    /// assert_eq!(StateLayout::Vectors.shape(&[5]), [5]);
    /// ```
    pub fn shape(self, parameter: &[i64]) -> Vec<i64> {
        let rank = parameter.len();
        match self {
            Self::Same => parameter.to_vec(),
            Self::Rows if rank >= 2 => parameter[..rank - 1].to_vec(),
            Self::Columns if rank >= 2 => {
                let mut shape = parameter.to_vec();
                shape.remove(rank - 2);
                shape
            }
            Self::Vectors if rank < 2 => parameter.to_vec(),
            Self::Rows | Self::Columns | Self::Vectors => vec![0],
        }
    }
}

/// What one call costs, as formulas over parameters and dimensions of the ports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cost {
    /// Floating point operations of a forward call, a multiply-add counting two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flops: Option<String>,
    /// Number of trained parameters, shared ones included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<String>,
    /// Floating point values kept for the backward pass, inputs among them where the call keeps those.
    /// Outputs are not: they are counted as long as something reads them, and where a call keeps them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activations: Option<String>,
    /// Floating point values that the call has made and that are alive at once, at its worst moment: kept
    /// ones and outputs among them, inputs not. Without gradients it is all that a call needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    /// The largest size of a dimension that only a batch tells (`T` of a tokenizer), a formula over
    /// parameters. It does not fix the dimension: costs of what nothing else fixes are predicted with it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub bounds: BTreeMap<String, String>,
    /// Number of parameters at or below a name (`encoder.embeddings`), of those names that other models
    /// may share: with it, what is shared is counted once.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<String, String>,
}

impl Component {
    /// The input of that name.
    pub fn input(&self, name: &str) -> Option<&Port> {
        self.inputs.iter().find(|p| p.name == name)
    }

    /// The output of that name.
    pub fn output(&self, name: &str) -> Option<&Port> {
        self.outputs.iter().find(|p| p.name == name)
    }

    /// The parameter of that name.
    pub fn parameter(&self, name: &str) -> Option<&Parameter> {
        self.parameters.iter().find(|p| p.name == name)
    }
}
