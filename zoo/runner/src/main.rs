//! Runs a checked experiment, started by the command line.
//!
//! The engine tells events; this program shows them, sets up device and threads, takes Ctrl-C, and says
//! by its exit code how it ended ([`zoo_record::Exit`]).

mod arguments;
mod assets;
mod bench;
mod conformance;
mod display;
mod inference;
mod logging;
mod machine;
mod session;
mod side_by_side;

use arguments::{Arguments, Command};
use clap::Parser;
use std::io::Write;

fn main() {
    // A wrong command line ends in clap with code 2, as `Exit::Wrong`.
    let exit = match Arguments::parse().command {
        Command::Run(arguments) => session::run(arguments),
        Command::Resume(arguments) => session::resume(arguments),
        Command::Work(arguments) => session::work(arguments),
        Command::Conformance(arguments) => conformance::run(&arguments),
        Command::Parity(arguments) => inference::parity(&arguments),
        Command::Embed(arguments) => inference::embed(&arguments),
        Command::FillMask(arguments) => inference::fill_mask(&arguments),
        Command::Classify(arguments) => inference::classify(&arguments),
        Command::Generate(arguments) => inference::generate(&arguments),
        Command::Bench(arguments) => session::bench(arguments),
    };
    // Everything is on disk. Threads and libraries of plugins are not waited for, nor their destructors run.
    let _ = std::io::stdout().flush();
    zoo_torch::process::exit_now(exit.code());
}
