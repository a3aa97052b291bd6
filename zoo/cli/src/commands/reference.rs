//! The reference page of a component, from its schema; and Markdown for terminals.

use crate::terminal::{FAINT, HEADING, NAME, styled, table, wrapped};
use std::fmt::Write;
use zoo_check::value::{json_text, unit_of};
use zoo_discovery::PluginFile;
use zoo_schema::kinds;
use zoo_schema::{Component, Default, Effects, Parameter, ParameterType, Port, StateLayout};

/// The page.
pub(crate) fn page(plugin: &PluginFile, component: &Component, width: usize) -> String {
    let mut text = format!(
        "{}  {}\n\n{}\n",
        styled(HEADING, &component.name),
        styled(FAINT, format!("{}, {} {}", component.kind, plugin.build.name, plugin.build.version)),
        wrapped(&component.summary, width, 0)
    );
    if !component.description.is_empty() {
        let _ = write!(text, "\n{}", markdown(component.description.trim()));
    }
    let mut section = |title: &str, body: &str| {
        if !body.is_empty() {
            let _ = write!(text, "\n{}\n{body}", styled(HEADING, title));
        }
    };
    section("Parameters", &parameters(component, width));
    section("Inputs", &ports(&component.inputs, width));
    section("Outputs", &ports(&component.outputs, width));
    section("Sites for adapters", &sites(component, width));
    section("Cost of a call", &cost(component, width));
    section("Beside computing outputs", &effects(&component.effects, width));
    let examples: Vec<String> = component.examples.iter().map(|example| code_block(example)).collect();
    section(if examples.len() == 1 { "Example" } else { "Examples" }, &examples.join("\n"));
    section("Paper", &component.paper.as_deref().map_or(String::new(), |paper| indented(paper, width)));
    text
}

fn indented(text: &str, width: usize) -> String {
    format!("  {}\n", wrapped(text.trim(), width, 2))
}

/// A type in words that say how its values are written.
fn type_text(kind: &ParameterType) -> String {
    match kind {
        ParameterType::OneOf(choices) => {
            choices.iter().map(|choice| format!("\"{choice}\"")).collect::<Vec<_>>().join(" | ")
        }
        ParameterType::List(inner) => format!("list of {}", type_text(inner)),
        ParameterType::Component(kind) if kind == "any" => "a component".to_owned(),
        ParameterType::Component(kind) => {
            kinds::kind(kind).map_or_else(|| kind.clone(), |kind| format!("a component: {}", kind.name))
        }
        other => other.to_string(),
    }
}

fn default_text(parameter: &Parameter) -> String {
    match &parameter.default {
        Some(Default::Formula { formula }) => format!("= {formula}"),
        Some(Default::Value(value)) => format!("= {}", json_text(value, &parameter.kind)),
        None if parameter.optional => "may be left out".to_owned(),
        None => "required".to_owned(),
    }
}

fn range_text(parameter: &Parameter) -> String {
    let Some(range) = &parameter.range else { return String::new() };
    match zoo_check::value::Range::parse(range) {
        Some(parsed) => parsed.describe(unit_of(&parameter.kind)),
        None => range.clone(),
    }
}

fn parameters(component: &Component, width: usize) -> String {
    let rows: Vec<Vec<String>> = component
        .parameters
        .iter()
        .map(|parameter| {
            let mut meaning = parameter.doc.trim().to_owned();
            let range = range_text(parameter);
            let varies = if parameter.varies { "may vary in time" } else { "" };
            let extra: Vec<&str> = [range.as_str(), varies].into_iter().filter(|t| !t.is_empty()).collect();
            if !extra.is_empty() {
                let open = if meaning.is_empty() { "" } else { " " };
                meaning.push_str(&format!("{open}({})", extra.join("; ")));
            }
            vec![parameter.name.clone(), type_text(&parameter.kind), default_text(parameter), meaning]
        })
        .collect();
    table(&rows, width, NAME)
}

fn ports(ports: &[Port], width: usize) -> String {
    let rows: Vec<Vec<String>> = ports
        .iter()
        .map(|port| {
            let mut marks = Vec::new();
            if port.optional {
                marks.push("may be left out".to_owned());
            }
            if port.repeated {
                marks.push("several".to_owned());
            }
            if let Some(columns) = &port.columns_from {
                marks.push(format!("one for each of `{columns}`"));
            }
            if let Some(better) = &port.better {
                marks.push(format!("{better} is better"));
            }
            if let Some(unit) = &port.unit {
                marks.push(format!("a {unit}"));
            }
            let mut meaning = port.doc.trim().to_owned();
            if !marks.is_empty() {
                let open = if meaning.is_empty() { "" } else { " " };
                meaning.push_str(&format!("{open}({})", marks.join("; ")));
            }
            vec![port.name.clone(), port.kind.to_string(), meaning]
        })
        .collect();
    table(&rows, width, NAME)
}

fn sites(component: &Component, width: usize) -> String {
    let rows: Vec<Vec<String>> = component
        .sites
        .iter()
        .map(|site| vec![site.name.clone(), format!("[…, {}] to […, {}]", site.input, site.output)])
        .collect();
    table(&rows, width, NAME)
}

fn cost(component: &Component, width: usize) -> String {
    let cost = &component.cost;
    let rows: Vec<Vec<String>> = [
        ("operations", &cost.flops),
        ("parameters", &cost.parameters),
        ("kept for the backward pass", &cost.activations),
        ("at the worst moment", &cost.workspace),
    ]
    .into_iter()
    .filter_map(|(name, formula)| Some(vec![name.to_owned(), formula.clone()?]))
    .collect();
    table(&rows, width, FAINT)
}

fn effects(effects: &Effects, width: usize) -> String {
    let mut lines: Vec<String> = [
        (effects.random, "draws random numbers, from a stream of the run's seed"),
        (effects.state, "has state, which checkpoints hold"),
        (effects.parameters, "has trained parameters"),
        (effects.loader, "needs the batch alone, and runs ahead of the step"),
        (effects.whole_update, "compares the examples of the whole update with each other"),
        (effects.stops_gradient, "lets no gradient through"),
    ]
    .into_iter()
    .filter(|(has, _)| *has)
    .map(|(_, text)| text.to_owned())
    .collect();
    for state in &effects.states {
        let shape = match state.layout {
            StateLayout::Same => "in its shape",
            StateLayout::Rows => "a value a row, for matrices",
            StateLayout::Columns => "a value a column, for matrices",
            StateLayout::Vectors => "in its shape, for vectors and numbers",
        };
        lines.push(format!("keeps `{}` for every parameter, {shape}", state.name));
    }
    lines.iter().map(|line| indented(line, width)).collect()
}

fn code_block(code: &str) -> String {
    code.trim_end().lines().map(|line| format!("    {}\n", styled(NAME, line))).collect()
}

/// Markdown for a terminal: headings bold, code coloured and indented, the rest as it is.
pub(crate) fn markdown(text: &str) -> String {
    let mut out = String::new();
    let mut in_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
            continue;
        }
        if in_code {
            out.push_str(format!("    {}", styled(NAME, line)).trim_end());
        } else if line.starts_with('#') {
            out.push_str(&styled(HEADING, line.trim_start_matches('#').trim_start()));
        } else {
            out.push_str(&inline_code(line));
        }
        out.push('\n');
    }
    // A fence leaves an empty line on each side of what it held.
    while out.contains("\n\n\n") {
        out = out.replace("\n\n\n", "\n\n");
    }
    out
}

/// Code in backticks keeps them, so that it is code without colours too.
fn inline_code(line: &str) -> String {
    let parts: Vec<&str> = line.split('`').collect();
    if parts.len().is_multiple_of(2) {
        return line.to_owned();
    }
    let styled_part = |(index, part): (usize, &&str)| {
        if index % 2 == 1 { styled(NAME, format!("`{part}`")) } else { (*part).to_owned() }
    };
    parts.iter().enumerate().map(styled_part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_without_colours_reads_well() {
        let text = markdown(
            "# Z0304: a unit\n\nWrite `15%`.\n\n```mlm\nparam a : fraction = 15%\n```\n\nEnd ` here.",
        );
        let plain = anstream::adapter::strip_str(&text).to_string();
        assert_eq!(plain, "Z0304: a unit\n\nWrite `15%`.\n\n    param a : fraction = 15%\n\nEnd ` here.\n");
        assert!(text.contains("\u{1b}["));
    }
}
