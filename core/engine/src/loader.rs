//! Threads that read batches and run the loader's part of a step ahead of the device.
//!
//! Jobs are numbered and independent of each other: what a job gives follows from its rows and their
//! place in the update alone, so the number of threads makes no difference, and batches come out in the
//! order of their numbers.

use crate::graph::{Program, releases};
use crate::step::{Batch, Moment, Runner, Values};
use crate::{EngineError, Result};
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use tch::Device;
use zoo_host::{InstanceId, Value, World};

/// What a job reads.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) moment: Moment,
    /// Indices into the data; none for an update without examples.
    pub(crate) rows: Vec<i64>,
    /// Every row is loaded for itself too.
    pub(crate) singles: bool,
}

/// Gives the job of a number; none after the last one. The same number gives the same job.
pub(crate) type Jobs = dyn Fn(u64) -> Option<Job> + Send + Sync;

/// What the threads share.
struct Shared {
    state: Mutex<State>,
    /// A batch is done, or space is free, or it is over.
    changed: Condvar,
    /// How many batches may be done or in work beyond the one that is asked for next.
    ahead: u64,
}

struct State {
    /// The job that a thread takes next.
    next: u64,
    /// The batch that is handed out next.
    wanted: u64,
    done: BTreeMap<u64, Result<Option<Batch>>>,
    closed: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, guard: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(guard).unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a loader is made.
pub(crate) struct LoaderOptions {
    /// The phase or evaluation, for messages.
    pub(crate) part: String,
    /// The data.
    pub(crate) data: InstanceId,
    /// Random choices of training are made; in an evaluation they are not.
    pub(crate) training: bool,
    /// Where batches go: for a GPU they are pinned.
    pub(crate) device: Device,
    /// At least 1.
    pub(crate) threads: usize,
    /// Batches that may wait.
    pub(crate) ahead: usize,
    /// The first job.
    pub(crate) from: u64,
}

/// Batches in order.
pub(crate) struct Loader {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// What a thread needs.
struct Worker {
    shared: Arc<Shared>,
    jobs: Arc<Jobs>,
    reader: Reader,
}

/// Reads batches, one job at a time.
pub(crate) struct Reader {
    world: Arc<World>,
    program: Arc<Program>,
    data: InstanceId,
    training: bool,
    device: Device,
    part: String,
    releases: Vec<Vec<usize>>,
}

impl Loader {
    /// Starts the threads.
    pub(crate) fn start(
        world: &Arc<World>,
        program: &Arc<Program>,
        jobs: Arc<Jobs>,
        options: &LoaderOptions,
    ) -> Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                next: options.from,
                wanted: options.from,
                done: BTreeMap::new(),
                closed: false,
            }),
            changed: Condvar::new(),
            ahead: options.ahead.max(1) as u64,
        });
        let mut loader = Self { shared: Arc::clone(&shared), threads: Vec::new() };
        for number in 0..options.threads.max(1) {
            let worker = Worker {
                shared: Arc::clone(&shared),
                jobs: Arc::clone(&jobs),
                reader: Reader::new(world, program, options),
            };
            let thread = std::thread::Builder::new()
                .name(format!("loader-{number}"))
                .spawn(move || worker.run())
                .map_err(|e| EngineError::Experiment(format!("a loader thread cannot be started: {e}")))?;
            loader.threads.push(thread);
        }
        Ok(loader)
    }

    /// The next batch; none after the last one.
    pub(crate) fn next(&mut self) -> Result<Option<Batch>> {
        let mut state = self.shared.lock();
        loop {
            let wanted = state.wanted;
            if let Some(done) = state.done.remove(&wanted) {
                state.wanted += 1;
                self.shared.changed.notify_all();
                return done;
            }
            state = self.shared.wait(state);
        }
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            // A panic was caught inside and handed over as an error.
            let _ = thread.join();
        }
    }
}

impl Worker {
    fn run(&self) {
        loop {
            let number = {
                let mut state = self.shared.lock();
                loop {
                    if state.closed {
                        return;
                    }
                    if state.next < state.wanted + self.shared.ahead {
                        break;
                    }
                    state = self.shared.wait(state);
                }
                state.next += 1;
                state.next - 1
            };
            let done = catch_unwind(AssertUnwindSafe(|| match (self.jobs)(number) {
                Some(job) => self.reader.load(&job).map(Some),
                None => Ok(None),
            }))
            .unwrap_or_else(|panic| {
                Err(EngineError::LoaderPanicked {
                    part: self.reader.part.clone(),
                    message: panic_text(&*panic),
                })
            });
            let last = !matches!(done, Ok(Some(_)));
            let mut state = self.shared.lock();
            state.done.insert(number, done);
            self.shared.changed.notify_all();
            if last {
                return;
            }
        }
    }
}

impl Reader {
    pub(crate) fn new(world: &Arc<World>, program: &Arc<Program>, options: &LoaderOptions) -> Self {
        let kept: BTreeSet<usize> = program.handed_over.iter().copied().collect();
        Self {
            world: Arc::clone(world),
            program: Arc::clone(program),
            data: options.data,
            training: options.training,
            device: options.device,
            part: options.part.clone(),
            releases: releases(&program.loader, &kept),
        }
    }

    pub(crate) fn load(&self, job: &Job) -> Result<Batch> {
        if job.rows.is_empty() {
            return Ok(Batch::empty(job.moment.first_row));
        }
        let mut batch = self.rows(&job.moment, &job.rows)?;
        if job.singles {
            for (place, row) in job.rows.iter().enumerate() {
                let first_row = job.moment.first_row + place as u64;
                let moment = Moment { first_row, part: first_row, rows: 1, ..job.moment };
                batch.singles.push(self.rows(&moment, &[*row])?);
            }
        }
        Ok(batch)
    }

    fn rows(&self, moment: &Moment, rows: &[i64]) -> Result<Batch> {
        let runner = Runner {
            world: &self.world,
            program: &self.program,
            // The loader works on the CPU; only what it hands over is made ready for the device.
            device: Device::Cpu,
            training: self.training,
            autocast: None,
            keep_rows: false,
        };
        let _mode = zoo_torch::modes::Gradients::set(false)?;
        let mut values: Values = Vec::new();
        values.resize_with(self.program.slots, || None);
        let scope = runner.scope(&"batch".into(), moment, false);
        let mut columns = self.world.read(self.data, &scope, rows)?;
        for (name, slot) in &self.program.columns {
            let place = columns.iter().position(|(column, _)| column == name).ok_or_else(|| {
                EngineError::Experiment(format!("{}: the data has no column `{name}`", self.part))
            })?;
            values[*slot] = Some(columns.swap_remove(place).1);
        }
        runner.run(&self.program.loader, &self.releases, &mut values, moment, false)?;
        let mut handed = Vec::with_capacity(self.program.handed_over.len());
        for slot in &self.program.handed_over {
            if let Some(value) = values[*slot].take() {
                handed.push((*slot, self.ready(value)?));
            }
        }
        Ok(Batch { first_row: moment.first_row, rows: rows.len(), values: handed, singles: Vec::new() })
    }

    fn ready(&self, value: Value) -> Result<Value> {
        Ok(match value {
            Value::Tensor(tensor) if self.device.is_cuda() && tensor.device() == Device::Cpu => {
                Value::Tensor(tensor.f_pin_memory(self.device)?)
            }
            other => other,
        })
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}
