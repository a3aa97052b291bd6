//! The side of a process that runs arms for a run.

use super::wire::{End, FromWorker, ToWorker, receive, send};
use super::{RunError, RunOptions, WORKERS_FILE, job, lock_of, parts, with_causes};
use crate::{ArmOutcome, PhaseCache, RunEnvironment, SharedSink, StopFlag, run_arm};
use std::fs::File;
use std::io::{BufReader, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use zoo_record::{Event, Lock, LockedAsset, RecordError, RunDir, Sink};

/// Runs arms of the run directory of `options` as [`run`](super::run) asks for them on the standard input, and
/// tells of them on the standard output, until that is closed.
///
/// `stop` stops the arm in progress. `gone` is called, on another thread, when the run's process has ended: what
/// an arm does then is of no use to anyone, and a run that goes on in the same folder waits for it.
///
/// # Errors
/// A folder without a run, plugins that do not load, and what a stream does. Errors of arms are told to the run.
pub fn work(
    options: &RunOptions,
    stop: &StopFlag,
    gone: impl FnOnce() + Send + 'static,
) -> Result<(), RunError> {
    let run_dir = RunDir::new(&options.run_dir);
    let _held = lock_of(&run_dir, WORKERS_FILE, File::try_lock_shared)?;
    let experiment = parts::read_experiment(&run_dir)?;
    let lock = Lock::read(&run_dir.lock())?;
    let (registry, _) = parts::load(&experiment, options, Some(&lock))?;
    let registry = Arc::new(registry);
    let (taken, told) = channel();
    let (jobs, wanted) = channel();
    listen(stop.clone(), taken, jobs, gone)?;
    let line = Line(Arc::new(Mutex::new(told)));
    let mut sink = SharedSink::new(line.clone());
    let phases = options.share_phases.then(|| PhaseCache::new(&options.assets.store.options().cache));
    let environment =
        Arc::new(RunEnvironment::new(options.assets.clone(), sink.clone(), stop.clone(), &lock.assets));
    for Wanted { arm, seed, resume, assets } in wanted {
        environment.expect(&assets);
        let how = match experiment.arms.iter().find(|known| known.name == arm) {
            None => End::Failed { message: "the experiment has no such arm".into() },
            Some(arm) => {
                let job = job(
                    &experiment,
                    arm,
                    seed,
                    &run_dir,
                    &registry,
                    &environment,
                    options,
                    &mut sink,
                    stop,
                    resume,
                    phases.as_ref(),
                );
                match run_arm(job) {
                    Ok(ArmOutcome::Finished(result)) => result.into(),
                    Ok(ArmOutcome::Stopped) => End::Stopped,
                    Err(error) => End::Failed { message: with_causes(&error) },
                }
            }
        };
        line.say(&FromWorker::Ended { how, assets: environment.locked() });
    }
    Ok(())
}

struct Wanted {
    arm: String,
    seed: u64,
    resume: bool,
    assets: Vec<LockedAsset>,
}

fn listen(
    stop: StopFlag,
    taken: Sender<()>,
    jobs: Sender<Wanted>,
    gone: impl FnOnce() + Send + 'static,
) -> Result<(), RunError> {
    let listening = move || {
        let mut from = BufReader::new(std::io::stdin());
        // Whatever is no message ends it as the end of the stream does: there is nobody to answer.
        while let Ok(Some(message)) = receive(&mut from, |_| ()) {
            let heard = match message {
                ToWorker::Taken => taken.send(()).is_ok(),
                ToWorker::Stop => {
                    stop.stop();
                    true
                }
                ToWorker::Job { arm, seed, resume, assets } => {
                    jobs.send(Wanted { arm, seed, resume, assets }).is_ok()
                }
            };
            if !heard {
                break;
            }
        }
        gone();
    };
    let spawned = std::thread::Builder::new().name("run".into()).spawn(listening);
    spawned.map(|_| ()).map_err(|error| RunError::Hire(format!("cannot listen: {error}")))
}

/// Tells the run, and waits until it has taken it down.
#[derive(Clone)]
struct Line(Arc<Mutex<Receiver<()>>>);

impl Line {
    fn say(&self, message: &FromWorker) {
        // A run that is gone is noticed by the thread that listens.
        let mut stdout = std::io::stdout().lock();
        let _ = send(&mut stdout, message);
        let _ = stdout.flush();
    }
}

impl Sink for Line {
    fn event(&mut self, event: &Event) {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        self.say(&FromWorker::Event(Box::new(event.clone())));
        let _ = told.recv();
    }

    /// What the run could not write it asks everyone to stop for.
    fn failure(&mut self) -> Option<RecordError> {
        None
    }
}
