//! The component drives a model of the recipe.

#![allow(clippy::unwrap_used, reason = "a test may")]

use serde_json::{Map, Value as Json, json};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use tch::Tensor;
use zoo_host::{CallScope, InstanceId, LocalEnvironment, PluginPath, Registry, Value, World, WorldOptions};
use zoo_schema::experiment::{Instance, Place};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../checkpoints/tests/golden/llama_clm")
}

fn registry() -> Arc<Registry> {
    static LOADED: OnceLock<Arc<Registry>> = OnceLock::new();
    let load = || {
        let folder = std::env::current_exe().unwrap().parent().unwrap().to_owned();
        let names = ["libzoo_checkpoints.so", "libzoo_decoding.so"];
        let paths = names.map(|name| PluginPath { path: folder.join(name), hash: None });
        Arc::new(Registry::load(&paths).unwrap())
    };
    Arc::clone(LOADED.get_or_init(load))
}

struct Case {
    world: World,
    write: InstanceId,
    _folder: tempfile::TempDir,
}

fn instance(name: &str, component: &str, kind: &str, parameters: Json, weights: Option<String>) -> Instance {
    let Json::Object(parameters) = parameters else { panic!() };
    Instance {
        name: name.to_owned(),
        component: component.to_owned(),
        kind: kind.to_owned(),
        parameters,
        share: Vec::new(),
        weights,
        frozen: false,
        on: None,
        place: Place::default(),
        parameter_places: Map::new(),
    }
}

fn case(parameters: Json) -> Case {
    let folder = tempfile::tempdir().unwrap();
    let environment = Arc::new(LocalEnvironment { folder: folder.path().to_owned() });
    let options = WorldOptions { run_seed: 3, ..WorldOptions::default() };
    let world = World::new(registry(), environment, options);
    let path = golden().display().to_string();
    let config = json!({ "config": path });
    world.create(&instance("writer", "checkpoint.causal_lm", "architecture", config, Some(path))).unwrap();
    let mut all = json!({ "model": { "$instance": "writer" } });
    all.as_object_mut().unwrap().extend(parameters.as_object().unwrap().clone());
    let write = world.create(&instance("write", "decoding.generate", "function", all, None)).unwrap();
    Case { world, write, _folder: folder }
}

/// Tokens of each row with 1 for new ones, and logarithms.
fn call(case: &Case, offset: u64, ids: &Tensor, mask: &Tensor) -> Vec<(Vec<i64>, Vec<i64>, Vec<f64>)> {
    let scope = CallScope { row_offset: offset, training: true, gradients: true, ..CallScope::default() };
    let (ids, mask) = (Value::Tensor(ids.shallow_clone()), Value::Tensor(mask.shallow_clone()));
    let mut made = case.world.call(case.write, &scope, &[("ids", &ids), ("attention_mask", &mask)]).unwrap();
    let mut table = |name: &str| {
        let tensor = made.take_tensor(name).unwrap();
        assert!(!tensor.requires_grad());
        let width = tensor.size()[1] as usize;
        let flat: Vec<f64> = Vec::try_from(tensor.to_kind(tch::Kind::Double).reshape([-1])).unwrap();
        flat.chunks(width).map(<[f64]>::to_vec).collect::<Vec<_>>()
    };
    let (ids, mask, new) = (table("ids"), table("attention_mask"), table("new_mask"));
    let logarithms = table("log_probabilities");
    let row = |i: usize| {
        let shown = |values: &[f64]| -> Vec<i64> {
            values.iter().zip(&mask[i]).filter(|(_, m)| **m == 1.0).map(|(v, _)| *v as i64).collect()
        };
        let logarithms = logarithms[i].iter().zip(&new[i]).filter(|(_, n)| **n == 1.0).map(|(l, _)| *l);
        (shown(&ids[i]), shown(&new[i]), logarithms.collect())
    };
    (0..ids.len()).map(row).collect()
}

#[test]
fn the_likeliest_texts_are_those_of_transformers() {
    let text = std::fs::read_to_string(golden().join("generate.json")).unwrap();
    let wanted: Json = serde_json::from_str(&text).unwrap();
    let rows = |json: &Json| -> Vec<Vec<i64>> { serde_json::from_value(json.clone()).unwrap() };
    let (prompts, texts) = (rows(&wanted["input_ids"]), rows(&wanted["greedy"]));
    let width = prompts[0].len();
    // Padding on the right, as tokenizers put it, and between.
    let ids: Vec<i64> = prompts.iter().flat_map(|p| [&[7, p[0], 9], &p[1..], &[5]].concat()).collect();
    let mask: Vec<i64> =
        prompts.iter().flat_map(|p| [&[0, 1, 0], &vec![1; p.len() - 1][..], &[0]].concat()).collect();
    let tensor = |values: &[i64]| Tensor::from_slice(values).view([prompts.len() as i64, width as i64 + 3]);
    let case = case(json!({ "temperature": 0.0, "new_tokens": 12 }));
    let made = call(&case, 0, &tensor(&ids), &tensor(&mask));
    for ((tokens, new, logarithms), wanted) in made.iter().zip(&texts) {
        assert_eq!(tokens, wanted);
        assert_eq!(new.iter().sum::<i64>(), 12);
        assert_eq!(new[..width], vec![0; width]);
        assert!(logarithms.len() == 12 && logarithms.iter().all(|l| *l < 0.0));
    }
}

#[test]
fn draws_depend_on_seed_row_and_place_alone() {
    let case = case(json!({ "samples": 3, "new_tokens": 6, "temperature": 1.5, "ends": [11] }));
    let ids = Tensor::from_slice2(&[[3_i64, 4, 5], [3, 4, 5], [8, 2, 1], [0, 1, 2]]);
    let mask = Tensor::from_slice2(&[[1_i64, 1, 1], [1, 1, 1], [1, 1, 0], [0, 0, 1]]);
    let whole = call(&case, 0, &ids, &mask);
    assert_eq!(whole.len(), 12);
    // Samples of a prompt, and equal prompts in two rows, differ.
    assert!(whole[0].0 != whole[1].0 && whole[0].0 != whole[3].0, "{whole:?}");
    let halves = [
        call(&case, 0, &ids.narrow(0, 0, 2), &mask.narrow(0, 0, 2)),
        call(&case, 2, &ids.narrow(0, 2, 2), &mask.narrow(0, 2, 2)),
    ]
    .concat();
    for ((tokens, new, logarithms), half) in whole.iter().zip(&halves) {
        assert_eq!((tokens, new), (&half.0, &half.1));
        assert!(logarithms.iter().zip(&half.2).all(|(a, b)| (a - b).abs() < 1e-5));
    }
}
