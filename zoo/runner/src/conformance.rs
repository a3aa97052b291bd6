//! `zoo-runner conformance FILE`: the suite, as a table or as JSON.

// This command's answer is what it prints.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use crate::arguments::ConformanceArguments;
use zoo_conformance::Options;
use zoo_record::Exit;

/// Tests the plugin; fails when a check does.
pub(crate) fn run(arguments: &ConformanceArguments) -> Exit {
    let surroundings = match arguments.surroundings.as_ref().map(std::fs::read_to_string) {
        None => String::new(),
        Some(Ok(text)) => text,
        Some(Err(error)) => {
            eprintln!("error: the surroundings cannot be read: {error}");
            return Exit::Wrong;
        }
    };
    let options = Options {
        seed: arguments.seed,
        rounds: arguments.rounds,
        plugins: arguments.plugins.clone(),
        surroundings,
        assets: arguments.assets.clone(),
        ..Options::default()
    };
    let report = zoo_conformance::test(&arguments.plugin, &options);
    if arguments.json {
        match serde_json::to_string_pretty(&report) {
            Ok(text) => println!("{text}"),
            Err(error) => eprintln!("error: {error}"),
        }
    } else {
        print!("{report}");
    }
    if report.passed() { Exit::Success } else { Exit::Error }
}
