//! What all of an arm's work shares: its components, its checkpoints, and who is told.

use crate::checkpoint::{Checkpoints, Evaluated, InPhase, Position, Save, Written};
use crate::continuation::Carried;
use crate::memory::{self, Meter};
use crate::model::Instances;
use crate::observe::Observer;
use crate::{EngineError, PhaseCache, PlannedMemory, Result, StopFlag, Timings};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tch::{Device, Kind, Tensor};
use zoo_host::World;
use zoo_record::{CheckpointKind, Event, Measure, RunDir, Sink, Values, file_name, write_atomic};
use zoo_schema::experiment::{Arm, Evaluation, Experiment, Precision};

/// An arm under one seed while it runs.
pub(crate) struct Session<'a> {
    pub(crate) arm: &'a Arm,
    pub(crate) seed: u64,
    pub(crate) device: Device,
    pub(crate) loader_threads: usize,
    pub(crate) run_dir: &'a RunDir,
    pub(crate) sink: &'a mut dyn Sink,
    pub(crate) stop: &'a StopFlag,
    pub(crate) planned: Vec<PlannedMemory>,
    pub(crate) observer: Arc<Observer>,
    pub(crate) world: Arc<World>,
    pub(crate) instances: Instances,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) meter: Meter,
    /// Hash of arm and seed.
    pub(crate) of: String,
    /// Phases that are complete, their updates, and those of the last one of them.
    pub(crate) finished: Vec<String>,
    pub(crate) updates: u64,
    pub(crate) last_step: u64,
    /// What the phase that was just completed leaves to the one that continues it.
    pub(crate) carried: Option<Carried>,
    pub(crate) evaluated: Vec<Evaluated>,
    /// Seconds of earlier times, and when this one began.
    pub(crate) seconds_before: f64,
    pub(crate) began: Instant,
    pub(crate) phases: Option<&'a PhaseCache>,
    pub(crate) timings: Option<&'a Timings>,
    pub(crate) experiment: &'a Experiment,
}

/// The narrower type of the forward pass on a device; none for float32.
pub(crate) fn autocast(precision: Precision, device: Device) -> Result<Option<Kind>> {
    match (precision, device) {
        (Precision::Auto, Device::Cpu) | (Precision::Float32, _) => Ok(None),
        (Precision::Auto | Precision::Bfloat16, _) => Ok(Some(Kind::BFloat16)),
        (Precision::Float16, Device::Cpu) => Err(EngineError::Experiment(
            "float16 is for GPUs; on this CPU use `precision = bfloat16` or `float32`".to_owned(),
        )),
        (Precision::Float16, _) => Ok(Some(Kind::Half)),
    }
}

/// The precision as events tell it.
pub(crate) fn precision_name(autocast: Option<Kind>) -> &'static str {
    match autocast {
        None => "float32",
        Some(Kind::Half) => "float16",
        Some(_) => "bfloat16",
    }
}

/// Whether a component gave up because the run was asked to stop.
pub(crate) fn is_cancelled(error: &zoo_host::Error) -> bool {
    matches!(error, zoo_host::Error::Component(error) if matches!(error.fault, zoo_host::Fault::Cancelled))
}

impl Session<'_> {
    /// What everything random of the arm follows from.
    pub(crate) fn run_seed(&self) -> u64 {
        self.arm.run_seed(self.seed)
    }

    pub(crate) fn tell(&mut self, event: Event) {
        self.sink.event(&event);
    }

    /// Seconds since the arm and seed began, over all the times it was resumed.
    pub(crate) fn seconds(&self) -> f64 {
        self.seconds_before + self.began.elapsed().as_secs_f64()
    }

    pub(crate) fn last_good(&mut self) -> Option<std::path::PathBuf> {
        // One that is being written counts, if it becomes complete.
        if let Ok(Some(written)) = self.checkpoints.wait() {
            self.tell_saved(&written);
        }
        self.checkpoints.latest()
    }

    /// Keeps the last result of an evaluation.
    pub(crate) fn remember(&mut self, evaluation: &Evaluation, phase: &str, step: u64, values: &Values) {
        self.evaluated.retain(|known| known.evaluation != evaluation.name);
        self.evaluated.push(Evaluated {
            evaluation: evaluation.name.clone(),
            phase: phase.to_owned(),
            step,
            values: values.clone(),
        });
    }

    /// The result of an evaluation at that place, where it is known.
    pub(crate) fn known(&self, evaluation: &str, phase: &str, step: u64) -> Option<&Values> {
        let known = self.evaluated.iter().find(|known| known.evaluation == evaluation)?;
        (known.phase == phase && known.step == step).then_some(&known.values)
    }

    /// Whether something was planned for the part, and is not measured yet.
    pub(crate) fn is_planned(&self, part: &str) -> bool {
        self.planned.iter().any(|planned| planned.cost.name == part)
    }

    /// Starts to measure the memory of a part, where something was planned for it.
    pub(crate) fn start_memory(&mut self, part: &str) -> Result<()> {
        if !self.is_planned(part) {
            return Ok(());
        }
        // A checkpoint on its way to the disk holds copies that go meanwhile.
        self.poll(true)?;
        self.meter.start()
    }

    /// Tells measured memory beside what was planned for the part, if anything was.
    /// `held` are bytes of tensors that were there before, beside parameters; `length` tokens has the longest
    /// text of the worst batch.
    pub(crate) fn report_memory(&mut self, what: &str, part: &str, held: usize, length: usize) -> Result<()> {
        let planned = self.planned.iter().find(|planned| planned.cost.name == part);
        if let Some(planned) = planned.map(|planned| planned.bytes(length)) {
            let parameters: usize = self.world.state().iter().map(|(_, tensor)| memory::bytes(tensor)).sum();
            let peak = self.meter.peak(parameters + held)?;
            self.tell(Event::PlanMeasured {
                arm: self.arm.name.clone(),
                what: what.to_owned(),
                part: part.to_owned(),
                measure: Measure::Bytes,
                planned,
                measured: peak.tensors,
                process: peak.process,
            });
            // Once for every part.
            self.planned.retain(|planned| planned.cost.name != part);
        }
        Ok(())
    }

    /// Writes and tells what components gave for the report.
    pub(crate) fn tell_artifacts(&mut self, phase: &str, step: u64) -> Result<()> {
        for artifact in self.observer.artifacts() {
            let name = format!(
                "{}-{step:08}-{}-{}",
                file_name(phase),
                file_name(&artifact.instance),
                file_name(&artifact.name)
            );
            let path = self.run_dir.artifacts(&self.arm.name, self.seed).join(name);
            write_atomic(&path, &artifact.content)?;
            self.tell(Event::Artifact {
                arm: self.arm.name.clone(),
                seed: self.seed,
                phase: phase.to_owned(),
                step,
                name: format!("{}.{}", artifact.instance, artifact.name),
                media_type: artifact.media_type,
                path: self.shown(&path),
            });
        }
        Ok(())
    }

    /// A path relative to the run directory.
    fn shown(&self, path: &Path) -> String {
        path.strip_prefix(self.run_dir.root()).unwrap_or(path).display().to_string()
    }

    fn tell_saved(&mut self, written: &Written) {
        let event = Event::CheckpointSaved {
            arm: self.arm.name.clone(),
            seed: self.seed,
            phase: written.phase.clone(),
            step: written.step,
            kind: written.kind,
            path: self.shown(&written.path),
            bytes: written.bytes,
        };
        self.tell(event);
    }

    /// Tells checkpoints that became complete. Stops where something cannot be recorded.
    pub(crate) fn poll(&mut self, wait: bool) -> Result<()> {
        let written = if wait { self.checkpoints.wait()? } else { self.checkpoints.finished()? };
        if let Some(written) = written {
            self.tell_saved(&written);
            self.must_record()?;
        }
        Ok(())
    }

    /// What cannot be recorded need not be computed.
    pub(crate) fn must_record(&mut self) -> Result<()> {
        match self.sink.failure() {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }

    /// Begins to save where the arm stands at the end of a phase.
    pub(crate) fn save_ended(
        &mut self,
        kind: CheckpointKind,
        place: (&str, u64),
        keep: u64,
        best: Option<u64>,
    ) -> Result<()> {
        let states = self.carried.as_ref().map_or(&[][..], |carried| &carried.states);
        let again: Vec<_> =
            states.iter().map(|(name, state)| (name.clone(), state.shallow_clone())).collect();
        self.save(kind, place, None, &again, keep, best)
    }

    /// Begins to save where the arm stands.
    pub(crate) fn save(
        &mut self,
        kind: CheckpointKind,
        place: (&str, u64),
        in_phase: Option<InPhase>,
        optimizer: &[(String, Tensor)],
        keep: u64,
        best: Option<u64>,
    ) -> Result<()> {
        let position = Position {
            of: self.of.clone(),
            finished: self.finished.clone(),
            updates: self.updates,
            last_step: self.last_step,
            phase: in_phase,
            scaler: self.carried.as_ref().and_then(|carried| carried.scaler),
            evaluated: self.evaluated.clone(),
            seconds: self.seconds(),
        };
        let (phase, step) = place;
        let save = Save { kind, phase, step, position: &position, optimizer, keep, best };
        if let Some(written) = self.checkpoints.save(&self.world, &self.instances, &save)? {
            self.tell_saved(&written);
            self.must_record()?;
        }
        Ok(())
    }
}
