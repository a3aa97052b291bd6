//! What a vision model says of itself, for a checkpoint that transformers loads: with the head that it has.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use common::{golden, registry};
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;
use zoo_host::{LocalEnvironment, World, WorldOptions};
use zoo_schema::experiment::{Instance, Place};

/// The configuration that a component exports, of the model in that folder.
fn exported(folder: &str, component: &str, more: &[(&str, Json)]) -> Json {
    let stages = tempfile::tempdir().unwrap();
    let environment = Arc::new(LocalEnvironment { folder: stages.path().to_owned() });
    let world = World::new(registry(), environment, WorldOptions::default());
    let mut parameters = Map::new();
    parameters.insert("config".to_owned(), json!(golden(folder).display().to_string()));
    parameters.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    let model = world
        .create(&Instance {
            name: "model".to_owned(),
            component: component.to_owned(),
            kind: "architecture".to_owned(),
            parameters,
            share: Vec::new(),
            weights: None,
            frozen: false,
            on: None,
            place: Place::default(),
            parameter_places: Map::new(),
        })
        .unwrap();
    serde_json::from_slice(&world.export(model).unwrap()).unwrap()
}

#[test]
fn vision_models_name_their_class() {
    for (folder, component, class) in [
        ("vit_cls", "checkpoint.image_classifier", "ViTForImageClassification"),
        ("vit_cls", "checkpoint.vision_encoder", "ViTModel"),
        ("vit_mae", "checkpoint.masked_image", "ViTMAEForPreTraining"),
        ("beit_mim", "checkpoint.masked_image", "BeitForMaskedImageModeling"),
        ("beit_mim", "checkpoint.image_classifier", "BeitForImageClassification"),
        ("clip_vision", "checkpoint.vision_encoder", "CLIPVisionModel"),
        ("siglip_vision", "checkpoint.vision_encoder", "SiglipVisionModel"),
    ] {
        let config = exported(folder, component, &[]);
        assert_eq!(config["architectures"], json!([class]), "{folder} as {component}");
        let text = std::fs::read_to_string(golden(folder).join("config.json")).unwrap();
        let given: Map<String, Json> = serde_json::from_str(&text).unwrap();
        for key in ["model_type", "hidden_size", "image_size", "patch_size"] {
            assert_eq!(config[key], given[key], "{folder}: {key}");
        }
    }
}

#[test]
fn other_classes_are_counted() {
    let config = exported("vit_cls", "checkpoint.image_classifier", &[("classes", json!(7))]);
    assert_eq!(config["id2label"].as_object().unwrap().len(), 7);
    assert_eq!(config["label2id"]["LABEL_6"], 6);
}
