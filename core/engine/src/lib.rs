//! Runs a checked experiment: phases, steps, checkpoints, arms over seeds.
//!
//! One arm under one seed: [`run_arm`] takes an [`ArmJob`] and gives an [`ArmOutcome`].
//!
//! The engine never prints: it tells events to a sink.

// One arm under one seed.
mod arm;
mod error;

pub use arm::{ArmJob, ArmOutcome, ArmResult, PlannedMemory, StopFlag, run_arm};
pub use error::{EngineError, Result};

// The whole run.
