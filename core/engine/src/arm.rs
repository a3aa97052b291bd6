//! One arm under one seed.

use crate::{EngineError, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use zoo_host::{Environment, Registry};
use zoo_record::{RunDir, Sink, Values};
use zoo_schema::experiment::{Arm, Experiment};

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
    /// The phase or evaluation.
    pub part: String,
    /// Peak memory in bytes.
    pub bytes: f64,
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
/// # Errors
/// What components, the disk, or the numbers do; see [`EngineError`]. A checkpoint that was complete
/// before stays complete.
pub fn run_arm(job: ArmJob<'_>) -> Result<ArmOutcome> {
    Err(EngineError::Experiment(format!("arm `{}` cannot be run yet", job.arm.name)))
}
