//! `zoo check`

use crate::arguments::{Arguments, Check, Choice};
use crate::recipe::{self, Recipe, counted};
use crate::terminal::{BAD, GOOD, Terminal, styled};
use anyhow::Result;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use zoo_check::{Catalogue, Checked};
use zoo_diagnostics::{Diagnostic, Severity, Sources, render};
use zoo_record::Exit;

/// What came out for one recipe.
struct Outcome {
    name: String,
    /// Messages of the recipe as it stands, then those that only a profile has, each with its texts.
    checks: Vec<(Sources, Vec<Diagnostic>)>,
    profiles: Vec<String>,
    /// Arms and claims, where there is no error.
    found: Option<(usize, usize)>,
}

impl Outcome {
    fn diagnostics(&self) -> impl Iterator<Item = &Diagnostic> {
        self.checks.iter().flat_map(|(_, diagnostics)| diagnostics)
    }
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
                let diagnostics: Vec<Value> = outcome
                    .checks
                    .iter()
                    .map(|(sources, diagnostics)| render::json(diagnostics, sources))
                    .filter_map(|all| all.as_array().cloned())
                    .flatten()
                    .collect();
                json!({
                    "recipe": outcome.name,
                    "ok": count(outcome, Severity::Error) == 0,
                    "profiles": outcome.profiles,
                    "diagnostics": diagnostics,
                })
            })
            .collect();
        let all = json!({ "errors": errors, "warnings": warnings, "recipes": recipes });
        terminal.print(&format!("{all:#}\n"))?;
    } else if command.short {
        for (sources, diagnostics) in outcomes.iter().flat_map(|outcome| &outcome.checks) {
            terminal.print(&render::one_line(diagnostics, sources))?;
        }
    } else {
        for outcome in &outcomes {
            show(outcome, terminal)?;
        }
    }
    Ok(if errors > 0 { Exit::Wrong } else { Exit::Success })
}

fn count(outcome: &Outcome, severity: Severity) -> usize {
    outcome.diagnostics().filter(|diagnostic| diagnostic.severity == severity).count()
}

/// Checks under the profile that was named; otherwise as the recipe stands and under each of its profiles.
fn check(recipe: &Recipe, catalogue: &Catalogue, choice: &Choice) -> Outcome {
    let Checked { sources, diagnostics, experiment, profiles, .. } = recipe.messages(catalogue, choice);
    let mut outcome = Outcome {
        name: recipe.name.clone(),
        checks: vec![(sources, diagnostics)],
        profiles,
        found: experiment.map(|experiment| (experiment.arms.len(), experiment.claims.len())),
    };
    if choice.profile.is_some() {
        return outcome;
    }
    // Each profile is a check of its own, and there are cores to do them on.
    let under = |profile: &String| {
        let choice = Choice { profile: Some(profile.clone()), ..choice.clone() };
        recipe.messages(catalogue, &choice)
    };
    let checks: Vec<(String, Checked)> = std::thread::scope(|scope| {
        let started: Vec<_> =
            outcome.profiles.iter().map(|profile| (profile, scope.spawn(|| under(profile)))).collect();
        // A check that panics has said so; it is done again here, where it ends the program.
        started
            .into_iter()
            .map(|(profile, check)| (profile.clone(), check.join().unwrap_or_else(|_| under(profile))))
            .collect()
    });
    for (profile, Checked { sources, diagnostics, experiment, .. }) in checks {
        // A profile may have arms and claims of its own: what the fullest one has is told.
        let here = experiment.map(|experiment| (experiment.arms.len(), experiment.claims.len()));
        outcome.found = outcome.found.max(here);
        let new = |diagnostic: &Diagnostic| {
            let place = place(diagnostic, &sources);
            !outcome.checks.iter().any(|(known_sources, known)| {
                known.iter().any(|known| {
                    (known.code, &known.headline) == (diagnostic.code, &diagnostic.headline)
                        && self::place(known, known_sources) == place
                })
            })
        };
        let diagnostics: Vec<Diagnostic> = diagnostics
            .into_iter()
            .filter(new)
            .map(|diagnostic| diagnostic.note(format!("under profile `{profile}`")))
            .collect();
        if !diagnostics.is_empty() {
            outcome.checks.push((sources, diagnostics));
        }
    }
    outcome
}

/// Where a message is, in a way that can be compared between checks: the command line is another text
/// under every profile.
fn place(diagnostic: &Diagnostic, sources: &Sources) -> Option<(u16, u32)> {
    let span = diagnostic.span()?;
    if sources.is_command_line(span.file_id()) { None } else { Some((span.file, span.start)) }
}

fn show(outcome: &Outcome, terminal: &mut Terminal) -> Result<()> {
    for (sources, diagnostics) in &outcome.checks {
        let text = render::full(diagnostics, sources, terminal.message_style());
        terminal.say(&text);
    }
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
