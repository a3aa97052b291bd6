//! What can go wrong while an arm runs.

use std::path::PathBuf;
use zoo_record::RecordError;

/// A result of this crate.
pub type Result<T> = std::result::Result<T, EngineError>;

/// An arm that could not be run to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// A plugin, a component, or its parameters.
    #[error(transparent)]
    Host(#[from] zoo_host::Error),
    /// A file of the run directory.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// libtorch, outside of any component.
    #[error("libtorch: {0}")]
    Torch(String),
    /// The experiment is not one that the checker gives.
    #[error("the experiment is not complete: {0}")]
    Experiment(String),
    /// A loader thread ended without saying why.
    #[error("a loader thread of {part} ended in a panic: {message}")]
    LoaderPanicked {
        /// The phase or evaluation.
        part: String,
        /// What the panic said.
        message: String,
    },
    /// A loss or gradient that is no number, or infinite.
    #[error("{}", not_finite(.0))]
    NotFinite(Box<NotFinite>),
    /// A phase over data that does not fill one update.
    #[error(
        "phase `{phase}`: an update takes {batch} examples and `{data}` has {examples}; make the batch smaller or give more data"
    )]
    TooFewExamples {
        /// The phase.
        phase: String,
        /// Instance that gives the batches.
        data: String,
        /// Examples in an update.
        batch: u64,
        /// Examples there are.
        examples: u64,
    },
    /// An evaluation without examples, or without anything that was counted.
    #[error("evaluation `{evaluation}` evaluates nothing: {reason}")]
    NothingEvaluated {
        /// The evaluation.
        evaluation: String,
        /// Why.
        reason: String,
    },
    /// An update in which no objective has a target.
    #[error(
        "phase `{phase}`, step {step}: the loss `{term}` has no target in the whole update; the batch is too small for it, or what selects targets selects none"
    )]
    NoTargets {
        /// The phase.
        phase: String,
        /// Number of the update, from 1.
        step: u64,
        /// The node of the loss.
        term: String,
    },
    /// The trial of the largest batch found too little memory.
    #[error(
        "phase `{phase}`: {rows} examples at once do not fit into memory ({reason}); a larger `accumulate` splits an update into more parts and changes nothing else"
    )]
    TooLarge {
        /// The phase.
        phase: String,
        /// Examples that were computed at once.
        rows: usize,
        /// What libtorch said.
        reason: String,
    },
    /// A checkpoint that cannot be read.
    #[error("the checkpoint {} cannot be used: {reason}", path.display())]
    Checkpoint {
        /// The folder or file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
}

/// Where the loss stopped being a number.
#[derive(Clone, Debug, PartialEq)]
pub struct NotFinite {
    /// `the loss`, `the gradient`.
    pub what: String,
    /// Its value: NaN or infinite.
    pub value: f64,
    /// The phase.
    pub phase: String,
    /// Number of the update, from 1.
    pub step: u64,
    /// Name of the data.
    pub data: String,
    /// Row indices of the update.
    pub rows: Vec<i64>,
    /// Folder of the last complete checkpoint.
    pub last_good: Option<PathBuf>,
}

fn not_finite(fault: &NotFinite) -> String {
    let shown: Vec<String> = fault.rows.iter().take(16).map(i64::to_string).collect();
    let more = fault.rows.len().saturating_sub(shown.len());
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let checkpoint = match &fault.last_good {
        Some(path) => format!("the last good checkpoint is {}", path.display()),
        None => "there is no checkpoint yet".to_owned(),
    };
    format!(
        "phase `{}`, step {}: {} is {}; the update's rows of `{}` are {}{more}; {checkpoint}",
        fault.phase,
        fault.step,
        fault.what,
        fault.value,
        fault.data,
        shown.join(", "),
    )
}

impl From<tch::TchError> for EngineError {
    fn from(error: tch::TchError) -> Self {
        Self::Torch(error.to_string().lines().next().unwrap_or_default().to_owned())
    }
}

impl From<zoo_torch::Error> for EngineError {
    fn from(error: zoo_torch::Error) -> Self {
        Self::Torch(error.to_string())
    }
}
