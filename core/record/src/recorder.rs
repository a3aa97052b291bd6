//! The sink that writes a run directory.

use crate::{
    Environment, Event, FinishedSeed, HistoryWriter, MetricsWriter, RecordError, RunDir, RunResult, RunState,
    Sink, TensorBoardWriter, finished_seeds, read_history, report,
};
use zoo_schema::experiment::Experiment;
use zoo_statistics::Judgement;

/// Writes everything of a run directory that follows from events: `metrics.jsonl`, `events.jsonl`,
/// TensorBoard files, `environment.json`, and when the run ends, however it does, `result.json` and
/// `report.html`. `experiment.json`, `resolved.mlm`, `zoo.lock` and checkpoints are the engine's.
#[derive(Debug)]
pub struct Recorder {
    run_dir: RunDir,
    command: Vec<String>,
    experiment: Experiment,
    metrics: MetricsWriter,
    history: HistoryWriter,
    tensorboard: TensorBoardWriter,
    finished: Vec<FinishedSeed>,
    claims: Vec<Judgement>,
    shown_run_dir: String,
    failure: Option<RecordError>,
}

impl Recorder {
    /// Begins or goes on in a run directory. `command` is what the user typed.
    pub fn open(run_dir: RunDir, experiment: &Experiment, command: Vec<String>) -> Result<Self, RecordError> {
        let history = read_history(&run_dir.events())?;
        Ok(Self {
            metrics: MetricsWriter::open(&run_dir.metrics())?,
            history: HistoryWriter::open(&run_dir.events())?,
            tensorboard: TensorBoardWriter::new(run_dir.clone()),
            finished: finished_seeds(&history),
            claims: Vec::new(),
            shown_run_dir: run_dir.root().display().to_string(),
            failure: None,
            experiment: experiment.clone(),
            command,
            run_dir,
        })
    }

    /// Arms and seeds that are done, those of before the run was resumed included.
    pub fn finished(&self) -> &[FinishedSeed] {
        &self.finished
    }

    /// What came out so far.
    pub fn result(&self, state: RunState) -> RunResult {
        RunResult::of(&self.experiment, &self.shown_run_dir, state, &self.finished, &self.claims)
    }

    fn write_result(&mut self, state: RunState) {
        let written =
            self.result(state).write(&self.run_dir.result()).and_then(|()| report::write(&self.run_dir));
        self.note(written);
    }

    fn note(&mut self, done: Result<(), RecordError>) {
        if let Err(error) = done {
            self.failure.get_or_insert(error);
        }
    }
}

impl Sink for Recorder {
    fn event(&mut self, event: &Event) {
        self.metrics.event(event);
        self.history.event(event);
        self.tensorboard.event(event);
        match event {
            Event::RunStarted(started) => {
                self.shown_run_dir = started.run_dir.clone();
                let written = Environment::of(started, &self.command).write(&self.run_dir.environment());
                self.note(written);
            }
            Event::SeedStarted { arm, seed, .. } => {
                self.finished.retain(|done| done.arm != *arm || done.seed != *seed);
            }
            Event::SeedFinished { arm, seed, metrics, seconds } => {
                self.finished.retain(|done| done.arm != *arm || done.seed != *seed);
                self.finished.push(FinishedSeed {
                    arm: arm.clone(),
                    seed: *seed,
                    metrics: metrics.clone(),
                    seconds: *seconds,
                });
            }
            Event::ClaimJudged { judgement, .. } => {
                match self
                    .claims
                    .iter_mut()
                    .find(|known| (&known.claim, &known.text) == (&judgement.claim, &judgement.text))
                {
                    Some(known) => *known = judgement.clone(),
                    None => self.claims.push(judgement.clone()),
                }
            }
            Event::RunFinished { .. } => self.write_result(RunState::Finished),
            Event::RunStopped { .. } => self.write_result(RunState::Stopped),
            Event::RunFailed { .. } => self.write_result(RunState::Failed),
            _ => {}
        }
    }

    fn failure(&mut self) -> Option<RecordError> {
        let failures = [self.metrics.failure(), self.history.failure(), self.tensorboard.failure()];
        failures.into_iter().flatten().next().or(self.failure.take())
    }
}
