//! Runs a checked experiment, started by the command line.

fn main() {}
