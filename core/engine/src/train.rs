//! A phase of training.

use crate::aggregate::Aggregation;
use crate::checkpoint::{Best, InPhase, SavedWindow, read_models};
use crate::continuation::{Carried, Chain, is_continued};
use crate::error::NotFinite;
use crate::graph::{Program, compile};
use crate::loader::{Job, Loader, LoaderOptions, Reader};
use crate::memory::bytes;
use crate::optimizer::{Optimizer, Scaler, defined};
use crate::order::DataOrder;
use crate::session::{Session, autocast, is_cancelled, precision_name};
use crate::shared_phase::PhaseFacts;
use crate::step::{Batch, Moment, Runner, TRIAL};
use crate::timings::{Part, timed};
use crate::totals::{Sums, Totals};
use crate::update::{At, Updater};
use crate::{EngineError, Result};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tch::{Device, Kind, Tensor};
use zoo_host::World;
use zoo_record::{CheckpointKind, Event, StepLogged, Values};
use zoo_schema::experiment::{Evaluation, Phase};
use zoo_torch::lists;

/// Updates whose batches may wait for the device.
const UPDATES_AHEAD: usize = 4;
/// Parts among which the largest one is looked for before a phase begins.
const TRIAL_PARTS: usize = 8;

/// How a phase ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PhaseEnd {
    /// It is complete, and a checkpoint of it is on its way to the disk.
    Complete,
    /// It was asked to stop, and a checkpoint of this moment is on the disk.
    Stopped,
}

/// What is added up between log lines.
struct Window {
    totals: Totals,
    /// Sums of the loss and of the gradient's norm.
    sums: Sums,
    updates: u64,
    norms: u64,
    /// First update since the last log line.
    from: u64,
    /// For speed alone: not saved.
    rows: u64,
    tokens: u64,
    seconds: f64,
}

const LOSS: usize = 0;
const NORM: usize = 1;

impl Window {
    fn new(program: &Program, from: u64) -> Self {
        Self {
            totals: Totals::new(program),
            sums: Sums::new(2),
            updates: 0,
            norms: 0,
            from,
            rows: 0,
            tokens: 0,
            seconds: 0.0,
        }
    }

    fn save(&mut self) -> Result<SavedWindow> {
        let sums = self.sums.read()?;
        let (loss, norm) = (sums[LOSS].to_bits(), sums[NORM].to_bits());
        let totals = self.totals.save()?;
        Ok(SavedWindow { totals, loss, norm, updates: self.updates, norms: self.norms })
    }

    fn restore(&mut self, saved: &SavedWindow) {
        self.totals.restore(&saved.totals);
        self.sums.add_number(LOSS, f64::from_bits(saved.loss));
        self.sums.add_number(NORM, f64::from_bits(saved.norm));
        self.updates = saved.updates;
        self.norms = saved.norms;
    }
}

/// Numbers that must be finite and are looked at when the device is waited for anyway.
#[derive(Default)]
struct Watch {
    open: Vec<(u64, &'static str, Tensor)>,
}

impl Watch {
    fn add(&mut self, step: u64, what: &'static str, value: &Tensor) {
        self.open.push((step, what, value.shallow_clone()));
    }

    /// The first number that is not finite: update (from 0), what it is, its value.
    fn first_wrong(&mut self) -> Result<Option<(u64, &'static str, f64)>> {
        let open = std::mem::take(&mut self.open);
        let scalars = open
            .iter()
            .map(|(_, _, value)| Ok(value.f_reshape([0_i64; 0])?.f_to_kind(Kind::Double)?))
            .collect::<Result<Vec<_>>>()?;
        let values = match scalars.as_slice() {
            [] => Vec::new(),
            [one] => vec![one.f_double_value(&[])?],
            many => Vec::<f64>::try_from(Tensor::f_stack(many, 0)?.f_to_device(Device::Cpu)?)?,
        };
        let wrong = open.into_iter().zip(values).find(|(_, value)| !value.is_finite());
        Ok(wrong.map(|((step, what, _), value)| (step, what, value)))
    }
}

/// Batches in order, with a look ahead.
struct Feed {
    loader: Loader,
    waiting: VecDeque<Batch>,
}

impl Feed {
    fn part(&mut self) -> Result<Option<Batch>> {
        match self.waiting.pop_front() {
            Some(batch) => Ok(Some(batch)),
            None => self.loader.next(),
        }
    }

    /// The largest of the next parts, which stay where they are.
    fn largest(&mut self, among: usize) -> Result<Option<&Batch>> {
        while self.waiting.len() < among {
            match self.loader.next()? {
                Some(batch) => self.waiting.push_back(batch),
                None => break,
            }
        }
        // The first of the largest.
        Ok(self.waiting.iter().rev().max_by_key(|batch| batch.elements()))
    }
}

/// A phase while it runs.
struct Training<'p> {
    phase: &'p Phase,
    program: &'p Arc<Program>,
    optimizer: Optimizer<'p>,
    order: DataOrder,
    /// Updates of the phases that it continues.
    earlier: u64,
    /// Weighs the gradients of single examples.
    aggregation: Option<Aggregation<'p>>,
    total: u64,
    step: u64,
    /// Updates of the phases before.
    before: u64,
    autocast: Option<Kind>,
    window: Window,
    watch: Watch,
    scaler: Option<Scaler>,
    best: Option<Best>,
    without_better: u64,
    /// Stopped in the middle of the evaluations of this step.
    unevaluated: bool,
    began: Instant,
}

impl Session<'_> {
    /// Trains a phase to its end, or from where a checkpoint left it.
    pub(crate) fn train(&mut self, phase: &Phase, resumed: Option<(&InPhase, &Path)>) -> Result<PhaseEnd> {
        let world = Arc::clone(&self.world);
        let program = Arc::new(compile(&phase.step, &self.instances)?);
        let trained = self.instances.train(&world, phase)?;
        let data = self.instances.get(&phase.data)?.id;
        let chain = self.chain(phase)?;
        let (order, earlier) = (chain.order, chain.before);
        let total = order.updates(phase.length);
        let autocast = autocast(phase.precision, self.device)?;
        let optimizer = Optimizer::new(&world, &self.instances, phase, trained, chain.total)?;
        let before = self.updates;
        let mut training = Training {
            phase,
            program: &program,
            optimizer,
            order: order.clone(),
            earlier,
            aggregation: None,
            total,
            step: 0,
            before,
            autocast,
            window: Window::new(&program, before),
            watch: Watch::default(),
            scaler: (autocast == Some(Kind::Half)).then(Scaler::default),
            best: None,
            without_better: 0,
            unevaluated: false,
            began: Instant::now(),
        };
        let carried = self.carried.take();
        if let Some((saved, folder)) = resumed {
            training.restore(saved, folder)?;
        } else if let Some(before) = phase.continues.as_ref().and_then(|c| c.phase.as_ref()) {
            let carried = carried.filter(|carried| carried.phase == *before).ok_or_else(|| {
                let text = format!("phase `{}` continues `{before}`, which left nothing", phase.name);
                EngineError::Experiment(text)
            })?;
            training.go_on(&carried)?;
        }
        self.tell(Event::PhaseStarted {
            arm: self.arm.name.clone(),
            seed: self.seed,
            phase: phase.name.clone(),
            step: training.step,
            total,
            batch: phase.batch,
            precision: precision_name(autocast).to_owned(),
        });
        let per_update = order.parts();
        let job = move |update: u64, part: u64, singles: bool| {
            let (range, rows) = order.part(update, part);
            let moment = Moment {
                update: before + update,
                phase_update: earlier + update,
                first_row: range.start as u64,
                part,
                rows: range.len(),
            };
            Job { moment, rows, singles }
        };
        let options = LoaderOptions {
            part: format!("phase `{}`", phase.name),
            data,
            training: true,
            device: self.device,
            threads: self.loader_threads,
            ahead: (UPDATES_AHEAD * per_update as usize).max(self.loader_threads),
            from: training.step * per_update,
        };
        let mut one_by_one = false;
        if let Some(name) = &phase.aggregate {
            let (job, reader) = (job.clone(), Reader::new(&world, &program, &options));
            let singles =
                move |moment: &Moment| reader.load(&job(moment.phase_update - earlier, moment.part, true));
            let id = self.instances.get(name)?.id;
            let mut aggregation = Aggregation::new(&world, id, phase, self.run_seed(), Box::new(singles));
            let quiet = Runner {
                world: &world,
                program: &program,
                device: self.device,
                training: false,
                autocast: None,
                keep_rows: true,
            };
            if let Some(reason) =
                aggregation.choose(&Updater::new(quiet), &training.optimizer.parameters(), earlier)?
            {
                one_by_one = true;
                self.tell(Event::Warning {
                    arm: Some(self.arm.name.clone()),
                    seed: Some(self.seed),
                    message: format!(
                        "phase `{}` takes the gradient of each example in a pass of its own: {reason}",
                        phase.name
                    ),
                    help: Some(
                        "the result is the same, and an update takes several times as long".to_owned(),
                    ),
                });
            }
            training.aggregation = Some(aggregation);
        }
        let jobs = move |number: u64| {
            let (update, part) = (number / per_update, number % per_update);
            (update < total).then(|| job(update, part, one_by_one))
        };
        let loader = Loader::start(&world, &program, Arc::new(jobs), &options)?;
        let mut feed = Feed { loader, waiting: VecDeque::new() };
        let runner = Runner {
            world: &world,
            program: &program,
            device: self.device,
            training: true,
            autocast,
            keep_rows: phase.aggregate.is_some(),
        };
        let updater = Updater::new(runner).timed(self.timings);
        if training.step == 0 {
            // As the plan is: later rows may be full where those of the first batches are not.
            self.trial(&mut training, &mut feed, &Updater::new(Runner { keep_rows: true, ..runner }))?;
            for metric in &program.metrics {
                world.reset(*metric)?;
            }
        }
        self.updates_of(training, &mut feed, &updater)
    }

    /// Runs the largest of the first batches forward and backward, padding included, and throws the results
    /// away: what does not fit into memory shows at once, and what the plan predicted is measured.
    fn trial(&mut self, training: &mut Training<'_>, feed: &mut Feed, updater: &Updater<'_>) -> Result<()> {
        let Some(largest) = feed.largest(TRIAL_PARTS.min((training.order.parts() as usize).max(2)))? else {
            return Ok(());
        };
        if largest.rows == 0 || training.aggregation.as_ref().is_some_and(Aggregation::one_by_one) {
            return Ok(());
        }
        // With several parts, gradients of one lie there while another is computed.
        let again = |batch: &Batch| Batch {
            first_row: batch.first_row,
            rows: batch.rows,
            values: batch.values.iter().map(|(slot, value)| (*slot, value.shallow_clone())).collect(),
            singles: Vec::new(),
        };
        let length = largest.length();
        let parts: Vec<Batch> = (0..training.order.parts().min(2)).map(|_| again(largest)).collect();
        let stateful = training.program.stateful.iter();
        let states = stateful.map(|id| Ok((*id, self.world.save(*id)?))).collect::<Result<Vec<_>>>()?;
        let at = At { update: TRIAL, phase_update: 0 };
        let scale = training.scaler.map_or(1.0, |scaler| scaler.scale);
        let phase = &training.phase.name;
        let try_it = || {
            let parameters = training.optimizer.parameters();
            let tried = match &training.aggregation {
                Some(aggregation) => updater.aggregated(&parts, &parameters, at, aggregation),
                None => updater.update(&parts, &parameters, at, scale),
            };
            tried.map_err(|error| {
                let reason = error.to_string();
                let memory = ["out of memory", "not enough memory"];
                if memory.iter().any(|words| reason.contains(words)) {
                    return EngineError::TooLarge { phase: phase.clone(), rows: parts[0].rows, reason };
                }
                error
            })
        };
        if self.device == Device::Cpu && self.is_planned(phase) {
            // What is loaded when it is first run is not the arm's memory.
            try_it()?;
        }
        self.start_memory(phase)?;
        let tried = try_it()?;
        let held = training.optimizer.states().iter().map(|(_, state)| bytes(state)).sum();
        self.report_memory("peak memory of training", phase, held, length)?;
        drop(tried);
        for (id, state) in states {
            if let Some(state) = state {
                self.world.load(id, &state)?;
            }
        }
        Ok(())
    }

    fn updates_of(
        &mut self,
        mut training: Training<'_>,
        feed: &mut Feed,
        updater: &Updater<'_>,
    ) -> Result<PhaseEnd> {
        let phase = training.phase;
        if training.unevaluated && !self.settle(&mut training)? {
            return Ok(PhaseEnd::Stopped);
        }
        while training.step < training.total {
            if self.stop.stopped() {
                return self.stop_here(&mut training);
            }
            let (began, tokens) = (Instant::now(), training.window.tokens);
            match self.one_update(&mut training, feed, updater) {
                Err(EngineError::Host(error)) if self.stop.stopped() && is_cancelled(&error) => {
                    // A component gave up on the way; nothing of this update was applied. Where others
                    // may have changed their state, the checkpoint before is the last that is exact.
                    if training.program.stateful.is_empty() {
                        return self.stop_here(&mut training);
                    }
                    self.poll(true)?;
                    return Ok(PhaseEnd::Stopped);
                }
                done => done?,
            }
            let seconds = began.elapsed().as_secs_f64();
            training.window.seconds += seconds;
            if let Some(timings) = self.timings {
                timings.updated(seconds, training.window.tokens - tokens);
            }
            if training.step == training.total || training.step.is_multiple_of(phase.log_every) {
                self.log(&mut training)?;
            } else if self.device == Device::Cpu {
                self.must_be_finite(&mut training)?;
            }
            self.tell_artifacts(&phase.name, training.step)?;
            if !self.settle(&mut training)? {
                return Ok(PhaseEnd::Stopped);
            }
        }
        self.end_phase(&training)
    }

    /// What comes between updates: evaluations, an early end, checkpoints. False where it was asked to
    /// stop meanwhile, and a checkpoint is on the disk.
    fn settle(&mut self, training: &mut Training<'_>) -> Result<bool> {
        let (phase, step) = (training.phase, training.step);
        let last = step == training.total;
        let every = |every: Option<u64>| every.is_some_and(|n| step.is_multiple_of(n));
        let mut is_better = false;
        if every(phase.evaluate_every) || last {
            self.must_be_finite(training)?;
            match self.evaluate_during(training)? {
                Some(better) => is_better = better,
                None => {
                    training.unevaluated = true;
                    self.stop_here(training)?;
                    return Ok(false);
                }
            }
            training.unevaluated = false;
            if !last && phase.patience.is_some_and(|patience| training.without_better >= patience.max(1)) {
                if training.window.updates > 0 {
                    self.log(training)?;
                }
                training.total = step;
                return Ok(true);
            }
        }
        if !last && (is_better || every(phase.save_every)) {
            let kind = if is_better { CheckpointKind::Best } else { CheckpointKind::Last };
            self.save_in_phase(training, kind)?;
        }
        self.poll(false)?;
        Ok(true)
    }

    fn one_update(
        &mut self,
        training: &mut Training<'_>,
        feed: &mut Feed,
        updater: &Updater<'_>,
    ) -> Result<()> {
        let phase = training.phase;
        let mut batches = Vec::new();
        for _ in 0..training.order.parts() {
            let part = timed(self.timings, Part::Waiting, || feed.part())?;
            batches.push(part.ok_or_else(|| {
                EngineError::Experiment(format!("phase `{}`: the loader ended early", phase.name))
            })?);
        }
        let at = training.at(training.step);
        let scale = training.scaler.map_or(1.0, |scaler| scaler.scale);
        // A Poisson sample may be smaller than there are parts.
        batches.retain(|batch| batch.rows > 0);
        let updated = match &training.aggregation {
            Some(aggregation) => timed(self.timings, Part::Gradients, || {
                updater.aggregated(&batches, &training.optimizer.parameters(), at, aggregation)
            })?,
            None if batches.is_empty() => {
                training.step += 1;
                return Ok(());
            }
            None => timed(self.timings, Part::Gradients, || {
                updater.update(&batches, &training.optimizer.parameters(), at, scale)
            })?,
        };
        // What an aggregator makes must not depend on whether a single example has targets.
        if updated.no_targets && training.aggregation.is_none() {
            let term = training.program.terms.iter().map(|term| &*term.id).collect::<Vec<_>>().join("`, `");
            return Err(EngineError::NoTargets { phase: phase.name.clone(), step: training.step + 1, term });
        }
        training.watch.add(training.step, "the loss", &updated.loss);
        if self.device == Device::Cpu {
            // Looking costs nothing here, and parameters stay as they were.
            self.must_be_finite(training)?;
        }
        let gradients = defined(&updated.gradients);
        let fine = match &training.scaler {
            Some(scaler) => scaler.unscale(&gradients, self.device)?,
            None => true,
        };
        if fine {
            let logged =
                (training.step + 1).is_multiple_of(phase.log_every) || training.step + 1 == training.total;
            let norm = match phase.clip_norm {
                Some(limit) if !gradients.is_empty() => Some(lists::clip_norm_(&gradients, limit)?),
                None if logged && !gradients.is_empty() => Some(lists::norm(&gradients)?),
                _ => None,
            };
            if let Some(norm) = norm {
                training.watch.add(training.step, "the gradient's norm", &norm);
                if self.device == Device::Cpu {
                    self.must_be_finite(training)?;
                }
                training.window.sums.add(NORM, &norm)?;
                training.window.norms += 1;
            }
            let rate = training.optimizer.rate(at.update, at.phase_update)?;
            timed(self.timings, Part::Optimizer, || {
                training.optimizer.step(&updated.gradients, rate, at.update, at.phase_update)
            })?;
        }
        if let Some(scaler) = &mut training.scaler {
            scaler.note(fine);
            if scaler.scale < 1e-3 {
                return Err(self.not_finite(training, training.step, "the gradient", f64::INFINITY));
            }
        }
        let window = &mut training.window;
        window.totals.add(&updated.leaves)?;
        window.sums.add(LOSS, &updated.loss)?;
        window.updates += 1;
        window.rows += batches.iter().map(|batch| batch.rows as u64).sum::<u64>();
        window.tokens += batches.iter().map(|batch| batch.tokens() as u64).sum::<u64>();
        training.step += 1;
        Ok(())
    }

    fn must_be_finite(&mut self, training: &mut Training<'_>) -> Result<()> {
        match training.watch.first_wrong()? {
            Some((step, what, value)) => Err(self.not_finite(training, step, what, value)),
            None => Ok(()),
        }
    }

    fn not_finite(&mut self, training: &Training<'_>, step: u64, what: &str, value: f64) -> EngineError {
        EngineError::NotFinite(Box::new(NotFinite {
            what: what.to_owned(),
            value,
            phase: training.phase.name.clone(),
            step: step + 1,
            data: training.phase.data.clone(),
            rows: training.order.rows(step),
            last_good: self.last_good(),
        }))
    }

    /// Tells what was added up since the last log line.
    fn log(&mut self, training: &mut Training<'_>) -> Result<()> {
        self.must_be_finite(training)?;
        let (phase, program, step) = (training.phase, training.program, training.step);
        let fresh = Window::new(program, training.before + step);
        let mut window = std::mem::replace(&mut training.window, fresh);
        let world: &World = &self.world;
        let scope = zoo_host::CallScope {
            step: Arc::clone(&program.name),
            node: "finish".into(),
            update: training.before + step - 1,
            training: true,
            ..Default::default()
        };
        let mut values = Values::new();
        let updates = window.updates as f64;
        for (name, reading) in &program.logs {
            // Nothing to average: the log is left out of this line.
            if !window.totals.empty(program, reading).is_empty() {
                continue;
            }
            let mut finish = |metric| Ok(world.finish(metric, &scope)?);
            let last = training.at(step - 1).phase_update;
            values.set(name, window.totals.value(program, reading, updates, last, &mut finish)?);
        }
        for metric in &program.metrics {
            world.reset(*metric)?;
        }
        let mut own = Values::new();
        let sums = window.sums.read()?.to_vec();
        own.set("loss", sums[LOSS] / updates);
        let last = training.at(step - 1);
        own.set("learning_rate", training.optimizer.rate(last.update, last.phase_update)?);
        if window.norms > 0 {
            own.set("grad_norm", sums[NORM] / window.norms as f64);
        }
        if window.seconds > 0.0 {
            own.set("examples_per_second", window.rows as f64 / window.seconds);
            if window.tokens > 0 {
                own.set("tokens_per_second", window.tokens as f64 / window.seconds);
            }
        }
        own.set("seconds", self.seconds());
        let told = self.observer.numbers(window.from, training.before + step - 1);
        for (name, value) in own.iter().chain(told.iter()) {
            if values.get(name).is_none() {
                values.set(name, value);
            }
        }
        self.tell(Event::StepLogged(StepLogged {
            arm: self.arm.name.clone(),
            seed: self.seed,
            phase: phase.name.clone(),
            step,
            total: training.total,
            values,
        }));
        if let Some(error) = self.sink.failure() {
            // As Ctrl-C: what was done so far is worth keeping, if the disk lets us.
            let _ = self.save_in_phase(training, CheckpointKind::Last).and_then(|()| self.poll(true));
            return Err(error.into());
        }
        Ok(())
    }

    /// Evaluations while a phase runs; whether the phase's metric became better. Nothing where it was asked
    /// to stop meanwhile.
    fn evaluate_during(&mut self, training: &mut Training<'_>) -> Result<Option<bool>> {
        let (phase, arm) = (training.phase, self.arm);
        let metric = match &phase.best {
            None => None,
            Some(name) => Some(arm.metrics.iter().find(|metric| metric.name == *name).ok_or_else(|| {
                EngineError::Experiment(format!("phase `{}`: there is no metric `{name}`", phase.name))
            })?),
        };
        let wanted = |evaluation: &&Evaluation| {
            let decides = metric.is_some_and(|metric| metric.evaluation == evaluation.name);
            decides || (evaluation.during && phase.evaluate_every.is_some())
        };
        for evaluation in arm.evaluations.iter().filter(wanted) {
            // After a stop in the middle, some of them are done.
            let known = self.known(&evaluation.name, &phase.name, training.step).is_some();
            if !known && self.evaluate(evaluation, training.autocast, &phase.name, training.step)?.is_none() {
                return Ok(None);
            }
            self.must_record()?;
        }
        let Some(metric) = metric else { return Ok(Some(false)) };
        let values = self.known(&metric.evaluation, &phase.name, training.step);
        let value = values.and_then(|values| values.get(&metric.log)).unwrap_or(f64::NAN);
        let higher = metric.higher_is_better.unwrap_or(false);
        let better = match training.best {
            _ if value.is_nan() => false,
            None => true,
            Some(best) if higher => value > best.value,
            Some(best) => value < best.value,
        };
        if better {
            training.best = Some(Best { value, step: training.step });
            training.without_better = 0;
        } else {
            training.without_better += 1;
        }
        Ok(Some(better))
    }

    fn save_in_phase(&mut self, training: &mut Training<'_>, kind: CheckpointKind) -> Result<()> {
        self.must_be_finite(training)?;
        let phase = training.phase;
        let in_phase = InPhase {
            name: phase.name.clone(),
            step: training.step,
            window: training.window.save()?,
            best: training.best,
            without_better: training.without_better,
            scaler: training.scaler,
            unevaluated: training.unevaluated,
        };
        let best = training.best.map(|best| best.step);
        let states = training.optimizer.states();
        self.save(kind, (&phase.name, training.step), Some(in_phase), states, phase.keep, best)
    }

    fn stop_here(&mut self, training: &mut Training<'_>) -> Result<PhaseEnd> {
        self.save_in_phase(training, CheckpointKind::Last)?;
        self.poll(true)?;
        Ok(PhaseEnd::Stopped)
    }

    /// The phase is complete: its best parameters are put back, and saved.
    fn end_phase(&mut self, training: &Training<'_>) -> Result<PhaseEnd> {
        let phase = training.phase;
        let best = training.best.map(|best| best.step);
        if let Some(step) = best.filter(|step| *step != training.step) {
            self.poll(true)?;
            let folder = self.checkpoints.of_step(&phase.name, step);
            read_models(&folder, &self.world, &self.instances)?;
            // What was measured at the end was measured of other parameters.
            self.evaluated.retain(|known| known.phase != phase.name);
        }
        self.finished.push(phase.name.clone());
        self.updates += training.total;
        self.last_step = training.step;
        let is_last = self.arm.phases.last().is_some_and(|last| last.name == phase.name);
        let kind = if is_last { CheckpointKind::Final } else { CheckpointKind::Phase };
        self.carried = is_continued(self.arm, phase).then(|| training.leave());
        self.save_ended(kind, (&phase.name, training.step), phase.keep, best)?;
        let facts = PhaseFacts {
            total: training.total,
            precision: precision_name(training.autocast).to_owned(),
            seconds: training.began.elapsed().as_secs_f64(),
        };
        self.keep_phase(phase, &facts)?;
        Ok(PhaseEnd::Complete)
    }
}

impl Session<'_> {
    /// Where a phase stands among those that continue each other.
    pub(crate) fn chain(&self, phase: &Phase) -> Result<Chain> {
        let rows = |data: &str| Ok(self.world.length(self.instances.get(data)?.id)?);
        Chain::of(self.run_seed(), self.arm, phase, rows)
    }
}

impl Training<'_> {
    /// An update of the phase, counted from 0.
    fn at(&self, step: u64) -> At {
        At { update: self.before + step, phase_update: self.earlier + step }
    }

    /// Goes on with what the phase before left.
    fn go_on(&mut self, carried: &Carried) -> Result<()> {
        self.optimizer.load(&carried.states).map_err(|reason| {
            EngineError::Experiment(format!(
                "phase `{}` continues `{}`, and must train what that trained: {reason}",
                self.phase.name, carried.phase
            ))
        })?;
        self.scaler = self.scaler.map(|scaler| carried.scaler.unwrap_or(scaler));
        Ok(())
    }

    /// What the phase leaves to one that continues it.
    fn leave(&self) -> Carried {
        let states = self.optimizer.states().iter();
        Carried {
            phase: self.phase.name.clone(),
            states: states.map(|(name, state)| (name.clone(), state.shallow_clone())).collect(),
            scaler: self.scaler,
        }
    }

    fn restore(&mut self, saved: &InPhase, folder: &Path) -> Result<()> {
        let wrong = |reason: String| EngineError::Checkpoint { path: folder.to_owned(), reason };
        if saved.step > self.total {
            return Err(wrong(format!(
                "it has {} updates of phase `{}`, which has {}",
                saved.step, saved.name, self.total
            )));
        }
        self.optimizer.load(&crate::checkpoint::read_optimizer(folder)?).map_err(wrong)?;
        self.step = saved.step;
        self.window.restore(&saved.window);
        self.window.from = self.before + saved.step - saved.window.updates.min(saved.step);
        self.best = saved.best;
        self.without_better = saved.without_better;
        self.unevaluated = saved.unevaluated;
        self.scaler = self.scaler.map(|scaler| saved.scaler.unwrap_or(scaler));
        Ok(())
    }
}
