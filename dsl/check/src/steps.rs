//! Steps: dataflow with shapes. Every `let` and call becomes nodes of a graph; what no log and no
//! loss needs is dropped.

use crate::definitions::{Defined, find};
use crate::evaluate::{ArmChecker, Site};
use crate::graph::{Edge, TypedGraph};
use crate::shape::{Names, ShapeMismatch, Size, Type, Unknowns};
use crate::value::Value;
use crate::{list, nearest, place};
use std::collections::HashMap;
use zoo_diagnostics::{Diagnostic, Span, codes};
use zoo_schema::experiment::{
    Log, LossTerm, Node, Operation, Operator, Schedule, StepGraph, ValueRef, Weight,
};
use zoo_schema::{Component, Dim, Dtype, Port};
use zoo_syntax::ast::{Argument, BinaryOperator, Expr, ExprKind, Statement, Step, UnaryOperator};

/// What a name or expression of a step stands for.
#[derive(Clone, Debug)]
enum Wire {
    /// Outputs of a call, or the columns of the batch.
    Record(Record),
    /// One value.
    Single(ValueRef, Type, Span),
    /// A number, known before the run.
    Number(f64),
    /// A number that varies in time.
    Scheduled(Schedule),
    /// Wrong somewhere else.
    Unknown,
}

#[derive(Clone, Debug)]
struct Record {
    /// What messages call it.
    name: String,
    /// Where it comes from.
    span: Span,
    outputs: Vec<(String, ValueRef, Type)>,
}

struct Builder {
    nodes: Vec<Node>,
    types: Vec<Vec<(String, Type)>>,
    unknowns: Unknowns,
    names: HashMap<String, Wire>,
    used: HashMap<String, bool>,
    hint: String,
    /// Names of dimensions of every call node, for costs.
    dimensions: HashMap<usize, Names>,
}

/// A finished step with what its costs are computed from.
pub(crate) struct Built {
    pub(crate) graph: StepGraph,
    /// What is known of sizes, and where only a batch tells, the largest ones.
    pub(crate) sizes: Sizes,
    /// Sizes with shorter texts, by their length, the longest last; none where all is known.
    pub(crate) by_length: Vec<(f64, Sizes)>,
    /// Kind and better-direction of every log, for metrics.
    pub(crate) logs: Vec<LogFacts>,
}

/// Sizes of a step's values.
pub(crate) struct Sizes {
    /// For every node: the values of names in cost formulas; none where a dimension is unknown.
    pub(crate) names: Vec<HashMap<String, f64>>,
    /// For every node: its outputs, with element type and number of elements where that is known.
    pub(crate) outputs: Vec<Vec<(String, Dtype, Option<f64>)>>,
}

/// Shares of the largest size of what only a batch tells, for which costs are predicted.
const SHARES: [f64; 8] = [0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0];

/// What is known of a log.
#[derive(Clone, Debug)]
pub(crate) struct LogFacts {
    pub(crate) name: String,
    pub(crate) higher_is_better: Option<bool>,
    pub(crate) percent: bool,
}

impl Builder {
    fn node(
        &mut self,
        operation: Operation,
        types: Vec<(String, Type)>,
        place: zoo_schema::experiment::Place,
    ) -> usize {
        // The same computation twice is one node; calls that draw randomness are never the same.
        if !matches!(operation, Operation::Call { .. })
            && let Some(same) = self.nodes.iter().position(|n| n.operation == operation)
        {
            return same;
        }
        let mut id = self.hint.clone();
        let mut number = 1;
        while self.nodes.iter().any(|n| n.id == id) {
            id = format!("{}.{number}", self.hint);
            number += 1;
        }
        self.nodes.push(Node { id, operation, place });
        self.types.push(types);
        self.nodes.len() - 1
    }
}

fn single(node: usize, kind: Type, span: Span) -> Wire {
    Wire::Single(ValueRef { node, output: String::new() }, kind, span)
}

fn scalar(dtype: Dtype) -> Type {
    Type { dtype, shape: Some(Vec::new()) }
}

impl<'d> ArmChecker<'d> {
    /// The graph of a step over a data source, with batches of this size.
    pub(crate) fn step(
        &mut self,
        owner: &str,
        step: Defined<'d, Step>,
        data: &str,
        batch: Option<f64>,
        trained: bool,
    ) -> Option<Built> {
        let mut builder = Builder {
            nodes: Vec::new(),
            types: Vec::new(),
            unknowns: Unknowns::default(),
            names: HashMap::new(),
            used: HashMap::new(),
            hint: String::new(),
            dimensions: HashMap::new(),
        };
        let schema = self.schemas.get(data).copied()?;
        let columns = self.columns(data, schema, batch, &mut builder);
        for input in &step.item.inputs {
            let record = Record { name: input.text.clone(), span: input.span, outputs: columns.clone() };
            builder.names.insert(input.text.clone(), Wire::Record(record));
        }
        if step.item.inputs.len() > 1 {
            self.error(
                Diagnostic::error(codes::WRONG_TYPE, "a step takes one batch")
                    .primary(step.item.inputs[1].span, "one too many"),
            );
        }
        let errors = self.messages.errors;
        let mut unread = false;
        let mut logs: Vec<Log> = Vec::new();
        let mut facts = Vec::new();
        let mut loss: Option<(Vec<LossTerm>, Span)> = None;
        for statement in &step.item.body {
            match statement {
                Statement::Let { name, value, .. } => {
                    if builder.names.contains_key(&name.text) {
                        self.error(
                            Diagnostic::error(
                                codes::DEFINED_TWICE,
                                format!("`{}` is there already", name.text),
                            )
                            .primary(name.span, "again here")
                            .help("give it another name"),
                        );
                        continue;
                    }
                    builder.hint.clone_from(&name.text);
                    let wire = self.wire(value, step.scope, &mut builder);
                    // Messages call a record by its name.
                    let wire = match wire {
                        Wire::Record(record) => Wire::Record(Record { name: name.text.clone(), ..record }),
                        other => other,
                    };
                    builder.names.insert(name.text.clone(), wire);
                    builder.used.insert(name.text.clone(), false);
                }
                Statement::Log { name, value, .. } => {
                    builder.hint.clone_from(&name.text);
                    let wire = self.wire(value, step.scope, &mut builder);
                    if let Some((value, higher, percent)) = self.log(wire, value, &builder) {
                        logs.push(Log { name: name.text.clone(), value });
                        facts.push(LogFacts { name: name.text.clone(), higher_is_better: higher, percent });
                    }
                }
                Statement::Loss { value, span } => {
                    "loss".clone_into(&mut builder.hint);
                    let mut terms = Vec::new();
                    self.loss(value, step.scope, Factor::Number(1.0), &mut terms, &mut builder);
                    if let Some((_, first)) = &loss {
                        let first = *first;
                        self.error(
                            Diagnostic::error(
                                codes::ONE_LOSS,
                                format!("the step `{}` has two losses", step.item.name),
                            )
                            .primary(*span, "again here")
                            .secondary(first, "first here")
                            .help("add them up in one `loss = a + b`"),
                        );
                    } else {
                        loss = Some((terms, *span));
                    }
                }
                Statement::Broken(broken) => {
                    unread = true;
                    let Some(name) = &broken.name else { continue };
                    match broken.keyword {
                        Some("let") => {
                            builder.names.insert(name.text.clone(), Wire::Unknown);
                        }
                        Some("log") => facts.push(LogFacts {
                            name: name.text.clone(),
                            higher_is_better: None,
                            percent: false,
                        }),
                        _ => {}
                    }
                }
            }
        }
        // What is wrong elsewhere in the step may be why a value is not used.
        let sound = self.messages.errors == errors && !unread;
        for statement in step.item.body.iter().filter(|_| sound) {
            if let Statement::Let { name, .. } = statement
                && builder.used.get(&name.text) == Some(&false)
                && !name.text.starts_with('_')
            {
                self.messages.push(
                    Diagnostic::warning(codes::UNUSED, format!("`{}` is never used", name.text))
                        .primary(name.span, "nothing needs it")
                        .help("remove it, or let its name begin with `_`"),
                );
            }
        }
        if trained && loss.is_none() && unread {
            return None;
        }
        if trained && loss.is_none() {
            self.error(
                Diagnostic::error(codes::ONE_LOSS, format!("the step `{}` has no loss", step.item.name))
                    .primary(step.item.name.span, "a phase trains with it")
                    .help("add `loss = …`"),
            );
            return None;
        }
        if !trained && logs.is_empty() && sound {
            self.error(
                Diagnostic::error(
                    codes::NOTHING_MEASURED,
                    format!("the step `{}` logs nothing", step.item.name),
                )
                .primary(step.item.name.span, "it is measured, and has no `log`")
                .help("add `log name = …`"),
            );
        }
        let mut graph = StepGraph {
            name: step.item.name.text.clone(),
            nodes: builder.nodes.clone(),
            logs,
            // An evaluation needs the logs alone.
            loss: if trained { loss.map(|(terms, _)| terms).unwrap_or_default() } else { Vec::new() },
        };
        let kept = prune(&mut graph);
        let (sizes, longest) = self.sizes(&graph, &kept, &builder, 1.0);
        let by_length = match longest {
            Some(longest) if !self.messages_only => SHARES
                .iter()
                .map(|share| (share * longest, self.sizes(&graph, &kept, &builder, *share).0))
                .collect(),
            _ => Vec::new(),
        };
        let mut edges = Vec::new();
        for new in 0..kept.len() {
            for input in inputs_of(&graph.nodes[new].operation) {
                let from = kept[input.node];
                let kind = builder.types[from].iter().find(|(o, _)| *o == input.output);
                edges.push(Edge {
                    from: input.node,
                    to: new,
                    label: kind.map(|(_, t)| builder.unknowns.show(t)).unwrap_or_default(),
                    output: input.output.clone(),
                });
            }
        }
        let arm = self.definitions.arms.get(self.arm).map_or("main", |a| a.name.text.as_str());
        self.graphs.push(TypedGraph {
            arm: arm.to_owned(),
            owner: owner.to_owned(),
            graph: graph.clone(),
            edges,
        });
        Some(Built { graph, sizes, by_length, logs: facts })
    }

    /// Sizes of a step, where what nothing fixes has a share of the largest size that schemas tell; and
    /// that size, where there is such.
    fn sizes(
        &self,
        graph: &StepGraph,
        kept: &[usize],
        builder: &Builder,
        share: f64,
    ) -> (Sizes, Option<f64>) {
        let (unknowns, longest) = self.bounded(graph, kept, builder, share);
        let (mut names, mut outputs) = (Vec::new(), Vec::new());
        for (new, old) in kept.iter().enumerate() {
            let sizes = builder.types[*old].iter().map(|(output, kind)| {
                let shape = kind.shape.as_deref();
                let elements = shape
                    .and_then(|shape| shape.iter().map(|size| unknowns.value(size)).product::<Option<f64>>());
                (output.clone(), kind.dtype, elements)
            });
            outputs.push(sizes.collect());
            let mut known = HashMap::new();
            if let Some(dimensions) = builder.dimensions.get(old) {
                for (name, size) in dimensions.all() {
                    if let Some(value) = unknowns.value(size) {
                        known.insert(name.clone(), value);
                    } else if !self.is_in_play(name, new, graph) {
                        // Nothing of this size is given or computed, as with scores that nobody reads.
                        known.insert(name.clone(), 0.0);
                    }
                }
            }
            names.push(known);
        }
        (Sizes { names, outputs }, longest)
    }

    /// The unknowns of a step, with a share of the largest sizes that schemas tell in place of those that
    /// nothing fixes: of the smallest of the bounds, where there are several. And the largest such size.
    fn bounded(
        &self,
        graph: &StepGraph,
        kept: &[usize],
        builder: &Builder,
        share: f64,
    ) -> (Unknowns, Option<f64>) {
        let mut bounds: Vec<(Size, f64)> = Vec::new();
        for (node, old) in graph.nodes.iter().zip(kept) {
            let Operation::Call { instance, .. } = &node.operation else { continue };
            let (Some(schema), Some(dimensions)) = (self.schemas.get(instance), builder.dimensions.get(old))
            else {
                continue;
            };
            let numbers: HashMap<String, f64> = dimensions
                .all()
                .filter_map(|(name, size)| Some((name.clone(), builder.unknowns.value(size)?)))
                .collect();
            for (dimension, text) in &schema.cost.bounds {
                if let Some(size) = dimensions.get(dimension)
                    && let Ok(bound) = crate::cost::formula(text, &numbers)
                {
                    bounds.push((size.clone(), bound));
                }
            }
        }
        bounds.sort_by(|a, b| a.1.total_cmp(&b.1));
        let mut unknowns = builder.unknowns.clone();
        let mut longest = None;
        for (size, bound) in bounds {
            if unknowns.value(&size).is_none() && unknowns.unify(&size, &Size::Known(share * bound)) {
                longest = Some(f64::max(longest.unwrap_or(0.0), bound));
            }
        }
        (unknowns, longest)
    }

    /// Whether a dimension of a call's schema belongs to a value that is given to it or read from it.
    fn is_in_play(&self, dimension: &str, node: usize, graph: &StepGraph) -> bool {
        let Operation::Call { instance, inputs } = &graph.nodes[node].operation else { return true };
        let Some(schema) = self.schemas.get(instance) else { return true };
        let reads = graph.nodes.iter().flat_map(|n| inputs_of(&n.operation));
        let reads =
            reads.chain(graph.logs.iter().map(|l| &l.value)).chain(graph.loss.iter().map(|t| &t.value));
        let read: Vec<&str> = reads.filter(|r| r.node == node).map(|r| r.output.as_str()).collect();
        let given = schema.inputs.iter().filter(|port| inputs.iter().any(|(name, _)| *name == port.name));
        let wanted = schema.outputs.iter().filter(|port| read.contains(&port.name.as_str()));
        given.chain(wanted).any(|port| port.kind.shape.iter().any(|dim| mentions(dim, dimension)))
    }

    /// The columns of a data source as outputs of column nodes.
    fn columns(
        &mut self,
        data: &str,
        schema: &'d Component,
        batch: Option<f64>,
        builder: &mut Builder,
    ) -> Vec<(String, ValueRef, Type)> {
        let instance = self.instances.iter().find(|i| i.name == data).cloned();
        let parameters = instance.map(|i| i.parameters).unwrap_or_default();
        let mut names = Names::new(
            parameters
                .iter()
                .filter_map(|(name, value)| Some((name.clone(), value.as_f64()?)))
                .chain(batch.map(|size| ("B".to_owned(), size))),
        );
        let mut columns = Vec::new();
        for output in &schema.outputs {
            let kind = names.instantiate(&output.kind, None, &mut builder.unknowns);
            let titles: Vec<String> = match &output.columns_from {
                Some(parameter) => parameters
                    .get(parameter)
                    .and_then(|v| v.as_array())
                    .map(|list| list.iter().filter_map(|v| Some(v.as_str()?.to_owned())).collect())
                    .unwrap_or_default(),
                None => vec![output.name.clone()],
            };
            for column in titles {
                builder.hint.clone_from(&column);
                let operation = Operation::Column { column: column.clone() };
                let node = builder.node(operation, vec![(String::new(), kind.clone())], Default::default());
                columns.push((column, ValueRef { node, output: String::new() }, kind.clone()));
            }
        }
        columns
    }

    fn wire(&mut self, expression: &'d Expr, scope: &'d str, builder: &mut Builder) -> Wire {
        match &expression.kind {
            ExprKind::Name(name) => {
                if let Some(wire) = builder.names.get(name) {
                    let wire = wire.clone();
                    builder.used.insert(name.clone(), true);
                    return wire;
                }
                let full = format!("{scope}{name}");
                let known = find(&self.definitions.params, &full).is_some()
                    || find(&self.definitions.bindings, &full).is_some()
                    || self.definitions.broken.contains(&full);
                if !known {
                    return self.unknown_value(name, expression.span, builder);
                }
                self.constant(expression, scope)
            }
            ExprKind::Member { of, name } => {
                let path = expression.as_path();
                if let Some(path) = path.filter(|p| !builder.names.contains_key(&p.names[0].text)) {
                    let first = &path.names[0];
                    if !self.definitions.begins(&format!("{scope}{}", first.text))
                        && !self.definitions.begins(&first.text)
                    {
                        return self.unknown_value(&first.text, first.span, builder);
                    }
                    return self.constant(expression, scope);
                }
                let of = self.wire(of, scope, builder);
                self.output(of, name, builder)
            }
            ExprKind::Call { callee, arguments } => {
                self.step_call(expression, callee, arguments, scope, builder)
            }
            ExprKind::Unary { operator, operand } => {
                let wire = self.wire(operand, scope, builder);
                match (operator, self.value_of(wire, operand, builder)) {
                    (_, Wire::Unknown) => Wire::Unknown,
                    (UnaryOperator::Negate, Wire::Number(number)) => Wire::Number(-number),
                    (operator, wire) => {
                        let (operator, dtype) = match operator {
                            UnaryOperator::Negate => (Operator::Negate, Dtype::Float),
                            UnaryOperator::Not => (Operator::Not, Dtype::Bool),
                        };
                        let Some((reference, kind)) = self.operand(wire, builder) else {
                            return Wire::Unknown;
                        };
                        let kind = Type { dtype, shape: kind.shape };
                        let operation = Operation::Arithmetic { operator, operands: vec![reference] };
                        let at = place(self.sources, expression.span);
                        let node = builder.node(operation, vec![(String::new(), kind.clone())], at);
                        single(node, kind, expression.span)
                    }
                }
            }
            ExprKind::Binary { operator, left, right, .. } => {
                let a = self.wire(left, scope, builder);
                let a = self.value_of(a, left, builder);
                let b = self.wire(right, scope, builder);
                let b = self.value_of(b, right, builder);
                self.arithmetic(expression, *operator, a, b, builder)
            }
            _ => self.constant(expression, scope),
        }
    }

    /// A message for a name that neither the step nor the recipe knows. The step's own names come first.
    fn unknown_value(&mut self, name: &str, span: Span, builder: &Builder) -> Wire {
        let mut names: Vec<String> = builder.names.keys().cloned().collect();
        names.sort();
        names.extend(self.definitions.params.iter().map(|(n, _)| n.clone()));
        self.error(crate::unknown_name(name, span, "value", &names));
        Wire::Unknown
    }

    /// A value of the recipe inside a step.
    fn constant(&mut self, expression: &'d Expr, scope: &'d str) -> Wire {
        match self.value(expression, Site { scope, path: "step" }) {
            Value::Number(number, _) => Wire::Number(number),
            Value::Bool(truth) => Wire::Number(f64::from(u8::from(truth))),
            Value::Schedule(schedule) => Wire::Scheduled(schedule),
            Value::Unknown => Wire::Unknown,
            other => {
                self.error(
                    Diagnostic::error(codes::WRONG_TYPE, "this cannot be computed with in a step")
                        .primary(expression.span, format!("this is {}", other.describe())),
                );
                Wire::Unknown
            }
        }
    }

    fn output(&mut self, of: Wire, name: &zoo_syntax::ast::Name, _builder: &mut Builder) -> Wire {
        match of {
            Wire::Record(record) => {
                if let Some((_, reference, kind)) = record.outputs.iter().find(|(n, _, _)| *n == name.text) {
                    return Wire::Single(reference.clone(), kind.clone(), record.span);
                }
                let known: Vec<String> = record.outputs.iter().map(|(n, _, _)| n.clone()).collect();
                let diagnostic = Diagnostic::error(
                    codes::UNKNOWN_OUTPUT,
                    format!("`{}` has no output `{}`", record.name, name.text),
                )
                .primary(name.span, "unknown output")
                .secondary(record.span, format!("`{}` comes from here", record.name));
                self.error(match nearest(&name.text, known.iter().map(String::as_str)) {
                    Some(near) => diagnostic.help_edit(format!("did you mean `{near}`?"), name.span, near),
                    None => diagnostic.note(format!("it has {}", list(&known))),
                });
                Wire::Unknown
            }
            Wire::Single(..) | Wire::Number(_) | Wire::Scheduled(_) => {
                self.error(
                    Diagnostic::error(
                        codes::UNKNOWN_OUTPUT,
                        format!("this value has no part `{}`", name.text),
                    )
                    .primary(name.span, "nothing can follow")
                    .note("a tensor has `.mean()`, `.sum()` and `.detach()`"),
                );
                Wire::Unknown
            }
            Wire::Unknown => Wire::Unknown,
        }
    }

    /// A record with one output stands for that output.
    fn value_of(&mut self, wire: Wire, at: &Expr, _builder: &mut Builder) -> Wire {
        let Wire::Record(record) = wire else { return wire };
        match record.outputs.as_slice() {
            [(_, reference, kind)] => Wire::Single(reference.clone(), kind.clone(), record.span),
            outputs => {
                let known: Vec<String> = outputs.iter().map(|(n, _, _)| n.clone()).collect();
                self.error(
                    Diagnostic::error(
                        codes::WHICH_OUTPUT,
                        format!("`{}` has {} outputs", record.name, known.len()),
                    )
                    .primary(at.span, "which one?")
                    .note(format!("outputs are {}", list(&known))),
                );
                Wire::Unknown
            }
        }
    }

    /// A node that gives the value.
    fn operand(&mut self, wire: Wire, builder: &mut Builder) -> Option<(ValueRef, Type)> {
        Some(match wire {
            Wire::Single(reference, kind, _) => (reference, kind),
            Wire::Number(value) => {
                let kind = scalar(Dtype::Float);
                let types = vec![(String::new(), kind.clone())];
                let node = builder.node(Operation::Number { value }, types, Default::default());
                (ValueRef { node, output: String::new() }, kind)
            }
            Wire::Scheduled(schedule) => {
                let kind = scalar(Dtype::Float);
                let types = vec![(String::new(), kind.clone())];
                let node = builder.node(Operation::Scheduled { schedule }, types, Default::default());
                (ValueRef { node, output: String::new() }, kind)
            }
            Wire::Record(_) | Wire::Unknown => return None,
        })
    }

    fn arithmetic(
        &mut self,
        at: &Expr,
        operator: BinaryOperator,
        a: Wire,
        b: Wire,
        builder: &mut Builder,
    ) -> Wire {
        use BinaryOperator as B;
        if let (Wire::Number(a), Wire::Number(b)) = (&a, &b) {
            return Wire::Number(match operator {
                B::Add => a + b,
                B::Subtract => a - b,
                B::Multiply => a * b,
                B::Divide => a / b,
                B::Equal => f64::from(u8::from(a == b)),
                B::NotEqual => f64::from(u8::from(a != b)),
                B::Less => f64::from(u8::from(a < b)),
                B::LessEqual => f64::from(u8::from(a <= b)),
                B::Greater => f64::from(u8::from(a > b)),
                B::GreaterEqual => f64::from(u8::from(a >= b)),
                B::And => f64::from(u8::from(*a != 0.0 && *b != 0.0)),
                B::Or => f64::from(u8::from(*a != 0.0 || *b != 0.0)),
            });
        }
        let (Some((a, left)), Some((b, right))) = (self.operand(a, builder), self.operand(b, builder)) else {
            return Wire::Unknown;
        };
        let (operator, swap, dtype) = match operator {
            B::Add => (Operator::Add, false, Dtype::Float),
            B::Subtract => (Operator::Subtract, false, Dtype::Float),
            B::Multiply => (Operator::Multiply, false, Dtype::Float),
            B::Divide => (Operator::Divide, false, Dtype::Float),
            B::Equal => (Operator::Equal, false, Dtype::Bool),
            B::NotEqual => (Operator::NotEqual, false, Dtype::Bool),
            B::Less => (Operator::Less, false, Dtype::Bool),
            B::Greater => (Operator::Greater, false, Dtype::Bool),
            B::And => (Operator::And, false, Dtype::Bool),
            B::Or => (Operator::Or, false, Dtype::Bool),
            B::LessEqual | B::GreaterEqual => {
                self.error(
                    Diagnostic::error(codes::WRONG_TYPE, "tensors are compared with `<`, `>`, `==` and `!=`")
                        .primary(at.span, format!("`{}` is not there for tensors", operator.as_str())),
                );
                return Wire::Unknown;
            }
        };
        let shape = match (&left.shape, &right.shape) {
            (Some(l), Some(r)) => {
                let (long, short) = if l.len() >= r.len() { (l, r) } else { (r, l) };
                let offset = long.len() - short.len();
                for (x, y) in long[offset..].iter().zip(short) {
                    let one = |s: &Size| builder.unknowns.value(s) == Some(1.0);
                    if !one(x) && !one(y) && !builder.unknowns.unify(x, y) {
                        let text = format!(
                            "{} and {} do not fit together",
                            builder.unknowns.show(&left),
                            builder.unknowns.show(&right)
                        );
                        self.error(Diagnostic::error(codes::SHAPES_DIFFER, text).primary(at.span, "in this"));
                        return Wire::Unknown;
                    }
                }
                Some(long.clone())
            }
            _ => None,
        };
        let dtype = match (dtype, left.dtype, right.dtype) {
            (Dtype::Float, Dtype::Int, Dtype::Int) if operator != Operator::Divide => Dtype::Int,
            (dtype, _, _) => dtype,
        };
        let kind = Type { dtype, shape };
        let operands = if swap { vec![b, a] } else { vec![a, b] };
        let operation = Operation::Arithmetic { operator, operands };
        let at_place = place(self.sources, at.span);
        let node = builder.node(operation, vec![(String::new(), kind.clone())], at_place);
        single(node, kind, at.span)
    }

    fn step_call(
        &mut self,
        expression: &'d Expr,
        callee: &'d Expr,
        arguments: &'d [Argument],
        scope: &'d str,
        builder: &mut Builder,
    ) -> Wire {
        // `x.mean()`: a method of a value of this step.
        if let ExprKind::Member { of, name } = &callee.kind {
            let local = match callee.as_path() {
                Some(path) => builder.names.contains_key(&path.names[0].text),
                None => true,
            };
            if local {
                return self.method(expression, of, name, arguments, scope, builder);
            }
        }
        let Some(path) = callee.as_path() else {
            self.error(
                Diagnostic::error(codes::NOT_CALLABLE, "only components are called")
                    .primary(callee.span, "not callable"),
            );
            return Wire::Unknown;
        };
        if path.names.len() == 1 {
            let name = &path.names[0].text;
            if matches!(name.as_str(), "ramp" | "cosine" | "exponential" | "steps_at") {
                return self.constant(expression, scope);
            }
            if builder.names.contains_key(name) {
                self.error(
                    Diagnostic::error(codes::NOT_CALLABLE, format!("`{name}` is a value of this step"))
                        .primary(callee.span, "not callable"),
                );
                return Wire::Unknown;
            }
        }
        let full = format!("{scope}{path}");
        let hint = builder.hint.clone();
        let (instance, schema, ports) = if find(&self.definitions.bindings, &full).is_some() {
            match self.binding(&full, callee.span) {
                Value::Component { name, .. } => {
                    let Some(schema) = self.schemas.get(&name).copied() else { return Wire::Unknown };
                    (name, schema, arguments.iter().collect::<Vec<_>>())
                }
                Value::Unknown => {
                    self.touch(arguments, builder);
                    return Wire::Unknown;
                }
                other => {
                    self.error(
                        Diagnostic::error(codes::NOT_CALLABLE, format!("`{full}` is no component"))
                            .primary(callee.span, format!("this is {}", other.describe())),
                    );
                    return Wire::Unknown;
                }
            }
        } else if path.names.len() == 1 {
            if !self.definitions.broken.contains(&full) {
                let known: Vec<String> = self.definitions.bindings.iter().map(|(n, _)| n.clone()).collect();
                self.error(crate::unknown_name(&path.names[0].text, callee.span, "component", &known));
            }
            self.touch(arguments, builder);
            return Wire::Unknown;
        } else {
            let Some(schema) = self.component(&path, None) else {
                self.touch(arguments, builder);
                return Wire::Unknown;
            };
            match self.inline(schema, expression, arguments, scope) {
                Some((name, ports)) => (name, schema, ports),
                None => {
                    self.touch(arguments, builder);
                    return Wire::Unknown;
                }
            }
        };
        builder.hint = hint;
        if !zoo_schema::kinds::kind(&schema.kind).is_some_and(|k| k.callable) {
            self.error(
                Diagnostic::error(
                    codes::NOT_CALLABLE,
                    format!("{} is not called in a step", crate::a_kind(&schema.kind)),
                )
                .primary(callee.span, format!("of kind {}", schema.kind)),
            );
            return Wire::Unknown;
        }
        self.connect(expression, &instance, schema, &ports, scope, builder)
    }

    /// Marks names in arguments as used, where the call itself is wrong.
    fn touch(&mut self, arguments: &'d [Argument], builder: &mut Builder) {
        fn names(expression: &Expr, into: &mut Vec<String>) {
            match &expression.kind {
                ExprKind::Name(name) => into.push(name.clone()),
                ExprKind::Member { of, .. } => names(of, into),
                ExprKind::Call { callee, arguments } => {
                    names(callee, into);
                    arguments.iter().for_each(|a| names(&a.value, into));
                }
                ExprKind::Unary { operand, .. } => names(operand, into),
                ExprKind::Binary { left, right, .. } => {
                    names(left, into);
                    names(right, into);
                }
                _ => {}
            }
        }
        let mut used = Vec::new();
        arguments.iter().for_each(|a| names(&a.value, &mut used));
        for name in used {
            if let Some(flag) = builder.used.get_mut(&name) {
                *flag = true;
            }
        }
    }

    /// A component named inside a step: named arguments that are parameters make the instance, the
    /// others are inputs.
    fn inline(
        &mut self,
        schema: &'d Component,
        expression: &'d Expr,
        arguments: &'d [Argument],
        scope: &'d str,
    ) -> Option<(String, Vec<&'d Argument>)> {
        let ExprKind::Call { arguments: all, .. } = &expression.kind else { return None };
        let mut ports = Vec::new();
        let mut parameters: Vec<&'d Argument> = Vec::new();
        for argument in arguments {
            match &argument.name {
                Some(name) if schema.parameter(&name.text).is_some() => parameters.push(argument),
                _ => ports.push(argument),
            }
        }
        // One instance for every place in the recipe: its name is the place.
        let position = self.sources.position(expression.span);
        let short = schema.name.split('.').next_back().unwrap_or(&schema.name);
        let path = format!("{short}@{}:{}", position.line, position.column);
        let known = self.schemas.contains_key(&path);
        if !known {
            let owned: &'d [Argument] = all;
            let chosen: Vec<Argument> =
                owned.iter().filter(|a| parameters.iter().any(|p| std::ptr::eq(*p, *a))).cloned().collect();
            // Instances keep references to expressions of the recipe; these live as long as it does.
            let leaked: &'d [Argument] = if chosen.is_empty() { &[] } else { self.keep(owned, &chosen) };
            self.complete(&path, schema, leaked, scope, expression.span, None)?;
        } else if !self.instances.iter().any(|i| i.name == path) {
            return None;
        }
        Some((path, ports))
    }

    /// The arguments among `all` that equal `chosen`, as one slice: they stand together in practice
    /// (inputs first, then parameters); where they do not, the longest run is used and the others
    /// are an error.
    fn keep(&mut self, all: &'d [Argument], chosen: &[Argument]) -> &'d [Argument] {
        let first = all.iter().position(|a| chosen.contains(a)).unwrap_or(0);
        let run = &all[first..];
        let length = run.iter().take_while(|a| chosen.contains(a)).count();
        if length < chosen.len()
            && let Some(stray) = run[length..].iter().find(|a| chosen.contains(a))
        {
            self.error(
                Diagnostic::error(codes::MISPLACED_ARGUMENT, "parameters stand together, after the inputs")
                    .primary(stray.span(), "a parameter after an input")
                    .help("write the inputs first, then the parameters"),
            );
        }
        &run[..length]
    }

    fn method(
        &mut self,
        expression: &'d Expr,
        of: &'d Expr,
        name: &zoo_syntax::ast::Name,
        arguments: &'d [Argument],
        scope: &'d str,
        builder: &mut Builder,
    ) -> Wire {
        let hint = builder.hint.clone();
        let wire = self.wire(of, scope, builder);
        let wire = self.value_of(wire, of, builder);
        builder.hint = hint;
        if let Some(extra) = arguments.first() {
            self.error(
                Diagnostic::error(codes::TOO_MANY_ARGUMENTS, format!("`{}` takes no arguments", name.text))
                    .primary(extra.span(), "one too many"),
            );
        }
        let Some((reference, kind)) = self.operand(wire, builder) else { return Wire::Unknown };
        let (operation, kind) = match name.text.as_str() {
            "mean" => (Operation::Mean { of: reference }, scalar(Dtype::Float)),
            "sum" => (Operation::Sum { of: reference }, scalar(Dtype::Float)),
            "detach" => (Operation::Detach { of: reference }, kind),
            other => {
                let diagnostic =
                    Diagnostic::error(codes::UNKNOWN_OUTPUT, format!("a tensor has no `{other}()`"))
                        .primary(name.span, "unknown");
                self.error(match nearest(other, ["mean", "sum", "detach"]) {
                    Some(near) => diagnostic.help_edit(format!("did you mean `{near}`?"), name.span, near),
                    None => diagnostic.note("it has `mean()`, `sum()` and `detach()`"),
                });
                return Wire::Unknown;
            }
        };
        let node = builder.node(
            operation,
            vec![(String::new(), kind.clone())],
            place(self.sources, expression.span),
        );
        single(node, kind, expression.span)
    }

    /// Wires arguments to input ports and adds the call.
    fn connect(
        &mut self,
        expression: &'d Expr,
        instance: &str,
        schema: &'d Component,
        arguments: &[&'d Argument],
        scope: &'d str,
        builder: &mut Builder,
    ) -> Wire {
        let hint = builder.hint.clone();
        let mut wired: HashMap<&str, Vec<(Wire, Span)>> = HashMap::new();
        let mut broken = false;
        let explicit: Vec<&str> =
            arguments.iter().filter_map(|a| a.name.as_ref().map(|n| n.text.as_str())).collect();
        for argument in arguments {
            let wire = self.wire(&argument.value, scope, builder);
            let span = argument.value.span;
            match (&argument.name, wire) {
                (name, Wire::Unknown) => {
                    broken = true;
                    // What is wrong takes its port all the same, so that the next one gets its own.
                    let port = match name {
                        Some(name) => schema.input(&name.text),
                        None => schema.inputs.iter().find(|port| {
                            !explicit.contains(&port.name.as_str()) && !wired.contains_key(port.name.as_str())
                        }),
                    };
                    if let Some(port) = port {
                        wired.entry(port.name.as_str()).or_default();
                    }
                }
                (Some(name), wire) => {
                    let Some(port) = schema.input(&name.text) else {
                        self.unknown_port(schema, name);
                        broken = true;
                        continue;
                    };
                    // A record given to one port: its output of that name, or its only one.
                    let wire = match wire {
                        Wire::Record(record) => {
                            match record.outputs.iter().find(|(n, _, _)| *n == name.text) {
                                Some((_, reference, kind)) => {
                                    Wire::Single(reference.clone(), kind.clone(), record.span)
                                }
                                None => self.value_of(Wire::Record(record), &argument.value, builder),
                            }
                        }
                        other => other,
                    };
                    let slot = wired.entry(port.name.as_str()).or_default();
                    if !slot.is_empty() && !port.repeated {
                        self.error(
                            Diagnostic::error(codes::SET_TWICE, format!("`{}` is given twice", port.name))
                                .primary(argument.span(), "again here"),
                        );
                        broken = true;
                        continue;
                    }
                    slot.push((wire, span));
                }
                (None, Wire::Record(record)) if record.outputs.len() != 1 => {
                    let mut any = false;
                    for port in &schema.inputs {
                        if explicit.contains(&port.name.as_str()) || wired.contains_key(port.name.as_str()) {
                            continue;
                        }
                        if let Some((_, reference, kind)) =
                            record.outputs.iter().find(|(n, _, _)| *n == port.name)
                        {
                            let wire = Wire::Single(reference.clone(), kind.clone(), record.span);
                            wired.entry(port.name.as_str()).or_default().push((wire, span));
                            any = true;
                        }
                    }
                    if !any {
                        let has: Vec<String> = record.outputs.iter().map(|(n, _, _)| n.clone()).collect();
                        let takes: Vec<String> = schema.inputs.iter().map(|p| p.name.clone()).collect();
                        self.error(
                            Diagnostic::error(
                                codes::UNKNOWN_INPUT,
                                format!("nothing of `{}` fits `{}`", record.name, schema.name),
                            )
                            .primary(span, format!("has {}", list(&has)))
                            .note(format!("`{}` takes {}", schema.name, list(&takes)))
                            .help("name the output: `x.output`"),
                        );
                        broken = true;
                    }
                }
                (None, wire) => {
                    let wire = self.value_of(wire, &argument.value, builder);
                    let next = schema.inputs.iter().find(|port| {
                        !explicit.contains(&port.name.as_str())
                            && (port.repeated || !wired.contains_key(port.name.as_str()))
                    });
                    match next {
                        Some(port) => wired.entry(port.name.as_str()).or_default().push((wire, span)),
                        None => {
                            self.error(
                                Diagnostic::error(
                                    codes::TOO_MANY_ARGUMENTS,
                                    format!(
                                        "`{}` has {}",
                                        schema.name,
                                        crate::count(schema.inputs.len(), "input")
                                    ),
                                )
                                .primary(span, "one too many"),
                            );
                            broken = true;
                        }
                    }
                }
            }
        }
        let parameters = self.instances.iter().find(|i| i.name == instance).map(|i| i.parameters.clone());
        let numbers = parameters.unwrap_or_default();
        let mut names = Names::new(numbers.iter().filter_map(|(n, v)| Some((n.clone(), v.as_f64()?))));
        let mut inputs = Vec::new();
        let mut missing = Vec::new();
        for port in &schema.inputs {
            match wired.remove(port.name.as_str()) {
                Some(values) => {
                    for (wire, span) in values {
                        match self.fit(port, wire, span, expression, schema, &mut names, builder) {
                            Some(reference) => inputs.push((port.name.clone(), reference)),
                            None => broken = true,
                        }
                    }
                }
                None if port.optional || port.repeated => {}
                None => missing.push(port),
            }
        }
        if !missing.is_empty() && !broken {
            let absent: Vec<String> = missing.iter().map(|p| p.name.clone()).collect();
            let mut diagnostic = Diagnostic::error(
                codes::MISSING_INPUT,
                format!("`{}` needs the input {}", schema.name, list(&absent)),
            )
            .primary(expression.span, "not given");
            for port in missing {
                diagnostic = diagnostic.note(format!("`{}: {}`: {}", port.name, port.kind, port.doc));
            }
            self.error(diagnostic);
            broken = true;
        }
        // Outputs are typed even where an input is wrong, so that one cause gives one error.
        let mut types = Vec::new();
        for port in &schema.outputs {
            let kind = names.instantiate(&port.kind, None, &mut builder.unknowns);
            types.push((port.name.clone(), if broken { Type { shape: None, ..kind } } else { kind }));
        }
        builder.hint = hint;
        let operation = Operation::Call { instance: instance.to_owned(), inputs };
        let pure = !schema.effects.random && !schema.effects.state && schema.kind != "metric";
        let same = pure.then(|| builder.nodes.iter().position(|n| n.operation == operation)).flatten();
        let node = match same {
            Some(node) => node,
            None => builder.node(operation, types.clone(), place(self.sources, expression.span)),
        };
        builder.dimensions.insert(node, names);
        let outputs = types
            .into_iter()
            .map(|(name, kind)| (name.clone(), ValueRef { node, output: name }, kind))
            .collect();
        Wire::Record(Record { name: schema.name.clone(), span: expression.span, outputs })
    }

    fn unknown_port(&mut self, schema: &Component, name: &zoo_syntax::ast::Name) {
        let known: Vec<String> = schema
            .inputs
            .iter()
            .map(|p| p.name.clone())
            .chain(schema.parameters.iter().map(|p| p.name.clone()))
            .collect();
        let inputs: Vec<String> = schema.inputs.iter().map(|p| p.name.clone()).collect();
        let diagnostic = Diagnostic::error(
            codes::UNKNOWN_INPUT,
            format!("`{}` has no input `{}`", schema.name, name.text),
        )
        .primary(name.span, "unknown input");
        if schema.parameter(&name.text).is_some() {
            let text = format!("`{}` is a parameter: it is given where the component is declared", name.text);
            self.error(diagnostic.note(text));
            return;
        }
        self.error(match nearest(&name.text, known.iter().map(String::as_str)) {
            Some(near) if schema.parameter(near).is_some() => diagnostic
                .note(format!("`{near}` is a parameter: it is given where the component is declared")),
            Some(near) => diagnostic.help_edit(format!("did you mean `{near}`?"), name.span, near),
            None => diagnostic.note(format!("its inputs are {}", list(&inputs))),
        });
    }

    /// Checks a value against a port.
    #[allow(clippy::too_many_arguments)]
    fn fit(
        &mut self,
        port: &Port,
        wire: Wire,
        span: Span,
        call: &Expr,
        schema: &Component,
        names: &mut Names,
        builder: &mut Builder,
    ) -> Option<ValueRef> {
        let origin = if let Wire::Single(_, _, origin) = &wire { Some(*origin) } else { None };
        let (reference, given) = self.operand(wire, builder)?;
        let number = given.shape.as_ref().is_some_and(Vec::is_empty)
            && matches!(
                builder.nodes[reference.node].operation,
                Operation::Number { .. } | Operation::Scheduled { .. }
            );
        if matches!(port.kind.dtype, Dtype::Real | Dtype::Integer) && number {
            return Some(reference);
        }
        let expected = names.instantiate(&port.kind, given.shape.as_deref(), &mut builder.unknowns);
        let shown = |builder: &Builder, kind: &Type| builder.unknowns.show(kind);
        if !port.kind.dtype.accepts(given.dtype) {
            let text = format!(
                "`{}` takes {} for `{}`, not {}",
                schema.name,
                port.kind.dtype.name(),
                port.name,
                given.dtype.name()
            );
            let mut diagnostic = Diagnostic::error(codes::DTYPES_DIFFER, text)
                .primary(span, format!("this is {}", shown(builder, &given)))
                .note(format!("input `{}` is {}: {}", port.name, port.kind, port.doc));
            if let Some(origin) = origin.filter(|o| *o != span) {
                diagnostic = diagnostic.secondary(origin, "it comes from here");
            }
            self.error(diagnostic);
            return None;
        }
        if let (Some(expected_shape), Some(given_shape)) = (&expected.shape, &given.shape)
            && let Err(mismatch) = builder.unknowns.unify_shapes(expected_shape, given_shape)
        {
            let reason = match mismatch {
                ShapeMismatch::Rank => format!(
                    "it has {} dimension{}, not {}",
                    given_shape.len(),
                    if given_shape.len() == 1 { "" } else { "s" },
                    expected_shape.len()
                ),
                ShapeMismatch::Dimension(i) => {
                    let last =
                        if i + 1 == given_shape.len() { "last".to_owned() } else { format!("{}.", i + 1) };
                    let number = |size: &Size| {
                        builder.unknowns.value(size).map_or("unknown".to_owned(), crate::value::plain)
                    };
                    format!(
                        "its {last} dimension is {}, not {}",
                        number(&given_shape[i]),
                        number(&expected_shape[i])
                    )
                }
            };
            let mut diagnostic = Diagnostic::error(
                codes::SHAPES_DIFFER,
                format!("`{}` cannot read this as `{}`: {reason}", schema.name, port.name),
            )
            .primary(span, format!("this is {}", shown(builder, &given)));
            let here = shown(builder, &expected);
            let written = port.kind.to_string();
            let here = if here == written { String::new() } else { format!(", here {here}") };
            diagnostic = diagnostic.note(format!("input `{}` is {written}{here}: {}", port.name, port.doc));
            if let Some(origin) = origin.filter(|o| *o != span && *o != call.span) {
                diagnostic = diagnostic.secondary(origin, "it comes from here");
            }
            // Another output of the same call may be the one that was meant.
            let fitting = builder.types[reference.node].iter().find(|(name, kind)| {
                *name != reference.output
                    && port.kind.dtype.accepts(kind.dtype)
                    && kind.shape.as_ref().is_some_and(|shape| {
                        shape.len() == expected_shape.len()
                            && shape.iter().zip(expected_shape).all(|(a, b)| {
                                let (a, b) = (builder.unknowns.resolve(a), builder.unknowns.resolve(b));
                                a == b || !matches!((a, b), (Size::Known(_), Size::Known(_)))
                            })
                    })
            });
            if let Some((name, kind)) = fitting {
                diagnostic =
                    diagnostic.help(format!("output `{name}` of the same call is {}", shown(builder, kind)));
            }
            self.error(diagnostic);
            return None;
        }
        Some(reference)
    }

    /// A log: a scalar, an objective's loss, or a metric's value.
    fn log(&mut self, wire: Wire, at: &'d Expr, builder: &Builder) -> Option<(ValueRef, Option<bool>, bool)> {
        let (reference, kind) = match wire {
            Wire::Record(record) => {
                let chosen = record
                    .outputs
                    .iter()
                    .find(|(n, _, _)| n == "loss" || n == "value")
                    .or(if record.outputs.len() == 1 { record.outputs.first() } else { None });
                match chosen {
                    Some((_, reference, kind)) => (reference.clone(), kind.clone()),
                    None => {
                        let known: Vec<String> = record.outputs.iter().map(|(n, _, _)| n.clone()).collect();
                        self.error(
                            Diagnostic::error(
                                codes::WHICH_OUTPUT,
                                format!("`{}` has {} outputs", record.name, known.len()),
                            )
                            .primary(at.span, "which one?")
                            .note(format!("outputs are {}", list(&known))),
                        );
                        return None;
                    }
                }
            }
            Wire::Single(reference, kind, _) => (reference, kind),
            Wire::Number(_) | Wire::Scheduled(_) => {
                self.error(
                    Diagnostic::error(
                        codes::NOT_A_SCALAR,
                        "a number that is known before the run needs no log",
                    )
                    .primary(at.span, "does not depend on the batch"),
                );
                return None;
            }
            Wire::Unknown => return None,
        };
        let is_scalar = matches!(kind.dtype, Dtype::Real | Dtype::Integer)
            || kind.shape.as_ref().is_none_or(Vec::is_empty);
        if !is_scalar {
            self.error(
                Diagnostic::error(codes::NOT_A_SCALAR, "a log is one number")
                    .primary(at.span, format!("this is {}", builder.unknowns.show(&kind)))
                    .help_edit("the mean over all elements", at.span.after(), ".mean()"),
            );
            return None;
        }
        let (mut higher, mut percent) = (None, false);
        match &builder.nodes[reference.node].operation {
            Operation::Call { instance, .. } => {
                let schema = self.schemas.get(instance).copied();
                let port = schema.and_then(|s| s.output(&reference.output));
                if let Some(port) = port {
                    higher = port.better.as_deref().map(|b| b == "higher");
                    percent = port.unit.as_deref() == Some("fraction");
                }
                if schema.is_some_and(|s| s.kind == "objective") {
                    higher = Some(false);
                }
            }
            Operation::Mean { of } => {
                percent = builder.types[of.node]
                    .iter()
                    .any(|(name, kind)| *name == of.output && kind.dtype == Dtype::Bool);
            }
            _ => {}
        }
        Some((reference, higher, percent))
    }

    /// Takes a loss apart into weighted terms.
    fn loss(
        &mut self,
        expression: &'d Expr,
        scope: &'d str,
        factor: Factor,
        terms: &mut Vec<LossTerm>,
        builder: &mut Builder,
    ) {
        match &expression.kind {
            ExprKind::Binary { operator: BinaryOperator::Add, left, right, .. } => {
                self.loss(left, scope, factor.clone(), terms, builder);
                self.loss(right, scope, factor, terms, builder);
            }
            ExprKind::Binary { operator: BinaryOperator::Subtract, left, right, .. } => {
                self.loss(left, scope, factor.clone(), terms, builder);
                self.loss(right, scope, factor.times(&Factor::Number(-1.0)), terms, builder);
            }
            ExprKind::Binary { operator: BinaryOperator::Multiply, left, right, .. } => {
                // One side is a number; the other goes on.
                for (number, rest) in [(left, right), (right, left)] {
                    if self.is_number(number, scope, builder) {
                        let inner = match self.wire(number, scope, builder) {
                            Wire::Number(value) => Factor::Number(value),
                            Wire::Scheduled(schedule) => Factor::Scheduled(schedule),
                            _ => return,
                        };
                        return self.loss(rest, scope, factor.times(&inner), terms, builder);
                    }
                }
                self.error(
                    Diagnostic::error(codes::LOSS_NOT_LINEAR, "a loss is a sum of weighted objectives")
                        .primary(expression.span, "a product of two values of the step")
                        .help("put the product into an objective, or make one side a number"),
                );
            }
            ExprKind::Binary { operator: BinaryOperator::Divide, left, right, .. } => {
                match self.wire(right, scope, builder) {
                    Wire::Number(value) if value != 0.0 => {
                        self.loss(left, scope, factor.times(&Factor::Number(1.0 / value)), terms, builder);
                    }
                    Wire::Unknown => {}
                    _ => {
                        self.error(
                            Diagnostic::error(codes::LOSS_NOT_LINEAR, "a loss is divided by numbers only")
                                .primary(right.span, "not a number"),
                        );
                    }
                }
            }
            ExprKind::Unary { operator: UnaryOperator::Negate, operand } => {
                self.loss(operand, scope, factor.times(&Factor::Number(-1.0)), terms, builder);
            }
            _ => {
                let wire = self.wire(expression, scope, builder);
                let (value, kind) = match wire {
                    Wire::Record(record) => match record.outputs.iter().find(|(n, _, _)| n == "loss") {
                        Some((_, reference, kind)) => (reference.clone(), kind.clone()),
                        None => match self.value_of(Wire::Record(record), expression, builder) {
                            Wire::Single(reference, kind, _) => (reference, kind),
                            _ => return,
                        },
                    },
                    Wire::Single(reference, kind, _) => (reference, kind),
                    Wire::Number(_) | Wire::Scheduled(_) => {
                        self.error(
                            Diagnostic::error(codes::LOSS_NOT_LINEAR, "a number alone is no loss")
                                .primary(expression.span, "has no gradient"),
                        );
                        return;
                    }
                    Wire::Unknown => return,
                };
                if kind.shape.as_ref().is_some_and(|s| !s.is_empty()) {
                    self.error(
                        Diagnostic::error(codes::NOT_A_SCALAR, "a loss is one number")
                            .primary(expression.span, format!("this is {}", builder.unknowns.show(&kind)))
                            .help_edit("the mean over all elements", expression.span.after(), ".mean()"),
                    );
                    return;
                }
                if kind.dtype == Dtype::Real {
                    self.error(
                        Diagnostic::error(codes::LOSS_NOT_LINEAR, "a metric has no gradient and is no loss")
                            .primary(expression.span, "a metric")
                            .help("log it: `log name = …`"),
                    );
                    return;
                }
                let weight = match factor {
                    Factor::Number(value) => Weight::Constant(value),
                    Factor::Scheduled(schedule) => Weight::Scheduled(schedule),
                };
                terms.push(LossTerm { value, weight });
            }
        }
    }

    fn is_number(&mut self, expression: &'d Expr, scope: &'d str, builder: &mut Builder) -> bool {
        match &expression.kind {
            ExprKind::Number(_) => true,
            ExprKind::Name(name) => match builder.names.get(name) {
                Some(wire) => matches!(wire, Wire::Number(_) | Wire::Scheduled(_)),
                None => {
                    let full = format!("{scope}{name}");
                    find(&self.definitions.params, &full).is_some()
                }
            },
            ExprKind::Member { .. } => {
                expression.as_path().is_some_and(|p| !builder.names.contains_key(&p.names[0].text))
            }
            ExprKind::Call { callee, .. } => {
                matches!(&callee.kind, ExprKind::Name(n) if matches!(n.as_str(), "ramp" | "cosine" | "exponential" | "steps_at"))
            }
            ExprKind::Unary { operand, .. } => self.is_number(operand, scope, builder),
            ExprKind::Binary { left, right, .. } => {
                self.is_number(left, scope, builder) && self.is_number(right, scope, builder)
            }
            ExprKind::If { .. } => true,
            _ => false,
        }
    }
}

/// The factor of a term while a loss is taken apart.
#[derive(Clone)]
enum Factor {
    Number(f64),
    Scheduled(Schedule),
}

impl Factor {
    fn times(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => Self::Number(a * b),
            (Self::Scheduled(schedule), Self::Number(by)) | (Self::Number(by), Self::Scheduled(schedule)) => {
                Self::Scheduled(scaled(schedule, *by))
            }
            // A product of two schedules has no shape of its own; the outer one counts.
            (Self::Scheduled(schedule), Self::Scheduled(_)) => Self::Scheduled(schedule.clone()),
        }
    }
}

fn scaled(schedule: &Schedule, by: f64) -> Schedule {
    match schedule {
        Schedule::Ramp { from, to, over } => Schedule::Ramp { from: from * by, to: to * by, over: *over },
        Schedule::Cosine { from, to, over } => Schedule::Cosine { from: from * by, to: to * by, over: *over },
        Schedule::Exponential { from, to, over } => {
            Schedule::Exponential { from: from * by, to: to * by, over: *over }
        }
        Schedule::StepsAt { at } => Schedule::StepsAt { at: at.iter().map(|(s, v)| (*s, v * by)).collect() },
    }
}

/// Whether a name stands in a dimension.
fn mentions(dim: &Dim, name: &str) -> bool {
    match dim {
        Dim::Name(own) => own == name,
        Dim::Product(a, b) | Dim::Quotient(a, b) => mentions(a, name) || mentions(b, name),
        Dim::Size(_) | Dim::Rest => false,
    }
}

/// The values an operation reads.
pub(crate) fn inputs_of(operation: &Operation) -> Vec<&ValueRef> {
    match operation {
        Operation::Column { .. } | Operation::Number { .. } | Operation::Scheduled { .. } => Vec::new(),
        Operation::Call { inputs, .. } => inputs.iter().map(|(_, r)| r).collect(),
        Operation::Arithmetic { operands, .. } => operands.iter().collect(),
        Operation::Mean { of } | Operation::Sum { of } | Operation::Detach { of } => vec![of],
    }
}

fn inputs_mut(operation: &mut Operation) -> Vec<&mut ValueRef> {
    match operation {
        Operation::Column { .. } | Operation::Number { .. } | Operation::Scheduled { .. } => Vec::new(),
        Operation::Call { inputs, .. } => inputs.iter_mut().map(|(_, r)| r).collect(),
        Operation::Arithmetic { operands, .. } => operands.iter_mut().collect(),
        Operation::Mean { of } | Operation::Sum { of } | Operation::Detach { of } => vec![of],
    }
}

/// Drops nodes that nothing needs; answers the old index of every node kept.
fn prune(graph: &mut StepGraph) -> Vec<usize> {
    let mut needed = vec![false; graph.nodes.len()];
    let mut open: Vec<usize> = graph.logs.iter().map(|l| l.value.node).collect();
    open.extend(graph.loss.iter().map(|t| t.value.node));
    while let Some(node) = open.pop() {
        if !std::mem::replace(&mut needed[node], true) {
            open.extend(inputs_of(&graph.nodes[node].operation).iter().map(|r| r.node));
        }
    }
    let kept: Vec<usize> = (0..graph.nodes.len()).filter(|i| needed[*i]).collect();
    let new: HashMap<usize, usize> = kept.iter().enumerate().map(|(new, old)| (*old, new)).collect();
    let mut nodes = Vec::new();
    for old in &kept {
        let mut node = graph.nodes[*old].clone();
        for input in inputs_mut(&mut node.operation) {
            input.node = new[&input.node];
        }
        nodes.push(node);
    }
    graph.nodes = nodes;
    for log in &mut graph.logs {
        log.value.node = new[&log.value.node];
    }
    for term in &mut graph.loss {
        term.value.node = new[&term.value.node];
    }
    kept
}
