//! Components that `zoo generate` brings to a model: adapters, a tool and rewards, written as a recipe binds
//! them, and checked as a recipe is, before anything is loaded.

use super::run::option;
use crate::arguments::Attached;
use crate::error::Wrong;
use crate::recipe::{catalogue, show_messages};
use crate::terminal::Terminal;
use anyhow::Result;
use serde_json::Value as Json;
use std::ffi::OsString;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// What the model is called where the components are checked.
const MODEL: &str = "writer";
/// The model's place in them. Its sizes are not known here: it has more layers than any that there is, and which
/// of them are there is checked beside the model.
const STAND_IN: &str = "checkpoint.causal_lm(config: \"file:config.json\", layers: 1000, hidden: 1, queries: 1, \
                        keys: 1, feed_forward: 1)";

/// The components as text, and what each is for.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Bound {
    /// A line of a recipe each.
    text: String,
    /// Names of adapters that are bound.
    adapters: Vec<String>,
    /// Their trained values, by name.
    weights: Vec<(String, PathBuf)>,
    /// Folders of adapters that a run has left.
    of_runs: Vec<PathBuf>,
    /// Names of rewards, and what their scores are told under.
    rewards: Vec<(String, String)>,
    tool: Option<String>,
}

/// `name = namespace.component(…)`: the name, where there is one, and the rest.
fn named(text: &str) -> (Option<&str>, &str) {
    match text.split_once('=') {
        Some((name, rest)) if zoo_schema::types::is_name(name.trim()) => (Some(name.trim()), rest.trim()),
        _ => (None, text.trim()),
    }
}

/// The `config.json` of a folder.
fn config(folder: &Path) -> Option<Json> {
    serde_json::from_str(&std::fs::read_to_string(folder.join("config.json")).ok()?).ok()
}

/// The component of an adapter that a run has left in a folder, and the model that it acts on.
fn adapter_of_run(folder: &Path) -> Option<(String, String)> {
    let config = config(folder)?;
    let zoo = config.get("zoo")?;
    let text = |value: &Json| value.as_str().map(str::to_owned);
    Some((text(zoo.get("component")?)?, text(zoo.get("on")?.get("instance")?)?))
}

/// Adapters of a run that lie beside the model which they act on, in the order of their names.
fn beside(model: &Path) -> Vec<PathBuf> {
    let own = config(model).and_then(|config| Some(config.get("zoo")?.get("instance")?.as_str()?.to_owned()));
    let folder = model.canonicalize().ok().and_then(|path| path.parent().map(Path::to_owned));
    let (Some(own), Some(Ok(entries))) = (own, folder.map(|folder| folder.read_dir())) else {
        return Vec::new();
    };
    let folders = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let acts = |folder: &PathBuf| adapter_of_run(folder).is_some_and(|(_, on)| on == own);
    let mut found: Vec<PathBuf> = folders.filter(acts).collect();
    found.sort();
    found
}

impl Bound {
    /// What the options ask for, as text that is not checked yet.
    fn of(given: &Attached) -> Result<Self> {
        let mut bound = Self::default();
        let mut weights = given.adapter_weights.iter();
        for (number, adapter) in (1..).zip(&given.adapter) {
            let folder = Path::new(adapter);
            if folder.is_dir() {
                if adapter_of_run(folder).is_none() {
                    return Err(Wrong::new(format!("`{adapter}` is no adapter that a run has left"))
                        .help(
                            "its config.json would say which component it is and on which sites; runs leave them in \
                             RUN_DIR/checkpoints/ARM/SEED/final/NAME",
                        )
                        .into());
                }
                bound.of_runs.push(folder.to_owned());
                continue;
            }
            let (name, component) = named(adapter);
            let name = name.map_or_else(|| format!("adapter_{number}"), str::to_owned);
            let Some((component, sites)) = component.rsplit_once(" on ") else {
                let wrong =
                    Wrong::new(format!("`{adapter}` is neither a folder nor an adapter with its sites"));
                let help = "an adapter is written as in a recipe: \
                            `adapters.lora(rank: 8) on layers[*].attention.{query, value}`";
                return Err(wrong.help(help).into());
            };
            let sites = sites.trim();
            let sites = sites.strip_prefix(MODEL).and_then(|rest| rest.strip_prefix('.')).unwrap_or(sites);
            let _ = writeln!(bound.text, "adapter {name} = {component} on {MODEL}.{sites}");
            bound.weights.extend(weights.next().map(|path| (name.clone(), path.clone())));
            bound.adapters.push(name);
        }
        if let Some(left) = weights.next() {
            return Err(Wrong::new(format!("`{}` is there for no adapter", left.display()))
                .help("weights belong to the adapters that are written out, in their order")
                .into());
        }
        if let Some(tool) = &given.tool {
            let (name, component) = named(tool);
            let name = name.unwrap_or("tool_1").to_owned();
            let _ = writeln!(bound.text, "tool {name} = {component}");
            bound.tool = Some(name);
        }
        for (number, reward) in (1..).zip(&given.reward) {
            let (name, component) = named(reward);
            let told =
                name.or_else(|| component.split(['(', '{']).next()).unwrap_or_default().trim().to_owned();
            let name = name.map_or_else(|| format!("reward_{number}"), str::to_owned);
            let taken = bound.rewards.iter().any(|(_, known)| *known == told);
            let _ = writeln!(bound.text, "reward {name} = {component}");
            bound.rewards.push((name.clone(), if taken { name } else { told }));
        }
        Ok(bound)
    }

    /// What the options ask for, with the adapters beside the model; checked, with the plugins that have it.
    /// Nothing, where messages were shown.
    ///
    /// # Errors
    /// What is no component, and components that no plugin in reach has.
    pub(super) fn checked(
        given: &Attached,
        model: &str,
        found: &zoo_discovery::Catalogue,
        terminal: &mut Terminal,
    ) -> Result<Option<(Self, Vec<PathBuf>)>> {
        let mut bound = Self::of(given)?;
        for folder in beside(Path::new(model)) {
            let same = |known: &PathBuf| known.canonicalize().is_ok_and(|known| known == folder);
            if !bound.of_runs.iter().any(same) {
                terminal.note(&format!("the run's adapter {} acts on the model", folder.display()));
                bound.of_runs.push(folder);
            }
        }
        let mut components: Vec<String> =
            bound.of_runs.iter().filter_map(|folder| Some(adapter_of_run(folder)?.0)).collect();
        if !bound.text.is_empty() {
            let text = format!("mlm 1\n\nmodel {MODEL} = {STAND_IN}\n{}", bound.text);
            let checked = zoo_check::bindings("the command line", &text, &catalogue(found));
            show_messages(&checked.diagnostics, &checked.sources, terminal);
            let Some(instances) = checked.instances else { return Ok(None) };
            components.extend(instances.into_iter().map(|instance| instance.component));
        }
        let mut plugins = Vec::new();
        for name in components {
            let Some((plugin, _)) = found.component(&name) else {
                return Err(not_there(&name, found).into());
            };
            if !plugins.contains(&plugin.path) {
                if plugin.source != zoo_discovery::Source::Program {
                    terminal.note(&format!(
                        "plugin `{}` {} is loaded from {} ({})",
                        plugin.build.name,
                        plugin.build.version,
                        plugin.path.display(),
                        plugin.source.description()
                    ));
                }
                plugins.push(plugin.path.clone());
            }
        }
        Ok(Some((bound, plugins)))
    }

    /// The words by which `zoo-runner` is told.
    pub(super) fn tell(&self, given: &Attached, words: &mut Vec<OsString>) {
        if !self.text.is_empty() {
            words.push(format!("--bindings={}", self.text).into());
        }
        words.extend(self.adapters.iter().map(|name| format!("--adapter={name}").into()));
        for (name, path) in &self.weights {
            let mut word = OsString::from(format!("--adapter-weights={name}="));
            word.push(path);
            words.push(word);
        }
        for folder in &self.of_runs {
            words.extend(["--adapter-of-run".into(), folder.into()]);
        }
        words.extend(self.rewards.iter().map(|(name, told)| format!("--reward={name}={told}").into()));
        let Some(tool) = &self.tool else { return };
        words.push(format!("--tool={tool}").into());
        for (name, text) in [
            ("--call-open", &given.call_open),
            ("--call-close", &given.call_close),
            ("--result-open", &given.result_open),
            ("--result-close", &given.result_close),
        ] {
            words.push(format!("{name}={text}").into());
        }
        option(words, "--maximum-calls", Some(given.maximum_calls));
    }
}

/// A component that an adapter's folder names and no plugin has.
fn not_there(name: &str, found: &zoo_discovery::Catalogue) -> Wrong {
    let wrong = Wrong::new(format!("no plugin in reach has `{name}`"));
    match found.refused.iter().find(|refused| refused.components.iter().any(|known| known == name)) {
        Some(refused) => wrong.help(refused.to_string()),
        None => wrong.help("`--plugin PATH` names a plugin; `zoo plugin list` shows those in reach"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(adapter: &[&str], tool: Option<&str>, reward: &[&str]) -> Attached {
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        Attached {
            adapter: texts(adapter),
            adapter_weights: Vec::new(),
            tool: tool.map(str::to_owned),
            call_open: "<".to_owned(),
            call_close: ">".to_owned(),
            result_open: String::new(),
            result_close: String::new(),
            maximum_calls: 8,
            reward: texts(reward),
        }
    }

    #[test]
    fn a_name_may_stand_before_a_component() {
        assert_eq!(named("short = my.length(most: 3)"), (Some("short"), "my.length(most: 3)"));
        assert_eq!(named(" my.overlap()"), (None, "my.overlap()"));
        assert_eq!(named("my.answer(open: \"a = b\")"), (None, "my.answer(open: \"a = b\")"));
    }

    #[test]
    fn options_become_lines_of_a_recipe() {
        let adapters = ["my.low(rank: 2) on layers[*].x", "wide = my.low() on writer.layers[0].y"];
        let rewards = ["my.long()", "right = my.match()", "my.long(most: 3)"];
        let bound = Bound::of(&given(&adapters, Some("my.answers()"), &rewards)).unwrap();
        assert_eq!(
            bound.text,
            "adapter adapter_1 = my.low(rank: 2) on writer.layers[*].x\n\
             adapter wide = my.low() on writer.layers[0].y\n\
             tool tool_1 = my.answers()\n\
             reward reward_1 = my.long()\n\
             reward right = my.match()\n\
             reward reward_3 = my.long(most: 3)\n"
        );
        assert_eq!(bound.adapters, ["adapter_1", "wide"]);
        let pair = |name: &str, told: &str| (name.to_owned(), told.to_owned());
        let told = [pair("reward_1", "my.long"), pair("right", "right"), pair("reward_3", "reward_3")];
        assert_eq!(bound.rewards, told);
        assert_eq!(bound.tool.as_deref(), Some("tool_1"));
    }

    #[test]
    fn weights_go_to_the_adapters_in_order_and_none_may_be_left() {
        let mut given = given(&["my.low() on a.b", "my.low() on a.c"], None, &[]);
        given.adapter_weights = vec!["one".into()];
        let first = [("adapter_1".to_owned(), PathBuf::from("one"))];
        assert_eq!(Bound::of(&given).unwrap().weights, first);
        given.adapter_weights = vec!["one".into(), "two".into(), "three".into()];
        assert!(Bound::of(&given).unwrap_err().to_string().contains("`three` is there for no adapter"));
        let wrong = Bound::of(&Attached { adapter: vec!["my.low()".into()], ..given }).unwrap_err();
        assert!(wrong.to_string().contains("neither a folder nor an adapter with its sites"), "{wrong}");
    }
}
