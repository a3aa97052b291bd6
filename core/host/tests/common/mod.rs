//! Plugins of the tests, and worlds over them.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "shared by several tests")]

use serde_json::{Map, Value as Json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use tch::{Device, Kind, Tensor};
use zoo_host::{
    CallScope, InstanceId, LocalEnvironment, PluginPath, Registry, Result, Value, World, WorldOptions,
};
use zoo_schema::experiment::{Instance, Place};

/// Where cargo puts the libraries that tests depend on.
pub fn built(name: &str) -> PathBuf {
    let folder = std::env::current_exe().unwrap().parent().unwrap().to_owned();
    let path = folder.join(format!("lib{name}.so"));
    assert!(path.exists(), "{} is missing", path.display());
    path
}

/// A file of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path).canonicalize().unwrap()
}

/// The plugin in C, built by the system's compiler.
pub fn c_plugin() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| foreign_plugin("c")).clone()
}

/// What `tests/plugins/LANGUAGE/build.sh` builds.
pub fn foreign_plugin(language: &str) -> PathBuf {
    let folder = tempfile::tempdir().unwrap().keep();
    let status = Command::new(repository(&format!("tests/plugins/{language}/build.sh")))
        .arg(&folder)
        .arg(zoo_discovery::Here::default().target)
        .status();
    assert!(status.unwrap().success());
    folder.join(format!("libzoo_{language}.so"))
}

/// A registry over these files.
pub fn registry(paths: &[PathBuf]) -> Result<Arc<Registry>> {
    let paths: Vec<PluginPath> =
        paths.iter().map(|path| PluginPath { path: path.clone(), hash: None }).collect();
    Registry::load(&paths).map(Arc::new)
}

/// The registry of the well-behaved test plugin.
pub fn probe() -> Arc<Registry> {
    registry(&[built("zoo_probe")]).unwrap()
}

/// A world whose stages lie in a folder that goes with the process.
pub fn world(registry: &Arc<Registry>, options: WorldOptions) -> World {
    let folder = tempfile::tempdir().unwrap().keep();
    World::new(Arc::clone(registry), Arc::new(LocalEnvironment { folder }), options)
}

/// A world under a seed.
pub fn seeded(registry: &Arc<Registry>, run_seed: u64) -> World {
    world(registry, WorldOptions { run_seed, ..WorldOptions::default() })
}

/// An instance as a recipe declares it.
pub fn instance(name: &str, component: &str, parameters: Json) -> Instance {
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

/// A scope of step `step`, node `node`.
pub fn scope(node: &str, update: u64) -> CallScope {
    CallScope {
        step: "fit".into(),
        node: node.into(),
        update,
        phase_update: update,
        gradients: true,
        training: true,
        ..CallScope::default()
    }
}

/// 0, 1, 2, … in a shape.
pub fn ramp(shape: &[i64]) -> Tensor {
    let count: i64 = shape.iter().product();
    Tensor::arange(count, (Kind::Float, Device::Cpu)).reshape(shape)
}

/// Calls with one input `x` and takes one output.
pub fn call(world: &World, id: InstanceId, scope: &CallScope, x: &Tensor, output: &str) -> Result<Tensor> {
    let x = Value::Tensor(x.shallow_clone());
    let mut outputs = world.call(id, scope, &[("x", &x)])?;
    Ok(outputs.take_tensor(output).unwrap())
}

/// All elements.
pub fn elements(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.to_kind(Kind::Double).reshape([-1])).unwrap()
}

/// What is logged meanwhile on this thread, a line a message.
pub fn logged(run: impl FnOnce()) -> String {
    use std::io::Write;
    use std::sync::Mutex;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);
    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let buffer = Buffer::default();
    let writer = buffer.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    tracing::subscriber::with_default(subscriber, run);
    String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap()
}
