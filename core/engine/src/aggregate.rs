//! Updates from gradients of single examples that are weighed by their norms: clipping of each example,
//! and noise on the sum, as differential privacy asks for.
//!
//! The gradient of an example is that of the step's loss over it alone. Where the graph tells the examples
//! apart ([`PerExample`]), all of them cost one backward pass; where it does not, each has a pass of its
//! own. Which it is, is tried out before a phase begins: both ways must give the same norms.

use crate::graph::{LeafKind, Level, Reading};
use crate::per_example::PerExample;
use crate::step::{Batch, Moment, TRIAL};
use crate::timings::{Part as TimedPart, timed};
use crate::totals::LeafValue;
use crate::update::{
    At, Leaves, Updated, Updater, accumulate, add, add_leaves, no_loss, weight_of, without_history,
};
use crate::{EngineError, Result};
use std::sync::Arc;
use tch::{Device, Kind, Tensor};
use zoo_host::{CallScope, InstanceId, Part, Value, World, draw, seed};
use zoo_schema::experiment::Phase;
use zoo_torch::lists;
use zoo_torch::modes::Gradients;

/// Examples whose norms are computed both ways before a phase begins.
const TRIED: usize = 4;
/// Relative difference up to which they are the same, in float32.
const SAME: f64 = 1e-3;

/// Loads a part of an update with every row for itself.
pub(crate) type Singles<'a> = Box<dyn Fn(&Moment) -> Result<Batch> + 'a>;

/// The aggregator of a phase.
pub(crate) struct Aggregation<'a> {
    world: Arc<World>,
    id: InstanceId,
    phase: Arc<str>,
    /// What the noise is drawn by; see [`Phase::chain`].
    chain: String,
    seed: u64,
    /// Examples of an update as the recipe tells it: on average, where they are sampled. Dividing by what
    /// really came would tell how many that were.
    expected: f64,
    one_by_one: bool,
    singles: Singles<'a>,
}

/// The weighted sum over the examples of a part.
struct Weighed {
    gradients: Vec<Tensor>,
    /// The sum of the examples' losses.
    loss: Tensor,
    leaves: Leaves,
    noise: f64,
}

impl<'a> Aggregation<'a> {
    pub(crate) fn new(
        world: &Arc<World>,
        id: InstanceId,
        phase: &Phase,
        seed: u64,
        singles: Singles<'a>,
    ) -> Self {
        Self {
            world: Arc::clone(world),
            id,
            phase: phase.name.as_str().into(),
            chain: phase.chain().to_owned(),
            seed,
            expected: phase.batch as f64,
            one_by_one: true,
            singles,
        }
    }

    /// Whether every example has a pass of its own.
    pub(crate) fn one_by_one(&self) -> bool {
        self.one_by_one
    }

    /// Finds out whether the graph of the phase's first examples tells them apart; the reason, where it does
    /// not. `updater` computes in float32 without dropout, so that both ways must agree; `first` is the number
    /// of the phase's first update.
    pub(crate) fn choose(
        &mut self,
        updater: &Updater<'_>,
        parameters: &[&Tensor],
        first: u64,
    ) -> Result<Option<String>> {
        let program = updater.program();
        let mut states = Vec::new();
        for id in program.stateful.iter().chain(&program.metrics) {
            // In a phase that is resumed, metrics hold what the log window has had so far.
            if let Some(state) = self.world.save(*id)? {
                states.push((*id, state));
            }
        }
        let found = self.norms_agree(updater, parameters, first)?;
        for (id, state) in &states {
            self.world.load(*id, state)?;
        }
        self.one_by_one = found.is_some();
        Ok(found)
    }

    fn norms_agree(
        &self,
        updater: &Updater<'_>,
        parameters: &[&Tensor],
        first: u64,
    ) -> Result<Option<String>> {
        // A Poisson sample may be empty; a hundred are not.
        for phase_update in first..first + 100 {
            let moment = Moment { update: TRIAL, phase_update, ..Moment::default() };
            let batch = (self.singles)(&moment)?;
            if batch.rows == 0 {
                continue;
            }
            let moment = Moment { rows: batch.rows, first_row: batch.first_row, ..moment };
            let mut kept = match updater.forward_backward(&batch, &moment, parameters)? {
                Ok((kept, _, _)) => kept,
                Err(reason) => return Ok(Some(reason)),
            };
            let norms = {
                let _mode = Gradients::set(false)?;
                match kept.squared_norms()? {
                    Ok(squared) => squared.f_sqrt()?.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?,
                    Err(reason) => return Ok(Some(reason)),
                }
            };
            let norms = Vec::<f64>::try_from(norms)?;
            let largest = norms.iter().copied().fold(0.0, f64::max);
            for (place, single) in batch.singles.iter().enumerate().take(TRIED) {
                let own = updater.single(single, parameters, row_moment(&moment, place))?;
                let own = norm(&own.gradients)?.map_or(Ok(0.0), |norm| norm.f_double_value(&[]))?;
                let there = norms.get(place).copied().unwrap_or(f64::NAN);
                if (own - there).abs() > SAME * largest.max(own) || there.is_nan() {
                    return Ok(Some(format!(
                        "what the step computes for an example depends on the others, or rows are not in \
                         the order of the examples (norm {there:.6} in the batch and {own:.6} alone)"
                    )));
                }
            }
            return Ok(None);
        }
        Ok(Some("the first hundred updates have no examples".to_owned()))
    }

    /// Weights of examples with these norms, float[B], and the standard deviation of the noise on the sum.
    fn weights(&self, norms: &Tensor, moment: &Moment) -> Result<(Tensor, f64)> {
        let scope = CallScope {
            step: Arc::clone(&self.phase),
            node: "aggregate".into(),
            update: moment.update,
            phase_update: moment.phase_update,
            row_offset: moment.first_row,
            micro: moment.part,
            training: true,
            ..CallScope::default()
        };
        let norms = Value::Tensor(norms.shallow_clone());
        let mut outputs = self.world.call(self.id, &scope, &[("norms", &norms)])?;
        let noise = outputs.get("noise").and_then(Value::real).unwrap_or(f64::NAN);
        match outputs.take("weights") {
            Some(Value::Tensor(weights)) if noise.is_finite() && noise >= 0.0 => Ok((weights, noise)),
            _ => Err(EngineError::Experiment(format!(
                "phase `{}`: the aggregator gave no weights, or noise of {noise}",
                self.phase
            ))),
        }
    }

    /// The update's gradient from the sum: with noise, divided by the expected number of examples. Noise
    /// falls on every trained parameter, whether or not examples of this update reach it.
    fn finish(&self, sums: Vec<Tensor>, noise: f64, parameters: &[&Tensor], at: At) -> Result<Vec<Tensor>> {
        if noise == 0.0 {
            lists::scale_(&crate::optimizer::defined(&sums), 1.0 / self.expected)?;
            return Ok(sums);
        }
        let parts = [Part::Text("noise"), Part::Text(&self.chain), Part::Number(at.update)];
        let missing = parameters.len() - sums.len();
        let sums = sums.into_iter().chain((0..missing).map(|_| Tensor::new()));
        let add = |(sum, parameter): (Tensor, &&Tensor)| -> Result<Tensor> {
            let mut noised = parameter.f_empty_like()?.f_detach()?;
            let _ = noised.f_normal_(0.0, noise / self.expected)?;
            if sum.defined() {
                lists::add_(&[&noised], &[&sum], 1.0 / self.expected)?;
            }
            Ok(noised)
        };
        draw(seed(self.seed, &parts), || sums.zip(parameters).map(add).collect())
    }
}

/// A row of a part as an update of its own, with random numbers of its own.
fn row_moment(moment: &Moment, place: usize) -> Moment {
    let first_row = moment.first_row + place as u64;
    Moment { first_row, part: first_row, rows: 1, ..*moment }
}

fn norm(gradients: &[Tensor]) -> Result<Option<Tensor>> {
    let defined = crate::optimizer::defined(gradients);
    Ok(if defined.is_empty() { None } else { Some(lists::norm(&defined)?) })
}

impl Updater<'_> {
    /// An update whose examples' gradients are weighed.
    pub(crate) fn aggregated(
        &self,
        parts: &[Batch],
        parameters: &[&Tensor],
        at: At,
        aggregation: &Aggregation<'_>,
    ) -> Result<Updated> {
        let (mut sums, mut loss, mut noise) = (Vec::new(), None, None);
        let mut leaves: Leaves = self.program().leaves.iter().map(|_| None).collect();
        let mut rows = 0;
        for (number, part) in parts.iter().enumerate() {
            let moment = Moment {
                update: at.update,
                phase_update: at.phase_update,
                first_row: part.first_row,
                part: number as u64,
                rows: part.rows,
            };
            let kept = if aggregation.one_by_one {
                None
            } else {
                self.book_kept(part, &moment, parameters, aggregation)?.ok()
            };
            let weighed = match kept {
                Some(weighed) => weighed,
                None => self.one_by_one(part, &moment, parameters, aggregation)?,
            };
            accumulate(&mut sums, weighed.gradients)?;
            add_leaves(&mut leaves, weighed.leaves)?;
            loss = Some(add(loss, weighed.loss)?);
            noise = Some(weighed.noise);
            rows += part.rows;
        }
        let _mode = Gradients::set(false)?;
        let device = self.runner.device;
        let noise = match noise {
            Some(noise) => noise,
            // Without examples there is noise all the same.
            None => {
                let moment = Moment { update: at.update, phase_update: at.phase_update, ..Moment::default() };
                aggregation.weights(&Tensor::f_zeros([0], (Kind::Float, device))?, &moment)?.1
            }
        };
        let gradients = aggregation.finish(sums, noise, parameters, at)?;
        let loss = match loss {
            Some(loss) => loss.f_div_scalar(rows as f64)?,
            None => Tensor::f_zeros([0_i64; 0], (Kind::Float, device))?,
        };
        Ok(Updated { gradients, loss, leaves, no_targets: false })
    }

    /// One backward pass for all examples of a part; the reason, where the graph does not tell them apart.
    fn book_kept(
        &self,
        part: &Batch,
        moment: &Moment,
        parameters: &[&Tensor],
        aggregation: &Aggregation<'_>,
    ) -> Result<std::result::Result<Weighed, String>> {
        let (mut kept, loss, leaves) = match self.forward_backward(part, moment, parameters)? {
            Ok(found) => found,
            Err(reason) => return Ok(Err(reason)),
        };
        let _mode = Gradients::set(false)?;
        timed(self.timings, TimedPart::Backward, || {
            let norms = match kept.squared_norms()? {
                Ok(squared) => squared.f_sqrt()?,
                Err(reason) => return Ok(Err(reason)),
            };
            let (weights, noise) = aggregation.weights(&norms, moment)?;
            Ok(Ok(Weighed { gradients: kept.weighted(&weights)?, loss, leaves, noise }))
        })
    }

    /// The gradients of single examples of a part, the sum of their losses, and leaves.
    pub(crate) fn forward_backward(
        &self,
        part: &Batch,
        moment: &Moment,
        parameters: &[&Tensor],
    ) -> Result<std::result::Result<(PerExample, Tensor, Leaves), String>> {
        let divisors = match self.divisors(part, moment)? {
            Ok(divisors) => divisors,
            Err(reason) => return Ok(Err(reason)),
        };
        let mut counts = self.known_counts(part, moment)?;
        let (mut leaves, total) = {
            let _region = self.runner.region()?;
            let (mut values, mut leaves) = self.part(part, moment, &mut counts, true)?;
            self.whole(&mut values, &mut leaves, &mut counts, moment, false)?;
            let mut total: Option<Tensor> = None;
            for (term, divisor) in self.program().terms.iter().zip(divisors) {
                let Reading::Leaf(place) = &term.reading else { continue };
                let Some(LeafValue { sum, .. }) = &leaves[*place] else { continue };
                let value = sum.f_mul_scalar(weight_of(&term.weight, moment) / divisor)?;
                total = Some(add(total, value)?);
            }
            (leaves, total.ok_or_else(no_loss)?)
        };
        self.must_have_gradients(&total)?;
        without_history(&mut leaves)?;
        let _mode = Gradients::set(false)?;
        let kept = timed(self.timings, TimedPart::Backward, || {
            PerExample::backward(&total, 1.0, parameters, part.rows)
        })?;
        let loss = total.f_detach()?;
        Ok(kept.map(|kept| (kept, loss, leaves)))
    }

    /// What each term of the loss is divided by for every example alone: its number of targets there, which
    /// must be the same for all that have any.
    fn divisors(&self, part: &Batch, moment: &Moment) -> Result<std::result::Result<Vec<f64>, String>> {
        let program = self.program();
        let mut divisors = Vec::new();
        for term in &program.terms {
            let Reading::Leaf(place) = &term.reading else {
                return Ok(Err(format!("the loss `{}` is computed from sums over all examples", term.id)));
            };
            let leaf = &program.leaves[*place];
            let of_all = || Ok(Err(format!("the loss `{}` compares the examples of a batch", term.id)));
            match leaf.kind {
                _ if leaf.level != Level::Part => return of_all(),
                LeafKind::Sum => divisors.push(1.0),
                LeafKind::Loss { count } if program.counts[count].ahead => {
                    let Some(each) = self.targets_of_rows(count, part, moment)? else {
                        return Ok(Err(format!(
                            "the targets of `{}` do not have the examples in their rows",
                            term.id
                        )));
                    };
                    let first = each.iter().copied().find(|count| *count > 0.0).unwrap_or(1.0);
                    if each.iter().any(|count| *count > 0.0 && *count != first) {
                        return Ok(Err(format!(
                            "examples differ in their number of targets of `{}`",
                            term.id
                        )));
                    }
                    divisors.push(first);
                }
                _ => {
                    return Ok(Err(format!(
                        "the loss `{}` is divided by a number that only the model knows",
                        term.id
                    )));
                }
            }
        }
        Ok(Ok(divisors))
    }

    /// How many targets each row has; none where inputs do not have rows.
    fn targets_of_rows(&self, count: usize, part: &Batch, moment: &Moment) -> Result<Option<Vec<f64>>> {
        let count = &self.program().counts[count];
        let needed: Vec<usize> = count.inputs.iter().filter_map(|input| input.source.slot()).collect();
        let mut given = Vec::new();
        for (slot, value) in part.values.iter().filter(|(slot, _)| needed.contains(slot)) {
            match value {
                Value::Tensor(tensor) if tensor.size().first() == Some(&(part.rows as i64)) => {
                    given.push((*slot, tensor));
                }
                _ => return Ok(None),
            }
        }
        let mut each = Vec::with_capacity(part.rows);
        for row in 0..part.rows {
            let mut single = Batch::empty(moment.first_row + row as u64);
            single.rows = 1;
            for (slot, tensor) in &given {
                single.values.push((*slot, Value::Tensor(tensor.f_narrow(0, row as i64, 1)?)));
            }
            each.push(self.runner.count_ahead(count, &single, &row_moment(moment, row))?);
        }
        Ok(Some(each))
    }

    /// A pass for each example of a part.
    fn one_by_one(
        &self,
        part: &Batch,
        moment: &Moment,
        parameters: &[&Tensor],
        aggregation: &Aggregation<'_>,
    ) -> Result<Weighed> {
        let loaded;
        let singles = if part.singles.is_empty() {
            loaded = (aggregation.singles)(moment)?;
            &loaded.singles
        } else {
            &part.singles
        };
        let (mut gradients, mut loss, mut noise) = (Vec::new(), None, 0.0);
        let mut leaves: Leaves = self.program().leaves.iter().map(|_| None).collect();
        for (place, single) in singles.iter().enumerate() {
            let moment = row_moment(moment, place);
            let own = self.single(single, parameters, moment)?;
            let _mode = Gradients::set(false)?;
            let norm = match norm(&own.gradients)? {
                Some(norm) => norm.f_reshape([1])?,
                None => Tensor::f_zeros([1], (Kind::Float, self.runner.device))?,
            };
            let (weights, own_noise) = aggregation.weights(&norm, &moment)?;
            noise = own_noise;
            for gradient in own.gradients.iter().filter(|gradient| gradient.defined()) {
                let _ = gradient.shallow_clone().f_mul_(&weights.f_reshape([0_i64; 0])?)?;
            }
            accumulate(&mut gradients, own.gradients)?;
            add_leaves(&mut leaves, own.leaves)?;
            loss = Some(add(loss, own.loss)?);
        }
        Ok(Weighed { gradients, loss: loss.ok_or_else(no_loss)?, leaves, noise })
    }
}
