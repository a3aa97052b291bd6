//! `zoo plugin`

use crate::arguments::{Arguments, Plugin};
use crate::commands::{plugin_allow, plugin_new, plugin_test};
use crate::recipe::{counted, plugin_options};
use crate::terminal::{BAD, FAINT, GOOD, HEADING, NAME, Terminal, styled, table};
use anyhow::Result;
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use zoo_discovery::{Catalogue, Options, PluginFile, Refused, discover, linkage};
use zoo_record::Exit;

pub(crate) fn run(command: &Plugin, arguments: &Arguments, terminal: &mut Terminal) -> Result<Exit> {
    match command {
        Plugin::New(command) => plugin_new::run(command, terminal),
        Plugin::Test(command) => {
            let found = discover(&options_for(None, arguments));
            let others: Vec<PathBuf> = found.plugins.into_iter().map(|plugin| plugin.path).collect();
            plugin_test::run(command, &others, terminal)
        }
        Plugin::List { recipe, json } => list(recipe.as_deref(), *json, arguments, terminal),
        Plugin::Allow { paths, forget, json } => {
            plugin_allow::run(paths, *forget, *json, arguments, terminal)
        }
        Plugin::Doctor { recipe, json } => doctor(recipe.as_deref(), *json, arguments, terminal),
    }
}

fn options_for(recipe: Option<&Path>, arguments: &Arguments) -> Options {
    let folder = match recipe {
        Some(recipe) if recipe.is_dir() => recipe.to_owned(),
        Some(recipe) => recipe.parent().map(Path::to_owned).unwrap_or_default(),
        None => PathBuf::from("."),
    };
    plugin_options(arguments, Some(&folder))
}

fn list(recipe: Option<&Path>, json: bool, arguments: &Arguments, terminal: &mut Terminal) -> Result<Exit> {
    let catalogue = discover(&options_for(recipe, arguments));
    if json {
        let plugins: Vec<Value> = catalogue
            .plugins
            .iter()
            .map(|plugin| {
                let names: Vec<&str> = plugin.components.iter().map(|c| c.name.as_str()).collect();
                json!({
                    "name": plugin.build.name,
                    "version": plugin.build.version,
                    "path": plugin.path,
                    "found_in": plugin.source.description(),
                    "abi": plugin.build.abi,
                    "libtorch": plugin.build.libtorch,
                    "blake3": plugin.hash().ok(),
                    "components": names,
                })
            })
            .collect();
        let refused: Vec<Value> = catalogue.refused.iter().map(refused_json).collect();
        terminal.print(&format!("{:#}\n", json!({ "plugins": plugins, "refused": refused })))?;
        return Ok(Exit::Success);
    }
    let mut text = String::new();
    for plugin in &catalogue.plugins {
        let mut facts = format!("ABI {}", plugin.build.abi);
        if let Some(libtorch) = &plugin.build.libtorch {
            let _ = write!(facts, ", libtorch {libtorch}");
        }
        let _ = write!(facts, ", {}, {}", plugin.source.description(), plugin.path.display());
        let _ = writeln!(
            text,
            "{} {}  {}",
            styled(HEADING, &plugin.build.name),
            plugin.build.version,
            styled(FAINT, facts)
        );
        let rows: Vec<Vec<String>> = plugin
            .components
            .iter()
            .map(|c| vec![c.name.clone(), c.kind.clone(), c.summary.clone()])
            .collect();
        text.push_str(&table(&rows, terminal.width(), NAME));
        text.push('\n');
    }
    if catalogue.plugins.is_empty() {
        text.push_str("No plugin is in reach; `zoo plugin doctor` says where they are looked for.\n");
    }
    for refused in &catalogue.refused {
        let _ = writeln!(text, "{}: {refused}", styled(BAD, "refused"));
        if let Some(help) = refused.help() {
            let _ = writeln!(text, "  help: {help}");
        }
    }
    terminal.print(&text)?;
    Ok(Exit::Success)
}

fn refused_json(refused: &Refused) -> Value {
    json!({
        "name": refused.name,
        "path": refused.path,
        "found_in": refused.source.description(),
        "build": refused.build,
        "components": refused.components,
        "reason": refused.reason.to_string(),
        "notes": refused.notes(),
        "help": refused.help(),
    })
}

fn doctor(recipe: Option<&Path>, json: bool, arguments: &Arguments, terminal: &mut Terminal) -> Result<Exit> {
    let options = options_for(recipe, arguments);
    let catalogue = discover(&options);
    let text = if json {
        format!("{:#}\n", doctor_json(&options, &catalogue))
    } else {
        doctor_text(&options, &catalogue, terminal.width())
    };
    terminal.print(&text)?;
    Ok(if catalogue.refused.is_empty() { Exit::Success } else { Exit::Error })
}

fn doctor_json(options: &Options, catalogue: &Catalogue) -> Value {
    let here = &options.here;
    let plugins: Vec<Value> = catalogue
        .plugins
        .iter()
        .map(|plugin| {
            let linkage = linkage(&plugin.path).unwrap_or_default();
            json!({
                "path": plugin.path,
                "found_in": plugin.source.description(),
                "build": plugin.build,
                "blake3": plugin.hash().ok(),
                "needed": linkage.needed,
                "run_paths": linkage.run_paths,
                "components": plugin.components.len(),
            })
        })
        .collect();
    let refused: Vec<Value> = catalogue.refused.iter().map(refused_json).collect();
    json!({
        "here": {
            "zoo": env!("CARGO_PKG_VERSION"),
            "abi": here.abi,
            "libtorch": here.libtorch,
            "compiler": here.compiler,
            "target": here.target,
        },
        "searched": catalogue.searched,
        "plugins": plugins,
        "refused": refused,
    })
}

fn doctor_text(options: &Options, catalogue: &Catalogue, width: usize) -> String {
    let mut text = format!("{}\n", styled(HEADING, "This zoo"));
    let _ = writeln!(text, "  {}, {}\n", env!("CARGO_PKG_VERSION"), options.here.facts());
    let _ = writeln!(text, "{}", styled(HEADING, "Searched, in this order"));
    for folder in &catalogue.searched {
        let found = catalogue.plugins.iter().filter(|p| p.path.parent() == Some(folder)).count();
        let refused = catalogue.refused.iter().filter(|r| r.path.parent() == Some(folder)).count();
        let state = match (folder.is_dir(), found, refused) {
            (false, ..) => styled(FAINT, "not there"),
            (true, 0, 0) => styled(FAINT, "no plugin"),
            (true, count, 0) => counted(count, "plugin"),
            (true, count, refused) => format!("{}, {refused} refused", counted(count, "plugin")),
        };
        let _ = writeln!(text, "  {}  {state}", folder.display());
    }
    for plugin in &catalogue.plugins {
        text.push('\n');
        text.push_str(&health(plugin, width));
    }
    for refused in &catalogue.refused {
        let _ = writeln!(text, "\n{} {}", styled(BAD, "refused"), styled(HEADING, &refused.name));
        let mut rows = vec![
            vec!["file".to_owned(), refused.path.display().to_string()],
            vec!["found in".to_owned(), refused.source.description().to_owned()],
            vec!["reason".to_owned(), refused.reason.to_string()],
        ];
        if !refused.components.is_empty() {
            rows.push(vec!["components".to_owned(), refused.components.join(", ")]);
        }
        rows.extend(refused.notes().into_iter().map(|note| vec!["facts".to_owned(), note]));
        rows.extend(refused.help().map(|help| vec!["help".to_owned(), help]));
        text.push_str(&table(&rows, width, FAINT));
    }
    let summary = format!(
        "{} can be loaded, {} refused",
        counted(catalogue.plugins.len(), "plugin"),
        catalogue.refused.len()
    );
    let style = if catalogue.refused.is_empty() { GOOD } else { BAD };
    let _ = writeln!(text, "\n{}", styled(style, summary));
    text
}

fn health(plugin: &PluginFile, width: usize) -> String {
    let build = &plugin.build;
    let mut rows = vec![
        ("file", plugin.path.display().to_string()),
        ("found in", plugin.source.description().to_owned()),
        ("ABI", build.abi.clone()),
        ("libtorch", build.libtorch.clone().unwrap_or_else(|| "not linked".to_owned())),
        ("built by", build.compiler.clone()),
        ("target", build.target.clone()),
        ("on panic", build.panic.clone()),
        ("SDK", build.sdk.clone().unwrap_or_else(|| "none".to_owned())),
    ];
    match plugin.hash() {
        Ok(hash) => rows.push(("BLAKE3", hash.to_owned())),
        Err(error) => rows.push(("BLAKE3", format!("cannot be computed: {error}"))),
    }
    if let Ok(linkage) = linkage(&plugin.path) {
        if !linkage.needed.is_empty() {
            rows.push(("needs", linkage.needed.join(", ")));
        }
        if !linkage.run_paths.is_empty() {
            rows.push(("looks in", linkage.run_paths.join(", ")));
        }
    }
    let names: Vec<&str> = plugin.components.iter().map(|c| c.name.as_str()).collect();
    rows.push(("components", names.join(", ")));
    let rows: Vec<Vec<String>> = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    format!(
        "{} {} {}\n{}",
        styled(GOOD, "good"),
        styled(HEADING, &build.name),
        build.version,
        table(&rows, width, FAINT)
    )
}
