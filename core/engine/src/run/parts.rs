//! What takes part in a run, held against its lock.

use super::{RunError, RunOptions};
use std::path::Path;
use zoo_host::{PluginPath, Registry};
use zoo_record::{LOCK_VERSION, Lock, LockedPlugin, RunDir};
use zoo_schema::experiment::Experiment;

/// The version of zoo.
pub(crate) const ZOO: &str = env!("CARGO_PKG_VERSION");

/// The version of the libtorch in this process, with its build where that is known: `2.11.0+cpu`.
pub fn libtorch_version() -> String {
    let headers = zoo_torch::device::headers_version();
    let folder = zoo_torch::device::libtorch_folder().unwrap_or_default();
    // A Python package has its version elsewhere; the symbols were compared when the process started.
    let build = folder.parent().and_then(|root| std::fs::read_to_string(root.join("build-version")).ok());
    match build.as_deref().map(str::trim) {
        Some(build) if build.starts_with(&headers) => build.to_owned(),
        _ => headers,
    }
}

/// The seeds of every arm, in order.
pub(crate) fn seeds(experiment: &Experiment) -> Vec<u64> {
    (0..experiment.seeds).map(|i| experiment.first_seed + i).collect()
}

/// Loads the plugins of the experiment. For a run that goes on, `lock` is what it began with; the answer
/// also tells what differs from it, which is not empty only where that is allowed.
pub(crate) fn load(
    experiment: &Experiment,
    options: &RunOptions,
    lock: Option<&Lock>,
) -> Result<(Registry, Vec<String>), RunError> {
    let differences = lock.map(|lock| differences(experiment, lock)).unwrap_or_default();
    if !differences.is_empty() && !options.allow_changed {
        return Err(RunError::Changed { differences });
    }
    let paths: Vec<PluginPath> = experiment
        .plugins
        .iter()
        .map(|file| match differences.is_empty() {
            true => PluginPath::from(file),
            false => PluginPath { path: file.path.clone().into(), hash: None },
        })
        .collect();
    Ok((Registry::load(&paths)?, differences))
}

fn differences(experiment: &Experiment, lock: &Lock) -> Vec<String> {
    let mut differences = Vec::new();
    for plugin in &experiment.plugins {
        let Some(locked) = lock.plugins.iter().find(|locked| locked.name == plugin.name) else {
            differences.push(format!("zoo.lock does not name the plugin `{}`", plugin.name));
            continue;
        };
        // A file that cannot be read is told of when it is loaded.
        let Ok(found) = zoo_discovery::Hashes::new(None).of(Path::new(&plugin.path)) else { continue };
        if found != locked.hash {
            differences.push(format!(
                "plugin `{}` {} ({}) has hash {} and had {}",
                plugin.name,
                locked.version,
                plugin.path,
                short(&found),
                short(&locked.hash)
            ));
        }
    }
    let libtorch = libtorch_version();
    if libtorch != lock.libtorch {
        differences.push(format!("libtorch is {libtorch} and was {}", lock.libtorch));
    }
    differences
}

fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

/// The lock of a run, without assets: those come as they are fetched.
pub(crate) fn lock(experiment: &Experiment, registry: &Registry) -> Lock {
    let plugins = registry.plugins().map(|plugin| LockedPlugin {
        name: plugin.build.name.clone(),
        version: plugin.build.version.clone(),
        hash: plugin.hash.clone(),
    });
    Lock {
        version: LOCK_VERSION,
        zoo: ZOO.to_owned(),
        libtorch: libtorch_version(),
        recipe: blake3::hash(experiment.resolved.as_bytes()).to_hex().to_string(),
        seeds: seeds(experiment),
        plugins: plugins.collect(),
        assets: Vec::new(),
    }
}

/// Reads the experiment of a run directory.
pub(crate) fn read_experiment(run_dir: &RunDir) -> Result<Experiment, RunError> {
    let path = run_dir.experiment();
    if !path.is_file() {
        return Err(RunError::NoRun(run_dir.root().to_owned()));
    }
    let text = std::fs::read_to_string(&path).map_err(|source| zoo_record::RecordError::Io {
        action: "read",
        path: path.clone(),
        source,
    })?;
    serde_json::from_str(&text)
        .map_err(|error| zoo_record::RecordError::Damaged { path, reason: error.to_string() }.into())
}
