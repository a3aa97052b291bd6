//! What happens in a run, told while it happens.

use crate::Values;
use crate::values::number;
use serde::{Deserialize, Serialize};
use zoo_statistics::Judgement;

/// Something that happened. Steps are counted in updates that are done: the first one logged is 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The run begins, or goes on after it was stopped.
    RunStarted(RunStarted),
    /// A stage (a tokenised corpus, a trained vocabulary, …) is being computed.
    StageStarted {
        /// What it is, for people: `wordpiece.vocabulary`.
        stage: String,
        /// Key of its content, hexadecimal.
        key: String,
    },
    /// A stage was there already.
    StageReused {
        /// What it is.
        stage: String,
        /// Key of its content.
        key: String,
    },
    /// A stage was computed.
    StageFinished {
        /// What it is.
        stage: String,
        /// Key of its content.
        key: String,
        /// Seconds it took.
        seconds: f64,
        /// Bytes it has on disk.
        bytes: u64,
    },
    /// An arm begins with a seed, or goes on in the middle. Writers drop everything of this arm and
    /// seed that lies after `resumed`; without it, everything of this arm and seed.
    SeedStarted {
        /// The arm.
        arm: String,
        /// The seed.
        seed: u64,
        /// Where it goes on.
        resumed: Option<Reached>,
    },
    /// A phase begins or goes on.
    PhaseStarted {
        /// The arm.
        arm: String,
        /// The seed.
        seed: u64,
        /// The phase.
        phase: String,
        /// Updates already done.
        step: u64,
        /// Updates in all.
        total: u64,
        /// Examples in an update.
        batch: u64,
        /// Precision of the forward pass: `float32`, `bfloat16`, `float16`.
        precision: String,
    },
    /// A step was logged.
    StepLogged(StepLogged),
    /// An evaluation begins.
    EvaluationStarted {
        /// The arm.
        arm: String,
        /// The seed.
        seed: u64,
        /// The evaluation.
        evaluation: String,
        /// Examples it will see.
        examples: u64,
    },
    /// An evaluation is done.
    EvaluationFinished {
        /// The arm.
        arm: String,
        /// The seed.
        seed: u64,
        /// The phase that it is done in or after.
        phase: String,
        /// Updates of that phase that are done.
        step: u64,
        /// The evaluation.
        evaluation: String,
        /// Its results by the names of the step's logs.
        values: Values,
        /// Examples seen.
        examples: u64,
        /// Seconds it took.
        seconds: f64,
    },
    /// A checkpoint is complete on disk.
    CheckpointSaved {
        /// The arm.
        arm: String,
        /// The seed.
        seed: u64,
        /// The phase.
        phase: String,
        /// Updates of that phase that are done.
        step: u64,
        /// Which.
        kind: CheckpointKind,
        /// Where, relative to the run directory.
        path: String,
        /// Bytes.
        bytes: u64,
    },
    /// Something that the user should know.
    Warning {
        /// The arm, where it concerns one.
        arm: Option<String>,
        /// The seed, where it concerns one.
        seed: Option<u64>,
        /// What.
        message: String,
        /// What to do.
        help: Option<String>,
    },
    /// A prediction of the plan met what was measured.
    PlanMeasured {
        /// The arm.
        arm: String,
        /// What: `peak memory of training`, `peak memory of evaluation`, `seconds a step`, …
        what: String,
        /// The phase or evaluation.
        part: String,
        /// Unit of both numbers.
        measure: Measure,
        /// Predicted.
        #[serde(with = "number")]
        planned: f64,
        /// Measured.
        #[serde(with = "number")]
        measured: f64,
        /// Of memory on the CPU: what the process grew by for it, with holes of the heap and what libraries
        /// keep.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        process: Option<f64>,
    },
    /// A component gave a picture, a table or a text for the report.
    Artifact {
        /// The arm.
        arm: String,
        /// The seed.
        seed: u64,
        /// The phase.
        phase: String,
        /// Updates of that phase that are done.
        step: u64,
        /// Its name.
        name: String,
        /// `image/png`, `text/plain`, …
        media_type: String,
        /// Where, relative to the run directory.
        path: String,
    },
    /// An arm is done with a seed.
    SeedFinished {
        /// The arm.
        arm: String,
        /// The seed.
        seed: u64,
        /// The recipe's metrics.
        metrics: Values,
        /// Seconds it took, over all the times it was resumed as far as known.
        seconds: f64,
    },
    /// A claim was judged, perhaps not for the last time.
    ClaimJudged {
        /// The answer.
        judgement: Judgement,
        /// No more seeds will follow.
        last: bool,
    },
    /// Everything is done and judged.
    RunFinished {
        /// Seconds since it was started or resumed.
        seconds: f64,
    },
    /// The user or a limit stopped the run; it can be resumed.
    RunStopped {
        /// Why.
        reason: String,
        /// The command that goes on: `zoo run --resume runs/electra-1`.
        resume: String,
    },
    /// The run ended with an error.
    RunFailed {
        /// The arm, where it happened in one.
        arm: Option<String>,
        /// The seed, where it happened in one.
        seed: Option<u64>,
        /// The error with its causes.
        message: String,
    },
}

/// The run begins, or goes on after it was stopped.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunStarted {
    /// The run directory as the user named it.
    pub run_dir: String,
    /// Name of the paper in the recipe.
    pub paper: String,
    /// Its title.
    pub title: String,
    /// The recipe's file.
    pub recipe: String,
    /// The profile in force.
    pub profile: Option<String>,
    /// The arms that run, in order.
    pub arms: Vec<ArmSummary>,
    /// The seeds of every arm, in order.
    pub seeds: Vec<u64>,
    /// Titles of the claims.
    pub claims: Vec<String>,
    /// Where it computes.
    pub device: Device,
    /// Threads of libtorch.
    pub threads: u64,
    /// Threads that prepare data.
    pub loader_threads: u64,
    /// Versions of what takes part.
    pub versions: Versions,
    /// It goes on in an existing run directory.
    pub resumed: bool,
}

/// What the display says of an arm.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ArmSummary {
    /// Its name.
    pub name: String,
    /// `baseline`, `treatment` or nothing.
    pub role: Option<String>,
    /// What it is.
    pub title: String,
    /// Updates of all phases, for one seed.
    pub steps: u64,
    /// Trained parameters.
    #[serde(with = "number")]
    pub parameters: f64,
    /// Floating point operations of training, for one seed.
    #[serde(with = "number")]
    pub train_flops: f64,
}

/// Where a run computes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// `cpu`, `cuda:0`.
    pub name: String,
    /// The processor or card.
    pub model: String,
    /// Bytes of memory that it has.
    pub memory: u64,
}

/// Versions of what takes part in a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// zoo.
    pub zoo: String,
    /// libtorch.
    pub libtorch: String,
    /// Plugins: name and version.
    pub plugins: Vec<(String, String)>,
}

/// How far an arm and seed had come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reached {
    /// Phases that are complete.
    pub finished_phases: Vec<String>,
    /// The phase in progress; none between phases and after the last one.
    pub phase: Option<String>,
    /// Updates of it that are done.
    pub step: u64,
}

impl Reached {
    /// Whether what was written at this place is still true: it lies not after where the run goes on.
    pub fn includes(&self, phase: &str, step: u64) -> bool {
        self.finished_phases.iter().any(|finished| finished == phase)
            || (self.phase.as_deref() == Some(phase) && step <= self.step)
    }
}

/// Values of one step, or averages over the steps since the last one that was logged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StepLogged {
    /// The arm.
    pub arm: String,
    /// The seed.
    pub seed: u64,
    /// The phase.
    pub phase: String,
    /// Updates done, this one included.
    pub step: u64,
    /// Updates of the phase.
    pub total: u64,
    /// The step's logs by their names, and of these the ones that are known: `loss`, `learning_rate`,
    /// `grad_norm` (before clipping), `examples_per_second`, `tokens_per_second`, `seconds` (since the
    /// arm and seed began, evaluations included).
    pub values: Values,
}

/// Which checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckpointKind {
    /// To go on from.
    Last,
    /// The best by the phase's metric.
    Best,
    /// At the end of a phase.
    Phase,
    /// The end of the arm and seed.
    Final,
}

/// Unit of a planned and measured number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Bytes.
    Bytes,
    /// Seconds.
    Seconds,
    /// Floating point operations.
    Flops,
    /// A plain number.
    Count,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_flat_tagged_objects() {
        let event = Event::StepLogged(StepLogged {
            arm: "a".into(),
            seed: 1,
            phase: "pretrain".into(),
            step: 10,
            total: 100,
            values: Values::from([("loss", 2.5)]),
        });
        let text = serde_json::to_string(&event).unwrap();
        assert_eq!(
            text,
            r#"{"event":"step_logged","arm":"a","seed":1,"phase":"pretrain","step":10,"total":100,"values":{"loss":2.5}}"#
        );
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
    }

    #[test]
    fn reached_includes_what_lies_before() {
        let reached =
            Reached { finished_phases: vec!["first".into()], phase: Some("second".into()), step: 5 };
        assert!(reached.includes("first", 900));
        assert!(reached.includes("second", 5));
        assert!(!reached.includes("second", 6));
        assert!(!reached.includes("third", 0));
    }
}
