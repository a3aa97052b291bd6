//! One arm under one seed.

use crate::checkpoint::{Checkpoints, Position, read_models, read_optimizer, read_position};
use crate::continuation::{Carried, is_continued};
use crate::memory::Meter;
use crate::model::Instances;
use crate::observe::Observer;
use crate::session::{Session, autocast, is_cancelled};
use crate::train::PhaseEnd;
use crate::{EngineError, PhaseCache, Result, Timings};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tch::Kind;
use zoo_host::{Environment, Registry, World, WorldOptions};
use zoo_record::{Event, Reached, RunDir, Sink, Values};
use zoo_schema::experiment::{Arm, Experiment, Metric, PartCost};

/// Set when the user wants the run to stop (Ctrl-C): the engine finishes the update, saves, and
/// answers [`ArmOutcome::Stopped`]. Clones share the flag.
#[derive(Clone, Debug, Default)]
pub struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// A flag that is not set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks to stop. May be called from a signal handler's thread.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether someone asked.
    pub fn stopped(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// What the plan predicts for a phase or an evaluation of the arm.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedMemory {
    /// The phase or evaluation with what it needs.
    pub cost: PartCost,
    /// It is computed in 16 bits.
    pub narrow: bool,
}

impl PlannedMemory {
    /// Peak memory in bytes, for a worst batch whose longest text has so many tokens.
    pub(crate) fn bytes(&self, length: usize) -> f64 {
        self.cost.bytes_at(length as f64, self.narrow)
    }
}

/// What [`run_arm`] does.
pub struct ArmJob<'a> {
    /// The experiment.
    pub experiment: &'a Experiment,
    /// The arm, one of the experiment's.
    pub arm: &'a Arm,
    /// The seed that everything random follows from.
    pub seed: u64,
    /// Where the run lies: the arm writes to `checkpoints/ARM/SEED/` and `artifacts/ARM/SEED/`.
    pub run_dir: &'a RunDir,
    /// The plugins.
    pub registry: Arc<Registry>,
    /// Assets and stages. Metrics and artifacts of components are taken by the arm itself.
    pub environment: Arc<dyn Environment>,
    /// Where the models compute.
    pub device: tch::Device,
    /// Threads that prepare batches, at least 1; their number makes no difference to the results.
    pub loader_threads: usize,
    /// Who is told. `SeedStarted` and `SeedFinished` come from the arm, like all between them.
    pub sink: &'a mut dyn Sink,
    /// Ctrl-C.
    pub stop: &'a StopFlag,
    /// Goes on from the latest checkpoint where there is one; else starts anew, and removes what an
    /// earlier run left in the arm's folder.
    pub resume: bool,
    /// Predictions to hold against what is measured, by phase and evaluation; may be empty.
    pub planned: Vec<PlannedMemory>,
    /// Looks for values that are no numbers after every call, at a price.
    pub paranoid: bool,
    /// Phases that other arms and runs have in common with this one, to take over and to keep.
    pub phases: Option<&'a PhaseCache>,
    /// Where the time of updates is measured, if anyone wants to know.
    pub timings: Option<&'a Timings>,
}

/// How an arm ended that met no error.
#[derive(Clone, Debug, PartialEq)]
pub enum ArmOutcome {
    /// Every phase and evaluation is done.
    Finished(ArmResult),
    /// It was asked to stop; a checkpoint of this moment is on disk and `resume` goes on from it.
    Stopped,
}

/// What came out of an arm under one seed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ArmResult {
    /// The recipe's metrics by name.
    pub metrics: Values,
    /// Seconds it took, over all the times it was resumed.
    pub seconds: f64,
}

/// Runs one arm under one seed: creates its components, trains its phases, evaluates, and leaves
/// checkpoints in the run directory.
///
/// Arms run one after the other: libtorch has one random stream for the process, which dropout uses.
///
/// # Errors
/// What components, the disk, or the numbers do; see [`EngineError`]. A checkpoint that was complete
/// before stays complete.
pub fn run_arm(job: ArmJob<'_>) -> Result<ArmOutcome> {
    let mut session = match Session::open(job)? {
        Some(session) => session,
        None => return Ok(ArmOutcome::Stopped),
    };
    session.run()
}

/// Where a checkpoint left off.
struct Left {
    folder: PathBuf,
    position: Position,
}

impl<'a> Session<'a> {
    /// Creates everything; nothing where it was asked to stop meanwhile.
    fn open(job: ArmJob<'a>) -> Result<Option<Self>> {
        let ArmJob { arm, seed, device, run_dir, stop, .. } = job;
        let began = Instant::now();
        let meter = Meter::new(device)?;
        let observer = Arc::new(Observer::new(job.environment, stop.clone()));
        let options = WorldOptions {
            run_seed: arm.run_seed(seed),
            device,
            paranoid: job.paranoid,
            ..WorldOptions::default()
        };
        let environment: Arc<dyn Environment> = Arc::<Observer>::clone(&observer);
        let world = Arc::new(World::new(job.registry, environment, options));
        let checkpoints = Checkpoints::open(run_dir.checkpoints(&arm.name, seed), job.resume)?;
        let text = serde_json::to_string(&(arm, seed)).map_err(|e| EngineError::Experiment(e.to_string()))?;
        let instances = match Instances::create(&world, arm) {
            // Stages take long, and look whether someone wants to stop.
            Err(EngineError::Host(error)) if stop.stopped() && is_cancelled(&error) => return Ok(None),
            made => made?,
        };
        Ok(Some(Self {
            arm,
            seed,
            device,
            loader_threads: job.loader_threads.max(1),
            run_dir,
            sink: job.sink,
            stop,
            planned: job.planned,
            observer,
            world,
            instances,
            checkpoints,
            meter,
            of: blake3::hash(text.as_bytes()).to_hex().to_string(),
            finished: Vec::new(),
            updates: 0,
            last_step: 0,
            carried: None,
            evaluated: Vec::new(),
            seconds_before: 0.0,
            began,
            phases: job.phases,
            timings: job.timings,
            experiment: job.experiment,
        }))
    }

    /// Puts everything where the latest checkpoint left it.
    fn go_on(&mut self) -> Result<Option<Left>> {
        let Some(folder) = self.checkpoints.latest() else { return Ok(None) };
        let position = read_position(&folder)?;
        if position.of != self.of {
            let reason = "it belongs to another arm, or the arm has changed since".to_owned();
            return Err(EngineError::Checkpoint { path: folder, reason });
        }
        read_models(&folder, &self.world, &self.instances)?;
        self.finished.clone_from(&position.finished);
        self.updates = position.updates;
        self.last_step = position.last_step;
        self.evaluated.clone_from(&position.evaluated);
        self.seconds_before = position.seconds;
        let ended = position.finished.last().filter(|_| position.phase.is_none());
        let ended = self.arm.phases.iter().find(|phase| Some(&phase.name) == ended);
        if let Some(phase) = ended.filter(|phase| is_continued(self.arm, phase)) {
            let states = read_optimizer(&folder)?;
            self.carried = Some(Carried { phase: phase.name.clone(), states, scaler: position.scaler });
        }
        Ok(Some(Left { folder, position }))
    }

    fn run(&mut self) -> Result<ArmOutcome> {
        let arm = self.arm;
        let left = self.go_on()?;
        self.tell(Event::SeedStarted {
            arm: arm.name.clone(),
            seed: self.seed,
            resumed: left.as_ref().map(|left| Reached {
                finished_phases: left.position.finished.clone(),
                phase: left.position.phase.as_ref().map(|phase| phase.name.clone()),
                step: left.position.phase.as_ref().map_or(0, |phase| phase.step),
            }),
        });
        if arm.phases.is_empty() && !self.after("", 0, None)? {
            return Ok(ArmOutcome::Stopped);
        }
        for (index, phase) in arm.phases.iter().enumerate() {
            let in_phase = left.as_ref().and_then(|left| {
                let saved = left.position.phase.as_ref().filter(|saved| saved.name == phase.name)?;
                Some((saved, left.folder.as_path()))
            });
            let done = self.finished.contains(&phase.name);
            let taken = !done && in_phase.is_none() && self.take_over(index)?;
            if !done && !taken && self.train(phase, in_phase)? == PhaseEnd::Stopped {
                return Ok(ArmOutcome::Stopped);
            }
            // Of phases that were complete before, the evaluations after the last one may be missing.
            if self.finished.last() == Some(&phase.name) {
                let step = self.last_step;
                let done = self.after(&phase.name, step, autocast(phase.precision, self.device)?)?;
                if !done || self.stop.stopped() {
                    self.poll(true)?;
                    return Ok(ArmOutcome::Stopped);
                }
            }
        }
        self.poll(true)?;
        let metrics = self.metrics()?;
        let seconds = self.seconds();
        self.tell(Event::SeedFinished {
            arm: arm.name.clone(),
            seed: self.seed,
            metrics: metrics.clone(),
            seconds,
        });
        self.must_record()?;
        Ok(ArmOutcome::Finished(ArmResult { metrics, seconds }))
    }

    /// The evaluations after a phase; those that were just done at its last update count. False where it
    /// was asked to stop meanwhile.
    fn after(&mut self, phase: &str, step: u64, autocast: Option<Kind>) -> Result<bool> {
        let arm = self.arm;
        let last = arm.phases.last().is_none_or(|last| last.name == phase);
        for evaluation in &arm.evaluations {
            let due = match &evaluation.after {
                Some(after) => after == phase,
                None => last,
            };
            if due && self.known(&evaluation.name, phase, step).is_none() {
                if self.evaluate(evaluation, autocast, phase, step)?.is_none() {
                    return Ok(false);
                }
                self.poll(false)?;
                self.must_record()?;
            }
        }
        Ok(true)
    }

    /// The recipe's metrics, from the last results of their evaluations.
    fn metrics(&self) -> Result<Values> {
        let find = |metric: &Metric| {
            let evaluated = self.evaluated.iter().find(|known| known.evaluation == metric.evaluation)?;
            evaluated.values.get(&metric.log)
        };
        self.arm
            .metrics
            .iter()
            .map(|metric| {
                let value = find(metric).ok_or_else(|| {
                    EngineError::Experiment(format!(
                        "metric `{}`: the evaluation `{}` gave no `{}`",
                        metric.name, metric.evaluation, metric.log
                    ))
                })?;
                Ok((metric.name.clone(), value))
            })
            .collect()
    }
}
