//! What arms cost, computed by hand for a small recipe.

#![allow(clippy::unwrap_used)]

use serde_json::json;
use zoo_check::{Catalogue, Input, Plugin, check};
use zoo_schema::Component;
use zoo_schema::experiment::{Experiment, PartCost};

fn component(value: serde_json::Value) -> Component {
    serde_json::from_value(value).unwrap()
}

/// Rows of 4 numbers and a class; a model of `width` hidden units; an objective.
fn catalogue() -> Catalogue {
    let components = vec![
        component(json!({
            "name": "toy.rows", "kind": "data", "summary": "rows",
            "out": [{"name": "x", "type": "float[B, 4]"}, {"name": "y", "type": "int[B]"}],
        })),
        component(json!({
            "name": "toy.network", "kind": "architecture", "summary": "a network",
            "params": [{"name": "width", "type": "count"}],
            "in": [{"name": "x", "type": "float[B, 4]"}],
            "out": [{"name": "scores", "type": "float[B, 2]"}],
            "effects": {"parameters": true},
            "cost": {
                "flops": "B * width * 12", "parameters": "width * 6", "activations": "B * (width + 2)",
                "parts": {"first": "4 * width"},
            },
        })),
        component(json!({
            "name": "toy.cross_entropy", "kind": "objective", "summary": "an objective",
            "in": [{"name": "scores", "type": "float[B, 2]"}, {"name": "y", "type": "int[B]"}],
            "out": [{"name": "loss", "type": "float[]"}],
            "cost": {"flops": "B * 8", "activations": "B * 2", "workspace": "B * 2"},
        })),
        component(json!({
            "name": "toy.adam", "kind": "optimizer", "summary": "an optimizer",
            "params": [{"name": "learning_rate", "type": "real"}],
            "in": [
                {"name": "step", "type": "integer"}, {"name": "rate", "type": "real"},
                {"name": "names", "type": "bytes"}, {"name": "parameters", "type": "float[...]", "repeated": true},
                {"name": "gradients", "type": "float[...]", "repeated": true},
                {"name": "states", "type": "float[...]", "repeated": true},
            ],
            "effects": {"writes": ["parameters", "states"], "states": [{"name": "m"}, {"name": "v"}]},
        })),
    ];
    let plugin = Plugin {
        name: "zoo-toy".into(),
        version: "0.1.0".into(),
        path: "libzoo_toy.so".into(),
        hash: String::new(),
        components,
    };
    Catalogue { plugins: vec![plugin], refused: Vec::new() }
}

fn experiment(phase: &str) -> Experiment {
    let text = format!(
        r#"mlm 1

use plugin "zoo-toy"

data rows = toy.rows()
model a = toy.network(width: 10)
model b = toy.network(width: 10, share: [a.first])
objective entropy = toy.cross_entropy()
optimizer adam = toy.adam(learning_rate: 0.1)

step both(batch) {{
  let one = a(batch.x)
  let two = b(batch.x)
  loss = entropy(one.scores, batch.y) + entropy(two.scores, batch.y)
}}

step measured(batch) {{
  let one = a(batch.x)
  log entropy = entropy(one.scores, batch.y)
}}

phase train {{
  data = rows
  step = both
  steps = 100 steps
  batch = 8 seq
  optimizer = adam
{phase}
}}

eval quality = measure(measured, data: rows, batch: 16 seq)
metric loss = quality.entropy
"#
    );
    let catalogue = catalogue();
    let checked = check(&Input {
        name: "toy.mlm",
        text: &text,
        read: &|_| Err("no other file".into()),
        catalogue: &catalogue,
        profile: None,
        arms: &[],
        sets: &[],
        seeds: None,
    });
    assert!(!checked.has_errors(), "{:#?}", checked.diagnostics);
    checked.experiment.unwrap()
}

fn part<'a>(experiment: &'a Experiment, name: &str) -> &'a PartCost {
    experiment.arms[0].cost.parts.iter().find(|part| part.name == name).unwrap()
}

#[test]
fn flops_parameters_and_memory_by_hand() {
    let experiment = experiment("");
    let cost = &experiment.arms[0].cost;
    // Two networks of 60 parameters that share 40.
    assert_eq!(cost.parameters, 80.0);
    // Forward and backward of two networks and two objectives.
    assert_eq!(cost.train_flops, 100.0 * 3.0 * 2.0 * (8.0 * 10.0 * 12.0 + 8.0 * 8.0));
    let train = part(&experiment, "train");
    assert_eq!(train.flops * 100.0, cost.train_flops);
    assert_eq!((train.memory.parameters, train.memory.gradients, train.memory.states), (80.0, 80.0, 160.0));
    // What two networks and two objectives keep, and the gradient that the last objective begins with.
    assert_eq!(train.memory.activations, 2.0 * (8.0 * 12.0 + 8.0 * 2.0));
    assert_eq!(train.memory.workspace, 8.0 * 2.0);
    assert_eq!(train.memory.batch_bytes, 8.0 * 4.0 * 4.0 + 8.0 * 8.0);
    let quality = part(&experiment, "quality");
    assert_eq!((quality.memory.gradients, quality.memory.activations), (0.0, 0.0));
    assert_eq!(quality.memory.states, 0.0);
    assert_eq!(quality.flops, 16.0 * 10.0 * 12.0 + 16.0 * 8.0);
    assert!(quality.memory.bytes(false) < train.memory.bytes(false));
}

#[test]
fn parts_of_an_update_share_the_memory() {
    let whole = experiment("");
    let parts = experiment("  accumulate = 4");
    let (whole, parts) = (part(&whole, "train"), part(&parts, "train"));
    assert_eq!(parts.flops, whole.flops);
    assert_eq!(parts.memory.activations * 4.0, whole.memory.activations);
    assert_eq!(parts.memory.accumulate, 4.0);
}

#[test]
fn what_is_not_trained_has_no_gradient() {
    let experiment = experiment("  train = [b]");
    let train = part(&experiment, "train");
    assert_eq!(train.memory.gradients, 60.0);
    // `a` and its objective run forward only.
    assert_eq!(train.flops, (3.0 + 1.0) * (8.0 * 10.0 * 12.0 + 8.0 * 8.0));
}
