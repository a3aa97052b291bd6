//! Writes the report of a made-up run, to be looked at: `cargo run -p zoo-record --example report -- FOLDER`.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

#[path = "../tests/common/mod.rs"]
mod common;

use common::Sample;

fn main() {
    let folder = std::path::PathBuf::from(std::env::args().nth(1).unwrap());
    let run_dir = Sample::default().write(&folder);
    zoo_record::report::write(&run_dir).unwrap();
    println!("{}", run_dir.report().display());
}
