//! `zoo-runner parity`: one model in full, several as a table.

use super::source::Source;
use super::{begin, ended};
use crate::arguments::{ParityArguments, PrecisionChoice};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zoo_host::Registry;
use zoo_inference::Model;
use zoo_inference::parity::{Part, Precision, Report, Tolerance, run};
use zoo_record::Exit;

const ORACLE: &str = "oracle.safetensors";

/// A model and the numbers to compare it with.
struct Compared {
    name: String,
    source: Source,
    oracle: PathBuf,
}

impl Compared {
    fn of(model: &str, oracle: Option<&Path>, offline: bool) -> Result<Self> {
        let source = Source::of(model, offline, &[ORACLE])?;
        let oracle = oracle.map_or_else(|| source.folder().join(ORACLE), Path::to_owned);
        if !oracle.is_file() {
            bail!(
                "there are no numbers to compare `{model}` with: it has no {ORACLE}, and `--oracle` names none"
            );
        }
        Ok(Self { name: model.to_owned(), source, oracle })
    }

    fn report(&self, registry: &Arc<Registry>, precision: Precision, device: tch::Device) -> Result<Report> {
        // A model of its own each time: gradients add up.
        let model = Model::open(registry, self.source.folder(), None, device)?;
        Ok(run(&model, &self.oracle, device, Tolerance::of(precision, &model))?)
    }

    /// The last part of its name.
    fn short(&self) -> &str {
        let name = self.name.trim_end_matches('/');
        name.rsplit('/').next().unwrap_or(name)
    }
}

/// The models that are compared: those given, or those inside the folders given, by name.
fn models(arguments: &ParityArguments) -> Result<Vec<Compared>> {
    if arguments.oracle.is_some() && arguments.models.len() > 1 {
        bail!("`--oracle` names the numbers of one model, and there are {}", arguments.models.len());
    }
    let mut found = Vec::new();
    for given in &arguments.models {
        let folder = Path::new(given);
        if !folder.is_dir() || folder.join("config.json").exists() {
            found.push(Compared::of(given, arguments.oracle.as_deref(), arguments.offline)?);
            continue;
        }
        let entries = std::fs::read_dir(folder).with_context(|| format!("`{given}`"))?;
        let mut inner: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.join("config.json").exists() && path.join(ORACLE).exists())
            .collect();
        if inner.is_empty() {
            bail!("`{given}` has neither config.json nor folders with config.json and {ORACLE}");
        }
        inner.sort();
        for path in inner {
            let name = path.to_str().with_context(|| format!("`{}` is no UTF-8", path.display()))?;
            found.push(Compared::of(name, None, arguments.offline)?);
        }
    }
    Ok(found)
}

fn row(report: &Report, part: Part) -> String {
    match report.worst(part) {
        Some(worst) => format!("{:>8.1e} of {:.1e}", worst.error, worst.tolerance),
        None => "-".to_owned(),
    }
}

/// Compares; succeeds where everything is equal within rounding.
pub(crate) fn parity(arguments: &ParityArguments) -> Exit {
    ended((|| {
        let models = models(arguments)?;
        let (registry, device) = begin(&arguments.how)?;
        let precisions: &[Precision] = match arguments.precision {
            PrecisionChoice::Float32 => &[Precision::Float32],
            PrecisionChoice::Bf16 => &[Precision::Bfloat16],
            PrecisionChoice::Both => &[Precision::Float32, Precision::Bfloat16],
        };
        if let ([model], [precision]) = (models.as_slice(), precisions) {
            let report = model.report(&registry, *precision, device)?;
            print!("{report}");
            let verdict = if report.passed() { "equal within rounding" } else { "not equal" };
            println!("{}: {verdict}", model.name);
            return Ok(report.passed());
        }
        let width = models.iter().map(|model| model.short().chars().count()).max().unwrap_or(0).max(6);
        println!("{:<width$}  precision  {:<19}  {:<19}  {:<19}", "model", "outputs", "loss", "gradients");
        let mut different = 0;
        for model in &models {
            for precision in precisions {
                print!("{:<width$}  {precision:<9}  ", model.short());
                match model.report(&registry, *precision, device) {
                    Ok(report) => {
                        let [outputs, loss, gradients] =
                            [Part::Output, Part::Loss, Part::Gradient].map(|part| row(&report, part));
                        let verdict = if report.passed() { "equal" } else { "DIFFERENT" };
                        println!("{outputs:<19}  {loss:<19}  {gradients:<19}  {verdict}");
                        different += usize::from(!report.passed());
                    }
                    Err(error) => {
                        println!("{}", super::in_one_line(&error));
                        different += 1;
                    }
                }
            }
        }
        let all = models.len() * precisions.len();
        println!("{} of {all} are equal within rounding", all - different);
        Ok(different == 0)
    })())
}
