//! One update of replaced-token detection through the host, from lines of text to gradients: the plugins
//! are loaded as zoo loads them.

#![allow(clippy::unwrap_used, reason = "a test may")]

use serde_json::{Map, Value as Json, json};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use tch::{Device, Kind, Tensor};
use zoo_host::{CallScope, InstanceId, LocalEnvironment, PluginPath, Registry, Value, World, WorldOptions};
use zoo_schema::experiment::{Instance, Place, Share};

const LENGTH: i64 = 24;

struct Setting {
    world: World,
    _folder: tempfile::TempDir,
}

fn instance(name: &str, component: &str, parameters: Json) -> Instance {
    let Json::Object(parameters) = parameters else { panic!("parameters are an object") };
    Instance {
        name: name.to_owned(),
        component: component.to_owned(),
        kind: String::new(),
        parameters,
        share: Vec::new(),
        weights: None,
        frozen: false,
        on: None,
        place: Place::default(),
        parameter_places: Map::new(),
    }
}

fn reference(name: &str) -> Json {
    json!({ "$instance": name })
}

/// Sentences of a few words in changing order.
fn corpus(path: &Path) {
    let words = ["the", "people", "of", "united", "states", "congress", "peace", "laws", "nation", "union"];
    let mut text = String::new();
    for i in 0..400_usize {
        for j in 0..(4 + i % 7) {
            let _ = write!(text, "{} ", words[(i * 7 + j * (3 + i % 4)) % words.len()]);
        }
        text.push('\n');
    }
    std::fs::write(path, text).unwrap();
}

fn setting(run_seed: u64) -> Setting {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("corpus.txt");
    corpus(&file);
    let built = std::env::current_exe().unwrap().parent().unwrap().to_owned();
    let plugins = ["zoo_text", "zoo_masking", "zoo_transformer", "zoo_language_modelling"]
        .map(|name| PluginPath { path: built.join(format!("lib{name}.so")), hash: None });
    let registry = Arc::new(Registry::load(&plugins).unwrap());
    let environment = Arc::new(LocalEnvironment { folder: folder.path().join("stages") });
    let world = World::new(registry, environment, WorldOptions { run_seed, ..WorldOptions::default() });
    let sizes = |hidden: i64| {
        json!({ "vocabulary": 100, "layers": 1, "hidden": hidden, "heads": 2, "feed_forward": 2 * hidden,
            "embedding": 16, "maximum_length": LENGTH, "dropout": 0.0, "attention_dropout": 0.0 })
    };
    let lines = json!({ "file": file });
    world.create(&instance("lines", "text.lines", lines)).unwrap();
    let trained = json!({ "corpus": reference("lines"), "vocabulary": 60, "maximum_length": 16 });
    world.create(&instance("wordpiece", "text.wordpiece", trained)).unwrap();
    let rows = json!({ "source": reference("lines"), "tokenizer": reference("wordpiece"), "length": LENGTH });
    world.create(&instance("packed", "text.packed", rows.clone())).unwrap();
    let mut rows = instance("rows", "text.two_segments", rows);
    rows.parameters.insert("across_texts".to_owned(), json!(true));
    world.create(&rows).unwrap();
    let mask = json!({ "tokenizer": reference("wordpiece"), "mask_share": 0.85, "with_replacement": true });
    world.create(&instance("mask", "masking.random_tokens", mask)).unwrap();
    let noise = json!({ "tokenizer": reference("wordpiece") });
    world.create(&instance("noise", "masking.uniform_sample", noise)).unwrap();
    world.create(&instance("discriminator", "transformer.electra_discriminator", sizes(16))).unwrap();
    let share = vec![Share { prefix: "electra.embeddings".to_owned(), instance: "discriminator".to_owned() }];
    let generator = instance("generator", "transformer.electra_generator", sizes(8));
    world.create(&Instance { share, ..generator }).unwrap();
    for (name, component) in [
        ("draw", "language_modelling.sample"),
        ("fill", "language_modelling.replace"),
        ("mlm", "language_modelling.masked_cross_entropy"),
        ("rtd", "language_modelling.replaced_token_detection"),
    ] {
        world.create(&instance(name, component, json!({}))).unwrap();
    }
    world.train_only(&["generator".to_owned(), "discriminator".to_owned()]).unwrap();
    Setting { world, _folder: folder }
}

impl Setting {
    fn id(&self, name: &str) -> InstanceId {
        self.world.instance(name).unwrap()
    }

    fn call(&self, name: &str, row_offset: u64, inputs: &[(&str, &Tensor)]) -> zoo_host::Outputs {
        let scope = CallScope {
            node: name.into(),
            update: 3,
            row_offset,
            training: true,
            gradients: true,
            ..CallScope::default()
        };
        let values: Vec<(&str, Value)> =
            inputs.iter().map(|(port, t)| (*port, Value::Tensor(t.shallow_clone()))).collect();
        let inputs: Vec<(&str, &Value)> = values.iter().map(|(port, value)| (*port, value)).collect();
        self.world.call(self.id(name), &scope, &inputs).unwrap()
    }

    fn read(&self, name: &str, indices: &[i64]) -> Vec<(String, Tensor)> {
        let columns = self.world.read(self.id(name), &CallScope::default(), indices).unwrap();
        columns.into_iter().map(|(n, v)| (n, v.tensor().unwrap().shallow_clone())).collect()
    }

    /// One forward pass; sums of both losses with their counts, and what the discriminator read.
    fn forward(&self, indices: &[i64], row_offset: u64) -> Forward {
        let columns = self.read("rows", indices);
        let column = |name: &str| columns.iter().find(|(n, _)| n == name).unwrap().1.shallow_clone();
        let (ids, mask, segments) = (column("ids"), column("attention_mask"), column("segment_ids"));
        let mut x = self.call("mask", row_offset, &[("ids", &ids), ("attention_mask", &mask)]);
        let masked = x.take_tensor("ids").unwrap();
        let (labels, positions) = (x.take_tensor("labels").unwrap(), x.take_tensor("positions").unwrap());
        let encoder = [("ids", &masked), ("attention_mask", &mask), ("segment_ids", &segments)];
        let generated =
            self.call("generator", row_offset, &[&encoder[..], &[("positions", &positions)]].concat());
        let logits = generated.get("logits").and_then(Value::tensor).unwrap();
        let drawn = [("logits", logits), ("positions", &positions), ("ids", &ids)];
        let tokens = self.call("draw", row_offset, &drawn).take_tensor("tokens").unwrap();
        assert!(!tokens.requires_grad());
        let put = [("ids", &ids), ("positions", &positions), ("tokens", &tokens)];
        let mut fake = self.call("fill", row_offset, &put);
        let (corrupt, replaced) =
            (fake.take_tensor("ids").unwrap(), fake.take_tensor("is_replaced").unwrap());
        let encoder = [("ids", &corrupt), ("attention_mask", &mask), ("segment_ids", &segments)];
        let scores = self.call("discriminator", row_offset, &encoder).take_tensor("logits").unwrap();
        let mlm = self.call("mlm", row_offset, &[("logits", logits), ("labels", &labels)]);
        let judged = [("logits", &scores), ("is_replaced", &replaced), ("attention_mask", &mask)];
        let rtd = self.call("rtd", row_offset, &judged);
        let loss = |outputs: &zoo_host::Outputs| {
            outputs.get("loss").and_then(Value::tensor).unwrap().shallow_clone()
        };
        let count = |name: &str, port: &str, t: &Tensor| {
            let value = Value::Tensor(t.shallow_clone());
            self.world.count(self.id(name), &CallScope::default(), &[(port, &value)]).unwrap()
        };
        Forward {
            generator: (loss(&mlm), count("mlm", "labels", &labels)),
            detection: (loss(&rtd), count("rtd", "attention_mask", &mask)),
            masked,
            ids,
            corrupt,
            replaced,
            positions,
            labels,
            mask,
        }
    }

    /// Norms of the gradients of private parameters of both models, and of the shared embeddings.
    fn gradients(&self, loss: &Tensor) -> (f64, f64, f64) {
        let mut norms = (0.0, 0.0, 0.0);
        for parameter in self.world.parameters() {
            let mut tensor = parameter.tensor.shallow_clone();
            if tensor.requires_grad() && parameter.shared.is_none() {
                tensor.zero_grad();
            }
        }
        loss.backward();
        for parameter in self.world.parameters() {
            if parameter.shared.is_some() {
                continue;
            }
            let gradient = parameter.tensor.grad();
            let norm = if gradient.defined() { gradient.norm().double_value(&[]) } else { 0.0 };
            let slot = if parameter.local_name().starts_with("electra.embeddings.") {
                &mut norms.2
            } else if parameter.instance == "generator" {
                &mut norms.0
            } else {
                &mut norms.1
            };
            *slot += norm;
        }
        norms
    }
}

struct Forward {
    generator: (Tensor, f64),
    detection: (Tensor, f64),
    masked: Tensor,
    ids: Tensor,
    corrupt: Tensor,
    replaced: Tensor,
    positions: Tensor,
    labels: Tensor,
    mask: Tensor,
}

fn ints(tensor: &Tensor) -> Vec<i64> {
    Vec::try_from(tensor.reshape([-1])).unwrap()
}

const ROWS: [i64; 8] = [0, 3, 5, 8, 9, 11, 14, 20];

#[test]
fn nothing_flows_from_the_discriminator_to_the_generator() {
    let setting = setting(1);
    let forward = setting.forward(&ROWS, 0);
    let (generator, discriminator, shared) = setting.gradients(&forward.detection.0);
    assert_eq!(generator, 0.0, "the generator learns from the discriminator");
    assert!(discriminator > 0.0 && shared > 0.0);
    let (generator, discriminator, shared) = setting.gradients(&setting.forward(&ROWS, 0).generator.0);
    assert_eq!(discriminator, 0.0, "the discriminator learns from the generator");
    assert!(generator > 0.0 && shared > 0.0);
}

#[test]
fn the_discriminator_reads_the_original_where_nothing_was_selected() {
    let setting = setting(2);
    let forward = setting.forward(&ROWS, 0);
    let (ids, corrupt, masked) = (ints(&forward.ids), ints(&forward.corrupt), ints(&forward.masked));
    let positions = ints(&forward.positions);
    let replaced: Vec<bool> = Vec::try_from(forward.replaced.reshape([-1])).unwrap();
    for i in 0..ids.len() {
        if !positions.contains(&(i as i64)) {
            assert_eq!((ids[i], ids[i]), (corrupt[i], masked[i]));
        }
        assert_eq!(replaced[i], ids[i] != corrupt[i]);
    }
    let labels: Vec<i64> = positions.iter().map(|p| ids[*p as usize]).collect();
    assert_eq!(labels, ints(&forward.labels));
    // Detection has a term for every real token, the generator for about 15 % of them.
    let tokens = ints(&forward.mask).iter().sum::<i64>() as f64;
    assert_eq!(forward.detection.1, tokens);
    assert!((0.10..0.20).contains(&(forward.generator.1 / tokens)));
    assert!(masked.contains(&4), "nothing was hidden");
}

/// Masks, draws and losses are those of the rows, however an update is cut into parts.
#[test]
fn splitting_an_update_changes_nothing() {
    let setting = setting(3);
    let whole = setting.forward(&ROWS, 0);
    for parts in [2, 4] {
        let size = ROWS.len() / parts;
        let (mut corrupt, mut sums, mut counts) = (Vec::new(), (0.0, 0.0), (0.0, 0.0));
        for part in 0..parts {
            let from = part * size;
            let forward = setting.forward(&ROWS[from..from + size], from as u64);
            corrupt.extend(ints(&forward.corrupt));
            sums.0 += forward.generator.0.double_value(&[]);
            sums.1 += forward.detection.0.double_value(&[]);
            counts.0 += forward.generator.1;
            counts.1 += forward.detection.1;
        }
        assert_eq!(corrupt, ints(&whole.corrupt));
        assert_eq!(counts, (whole.generator.1, whole.detection.1));
        assert!((sums.0 - whole.generator.0.double_value(&[])).abs() < 1e-4 * sums.0);
        assert!((sums.1 - whole.detection.0.double_value(&[])).abs() < 1e-4 * sums.1);
    }
}

#[test]
fn a_seed_decides_all_and_another_seed_decides_otherwise() {
    let (first, again, other) = (setting(4), setting(4), setting(5));
    let corrupt = |s: &Setting| ints(&s.forward(&ROWS, 0).corrupt);
    assert_eq!(corrupt(&first), corrupt(&again));
    assert_ne!(corrupt(&first), corrupt(&other));
}

#[test]
fn rows_are_framed_and_uniform_fakes_are_ordinary_tokens() {
    let setting = setting(6);
    let columns = setting.read("packed", &[0, 1, 2]);
    let (ids, mask) = (&columns[0].1, &columns[1].1);
    assert_eq!(ids.size(), [3, LENGTH]);
    assert_eq!(ints(&ids.select(1, 0)), [2, 2, 2]);
    assert_eq!(ints(&ids.select(1, LENGTH - 1)), [3, 3, 3]);
    assert_eq!(ints(mask).iter().sum::<i64>(), 3 * LENGTH);
    let segments = setting.read("rows", &[0, 1, 2, 3]).remove(2).1;
    assert!(ints(&segments).contains(&1));
    let positions = Tensor::arange(3 * LENGTH, (Kind::Int64, Device::Cpu));
    let drawn = setting.call("noise", 0, &[("ids", ids), ("positions", &positions)]);
    let drawn = ints(drawn.get("tokens").and_then(Value::tensor).unwrap());
    assert!(drawn.iter().all(|id| *id == 1 || *id > 4) && drawn.iter().any(|id| *id > 20));
}
