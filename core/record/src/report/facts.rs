//! Reads what a run has written.

use crate::environment::read_json;
use crate::{
    Environment, Event, FinishedSeed, HistoryLine, Lock, MetricLine, RecordError, RunDir, RunResult,
    RunState, finished_seeds, read_history, read_metrics,
};
use std::path::Path;
use zoo_schema::experiment::{Arm, Experiment};
use zoo_statistics::Judgement;

/// Everything that the report is made of.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) run_dir: RunDir,
    pub(super) experiment: Experiment,
    pub(super) history: Vec<HistoryLine>,
    pub(super) metrics: Vec<MetricLine>,
    pub(super) environment: Option<Environment>,
    pub(super) lock: Option<Lock>,
    /// Arms and seeds that are done.
    pub(super) finished: Vec<FinishedSeed>,
    /// How far the run is.
    pub(super) state: RunState,
    /// Why it stopped or failed, with the command that goes on, where it can.
    pub(super) end: Option<(String, Option<String>)>,
    /// The answers so far.
    pub(super) claims: Vec<Judgement>,
    /// Files that could not be read, and why.
    pub(super) problems: Vec<String>,
}

/// Nothing when the file is not there, and a remark when it cannot be read.
fn optional<T>(
    path: &Path,
    read: impl FnOnce(&Path) -> Result<T, RecordError>,
    problems: &mut Vec<String>,
) -> Option<T> {
    if !path.exists() {
        return None;
    }
    read(path).map_err(|error| problems.push(with_cause(&error))).ok()
}

fn with_cause(error: &RecordError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

impl Facts {
    pub(super) fn read(run_dir: &RunDir) -> Result<Self, RecordError> {
        let experiment: Experiment = read_json(&run_dir.experiment())?;
        let mut problems = Vec::new();
        let history = optional(&run_dir.events(), read_history, &mut problems).unwrap_or_default();
        let metrics = optional(&run_dir.metrics(), read_metrics, &mut problems).unwrap_or_default();
        let environment = optional(&run_dir.environment(), Environment::read, &mut problems);
        let lock = optional(&run_dir.lock(), Lock::read, &mut problems);
        let (state, end) = state_of(&history);
        let mut facts = Self {
            run_dir: run_dir.clone(),
            finished: finished_seeds(&history),
            claims: judged(&history),
            experiment,
            history,
            metrics,
            environment,
            lock,
            state,
            end,
            problems,
        };
        // Without a history the result, where there is one, still tells the answers.
        if facts.history.is_empty()
            && let Some(result) = optional(&run_dir.result(), RunResult::read, &mut facts.problems)
        {
            facts.state = result.state;
            facts.claims = result.claims;
        }
        Ok(facts)
    }

    /// What came out, as `result.json` has it.
    pub(super) fn result(&self) -> RunResult {
        RunResult::of(&self.experiment, "", self.state, &self.finished, &self.claims)
    }

    pub(super) fn arm(&self, name: &str) -> Option<&Arm> {
        self.experiment.arms.iter().find(|arm| arm.name == name)
    }

    /// Place of an arm in the recipe; its colour everywhere.
    pub(super) fn arm_index(&self, name: &str) -> usize {
        self.experiment.arms.iter().position(|arm| arm.name == name).unwrap_or(0)
    }

    /// The run directory as the user named it, as far as known.
    pub(super) fn shown_run_dir(&self) -> String {
        let named = self.history.iter().rev().find_map(|line| match &line.event {
            Event::RunStarted(started) => Some(started.run_dir.clone()),
            _ => None,
        });
        named.unwrap_or_else(|| self.run_dir.root().display().to_string())
    }

    /// When it was first started, seconds since 1970.
    pub(super) fn started(&self) -> Option<f64> {
        self.history.first().map(|line| line.time)
    }
}

fn state_of(history: &[HistoryLine]) -> (RunState, Option<(String, Option<String>)>) {
    for line in history.iter().rev() {
        match &line.event {
            Event::RunStarted(_) => break,
            Event::RunFinished { .. } => return (RunState::Finished, None),
            Event::RunStopped { reason, resume } => {
                return (RunState::Stopped, Some((reason.clone(), Some(resume.clone()))));
            }
            Event::RunFailed { arm, seed, message } => {
                let place = match (arm, seed) {
                    (Some(arm), Some(seed)) => format!("arm {arm}, seed {seed}: "),
                    (Some(arm), None) => format!("arm {arm}: "),
                    _ => String::new(),
                };
                return (RunState::Failed, Some((format!("{place}{message}"), None)));
            }
            _ => {}
        }
    }
    (RunState::Running, None)
}

/// The last answer to each claim.
fn judged(history: &[HistoryLine]) -> Vec<Judgement> {
    let mut claims: Vec<Judgement> = Vec::new();
    for line in history {
        let Event::ClaimJudged { judgement, .. } = &line.event else { continue };
        let same =
            |known: &&mut Judgement| (&known.claim, &known.text) == (&judgement.claim, &judgement.text);
        match claims.iter_mut().find(same) {
            Some(known) => *known = judgement.clone(),
            None => claims.push(judgement.clone()),
        }
    }
    claims
}
