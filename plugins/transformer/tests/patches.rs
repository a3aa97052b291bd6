//! The patch encoder: what its states depend on, and its gates.
#![allow(clippy::unwrap_used, reason = "a test may")]

use serde_json::{Map, Value as Json, json};
use std::sync::Arc;
use tch::{Device, Kind, Tensor};
use zoo_host::{CallScope, InstanceId, LocalEnvironment, PluginPath, Registry, Value, World, WorldOptions};
use zoo_schema::experiment::{Instance, Place};

/// An encoder of 5 patches of 3 numbers.
fn encoder(gates: bool) -> (World, InstanceId) {
    let folder = std::env::current_exe().unwrap().parent().unwrap().to_owned();
    let path = folder.join("libzoo_transformer.so");
    let registry = Registry::load(&[PluginPath { path, hash: None }]).unwrap();
    let folder = tempfile::tempdir().unwrap().keep();
    let world =
        World::new(Arc::new(registry), Arc::new(LocalEnvironment { folder }), WorldOptions::default());
    let Json::Object(parameters) = json!({
        "patch_size": 3, "length": 5, "layers": 2, "hidden": 8, "heads": 2, "feed_forward": 16, "gates": gates,
        "dropout": 0.0, "initial_deviation": 0.5,
    }) else {
        unreachable!()
    };
    let instance = Instance {
        name: "encoder".to_owned(),
        component: "transformer.patch_encoder".to_owned(),
        kind: String::new(),
        parameters,
        share: Vec::new(),
        weights: None,
        frozen: false,
        on: None,
        place: Place::default(),
        parameter_places: Map::new(),
    };
    let id = world.create(&instance).unwrap();
    (world, id)
}

fn output((world, id): &(World, InstanceId), patches: &Tensor, hidden: &Tensor, name: &str) -> Tensor {
    let (patches, hidden) = (Value::Tensor(patches.shallow_clone()), Value::Tensor(hidden.shallow_clone()));
    let inputs = [("patches", &patches), ("is_hidden", &hidden)];
    let mut outputs = world.call(*id, &CallScope::default(), &inputs).unwrap();
    let Some(Value::Tensor(output)) = outputs.take(name) else { panic!("no {name}") };
    output
}

fn off(a: &Tensor, b: &Tensor) -> f64 {
    (a - b).abs().max().double_value(&[])
}

fn set_gates((world, _): &(World, InstanceId), value: f64) {
    let parameters = world.parameters();
    let gates = parameters.iter().find(|parameter| parameter.name.ends_with("gates")).unwrap();
    let _quiet = tch::no_grad_guard();
    let _ = gates.tensor.shallow_clone().fill_(value);
}

#[test]
fn hidden_patches_are_not_read_and_gates_shut_them_out() {
    let patches = Tensor::randn([2, 5, 3], (Kind::Float, Device::Cpu));
    let hidden = Tensor::from_slice2(&[[true, false, false, true, false], [false, true, true, false, false]]);
    let plain = encoder(false);
    let there = output(&plain, &patches, &hidden, "predicted");
    let other = &patches + hidden.unsqueeze(-1).to_kind(Kind::Float) * 9.0;
    assert!(off(&there, &output(&plain, &other, &hidden, "predicted")) < 1e-6);
    assert!(off(&there, &output(&plain, &(&patches + 1.0), &hidden, "predicted")) > 1e-3);

    // Open gates change nothing, and nothing goes to hidden patches through shut ones.
    let gated = encoder(true);
    set_gates(&gated, 100.0);
    assert_eq!(Vec::<f32>::try_from(output(&gated, &patches, &hidden, "gates")).unwrap(), [1.0, 1.0]);
    assert!(off(&there, &output(&gated, &patches, &hidden, "predicted")) < 1e-5);
    let open = output(&gated, &patches, &hidden, "hidden_attention");
    assert!(off(&open, &output(&plain, &patches, &hidden, "hidden_attention")) < 1e-6);
    assert!(open.min().double_value(&[]) > 0.0);
    set_gates(&gated, -60.0);
    assert!(output(&gated, &patches, &hidden, "hidden_attention").max().double_value(&[]) < 1e-6);
    assert!(off(&there, &output(&gated, &patches, &hidden, "predicted")) > 1e-3);

    // Where nothing is hidden, gates do nothing.
    let none = hidden.zeros_like();
    let seen = output(&plain, &patches, &none, "hidden");
    assert!(off(&seen, &output(&gated, &patches, &none, "hidden")) < 1e-5);
}
