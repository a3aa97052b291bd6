//! The whole run: arms over seeds, from a checked experiment to judged claims.

mod crew;
mod error;
mod fairness;
pub(crate) mod parts;
mod queue;
mod side_by_side;
mod wire;
mod worker;

pub use error::{RunError, with_causes};
pub use parts::libtorch_version;
pub use side_by_side::SideBySide;
pub use worker::work;

use crate::{
    ArmJob, ArmOutcome, ArmResult, Assets, PhaseCache, PlannedMemory, RunEnvironment, SharedSink, StopFlag,
    run_arm,
};
use parts::{ZOO, seeds};
use std::fs::{File, OpenOptions, TryLockError};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use zoo_host::Registry;
use zoo_record::{
    ArmSummary, Device, Event, FanOut, FinishedSeed, Lock, Recorder, RunDir, RunResult, RunStarted, RunState,
    Sink, Speeds, Versions, read_metrics, resume_command, write_atomic,
};
use zoo_schema::experiment::{Arm, Experiment, Phase, Precision};
use zoo_statistics::{Judgement, Results};

/// Where and how a run is computed; none of it changes what comes out but for rounding.
pub struct RunOptions {
    /// The run directory.
    pub run_dir: PathBuf,
    /// The command as the user typed it.
    pub command: Vec<String>,
    /// Where the models compute.
    pub device: tch::Device,
    /// The same for people.
    pub device_facts: Device,
    /// Threads of libtorch, as they are set.
    pub threads: usize,
    /// Threads that prepare batches, at least 1.
    pub loader_threads: usize,
    /// Where assets come from; stages and phases are kept in the same cache.
    pub assets: Assets,
    /// Takes over phases that were computed before, and keeps those that others begin with.
    pub share_phases: bool,
    /// Goes on with plugins or a libtorch that have changed since the run began.
    pub allow_changed: bool,
    /// Looks for values that are no numbers after every call, at a price.
    pub paranoid: bool,
    /// Runs arms and seeds side by side, each in a process of its own; one after the other without.
    pub side_by_side: Option<SideBySide>,
}

impl std::fmt::Debug for RunOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunOptions").field("run_dir", &self.run_dir).finish_non_exhaustive()
    }
}

/// Begins a run in a new or empty folder, and takes it to its end.
///
/// Arms run seed by seed, all arms with the first seed, then all with the second, so that claims can be
/// looked at early; the run ends before its last seed where every claim allows that and is decided.
/// Events go to `sink` and into the files of the run directory. The answer's state is `Finished`, or
/// `Stopped` when `stop` was set; such a run, and one that was killed, goes on with [`resume`].
///
/// # Errors
/// Before anything is written: claims that cannot be judged, arms that do not cost the same where a claim
/// says so, plugins that do not load, a folder that is not empty. Later: what an arm or the disk does; the
/// run directory then tells of it, and can be resumed.
pub fn run(
    experiment: &Experiment,
    options: RunOptions,
    sink: impl Sink + Send + 'static,
    stop: &StopFlag,
) -> Result<RunResult, RunError> {
    fairness::check(experiment)?;
    let (registry, _) = parts::load(experiment, &options, None)?;
    let run_dir = RunDir::new(&options.run_dir);
    let _held = hold(&run_dir)?;
    if is_begun(&run_dir)? {
        return Err(RunError::NotEmpty(options.run_dir));
    }
    let mut lock = parts::lock(experiment, &registry);
    lock.write(&run_dir.lock())?;
    write_atomic(&run_dir.resolved(), &experiment.resolved)?;
    // Last: where it is, everything is.
    write_experiment(experiment, &run_dir)?;
    Run::new(experiment, options, run_dir, registry, lock, sink, stop, false)?.go()
}

/// Goes on with a run that was stopped or killed, or judges one again that is done. Arms and seeds that
/// are done are not done again. `more_seeds` gives the run that many seeds in all.
///
/// # Errors
/// A folder without a run, plugins, libtorch or assets that have changed since, and those of [`run`].
pub fn resume(
    options: RunOptions,
    more_seeds: Option<u64>,
    sink: impl Sink + Send + 'static,
    stop: &StopFlag,
) -> Result<RunResult, RunError> {
    let run_dir = RunDir::new(&options.run_dir);
    let mut experiment = parts::read_experiment(&run_dir)?;
    let _held = hold(&run_dir)?;
    if let Some(asked) = more_seeds {
        if asked < experiment.seeds {
            return Err(RunError::FewerSeeds { planned: experiment.seeds, asked });
        }
        experiment.seeds = asked;
    }
    fairness::check(&experiment)?;
    let locked = Lock::read(&run_dir.lock())?;
    let (registry, differences) = parts::load(&experiment, &options, Some(&locked))?;
    let mut lock = Lock { seeds: seeds(&experiment), ..locked };
    if !differences.is_empty() {
        lock = Lock { assets: lock.assets, ..parts::lock(&experiment, &registry) };
    }
    lock.write(&run_dir.lock())?;
    if more_seeds.is_some() {
        write_experiment(&experiment, &run_dir)?;
    }
    let mut run = Run::new(&experiment, options, run_dir, registry, lock, sink, stop, true)?;
    run.warnings = differences;
    run.go()
}

/// Reads the experiment of a run directory, as `experiment.json` has it.
///
/// # Errors
/// A folder without a run, or a damaged file.
pub fn read_experiment(run_dir: &RunDir) -> Result<Experiment, RunError> {
    parts::read_experiment(run_dir)
}

fn write_experiment(experiment: &Experiment, run_dir: &RunDir) -> Result<(), RunError> {
    let path = run_dir.experiment();
    let text = serde_json::to_string_pretty(experiment).map_err(|error| {
        zoo_record::RecordError::Damaged { path: path.clone(), reason: error.to_string() }
    })?;
    Ok(write_atomic(&path, text + "\n")?)
}

/// A folder with anything in it but our lock.
fn is_begun(run_dir: &RunDir) -> Result<bool, RunError> {
    let read =
        |source| zoo_record::RecordError::Io { action: "read", path: run_dir.root().to_owned(), source };
    let entries = std::fs::read_dir(run_dir.root()).map_err(read)?;
    Ok(entries.flatten().any(|entry| entry.file_name() != LOCK_FILE && entry.file_name() != WORKERS_FILE))
}

const LOCK_FILE: &str = ".lock";
/// Shared by the processes that run arms for the one that holds [`LOCK_FILE`].
const WORKERS_FILE: &str = ".workers";
/// How long workers of a killed run may take to notice.
const WORKERS_END: Duration = Duration::from_secs(20);

/// Keeps other processes from running the same folder, as long as the answer lives. The system lets go of
/// it when the process ends, however it does.
fn hold(run_dir: &RunDir) -> Result<File, RunError> {
    let root = run_dir.root();
    std::fs::create_dir_all(root).map_err(|source| RunError::Lock { path: root.join(LOCK_FILE), source })?;
    let held =
        lock_of(run_dir, LOCK_FILE, File::try_lock)?.ok_or_else(|| RunError::InUse(root.to_owned()))?;
    // Workers of a run that was killed end as soon as they notice; until then they may still write.
    let begun = Instant::now();
    while lock_of(run_dir, WORKERS_FILE, File::try_lock)?.is_none() {
        if begun.elapsed() > WORKERS_END {
            return Err(RunError::InUse(root.to_owned()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(held)
}

/// The lock file of this name, locked; nothing where others hold it.
fn lock_of(
    run_dir: &RunDir,
    name: &str,
    lock: impl FnOnce(&File) -> Result<(), TryLockError>,
) -> Result<Option<File>, RunError> {
    let path = run_dir.root().join(name);
    let failed = |source| RunError::Lock { path: path.clone(), source };
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    match lock(&file) {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

struct Run<'a> {
    experiment: &'a Experiment,
    run_dir: RunDir,
    registry: Arc<Registry>,
    lock: Lock,
    environment: Arc<RunEnvironment>,
    phases: Option<PhaseCache>,
    sink: SharedSink,
    stop: &'a StopFlag,
    finished: Vec<FinishedSeed>,
    resumed: bool,
    warnings: Vec<String>,
    started: Instant,
    options: RunOptions,
}

impl<'a> Run<'a> {
    #[allow(clippy::too_many_arguments)]
    fn new(
        experiment: &'a Experiment,
        options: RunOptions,
        run_dir: RunDir,
        registry: Registry,
        lock: Lock,
        sink: impl Sink + Send + 'static,
        stop: &'a StopFlag,
        resumed: bool,
    ) -> Result<Self, RunError> {
        let recorder = Recorder::open(run_dir.clone(), experiment, options.command.clone())?;
        let finished = recorder.finished().to_vec();
        let sink = SharedSink::new(FanOut::new().with(recorder).with(sink));
        let phases = options.share_phases.then(|| PhaseCache::new(&options.assets.store.options().cache));
        let environment =
            RunEnvironment::new(options.assets.clone(), sink.clone(), stop.clone(), &lock.assets);
        Ok(Self {
            experiment,
            run_dir,
            registry: Arc::new(registry),
            lock,
            environment: Arc::new(environment),
            phases,
            sink,
            stop,
            finished,
            resumed,
            warnings: Vec::new(),
            started: Instant::now(),
            options,
        })
    }

    fn go(mut self) -> Result<RunResult, RunError> {
        self.sink.event(&Event::RunStarted(self.summary()));
        for difference in std::mem::take(&mut self.warnings) {
            self.sink.event(&Event::Warning {
                arm: None,
                seed: None,
                message: format!("the run goes on with other parts than it began with: {difference}"),
                help: Some("its results are those of two experiments; a new run is one".into()),
            });
        }
        let ended = self.arms_over_seeds();
        let result = match ended {
            Ok(result) => result,
            Err(error) => {
                let (arm, seed) = match &error {
                    RunError::Arm { arm, seed, .. } => (Some(arm.clone()), Some(*seed)),
                    _ => (None, None),
                };
                self.sink.event(&Event::RunFailed { arm, seed, message: with_causes(&error) });
                return Err(error);
            }
        };
        match self.sink.failure() {
            Some(failure) => Err(failure.into()),
            None => Ok(result),
        }
    }

    fn summary(&self) -> RunStarted {
        let plugin =
            |plugin: &zoo_host::LoadedPlugin| (plugin.build.name.clone(), plugin.build.version.clone());
        RunStarted {
            run_dir: self.run_dir.root().display().to_string(),
            paper: self.experiment.paper.name.clone(),
            title: self.experiment.paper.title.clone(),
            recipe: self.experiment.recipe.clone(),
            profile: self.experiment.profile.clone(),
            arms: self.experiment.arms.iter().map(summary_of).collect(),
            seeds: seeds(self.experiment),
            claims: self.experiment.claims.iter().map(|claim| claim.title.clone()).collect(),
            device: self.options.device_facts.clone(),
            threads: self.options.threads as u64,
            loader_threads: self.options.loader_threads as u64,
            versions: Versions {
                zoo: ZOO.to_owned(),
                libtorch: libtorch_version(),
                plugins: self.registry.plugins().map(plugin).collect(),
            },
            resumed: self.resumed,
        }
    }

    fn arms_over_seeds(&mut self) -> Result<RunResult, RunError> {
        let planned = seeds(self.experiment);
        let mut done = Vec::new();
        if let Some(workers) = self.options.side_by_side.take() {
            return self.side_by_side(workers, &planned);
        }
        for &seed in &planned {
            for arm in &self.experiment.arms {
                if !self.is_finished(arm, seed) && !self.arm(arm, seed)? {
                    return Ok(self.stopped());
                }
            }
            if let Some(result) = self.look(&planned, &mut done) {
                return Ok(result);
            }
        }
        // `fairness::check` has made sure that there is a seed.
        Err(RunError::Nothing("seeds"))
    }

    fn is_finished(&self, arm: &Arm, seed: u64) -> bool {
        self.finished.iter().any(|known| known.arm == arm.name && known.seed == seed)
    }

    /// Whether claims may end the run before its last seed.
    fn may_end_early(&self) -> bool {
        self.experiment.claims.iter().all(|claim| claim.stop_when_decided)
    }

    /// Judges the claims for every seed that all arms are through with; `done` are those that were looked at
    /// before. The result, where no more is needed.
    fn look(&mut self, planned: &[u64], done: &mut Vec<u64>) -> Option<RunResult> {
        while let Some(&seed) = planned.get(done.len()) {
            if !self.experiment.arms.iter().all(|arm| self.is_finished(arm, seed)) {
                return None;
            }
            done.push(seed);
            let last = done.len() == planned.len();
            let judgements = zoo_statistics::judge(self.experiment, &self.results(), done);
            // Looks before the last one are for claims that may end the run early: other intervals
            // promise nothing about them.
            let enough = last || zoo_statistics::may_stop(self.experiment, &judgements);
            if enough || self.may_end_early() {
                self.judged(&judgements, enough);
            }
            if enough {
                let result = self.result(RunState::Finished, &judgements);
                let seconds = self.started.elapsed().as_secs_f64();
                self.sink.event(&Event::RunFinished { seconds });
                return Some(result);
            }
        }
        None
    }

    fn judged(&mut self, judgements: &[Judgement], last: bool) {
        for judgement in judgements {
            self.sink.event(&Event::ClaimJudged { judgement: judgement.clone(), last });
        }
    }

    fn stopped(&mut self) -> RunResult {
        let resume = resume_command(self.run_dir.root(), &self.options.command);
        self.sink.event(&Event::RunStopped { reason: "asked to stop".into(), resume });
        self.result(RunState::Stopped, &[])
    }

    fn result(&self, state: RunState, claims: &[Judgement]) -> RunResult {
        let run_dir = self.run_dir.root().display().to_string();
        RunResult::of(self.experiment, &run_dir, state, &self.finished, claims)
    }

    fn results(&self) -> Results {
        let mut results = Results::new();
        for done in &self.finished {
            for (metric, value) in done.metrics.iter() {
                results.insert(&done.arm, metric, done.seed, value);
            }
        }
        results
    }

    /// Runs one arm under one seed; false when it was asked to stop.
    fn arm(&mut self, arm: &Arm, seed: u64) -> Result<bool, RunError> {
        if self.stop.stopped() {
            return Ok(false);
        }
        let job = job(
            self.experiment,
            arm,
            seed,
            &self.run_dir,
            &self.registry,
            &self.environment,
            &self.options,
            &mut self.sink,
            self.stop,
            self.resumed,
            self.phases.as_ref(),
        );
        let outcome = run_arm(job);
        self.write_lock()?;
        match outcome {
            Ok(ArmOutcome::Finished(result)) => {
                self.finish(arm, seed, result)?;
                Ok(true)
            }
            Ok(ArmOutcome::Stopped) => Ok(false),
            // A component that was stopped in the middle of a call is no error.
            Err(_) if self.stop.stopped() => Ok(false),
            Err(error) => Err(RunError::Arm { arm: arm.name.clone(), seed, error: Box::new(error) }),
        }
    }

    /// Takes down what came out of an arm and seed.
    fn finish(&mut self, arm: &Arm, seed: u64, result: ArmResult) -> Result<(), RunError> {
        let ArmResult { metrics, seconds } = result;
        self.finished.push(FinishedSeed { arm: arm.name.clone(), seed, metrics, seconds });
        if seed == self.experiment.first_seed {
            self.note_speed(arm);
        }
        match self.sink.failure() {
            Some(failure) => Err(failure.into()),
            None => Ok(()),
        }
    }

    /// Keeps how fast it went, for plans.
    fn note_speed(&self, arm: &Arm) {
        let facts = &self.options.device_facts;
        let device = format!("{} {}", facts.name, facts.model);
        let noted = read_metrics(&self.run_dir.metrics()).and_then(|lines| {
            let cache = &self.options.assets.store.options().cache;
            Speeds::open(cache).note(arm, &lines, device.trim(), self.options.threads as u64)
        });
        if let Err(error) = noted {
            tracing::warn!("the speed is not kept for plans: {}", with_causes(&error));
        }
    }

    /// Assets come as arms ask for them.
    fn write_lock(&mut self) -> Result<(), RunError> {
        let assets = self.environment.locked();
        if assets != self.lock.assets {
            self.lock.assets = assets;
            self.lock.write(&self.run_dir.lock())?;
        }
        Ok(())
    }
}

/// The job of an arm and seed.
#[allow(clippy::too_many_arguments)]
fn job<'a>(
    experiment: &'a Experiment,
    arm: &'a Arm,
    seed: u64,
    run_dir: &'a RunDir,
    registry: &Arc<Registry>,
    environment: &Arc<RunEnvironment>,
    options: &RunOptions,
    sink: &'a mut dyn Sink,
    stop: &'a StopFlag,
    resume: bool,
    phases: Option<&'a PhaseCache>,
) -> ArmJob<'a> {
    // Every seed needs the same; the first one tells how good the plan was.
    let first = seed == experiment.first_seed;
    ArmJob {
        experiment,
        arm,
        seed,
        run_dir,
        registry: Arc::clone(registry),
        environment: Arc::clone(environment) as Arc<dyn zoo_host::Environment>,
        device: options.device,
        loader_threads: options.loader_threads.max(1),
        sink,
        stop,
        resume,
        planned: if first { planned_memory(arm, options.device) } else { Vec::new() },
        paranoid: options.paranoid,
        phases,
        timings: None,
    }
}

/// What the checker predicts, for this device and the precision of every phase. A prediction that lacks a
/// component is none.
pub(crate) fn planned_memory(arm: &Arm, device: tch::Device) -> Vec<PlannedMemory> {
    let narrow = |phase: &Phase| match phase.precision {
        Precision::Float32 => false,
        Precision::Bfloat16 | Precision::Float16 => true,
        Precision::Auto => device.is_cuda(),
    };
    let parts = arm.cost.parts.iter().filter(|part| part.memory.unknown.is_empty());
    parts
        .map(|part| {
            // An evaluation is computed as the phases are.
            let phase = arm.phases.iter().find(|phase| phase.name == part.name).or(arm.phases.last());
            PlannedMemory { cost: part.clone(), narrow: phase.is_some_and(narrow) }
        })
        .collect()
}

fn summary_of(arm: &Arm) -> ArmSummary {
    ArmSummary {
        name: arm.name.clone(),
        role: arm.role.clone(),
        title: arm.title.clone(),
        steps: arm.cost.steps as u64,
        parameters: arm.cost.parameters,
        train_flops: arm.cost.train_flops,
    }
}
