//! `zoo plan`

use crate::arguments::{Arguments, Plan};
use crate::recipe::{Recipe, catalogue_for, show_messages};
use crate::terminal::{FAINT, HEADING, Terminal, styled, wrapped};
use anyhow::Result;
use serde_json::json;
use std::fmt::Write;
use zoo_record::{Exit, Speeds};
use zoo_schema::experiment::{Arm, Experiment, Length, PartCost, Precision};

pub(crate) fn run(command: &Plan, arguments: &Arguments, terminal: &mut Terminal) -> Result<Exit> {
    let recipe = Recipe::read(&command.recipe)?;
    let choice = recipe.with_profile(&command.choice, terminal);
    let checked = recipe.check(&catalogue_for(arguments, &recipe), &choice, None);
    let Some(experiment) = &checked.experiment else {
        show_messages(&checked.diagnostics, &checked.sources, terminal);
        return Ok(Exit::Wrong);
    };
    let speeds = Speeds::open(&zoo_record::cache_folder());
    let text = match command.json {
        true => format!("{:#}\n", plan_json(experiment, &speeds)),
        false => plan_text(experiment, &speeds, terminal.width()),
    };
    terminal.print(&text)?;
    Ok(Exit::Success)
}

/// Memory of a part in bytes, with the precision that the recipe names for its phase; `auto` is 32 bits,
/// as on a CPU.
fn bytes_of(arm: &Arm, part: &PartCost) -> f64 {
    let phase = arm.phases.iter().find(|phase| phase.name == part.name).or(arm.phases.last());
    let narrow = phase.is_some_and(|p| matches!(p.precision, Precision::Bfloat16 | Precision::Float16));
    part.memory.bytes(narrow)
}

/// Seconds of training for one seed, where every phase was measured on this machine; and where.
fn seconds_of(arm: &Arm, speeds: &Speeds) -> Option<(f64, String)> {
    let mut sum = 0.0;
    let mut device = String::new();
    for phase in &arm.phases {
        let Length::Steps(steps) = phase.length else { return None };
        let speed = speeds.get(arm, phase)?;
        sum += steps as f64 * speed.seconds_per_step;
        device.clone_from(&speed.device);
    }
    (!arm.phases.is_empty()).then_some((sum, device))
}

fn plan_json(experiment: &Experiment, speeds: &Speeds) -> serde_json::Value {
    let arms: Vec<_> = experiment
        .arms
        .iter()
        .map(|arm| {
            let memory: serde_json::Map<String, serde_json::Value> =
                arm.cost.parts.iter().map(|part| (part.name.clone(), json!(bytes_of(arm, part)))).collect();
            let seconds = seconds_of(arm, speeds).map(|(seconds, _)| seconds);
            json!({
                "name": arm.name, "role": arm.role, "cost": arm.cost, "memory_bytes": memory,
                "seconds": seconds,
            })
        })
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

/// `1.5 GiB`
fn size(bytes: f64) -> String {
    let (mut size, mut unit) = (bytes, "B");
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if size >= 1024.0 {
            (size, unit) = (size / 1024.0, next);
        }
    }
    format!("{size:.1} {unit}")
}

/// `2 h 05 min`, `12 s`.
fn time(seconds: f64) -> String {
    match seconds.round() as u64 {
        0..60 => format!("{} s", short(seconds.max(0.1))),
        whole @ 60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        whole => format!("{} h {:02} min", whole / 3600, whole / 60 % 60),
    }
}

/// Rows with their columns in line: the first `names` to the left, numbers to the right.
fn table(rows: &[Vec<String>], names: usize) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (index, row) in rows.iter().enumerate() {
        let cells: Vec<String> = row
            .iter()
            .enumerate()
            .map(|(column, cell)| {
                let width = widths[column];
                if column < names { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
            })
            .collect();
        let line = cells.join("  ");
        let line = line.trim_end();
        let _ = writeln!(text, "{}", if index == 0 { styled(HEADING, line) } else { line.to_owned() });
    }
    text
}

fn plan_text(experiment: &Experiment, speeds: &Speeds, width: usize) -> String {
    let header = ["arm", "parameters", "updates", "examples", "operations", "time"].map(str::to_owned);
    let mut rows = vec![header.to_vec()];
    let times: Vec<_> = experiment.arms.iter().map(|arm| seconds_of(arm, speeds)).collect();
    for (arm, time_of) in experiment.arms.iter().zip(&times) {
        let cost = &arm.cost;
        let more = if cost.in_epochs.is_empty() { "" } else { "≥ " };
        rows.push(vec![
            arm.name.clone(),
            short(cost.parameters),
            format!("{more}{}", short(cost.steps)),
            format!("{more}{}", short(cost.examples)),
            format!("{more}{}", short(cost.train_flops)),
            time_of.as_ref().map_or("–".to_owned(), |(seconds, _)| time(*seconds)),
        ]);
    }
    let mut text = table(&rows, 1);
    let seeds = experiment.seeds;
    let total: f64 = experiment.arms.iter().map(|arm| arm.cost.train_flops).sum::<f64>() * seeds as f64;
    let runs = experiment.arms.len() as u64 * seeds;
    let known: Option<f64> = times.iter().map(|time| time.as_ref().map(|(seconds, _)| *seconds)).sum();
    let whole = match (known, times.iter().flatten().next()) {
        (Some(sum), Some((_, device))) => {
            format!(", {} of training as fast as it was on {device}", time(sum * seeds as f64))
        }
        _ => "; time is told of what this machine has run before, and `zoo bench` measures it".to_owned(),
    };
    let note = format!(
        "Per seed. {seeds} seeds an arm are {runs} runs and {} operations of training{whole}.",
        short(total)
    );
    let _ = writeln!(text, "{}", styled(FAINT, wrapped(&note, width, 0)));
    let mut in_epochs: Vec<&str> =
        experiment.arms.iter().flat_map(|arm| &arm.cost.in_epochs).map(String::as_str).collect();
    in_epochs.sort_unstable();
    in_epochs.dedup();
    if !in_epochs.is_empty() {
        let note = format!(
            "Phase `{}` is told in epochs: how many updates that is, is known when the data is there. Here an epoch \
             counts as one update.",
            in_epochs.join("`, `")
        );
        let _ = writeln!(text, "{}", styled(FAINT, wrapped(&note, width, 0)));
    }

    let header = ["arm", "phase or evaluation", "operations", "kept", "memory at most"].map(str::to_owned);
    let mut rows = vec![header.to_vec()];
    let mut lacking: Vec<String> = Vec::new();
    for arm in &experiment.arms {
        for part in &arm.cost.parts {
            let bytes = size(bytes_of(arm, part));
            let more = if part.memory.unknown.is_empty() { "" } else { "≥ " };
            lacking.extend(part.memory.unknown.iter().cloned());
            rows.push(vec![
                arm.name.clone(),
                part.name.clone(),
                short(part.flops),
                size(4.0 * part.memory.activations),
                format!("{more}{bytes}"),
            ]);
        }
    }
    if rows.len() > 1 {
        let _ = write!(text, "\n{}", table(&rows, 2));
        let note = "Operations are those of an update, or of a batch. Kept is what the backward pass needs. Memory is \
             that of tensors at the worst moment; where only the data tells how long texts are, with the longest \
             that the components allow.";
        let _ = writeln!(text, "{}", styled(FAINT, wrapped(note, width, 0)));
    }
    lacking.sort();
    lacking.dedup();
    if !lacking.is_empty() {
        let note = format!("`{}` do not tell what they need: there it is more.", lacking.join("`, `"));
        let _ = writeln!(text, "{}", styled(FAINT, wrapped(&note, width, 0)));
    }
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

    #[test]
    fn times_are_short() {
        let texts: Vec<String> = [0.0, 12.0, 125.0, 7500.0].map(time).into();
        assert_eq!(texts, ["0.10 s", "12 s", "2 min 05 s", "2 h 05 min"]);
    }
}
