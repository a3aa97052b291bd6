//! `zoo graph`

use crate::arguments::{Arguments, Graph};
use crate::error::Wrong;
use crate::recipe::{Recipe, catalogue_for, show_messages};
use crate::terminal::Terminal;
use anyhow::{Context, Result};
use zoo_check::TypedGraph;
use zoo_record::{Exit, write_atomic};

pub(crate) fn run(command: &Graph, arguments: &Arguments, terminal: &mut Terminal) -> Result<Exit> {
    let recipe = Recipe::read(&command.recipe)?;
    let checked = recipe.check(&catalogue_for(arguments, &recipe), &command.choice, None);
    if checked.has_errors() {
        show_messages(&checked.diagnostics, &checked.sources, terminal);
        return Ok(Exit::Wrong);
    }
    let arms = &command.choice.arm;
    let mut graphs: Vec<&TypedGraph> =
        checked.graphs.iter().filter(|graph| arms.is_empty() || arms.contains(&graph.arm)).collect();
    if let Some(owner) = &command.of {
        let owners: Vec<&str> = graphs.iter().map(|graph| graph.owner.as_str()).collect();
        if !owners.contains(&owner.as_str()) {
            let wrong = Wrong::new(format!("there is no phase or evaluation `{owner}`"));
            let help = match zoo_diagnostics::similar(owner, owners.iter().copied()) {
                Some(near) => format!("did you mean `--of {near}`?"),
                None => format!("there are {}", unique(&owners).join(", ")),
            };
            return Err(wrong.help(help).into());
        }
        graphs.retain(|graph| graph.owner == *owner);
    }
    let text = if command.svg {
        // One picture is one document; the arm's training step says the most.
        let [first, rest @ ..] = graphs.as_slice() else {
            return Err(Wrong::new("the recipe has no step to draw").into());
        };
        if !rest.is_empty() {
            let names: Vec<String> =
                graphs.iter().map(|graph| format!("{}.{}", graph.arm, graph.owner)).collect();
            terminal.note(&format!(
                "drawn is {}.{} of {}; `--arm` and `--of` choose another",
                first.arm,
                first.owner,
                names.join(", ")
            ));
        }
        first.svg()
    } else {
        graphs.iter().map(|graph| graph.dot()).collect()
    };
    match &command.out {
        Some(path) => write_atomic(path, text).context("the graph cannot be written")?,
        None => terminal.print(&text)?,
    }
    Ok(Exit::Success)
}

fn unique<'a>(names: &[&'a str]) -> Vec<&'a str> {
    let mut names = names.to_vec();
    names.sort_unstable();
    names.dedup();
    names
}
