//! The models of a recipe's numbers give what transformers gives with the same weights, and say the
//! configuration by which it loads them.

#![allow(clippy::unwrap_used, reason = "a test may")]

use serde_json::{Map, Value as Json, json};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use tch::Tensor;
use zoo_host::{CallScope, LocalEnvironment, PluginPath, Registry, Value, World, WorldOptions};
use zoo_schema::experiment::{Instance, Place};

fn registry() -> Arc<Registry> {
    static LOADED: OnceLock<Arc<Registry>> = OnceLock::new();
    let load = || {
        let path = std::env::current_exe().unwrap().parent().unwrap().join("libzoo_transformer.so");
        Arc::new(Registry::load(&[PluginPath { path, hash: None }]).unwrap())
    };
    Arc::clone(LOADED.get_or_init(load))
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../checkpoints/tests/golden").join(name)
}

/// A reference model as this plugin's component: the keys of its `config.json` are the parameters.
fn same(name: &str, component: &str) {
    let folder = golden(name);
    let config: Json =
        serde_json::from_str(&std::fs::read_to_string(folder.join("config.json")).unwrap()).unwrap();
    let parameters = json!({
        "vocabulary": config["vocab_size"],
        "layers": config["num_hidden_layers"],
        "hidden": config["hidden_size"],
        "heads": config["num_attention_heads"],
        "feed_forward": config["intermediate_size"],
        "embedding": config.get("embedding_size").unwrap_or(&config["hidden_size"]),
        "maximum_length": config["max_position_embeddings"],
        "segments": config["type_vocab_size"],
        "epsilon": config["layer_norm_eps"],
        "initial_deviation": config["initializer_range"],
    });
    let stages = tempfile::tempdir().unwrap();
    let environment = Arc::new(LocalEnvironment { folder: stages.path().to_owned() });
    let world = World::new(registry(), environment, WorldOptions::default());
    let Json::Object(parameters) = parameters else { panic!() };
    let model = world
        .create(&Instance {
            name: "model".to_owned(),
            component: component.to_owned(),
            kind: "architecture".to_owned(),
            parameters,
            share: Vec::new(),
            weights: Some(folder.display().to_string()),
            frozen: false,
            on: None,
            place: Place::default(),
            parameter_places: Map::new(),
        })
        .unwrap();

    let oracle = Tensor::read_safetensors(folder.join("oracle.safetensors")).unwrap();
    let tensor = |name: &str| oracle.iter().find(|(n, _)| n == name).map(|(_, t)| t.shallow_clone());
    let named = [
        ("ids", "in.input_ids"),
        ("attention_mask", "in.attention_mask"),
        ("segment_ids", "in.token_type_ids"),
    ];
    let inputs: Vec<(&str, Value)> =
        named.iter().filter_map(|(ours, theirs)| Some((*ours, Value::Tensor(tensor(theirs)?)))).collect();
    let inputs: Vec<(&str, &Value)> = inputs.iter().map(|(name, value)| (*name, value)).collect();
    let wanted = tensor("out.logits").unwrap();
    let error = |keep_rows: bool| {
        let scope = CallScope { keep_rows, ..CallScope::default() };
        let mut made = world.call(model, &scope, &inputs).unwrap();
        (made.take_tensor("logits").unwrap().reshape_as(&wanted) - &wanted).abs()
    };
    let error_in_rows = error(true).max().double_value(&[]);
    assert!(error_in_rows < 2e-5, "{component}: {error_in_rows}");
    // What padding gives is nobody's business, and is left out where rows need not be kept.
    let real = tensor("in.attention_mask").unwrap().ne(0);
    assert!(!bool::try_from(real.all()).unwrap(), "a row of the reference has padding");
    let of_real = error(false).reshape([real.numel() as i64, -1]).index(&[Some(real.reshape([-1]))]);
    let error_laid_out = of_real.max().double_value(&[]);
    assert!(error_laid_out < 2e-5, "{component}: {error_laid_out}");

    let said: Json = serde_json::from_slice(&world.export(model).unwrap()).unwrap();
    for (key, value) in said.as_object().unwrap() {
        if let Some(theirs) = config.get(key) {
            assert_eq!(value, theirs, "{key}");
        }
    }
    assert_eq!(said["architectures"], config["architectures"]);
}

#[test]
fn bert() {
    same("bert_mlm", "transformer.masked_lm");
}

#[test]
fn electra() {
    same("electra_generator", "transformer.electra_generator");
    same("electra_discriminator", "transformer.electra_discriminator");
}
