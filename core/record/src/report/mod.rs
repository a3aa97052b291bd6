//! `report.html`: what came out of a run, in one file that needs nothing else.
//!
//! Made from the files of the run directory alone, so that it can be made again at any time, and of a
//! run that is not finished or that failed: what is missing is said, and the rest is shown. Pictures
//! are inline SVG; there is no script, and the page forbids itself to load anything.

mod artifacts;
mod chart;
mod curves;
mod environment;
mod facts;
mod markdown;
mod page;
mod tables;
mod text;
mod verdict;

pub use markdown::table;

use crate::{RecordError, RunDir, write_atomic};

/// Writes `report.html` from the other files of a run directory.
///
/// # Errors
/// As [`html`], and when the file cannot be written.
pub fn write(run_dir: &RunDir) -> Result<(), RecordError> {
    write_atomic(&run_dir.report(), html(run_dir)?)
}

/// The report as text.
///
/// # Errors
/// When the directory has no readable `experiment.json`. Other files that are missing or damaged are
/// named in the report.
pub fn html(run_dir: &RunDir) -> Result<String, RecordError> {
    let facts = facts::Facts::read(run_dir)?;
    Ok(page::page(&facts))
}
