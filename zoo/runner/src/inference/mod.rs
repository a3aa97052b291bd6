//! What is done with one checkpoint: `zoo-runner parity`, `embed`, `fill-mask`, `classify` and `generate`.

// These commands' answers are what they print.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod attached;
mod generate;
mod parity;
mod source;

pub(crate) use generate::generate;
pub(crate) use parity::parity;

use crate::arguments::{
    ClassifyArguments, EmbedArguments, FillMaskArguments, InferenceHow, ModelChoice, Printed,
};
use crate::machine;
use anyhow::{Context, Result, bail};
use serde_json::{Value as Json, json};
use source::Source;
use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal, Lines, StdoutLock, Write};
use std::sync::Arc;
use zoo_host::{PluginPath, Registry};
use zoo_inference::classification::{Classified, Classifier, Scored, Tagged, entities};
use zoo_inference::embedding::Embedder;
use zoo_inference::fill_mask::MaskFiller;
use zoo_record::Exit;

/// Lines that are read before their answers are written.
const LINES: usize = 1024;

/// The reasons one after the other, without those that the one before tells already.
fn in_one_line(error: &anyhow::Error) -> String {
    let mut told = String::new();
    for reason in error.chain().map(ToString::to_string) {
        if told.is_empty() {
            told = reason;
        } else if !told.contains(&reason) {
            told = format!("{told}: {reason}");
        }
    }
    told
}

fn ended(done: Result<bool>) -> Exit {
    match done {
        Ok(true) => Exit::Success,
        Ok(false) => Exit::Error,
        Err(error) => {
            let pipe = error.chain().filter_map(|e| e.downcast_ref::<std::io::Error>());
            if pipe.into_iter().any(|e| e.kind() == std::io::ErrorKind::BrokenPipe) {
                // Whoever reads has seen enough.
                return Exit::Success;
            }
            eprintln!("error: {}", in_one_line(&error));
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

/// Plugins, device and the folder of the model.
fn open(model: &ModelChoice, how: &InferenceHow) -> Result<(Arc<Registry>, tch::Device, Source)> {
    let source = Source::of(&model.model, model.offline, &[])?;
    let (registry, device) = begin(how)?;
    Ok((registry, device, source))
}

/// Lines of a file or of standard input, some at a time.
struct Input {
    lines: Lines<Box<dyn BufRead>>,
    place: String,
    terminal: bool,
}

impl Input {
    fn open(model: &ModelChoice) -> Result<Self> {
        Ok(match model.input.as_deref().filter(|path| path.as_os_str() != "-") {
            Some(path) => {
                let place = path.display().to_string();
                let file = File::open(path).with_context(|| format!("`{place}` cannot be read"))?;
                let reader: Box<dyn BufRead> = Box::new(BufReader::new(file));
                Self { lines: reader.lines(), place, terminal: false }
            }
            None => {
                let terminal = std::io::stdin().is_terminal();
                let reader: Box<dyn BufRead> = Box::new(BufReader::new(std::io::stdin()));
                Self { lines: reader.lines(), place: "the standard input".to_owned(), terminal }
            }
        })
    }

    /// Up to `count` lines, one at a time where a person types them; empty at the end.
    fn some(&mut self, count: usize) -> Result<Vec<String>> {
        let count = if self.terminal { 1 } else { count };
        let lines = self.lines.by_ref().take(count).collect::<std::io::Result<_>>();
        lines.with_context(|| format!("{} cannot be read", self.place))
    }
}

/// Standard output, and whether it gets JSON: where a program reads it, or the user says so.
struct Output {
    out: std::io::BufWriter<StdoutLock<'static>>,
    json: bool,
}

impl Output {
    fn new(printed: &Printed) -> Self {
        let out = std::io::stdout().lock();
        let json = printed.json || !out.is_terminal();
        Self { out: std::io::BufWriter::new(out), json }
    }

    fn json(&mut self, value: &Json) -> Result<()> {
        serde_json::to_writer(&mut self.out, value)?;
        Ok(self.out.write_all(b"\n")?)
    }
}

/// Lines in, JSON lines out.
pub(crate) fn embed(arguments: &EmbedArguments) -> Exit {
    ended((|| {
        let (registry, device, source) = open(&arguments.model, &arguments.how)?;
        let embedder = Embedder::open(&registry, source.folder(), device)?;
        let mut input = Input::open(&arguments.model)?;
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        loop {
            let texts = input.some(LINES)?;
            if texts.is_empty() {
                return Ok(true);
            }
            for vector in embedder.embed(&texts)? {
                serde_json::to_writer(&mut out, &vector)?;
                out.write_all(b"\n")?;
            }
            out.flush()?;
        }
    })())
}

/// The likeliest tokens for each mask of each line.
pub(crate) fn fill_mask(arguments: &FillMaskArguments) -> Exit {
    ended((|| {
        let (registry, device, source) = open(&arguments.model, &arguments.how)?;
        let filler = MaskFiller::open(&registry, source.folder(), device)?;
        let mut input = Input::open(&arguments.model)?;
        let mut output = Output::new(&arguments.printed);
        loop {
            let texts = input.some(LINES)?;
            if texts.is_empty() {
                return Ok(true);
            }
            for (text, masks) in texts.iter().zip(filler.fill(&texts, arguments.top)?) {
                if output.json {
                    output.json(&json!({ "text": text, "masks": masks }))?;
                    continue;
                }
                writeln!(output.out, "{text}")?;
                for (number, fillings) in masks.iter().enumerate() {
                    if masks.len() > 1 {
                        writeln!(output.out, "  {} {}", filler.mask(), number + 1)?;
                    }
                    for filling in fillings {
                        writeln!(output.out, "  {:>6.2} %  {}", 100.0 * filling.score, filling.token_str)?;
                    }
                }
            }
            output.out.flush()?;
        }
    })())
}

/// Classes of lines, or of their tokens.
pub(crate) fn classify(arguments: &ClassifyArguments) -> Exit {
    ended((|| {
        let (registry, device, source) = open(&arguments.model, &arguments.how)?;
        let classifier = Classifier::open(&registry, source.folder(), device)?;
        let mut input = Input::open(&arguments.model)?;
        let mut output = Output::new(&arguments.printed);
        loop {
            let lines = input.some(LINES)?;
            if lines.is_empty() {
                return Ok(true);
            }
            let mut texts = Vec::with_capacity(lines.len());
            for line in lines {
                texts.push(match line.split_once('\t') {
                    Some((text, pair)) if arguments.pairs => (text.to_owned(), Some(pair.to_owned())),
                    None if arguments.pairs => {
                        bail!("`{line}` is no pair: a tab parts the two texts of a line")
                    }
                    _ => (line, None),
                });
            }
            for ((text, pair), classified) in texts.iter().zip(classifier.classify(&texts)?) {
                match classified {
                    Classified::Text(classes) => print_classes(&mut output, text, pair.as_deref(), &classes)?,
                    Classified::Tokens(tokens) => {
                        let joined = if arguments.entities { entities(text, &tokens) } else { tokens };
                        print_tokens(&mut output, text, &joined, arguments.entities)?;
                    }
                }
            }
            output.out.flush()?;
        }
    })())
}

fn print_classes(output: &mut Output, text: &str, pair: Option<&str>, classes: &[Scored]) -> Result<()> {
    if output.json {
        let mut line = json!({ "text": text });
        if let Some(pair) = pair {
            line["pair"] = pair.into();
        }
        line["labels"] = serde_json::to_value(classes)?;
        return output.json(&line);
    }
    writeln!(output.out, "{text}{}", pair.map(|pair| format!("\t{pair}")).unwrap_or_default())?;
    for class in classes {
        writeln!(output.out, "  {:>6.2} %  {}", 100.0 * class.score, class.label)?;
    }
    Ok(())
}

fn print_tokens(output: &mut Output, text: &str, tokens: &[Tagged], entities: bool) -> Result<()> {
    if output.json {
        let name = if entities { "entities" } else { "tokens" };
        return output.json(&json!({ "text": text, name: tokens }));
    }
    writeln!(output.out, "{text}")?;
    for token in tokens {
        writeln!(output.out, "  {:>6.2} %  {}  {}", 100.0 * token.score, token.entity, token.word)?;
    }
    Ok(())
}
