//! Phases that several arms or runs have in common: the pre-trained base that every arm starts from is
//! computed once.
//!
//! What a phase leaves behind depends on its seed, on everything in it and in the phases before, on the
//! components that these use, and on how the machine rounds: number of threads and device. Phases that
//! agree in all of this leave the same bits, so the first one's parameters and states can be taken for
//! the others'.

use crate::cache::{self, Cache};
use crate::checkpoint::{read_tensors, read_tensors_if_there, write_tensors};
use crate::continuation::{Carried, is_continued};
use crate::model::Instances;
use crate::optimizer::Scaler;
use crate::session::Session;
use crate::{EngineError, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::Path;
use tch::{Device, Tensor};
use zoo_host::{EnvironmentError, World};
use zoo_record::{CheckpointKind, Event, RecordError, StepLogged, Values, file_name, read_metrics};
use zoo_schema::experiment::{Arm, Experiment, Phase};

/// Version of what is kept.
const VERSION: u32 = 1;
const PARAMETERS: &str = "parameters.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
const CURVE: &str = "curve.json";

/// Phases kept in the cache.
#[derive(Clone, Debug)]
pub struct PhaseCache {
    cache: Cache,
}

/// What is kept of a phase beside tensors and states.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    /// Updates that were done.
    updates: u64,
    /// What was planned; more where it ended early.
    total: u64,
    batch: u64,
    precision: String,
    /// Seconds it took.
    seconds: f64,
    /// Logged steps: update and values.
    curve: Vec<(u64, Values)>,
    /// The scale of a float16 loss, where another phase continues this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scaler: Option<Scaler>,
}

impl PhaseCache {
    /// In `phases/` of the cache folder.
    pub fn new(cache_folder: &Path) -> Self {
        Self { cache: Cache::new(cache_folder.join("phases")) }
    }
}

/// A phase as it counts for others: without places in the recipe and without what only says how often
/// something is written.
fn essence(phase: &Phase) -> Value {
    let mut value = serde_json::to_value(phase).unwrap_or_default();
    if let Value::Object(map) = &mut value {
        for written in ["log_every", "save_every", "keep", "evaluate_every"] {
            map.remove(written);
        }
    }
    without_places(&mut value);
    value
}

fn without_places(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.remove("place");
            map.remove("parameter_places");
            map.values_mut().for_each(without_places);
        }
        Value::Array(values) => values.iter_mut().for_each(without_places),
        _ => {}
    }
}

/// Whether the phase's end is worth keeping: it is a base for what follows, or another arm ends with it.
fn is_base(experiment: &Experiment, arm: &Arm, index: usize) -> bool {
    let own: Vec<Value> = arm.phases[..=index].iter().map(essence).collect();
    let same = |other: &&Arm| {
        other.name != arm.name
            && other.seed_offset == arm.seed_offset
            && other.phases.len() > index
            && other.phases[..=index].iter().map(essence).eq(own.iter().cloned())
    };
    index + 1 < arm.phases.len() || experiment.arms.iter().any(|other| same(&other))
}

impl Session<'_> {
    /// The key of what a phase leaves behind; none where more than the phases decides it: the best
    /// parameters by an evaluation.
    fn phase_key(&self, index: usize) -> Result<Option<String>> {
        let phases = &self.arm.phases[..=index];
        if phases.iter().any(|phase| phase.best.is_some() || phase.patience.is_some()) {
            return Ok(None);
        }
        let names = self.names_of(phases);
        let mut instances = Vec::new();
        for made in self.instances.iter().filter(|made| names.contains(&made.instance.name)) {
            let instance = &made.instance;
            let content = self.world.content_key(made.id)?;
            instances.push(json!([instance.name, content, instance.frozen, instance.on, instance.share]));
        }
        for phase in phases.iter().filter(|phase| phase.continues.is_some() || is_continued(self.arm, phase))
        {
            // Phases that come later decide how the rate falls, and whether the optimizer's states are kept.
            let total = self.chain(phase)?.total;
            instances.push(json!(["chain", phase.name, total, is_continued(self.arm, phase)]));
        }
        let key = json!([
            VERSION,
            crate::libtorch_version(),
            self.run_seed(),
            format!("{:?}", self.device),
            zoo_torch::modes::threads()?,
            phases.iter().map(essence).collect::<Vec<_>>(),
            instances,
        ]);
        Ok(Some(blake3::hash(key.to_string().as_bytes()).to_hex().to_string()))
    }

    /// All instances that have a part in these phases.
    fn names_of(&self, phases: &[Phase]) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for phase in phases {
            let own = [
                Some(&phase.data),
                Some(&phase.optimizer),
                phase.schedule.as_ref(),
                phase.aggregate.as_ref(),
            ];
            names.extend(own.into_iter().flatten().cloned());
            names.extend(phase.train.iter().filter_map(|path| Some(path.split('.').next()?.to_owned())));
            names.extend(self.instances.reached(&phase.step));
        }
        // What is shared belongs to its owner too.
        let shared = |made: &crate::model::Made| {
            made.instance.share.iter().map(|share| share.instance.clone()).collect::<Vec<_>>()
        };
        let owners: Vec<String> = self
            .instances
            .iter()
            .filter(|made| names.contains(&made.instance.name))
            .flat_map(shared)
            .collect();
        names.extend(owners);
        names
    }

    /// Takes over a phase that was computed before. False where there is none.
    pub(crate) fn take_over(&mut self, index: usize) -> Result<bool> {
        let Some(phases) = self.phases else { return Ok(false) };
        let Some(key) = self.phase_key(index)? else { return Ok(false) };
        let arm = self.arm;
        let phase = &arm.phases[index];
        let folder = phases.cache.path(&phase.name, &key);
        if !folder.is_dir() {
            return Ok(false);
        }
        let kept: Kept = match read_kept(&folder) {
            Ok(kept) => kept,
            Err(error) => {
                tracing::warn!("a phase in the cache cannot be used and is computed anew: {error}");
                return Ok(false);
            }
        };
        load(&folder, &self.world, &self.instances)?;
        self.tell(Event::StageReused { stage: format!("phase {}", phase.name), key });
        self.tell(Event::PhaseStarted {
            arm: arm.name.clone(),
            seed: self.seed,
            phase: phase.name.clone(),
            step: kept.updates,
            total: kept.total,
            batch: kept.batch,
            precision: kept.precision,
        });
        for (step, values) in kept.curve {
            self.tell(Event::StepLogged(StepLogged {
                arm: arm.name.clone(),
                seed: self.seed,
                phase: phase.name.clone(),
                step,
                total: kept.total,
                values,
            }));
        }
        self.finished.push(phase.name.clone());
        self.updates += kept.total;
        self.last_step = kept.updates;
        self.carried = match is_continued(arm, phase) {
            true => Some(Carried {
                phase: phase.name.clone(),
                states: read_tensors_if_there(&folder.join(OPTIMIZER))?,
                scaler: kept.scaler,
            }),
            false => None,
        };
        let last = index + 1 == arm.phases.len();
        let kind = if last { CheckpointKind::Final } else { CheckpointKind::Phase };
        self.save_ended(kind, (&phase.name, kept.updates), phase.keep, None)?;
        Ok(true)
    }

    /// Keeps a phase that was just completed, where it is a base for others.
    pub(crate) fn keep_phase(&mut self, phase: &Phase, facts: &PhaseFacts) -> Result<()> {
        let (Some(phases), Some(index)) =
            (self.phases, self.arm.phases.iter().position(|known| known.name == phase.name))
        else {
            return Ok(());
        };
        if !is_base(self.experiment, self.arm, index) {
            return Ok(());
        }
        let Some(key) = self.phase_key(index)? else { return Ok(()) };
        let lines = read_metrics(&self.run_dir.metrics())?;
        let curve = lines
            .into_iter()
            .filter(|line| line.arm == self.arm.name && line.seed == self.seed && line.phase == phase.name)
            .filter(|line| line.evaluation.is_none())
            .map(|line| (line.step, line.values))
            .collect();
        let kept = Kept {
            updates: self.last_step,
            total: facts.total,
            batch: phase.batch,
            precision: facts.precision.clone(),
            seconds: facts.seconds,
            curve,
            scaler: self.carried.as_ref().and_then(|carried| carried.scaler),
        };
        let carried = self.carried.as_ref();
        let names = self.names_of(&self.arm.phases[..=index]);
        let stop = self.stop;
        let (world, instances) = (&self.world, &self.instances);
        let cached = phases.cache.get(&phase.name, &key, &|| stop.stopped(), &mut |folder| {
            write(folder, world, instances, &names, &kept)
                .and_then(|()| carried.map_or(Ok(()), |carried| write_optimizer(folder, &carried.states)))
                .map_err(|error| Box::new(error) as EnvironmentError)
        });
        match cached {
            Ok(cached) if cached.made => {
                let bytes = cache::size(&cached.path);
                let stage = format!("phase {}", phase.name);
                self.tell(Event::StageFinished { stage, key, seconds: facts.seconds, bytes });
            }
            Ok(_) => {}
            // Others compute it again: dear, but no reason to end a run that has it.
            Err(error) => {
                let message = format!("the phase {} is not kept for other arms: {error}", phase.name);
                self.tell(Event::Warning {
                    arm: Some(self.arm.name.clone()),
                    seed: Some(self.seed),
                    message,
                    help: Some("is there space in the cache folder? `ZOO_CACHE` names another".into()),
                });
            }
        }
        Ok(())
    }
}

/// What the training of a phase knows of it at its end.
#[derive(Clone, Debug)]
pub(crate) struct PhaseFacts {
    pub(crate) total: u64,
    pub(crate) precision: String,
    pub(crate) seconds: f64,
}

fn failed<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(std::io::Error) -> EngineError + use<'a> {
    move |source| RecordError::Io { action, path: path.to_owned(), source }.into()
}

fn read_kept(folder: &Path) -> Result<Kept> {
    let path = folder.join(CURVE);
    let text = fs::read_to_string(&path).map_err(failed("read", &path))?;
    serde_json::from_str(&text).map_err(|error| EngineError::Checkpoint { path, reason: error.to_string() })
}

fn state_file(instance: &str) -> String {
    format!("{}.state", file_name(instance))
}

fn on_cpu(tensor: &Tensor) -> Result<Tensor> {
    Ok(tensor.f_detach()?.f_to_device(Device::Cpu)?.f_contiguous()?)
}

/// Writes the optimizer's states, where the phase is one that another continues; an optimizer may have none.
fn write_optimizer(folder: &Path, states: &[(String, Tensor)]) -> Result<()> {
    if states.is_empty() {
        return Ok(());
    }
    let states = states.iter().map(|(name, state)| Ok((name.clone(), on_cpu(state)?)));
    write_tensors(&folder.join(OPTIMIZER), &states.collect::<Result<Vec<_>>>()?)
}

/// Writes parameters and states of these instances.
fn write(
    folder: &Path,
    world: &World,
    instances: &Instances,
    names: &BTreeSet<String>,
    kept: &Kept,
) -> Result<()> {
    fs::create_dir_all(folder).map_err(failed("create", folder))?;
    let owned: HashMap<String, String> = world
        .parameters()
        .into_iter()
        .filter(|parameter| parameter.shared.is_none())
        .map(|parameter| (parameter.name, parameter.instance))
        .collect();
    let mut tensors = Vec::new();
    for (name, tensor) in world.state() {
        if owned.get(&name).is_some_and(|instance| names.contains(instance)) {
            tensors.push((name, on_cpu(&tensor)?));
        }
    }
    write_tensors(&folder.join(PARAMETERS), &tensors)?;
    for made in
        instances.iter().filter(|made| made.schema.effects.state && names.contains(&made.instance.name))
    {
        if let Some(state) = world.save(made.id)? {
            let path = folder.join(state_file(&made.instance.name));
            fs::write(&path, state).map_err(failed("write", &path))?;
        }
    }
    let path = folder.join(CURVE);
    let text = serde_json::to_vec(kept)
        .map_err(|error| EngineError::Checkpoint { path: path.clone(), reason: error.to_string() })?;
    fs::write(&path, text).map_err(failed("write", &path))
}

/// Puts parameters and states back; those of instances that had no part in the phase stay as they are.
fn load(folder: &Path, world: &World, instances: &Instances) -> Result<()> {
    let mut kept: HashMap<String, tch::Tensor> =
        read_tensors(&folder.join(PARAMETERS))?.into_iter().collect();
    let state: Vec<(String, tch::Tensor)> = world
        .state()
        .into_iter()
        .map(|(name, own)| {
            let tensor = kept.remove(&name).unwrap_or(own);
            (name, tensor)
        })
        .collect();
    if let Some(name) = kept.keys().next() {
        let reason = format!("it has `{name}`, which the arm has not");
        return Err(EngineError::Checkpoint { path: folder.to_owned(), reason });
    }
    world.load_state(&state)?;
    for made in instances.iter().filter(|made| made.schema.effects.state) {
        let path = folder.join(state_file(&made.instance.name));
        if path.exists() {
            world.load(made.id, &fs::read(&path).map_err(failed("read", &path))?)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_do_not_count() {
        let mut value =
            json!({"name": "a", "place": {"line": 3}, "step": {"nodes": [{"id": "x", "place": 1}]}});
        without_places(&mut value);
        assert_eq!(value, json!({"name": "a", "step": {"nodes": [{"id": "x"}]}}));
    }
}
