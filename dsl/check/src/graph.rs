//! The typed graph of a step, for `zoo graph`.

use std::fmt::Write;
use zoo_schema::experiment::{Operation, StepGraph};

/// A wire with its type.
#[derive(Clone, Debug, PartialEq)]
pub struct Edge {
    /// Node it comes from.
    pub from: usize,
    /// Node it goes to.
    pub to: usize,
    /// Output of the node it comes from; may be empty.
    pub output: String,
    /// `int[B, T]`
    pub label: String,
}

/// A step of an arm with the types of its wires.
#[derive(Clone, Debug, PartialEq)]
pub struct TypedGraph {
    /// The arm.
    pub arm: String,
    /// The phase or evaluation.
    pub owner: String,
    /// The computation.
    pub graph: StepGraph,
    /// Its wires.
    pub edges: Vec<Edge>,
}

fn title(operation: &Operation, id: &str) -> (String, String) {
    match operation {
        Operation::Column { column } => (column.clone(), "batch".to_owned()),
        Operation::Number { value } => (crate::value::plain(*value), String::new()),
        Operation::Scheduled { .. } => ("schedule".to_owned(), String::new()),
        Operation::Call { instance, .. } => {
            let name = instance.split('@').next().unwrap_or(instance);
            (id.to_owned(), if name == id { String::new() } else { name.to_owned() })
        }
        Operation::Arithmetic { operator, .. } => (format!("{operator:?}").to_lowercase(), String::new()),
        Operation::Mean { .. } => ("mean".to_owned(), String::new()),
        Operation::Sum { .. } => ("sum".to_owned(), String::new()),
        Operation::Detach { .. } => ("detach".to_owned(), String::new()),
    }
}

impl TypedGraph {
    /// Graphviz text.
    pub fn dot(&self) -> String {
        let mut text = String::new();
        let quote = |s: &str| format!("\"{}\"", s.replace('\\', "\\\\").replace('"', "\\\""));
        let _ = writeln!(text, "digraph {} {{", quote(&format!("{}.{}", self.arm, self.owner)));
        let _ = writeln!(text, "  rankdir=TB;\n  node [shape=box, fontname=\"sans-serif\"];");
        for (i, node) in self.graph.nodes.iter().enumerate() {
            let (first, second) = title(&node.operation, &node.id);
            let label = if second.is_empty() { first } else { format!("{first}\n{second}") };
            let shape =
                if matches!(node.operation, Operation::Column { .. }) { ", shape=ellipse" } else { "" };
            let _ = writeln!(text, "  n{i} [label={}{shape}];", quote(&label).replace('\n', "\\n"));
        }
        for edge in &self.edges {
            let label = if edge.output.is_empty() {
                edge.label.clone()
            } else {
                format!("{}: {}", edge.output, edge.label)
            };
            let _ = writeln!(text, "  n{} -> n{} [label={}];", edge.from, edge.to, quote(&label));
        }
        for (i, term) in self.graph.loss.iter().enumerate() {
            let _ =
                writeln!(text, "  loss [shape=doublecircle];\n  n{} -> loss [label={}];", term.value.node, {
                    let weight = match &term.weight {
                        zoo_schema::experiment::Weight::Constant(value) => {
                            format!("× {}", crate::value::plain(*value))
                        }
                        zoo_schema::experiment::Weight::Scheduled(_) => "× schedule".to_owned(),
                    };
                    quote(&if weight == "× 1" { String::new() } else { weight })
                });
            let _ = i;
        }
        for log in &self.graph.logs {
            let _ = writeln!(
                text,
                "  {0} [shape=plaintext];\n  n{1} -> {0} [style=dashed];",
                quote(&log.name),
                log.value.node
            );
        }
        text.push_str("}\n");
        text
    }

    /// A picture: rows from the batch at the top to the loss at the bottom.
    pub fn svg(&self) -> String {
        let count = self.graph.nodes.len();
        let mut row = vec![0_usize; count];
        for edge in &self.edges {
            // Nodes stand in order, so one pass over edges sorted by target is enough.
            row[edge.to] = row[edge.to].max(row[edge.from] + 1);
        }
        let rows = row.iter().max().map_or(0, |r| r + 1);
        let mut columns = vec![0_usize; rows];
        let mut position = vec![(0.0, 0.0); count];
        let widest = (0..rows).map(|r| row.iter().filter(|x| **x == r).count()).max().unwrap_or(1).max(1);
        let (cell, height) = (220.0, 110.0);
        let width = widest as f64 * cell;
        for i in 0..count {
            let inside = row.iter().filter(|x| **x == row[i]).count() as f64;
            let x = (width - inside * cell) / 2.0 + (columns[row[i]] as f64 + 0.5) * cell;
            columns[row[i]] += 1;
            position[i] = (x, row[i] as f64 * height + 40.0);
        }
        let total = rows as f64 * height + 60.0;
        let escape = |s: &str| s.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let mut text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {total}\" width=\"{width}\" height=\"{total}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
        );
        for edge in &self.edges {
            let ((x1, y1), (x2, y2)) = (position[edge.from], position[edge.to]);
            let (y1, y2) = (y1 + 22.0, y2 - 22.0);
            let middle = (y1 + y2) / 2.0;
            let _ = writeln!(
                text,
                "<path d=\"M{x1} {y1} C{x1} {middle} {x2} {middle} {x2} {y2}\" fill=\"none\" stroke=\"#889\"/>\
                 <text x=\"{}\" y=\"{}\" fill=\"#667\" font-size=\"10\" text-anchor=\"middle\">{}</text>",
                (x1 + x2) / 2.0,
                middle,
                escape(&edge.label)
            );
        }
        for (i, node) in self.graph.nodes.iter().enumerate() {
            let (x, y) = position[i];
            let (first, second) = title(&node.operation, &node.id);
            let (fill, radius) = match node.operation {
                Operation::Column { .. } => ("#e8f0fe", 20),
                Operation::Call { .. } => ("#f4f4ee", 4),
                _ => ("#ffffff", 4),
            };
            let loss = self.graph.loss.iter().any(|t| t.value.node == i);
            let _ = writeln!(
                text,
                "<rect x=\"{}\" y=\"{}\" width=\"170\" height=\"44\" rx=\"{radius}\" fill=\"{fill}\" stroke=\"{}\"/>\
                 <text x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{}</text>\
                 <text x=\"{x}\" y=\"{}\" text-anchor=\"middle\" fill=\"#667\" font-size=\"10\">{}</text>",
                x - 85.0,
                y - 22.0,
                if loss { "#c33" } else { "#99a" },
                if second.is_empty() { y + 4.0 } else { y - 2.0 },
                escape(&first),
                y + 13.0,
                escape(&second)
            );
        }
        text.push_str("</svg>\n");
        text
    }
}
