//! Adapters on models of both architecture plugins, against the models without them.

#![allow(clippy::unwrap_used, reason = "a test may")]

use serde_json::{Map, Value as Json, json};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use tch::{Kind, Tensor};
use zoo_host::{CallScope, LocalEnvironment, PluginPath, Registry, Value, World, WorldOptions};
use zoo_schema::experiment::{Instance, Place, Sites};

fn registry() -> Arc<Registry> {
    static LOADED: OnceLock<Arc<Registry>> = OnceLock::new();
    let load = || {
        let folder = std::env::current_exe().unwrap().parent().unwrap().to_owned();
        let path = |name: &str| PluginPath { path: folder.join(format!("libzoo_{name}.so")), hash: None };
        Arc::new(Registry::load(&["adapters", "transformer", "checkpoints"].map(path)).unwrap())
    };
    Arc::clone(LOADED.get_or_init(load))
}

fn world() -> World {
    let folder = tempfile::tempdir().unwrap().keep();
    World::new(registry(), Arc::new(LocalEnvironment { folder }), WorldOptions::default())
}

/// An instance with all parameters that are not given at their defaults.
fn instance(name: &str, component: &str, given: Json, on: Option<&[&str]>) -> Instance {
    let Json::Object(given) = given else { panic!("parameters are an object") };
    let schema = registry().schema(component).unwrap().clone();
    let mut parameters = Map::new();
    for parameter in &schema.parameters {
        let default = match &parameter.default {
            Some(zoo_schema::Default::Value(value)) => value.clone(),
            _ => Json::Null,
        };
        parameters.insert(parameter.name.clone(), given.get(&parameter.name).cloned().unwrap_or(default));
    }
    Instance {
        name: name.to_owned(),
        component: component.to_owned(),
        kind: String::new(),
        parameters,
        share: Vec::new(),
        weights: None,
        frozen: false,
        on: on.map(|names| Sites {
            instance: "model".to_owned(),
            names: names.iter().map(|n| (*n).to_owned()).collect(),
        }),
        place: Place::default(),
        parameter_places: Map::new(),
    }
}

fn encoder(hidden: i64, layers: i64, attention: &[&str]) -> Instance {
    let sizes = json!({
        "vocabulary": 40, "layers": layers, "hidden": hidden, "heads": 4, "feed_forward": 2 * hidden,
        "embedding": hidden, "dropout": 0.0, "attention_dropout": 0.0, "attention": attention,
    });
    instance("model", "transformer.encoder", sizes, None)
}

fn hub(name: &str, sizes: Json) -> Instance {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../checkpoints/tests/golden");
    let config: PathBuf = golden.join(name).join("config.json");
    let Json::Object(mut given) = sizes else { panic!("sizes are an object") };
    given.insert("config".to_owned(), json!(config));
    instance("model", "checkpoint.encoder", Json::Object(given), None)
}

fn ids() -> Tensor {
    Tensor::from_slice2(&[[5_i64, 9, 2, 7, 7, 3], [1, 4, 8, 6, 2, 9]])
}

fn states(world: &World, ids: &Tensor, gradients: bool) -> Tensor {
    let scope = CallScope { gradients, ..CallScope::default() };
    let id = world.instance("model").unwrap();
    let ids = Value::Tensor(ids.shallow_clone());
    let outputs = world.call(id, &scope, &[("ids", &ids)]).unwrap();
    match outputs.into_pairs().find(|(name, _)| name == "hidden").unwrap().1 {
        Some(Value::Tensor(hidden)) => hidden,
        other => panic!("{other:?}"),
    }
}

fn parameters(world: &World, part: &str) -> Vec<Tensor> {
    world.parameters().iter().filter(|p| p.name.contains(part)).map(|p| p.tensor.shallow_clone()).collect()
}

const QUERIES_AND_VALUES: [&str; 4] = [
    "layers.0.attention.query",
    "layers.0.attention.value",
    "layers.1.attention.query",
    "layers.1.attention.value",
];

fn lora(on: &[&str]) -> Instance {
    instance("adapter", "adapters.lora", json!({ "rank": 64, "alpha": 16.0 }), Some(on))
}

fn bottleneck(on: &[&str], reduction: i64) -> Instance {
    instance("adapter", "adapters.bottleneck", json!({ "reduction": reduction }), Some(on))
}

/// At first every adapter leaves every model as it is, to the bit; its last map has a gradient; and a change of
/// it changes the model.
#[test]
fn adapters_begin_as_the_identity_on_every_architecture() {
    let sites = &QUERIES_AND_VALUES;
    for (model, adapter, last) in [
        (encoder(64, 2, &["bidirectional"]), lora(sites), "lora_B"),
        (encoder(64, 2, &["causal"]), bottleneck(&["layers.0.feed_forward.outer"], 16), "up.weight"),
        (hub("bert_mlm", hub_sizes("bert_mlm")), lora(sites), "lora_B"),
        (
            hub("gpt2_clm", hub_sizes("gpt2_clm")),
            lora(&["layers.0.attention.query_key_value", "layers.1.attention.output"]),
            "lora_B",
        ),
        (
            hub("bert_mlm", hub_sizes("bert_mlm")),
            bottleneck(&["layers.0.attention.output", "layers.1.feed_forward.outer"], 4),
            "up.weight",
        ),
    ] {
        let plain = world();
        plain.create(&model).unwrap();
        let before = states(&plain, &ids(), false);
        let adapted = world();
        adapted.create(&model).unwrap();
        adapted.create(&adapter).unwrap();
        let after = states(&adapted, &ids(), true);
        assert_eq!(before, after.detach(), "{}", model.component);
        let weights = Tensor::arange(after.numel() as i64, (Kind::Float, after.device())).cos();
        (after.reshape([-1]) * weights).sum(Kind::Float).backward();
        let last = parameters(&adapted, last);
        assert!(!last.is_empty());
        for up in &last {
            assert!(f64::try_from(up.grad().abs().sum(Kind::Double)).unwrap() > 0.0);
        }
        let _quiet = tch::no_grad_guard();
        let _ = last[0].shallow_clone().fill_(0.5);
        assert_ne!(before, states(&adapted, &ids(), false));
    }
}

/// The sizes that a reference model's configuration has.
fn hub_sizes(name: &str) -> Json {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../checkpoints/tests/golden");
    let text = std::fs::read_to_string(golden.join(name).join("config.json")).unwrap();
    let config: Json = serde_json::from_str(&text).unwrap();
    let size = |names: [&str; 2]| names.iter().find_map(|n| config[*n].as_i64());
    let hidden = size(["hidden_size", "n_embd"]).unwrap();
    let inner = size(["intermediate_size", "n_inner"]).unwrap_or(4 * hidden);
    let layers = size(["num_hidden_layers", "n_layer"]).unwrap();
    json!({ "layers": layers, "hidden": hidden, "queries": hidden, "keys": hidden, "feed_forward": inner })
}

#[test]
fn a_model_of_a_configuration_says_which_size_is_wrong_or_missing() {
    let mut sizes = hub_sizes("bert_mlm");
    let adapted = world();
    adapted.create(&hub("bert_mlm", json!({ "layers": sizes["layers"] }))).unwrap();
    let error = adapted.create(&lora(&QUERIES_AND_VALUES)).unwrap_err().to_string();
    assert!(error.contains("the sizes of the site `layers.0.attention.query` are not known"), "{error}");
    sizes["hidden"] = json!(1);
    let error = world().create(&hub("bert_mlm", sizes)).unwrap_err().to_string();
    assert!(error.contains("for `hidden`, and the recipe 1"), "{error}");
}

/// An adapter is the product of its matrices: with them added to the weights the model is the same without it.
#[test]
fn lora_is_its_merged_weights() {
    let adapted = world();
    adapted.create(&encoder(32, 1, &["bidirectional"])).unwrap();
    adapted.create(&lora(&["layers.0.attention.query"])).unwrap();
    let _quiet = tch::no_grad_guard();
    let (down, up) = (parameters(&adapted, "lora_A").remove(0), parameters(&adapted, "lora_B").remove(0));
    let _ = up.shallow_clone().normal_(0.0, 0.1);
    let with = states(&adapted, &ids(), false);
    let scale = zoo_adapters::LowRank { rank: 64, alpha: 16.0, dropout: 0.0, rank_stabilized: false }.scale();
    assert_eq!(scale, 0.25);
    let factors = zoo_adapters::LowRankFactors { down, up: up.copy() };
    let mut query = parameters(&adapted, "attention.self.query.weight").remove(0);
    query += factors.merged(scale).unwrap();
    let _ = up.shallow_clone().zero_();
    let merged = states(&adapted, &ids(), false);
    assert!(f64::try_from((with - merged).abs().max()).unwrap() < 1e-5);
}

#[test]
fn bottlenecks_have_the_published_numbers_of_parameters() {
    for (hidden, layers, count) in [(1024, 1, 132_160), (768, 1, 74_544), (64, 1, 580), (64, 3, 3 * 580)] {
        let adapted = world();
        adapted.create(&encoder(hidden, layers, &["bidirectional"])).unwrap();
        let before: usize = adapted.parameters().iter().map(|p| p.tensor.numel()).sum();
        let sites: Vec<String> = (0..layers).map(|i| format!("layers.{i}.feed_forward.outer")).collect();
        let sites: Vec<&str> = sites.iter().map(String::as_str).collect();
        adapted.create(&bottleneck(&sites, 16)).unwrap();
        let after: usize = adapted.parameters().iter().map(|p| p.tensor.numel()).sum();
        assert_eq!(after - before, count);
    }
}

/// What a token's state depends on: nothing after it exactly where every layer is causal.
#[test]
fn one_layer_without_the_causal_mask_lets_the_right_context_through() {
    for (pattern, seen) in [
        (["causal", "causal"], false),
        (["bidirectional", "causal"], true),
        (["causal", "bidirectional"], true),
        (["bidirectional", "bidirectional"], true),
    ] {
        let model = world();
        model.create(&encoder(32, 2, &pattern)).unwrap();
        let other = ids();
        let _ = other.narrow(1, 5, 1).fill_(11);
        let (one, two) = (states(&model, &ids(), false), states(&model, &other, false));
        assert_eq!(one.narrow(1, 0, 5) != two.narrow(1, 0, 5), seen, "{pattern:?}");
        assert_ne!(one.select(1, 5), two.select(1, 5));
    }
    // At the last place of one layer both ways are the same.
    let last = |way: &str| {
        let model = world();
        model.create(&encoder(32, 1, &[way])).unwrap();
        states(&model, &ids(), false).select(1, 5)
    };
    let difference = (last("causal") - last("bidirectional")).abs().max();
    assert!(f64::try_from(difference).unwrap() < 1e-5);
}
