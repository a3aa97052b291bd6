//! What a run tells and what it writes.
//!
//! The engine never prints. It tells [`Event`]s to a [`Sink`]; the command line's display is one, the
//! writers of the files in a [`RunDir`] are others, and a [`FanOut`] joins them.

mod atomic;
mod error;
mod event;
mod run_dir;
mod sink;
mod values;

pub use atomic::{sync_folder, write_atomic, write_atomic_with};
pub use error::RecordError;
pub use event::{
    ArmSummary, CheckpointKind, Device, Event, Measure, Reached, RunStarted, StepLogged, Versions,
};
pub use run_dir::{RunDir, file_name};
pub use sink::{Collect, FanOut, Sink};
pub use values::Values;
