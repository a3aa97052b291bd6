//! A step taken apart: what the loader computes, what is computed for every part of an update, and
//! what once for the whole of it.
//!
//! A *part* is what runs at once of an update that is split (gradient accumulation); an evaluation's
//! batch is a whole of one part. Values that add up over a whole, and over a log window or an
//! evaluation, are *leaves*: a sum and the weight it is divided by. Losses and logs are *readings*:
//! leaves, or arithmetic over them that is done at the end, on totals.

use crate::model::Instances;
use crate::{EngineError, Result};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use zoo_host::{InstanceId, Wanted};
use zoo_schema::Dtype;
use zoo_schema::experiment::{Operation, Operator, Schedule, StepGraph, ValueRef, Weight};

/// Where an operand comes from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Source {
    /// A value that was computed: index into the values of a part or whole.
    Slot(usize),
    /// A number.
    Number(f64),
    /// A number that varies in time.
    Scheduled(Schedule),
}

impl Source {
    pub(crate) fn slot(&self) -> Option<usize> {
        match self {
            Self::Slot(slot) => Some(*slot),
            _ => None,
        }
    }
}

/// An input of a call.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    pub(crate) port: String,
    /// The port's type: a number goes into it as one, or as a tensor.
    pub(crate) dtype: Dtype,
    pub(crate) source: Source,
}

/// What a task does.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    Call {
        instance: InstanceId,
        inputs: Vec<Input>,
        outputs: Vec<(String, usize)>,
    },
    Arithmetic {
        operator: Operator,
        operands: Vec<Source>,
        output: usize,
    },
    Detach {
        of: Source,
        output: usize,
    },
    /// The value of a leaf over the whole.
    Aggregate {
        leaf: usize,
        output: usize,
    },
}

/// One operation.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    /// Names streams of randomness.
    pub(crate) id: Arc<str>,
    pub(crate) work: Work,
    /// The loss depends on it by way of gradients.
    pub(crate) gradients: bool,
    pub(crate) wanted: Wanted,
}

impl Task {
    pub(crate) fn sources(&self) -> Vec<&Source> {
        match &self.work {
            Work::Call { inputs, .. } => inputs.iter().map(|i| &i.source).collect(),
            Work::Arithmetic { operands, .. } => operands.iter().collect(),
            Work::Detach { of, .. } => vec![of],
            Work::Aggregate { .. } => Vec::new(),
        }
    }

    fn produces(&self, slot: usize) -> bool {
        match &self.work {
            Work::Call { outputs, .. } => outputs.iter().any(|(_, s)| *s == slot),
            Work::Arithmetic { output, .. }
            | Work::Detach { output, .. }
            | Work::Aggregate { output, .. } => *output == slot,
        }
    }
}

/// The number of targets of an objective's call.
#[derive(Clone, Debug)]
pub(crate) struct Count {
    pub(crate) id: Arc<str>,
    pub(crate) instance: InstanceId,
    pub(crate) inputs: Vec<Input>,
    /// It follows from the batch alone, so that it is known for the whole update before the first part
    /// of it is computed.
    pub(crate) ahead: bool,
    pub(crate) level: Level,
}

/// When something is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// By the loader.
    Loader,
    /// For every part.
    Part,
    /// Once for the whole.
    Whole,
}

/// How a value adds up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeafKind {
    /// The sum that an objective gives, divided by the targets.
    Loss { count: usize },
    /// Another scalar of an objective: averaged over the targets.
    OfObjective { count: usize },
    /// Averaged over all elements.
    Mean,
    /// Added up, not divided.
    Sum,
    /// A scalar, averaged over the rows.
    Scalar,
    /// A metric, which adds up by itself.
    Metric { instance: InstanceId },
}

/// A value that adds up.
#[derive(Clone, Debug)]
pub(crate) struct Leaf {
    /// The node.
    pub(crate) id: Arc<str>,
    pub(crate) kind: LeafKind,
    pub(crate) source: Source,
    pub(crate) level: Level,
    /// The loss depends on it.
    pub(crate) in_loss: bool,
    /// Something is computed from its value over the whole: the loss, or a task.
    pub(crate) early: bool,
}

/// A number made of leaves.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reading {
    Leaf(usize),
    Number(f64),
    Scheduled(Schedule),
    Arithmetic(Operator, Vec<Reading>),
    Detached(Box<Reading>),
}

impl Reading {
    pub(crate) fn leaves(&self, into: &mut BTreeSet<usize>) {
        match self {
            Self::Leaf(leaf) => {
                into.insert(*leaf);
            }
            Self::Number(_) | Self::Scheduled(_) => {}
            Self::Arithmetic(_, operands) => operands.iter().for_each(|o| o.leaves(into)),
            Self::Detached(inner) => inner.leaves(into),
        }
    }
}

/// A term of the loss.
#[derive(Clone, Debug)]
pub(crate) struct Term {
    /// The node, for messages.
    pub(crate) id: Arc<str>,
    pub(crate) reading: Reading,
    pub(crate) weight: Weight,
}

/// A step, ready to run.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    /// The step's name.
    pub(crate) name: Arc<str>,
    /// Number of values of a part or whole.
    pub(crate) slots: usize,
    /// Columns of the batch and where they go.
    pub(crate) columns: Vec<(String, usize)>,
    /// Run by the loader.
    pub(crate) loader: Vec<Task>,
    /// Run for every part.
    pub(crate) part: Vec<Task>,
    /// Those of them that the values of the whole depend on: run first, without gradients, where an
    /// update of several parts cannot be normalised ahead.
    pub(crate) first_pass: Vec<Task>,
    /// Run once for the whole.
    pub(crate) whole: Vec<Task>,
    /// Slots that the loader hands over.
    pub(crate) handed_over: Vec<usize>,
    /// Slots of parts that tasks of the whole need.
    pub(crate) gathered: Vec<usize>,
    pub(crate) counts: Vec<Count>,
    pub(crate) leaves: Vec<Leaf>,
    pub(crate) terms: Vec<Term>,
    pub(crate) logs: Vec<(String, Reading)>,
    /// Every term is a sum over parts divided by a number that is known before the first part runs.
    pub(crate) normalised_ahead: bool,
    /// Instances with state that tasks of parts call.
    pub(crate) stateful: Vec<InstanceId>,
    /// Metrics that the step calls.
    pub(crate) metrics: Vec<InstanceId>,
}

/// Which values of a list of tasks are not needed after each.
pub(crate) fn releases(tasks: &[Task], kept: &BTreeSet<usize>) -> Vec<Vec<usize>> {
    let mut last: HashMap<usize, usize> = HashMap::new();
    for (place, task) in tasks.iter().enumerate() {
        for slot in task.sources().into_iter().filter_map(Source::slot) {
            last.insert(slot, place);
        }
    }
    let mut releases = vec![Vec::new(); tasks.len()];
    for (slot, place) in last {
        if !kept.contains(&slot) {
            releases[place].push(slot);
        }
    }
    releases.iter_mut().for_each(|slots| slots.sort_unstable());
    releases
}

struct Compiler<'a> {
    graph: &'a StepGraph,
    instances: &'a Instances,
    slots: BTreeMap<(usize, String), usize>,
    /// The whole's value of a leaf.
    aggregates: BTreeMap<usize, usize>,
    next_slot: usize,
    leaves: Vec<Leaf>,
    leaf_of: HashMap<ValueRef, usize>,
    counts: Vec<Count>,
    count_of: HashMap<usize, usize>,
    levels: Vec<Option<Level>>,
    gradients: Vec<bool>,
    /// Tasks by node; aggregates stand behind the node they are of.
    tasks: BTreeMap<(usize, u8), (Level, Task)>,
}

/// Takes a step apart.
pub(crate) fn compile(graph: &StepGraph, instances: &Instances) -> Result<Program> {
    let nodes = graph.nodes.len();
    for (index, node) in graph.nodes.iter().enumerate() {
        if inputs(&node.operation).iter().any(|input| input.node >= index) {
            return Err(EngineError::Experiment(format!(
                "step `{}`: node `{}` reads a value that is computed after it",
                graph.name, node.id
            )));
        }
    }
    let mut compiler = Compiler {
        graph,
        instances,
        slots: BTreeMap::new(),
        aggregates: BTreeMap::new(),
        next_slot: 0,
        leaves: Vec::new(),
        leaf_of: HashMap::new(),
        counts: Vec::new(),
        count_of: HashMap::new(),
        levels: vec![None; nodes],
        gradients: vec![false; nodes],
        tasks: BTreeMap::new(),
    };
    for term in &graph.loss {
        compiler.mark_gradients(&term.value)?;
    }
    let mut terms = Vec::new();
    for term in &graph.loss {
        terms.push(Term {
            id: compiler.node(&term.value)?.id.as_str().into(),
            reading: compiler.reading(&term.value)?,
            weight: term.weight.clone(),
        });
    }
    let logs = graph
        .logs
        .iter()
        .map(|log| Ok((log.name.clone(), compiler.reading(&log.value)?)))
        .collect::<Result<Vec<_>>>()?;
    compiler.finish(terms, logs)
}

/// The values an operation reads.
pub(crate) fn inputs(operation: &Operation) -> Vec<&ValueRef> {
    match operation {
        Operation::Column { .. } | Operation::Number { .. } | Operation::Scheduled { .. } => Vec::new(),
        Operation::Call { inputs, .. } => inputs.iter().map(|(_, value)| value).collect(),
        Operation::Arithmetic { operands, .. } => operands.iter().collect(),
        Operation::Mean { of } | Operation::Sum { of } | Operation::Detach { of } => vec![of],
    }
}

impl Compiler<'_> {
    fn node(&self, value: &ValueRef) -> Result<&zoo_schema::experiment::Node> {
        self.graph.nodes.get(value.node).ok_or_else(|| {
            EngineError::Experiment(format!("step `{}` has no node {}", self.graph.name, value.node))
        })
    }

    fn id(&self, node: usize) -> Arc<str> {
        self.graph.nodes[node].id.as_str().into()
    }

    fn fresh(&mut self) -> usize {
        self.next_slot += 1;
        self.next_slot - 1
    }

    fn slot(&mut self, node: usize, output: &str) -> usize {
        if let Some(slot) = self.slots.get(&(node, output.to_owned())) {
            return *slot;
        }
        let slot = self.fresh();
        self.slots.insert((node, output.to_owned()), slot);
        slot
    }

    /// Marks the nodes through which gradients flow from this value.
    fn mark_gradients(&mut self, value: &ValueRef) -> Result<()> {
        let mut open = vec![value.clone()];
        while let Some(value) = open.pop() {
            let operation = self.node(&value)?.operation.clone();
            let flows = match &operation {
                Operation::Detach { .. } | Operation::Column { .. } => false,
                Operation::Call { instance, .. } => {
                    !self.instances.get(instance)?.schema.effects.stops_gradient
                }
                _ => true,
            };
            if flows && !std::mem::replace(&mut self.gradients[value.node], true) {
                open.extend(inputs(&operation).into_iter().cloned());
            }
        }
        Ok(())
    }

    /// Which kind of leaf a value is by itself: a mean, a sum, an objective's loss, a metric.
    fn aggregate_kind(&mut self, value: &ValueRef) -> Result<Option<LeafKind>> {
        Ok(match &self.node(value)?.operation {
            Operation::Mean { .. } => Some(LeafKind::Mean),
            Operation::Sum { .. } => Some(LeafKind::Sum),
            Operation::Call { instance, .. } => {
                let component = self.instances.get(instance)?;
                match (component.schema.kind.as_str(), value.output.as_str()) {
                    ("objective", "loss") => Some(LeafKind::Loss { count: self.count(value.node)? }),
                    ("metric", "value") => Some(LeafKind::Metric { instance: component.id }),
                    _ => None,
                }
            }
            _ => None,
        })
    }

    /// Whether a scalar is made of values that add up.
    fn is_aggregate(&mut self, value: &ValueRef) -> Result<bool> {
        match self.node(value)?.operation.clone() {
            Operation::Arithmetic { operands, .. } => {
                for operand in &operands {
                    if self.is_aggregate(operand)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Operation::Detach { of } => self.is_aggregate(&of),
            _ => Ok(self.aggregate_kind(value)?.is_some()),
        }
    }

    /// A scalar as leaves and arithmetic over them.
    fn reading(&mut self, value: &ValueRef) -> Result<Reading> {
        let operation = self.node(value)?.operation.clone();
        Ok(match operation {
            Operation::Number { value } => Reading::Number(value),
            Operation::Scheduled { schedule } => Reading::Scheduled(schedule),
            Operation::Arithmetic { operator, operands } if self.is_aggregate(value)? => {
                let operands = operands.iter().map(|o| self.reading(o)).collect::<Result<_>>()?;
                Reading::Arithmetic(operator, operands)
            }
            Operation::Detach { of } if self.is_aggregate(value)? => {
                Reading::Detached(Box::new(self.reading(&of)?))
            }
            _ => Reading::Leaf(self.leaf(value)?),
        })
    }

    fn leaf(&mut self, value: &ValueRef) -> Result<usize> {
        if let Some(leaf) = self.leaf_of.get(value) {
            return Ok(*leaf);
        }
        let kind = match self.aggregate_kind(value)? {
            Some(kind) => kind,
            None => match &self.node(value)?.operation {
                Operation::Call { instance, .. }
                    if self.instances.get(instance)?.schema.kind == "objective" =>
                {
                    LeafKind::OfObjective { count: self.count(value.node)? }
                }
                _ => LeafKind::Scalar,
            },
        };
        let of = match (&kind, &self.node(value)?.operation) {
            (LeafKind::Mean | LeafKind::Sum, Operation::Mean { of } | Operation::Sum { of }) => of.clone(),
            _ => value.clone(),
        };
        let source = if matches!(kind, LeafKind::Metric { .. }) {
            // A metric's value is asked for at the end; the call itself must run.
            self.task(value.node)?;
            Source::Number(0.0)
        } else {
            self.plain_source(&of)?
        };
        let level = match source {
            Source::Slot(_) => self.levels[of.node].unwrap_or(Level::Part).max(Level::Part),
            _ => Level::Part,
        };
        let leaf = self.leaves.len();
        let id = self.id(value.node);
        self.leaves.push(Leaf { id, kind, source, level, in_loss: false, early: false });
        self.leaf_of.insert(value.clone(), leaf);
        Ok(leaf)
    }

    fn count(&mut self, node: usize) -> Result<usize> {
        if let Some(count) = self.count_of.get(&node) {
            return Ok(*count);
        }
        let Operation::Call { instance, inputs } = self.graph.nodes[node].operation.clone() else {
            return Err(EngineError::Experiment("only calls count targets".to_owned()));
        };
        let component = self.instances.get(&instance)?;
        let (id, schema) = (component.id, Arc::clone(&component.schema));
        let whole = schema.effects.whole_update;
        let place = self.counts.len();
        self.counts.push(Count {
            id: self.id(node),
            instance: id,
            inputs: Vec::new(),
            ahead: false,
            level: Level::Part,
        });
        self.count_of.insert(node, place);
        let mut wired = Vec::new();
        let mut level = Level::Loader;
        for (port, value) in inputs.iter().filter(|(port, _)| schema.count_inputs.contains(port)) {
            let source = self.source(value)?;
            if source.slot().is_some() {
                level = level.max(self.levels[value.node].unwrap_or(Level::Part));
            }
            wired.push(Input { port: port.clone(), dtype: dtype_of(&schema, port), source });
        }
        let task_level = self.task(node)?;
        let count = &mut self.counts[place];
        count.inputs = wired;
        // What compares all examples counts over all of them.
        count.level = if whole { Level::Whole } else { task_level.max(Level::Part) };
        count.ahead = level == Level::Loader && count.level == Level::Part;
        Ok(place)
    }

    /// Where a consumer finds a value; one that adds up is that of the whole.
    fn source(&mut self, value: &ValueRef) -> Result<Source> {
        match self.aggregate_kind(value)? {
            None => self.plain_source(value),
            Some(LeafKind::Metric { .. }) => Err(EngineError::Experiment(format!(
                "step `{}`: the metric `{}` is known only at the end, and can be logged but not computed with",
                self.graph.name,
                self.id(value.node)
            ))),
            Some(_) => {
                let leaf = self.leaf(value)?;
                self.levels[value.node].get_or_insert(Level::Whole);
                if let Some(slot) = self.aggregates.get(&leaf) {
                    return Ok(Source::Slot(*slot));
                }
                let slot = self.fresh();
                self.aggregates.insert(leaf, slot);
                let task = Task {
                    id: self.id(value.node),
                    work: Work::Aggregate { leaf, output: slot },
                    gradients: self.gradients[value.node],
                    wanted: Wanted::All,
                };
                self.tasks.insert((value.node, 1), (Level::Whole, task));
                Ok(Source::Slot(slot))
            }
        }
    }

    fn plain_source(&mut self, value: &ValueRef) -> Result<Source> {
        Ok(match self.node(value)?.operation.clone() {
            Operation::Number { value } => Source::Number(value),
            Operation::Scheduled { schedule } => Source::Scheduled(schedule),
            Operation::Column { .. } => {
                self.levels[value.node] = Some(Level::Loader);
                Source::Slot(self.slot(value.node, ""))
            }
            Operation::Mean { .. } | Operation::Sum { .. } => self.source(value)?,
            _ => {
                self.task(value.node)?;
                Source::Slot(self.slot(value.node, &value.output))
            }
        })
    }

    fn is_whole(&self, value: &ValueRef, source: &Source) -> bool {
        source.slot().is_some_and(|slot| {
            self.aggregates.values().any(|s| *s == slot) || self.levels[value.node] == Some(Level::Whole)
        })
    }

    /// Makes the task of a node, and of all that it needs; gives when it runs.
    fn task(&mut self, node: usize) -> Result<Level> {
        if let Some((level, _)) = self.tasks.get(&(node, 0)) {
            return Ok(*level);
        }
        let operation = self.graph.nodes[node].operation.clone();
        let values = inputs(&operation);
        let mut sources = Vec::with_capacity(values.len());
        let mut level = Level::Loader;
        for value in &values {
            let source = self.source(value)?;
            if self.is_whole(value, &source) {
                level = Level::Whole;
            } else if source.slot().is_some() {
                level = level.max(self.levels[value.node].unwrap_or(Level::Part));
            }
            sources.push(source);
        }
        let output = |this: &mut Self| this.slot(node, "");
        let work = match operation {
            Operation::Call { instance, inputs } => {
                let component = self.instances.get(&instance)?;
                let effects = &component.schema.effects;
                if effects.whole_update {
                    level = Level::Whole;
                } else if !effects.loader {
                    level = level.max(Level::Part);
                }
                let inputs = inputs
                    .iter()
                    .zip(sources)
                    .map(|((port, _), source)| Input {
                        port: port.clone(),
                        dtype: dtype_of(&component.schema, port),
                        source,
                    })
                    .collect();
                Work::Call { instance: component.id, inputs, outputs: Vec::new() }
            }
            Operation::Arithmetic { operator, .. } => {
                Work::Arithmetic { operator, operands: sources, output: output(self) }
            }
            Operation::Detach { .. } => Work::Detach {
                of: sources.pop().ok_or_else(|| EngineError::Experiment("nothing to detach".to_owned()))?,
                output: output(self),
            },
            _ => return Err(EngineError::Experiment("this node computes nothing".to_owned())),
        };
        let task = Task { id: self.id(node), work, gradients: self.gradients[node], wanted: Wanted::All };
        self.levels[node] = Some(level);
        self.tasks.insert((node, 0), (level, task));
        Ok(level)
    }

    fn finish(mut self, terms: Vec<Term>, logs: Vec<(String, Reading)>) -> Result<Program> {
        // Outputs are known only when every consumer has asked.
        let mut outputs: HashMap<usize, Vec<(String, usize)>> = HashMap::new();
        for ((node, output), slot) in &self.slots {
            outputs.entry(*node).or_default().push((output.clone(), *slot));
        }
        let mut lists: [Vec<Task>; 3] = Default::default();
        for ((node, _), (level, mut task)) in std::mem::take(&mut self.tasks) {
            if let Work::Call { outputs: slots, .. } = &mut task.work {
                *slots = outputs.remove(&node).unwrap_or_default();
                task.wanted = Wanted::Only(slots.iter().map(|(name, _)| name.clone()).collect());
            }
            lists[level as usize].push(task);
        }
        let [loader, part, whole] = lists;
        // Arithmetic over the batch runs in the loader only where a call there or a count needs it: the
        // device does it faster.
        let counted = self.counts.iter().filter(|c| c.ahead).flat_map(|c| &c.inputs);
        let counted = counted.filter_map(|input| input.source.slot()).collect();
        let (loader, moved) = keep_needed(loader, counted, self.instances)?;
        let part: Vec<Task> = moved.into_iter().chain(part).collect();
        let columns: Vec<(String, usize)> = self
            .slots
            .iter()
            .filter_map(|((node, _), slot)| match &self.graph.nodes[*node].operation {
                Operation::Column { column } => Some((column.clone(), *slot)),
                _ => None,
            })
            .collect();
        for term in &terms {
            let mut leaves = BTreeSet::new();
            term.reading.leaves(&mut leaves);
            leaves.iter().for_each(|leaf| self.leaves[*leaf].in_loss = true);
        }
        for task in &whole {
            if let Work::Aggregate { leaf, .. } = task.work {
                // The whole's tasks may lead to the loss.
                self.leaves[leaf].in_loss |= task.gradients;
                self.leaves[leaf].early = true;
            }
        }
        for leaf in &mut self.leaves {
            leaf.early |= leaf.in_loss;
        }
        let made_by = |tasks: &[Task], slot: usize| tasks.iter().any(|t| t.produces(slot));
        let mut gathered = BTreeSet::new();
        let whole_sources = whole
            .iter()
            .flat_map(Task::sources)
            .chain(
                self.counts
                    .iter()
                    .filter(|c| c.level == Level::Whole)
                    .flat_map(|c| c.inputs.iter().map(|i| &i.source)),
            )
            .chain(self.leaves.iter().filter(|l| l.level == Level::Whole).map(|l| &l.source));
        for slot in whole_sources.filter_map(Source::slot) {
            if !made_by(&whole, slot) {
                gathered.insert(slot);
            }
        }
        let mut handed_over = BTreeSet::new();
        let later = part.iter().chain(&whole).flat_map(Task::sources);
        let of_leaves = self.leaves.iter().map(|l| &l.source);
        let of_counts = self.counts.iter().flat_map(|c| c.inputs.iter().map(|i| &i.source));
        for slot in later.chain(of_leaves).chain(of_counts).filter_map(Source::slot) {
            if made_by(&loader, slot) || columns.iter().any(|(_, s)| *s == slot) {
                handed_over.insert(slot);
            }
        }
        for count in &mut self.counts {
            let known = |source: &Source| source.slot().is_none_or(|slot| handed_over.contains(&slot));
            count.ahead &= count.inputs.iter().all(|input| known(&input.source));
        }
        let normalised_ahead = terms.iter().all(|term| match &term.reading {
            Reading::Leaf(leaf) => {
                let leaf = &self.leaves[*leaf];
                leaf.level == Level::Part
                    && match leaf.kind {
                        LeafKind::Loss { count } | LeafKind::OfObjective { count } => {
                            self.counts[count].ahead
                        }
                        LeafKind::Sum | LeafKind::Scalar => true,
                        LeafKind::Mean | LeafKind::Metric { .. } => false,
                    }
            }
            _ => false,
        });
        let mut needed: BTreeSet<usize> = gathered.clone();
        needed.extend(
            self.leaves.iter().filter(|l| l.early && l.level == Level::Part).filter_map(|l| l.source.slot()),
        );
        needed.extend(
            self.counts
                .iter()
                .filter(|c| !c.ahead)
                .flat_map(|c| c.inputs.iter().filter_map(|input| input.source.slot())),
        );
        let first_pass = ancestors(&part, needed);
        let mut stateful = BTreeSet::new();
        let mut metrics = BTreeSet::new();
        for task in loader.iter().chain(&part).chain(&whole) {
            if let Work::Call { instance, .. } = &task.work {
                let schema = &self.instances.by_id(*instance)?.schema;
                if schema.kind == "metric" {
                    metrics.insert(*instance);
                } else if schema.effects.state {
                    stateful.insert(*instance);
                }
            }
        }
        Ok(Program {
            name: self.graph.name.as_str().into(),
            slots: self.next_slot,
            columns,
            loader,
            part,
            first_pass,
            whole,
            handed_over: handed_over.into_iter().collect(),
            gathered: gathered.into_iter().collect(),
            counts: self.counts,
            leaves: self.leaves,
            terms,
            logs,
            normalised_ahead,
            stateful: stateful.into_iter().collect(),
            metrics: metrics.into_iter().collect(),
        })
    }
}

fn dtype_of(schema: &zoo_schema::Component, port: &str) -> Dtype {
    schema.input(port).map_or(Dtype::Any, |port| port.kind.dtype)
}

/// The tasks that the slots depend on, in order.
fn ancestors(tasks: &[Task], mut needed: BTreeSet<usize>) -> Vec<Task> {
    let mut kept = Vec::new();
    for task in tasks.iter().rev() {
        if needed.iter().any(|slot| task.produces(*slot)) {
            needed.extend(task.sources().into_iter().filter_map(Source::slot));
            kept.push(task.clone());
        }
    }
    kept.reverse();
    kept
}

/// Splits the loader's tasks into its calls and what they and the slots need, and the rest.
fn keep_needed(
    tasks: Vec<Task>,
    mut needed: BTreeSet<usize>,
    instances: &Instances,
) -> Result<(Vec<Task>, Vec<Task>)> {
    let mut keep = vec![false; tasks.len()];
    for (place, task) in tasks.iter().enumerate().rev() {
        let call = match &task.work {
            Work::Call { instance, .. } => instances.by_id(*instance)?.schema.effects.loader,
            _ => false,
        };
        if call || needed.iter().any(|slot| task.produces(*slot)) {
            keep[place] = true;
            needed.extend(task.sources().into_iter().filter_map(Source::slot));
        }
    }
    let (mut kept, mut rest) = (Vec::new(), Vec::new());
    for (task, keep) in tasks.into_iter().zip(keep) {
        if keep { kept.push(task) } else { rest.push(task) }
    }
    Ok((kept, rest))
}
