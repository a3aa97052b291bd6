//! What the boundary costs beyond the work: a call of a component that does almost nothing against the
//! same operation in the host, and loading ten plugins.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark may")]

use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::{Map, json};
use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;
use tch::{Device, Kind, Tensor};
use zoo_host::{CallScope, LocalEnvironment, PluginPath, Registry, Value, World, WorldOptions};
use zoo_schema::experiment::{Instance, Place};

/// Beside the benchmark, where cargo puts the libraries that it depends on.
fn built() -> PathBuf {
    std::env::current_exe().unwrap().parent().unwrap().join("libzoo_probe.so")
}

fn world() -> World {
    let registry = Registry::load(&[PluginPath { path: built(), hash: None }]).unwrap();
    let folder = std::env::temp_dir().join("zoo-bench");
    World::new(Arc::new(registry), Arc::new(LocalEnvironment { folder }), WorldOptions::default())
}

fn instance(name: &str, component: &str, parameters: serde_json::Value) -> Instance {
    Instance {
        name: name.to_owned(),
        component: component.to_owned(),
        kind: String::new(),
        parameters: parameters.as_object().unwrap().clone(),
        share: Vec::new(),
        weights: None,
        frozen: false,
        on: None,
        place: Place::default(),
        parameter_places: Map::new(),
    }
}

fn calls(criterion: &mut Criterion) {
    let world = world();
    let nothing = world.create(&instance("nothing", "probe.nothing", json!({}))).unwrap();
    let fade = world.create(&instance("fade", "probe.fade", json!({ "factor": 0.5 }))).unwrap();
    let noise = world.create(&instance("noise", "probe.noise", json!({}))).unwrap();
    let scope =
        CallScope { step: "step".into(), node: "node".into(), gradients: true, ..CallScope::default() };
    let x = Value::Tensor(Tensor::ones([16], (Kind::Float, Device::Cpu)));
    let rows = Value::Tensor(Tensor::ones([1, 4], (Kind::Float, Device::Cpu)));

    let mut group = criterion.benchmark_group("call");
    group.bench_function("nothing, guarded", |b| {
        b.iter(|| world.call(nothing, &scope, &[("x", black_box(&x))]).unwrap());
    });
    group.bench_function("one product, in the host", |b| {
        b.iter(|| black_box(x.tensor().unwrap()).f_mul_scalar(0.5).unwrap());
    });
    group.bench_function("one product, guarded", |b| {
        b.iter(|| world.call(fade, &scope, &[("x", black_box(&x))]).unwrap());
    });
    group.bench_function("two draws, guarded and seeded", |b| {
        b.iter(|| world.call(noise, &scope, &[("x", black_box(&rows))]).unwrap());
    });
    group.finish();
}

fn loading(criterion: &mut Criterion) {
    // The same file under one name in ten folders is ten libraries to the system.
    let folders: Vec<tempfile::TempDir> = (0..10).map(|_| tempfile::tempdir().unwrap()).collect();
    let paths: Vec<PluginPath> = folders
        .iter()
        .map(|folder| {
            let path = folder.path().join("libzoo_probe.so");
            std::fs::copy(built(), &path).unwrap();
            PluginPath { path, hash: None }
        })
        .collect();
    let mut group = criterion.benchmark_group("loading");
    group.sample_size(20);
    // Components of one name are refused in one registry, so each has its own; after the first time
    // the system has the library already.
    group.bench_function("ten plugins", |b| {
        b.iter(|| paths.iter().for_each(|path| drop(Registry::load(std::slice::from_ref(path)).unwrap())));
    });
    group.finish();
}

criterion_group!(benches, calls, loading);
criterion_main!(benches);
