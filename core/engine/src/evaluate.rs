//! Evaluations: a step over data in order, with dropout off and without gradients.

use crate::graph::compile;
use crate::loader::{Job, Loader, LoaderOptions};
use crate::session::{Session, is_cancelled};
use crate::step::{EVALUATION, Moment, Runner};
use crate::totals::Totals;
use crate::update::Updater;
use crate::{EngineError, Result};
use std::sync::Arc;
use std::time::Instant;
use tch::Kind;
use zoo_record::{Event, Values};
use zoo_schema::experiment::Evaluation;

/// Batches that wait for the device.
const AHEAD: usize = 4;

impl Session<'_> {
    /// Does an evaluation, and tells and keeps its results; nothing where it was asked to stop meanwhile.
    pub(crate) fn evaluate(
        &mut self,
        evaluation: &Evaluation,
        autocast: Option<Kind>,
        phase: &str,
        step: u64,
    ) -> Result<Option<Values>> {
        let done = match self.measure(evaluation, autocast, phase, step) {
            Err(EngineError::Host(error)) if self.stop.stopped() && is_cancelled(&error) => Ok(None),
            done => done,
        };
        if matches!(done, Ok(None)) {
            // Nothing of it is told.
            self.observer.numbers(EVALUATION, EVALUATION);
            self.observer.artifacts();
        }
        done
    }

    fn measure(
        &mut self,
        evaluation: &Evaluation,
        autocast: Option<Kind>,
        phase: &str,
        step: u64,
    ) -> Result<Option<Values>> {
        let began = Instant::now();
        let nothing =
            |reason: String| EngineError::NothingEvaluated { evaluation: evaluation.name.clone(), reason };
        let world = Arc::clone(&self.world);
        let program = Arc::new(compile(&evaluation.step, &self.instances)?);
        let data = self.instances.get(&evaluation.data)?.id;
        let length = world.length(data)?;
        let examples = evaluation.limit.map_or(length, |limit| limit.min(length));
        if examples == 0 {
            return Err(nothing(match evaluation.limit {
                Some(0) => "its limit is 0 examples".to_owned(),
                _ => format!("its data `{}` has no examples", evaluation.data),
            }));
        }
        self.tell(Event::EvaluationStarted {
            arm: self.arm.name.clone(),
            seed: self.seed,
            evaluation: evaluation.name.clone(),
            examples,
        });
        for metric in &program.metrics {
            world.reset(*metric)?;
        }
        let batch = evaluation.batch.max(1);
        let moment = move |number: u64| {
            let first = number * batch;
            (first < examples).then(|| Moment {
                update: EVALUATION,
                phase_update: step,
                first_row: first,
                part: number,
                rows: batch.min(examples - first) as usize,
            })
        };
        let jobs = move |number: u64| {
            let moment = moment(number)?;
            let first = moment.first_row.cast_signed();
            Some(Job { moment, rows: (first..first + moment.rows as i64).collect(), singles: false })
        };
        let options = LoaderOptions {
            part: format!("evaluation `{}`", evaluation.name),
            data,
            training: false,
            device: self.device,
            threads: self.loader_threads,
            ahead: AHEAD.max(self.loader_threads),
            from: 0,
        };
        let mut loader = Loader::start(&world, &program, Arc::new(jobs), &options)?;
        let runner = Runner {
            world: &world,
            program: &program,
            device: self.device,
            training: false,
            autocast,
            // The plan of memory is of rows with their padding.
            keep_rows: true,
        };
        let updater = Updater::new(runner);
        let mut totals = Totals::new(&program);
        let (mut number, mut longest) = (0, 0);
        self.start_memory(&evaluation.name)?;
        while let (Some(batch), Some(moment)) = (loader.next()?, moment(number)) {
            if self.stop.stopped() {
                return Ok(None);
            }
            totals.add(&updater.measure(&batch, &moment)?)?;
            longest = longest.max(batch.length());
            number += 1;
        }
        drop(loader);
        self.report_memory("peak memory of evaluation", &evaluation.name, 0, longest)?;
        let mut values = Values::new();
        let scope = zoo_host::CallScope {
            step: Arc::clone(&program.name),
            node: "finish".into(),
            update: EVALUATION,
            ..Default::default()
        };
        for (name, reading) in &program.logs {
            let empty = totals.empty(&program, reading);
            if !empty.is_empty() {
                return Err(nothing(format!(
                    "for `{name}`, nothing was counted by `{}` in {examples} examples",
                    empty.join("`, `")
                )));
            }
            let mut finish = |metric| Ok(world.finish(metric, &scope)?);
            values.set(name, totals.value(&program, reading, 1.0, step, &mut finish)?);
        }
        for (name, value) in self.observer.numbers(EVALUATION, EVALUATION).iter() {
            if values.get(name).is_none() {
                values.set(name, value);
            }
        }
        for metric in &program.metrics {
            world.reset(*metric)?;
        }
        self.tell_artifacts(phase, step)?;
        self.tell(Event::EvaluationFinished {
            arm: self.arm.name.clone(),
            seed: self.seed,
            phase: phase.to_owned(),
            step,
            evaluation: evaluation.name.clone(),
            values: values.clone(),
            examples,
            seconds: began.elapsed().as_secs_f64(),
        });
        self.remember(evaluation, phase, step, &values);
        Ok(Some(values))
    }
}
