//! One update: forward and backward over its parts, normalised over the whole.
//!
//! How an update is split is not part of its meaning. A term of the loss is a sum over all parts,
//! divided by a number over all parts. Three ways lead there:
//!
//! * One part: everything is computed once, and one backward pass goes through all of it.
//! * Several parts whose denominators follow from the batch alone: they are known before the first part
//!   runs, so every part is divided by the whole's number and its graph is freed at once.
//! * Anything else (objectives that compare all examples, means over sizes that only the model knows,
//!   quotients of sums): a first pass without gradients gives the values that the whole depends on; the
//!   loss is computed from them, with its gradients; a second pass with the same random streams takes
//!   these gradients on into the model (Gao et al., "Scaling Deep Contrastive Learning Batch Size under
//!   Memory Limited Setup", 2021).

use crate::arithmetic::{Operand, apply};
use crate::gather::Gathered;
use crate::graph::{LeafKind, Level, Program, Reading, Source, Work, releases};
use crate::step::{Batch, Moment, Runner, Values};
use crate::timings::{Part, timed};
use crate::totals::{LeafValue, share};
use crate::{EngineError, Result, Timings};
use std::collections::{BTreeSet, HashSet};
use tch::{Kind, Tensor};
use zoo_host::{InstanceId, Value};
use zoo_schema::experiment::Weight;
use zoo_torch::lists;
use zoo_torch::modes::Gradients;

/// Where an update stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At {
    /// Counted over the whole run.
    pub(crate) update: u64,
    /// Counted within the phase.
    pub(crate) phase_update: u64,
}

/// What an update gave.
#[derive(Debug)]
pub(crate) struct Updated {
    /// One for every trained parameter, contiguous and each with memory of its own; undefined where the
    /// loss does not depend on the parameter.
    pub(crate) gradients: Vec<Tensor>,
    /// `float[]`, not scaled.
    pub(crate) loss: Tensor,
    /// Leaves over the whole update, without history.
    pub(crate) leaves: Vec<Option<LeafValue>>,
    /// No term of the loss has a target.
    pub(crate) no_targets: bool,
}

pub(crate) type Leaves = Vec<Option<LeafValue>>;

/// Computes the gradients of updates, and the values of evaluations.
pub(crate) struct Updater<'a> {
    pub(crate) runner: Runner<'a>,
    pub(crate) timings: Option<&'a Timings>,
    part_releases: Vec<Vec<usize>>,
    first_releases: Vec<Vec<usize>>,
}

/// What the parts of an update share.
struct Update<'a> {
    parts: &'a [Batch],
    moments: Vec<Moment>,
    /// The whole: the first part's moment with all rows.
    whole: Moment,
    /// Targets that are known ahead, by part and count.
    known: Vec<Vec<f64>>,
    parameters: &'a [&'a Tensor],
    scale: f64,
}

impl Update<'_> {
    /// Known targets of the whole.
    fn counts(&self) -> Vec<f64> {
        let mut sums = self.known.first().cloned().unwrap_or_default();
        for part in self.known.iter().skip(1) {
            sums.iter_mut().zip(part).for_each(|(sum, count)| *sum += count);
        }
        sums
    }
}

/// Slots that outlive the tasks of a part.
fn kept(program: &Program) -> BTreeSet<usize> {
    let leaves = program.leaves.iter().map(|leaf| &leaf.source);
    let counts = program.counts.iter().flat_map(|count| count.inputs.iter().map(|input| &input.source));
    leaves.chain(counts).filter_map(Source::slot).chain(program.gathered.iter().copied()).collect()
}

impl<'a> Updater<'a> {
    pub(crate) fn new(runner: Runner<'a>) -> Self {
        let kept = kept(runner.program);
        let part_releases = releases(&runner.program.part, &kept);
        let first_releases = releases(&runner.program.first_pass, &kept);
        Self { runner, timings: None, part_releases, first_releases }
    }

    /// The same, measured where someone wants to know.
    pub(crate) fn timed(self, timings: Option<&'a Timings>) -> Self {
        Self { timings, ..self }
    }

    pub(crate) fn program(&self) -> &'a Program {
        self.runner.program
    }

    fn backward(&self, total: &Tensor, targets: &[&Tensor], scale: f64) -> Result<Vec<Tensor>> {
        timed(self.timings, Part::Backward, || backward(total, targets, scale))
    }

    /// Forward and backward of an update. `scale` multiplies the loss that is differentiated.
    pub(crate) fn update(
        &self,
        parts: &[Batch],
        parameters: &[&Tensor],
        at: At,
        scale: f64,
    ) -> Result<Updated> {
        let rows = parts.iter().map(|part| part.rows).sum();
        let moments: Vec<Moment> = parts
            .iter()
            .enumerate()
            .map(|(number, part)| Moment {
                update: at.update,
                phase_update: at.phase_update,
                first_row: part.first_row,
                part: number as u64,
                rows: part.rows,
            })
            .collect();
        let whole = Moment {
            update: at.update,
            phase_update: at.phase_update,
            first_row: moments.first().map_or(0, |moment| moment.first_row),
            part: 0,
            rows,
        };
        let known = parts
            .iter()
            .zip(&moments)
            .map(|(part, moment)| self.known_counts(part, moment))
            .collect::<Result<Vec<_>>>()?;
        let update = Update { parts, moments, whole, known, parameters, scale };
        match parts {
            [part] => self.at_once(part, &update),
            _ if self.program().normalised_ahead => self.normalised(&update),
            _ => self.twice(&update),
        }
    }

    /// One row as an update of its own.
    pub(crate) fn single(&self, part: &Batch, parameters: &[&Tensor], moment: Moment) -> Result<Updated> {
        let known = vec![self.known_counts(part, &moment)?];
        let parts = std::slice::from_ref(part);
        let update = Update { parts, moments: vec![moment], whole: moment, known, parameters, scale: 1.0 };
        self.at_once(part, &update)
    }

    /// The leaves of a batch, without gradients: for evaluations.
    pub(crate) fn measure(&self, batch: &Batch, moment: &Moment) -> Result<Leaves> {
        let _mode = Gradients::set(false)?;
        let mut counts = self.known_counts(batch, moment)?;
        let _region = self.runner.region()?;
        let (mut values, mut leaves) = self.part(batch, moment, &mut counts, false)?;
        self.whole(&mut values, &mut leaves, &mut counts, moment, false)?;
        Ok(leaves)
    }

    /// All of an update in one part and one backward pass.
    fn at_once(&self, part: &Batch, update: &Update<'_>) -> Result<Updated> {
        let mut counts = update.counts();
        let (mut leaves, total) = {
            let _region = self.runner.region()?;
            let (mut values, mut leaves) = self.part(part, &update.whole, &mut counts, true)?;
            self.whole(&mut values, &mut leaves, &mut counts, &update.whole, true)?;
            let total = self.total(&leaves, &update.whole)?;
            (leaves, total)
        };
        self.must_have_gradients(&total)?;
        let gradients = self.backward(&total, update.parameters, update.scale)?;
        without_history(&mut leaves)?;
        self.updated(gradients, &total, leaves)
    }

    /// Part after part, each divided by what is known of the whole.
    fn normalised(&self, update: &Update<'_>) -> Result<Updated> {
        let program = self.program();
        let mut counts = update.counts();
        let mut sums: Leaves = program.leaves.iter().map(|_| None).collect();
        let mut gathered = Gathered::new(program);
        let mut gradients = Vec::new();
        let mut loss: Option<Tensor> = None;
        for (number, (part, moment)) in update.parts.iter().zip(&update.moments).enumerate() {
            let mut own = update.known[number].clone();
            let (leaves, total) = {
                let _region = self.runner.region()?;
                let (values, mut leaves) = self.part(part, moment, &mut own, true)?;
                let mut total: Option<Tensor> = None;
                for term in &program.terms {
                    let Reading::Leaf(place) = &term.reading else { continue };
                    let Some(leaf) = &leaves[*place] else { continue };
                    let divisor = match program.leaves[*place].kind {
                        LeafKind::Loss { count } | LeafKind::OfObjective { count } => counts[count],
                        LeafKind::Sum => 1.0,
                        _ => update.whole.rows as f64,
                    };
                    let value = leaf.sum.f_mul_scalar(weight_of(&term.weight, moment) * share(divisor))?;
                    total = Some(add(total, value)?);
                }
                gathered.take(&values)?;
                without_history(&mut leaves)?;
                (leaves, total)
            };
            add_leaves(&mut sums, leaves)?;
            let total = total.ok_or_else(no_loss)?;
            self.must_have_gradients(&total)?;
            accumulate(&mut gradients, self.backward(&total, update.parameters, update.scale)?)?;
            loss = Some(add(loss, total.f_detach()?)?);
        }
        if !program.whole.is_empty() || program.leaves.iter().any(|leaf| leaf.level == Level::Whole) {
            // What compares all examples only serves logs here.
            let _mode = Gradients::set(false)?;
            let _region = self.runner.region()?;
            let mut values = self.empty();
            for (place, slot) in program.gathered.iter().enumerate() {
                values[*slot] = gathered.joined(place, &program.name)?;
            }
            self.whole(&mut values, &mut sums, &mut counts, &update.whole, false)?;
        }
        self.updated(gradients, &loss.ok_or_else(no_loss)?, sums)
    }

    /// A pass for the values that the whole depends on, and one for the gradients.
    fn twice(&self, update: &Update<'_>) -> Result<Updated> {
        let program = self.program();
        let (gathered, first) = self.first_pass(update)?;

        // The whole, from values that begin a graph of their own.
        let mut values = self.empty();
        let mut cuts: Vec<(usize, Tensor)> = Vec::new();
        for (place, slot) in program.gathered.iter().enumerate() {
            values[*slot] = match gathered.joined(place, &program.name)? {
                Some(Value::Tensor(tensor)) if tensor.is_floating_point() => {
                    let cut = tensor.f_detach()?.f_requires_grad_(true)?;
                    cuts.push((place, cut.shallow_clone()));
                    Some(Value::Tensor(cut))
                }
                other => other,
            };
        }
        let mut leaves = first;
        let mut knobs: Vec<(usize, Tensor)> = Vec::new();
        for (place, leaf) in leaves.iter_mut().enumerate() {
            if let Some(leaf) = leaf {
                leaf.sum = leaf.sum.f_detach()?.f_requires_grad_(true)?;
                knobs.push((place, leaf.sum.shallow_clone()));
            }
        }
        let mut counts = update.counts();
        let total = {
            let _region = self.runner.region()?;
            self.whole(&mut values, &mut leaves, &mut counts, &update.whole, true)?;
            self.total(&leaves, &update.whole)?
        };
        drop(values);
        self.must_have_gradients(&total)?;
        let targets: Vec<&Tensor> = cuts
            .iter()
            .chain(&knobs)
            .map(|(_, tensor)| tensor)
            .chain(update.parameters.iter().copied())
            .collect();
        let mut found = self.backward(&total, &targets, update.scale)?.into_iter();
        let of_cuts: Vec<Tensor> = found.by_ref().take(cuts.len()).collect();
        let of_knobs: Vec<Tensor> = found.by_ref().take(knobs.len()).collect();
        let mut gradients: Vec<Tensor> = found.collect();
        without_history(&mut leaves)?;
        // Leaves of parts are added up anew, with those that only serve logs.
        for (leaf, facts) in leaves.iter_mut().zip(&program.leaves) {
            if facts.level == Level::Part {
                *leaf = None;
            }
        }

        for (number, (part, moment)) in update.parts.iter().zip(&update.moments).enumerate() {
            let mut own = update.known[number].clone();
            let (made, surrogate) = {
                let _region = self.runner.region()?;
                let (values, mut made) = self.part(part, moment, &mut own, true)?;
                let mut surrogate: Option<Tensor> = None;
                for ((place, _), gradient) in knobs.iter().zip(&of_knobs) {
                    if let (Some(leaf), true) = (&made[*place], gradient.defined()) {
                        surrogate = Some(add(surrogate, leaf.sum.f_mul(gradient)?)?);
                    }
                }
                for ((place, _), gradient) in cuts.iter().zip(&of_cuts) {
                    let Some(Value::Tensor(value)) = &values[program.gathered[*place]] else { continue };
                    if !gradient.defined() || !value.requires_grad() {
                        continue;
                    }
                    if let Some(own) = gathered.slice(*place, number, gradient)? {
                        surrogate = Some(add(surrogate, value.f_mul(&own)?.f_sum(Kind::Float)?)?);
                    }
                }
                without_history(&mut made)?;
                (made, surrogate)
            };
            add_leaves(&mut leaves, made)?;
            if let Some(surrogate) = surrogate.filter(Tensor::requires_grad) {
                // The gradients in it are scaled already.
                accumulate(&mut gradients, self.backward(&surrogate, update.parameters, 1.0)?)?;
            }
        }
        self.updated(gradients, &total, leaves)
    }

    /// The values of every part that the whole depends on, joined, and the sums of its leaves.
    fn first_pass(&self, update: &Update<'_>) -> Result<(Gathered<'a>, Leaves)> {
        let program = self.program();
        let _mode = Gradients::set(false)?;
        // Components with a state see every part once in the end.
        let states = self.save_states()?;
        let mut gathered = Gathered::new(program);
        let mut sums: Leaves = program.leaves.iter().map(|_| None).collect();
        for (number, (part, moment)) in update.parts.iter().zip(&update.moments).enumerate() {
            let _region = self.runner.region()?;
            let mut own = update.known[number].clone();
            let mut values = self.runner.start(part)?;
            self.runner.run(&program.first_pass, &self.first_releases, &mut values, moment, false)?;
            self.late_counts(&values, moment, &mut own, true)?;
            let leaves = self.leaves_of(&values, moment, &own, false, true)?;
            gathered.take(&values)?;
            add_leaves(&mut sums, leaves)?;
        }
        self.load_states(&states)?;
        Ok((gathered, sums))
    }

    fn updated(&self, gradients: Vec<Tensor>, total: &Tensor, leaves: Leaves) -> Result<Updated> {
        let mut used = BTreeSet::new();
        self.program().terms.iter().for_each(|term| term.reading.leaves(&mut used));
        let no_targets =
            used.iter().all(|place| leaves[*place].as_ref().is_none_or(|l| l.weight == Some(0.0)));
        Ok(Updated { gradients, loss: total.f_detach()?, leaves, no_targets })
    }

    fn empty(&self) -> Values {
        let mut values: Values = Vec::new();
        values.resize_with(self.program().slots, || None);
        values
    }

    /// Targets of a part that follow from the batch alone; zero for the others.
    pub(crate) fn known_counts(&self, part: &Batch, moment: &Moment) -> Result<Vec<f64>> {
        let counts = self.program().counts.iter();
        counts
            .map(|count| if count.ahead { self.runner.count_ahead(count, part, moment) } else { Ok(0.0) })
            .collect()
    }

    /// Targets of a part that had to wait for its values.
    fn late_counts(&self, values: &Values, moment: &Moment, counts: &mut [f64], early: bool) -> Result<()> {
        for (place, count) in self.program().counts.iter().enumerate() {
            if count.ahead || count.level != Level::Part || (early && !self.is_early(place)) {
                continue;
            }
            counts[place] = self.runner.count(count, values, moment)?;
        }
        Ok(())
    }

    fn is_early(&self, count: usize) -> bool {
        let counted = |kind| matches!(kind, LeafKind::Loss { count: c } | LeafKind::OfObjective { count: c } if c == count);
        self.program().leaves.iter().any(|leaf| leaf.early && counted(leaf.kind))
    }

    /// Runs a part: its values, and its leaves. Counts that waited for the values are filled in.
    pub(crate) fn part(
        &self,
        part: &Batch,
        moment: &Moment,
        counts: &mut [f64],
        gradients: bool,
    ) -> Result<(Values, Leaves)> {
        let mut values = self.runner.start(part)?;
        self.runner.run(&self.program().part, &self.part_releases, &mut values, moment, gradients)?;
        self.late_counts(&values, moment, counts, false)?;
        let leaves = self.leaves_of(&values, moment, counts, gradients, false)?;
        Ok((values, leaves))
    }

    /// The leaves of a part; with `early`, those alone that something of the whole is computed from.
    fn leaves_of(
        &self,
        values: &Values,
        moment: &Moment,
        counts: &[f64],
        gradients: bool,
        early: bool,
    ) -> Result<Leaves> {
        let leaves = self.program().leaves.iter();
        leaves
            .map(|leaf| {
                if leaf.level != Level::Part || (early && !leaf.early) {
                    return Ok(None);
                }
                let count = match leaf.kind {
                    LeafKind::Loss { count } | LeafKind::OfObjective { count } => Some(counts[count]),
                    _ => None,
                };
                self.runner.leaf(leaf, values, moment, count, gradients)
            })
            .collect()
    }

    /// Runs the whole's tasks and completes its leaves.
    pub(crate) fn whole(
        &self,
        values: &mut Values,
        leaves: &mut [Option<LeafValue>],
        counts: &mut [f64],
        moment: &Moment,
        gradients: bool,
    ) -> Result<()> {
        let program = self.program();
        for task in &program.whole {
            if let Work::Aggregate { leaf, output } = &task.work {
                self.whole_leaf(*leaf, values, leaves, counts, moment, gradients)?;
                let _mode = Gradients::set(gradients && task.gradients)?;
                if let Some(leaf) = &leaves[*leaf] {
                    let value = leaf.value()?.f_to_device(self.runner.device)?;
                    values[*output] = Some(Value::Tensor(value));
                }
            } else {
                self.runner.one(task, values, moment, gradients)?;
            }
        }
        for place in 0..program.leaves.len() {
            self.whole_leaf(place, values, leaves, counts, moment, gradients)?;
        }
        Ok(())
    }

    fn whole_leaf(
        &self,
        place: usize,
        values: &Values,
        leaves: &mut [Option<LeafValue>],
        counts: &mut [f64],
        moment: &Moment,
        gradients: bool,
    ) -> Result<()> {
        let leaf = &self.program().leaves[place];
        if leaf.level != Level::Whole || leaves[place].is_some() {
            return Ok(());
        }
        let count = match leaf.kind {
            LeafKind::Loss { count } | LeafKind::OfObjective { count } => {
                counts[count] = self.runner.count(&self.program().counts[count], values, moment)?;
                Some(counts[count])
            }
            _ => None,
        };
        leaves[place] = self.runner.leaf(leaf, values, moment, count, gradients)?;
        Ok(())
    }

    /// The weighted sum of the terms.
    fn total(&self, leaves: &[Option<LeafValue>], moment: &Moment) -> Result<Tensor> {
        let mut total: Option<Tensor> = None;
        for term in &self.program().terms {
            let value = reading(&term.reading, leaves, moment)?.into_tensor(self.runner.device)?;
            total = Some(add(total, value.f_mul_scalar(weight_of(&term.weight, moment))?)?);
        }
        total.ok_or_else(no_loss)
    }

    pub(crate) fn must_have_gradients(&self, total: &Tensor) -> Result<()> {
        if total.requires_grad() {
            return Ok(());
        }
        let terms: Vec<&str> = self.program().terms.iter().map(|term| &*term.id).collect();
        Err(EngineError::Experiment(format!(
            "step `{}`: the loss (`{}`) depends on no parameter that is trained; look for `detach()`, frozen \
             models, and components that stop gradients",
            self.program().name,
            terms.join("`, `"),
        )))
    }

    fn save_states(&self) -> Result<Vec<(InstanceId, Vec<u8>)>> {
        let mut states = Vec::new();
        for id in &self.program().stateful {
            if let Some(state) = self.runner.world.save(*id)? {
                states.push((*id, state));
            }
        }
        Ok(states)
    }

    fn load_states(&self, states: &[(InstanceId, Vec<u8>)]) -> Result<()> {
        states.iter().try_for_each(|(id, state)| Ok(self.runner.world.load(*id, state)?))
    }
}

pub(crate) fn no_loss() -> EngineError {
    EngineError::Experiment("a step without a loss cannot be trained".to_owned())
}

/// The factor of a term now.
pub(crate) fn weight_of(weight: &Weight, moment: &Moment) -> f64 {
    match weight {
        Weight::Constant(value) => *value,
        Weight::Scheduled(schedule) => schedule.at(moment.phase_update),
    }
}

fn reading(reading: &Reading, leaves: &[Option<LeafValue>], moment: &Moment) -> Result<Operand> {
    Ok(match reading {
        Reading::Leaf(place) => match &leaves[*place] {
            Some(leaf) => Operand::Tensor(leaf.value()?),
            None => return Err(EngineError::Experiment("a metric has no gradient".to_owned())),
        },
        Reading::Number(number) => Operand::Number(*number),
        Reading::Scheduled(schedule) => Operand::Number(schedule.at(moment.phase_update)),
        Reading::Arithmetic(operator, operands) => {
            let operands =
                operands.iter().map(|o| self::reading(o, leaves, moment)).collect::<Result<Vec<_>>>()?;
            apply(*operator, &operands)?
        }
        Reading::Detached(inner) => match self::reading(inner, leaves, moment)? {
            Operand::Tensor(tensor) => Operand::Tensor(tensor.f_detach()?),
            number @ Operand::Number(_) => number,
        },
    })
}

pub(crate) fn add(total: Option<Tensor>, value: Tensor) -> Result<Tensor> {
    match total {
        Some(total) => Ok(total.f_add(&value)?),
        None => Ok(value),
    }
}

pub(crate) fn add_leaves(sums: &mut Leaves, leaves: Leaves) -> Result<()> {
    let _mode = Gradients::set(false)?;
    for (sum, leaf) in sums.iter_mut().zip(leaves) {
        match (sum, leaf) {
            (Some(sum), Some(leaf)) => {
                sum.sum = sum.sum.f_add(&leaf.sum)?;
                sum.weight = sum.weight.zip(leaf.weight).map(|(a, b)| a + b);
            }
            (sum @ None, Some(leaf)) => *sum = Some(leaf),
            (_, None) => {}
        }
    }
    Ok(())
}

pub(crate) fn without_history(leaves: &mut Leaves) -> Result<()> {
    for leaf in leaves.iter_mut().flatten() {
        leaf.sum = leaf.sum.f_detach()?;
    }
    Ok(())
}

/// Gradients of a scalar, each contiguous and with memory of its own: they are changed in place.
fn backward(total: &Tensor, targets: &[&Tensor], scale: f64) -> Result<Vec<Tensor>> {
    let scaled = if scale == 1.0 { total.shallow_clone() } else { total.f_mul_scalar(scale)? };
    let found = Tensor::f_run_backward(&[&scaled], targets, false, false)?;
    let _mode = Gradients::set(false)?;
    let mut seen = HashSet::new();
    found
        .into_iter()
        .map(|gradient| {
            if !gradient.defined() {
                return Ok(gradient);
            }
            let gradient = gradient.f_contiguous()?;
            // One tensor may be the gradient of two, as of both sides of a sum.
            if seen.insert(gradient.data_ptr() as usize) {
                return Ok(gradient);
            }
            let mut own = gradient.f_empty_like()?;
            own.f_copy_(&gradient)?;
            Ok(own)
        })
        .collect()
}

pub(crate) fn accumulate(sums: &mut Vec<Tensor>, gradients: Vec<Tensor>) -> Result<()> {
    if sums.is_empty() {
        *sums = gradients;
        return Ok(());
    }
    let (mut into, mut from) = (Vec::new(), Vec::new());
    for (sum, gradient) in sums.iter_mut().zip(&gradients) {
        match (sum.defined(), gradient.defined()) {
            (true, true) => {
                into.push(&*sum);
                from.push(gradient);
            }
            (false, true) => *sum = gradient.shallow_clone(),
            (_, false) => {}
        }
    }
    if into.is_empty() { Ok(()) } else { Ok(lists::add_(&into, &from, 1.0)?) }
}
