//! How far an arm had come.

use crate::optimizer::Scaler;
use crate::totals::SavedTotals;
use serde::{Deserialize, Serialize};
use zoo_record::Values;

/// What a resumed run needs beside tensors. Randomness and the order of the data have no state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Position {
    /// Hash of the arm and seed that it belongs to.
    pub(crate) of: String,
    /// Phases that are complete.
    pub(crate) finished: Vec<String>,
    /// Updates of these phases, and of the last one of them.
    pub(crate) updates: u64,
    pub(crate) last_step: u64,
    /// The phase in progress.
    pub(crate) phase: Option<InPhase>,
    /// Between phases: the scale of a float16 loss, where the next one continues the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) scaler: Option<Scaler>,
    /// The last results of evaluations.
    pub(crate) evaluated: Vec<Evaluated>,
    /// Seconds so far, over all the times it was resumed.
    pub(crate) seconds: f64,
}

/// How far a phase had come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct InPhase {
    pub(crate) name: String,
    /// Updates that are done.
    pub(crate) step: u64,
    /// What was added up since the last log line.
    pub(crate) window: SavedWindow,
    pub(crate) best: Option<Best>,
    /// Evaluations since then.
    pub(crate) without_better: u64,
    pub(crate) scaler: Option<Scaler>,
    /// It was stopped in the middle of the evaluations of this step, which are to be completed.
    pub(crate) unevaluated: bool,
}

/// The best value of a phase's metric.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Best {
    pub(crate) value: f64,
    /// Updates that were done.
    pub(crate) step: u64,
}

/// Sums of a log window.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct SavedWindow {
    pub(crate) totals: SavedTotals,
    /// Bits of the sums of the loss and of the gradient's norm.
    pub(crate) loss: u64,
    pub(crate) norm: u64,
    pub(crate) updates: u64,
    pub(crate) norms: u64,
}

/// The last result of an evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Evaluated {
    pub(crate) evaluation: String,
    /// The phase that it was done in or after; empty where there is none.
    pub(crate) phase: String,
    /// Updates of it that were done.
    pub(crate) step: u64,
    pub(crate) values: Values,
}
