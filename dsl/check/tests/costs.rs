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
    lasting("100 steps", phase)
}

fn lasting(length: &str, phase: &str) -> Experiment {
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
  steps = {length}
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
        messages_only: false,
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
    // What two networks and two objectives keep; beside it, when the last objective ends, the scores that it
    // read and both losses.
    assert_eq!(train.memory.activations, 2.0 * (8.0 * 12.0 + 8.0 * 2.0));
    assert_eq!(train.memory.workspace, 8.0 * 2.0 + 2.0);
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

/// A tokenizer in the step: how long texts are, only a batch tells. A model of at most `longest` tokens.
fn of_texts(maximum_length: &str) -> Experiment {
    let components = vec![
        component(json!({
            "name": "toy.texts", "kind": "data", "summary": "texts",
            "out": [{"name": "text", "type": "text[B]"}],
        })),
        component(json!({
            "name": "toy.words", "kind": "tokenizer", "summary": "words",
            "params": [{"name": "maximum_length", "type": "count", "optional": true}],
            "in": [{"name": "text", "type": "text[B]"}],
            "out": [{"name": "ids", "type": "int[B, T]"}],
            "effects": {"loader": true},
            "cost": {"bounds": {"T": "maximum_length"}},
        })),
        component(json!({
            "name": "toy.score", "kind": "architecture", "summary": "a score",
            "params": [{"name": "longest", "type": "count"}],
            "in": [{"name": "ids", "type": "int[B, T]"}],
            "out": [{"name": "score", "type": "float[]"}],
            "cost": {"flops": "B * T", "workspace": "2 * B * T", "bounds": {"T": "longest"}},
        })),
    ];
    let plugin = Plugin {
        name: "zoo-toy".into(),
        version: "0.1.0".into(),
        path: "libzoo_toy.so".into(),
        hash: String::new(),
        components,
    };
    let text = format!(
        r#"mlm 1

use plugin "zoo-toy"

data texts = toy.texts()
tokenizer words = toy.words({maximum_length})
model score = toy.score(longest: 100)

step measured(batch) {{
  log score = score(words(batch.text))
}}

eval quality = measure(measured, data: texts, batch: 16 seq)
metric score_of_texts = quality.score
"#
    );
    let checked = check(&Input {
        name: "toy.mlm",
        text: &text,
        read: &|_| Err("no other file".into()),
        catalogue: &Catalogue { plugins: vec![plugin], refused: Vec::new() },
        profile: None,
        arms: &[],
        sets: &[],
        seeds: None,
        messages_only: false,
    });
    assert!(!checked.has_errors(), "{:#?}", checked.diagnostics);
    checked.experiment.unwrap()
}

#[test]
fn what_only_a_batch_tells_is_predicted_at_its_largest() {
    // The smaller of two bounds.
    let experiment = of_texts("maximum_length: 30");
    let quality = part(&experiment, "quality");
    assert_eq!(quality.flops, 16.0 * 30.0);
    assert_eq!(quality.memory.workspace, 2.0 * 16.0 * 30.0);
    assert_eq!(quality.memory.batch_bytes, 8.0 * 16.0 * 30.0);
    // Shorter texts need less: half of all tokens, half of what they take.
    let bytes = |length: f64| quality.bytes_at(length, false);
    assert_eq!(bytes(30.0), quality.memory.bytes(false));
    assert_eq!(bytes(15.0) * 2.0, bytes(30.0));
    assert!((bytes(16.0) * 30.0 / 16.0 - bytes(30.0)).abs() < 1e-6, "between two that are known");
    assert_eq!(bytes(1000.0), bytes(30.0));
    // The only one.
    assert_eq!(part(&of_texts(""), "quality").flops, 16.0 * 100.0);
}

/// A model whose files tell its sizes, unless the recipe does.
fn of_files(sizes: &str, holding: &str) -> zoo_check::Checked {
    let mut catalogue = catalogue();
    catalogue.plugins[0].components.extend([
        component(json!({
            "name": "toy.loaded", "kind": "architecture", "summary": "a model of files",
            "params": [{"name": "width", "type": "count", "optional": true}],
            "in": [{"name": "x", "type": "float[B, 4]"}], "out": [{"name": "score", "type": "float[]"}],
            "effects": {"parameters": true},
            "cost": {"flops": "2 * B * width", "parameters": "width", "workspace": "3 * width"},
        })),
        component(json!({
            "name": "toy.error", "kind": "objective", "summary": "an error",
            "in": [{"name": "x", "type": "float[]"}], "out": [{"name": "loss", "type": "float[]"}],
        })),
    ]);
    let text = format!(
        r#"mlm 1

use plugin "zoo-toy"

data rows = toy.rows()
model loaded = toy.loaded({sizes})
objective error = toy.error()
optimizer adam = toy.adam(learning_rate: 0.1)

step fit(batch) {{
  let made = loaded(batch.x)
  log score = made
  loss = error(made)
}}
step look(batch) {{
  log score = loaded(batch.x)
}}

phase train {{
  data = rows
  step = fit
  steps = 10 steps
  batch = 4 seq
  optimizer = adam
}}

eval quality = measure(look, data: rows, batch: 16 seq)
metric score_of_rows = quality.score
arm one : baseline "one" {{}}
arm other : treatment "other" {{}}
claim "it is better" {{
  require score_of_rows(other) > score_of_rows(one)
  over 2 seeds
  {holding}
}}
"#
    );
    check(&Input {
        name: "toy.mlm",
        text: &text,
        read: &|_| Err("no other file".into()),
        catalogue: &catalogue,
        profile: None,
        arms: &[],
        sets: &[],
        seeds: None,
        messages_only: false,
    })
}

#[test]
fn sizes_that_only_files_tell_are_asked_for() {
    let known = of_files("width: 7", "holding cost.train_flops within 5%");
    assert!(!known.has_errors(), "{:#?}", known.diagnostics);
    let cost = &known.experiment.unwrap().arms[0].cost;
    assert_eq!((cost.parameters, cost.train_flops), (7.0, 10.0 * 3.0 * 2.0 * 4.0 * 7.0));
    assert_eq!(cost.parts[1].memory.workspace, 21.0);
    assert!(cost.parts[1].memory.unknown.is_empty());
    // The evaluation is planned as far as it is known; what claims rest on is refused.
    let unknown = of_files("", "");
    assert!(!unknown.has_errors(), "{:#?}", unknown.diagnostics);
    let parts = unknown.experiment.unwrap().arms[0].cost.parts.clone();
    assert!(parts.iter().all(|part| part.memory.unknown == ["loaded"]), "{parts:#?}");
    let refused = of_files("", "holding cost.train_flops within 5%");
    let text = format!("{:?}", refused.diagnostics);
    assert!(refused.has_errors() && text.contains("depends on `width`, which its files tell"), "{text}");
}

#[test]
fn phases_in_epochs_are_told() {
    assert!(experiment("").arms[0].cost.in_epochs.is_empty());
    assert_eq!(lasting("3 epochs", "").arms[0].cost.in_epochs, ["train"]);
}
