//! The command line.
//!
//! `zoo` reads, checks and explains recipes. It links no libtorch and loads no plugin: schemas come from
//! the sections of plugin files. What computes is started as a program of its own, `zoo-runner`, which
//! lies beside it.

mod arguments;
mod commands;
mod error;
mod recipe;
mod terminal;

use crate::arguments::{Arguments, Command};
use crate::error::Wrong;
use crate::terminal::Terminal;
use clap::Parser;
use std::process::ExitCode;
use zoo_record::Exit;

// A check makes and forgets hundreds of thousands of small values on one thread a profile; with the
// system's allocator a third of its time goes there.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // `--help` and `--version` are errors to clap, and none to the user.
            let exit = if error.use_stderr() { Exit::Wrong } else { Exit::Success };
            let _ = error.print();
            return exit.into();
        }
    };
    let mut terminal = Terminal::new(arguments.color);
    let done = match &arguments.command {
        Command::Check(command) => commands::check::run(command, &arguments, &mut terminal),
        Command::Fmt(command) => commands::fmt::run(command, &mut terminal),
        Command::Explain(command) => commands::explain::run(command, &arguments, &mut terminal),
        Command::Why(command) => commands::why::run(command, &arguments, &mut terminal),
        Command::Plan(command) => commands::plan::run(command, &arguments, &mut terminal),
        Command::Graph(command) => commands::graph::run(command, &arguments, &mut terminal),
        Command::Run(command) => commands::run::run(command, &arguments, &mut terminal),
        Command::Bench(command) => commands::run::bench(command, &arguments, &mut terminal),
        Command::Parity(command) => commands::inference::parity(command, &arguments),
        Command::Embed(command) => commands::inference::embed(command, &arguments),
        Command::FillMask(command) => commands::inference::fill_mask(command, &arguments),
        Command::Classify(command) => commands::inference::classify(command, &arguments),
        Command::Generate(command) => commands::inference::generate(command, &arguments, &mut terminal),
        Command::Report(command) => commands::report::run(command, &mut terminal),
        Command::Plugin(command) => commands::plugin::run(command, &arguments, &mut terminal),
        Command::Schema(command) => commands::schema::run(command, &arguments, &mut terminal),
    };
    match done {
        Ok(exit) => exit.into(),
        // Whoever reads has seen enough: `zoo explain | head`.
        Err(error) if error::is_broken_pipe(&error) => Exit::Success.into(),
        Err(error) => {
            terminal.error(&error);
            let exit = if error.is::<Wrong>() { Exit::Wrong } else { Exit::Error };
            exit.into()
        }
    }
}
