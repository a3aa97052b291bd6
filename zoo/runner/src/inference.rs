//! `zoo-runner parity DIR` and `zoo-runner embed --model DIR`.

// These commands' answers are what they print.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use crate::arguments::{EmbedArguments, InferenceHow, ParityArguments};
use crate::machine;
use anyhow::{Context, Result};
use std::io::{BufRead, Write};
use std::sync::Arc;
use zoo_host::{PluginPath, Registry};
use zoo_inference::{Model, embedding::Embedder, parity as compare};
use zoo_record::Exit;

/// Lines that are read before their vectors are written.
const LINES: usize = 1024;

fn ended(done: Result<bool>) -> Exit {
    match done {
        Ok(true) => Exit::Success,
        Ok(false) => Exit::Error,
        Err(error) => {
            eprintln!("error: {error:#}");
            Exit::Wrong
        }
    }
}

fn begin(how: &InferenceHow) -> Result<(Arc<Registry>, tch::Device)> {
    if let Some(threads) = how.threads {
        tch::set_num_threads(i32::try_from(threads).unwrap_or(1));
    }
    let (device, _) = machine::choose(how.device)?;
    let paths: Vec<PluginPath> =
        how.plugins.iter().map(|path| PluginPath { path: path.clone(), hash: None }).collect();
    Ok((Arc::new(Registry::load(&paths)?), device))
}

/// Compares; succeeds where everything is equal within rounding.
pub(crate) fn parity(arguments: &ParityArguments) -> Exit {
    ended((|| {
        let (registry, device) = begin(&arguments.how)?;
        let model = Model::open(&registry, &arguments.folder, None, device)?;
        let oracle = arguments.folder.join("oracle.safetensors");
        let report = compare::run(&model, &oracle, device, compare::Tolerance::default())?;
        print!("{report}");
        let verdict = if report.passed() { "equal within rounding" } else { "not equal" };
        println!("{}: {verdict}", arguments.folder.display());
        Ok(report.passed())
    })())
}

/// Lines in, JSON lines out.
pub(crate) fn embed(arguments: &EmbedArguments) -> Exit {
    ended((|| {
        let (registry, device) = begin(&arguments.how)?;
        let embedder = Embedder::open(&registry, &arguments.model, device)?;
        let mut lines = std::io::stdin().lock().lines();
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        loop {
            let texts: Vec<String> =
                lines.by_ref().take(LINES).collect::<std::io::Result<_>>().context("standard input")?;
            if texts.is_empty() {
                break;
            }
            for vector in embedder.embed(&texts)? {
                serde_json::to_writer(&mut out, &vector)?;
                out.write_all(b"\n")?;
            }
            out.flush()?;
        }
        Ok(true)
    })())
}
