//! `zoo plan`

use crate::arguments::{Arguments, Plan};
use crate::recipe::{Recipe, catalogue_for, show_messages};
use crate::terminal::{FAINT, HEADING, Terminal, styled, wrapped};
use anyhow::Result;
use serde_json::json;
use std::fmt::Write;
use zoo_record::Exit;
use zoo_schema::experiment::{ArmCost, Experiment};

pub(crate) fn run(command: &Plan, arguments: &Arguments, terminal: &mut Terminal) -> Result<Exit> {
    let recipe = Recipe::read(&command.recipe)?;
    let choice = recipe.with_profile(&command.choice, terminal);
    let checked = recipe.check(&catalogue_for(arguments, &recipe), &choice, None);
    let Some(experiment) = &checked.experiment else {
        show_messages(&checked.diagnostics, &checked.sources, terminal);
        return Ok(Exit::Wrong);
    };
    let text = if command.json {
        format!("{:#}\n", plan_json(experiment))
    } else {
        plan_text(experiment, terminal.width())
    };
    terminal.print(&text)?;
    Ok(Exit::Success)
}

fn plan_json(experiment: &Experiment) -> serde_json::Value {
    let arms: Vec<_> = experiment
        .arms
        .iter()
        .map(|arm| json!({ "name": arm.name, "role": arm.role, "cost": arm.cost }))
        .collect();
    json!({
        "recipe": experiment.recipe,
        "profile": experiment.profile,
        "seeds": experiment.seeds,
        "arms": arms,
    })
}

/// A large number in three digits: `1.35 M`.
fn short(value: f64) -> String {
    let (mut value, mut unit) = (value, "");
    for next in ["k", "M", "G", "T", "P", "E"] {
        if value.abs() < 1000.0 {
            break;
        }
        (value, unit) = (value / 1000.0, next);
    }
    let digits = match value.abs() {
        v if unit.is_empty() && v.fract() == 0.0 => 0,
        v if v < 10.0 => 2,
        v if v < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$}{}{unit}", if unit.is_empty() { "" } else { " " })
}

/// Memory at the worst moment of the arm, beside what libtorch itself takes.
fn memory(cost: &ArmCost) -> String {
    let most = cost.parts.iter().map(|part| part.memory.bytes(false)).fold(0.0, f64::max);
    let unknown = cost.parts.iter().any(|part| !part.memory.unknown.is_empty());
    if most <= 0.0 {
        return "–".to_owned();
    }
    let (mut size, mut unit) = (most, "B");
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if size >= 1024.0 {
            (size, unit) = (size / 1024.0, next);
        }
    }
    format!("{}{size:.1} {unit}", if unknown { "≥ " } else { "" })
}

fn plan_text(experiment: &Experiment, width: usize) -> String {
    let header = ["arm", "parameters", "updates", "examples", "operations", "memory"].map(str::to_owned);
    let mut rows = vec![header.to_vec()];
    for arm in &experiment.arms {
        let cost = &arm.cost;
        rows.push(vec![
            arm.name.clone(),
            short(cost.parameters),
            short(cost.steps),
            short(cost.examples),
            short(cost.train_flops),
            memory(cost),
        ]);
    }
    let widths: Vec<usize> = (0..header.len())
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for (index, row) in rows.iter().enumerate() {
        let cells: Vec<String> = row
            .iter()
            .enumerate()
            .map(|(column, cell)| {
                let width = widths[column];
                if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
            })
            .collect();
        let line = cells.join("  ");
        let _ = writeln!(text, "{}", if index == 0 { styled(HEADING, line) } else { line });
    }
    let seeds = experiment.seeds;
    let total: f64 = experiment.arms.iter().map(|arm| arm.cost.train_flops).sum::<f64>() * seeds as f64;
    let runs = experiment.arms.len() as u64 * seeds;
    let operations = short(total);
    let note = format!(
        "Per seed. {seeds} seeds an arm are {runs} runs and {operations} operations of training. Memory is that \
         of the worst moment in 32 bits, beside what libtorch takes; `zoo bench` measures the time of an update."
    );
    let _ = writeln!(text, "{}", styled(FAINT, wrapped(&note, width, 0)));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_are_short() {
        let texts: Vec<String> = [0.0, 7.0, 999.0, 1000.0, 13_548_800.0, 4.2e15].map(short).into();
        assert_eq!(texts, ["0", "7", "999", "1.00 k", "13.5 M", "4.20 P"]);
    }
}
