//! `zoo explain`

use super::reference;
use crate::arguments::{Arguments, Explain};
use crate::error::Wrong;
use crate::recipe::plugin_options;
use crate::terminal::{FAINT, HEADING, NAME, Terminal, styled, table};
use anyhow::Result;
use serde_json::json;
use std::fmt::Write;
use std::path::Path;
use zoo_diagnostics::codes::{self, Explanation};
use zoo_diagnostics::similar;
use zoo_discovery::{Catalogue, PluginFile, Refused};
use zoo_record::Exit;
use zoo_schema::Component;
use zoo_schema::kinds::{self, KINDS, Kind};

/// What can be explained.
pub(crate) enum Subject<'a> {
    /// A message's code.
    Code(&'static Explanation),
    /// A component and its plugin.
    Component(&'a PluginFile, &'a Component),
    /// A plugin.
    Plugin(&'a PluginFile),
    /// Kinds: one by its name, or all that are bound with one keyword.
    Kinds(Vec<&'static Kind>),
    /// The components whose names begin alike.
    Namespace(String),
}

pub(crate) fn run(command: &Explain, arguments: &Arguments, terminal: &mut Terminal) -> Result<Exit> {
    // A code needs no plugin.
    if let Some(row) = command.subject.as_deref().and_then(code) {
        let text = if command.json { format!("{:#}\n", code_json(row)) } else { code_page(row) };
        terminal.print(&text)?;
        return Ok(Exit::Success);
    }
    let catalogue = zoo_discovery::discover(&plugin_options(arguments, Some(Path::new("."))));
    let width = terminal.width();
    let Some(subject) = &command.subject else {
        let text = if command.json {
            let names: Vec<_> = catalogue.components().map(|(_, component)| &component.name).collect();
            format!("{:#}\n", json!({ "components": names, "kinds": kind_names(), "codes": code_names() }))
        } else {
            everything(&catalogue, width)
        };
        terminal.print(&text)?;
        return Ok(Exit::Success);
    };
    let found = find(subject, &catalogue)?;
    let text = match (&found, command.json) {
        (Subject::Code(row), false) => code_page(row),
        (Subject::Code(row), true) => format!("{:#}\n", code_json(row)),
        (Subject::Component(plugin, component), false) => reference::page(plugin, component, width),
        (Subject::Component(_, component), true) => format!("{}\n", serde_json::to_string_pretty(component)?),
        (Subject::Plugin(plugin), false) => plugin_page(plugin, width),
        (Subject::Plugin(plugin), true) => {
            format!("{:#}\n", plugin_json(plugin))
        }
        (Subject::Kinds(kinds), false) => {
            let pages: Vec<String> = kinds.iter().map(|kind| kind_page(kind, &catalogue, width)).collect();
            pages.join("\n")
        }
        (Subject::Kinds(kinds), true) => {
            let all: Vec<_> = kinds
                .iter()
                .map(|kind| {
                    let of_kind: Vec<_> = of_kind(&catalogue, kind.name).map(|(_, c)| &c.name).collect();
                    json!({
                        "kind": kind.name,
                        "keyword": kind.keyword,
                        "summary": kind.summary,
                        "contract": contract(kind),
                        "components": of_kind,
                    })
                })
                .collect();
            format!("{:#}\n", json!(all))
        }
        (Subject::Namespace(name), false) => namespace_page(name, &catalogue, width),
        (Subject::Namespace(name), true) => {
            let all: Vec<_> = in_namespace(&catalogue, name).map(|(_, component)| component).collect();
            format!("{}\n", serde_json::to_string_pretty(&all)?)
        }
    };
    terminal.print(&text)?;
    Ok(Exit::Success)
}

fn code(text: &str) -> Option<&'static Explanation> {
    codes::find(text)
}

/// Finds what a text names.
///
/// # Errors
/// [`Wrong`] with the nearest name when there is nothing of it.
pub(crate) fn find<'a>(text: &str, catalogue: &'a Catalogue) -> Result<Subject<'a>> {
    if let Some(row) = code(text) {
        return Ok(Subject::Code(row));
    }
    if let Some((plugin, component)) = catalogue.component(text) {
        return Ok(Subject::Component(plugin, component));
    }
    let full_name = format!("zoo-{}", text.replace('_', "-"));
    if let Some(plugin) = catalogue.plugin(text).or_else(|| catalogue.plugin(&full_name)) {
        return Ok(Subject::Plugin(plugin));
    }
    if let Some(kind) = kinds::kind(text) {
        return Ok(Subject::Kinds(vec![kind]));
    }
    let bound: Vec<&Kind> = KINDS.iter().filter(|kind| kind.keyword == text).collect();
    if !bound.is_empty() {
        return Ok(Subject::Kinds(bound));
    }
    if in_namespace(catalogue, text).next().is_some() {
        return Ok(Subject::Namespace(text.to_owned()));
    }
    let mut short =
        catalogue.components().filter(|(_, component)| component.name.rsplit('.').next() == Some(text));
    if let (Some((plugin, component)), None) = (short.next(), short.next()) {
        return Ok(Subject::Component(plugin, component));
    }
    let has = |refused: &&Refused| refused.components.iter().any(|name| name == text);
    if let Some(refused) = catalogue.refused.iter().find(has) {
        let wrong = Wrong::new(format!("`{text}` is out of reach: {refused}"));
        return Err(refused.help().into_iter().fold(wrong, Wrong::help).into());
    }
    if let Some(refused) = catalogue.refused(text).or_else(|| catalogue.refused(&full_name)) {
        let wrong = Wrong::new(refused.to_string());
        return Err(refused.help().into_iter().fold(wrong, Wrong::help).into());
    }
    Err(unknown(text, catalogue).into())
}

fn unknown(text: &str, catalogue: &Catalogue) -> Wrong {
    let wrong = Wrong::new(format!("there is no code, component, plugin or kind `{text}`"));
    let full: Vec<&str> = catalogue.components().map(|(_, component)| component.name.as_str()).collect();
    let plugins = catalogue.plugins.iter().map(|plugin| plugin.build.name.as_str());
    let names: Vec<&str> = full
        .iter()
        .copied()
        .chain(plugins)
        .chain(KINDS.iter().flat_map(|kind| [kind.name, kind.keyword]))
        .chain(codes::TABLE.iter().map(|row| row.code.as_str()))
        .collect();
    let near = similar(text, names.iter().copied()).map(str::to_owned).or_else(|| {
        // `masked_ml` is near to the last part of `transformer.masked_lm`.
        let parts: Vec<&str> = full.iter().filter_map(|name| name.rsplit('.').next()).collect();
        let near = similar(text, parts.iter().copied())?;
        let index = parts.iter().position(|part| *part == near)?;
        Some(full[index].to_owned())
    });
    match near {
        Some(near) => wrong.help(format!("did you mean `zoo explain {near}`?")),
        None if !catalogue.refused.is_empty() => wrong.help(
            "`zoo explain` lists everything that can be explained, and `zoo plugin list` says why plugins were refused",
        ),
        None => wrong.help("`zoo explain` lists everything that can be explained"),
    }
}

fn in_namespace<'a>(
    catalogue: &'a Catalogue,
    name: &str,
) -> impl Iterator<Item = (&'a PluginFile, &'a Component)> + use<'a> {
    let prefix = format!("{name}.");
    catalogue.components().filter(move |(_, component)| component.name.starts_with(&prefix))
}

fn of_kind<'a>(
    catalogue: &'a Catalogue,
    kind: &'static str,
) -> impl Iterator<Item = (&'a PluginFile, &'a Component)> {
    catalogue.components().filter(move |(_, component)| component.kind == kind)
}

fn kind_names() -> Vec<&'static str> {
    KINDS.iter().map(|kind| kind.name).collect()
}

fn code_names() -> Vec<&'static str> {
    codes::TABLE.iter().map(|row| row.code.as_str()).collect()
}

fn code_json(row: &Explanation) -> serde_json::Value {
    json!({
        "code": row.code.as_str(),
        "title": row.title,
        "text": row.text,
        "wrong": row.wrong,
        "right": row.right,
    })
}

fn code_page(row: &Explanation) -> String {
    reference::markdown(&row.to_string())
}

fn summaries<'a>(components: impl Iterator<Item = &'a Component>, width: usize) -> String {
    let rows: Vec<Vec<String>> = components.map(|c| vec![c.name.clone(), c.summary.clone()]).collect();
    table(&rows, width, NAME)
}

fn plugin_json(plugin: &PluginFile) -> serde_json::Value {
    json!({
        "path": plugin.path,
        "found_in": plugin.source.description(),
        "build": plugin.build,
        "blake3": plugin.hash().ok(),
        "components": plugin.components,
    })
}

fn plugin_page(plugin: &PluginFile, width: usize) -> String {
    let build = &plugin.build;
    let mut text = format!("{} {}\n\n", styled(HEADING, &build.name), build.version);
    let mut facts = vec![
        ("file", plugin.path.display().to_string()),
        ("found in", plugin.source.description().to_owned()),
    ];
    facts.push(("ABI", build.abi.clone()));
    facts.extend(build.libtorch.iter().map(|version| ("libtorch", version.clone())));
    facts.push(("built by", build.compiler.clone()));
    facts.push(("target", build.target.clone()));
    facts.extend(plugin.hash().ok().map(|hash| ("BLAKE3", hash.to_owned())));
    let rows: Vec<Vec<String>> =
        facts.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    text.push_str(&table(&rows, width, FAINT));
    let count = plugin.components.len();
    let _ = writeln!(text, "\n{}", styled(HEADING, crate::recipe::counted(count, "component")));
    text.push_str(&summaries(plugin.components.iter(), width));
    text
}

/// What a component of a kind must have, in the words of the check that holds it to it.
fn contract(kind: &Kind) -> Vec<String> {
    let empty = serde_json::from_value::<Component>(json!({ "name": "", "kind": kind.name, "summary": "" }));
    empty.map(|empty| kinds::violations(&empty)).unwrap_or_default()
}

fn kind_page(kind: &'static Kind, catalogue: &Catalogue, width: usize) -> String {
    let mut text = format!("{}: {}\n\n", styled(HEADING, kind.name), kind.summary);
    let called = if kind.callable { ", and called in a step" } else { "" };
    let _ = writeln!(text, "Bound with `{} NAME = …`{called}.", kind.keyword);
    for rule in contract(kind) {
        let _ = writeln!(text, "It has to be so: {rule}.");
    }
    let _ = writeln!(text, "\n{}", styled(HEADING, "Components of this kind"));
    let list = summaries(of_kind(catalogue, kind.name).map(|(_, component)| component), width);
    text.push_str(if list.is_empty() { "  none in reach\n" } else { &list });
    text
}

fn namespace_page(name: &str, catalogue: &Catalogue, width: usize) -> String {
    let list = summaries(in_namespace(catalogue, name).map(|(_, component)| component), width);
    format!("{}\n{list}", styled(HEADING, format!("Components in `{name}`")))
}

fn everything(catalogue: &Catalogue, width: usize) -> String {
    let mut text = String::new();
    for kind in KINDS {
        let list = summaries(of_kind(catalogue, kind.name).map(|(_, component)| component), width);
        if !list.is_empty() {
            let _ = writeln!(text, "{}: {}\n{list}", styled(HEADING, kind.name), kind.summary);
        }
    }
    if text.is_empty() {
        text.push_str("No plugin is in reach; `zoo plugin doctor` says where they are looked for.\n\n");
    }
    let (first, last) = (codes::TABLE.first(), codes::TABLE.last());
    if let (Some(first), Some(last)) = (first, last) {
        let count = codes::TABLE.len();
        let _ = writeln!(text, "Also {count} codes of messages, {} to {}.", first.code, last.code);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_kinds_are_found_without_plugins() {
        let none = Catalogue::default();
        assert!(matches!(find("z0304", &none), Ok(Subject::Code(row)) if row.code.as_str() == "Z0304"));
        assert!(matches!(find("objective", &none), Ok(Subject::Kinds(kinds)) if kinds.len() == 1));
        assert!(matches!(find("model", &none), Ok(Subject::Kinds(kinds)) if kinds.len() > 3));
        let error = find("objectiv", &none).err().unwrap();
        let help = error.downcast_ref::<Wrong>().unwrap().help.clone();
        assert_eq!(help.as_deref(), Some("did you mean `zoo explain objective`?"));
    }

    #[test]
    fn the_contract_of_a_kind_is_told() {
        let objective = kinds::kind("objective").unwrap();
        assert!(contract(objective).join("\n").contains("`loss: float[]`"));
    }
}
