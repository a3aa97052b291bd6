//! `zoo report`

use crate::arguments::Report;
use crate::error::Wrong;
use crate::terminal::Terminal;
use anyhow::{Context, Result};
use std::path::Path;
use zoo_record::{Exit, RunDir, report, write_atomic};

pub(crate) fn run(command: &Report, terminal: &mut Terminal) -> Result<Exit> {
    let runs: Vec<RunDir> = command.run_dirs.iter().map(|run| run_dir(run)).collect::<Result<_>>()?;
    let out = command.out.as_deref();
    if command.table {
        let table = report::table(&runs)?;
        match out.filter(|out| out.as_os_str() != "-") {
            None => terminal.print(&table)?,
            Some(out) => write_atomic(out, table).with_context(|| "the table cannot be written")?,
        }
        return Ok(Exit::Success);
    }
    let [run_dir] = runs.as_slice() else {
        return Err(Wrong::new("a report is of one run").help("`--table` makes one table of several").into());
    };
    let html = report::html(run_dir)?;
    match out {
        Some(out) if out.as_os_str() == "-" => terminal.print(&html)?,
        out => {
            let path = out.map_or_else(|| run_dir.report(), Path::to_path_buf);
            write_atomic(&path, html).with_context(|| "the report cannot be written")?;
            terminal.print(&format!("{}\n", path.display()))?;
        }
    }
    Ok(Exit::Success)
}

fn run_dir(path: &Path) -> Result<RunDir> {
    let run_dir = RunDir::new(path);
    if run_dir.experiment().is_file() {
        return Ok(run_dir);
    }
    let what = if path.is_dir() { "has no `experiment.json`" } else { "is not there" };
    Err(Wrong::new(format!("`{}` is no run directory: it {what}", path.display()))
        .help("name the folder that `zoo run` has written, `runs/electra-mini-1` for example")
        .into())
}
