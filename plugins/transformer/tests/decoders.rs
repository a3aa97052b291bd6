//! Decoders: how many parameters they have, and what their scores depend on.
#![allow(clippy::unwrap_used, reason = "a test may")]

use serde_json::{Map, Value as Json, json};
use std::sync::Arc;
use tch::{Device, Kind, Tensor};
use zoo_host::{CallScope, InstanceId, LocalEnvironment, PluginPath, Registry, Value, World, WorldOptions};
use zoo_schema::experiment::{Instance, Place};

fn world() -> World {
    let folder = std::env::current_exe().unwrap().parent().unwrap().to_owned();
    let path = folder.join("libzoo_transformer.so");
    let registry = Registry::load(&[PluginPath { path, hash: None }]).unwrap();
    let folder = tempfile::tempdir().unwrap().keep();
    World::new(Arc::new(registry), Arc::new(LocalEnvironment { folder }), WorldOptions::default())
}

fn make(world: &World, component: &str, own: Json) -> InstanceId {
    let mut parameters = json!({
        "vocabulary": 30, "layers": 2, "encoder_layers": 2, "decoder_layers": 2, "hidden": 16, "heads": 4,
        "feed_forward": 64, "maximum_length": 12, "position_encoding": "rotary", "with_partners": true,
        "activation": "gelu", "dropout": 0.0, "initial_deviation": 0.3,
    });
    parameters.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
    let unused = if component.ends_with("query_decoder") {
        &["layers", "activation"][..]
    } else {
        &["encoder_layers", "decoder_layers"][..]
    };
    unused.iter().for_each(|name| drop(parameters.as_object_mut().unwrap().remove(*name)));
    let Json::Object(parameters) = parameters else { unreachable!() };
    let instance = Instance {
        name: component.to_owned(),
        component: format!("transformer.{component}"),
        kind: String::new(),
        parameters,
        share: Vec::new(),
        weights: None,
        frozen: false,
        on: None,
        place: Place::default(),
        parameter_places: Map::new(),
    };
    world.create(&instance).unwrap()
}

fn logits(world: &World, id: InstanceId, inputs: &[(&str, &Tensor)]) -> Tensor {
    let values: Vec<(&str, Value)> =
        inputs.iter().map(|(name, tensor)| (*name, Value::Tensor(tensor.shallow_clone()))).collect();
    let given: Vec<(&str, &Value)> = values.iter().map(|(name, value)| (*name, value)).collect();
    let mut outputs = world.call(id, &CallScope::default(), &given).unwrap();
    let Some(Value::Tensor(logits)) = outputs.take("logits") else { panic!("no logits") };
    logits
}

fn ids() -> Tensor {
    Tensor::from_slice2(&[[3_i64, 5, 7, 9, 11, 13, 2, 4], [8, 6, 4, 2, 1, 3, 5, 7]])
}

fn off(a: &Tensor, b: &Tensor) -> f64 {
    (a - b).abs().max().double_value(&[])
}

/// The sizes of the paper's model of 8 million parameters: 40 blocks of 198,272 and 17,152 beside them.
#[test]
fn the_papers_model_has_its_number_of_parameters() {
    let world = world();
    let sizes = json!({
        "vocabulary": 128, "hidden": 128, "feed_forward": 512, "encoder_layers": 20, "decoder_layers": 20,
        "with_partners": false,
    });
    make(&world, "query_decoder", sizes);
    let count: usize = world.parameters().iter().map(|parameter| parameter.tensor.numel()).sum();
    assert_eq!(count, 7_948_032);
    assert_eq!(count, 40 * 198_272 + 17_152);
}

#[test]
fn hidden_tokens_are_not_read() {
    for encoding in ["rotary", "learned"] {
        let world = world();
        let id = make(&world, "query_decoder", json!({ "position_encoding": encoding }));
        let visible = Tensor::from_slice2(&[[1_i64, 1, 0, 1, 0, 1, 1, 0], [1, 1, 1, 1, 1, 0, 0, 0]]);
        let partners = Tensor::from_slice2(&[[4_i64, 0, 0, 1, 0, 0, 0, 0], [0; 8]]);
        let given = [("attention_mask", &visible), ("partners", &partners)];
        let of = |ids: &Tensor| logits(&world, id, &[&[("ids", ids)][..], &given].concat());
        let there = of(&ids());
        assert_eq!(there.size(), [16, 30]);
        // Ids at hidden places.
        let other = ids() * &visible + 20 * (1 - &visible);
        assert!(off(&there, &of(&other)) < 1e-6);
        // A visible one matters, and so does its partner.
        let changed = ids().f_add(&Tensor::from_slice2(&[[0_i64, 1, 0, 0, 0, 0, 0, 0], [0; 8]])).unwrap();
        assert!(off(&there, &of(&changed)) > 1e-3);
        let alone = logits(
            &world,
            id,
            &[
                ("ids", &ids()),
                ("attention_mask", &visible),
                ("partners", &Tensor::zeros([2, 8], (Kind::Int64, Device::Cpu))),
            ],
        );
        assert!(off(&there.narrow(0, 0, 8), &alone.narrow(0, 0, 8)) > 1e-3);
        assert!(off(&there.narrow(0, 8, 8), &alone.narrow(0, 8, 8)) < 1e-6);
    }
}

#[test]
fn scores_do_not_depend_on_what_else_is_asked_for() {
    let world = world();
    let id = make(&world, "query_decoder", json!({ "with_partners": false }));
    let all = logits(&world, id, &[("ids", &ids())]);
    let positions = Tensor::from_slice(&[2_i64, 9, 15]);
    let some = logits(&world, id, &[("ids", &ids()), ("positions", &positions)]);
    assert!(off(&all.index_select(0, &positions), &some) < 1e-6);
}

#[test]
fn a_causal_model_does_not_see_what_follows() {
    for encoding in ["rotary", "learned"] {
        let world = world();
        let own = json!({ "position_encoding": encoding, "with_partners": false });
        let id = make(&world, "causal_decoder", own);
        let all = logits(&world, id, &[("ids", &ids())]).view([2, 8, 30]);
        let short = logits(&world, id, &[("ids", &ids().narrow(1, 0, 5))]).view([2, 5, 30]);
        assert!(off(&all.narrow(1, 0, 5), &short) < 1e-5);
        // The order of what was before matters.
        let swapped = ids().index_select(1, &Tensor::from_slice(&[1_i64, 0, 2, 3, 4, 5, 6, 7]));
        let swapped = logits(&world, id, &[("ids", &swapped)]).view([2, 8, 30]);
        assert!(off(&all.narrow(1, 4, 4), &swapped.narrow(1, 4, 4)) > 1e-4);
    }
}

/// Rotary positions are relative: what stands in front and is hidden moves the rest and changes nothing.
#[test]
fn a_shift_changes_nothing() {
    let world = world();
    let id = make(&world, "query_decoder", json!({ "with_partners": false }));
    let visible = Tensor::from_slice2(&[[1_i64, 1, 0, 1, 0, 1, 1, 0], [1, 1, 1, 1, 1, 0, 0, 0]]);
    let there = logits(&world, id, &[("ids", &ids()), ("attention_mask", &visible)]).view([2, 8, 30]);
    let moved = |tensor: &Tensor, id: i64| {
        Tensor::cat(&[Tensor::full([2, 3], id, (Kind::Int64, Device::Cpu)), tensor.shallow_clone()], 1)
    };
    let shifted = logits(&world, id, &[("ids", &moved(&ids(), 9)), ("attention_mask", &moved(&visible, 0))]);
    assert!(off(&there, &shifted.view([2, 11, 30]).narrow(1, 3, 8)) < 1e-4);
    // Learned positions are not.
    let learned = json!({ "with_partners": false, "position_encoding": "learned" });
    let world = self::world();
    let id = make(&world, "query_decoder", learned);
    let there = logits(&world, id, &[("ids", &ids()), ("attention_mask", &visible)]).view([2, 8, 30]);
    let shifted = logits(&world, id, &[("ids", &moved(&ids(), 9)), ("attention_mask", &moved(&visible, 0))]);
    assert!(off(&there, &shifted.view([2, 11, 30]).narrow(1, 3, 8)) > 1e-3);
}

/// A row of which nothing is visible has scores, and numbers they are.
#[test]
fn something_can_be_read_where_all_is_hidden() {
    let world = world();
    let id = make(&world, "query_decoder", json!({ "with_partners": false }));
    let hidden = Tensor::zeros([2, 8], (Kind::Int64, Device::Cpu));
    let scores = logits(&world, id, &[("ids", &ids()), ("attention_mask", &hidden)]);
    assert!(bool::try_from(scores.isfinite().all()).unwrap());
}
