//! `zoo report`

use crate::arguments::Report;
use crate::error::Wrong;
use crate::terminal::Terminal;
use anyhow::{Context, Result};
use zoo_record::{Exit, RunDir, report, write_atomic};

pub(crate) fn run(command: &Report, terminal: &mut Terminal) -> Result<Exit> {
    let run_dir = RunDir::new(&command.run_dir);
    if !run_dir.experiment().is_file() {
        let what = if command.run_dir.is_dir() { "has no `experiment.json`" } else { "is not there" };
        return Err(Wrong::new(format!("`{}` is no run directory: it {what}", command.run_dir.display()))
            .help("name the folder that `zoo run` has written, `runs/electra-mini-1` for example")
            .into());
    }
    let html = report::html(&run_dir)?;
    match &command.out {
        Some(out) if out.as_os_str() == "-" => terminal.print(&html)?,
        out => {
            let path = out.clone().unwrap_or_else(|| run_dir.report());
            write_atomic(&path, html).with_context(|| "the report cannot be written")?;
            terminal.print(&format!("{}\n", path.display()))?;
        }
    }
    Ok(Exit::Success)
}
