//! Runs a checked experiment: phases, steps, checkpoints, arms over seeds.
//!
//! One arm under one seed: [`run_arm`] takes an [`ArmJob`] and gives an [`ArmOutcome`].
//!
//! The engine never prints: it tells events to a sink.

// One arm under one seed.
mod aggregate;
mod arithmetic;
mod arm;
mod checkpoint;
mod continuation;
mod error;
mod evaluate;
mod gather;
mod graph;
mod loader;
mod memory;
mod model;
mod observe;
mod optimizer;
mod order;
mod per_example;
mod session;
mod step;
#[cfg(test)]
mod testing;
mod totals;
mod train;
mod update;

pub use arm::{ArmJob, ArmOutcome, ArmResult, PlannedMemory, StopFlag, run_arm};
pub use error::{EngineError, Result};

// The whole run.
mod bench;
mod cache;
mod run;
mod shared_phase;
mod shared_sink;
mod stages;
mod timings;

pub use bench::{BenchPart, BenchResult, bench, matmul_peak};
pub use cache::{Cache, CacheError, Cached};
pub use run::{
    RunError, RunOptions, SideBySide, libtorch_version, read_experiment, resume, run, with_causes, work,
};
pub use shared_phase::PhaseCache;
pub use shared_sink::SharedSink;
pub use stages::{Assets, RunEnvironment};
pub use timings::Timings;
