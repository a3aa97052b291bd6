//! The data of this plugin through the host: what depends on the seed, and what on the name.

#![allow(clippy::unwrap_used, reason = "a test may")]

use serde_json::{Map, Value as Json, json};
use std::sync::Arc;
use tch::{Kind, Tensor};
use zoo_host::{CallScope, InstanceId, LocalEnvironment, PluginPath, Registry, Value, World, WorldOptions};
use zoo_schema::experiment::{Instance, Place};

fn world(run_seed: u64) -> World {
    let library = std::env::current_exe().unwrap().parent().unwrap().join("libzoo_synthetic.so");
    let registry = Registry::load(&[PluginPath { path: library, hash: None }]).unwrap();
    let folder = tempfile::tempdir().unwrap().keep();
    let options = WorldOptions { run_seed, ..WorldOptions::default() };
    World::new(Arc::new(registry), Arc::new(LocalEnvironment { folder }), options)
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

fn sentences(world: &World, name: &str) -> InstanceId {
    let parameters = json!({
        "sentences": 50, "concepts": 40, "synonyms": 3, "particles": 10, "registers": 4, "fillers": 9,
        "topics": 10, "topic_share": 0.95, "with_particles": true,
    });
    world.create(&instance(name, "synthetic.register_language", parameters)).unwrap()
}

fn read(world: &World, id: InstanceId, indices: &[i64], column: &str) -> Value {
    let columns = world.read(id, &CallScope::default(), indices).unwrap();
    columns.into_iter().find(|(name, _)| name == column).unwrap().1
}

fn texts(value: Value) -> Vec<String> {
    let Value::Texts(texts) = value else { panic!("no texts") };
    texts.to_vec()
}

#[test]
fn sentences_depend_on_the_seed_and_the_name_of_the_data_alone() {
    let first = world(1);
    let (a, b) = (sentences(&first, "a"), sentences(&first, "b"));
    let of = |world: &World, id| texts(read(world, id, &[0, 7, 49], "text"));
    assert_ne!(of(&first, a), of(&first, b));
    assert_ne!(first.content_key(a).unwrap(), first.content_key(b).unwrap());
    let second = world(1);
    sentences(&second, "c");
    let again = sentences(&second, "a");
    assert_eq!(of(&first, a), of(&second, again));
    assert_eq!(first.content_key(a).unwrap(), second.content_key(again).unwrap());
    let other = world(2);
    let other_a = sentences(&other, "a");
    assert_ne!(of(&first, a), of(&other, other_a));
    // Any order, any part.
    assert_eq!(texts(read(&first, a, &[7], "text"))[0], of(&first, a)[1]);
    assert_eq!(first.length(a).unwrap(), 50);
    let error = first.read(a, &CallScope::default(), &[50]).unwrap_err().to_string();
    assert!(error.contains("there is no example 50"), "{error}");
}

#[test]
fn pairs_are_of_the_language_they_name() {
    let world = world(3);
    sentences(&world, "language");
    let parameters =
        json!({ "language": { "$instance": "language" }, "pairs": 400, "different_synonyms": true });
    let pairs = world.create(&instance("pairs", "synthetic.register_pairs", parameters)).unwrap();
    let all: Vec<i64> = (0..400).collect();
    let first = texts(read(&world, pairs, &all, "sentence1"));
    let second = texts(read(&world, pairs, &all, "sentence2"));
    let Value::Tensor(scores) = read(&world, pairs, &all, "score") else { panic!("no tensor") };
    assert_eq!((scores.kind(), scores.size()), (Kind::Float, vec![400]));
    let scores: Vec<f32> = Vec::try_from(scores as Tensor).unwrap();
    for value in [0.0, 0.2, 0.5, 1.0] {
        let share = scores.iter().filter(|s| **s == value).count();
        assert!((60..140).contains(&share), "{share} of 400 have similarity {value}");
    }
    for ((first, second), score) in first.iter().zip(&second).zip(&scores) {
        assert_eq!(first.split(' ').count(), 15);
        // A pair that means the same has no word for a concept in common.
        if *score == 1.0 {
            let words = |text: &str| -> Vec<String> {
                text.split(' ').skip(9).step_by(2).map(str::to_owned).collect()
            };
            assert!(words(first).iter().all(|word| !words(second).contains(word)));
        }
    }
}
