//! From a recipe to an experiment: names, types, units, shapes and precedence.
//!
//! [`check`] reads nothing itself: sources and component schemas come in with [`Input`]. It reports
//! several errors in one pass; what is wrong in one place makes what follows from it *unknown*,
//! which fits everywhere, so that one cause gives one error.
//!
//! The way of a recipe: `definitions` collects what is defined and which override it has,
//! `evaluate` gives expressions their values, `instances` completes components, `steps` wires
//! them into graphs, `phases` and `claims` finish the [`Experiment`].

pub mod catalogue;
mod claims;
mod continuation;
mod cost;
mod definitions;
mod evaluate;
pub mod graph;
mod instances;
mod phases;
mod resolved;
pub mod shape;
mod steps;
pub mod value;
mod why;

pub use catalogue::{Catalogue, Plugin, Refused};
pub use graph::TypedGraph;
pub use why::Origin;

use definitions::Definitions;
use evaluate::ArmChecker;
use zoo_diagnostics::{Diagnostic, Severity, Sources, Span, codes};
use zoo_schema::experiment::{Experiment, Place, PluginFile, Source};

/// What a check starts from.
pub struct Input<'a> {
    /// The recipe's file as the user named it.
    pub name: &'a str,
    /// Its text.
    pub text: &'a str,
    /// Reads a file that the recipe uses, given as it stands in the recipe.
    pub read: &'a dyn Fn(&str) -> Result<String, String>,
    /// The components there are.
    pub catalogue: &'a Catalogue,
    /// The profile in force; none: the recipe as it stands.
    pub profile: Option<&'a str>,
    /// Only these arms; empty: all.
    pub arms: &'a [String],
    /// `path=value`, from `--set`.
    pub sets: &'a [String],
    /// Seeds instead of what the claims ask for.
    pub seeds: Option<u64>,
    /// Only messages are wanted: the experiment then lacks what takes long and no message needs, the
    /// resolved text and memory by length.
    pub messages_only: bool,
}

/// What a check gives.
#[derive(Debug)]
pub struct Checked {
    /// The texts that messages point into.
    pub sources: Sources,
    /// Messages in the order of the file.
    pub diagnostics: Vec<Diagnostic>,
    /// The experiment, where there is no error.
    pub experiment: Option<Experiment>,
    /// The steps of every arm, with types.
    pub graphs: Vec<TypedGraph>,
    /// The profiles of the recipe, in order.
    pub profiles: Vec<String>,
    /// Where every value comes from, in the first arm that is asked for, else in the first one.
    pub origins: Vec<Origin>,
}

impl Checked {
    /// Whether anything is wrong.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }
}

/// The profiles that a recipe has, without checking it.
pub fn profiles(text: &str) -> Vec<String> {
    let mut sources = Sources::new();
    let file = sources.add("recipe", text);
    let parse = zoo_syntax::parse(file, text);
    parse
        .recipe
        .items
        .iter()
        .filter_map(|item| match item {
            zoo_syntax::ast::Item::Profile(profile) => Some(profile.name.text.clone()),
            _ => None,
        })
        .collect()
}

/// Messages of one check, without repeats: arms share most of what is checked.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    list: Vec<Diagnostic>,
    /// Errors reported so far, repeats included.
    errors: usize,
}

impl Messages {
    pub(crate) fn push(&mut self, diagnostic: Diagnostic) {
        self.errors += usize::from(diagnostic.is_error());
        // A cycle is found from every name in it.
        let same = |other: &Diagnostic| {
            other.code == diagnostic.code
                && (other.span() == diagnostic.span()
                    || other.code == codes::CYCLE && other.headline == diagnostic.headline)
        };
        if !self.list.iter().any(same) {
            self.list.push(diagnostic);
        }
    }
}

/// The place of a span.
pub(crate) fn place(sources: &Sources, span: Span) -> Place {
    let position = sources.position(span);
    Place {
        file: sources.name(span.file_id()).to_owned(),
        start: span.start,
        length: span.len,
        line: position.line,
        column: position.column,
    }
}

/// Checks a recipe.
pub fn check(input: &Input<'_>) -> Checked {
    let mut sources = Sources::new();
    let mut messages = Messages::default();
    let parsed = definitions::read(input, &mut sources, &mut messages);
    let definitions = Definitions::collect(&parsed, input, &sources, &mut messages);
    let mut experiment = Experiment {
        paper: definitions.paper(),
        recipe: input.name.to_owned(),
        profile: input.profile.map(str::to_owned),
        overrides: input.sets.to_vec(),
        resolved: String::new(),
        sources: sources
            .ids()
            .map(|id| Source { file: sources.name(id).to_owned(), text: sources.text(id).to_owned() })
            .collect(),
        seeds: 1,
        first_seed: 1,
        arms: Vec::new(),
        claims: Vec::new(),
        plugins: Vec::new(),
        control: None,
    };
    let mut graphs = Vec::new();
    let mut origins = Vec::new();
    let mut facts = Vec::new();
    let asked =
        input.arms.first().and_then(|name| definitions.arms.iter().position(|arm| arm.name.text == *name));
    let asked = asked.unwrap_or(0);
    let unread = messages.errors > 0;
    for index in 0..definitions.arm_count() {
        let before = messages.errors;
        let mut arm = ArmChecker::new(&definitions, input.catalogue, &sources, &mut messages, index);
        arm.messages_only = input.messages_only;
        let checked = arm.arm();
        graphs.append(&mut arm.graphs);
        let wrong = unread || arm.messages.errors > before;
        facts.push(phases::ArmFacts { wrong, ..arm.facts() });
        if index == asked {
            origins = why::origins(&arm, index);
        }
        experiment.arms.push(checked);
    }
    claims::check(&definitions, &sources, &mut messages, &facts, input, &mut experiment);
    if !input.arms.is_empty() {
        experiment.arms.retain(|arm| input.arms.contains(&arm.name));
        let names: Vec<String> = experiment.arms.iter().map(|arm| arm.name.clone()).collect();
        experiment.claims.retain(|claim| claims::arms_of(claim).iter().all(|arm| names.contains(arm)));
    }
    experiment.plugins = used_plugins(&experiment, input.catalogue);
    if !input.messages_only {
        experiment.resolved = resolved::text(&experiment, input.catalogue);
    }
    let mut diagnostics = messages.list;
    diagnostics.sort_by_key(|d| (d.severity != Severity::Error, d.span().map(|s| (s.file, s.start))));
    let wrong = diagnostics.iter().any(Diagnostic::is_error);
    let profiles = definitions.profile_names();
    Checked { sources, diagnostics, experiment: (!wrong).then_some(experiment), graphs, profiles, origins }
}

/// Components by themselves; see [`bindings`].
#[derive(Debug)]
pub struct Bound {
    /// The texts that messages point into.
    pub sources: Sources,
    /// Messages in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
    /// What is bound, complete, where there is no error: referenced ones before those that refer to them.
    pub instances: Option<Vec<zoo_schema::experiment::Instance>>,
}

/// Checks a text that binds components and does nothing with them, as a command does that is given
/// components beside a recipe.
pub fn bindings(name: &str, text: &str, catalogue: &Catalogue) -> Bound {
    let input = Input {
        name,
        text,
        read: &|_| Err("no other file is read here".to_owned()),
        catalogue,
        profile: None,
        arms: &[],
        sets: &[],
        seeds: None,
        messages_only: true,
    };
    let mut sources = Sources::new();
    let mut messages = Messages::default();
    let parsed = definitions::read(&input, &mut sources, &mut messages);
    let definitions = Definitions::collect(&parsed, &input, &sources, &mut messages);
    let mut checker = ArmChecker::new(&definitions, catalogue, &sources, &mut messages, 0);
    let instances = checker.bound();
    let mut diagnostics = messages.list;
    diagnostics.sort_by_key(|d| (d.severity != Severity::Error, d.span().map(|s| (s.file, s.start))));
    let wrong = diagnostics.iter().any(Diagnostic::is_error);
    Bound { sources, diagnostics, instances: (!wrong).then_some(instances) }
}

fn used_plugins(experiment: &Experiment, catalogue: &Catalogue) -> Vec<PluginFile> {
    let used = |plugin: &&Plugin| {
        experiment
            .arms
            .iter()
            .flat_map(|arm| &arm.instances)
            .any(|instance| plugin.components.iter().any(|c| c.name == instance.component))
    };
    let mut files: Vec<PluginFile> = catalogue
        .plugins
        .iter()
        .filter(used)
        .map(|plugin| PluginFile {
            name: plugin.name.clone(),
            version: plugin.version.clone(),
            path: plugin.path.clone(),
            hash: plugin.hash.clone(),
        })
        .collect();
    files.sort_by(|a, b| a.name.cmp(&b.name));
    files
}

/// `a masker`, `an objective`; `data` has no article.
pub(crate) fn a_kind(kind: &str) -> String {
    match kind {
        "data" => "data".to_owned(),
        _ if kind.starts_with(['a', 'e', 'i', 'o', 'u']) => format!("an {kind}"),
        _ => format!("a {kind}"),
    }
}

/// `no inputs`, `1 input`, `2 inputs`.
pub(crate) fn count(number: usize, what: &str) -> String {
    match number {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}

/// The nearest of `candidates`, for a help.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    zoo_diagnostics::similar(word, candidates)
}

/// `a, b and c`
pub(crate) fn list(names: &[String]) -> String {
    match names {
        [] => "none".to_owned(),
        [one] => format!("`{one}`"),
        [most @ .., last] => {
            let most: Vec<String> = most.iter().map(|n| format!("`{n}`")).collect();
            format!("{} and `{last}`", most.join(", "))
        }
    }
}

pub(crate) fn unknown_name(word: &str, span: Span, what: &str, candidates: &[String]) -> Diagnostic {
    let diagnostic = Diagnostic::error(codes::UNKNOWN_NAME, format!("there is no {what} `{word}`"))
        .primary(span, "not known here");
    match nearest(word, candidates.iter().map(String::as_str)) {
        Some(near) => diagnostic.help_edit(format!("did you mean `{near}`?"), span, near),
        None if candidates.is_empty() => diagnostic.note(format!("the recipe has no {what}")),
        None => match candidates {
            [one] => diagnostic.note(format!("the only {what} is `{one}`")),
            _ => diagnostic.note(format!("known are {}", list(candidates))),
        },
    }
}
