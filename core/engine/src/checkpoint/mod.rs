//! Checkpoints: complete or not there, written while the training goes on.
//!
//! | name in `checkpoints/ARM/SEED/` | what |
//! |---|---|
//! | `checkpoints.json` | which checkpoints there are, the latest and the best: replaced as a whole |
//! | `PHASE-STEP/`, `PHASE-end/`, `final/` | a checkpoint |
//! | `…/MODEL/model.safetensors`, `config.json` | a model, under the names of its component; as transformers loads it, where the component says how |
//! | `…/MODEL/tokenizer.json` | at the end of a phase, where the arm has one tokenizer |
//! | `…/training-state/position.json` | how far the arm had come |
//! | `…/training-state/optimizer.safetensors` | states of the optimizer; at the end of a phase, where another continues it |
//! | `…/training-state/INSTANCE.state` | state of a component |
//!
//! A folder is written under another name, synced, and renamed; then the list is replaced. Whatever
//! is in neither is rubbish of a run that was killed, and is removed by the next one.

mod files;
mod position;

pub(crate) use position::{Best, Evaluated, InPhase, Position, SavedWindow};

use crate::model::Instances;
use crate::{EngineError, Result};
use files::sync;
pub(crate) use files::{read_tensors, read_tensors_if_there, write_tensors};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use tch::{Device, Tensor};
use zoo_host::{InstanceId, World};
use zoo_record::{CheckpointKind, RecordError, file_name, sync_folder, write_atomic};

const VERSION: u32 = 1;
const LIST: &str = "checkpoints.json";
const STATE: &str = "training-state";
const PARTIAL: &str = ".partial-";

/// A checkpoint in the list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Listed {
    folder: String,
    phase: String,
    step: u64,
    kind: CheckpointKind,
}

/// Which checkpoints there are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct List {
    version: u32,
    /// To go on from.
    latest: Option<String>,
    /// The best of the phase that was last trained with a metric to choose by.
    best: Option<String>,
    /// In the order they were written.
    checkpoints: Vec<Listed>,
}

impl List {
    /// Adds a checkpoint and drops those that need not be kept.
    fn with(&self, new: Listed, keep: u64, best: Option<String>) -> Self {
        let mut checkpoints: Vec<Listed> =
            self.checkpoints.iter().filter(|old| old.folder != new.folder).cloned().collect();
        checkpoints.push(new.clone());
        let newest: BTreeSet<String> = checkpoints
            .iter()
            .rev()
            .filter(|c| c.phase == new.phase)
            .take(keep.max(1) as usize)
            .map(|c| c.folder.clone())
            .collect();
        checkpoints.retain(|c| {
            c.phase != new.phase || newest.contains(&c.folder) || best.as_deref() == Some(&c.folder)
        });
        Self { version: VERSION, latest: Some(new.folder), best: best.or(self.best.clone()), checkpoints }
    }
}

/// What is written: copies that the training no longer touches.
struct Snapshot {
    folder: String,
    tensors: Vec<(PathBuf, Vec<(String, Tensor)>)>,
    files: Vec<(PathBuf, Vec<u8>)>,
}

/// A checkpoint that is complete on disk.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Written {
    pub(crate) path: PathBuf,
    pub(crate) phase: String,
    pub(crate) step: u64,
    pub(crate) kind: CheckpointKind,
    pub(crate) bytes: u64,
}

/// What is saved beside the models.
pub(crate) struct Save<'a> {
    pub(crate) kind: CheckpointKind,
    pub(crate) phase: &'a str,
    pub(crate) step: u64,
    pub(crate) position: &'a Position,
    /// Empty at the end of a phase that no other continues.
    pub(crate) optimizer: &'a [(String, Tensor)],
    /// How many are kept of the phase.
    pub(crate) keep: u64,
    /// Step of the best one of the phase, this one included; it is kept.
    pub(crate) best: Option<u64>,
}

/// The checkpoints of an arm and seed.
pub(crate) struct Checkpoints {
    root: PathBuf,
    list: List,
    writing: Option<JoinHandle<Result<(List, Written)>>>,
}

impl Checkpoints {
    /// Opens the folder. Without `resume` whatever is there is removed, else only rubbish.
    pub(crate) fn open(root: PathBuf, resume: bool) -> Result<Self> {
        let path = root.join(LIST);
        let mut list = List { version: VERSION, ..List::default() };
        if resume && path.exists() {
            let text = fs::read_to_string(&path).map_err(|e| unusable(&path, e))?;
            list = serde_json::from_str(&text).map_err(|e| unusable(&path, e))?;
            if list.version != VERSION {
                let reason = format!("it is of version {}, and this zoo writes {VERSION}", list.version);
                return Err(unusable(&path, reason));
            }
        }
        let checkpoints = Self { root, list, writing: None };
        if !resume && path.exists() {
            // The list goes first: folders without it are rubbish.
            fs::remove_file(&path).map_err(|e| io("remove", &path, e))?;
        }
        remove_unlisted(&checkpoints.root, &checkpoints.list)?;
        Ok(checkpoints)
    }

    /// The folder of the checkpoint to go on from.
    pub(crate) fn latest(&self) -> Option<PathBuf> {
        self.list.latest.as_ref().map(|folder| self.root.join(folder))
    }

    /// The folder of a checkpoint within a phase.
    pub(crate) fn of_step(&self, phase: &str, step: u64) -> PathBuf {
        self.root.join(step_folder(phase, step))
    }

    /// Copies what is to be saved and writes it on a thread. Waits for the one before.
    pub(crate) fn save(
        &mut self,
        world: &World,
        instances: &Instances,
        save: &Save<'_>,
    ) -> Result<Option<Written>> {
        let before = self.wait()?;
        let folder = match save.kind {
            CheckpointKind::Final => "final".to_owned(),
            CheckpointKind::Phase => format!("{}-end", file_name(save.phase)),
            CheckpointKind::Last | CheckpointKind::Best => step_folder(save.phase, save.step),
        };
        let snapshot = snapshot(world, instances, save, &folder)?;
        let best = save
            .best
            .map(|step| if step == save.step { folder.clone() } else { step_folder(save.phase, step) });
        let listed = Listed { folder, phase: save.phase.to_owned(), step: save.step, kind: save.kind };
        let list = self.list.with(listed.clone(), save.keep, best);
        let root = self.root.clone();
        let thread = std::thread::Builder::new()
            .name("checkpoint".to_owned())
            .spawn(move || write(&root, &snapshot, list, &listed))
            .map_err(|e| {
                EngineError::Experiment(format!("a thread for checkpoints cannot be started: {e}"))
            })?;
        self.writing = Some(thread);
        Ok(before)
    }

    /// The checkpoint that was completed since this was last asked, without waiting.
    pub(crate) fn finished(&mut self) -> Result<Option<Written>> {
        if self.writing.as_ref().is_some_and(JoinHandle::is_finished) { self.wait() } else { Ok(None) }
    }

    /// Waits until nothing is being written.
    pub(crate) fn wait(&mut self) -> Result<Option<Written>> {
        let Some(thread) = self.writing.take() else { return Ok(None) };
        let (list, written) = thread.join().map_err(|_| {
            EngineError::Experiment("the thread that writes checkpoints ended in a panic".to_owned())
        })??;
        self.list = list;
        Ok(Some(written))
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        // An error elsewhere must not cut a checkpoint short.
        let _ = self.wait();
    }
}

fn io(action: &'static str, path: &Path, source: std::io::Error) -> EngineError {
    RecordError::Io { action, path: path.to_owned(), source }.into()
}

fn unusable(path: &Path, reason: impl ToString) -> EngineError {
    EngineError::Checkpoint { path: path.to_owned(), reason: reason.to_string() }
}

fn remove_unlisted(root: &Path, list: &List) -> Result<()> {
    let entries = match fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io("read", root, error)),
    };
    for entry in entries {
        let entry = entry.map_err(|e| io("read", root, e))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == LIST || list.checkpoints.iter().any(|c| c.folder == name) {
            continue;
        }
        let path = entry.path();
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(|e| io("remove", &path, e))?;
    }
    Ok(())
}

fn step_folder(phase: &str, step: u64) -> String {
    format!("{}-{step:08}", file_name(phase))
}

fn model_file(instance: &str) -> PathBuf {
    PathBuf::from(file_name(instance)).join("model.safetensors")
}

fn state_file(instance: &str) -> PathBuf {
    Path::new(STATE).join(format!("{}.state", file_name(instance)))
}

/// A copy on the CPU that later updates do not change.
fn copy(tensor: &Tensor) -> Result<Tensor> {
    let _mode = zoo_torch::modes::Gradients::set(false)?;
    if tensor.device() != Device::Cpu {
        return Ok(tensor.f_detach()?.f_to_device(Device::Cpu)?.f_contiguous()?);
    }
    let mut copy = Tensor::f_empty(tensor.size(), (tensor.kind(), Device::Cpu))?;
    copy.f_copy_(&tensor.f_detach()?)?;
    Ok(copy)
}

fn snapshot(world: &World, instances: &Instances, save: &Save<'_>, folder: &str) -> Result<Snapshot> {
    let mut models: BTreeMap<String, Vec<(String, Tensor)>> = BTreeMap::new();
    // A shared parameter stands in the file of every model that has it, as in published checkpoints.
    let mut copies: HashMap<String, Tensor> = HashMap::new();
    for parameter in world.parameters() {
        let owner = parameter.shared.clone().unwrap_or_else(|| parameter.name.clone());
        let copied = match copies.get(&owner) {
            Some(copied) => copied.shallow_clone(),
            None => {
                let copied = copy(&parameter.tensor)?;
                copies.insert(owner, copied.shallow_clone());
                copied
            }
        };
        let name = parameter.local_name().to_owned();
        models.entry(parameter.instance).or_default().push((name, copied));
    }
    let ended = matches!(save.kind, CheckpointKind::Phase | CheckpointKind::Final);
    let tokenizers: Vec<_> = instances.iter().filter(|made| made.schema.kind == "tokenizer").collect();
    let tokenizer = match tokenizers.as_slice() {
        [only] if ended => world
            .export(only.id)
            .inspect_err(|error| {
                tracing::warn!("the tokenizer is not saved with the models: {error}");
            })
            .ok(),
        _ => None,
    };
    let mut files = Vec::new();
    for name in models.keys() {
        let made = instances.get(name)?;
        let mut config = hub_config(world, made.id, name);
        let mut zoo = serde_json::json!({
            "instance": name,
            "component": made.instance.component,
            "parameters": made.instance.parameters,
        });
        if let Some(sites) = &made.instance.on {
            zoo["on"] = serde_json::json!(sites);
        }
        config.insert("zoo".to_owned(), zoo);
        let folder = PathBuf::from(file_name(name));
        files.push((folder.join("config.json"), json(&config)?));
        if let Some(tokenizer) = &tokenizer {
            files.push((folder.join("tokenizer.json"), tokenizer.clone()));
        }
    }
    for made in instances.iter().filter(|made| made.schema.effects.state) {
        if let Some(state) = world.save(made.id)? {
            files.push((state_file(&made.instance.name), state));
        }
    }
    files.push((Path::new(STATE).join("position.json"), json(save.position)?));
    let mut tensors: Vec<(PathBuf, Vec<(String, Tensor)>)> =
        models.into_iter().map(|(name, tensors)| (model_file(&name), tensors)).collect();
    if !save.optimizer.is_empty() {
        let states = save.optimizer.iter().map(|(name, tensor)| Ok((name.clone(), copy(tensor)?)));
        tensors.push((Path::new(STATE).join("optimizer.safetensors"), states.collect::<Result<_>>()?));
    }
    Ok(Snapshot { folder: folder.to_owned(), tensors, files })
}

/// What a model says by which other programs load it; empty where it says nothing.
fn hub_config(world: &World, id: InstanceId, name: &str) -> serde_json::Map<String, serde_json::Value> {
    let bytes = match world.export(id) {
        Ok(bytes) => bytes,
        Err(error) => {
            tracing::debug!("the checkpoint of `{name}` is for zoo alone: {error}");
            return serde_json::Map::new();
        }
    };
    serde_json::from_slice(&bytes).unwrap_or_else(|error| {
        tracing::warn!("`{name}` gave a config.json that is none: {error}");
        serde_json::Map::new()
    })
}

fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec_pretty(value).map_err(|e| EngineError::Experiment(format!("a checkpoint: {e}")))
}

fn write(root: &Path, snapshot: &Snapshot, list: List, listed: &Listed) -> Result<(List, Written)> {
    let partial = root.join(format!("{PARTIAL}{}", snapshot.folder));
    let target = root.join(&snapshot.folder);
    for old in [&partial, &target] {
        // A name may be taken by what a killed run left, or by a checkpoint that is written again.
        if old.exists() {
            fs::remove_dir_all(old).map_err(|e| io("remove", old, e))?;
        }
    }
    let mut folders = BTreeSet::from([partial.clone()]);
    let mut bytes = 0;
    let mut place = |name: &Path| -> Result<PathBuf> {
        let path = partial.join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|e| io("create", folder, e))?;
            folders.insert(folder.to_owned());
        }
        Ok(path)
    };
    for (name, tensors) in &snapshot.tensors {
        let path = place(name)?;
        write_tensors(&path, tensors)?;
        bytes += sync(&path)?;
    }
    for (name, content) in &snapshot.files {
        let path = place(name)?;
        fs::write(&path, content).map_err(|e| io("write", &path, e))?;
        bytes += sync(&path)?;
    }
    for folder in &folders {
        sync_folder(folder)?;
    }
    fs::rename(&partial, &target).map_err(|e| io("rename", &partial, e))?;
    sync_folder(root)?;
    write_atomic(&root.join(LIST), json(&list)?)?;
    remove_unlisted(root, &list)?;
    let written =
        Written { path: target, phase: listed.phase.clone(), step: listed.step, kind: listed.kind, bytes };
    Ok((list, written))
}

/// The position in a checkpoint.
pub(crate) fn read_position(folder: &Path) -> Result<Position> {
    let path = folder.join(STATE).join("position.json");
    let text = fs::read_to_string(&path).map_err(|e| unusable(&path, e))?;
    serde_json::from_str(&text).map_err(|e| unusable(&path, e))
}

/// Puts the models and component states of a checkpoint into the world.
pub(crate) fn read_models(folder: &Path, world: &World, instances: &Instances) -> Result<()> {
    let mut state = Vec::new();
    let mut read: HashMap<String, HashMap<String, Tensor>> = HashMap::new();
    for parameter in world.parameters().into_iter().filter(|p| p.shared.is_none()) {
        if !read.contains_key(&parameter.instance) {
            let tensors = read_tensors(&folder.join(model_file(&parameter.instance)))?;
            read.insert(parameter.instance.clone(), tensors.into_iter().collect());
        }
        let tensors = read.get_mut(&parameter.instance);
        let Some(tensor) = tensors.and_then(|tensors| tensors.remove(parameter.local_name())) else {
            return Err(unusable(folder, format!("it lacks `{}`", parameter.name)));
        };
        state.push((parameter.name, tensor));
    }
    world.load_state(&state)?;
    for made in instances.iter().filter(|made| made.schema.effects.state) {
        let path = folder.join(state_file(&made.instance.name));
        if path.exists() {
            world.load(made.id, &fs::read(&path).map_err(|e| unusable(&path, e))?)?;
        }
    }
    Ok(())
}

/// The optimizer's states in a checkpoint; none at the end of a phase that no other continues, or where it has
/// none.
pub(crate) fn read_optimizer(folder: &Path) -> Result<Vec<(String, Tensor)>> {
    read_tensors_if_there(&folder.join(STATE).join("optimizer.safetensors"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(phase: &str, step: u64, kind: CheckpointKind) -> Listed {
        Listed { folder: format!("{phase}-{step}"), phase: phase.to_owned(), step, kind }
    }

    #[test]
    fn the_newest_the_best_and_other_phases_are_kept() {
        let folders = |list: &List| list.checkpoints.iter().map(|c| c.folder.clone()).collect::<Vec<_>>();
        let mut list = List::default().with(listed("first", 9, CheckpointKind::Phase), 1, None);
        for step in 1..=4 {
            let best = (step >= 2).then(|| "second-2".to_owned());
            list = list.with(listed("second", step, CheckpointKind::Last), 1, best);
        }
        assert_eq!(folders(&list), ["first-9", "second-2", "second-4"]);
        assert_eq!(list.latest.as_deref(), Some("second-4"));
        list = list.with(listed("second", 5, CheckpointKind::Last), 2, None);
        assert_eq!(folders(&list), ["first-9", "second-4", "second-5"]);
    }

    #[test]
    fn rubbish_is_removed_and_a_list_of_the_future_is_refused() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join(".partial-train-00000001/model")).unwrap();
        fs::create_dir_all(root.path().join("train-00000001")).unwrap();
        let list = List::default().with(listed("train", 2, CheckpointKind::Last), 1, None);
        fs::create_dir_all(root.path().join("train-2")).unwrap();
        fs::write(root.path().join(LIST), json(&list).unwrap()).unwrap();
        let open = Checkpoints::open(root.path().to_owned(), true).unwrap();
        assert_eq!(open.latest(), Some(root.path().join("train-2")));
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 2);
        let newer = List { version: 2, ..list };
        fs::write(root.path().join(LIST), json(&newer).unwrap()).unwrap();
        let error = Checkpoints::open(root.path().to_owned(), true).err().unwrap().to_string();
        assert!(error.contains("version 2"), "{error}");
        let open = Checkpoints::open(root.path().to_owned(), false).unwrap();
        assert_eq!((open.latest(), fs::read_dir(root.path()).unwrap().count()), (None, 0));
    }
}
