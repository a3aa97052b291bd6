//! `report.html`.

use crate::{RecordError, RunDir, write_atomic};

/// Writes `report.html` from the other files of a run directory.
pub fn write(run_dir: &RunDir) -> Result<(), RecordError> {
    write_atomic(&run_dir.report(), html(run_dir)?)
}

/// The report as text.
pub fn html(_run_dir: &RunDir) -> Result<String, RecordError> {
    Ok(String::new())
}
