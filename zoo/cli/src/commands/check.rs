//! `zoo check`

use crate::arguments::{Arguments, Check, Choice};
use crate::recipe::{self, Recipe, counted};
use crate::terminal::{BAD, GOOD, Terminal, styled};
use anyhow::Result;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;
use zoo_check::{Catalogue, Checked};
use zoo_diagnostics::{Diagnostic, Severity, Sources, render};
use zoo_record::Exit;

/// What came out for one recipe.
struct Outcome {
    name: String,
    sources: Sources,
    diagnostics: Vec<Diagnostic>,
    profiles: Vec<String>,
    /// Arms, claims and seeds, where there is no error.
    found: Option<(usize, usize)>,
}

pub(crate) fn run(command: &Check, arguments: &Arguments, terminal: &mut Terminal) -> Result<Exit> {
    // Recipes of one folder see the same plugins.
    let mut catalogues: BTreeMap<PathBuf, Catalogue> = BTreeMap::new();
    let mut outcomes = Vec::new();
    for path in &command.recipes {
        let recipe = Recipe::read(path)?;
        let catalogue = catalogues
            .entry(recipe.folder.clone())
            .or_insert_with(|| recipe::catalogue_for(arguments, &recipe));
        outcomes.push(check(&recipe, catalogue, &command.choice));
    }
    let errors: usize = outcomes.iter().map(|outcome| count(outcome, Severity::Error)).sum();
    let warnings: usize = outcomes.iter().map(|outcome| count(outcome, Severity::Warning)).sum();
    if command.json {
        let recipes: Vec<_> = outcomes
            .iter()
            .map(|outcome| {
                json!({
                    "recipe": outcome.name,
                    "ok": count(outcome, Severity::Error) == 0,
                    "profiles": outcome.profiles,
                    "diagnostics": render::json(&outcome.diagnostics, &outcome.sources),
                })
            })
            .collect();
        let all = json!({ "errors": errors, "warnings": warnings, "recipes": recipes });
        terminal.print(&format!("{all:#}\n"))?;
    } else if command.short {
        for outcome in &outcomes {
            terminal.print(&render::one_line(&outcome.diagnostics, &outcome.sources))?;
        }
    } else {
        for outcome in &outcomes {
            show(outcome, terminal)?;
        }
    }
    Ok(if errors > 0 { Exit::Wrong } else { Exit::Success })
}

fn count(outcome: &Outcome, severity: Severity) -> usize {
    outcome.diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity).count()
}

/// Checks under the profile that was named; otherwise as the recipe stands and under each of its profiles.
fn check(recipe: &Recipe, catalogue: &Catalogue, choice: &Choice) -> Outcome {
    let Checked { sources, mut diagnostics, experiment, profiles, .. } =
        recipe.check(catalogue, choice, None);
    if choice.profile.is_none() {
        for profile in &profiles {
            let choice = Choice { profile: Some(profile.clone()), ..choice.clone() };
            let checked = recipe.check(catalogue, &choice, None);
            for diagnostic in checked.diagnostics {
                let same = |other: &Diagnostic| {
                    (other.code, other.span(), &other.headline)
                        == (diagnostic.code, diagnostic.span(), &diagnostic.headline)
                };
                if !diagnostics.iter().any(same) {
                    diagnostics.push(diagnostic.note(format!("under profile `{profile}`")));
                }
            }
        }
        diagnostics.sort_by_key(|d| (d.severity != Severity::Error, d.span().map(|s| (s.file, s.start))));
    }
    let found = experiment.map(|experiment| (experiment.arms.len(), experiment.claims.len()));
    Outcome { name: recipe.name.clone(), sources, diagnostics, profiles, found }
}

fn show(outcome: &Outcome, terminal: &mut Terminal) -> Result<()> {
    let text = render::full(&outcome.diagnostics, &outcome.sources, terminal.message_style());
    terminal.say(&text);
    let (errors, warnings) = (count(outcome, Severity::Error), count(outcome, Severity::Warning));
    let mut counts = Vec::new();
    if errors > 0 {
        counts.push(counted(errors, "error"));
    }
    if warnings > 0 {
        counts.push(counted(warnings, "warning"));
    }
    let name = &outcome.name;
    if errors > 0 {
        terminal.say(&format!("{name}: {}\n", styled(BAD, counts.join(", "))));
        return Ok(());
    }
    let mut facts = Vec::new();
    if let Some((arms, claims)) = outcome.found {
        facts.extend([counted(arms, "arm"), counted(claims, "claim")]);
    }
    if !outcome.profiles.is_empty() {
        facts.push(format!("profiles {}", outcome.profiles.join(", ")));
    }
    facts.extend(counts);
    terminal.print(&format!("{name}: {} ({})\n", styled(GOOD, "fine"), facts.join("; ")))?;
    Ok(())
}
