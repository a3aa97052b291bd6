//! What a component of a kind must look like. A kind is a contract on ports: a new kind is a row
//! here, not a change of the ABI.

use crate::component::Component;
use crate::types::{Dim, Dtype};

/// One kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// As the schema names it.
    pub name: &'static str,
    /// As a recipe binds it: `model gen = …`, `objective mlm = …`.
    pub keyword: &'static str,
    /// What it is, for `zoo explain`.
    pub summary: &'static str,
    /// Whether a step may call it.
    pub callable: bool,
}

/// Every kind, in the order of the documentation.
pub const KINDS: &[Kind] = &[
    Kind { name: "data", keyword: "data", summary: "rows of named columns, read by index", callable: false },
    Kind { name: "tokenizer", keyword: "tokenizer", summary: "strings to token ids", callable: true },
    Kind {
        name: "augmenter",
        keyword: "masker",
        summary: "an input to a changed input of the same type",
        callable: true,
    },
    Kind {
        name: "masker",
        keyword: "masker",
        summary: "token ids to masked ids and targets",
        callable: true,
    },
    Kind { name: "sampler", keyword: "model", summary: "scores to sampled ids", callable: true },
    Kind {
        name: "architecture",
        keyword: "model",
        summary: "inputs to hidden states and scores",
        callable: true,
    },
    Kind { name: "head", keyword: "model", summary: "hidden states to scores", callable: true },
    Kind {
        name: "pooler",
        keyword: "model",
        summary: "hidden states to one vector an example",
        callable: true,
    },
    Kind {
        name: "adapter",
        keyword: "adapter",
        summary: "changes the output of sites of a model",
        callable: false,
    },
    Kind {
        name: "objective",
        keyword: "objective",
        summary: "a sum over targets to be made small",
        callable: true,
    },
    Kind {
        name: "metric",
        keyword: "metric",
        summary: "a number over all batches of an evaluation",
        callable: true,
    },
    Kind {
        name: "optimizer",
        keyword: "optimizer",
        summary: "gradients to changed parameters",
        callable: false,
    },
    Kind { name: "schedule", keyword: "schedule", summary: "a step number to a factor", callable: false },
    Kind {
        name: "aggregator",
        keyword: "aggregator",
        summary: "norms of single examples' gradients to their weights in the sum, and noise on it",
        callable: false,
    },
    Kind { name: "tool", keyword: "tool", summary: "a text to a text, called by an agent", callable: true },
    Kind { name: "reward", keyword: "reward", summary: "a score of a finished sequence", callable: true },
    Kind {
        name: "function",
        keyword: "model",
        summary: "anything else from inputs to outputs",
        callable: true,
    },
];

/// The kind of that name.
pub fn kind(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|k| k.name == name)
}

/// What in the schema breaks its kind's contract; empty when nothing does.
pub fn violations(component: &Component) -> Vec<String> {
    let mut wrong = Vec::new();
    let Some(kind) = kind(&component.kind) else {
        let names: Vec<_> = KINDS.iter().map(|k| k.name).collect();
        return vec![format!("there is no kind `{}`; kinds are {}", component.kind, names.join(", "))];
    };
    let scalar_output = |name: &str, dtype: Dtype| {
        component.outputs.iter().any(|o| o.name == name && o.kind.dtype == dtype && o.kind.shape.is_empty())
    };
    match kind.name {
        "objective" => {
            if !scalar_output("loss", Dtype::Float) {
                wrong.push("an objective has an output `loss: float[]`, the sum over its targets".to_owned());
            }
            for name in &component.count_inputs {
                if component.input(name).is_none() {
                    wrong.push(format!("`count_inputs` names `{name}`, which is no input"));
                }
            }
        }
        "data" => {
            if !component.inputs.is_empty() {
                wrong.push("data has no inputs".to_owned());
            }
            for output in &component.outputs {
                if output.kind.shape.first() != Some(&Dim::Name("B".to_owned())) {
                    wrong.push(format!("the first dimension of column `{}` must be B", output.name));
                }
            }
        }
        "metric" if !scalar_output("value", Dtype::Real) => {
            wrong.push("a metric has an output `value: real`".to_owned());
        }
        "schedule"
            if component.input("step").is_none()
                || component.input("total").is_none()
                || !scalar_output("factor", Dtype::Real) =>
        {
            wrong.push(
                "a schedule has inputs `step: integer` and `total: integer` and an output `factor: real`"
                    .to_owned(),
            );
        }
        "aggregator" => {
            let is_row = |port: &crate::component::Port, name: &str| {
                port.name == name
                    && port.kind.dtype == Dtype::Float
                    && port.kind.shape.as_slice() == [Dim::Name("B".to_owned())]
            };
            if !component.inputs.iter().any(|port| is_row(port, "norms"))
                || !component.outputs.iter().any(|port| is_row(port, "weights"))
                || !scalar_output("noise", Dtype::Real)
            {
                wrong.push(
                    "an aggregator has an input `norms: float[B]` and outputs `weights: float[B]` and \
                     `noise: real`"
                        .to_owned(),
                );
            }
        }
        "optimizer" => {
            for name in ["step", "rate", "names", "parameters", "gradients", "states"] {
                if component.input(name).is_none() {
                    wrong.push(format!("an optimizer has an input `{name}`"));
                }
            }
        }
        _ => {}
    }
    if component.kind != "optimizer" && !component.effects.writes.is_empty() {
        wrong.push("only optimizers write to their inputs".to_owned());
    }
    if component.kind != "optimizer" && !component.effects.states.is_empty() {
        wrong.push("only optimizers keep states of parameters".to_owned());
    }
    wrong
}
