//! What a run tells and what it writes.
//!
//! The engine never prints. It tells [`Event`]s to a [`Sink`]; the command line's display is one, the
//! [`Recorder`] that writes the files of a [`RunDir`] is another, and a [`FanOut`] joins them.
//! [`report`] makes the report from these files alone.

mod atomic;
mod command;
mod environment;
mod error;
mod event;
mod exit;
mod history;
mod jsonl;
mod lock;
mod metrics;
mod recorder;
pub mod report;
mod result;
mod run_dir;
mod sink;
mod speed;
mod tensorboard;
mod values;

pub use atomic::{sync_folder, write_atomic, write_atomic_with};
pub use command::{resume_command, shell_word};
pub use environment::Environment;
pub use error::RecordError;
pub use event::{
    ArmSummary, CheckpointKind, Device, Event, Measure, Reached, RunStarted, StepLogged, Versions,
};
pub use exit::Exit;
pub use history::{FinishedSeed, HistoryLine, HistoryWriter, finished_seeds, read_history};
pub use lock::{LOCK_VERSION, Lock, LockedAsset, LockedPlugin};
pub use metrics::{MetricLine, MetricsWriter, read_metrics};
pub use recorder::Recorder;
pub use result::{ArmResult, MetricResult, RunResult, RunState, SeedValue};
pub use run_dir::{RunDir, file_name};
pub use sink::{Collect, FanOut, Sink};
pub use speed::{Speed, Speeds, cache_folder};
pub use tensorboard::TensorBoardWriter;
pub use values::Values;
