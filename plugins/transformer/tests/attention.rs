//! Causal and bidirectional attention over one set of weights.

#![allow(clippy::unwrap_used, reason = "a test may")]

use serde_json::{Map, Value as Json, json};
use std::sync::Arc;
use tch::{Kind, Tensor};
use zoo_host::{CallScope, InstanceId, LocalEnvironment, PluginPath, Registry, Value, World, WorldOptions};
use zoo_schema::experiment::{Instance, Place, Share};

fn world() -> World {
    let path = std::env::current_exe().unwrap().parent().unwrap().join("libzoo_transformer.so");
    let registry = Arc::new(Registry::load(&[PluginPath { path, hash: None }]).unwrap());
    let environment = Arc::new(LocalEnvironment { folder: std::env::temp_dir() });
    World::new(registry, environment, WorldOptions::default())
}

fn model(world: &World, name: &str, layers: usize, attention: &str, share: &[&str]) -> InstanceId {
    let parameters = json!({
        "vocabulary": 30, "layers": layers, "hidden": 16, "heads": 2, "feed_forward": 32, "embedding": 16,
        "maximum_length": 8, "initial_deviation": 0.2,
        "dropout": 0.0, "attention_dropout": 0.0, "attention": [attention],
    });
    let Json::Object(parameters) = parameters else { panic!() };
    let shared = |instance: &&str| Share { prefix: String::new(), instance: (*instance).to_owned() };
    let instance = Instance {
        name: name.to_owned(),
        component: "transformer.masked_lm".to_owned(),
        kind: "architecture".to_owned(),
        parameters,
        share: share.iter().map(shared).collect(),
        weights: None,
        frozen: false,
        on: None,
        place: Place::default(),
        parameter_places: Map::new(),
    };
    world.create(&instance).unwrap()
}

/// States of the last layer, [T, hidden].
fn states(world: &World, model: InstanceId, ids: &[i64]) -> Tensor {
    let ids = Value::Tensor(Tensor::from_slice(ids).unsqueeze(0));
    let mut made = world.call(model, &CallScope::default(), &[("ids", &ids)]).unwrap();
    made.take_tensor("hidden").unwrap().squeeze_dim(0)
}

/// Places at which two sequences of states differ in any bit.
fn differing(a: &Tensor, b: &Tensor) -> Vec<i64> {
    let rows = a.ne_tensor(b).any_dim(-1, false);
    Vec::try_from(rows.nonzero().reshape([-1]).to_kind(Kind::Int64)).unwrap()
}

#[test]
fn one_set_of_weights_is_read_in_both_ways() {
    let world = world();
    let full = model(&world, "full", 2, "bidirectional", &[]);
    let causal = model(&world, "causal", 2, "causal", &["full"]);
    // Nothing of the second is its own.
    let own = world.state().iter().filter(|(name, _)| name.starts_with("causal.")).count();
    assert_eq!(own, 0);
    let (ids, changed) = ([3, 9, 12, 4, 7, 5], [3, 9, 12, 8, 7, 5]);
    // Gisserot-Boukhlef et al., section 3: a causal token does not depend on those after it; every other does.
    assert_eq!(differing(&states(&world, causal, &ids), &states(&world, causal, &changed)), [3, 4, 5]);
    let all: Vec<i64> = (0..6).collect();
    assert_eq!(differing(&states(&world, full, &ids), &states(&world, full, &changed)), all);
    // What trains one trains the other.
    let trained = world.train_only(&["causal".to_owned()]).unwrap();
    assert_eq!(trained.len(), world.state().len());
    assert!(trained.iter().all(|parameter| parameter.name.starts_with("full.")));
}

/// In one layer the last token sees the same keys either way, and no other token does.
#[test]
fn the_last_token_of_one_layer_is_the_same() {
    let world = world();
    let full = model(&world, "full", 1, "bidirectional", &[]);
    let causal = model(&world, "causal", 1, "causal", &["full"]);
    let ids = [3, 9, 12, 4, 7, 5];
    let gap = (states(&world, full, &ids) - states(&world, causal, &ids)).abs().amax(-1_i64, false);
    let gaps: Vec<f64> = Vec::try_from(gap.to_kind(Kind::Double)).unwrap();
    assert!(gaps[5] < 1e-5 && gaps[..5].iter().all(|gap| *gap > 1e-4), "{gaps:?}");
}

/// Zhuang et al., MEAP: the embedding of a token that occurs at hidden places alone gets no gradient from what is
/// read, and the mask token's gets some.
#[test]
fn hidden_tokens_are_not_read() {
    let world = world();
    let causal = model(&world, "causal", 2, "causal", &[]);
    let (mask, hidden) = (4_i64, 9_i64);
    let original = [3, hidden, 12, 7, 5];
    let read: Vec<i64> = original.iter().map(|id| if *id == hidden { mask } else { *id }).collect();
    let ids = Value::Tensor(Tensor::from_slice(&read).unsqueeze(0));
    world.train_only(&["causal".to_owned()]).unwrap();
    let scope = CallScope { gradients: true, ..CallScope::default() };
    let mut made = world.call(causal, &scope, &[("ids", &ids)]).unwrap();
    let states = made.take_tensor("hidden").unwrap();
    let weights = Tensor::arange(states.numel() as i64, (Kind::Float, tch::Device::Cpu)).view_as(&states);
    (states * weights.sin()).sum(Kind::Float).backward();
    let words =
        world.state().into_iter().find(|(name, _)| name.ends_with("word_embeddings.weight")).unwrap().1;
    let size = |id: i64| words.grad().select(0, id).abs().sum(Kind::Float).double_value(&[]);
    assert_eq!(size(hidden), 0.0);
    assert!(size(mask) > 1e-4 && size(12) > 1e-4);
}

/// A mask at a later place changes nothing before it.
#[test]
fn later_masks_change_nothing_before() {
    let world = world();
    let causal = model(&world, "causal", 2, "causal", &[]);
    let gaps =
        differing(&states(&world, causal, &[3, 9, 12, 7, 5]), &states(&world, causal, &[3, 9, 12, 4, 5]));
    assert_eq!(gaps, [3, 4]);
}
