//! What real tokens alone give is what rows with their padding give: scores, loss and gradients.

#![allow(clippy::unwrap_used, reason = "a test may")]

use serde_json::{Map, Value as Json, json};
use std::sync::Arc;
use tch::{Kind, Tensor};
use zoo_host::{CallScope, InstanceId, LocalEnvironment, PluginPath, Registry, Value, World, WorldOptions};
use zoo_schema::experiment::{Instance, Place};

fn model(attention: &str) -> (World, InstanceId) {
    let path = std::env::current_exe().unwrap().parent().unwrap().join("libzoo_transformer.so");
    let registry = Arc::new(Registry::load(&[PluginPath { path, hash: None }]).unwrap());
    let environment = Arc::new(LocalEnvironment { folder: std::env::temp_dir() });
    let world = World::new(registry, environment, WorldOptions::default());
    let parameters = json!({
        "vocabulary": 40, "layers": 3, "hidden": 32, "heads": 4, "feed_forward": 64, "embedding": 32,
        "maximum_length": 24, "initial_deviation": 0.2,
        "dropout": 0.0, "attention_dropout": 0.0, "attention": [attention],
    });
    let Json::Object(parameters) = parameters else { panic!() };
    let instance = Instance {
        name: "model".to_owned(),
        component: "transformer.masked_lm".to_owned(),
        kind: "architecture".to_owned(),
        parameters,
        share: Vec::new(),
        weights: None,
        frozen: false,
        on: None,
        place: Place::default(),
        parameter_places: Map::new(),
    };
    let id = world.create(&instance).unwrap();
    world.train_only(&["model".to_owned()]).unwrap();
    (world, id)
}

/// The loss of every third token, and the gradients of all parameters one after the other.
fn trained((world, id): &(World, InstanceId), inputs: &[(&str, &Tensor)], keep_rows: bool) -> (f64, Tensor) {
    let ids = &inputs.iter().find(|(name, _)| *name == "ids").unwrap().1;
    let mask = &inputs.iter().find(|(name, _)| *name == "attention_mask").unwrap().1;
    let real = mask.reshape([-1]).nonzero().reshape([-1]);
    let places = real.slice(0, 0, None, 3);
    let values: Vec<(&str, Value)> = inputs
        .iter()
        .copied()
        .chain([("positions", &places)])
        .map(|(name, tensor)| (name, Value::Tensor(tensor.shallow_clone())))
        .collect();
    let given: Vec<(&str, &Value)> = values.iter().map(|(name, value)| (*name, value)).collect();
    let scope = CallScope { gradients: true, training: true, keep_rows, ..CallScope::default() };
    let logits = world.call(*id, &scope, &given).unwrap().take_tensor("logits").unwrap();
    let labels = (ids.reshape([-1]).index_select(0, &places) * 7 + 3).remainder(40);
    let loss = logits.cross_entropy_for_logits(&labels);
    loss.backward();
    let gradients: Vec<Tensor> = world
        .parameters()
        .into_iter()
        .map(|parameter| {
            let mut gradient = parameter.tensor.grad();
            let copy = gradient.copy().reshape([-1]);
            let _ = gradient.zero_();
            copy
        })
        .collect();
    (loss.to_kind(Kind::Double).double_value(&[]), Tensor::cat(&gradients, 0))
}

fn same(model: &(World, InstanceId), inputs: &[(&str, &Tensor)]) {
    let (in_rows, of_rows) = trained(model, inputs, true);
    let (laid_out, of_layout) = trained(model, inputs, false);
    assert!(((laid_out - in_rows) / in_rows).abs() < 1e-6, "{laid_out} is not {in_rows}");
    let norm = |x: &Tensor| x.to_kind(Kind::Double).norm().double_value(&[]);
    let apart = norm(&(&of_layout - &of_rows)) / norm(&of_rows);
    assert!(apart < 1e-6, "gradients are {apart} apart");
    assert!(norm(&of_rows) > 0.1);
    let again = trained(model, inputs, false);
    assert_eq!((again.0, again.1), (laid_out, of_layout), "the same bits every time");
}

/// Rows of these lengths, 24 wide: ids and mask.
fn rows(lengths: &[i64]) -> (Tensor, Tensor) {
    let options = (Kind::Int64, tch::Device::Cpu);
    let places = Tensor::arange(24, options).unsqueeze(0);
    let mask = places.lt_tensor(&Tensor::from_slice(lengths).unsqueeze(1)).to_kind(Kind::Int64);
    let ids = (Tensor::arange(24 * lengths.len() as i64, options) * 17 + 5).remainder(39) + 1;
    (ids.view([-1, 24]) * &mask, mask)
}

#[test]
fn texts_of_different_lengths() {
    let (ids, mask) = rows(&[24, 3, 11, 1, 11, 20]);
    for attention in ["bidirectional", "causal"] {
        same(&model(attention), &[("ids", &ids), ("attention_mask", &mask)]);
    }
}

#[test]
fn rows_of_several_texts() {
    let (ids, mask) = rows(&[24, 9, 17]);
    let places = Tensor::arange(24, (Kind::Int64, tch::Device::Cpu));
    let documents = (places.ge(6).to_kind(Kind::Int64) + places.ge(13).to_kind(Kind::Int64) + 1).unsqueeze(0);
    let documents = documents * &mask;
    let inputs = [("ids", &ids), ("attention_mask", &mask), ("document_ids", &documents)];
    same(&model("bidirectional"), &inputs);
}

#[test]
fn attentions_of_real_tokens_are_those_of_rows() {
    let (ids, mask) = rows(&[24, 3, 11]);
    for attention in ["bidirectional", "causal"] {
        let (world, id) = model(attention);
        let values = [("ids", Value::Tensor(ids.copy())), ("attention_mask", Value::Tensor(mask.copy()))];
        let given: Vec<(&str, &Value)> = values.iter().map(|(name, value)| (*name, value)).collect();
        let attentions = |keep_rows: bool| -> Vec<Tensor> {
            let scope = CallScope { keep_rows, ..CallScope::default() };
            let mut made = world.call(id, &scope, &given).unwrap();
            let Some(Value::List(layers)) = made.take("attentions") else { panic!() };
            layers.iter().map(|layer| layer.tensor().unwrap().shallow_clone()).collect()
        };
        let (in_rows, laid_out) = (attentions(true), attentions(false));
        assert_eq!((in_rows.len(), laid_out.len()), (3, 3));
        // Those of padding are nobody's business.
        let real = mask.ne(0).unsqueeze(1).unsqueeze(3);
        for (a, b) in in_rows.iter().zip(&laid_out) {
            let apart = ((a - b) * &real).abs().max().double_value(&[]);
            assert!(apart < 1e-5, "{apart}");
        }
    }
}
