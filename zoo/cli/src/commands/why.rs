//! `zoo why`

use crate::arguments::{Arguments, Why};
use crate::error::Wrong;
use crate::recipe::{Recipe, catalogue_for, show_messages};
use crate::terminal::{FAINT, GOOD, HEADING, Terminal, styled};
use anyhow::Result;
use serde_json::json;
use std::fmt::Write;
use zoo_check::{Checked, Origin};
use zoo_record::Exit;
use zoo_schema::Default;
use zoo_schema::experiment::{Arm, Length};

pub(crate) fn run(command: &Why, arguments: &Arguments, terminal: &mut Terminal) -> Result<Exit> {
    let recipe = Recipe::read(&command.recipe)?;
    let catalogue = catalogue_for(arguments, &recipe);
    let checked = recipe.check(&catalogue, &command.choice, None);
    if checked.has_errors() {
        show_messages(&checked.diagnostics, &checked.sources, terminal);
        return Ok(Exit::Wrong);
    }
    let arm = checked.experiment.as_ref().and_then(|experiment| experiment.arms.first());
    let mut answers = answers(&checked, arm, &catalogue);
    if let Some(path) = &command.path {
        let known: Vec<String> = answers.iter().map(|answer| answer.path.clone()).collect();
        let inside = format!("{path}.");
        answers.retain(|answer| answer.path == *path || answer.path.starts_with(&inside));
        if answers.is_empty() {
            let wrong = Wrong::new(format!("`{}` has no value `{path}`", recipe.name));
            let help = match nearest(path, &known) {
                Some(near) => format!("did you mean `zoo why {} {near}`?", recipe.name),
                None => format!("`zoo why {}` lists everything", recipe.name),
            };
            return Err(wrong.help(help).into());
        }
    }
    if command.json {
        let all: Vec<_> = answers.iter().map(Answer::json).collect();
        terminal.print(&format!("{:#}\n", json!(all)))?;
        return Ok(Exit::Success);
    }
    let mut text = String::new();
    let mut context = Vec::new();
    if let Some(profile) = &command.choice.profile {
        context.push(format!("under profile `{profile}`"));
    }
    if let (Some(arm), true) = (arm, checked.experiment.as_ref().is_some_and(|e| e.arms.len() > 1)) {
        context.push(format!("in arm `{}` (`--arm` asks about another)", arm.name));
    } else if let (Some(arm), false) = (arm, command.choice.arm.is_empty()) {
        context.push(format!("in arm `{}`", arm.name));
    }
    if !context.is_empty() {
        let _ = writeln!(text, "{}\n", styled(FAINT, context.join(", ")));
    }
    for answer in &answers {
        text.push_str(&answer.text());
    }
    terminal.print(&text)?;
    Ok(Exit::Success)
}

fn nearest<'a>(path: &str, known: &'a [String]) -> Option<&'a str> {
    zoo_diagnostics::similar(path, known.iter().map(String::as_str)).or_else(|| {
        // `layers` may mean the layers of anything.
        let inside = format!(".{path}");
        known.iter().map(String::as_str).find(|name| name.ends_with(&inside))
    })
}

/// A path with the layers that speak of it, the strongest last.
struct Answer<'a> {
    path: String,
    /// The value after everything was computed, where the experiment shows it.
    value: Option<String>,
    /// What the component says when nobody does.
    default: Option<String>,
    layers: Vec<&'a Origin>,
}

impl Answer<'_> {
    fn json(&self) -> serde_json::Value {
        let layers: Vec<_> = self
            .layers
            .iter()
            .map(|origin| {
                json!({
                    "layer": origin.layer,
                    "text": origin.text,
                    "file": origin.place.file,
                    "line": origin.place.line,
                    "column": origin.place.column,
                    "in_force": origin.in_force,
                })
            })
            .collect();
        json!({ "path": self.path, "value": self.value, "default": self.default, "layers": layers })
    }

    fn text(&self) -> String {
        let mut text = styled(HEADING, &self.path);
        if let Some(value) = &self.value {
            let _ = write!(text, " = {value}");
        }
        text.push('\n');
        let set = self.layers.iter().any(|origin| origin.in_force);
        let mark = |in_force: bool| if in_force { styled(GOOD, "→") } else { " ".to_owned() };
        let mut rows: Vec<(bool, String, String, String)> = Vec::new();
        if let Some(default) = &self.default {
            rows.push((!set, "default".to_owned(), default.clone(), String::new()));
        }
        for origin in &self.layers {
            let place = &origin.place;
            let place = format!("{}:{}:{}", place.file, place.line, place.column);
            rows.push((origin.in_force, origin.layer.clone(), one_line(&origin.text), place));
        }
        let widest = |of: fn(&(bool, String, String, String)) -> &String| {
            rows.iter().map(|row| of(row).chars().count()).max().unwrap_or(0)
        };
        let (layers, values) = (widest(|row| &row.1), widest(|row| &row.2));
        for (in_force, layer, value, place) in &rows {
            let line = format!("  {} {layer:layers$}  {value:values$}", mark(*in_force));
            let _ = match place.as_str() {
                "" => writeln!(text, "{}", line.trim_end()),
                place => writeln!(text, "{line}  {}", styled(FAINT, place)),
            };
        }
        text
    }
}

/// Values that go over several lines are cut.
fn one_line(text: &str) -> String {
    let mut line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() > 60 {
        line = line.chars().take(59).collect::<String>() + "…";
    }
    line
}

fn answers<'a>(checked: &'a Checked, arm: Option<&Arm>, catalogue: &zoo_check::Catalogue) -> Vec<Answer<'a>> {
    let mut answers: Vec<Answer<'a>> = Vec::new();
    for origin in &checked.origins {
        match answers.iter_mut().find(|answer| answer.path == origin.path) {
            Some(answer) => answer.layers.push(origin),
            None => answers.push(Answer {
                path: origin.path.clone(),
                value: origin.value.clone(),
                default: None,
                layers: vec![origin],
            }),
        }
    }
    for instance in arm.iter().flat_map(|arm| &arm.instances).filter(|i| !i.name.contains('@')) {
        let schema = catalogue.component(&instance.component).map(|(_, component)| component);
        for (name, value) in &instance.parameters {
            let path = format!("{}.{name}", instance.name);
            let parameter = schema.and_then(|schema| schema.parameter(name));
            let value = parameter.map(|p| value_text(value, &p.kind));
            let default = parameter.and_then(|p| match p.default.as_ref()? {
                Default::Formula { formula } => Some(formula.clone()),
                Default::Value(value) => Some(zoo_check::value::json_text(value, &p.kind)),
            });
            match answers.iter_mut().find(|answer| answer.path == path) {
                Some(answer) => (answer.value, answer.default) = (value, default),
                None => answers.push(Answer { path, value, default, layers: Vec::new() }),
            }
        }
    }
    for phase in arm.iter().flat_map(|arm| &arm.phases) {
        let inside = format!("{}.", phase.name);
        let Ok(all) = serde_json::to_value(phase) else { continue };
        for answer in answers.iter_mut().filter(|answer| answer.value.is_none()) {
            let Some(setting) = answer.path.strip_prefix(&inside) else { continue };
            answer.value = match (setting, phase.length) {
                ("steps", Length::Steps(steps)) => Some(format!("{steps} steps")),
                ("steps", Length::Epochs(epochs)) => Some(format!("{epochs} epochs")),
                _ => all
                    .get(setting)
                    .filter(|value| value.is_number() || value.is_boolean())
                    .map(ToString::to_string),
            };
        }
    }
    answers.sort_by(|left, right| left.path.cmp(&right.path));
    answers
}

fn value_text(value: &serde_json::Value, kind: &zoo_schema::ParameterType) -> String {
    match value.get("$schedule") {
        Some(schedule) => schedule.to_string(),
        None if value.is_null() => "nothing".to_owned(),
        None => zoo_check::value::json_text(value, kind),
    }
}
