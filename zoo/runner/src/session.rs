//! One call of the runner, from its arguments to its exit code.

use crate::arguments::{BenchArguments, DeviceChoice, How, ResumeArguments, RunArguments, WorkArguments};
use crate::display::{Display, Out, verdict::verdict};
use crate::side_by_side::{self, Shape};
use crate::{logging, machine};
use anyhow::{Context, Result};
use serde_json::json;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use zoo_engine::{RunError, RunOptions, StopFlag, with_causes};
use zoo_record::{Device, Environment, Exit, FinishedSeed, RunDir, RunResult, RunState, resume_command};
use zoo_schema::experiment::Experiment;

/// `zoo-runner run`
pub(crate) fn run(arguments: RunArguments) -> Exit {
    let RunArguments { experiment, out, seeds, jobs, how } = arguments;
    let json = how.json;
    finish(json, &out, || {
        let mut experiment = read_experiment(&experiment).map_err(wrong)?;
        if let Some(seeds) = seeds {
            experiment.seeds = seeds;
        }
        let session =
            Session::begin(&experiment, &out, how, Vec::new(), None, Kind::Run { jobs, changed: false })?;
        let ended = zoo_engine::run(&experiment, session.options, session.display, &session.stop);
        session.say.ended(&experiment, ended)
    })
}

/// `zoo-runner resume`
pub(crate) fn resume(arguments: ResumeArguments) -> Exit {
    let ResumeArguments { run_dir: out, seeds, allow_changed_plugins, jobs, how } = arguments;
    let json = how.json;
    finish(json, &out, || {
        let run_dir = RunDir::new(&out);
        let experiment = zoo_engine::read_experiment(&run_dir).map_err(wrong)?;
        let history = zoo_record::read_history(&run_dir.events()).map_err(failed)?;
        let finished = zoo_record::finished_seeds(&history);
        let before = Environment::read(&run_dir.environment()).ok();
        let kind = Kind::Run { jobs, changed: allow_changed_plugins };
        let session = Session::begin(&experiment, &out, how, finished, before, kind)?;
        let experiment = Experiment { seeds: seeds.unwrap_or(experiment.seeds), ..experiment };
        let ended = zoo_engine::resume(session.options, seeds, session.display, &session.stop);
        session.say.ended(&experiment, ended)
    })
}

/// `zoo-runner bench`
pub(crate) fn bench(arguments: BenchArguments) -> Exit {
    let BenchArguments { experiment, arm, steps, how } = arguments;
    let json = how.json;
    let folder = match tempfile::tempdir() {
        Ok(folder) => folder,
        Err(error) => {
            Out::Error.line(&format!("error: there is no folder for what the measurement writes: {error}"));
            return Exit::Error;
        }
    };
    finish(json, folder.path(), || {
        let experiment = read_experiment(&experiment).map_err(wrong)?;
        let arm = match (&arm, experiment.arms.as_slice()) {
            (Some(name), _) => name.clone(),
            (None, [only]) => only.name.clone(),
            (None, arms) => {
                let names: Vec<&str> = arms.iter().map(|arm| arm.name.as_str()).collect();
                return Err(wrong(anyhow::anyhow!("name one arm with `--arm`: {}", names.join(", "))));
            }
        };
        let session = Session::begin(&experiment, folder.path(), how, Vec::new(), None, Kind::Bench)?;
        let result = zoo_engine::bench(&experiment, &arm, steps, session.options, &session.stop);
        let result = result.map_err(failed)?;
        session.say.out.line(crate::bench::text(&result).trim_end());
        if session.say.json {
            Out::Standard.line(&serde_json::to_string(&result).map_err(failed)?);
        }
        Ok(Exit::Success)
    })
}

/// `zoo-runner work`
pub(crate) fn work(arguments: WorkArguments) -> Exit {
    let WorkArguments { run_dir: out, allow_changed_plugins, how } = arguments;
    finish(false, &out, || {
        let experiment = zoo_engine::read_experiment(&RunDir::new(&out)).map_err(wrong)?;
        let stop = StopFlag::new();
        take_signals(&stop, None).map_err(failed)?;
        logging::start(how.verbose, None);
        let (device, device_facts) =
            machine::choose(how.device.unwrap_or(DeviceChoice::Auto)).map_err(wrong)?;
        let threads = how.threads.map_or_else(machine::cores, |threads| threads as usize);
        let options =
            options(&experiment, &out, &how, device, device_facts, threads, 1, Vec::new()).map_err(failed)?;
        let options = RunOptions { allow_changed: allow_changed_plugins, ..options };
        let gone = || zoo_torch::process::exit_now(Exit::Stopped.code());
        zoo_engine::work(&options, &stop, gone).map_err(failed)?;
        Ok(Exit::Success)
    })
}

/// An error with the exit code that it ends in.
struct Ended {
    exit: Exit,
    error: anyhow::Error,
}

fn wrong(error: impl Into<anyhow::Error>) -> Ended {
    Ended { exit: Exit::Wrong, error: error.into() }
}

fn failed(error: impl Into<anyhow::Error>) -> Ended {
    Ended { exit: Exit::Error, error: error.into() }
}

fn finish(json: bool, out: &Path, work: impl FnOnce() -> Result<Exit, Ended>) -> Exit {
    match work() {
        Ok(exit) => exit,
        Err(Ended { exit, error }) => {
            let message = with_causes(&*error);
            Out::Error.line(&format!("error: {message}"));
            if json {
                let object = json!({ "run_dir": out, "state": RunState::Failed, "error": message });
                Out::Standard.line(&object.to_string());
            }
            exit
        }
    }
}

fn read_experiment(path: &Path) -> Result<Experiment> {
    let text = if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .context("cannot read the experiment from standard input")?;
        text
    } else {
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?
    };
    serde_json::from_str(&text)
        .with_context(|| format!("{} is no experiment as `zoo` writes it", path.display()))
}

/// Everything that a run needs beside its experiment.
struct Session {
    options: RunOptions,
    display: Display,
    stop: StopFlag,
    say: Say,
}

/// How the end is told.
struct Say {
    out: Out,
    json: bool,
    /// The command that goes on with the run.
    resume: String,
}

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// With so many jobs at once; `changed`: it may go on with other parts than it began with.
    Run {
        jobs: Option<u64>,
        changed: bool,
    },
    Bench,
}

impl Session {
    fn begin(
        experiment: &Experiment,
        out: &Path,
        how: How,
        finished: Vec<FinishedSeed>,
        before: Option<Environment>,
        kind: Kind,
    ) -> Result<Self, Ended> {
        let command = if how.typed.is_empty() { std::env::args().collect() } else { how.typed.clone() };
        let resume = resume_command(out, &command);
        let stop = StopFlag::new();
        take_signals(&stop, Some(resume.clone())).map_err(failed)?;
        let say = Say { out: if how.json { Out::Error } else { Out::Standard }, json: how.json, resume };
        let display = Display::new(experiment, finished, say.out);
        logging::start(how.verbose, display.bars());
        // A run that goes on computes where and with as many threads as it began: other sums round otherwise.
        let choice = how.device.or_else(|| before.as_ref().and_then(|b| b.device.name.parse().ok()));
        let (device, device_facts) = machine::choose(choice.unwrap_or(DeviceChoice::Auto)).map_err(wrong)?;
        let threads = before.as_ref().map(|before| before.threads);
        let shape = match kind {
            Kind::Run { jobs, .. } => {
                let threads = how.threads.or(threads.filter(|threads| *threads > 0));
                side_by_side::shape(experiment, side_by_side::given(&device_facts, jobs, threads))
            }
            // One arm is measured, with the machine for itself.
            Kind::Bench => {
                let threads = how.threads.map_or_else(machine::cores, |threads| threads as usize);
                Shape { processes: 1, threads }
            }
        };
        let processes = shape.processes;
        let facts = device_facts.clone();
        let options = options(experiment, out, &how, device, device_facts, shape.threads, processes, command)
            .map_err(failed)?;
        let allow_changed = matches!(kind, Kind::Run { changed: true, .. });
        let crew = side_by_side::crew(shape, out, &facts, options.loader_threads, &how, allow_changed);
        let options = RunOptions { allow_changed, side_by_side: crew.map_err(failed)?, ..options };
        Ok(Self { options, display, stop, say })
    }
}

/// What the engine is told, and libtorch its threads.
#[allow(clippy::too_many_arguments)]
fn options(
    experiment: &Experiment,
    out: &Path,
    how: &How,
    device: tch::Device,
    device_facts: Device,
    threads: usize,
    processes: usize,
    command: Vec<String>,
) -> Result<RunOptions, zoo_torch::Error> {
    zoo_torch::modes::set_threads(threads)?;
    let loader_threads = how
        .loader_threads
        .map_or_else(|| (machine::loader_threads(device) / processes).max(1), |count| count as usize);
    Ok(RunOptions {
        run_dir: out.to_owned(),
        command,
        device,
        device_facts,
        threads,
        loader_threads,
        assets: crate::assets::of(experiment, how.offline),
        share_phases: !how.alone,
        allow_changed: false,
        paranoid: how.paranoid,
        side_by_side: None,
    })
}

impl Say {
    fn ended(&self, experiment: &Experiment, ended: Result<RunResult, RunError>) -> Result<Exit, Ended> {
        let result = ended.map_err(|error| match error {
            RunError::NotEmpty(_)
            | RunError::NoRun(_)
            | RunError::Claim { .. }
            | RunError::CostsDiffer { .. }
            | RunError::Nothing(_)
            | RunError::FewerSeeds { .. } => wrong(error),
            _ => failed(error),
        })?;
        let report = RunDir::new(&result.run_dir).report();
        self.out.line(&verdict(
            experiment,
            &result,
            &report.display().to_string(),
            &self.resume,
            self.out.colours(),
        ));
        if result.state == RunState::Stopped {
            self.out.line(&format!("Stopped. To go on: {}", self.resume));
        }
        if self.json {
            Out::Standard.line(&serde_json::to_string(&result).map_err(failed)?);
        }
        Ok(match result.state {
            RunState::Finished if experiment.control.is_some() => Exit::of_control(&result.claims),
            RunState::Finished => Exit::of_claims(&result.claims),
            RunState::Failed => Exit::Error,
            RunState::Running | RunState::Stopped => Exit::Stopped,
        })
    }
}

/// The first Ctrl-C finishes the update and saves, the second ends at once. Without a command that goes on with the
/// run, it is for another process to say so.
fn take_signals(stop: &StopFlag, resume: Option<String>) -> Result<()> {
    static ASKED: AtomicBool = AtomicBool::new(false);
    let stop = stop.clone();
    ctrlc::set_handler(move || {
        if ASKED.swap(true, Ordering::SeqCst) {
            zoo_torch::process::exit_now(Exit::Stopped.code());
        }
        stop.stop();
        if let Some(resume) = &resume {
            Out::Error.line(&format!(
                "\nFinishing the step and saving; again to end at once. To go on later: {resume}"
            ));
        }
    })
    .context("cannot take Ctrl-C")
}
