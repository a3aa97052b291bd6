//! `zoo plugin allow`: what lies beside a recipe is loaded once the user says so.

use crate::arguments::Arguments;
use crate::error::{Wrong, system};
use crate::recipe::plugin_options;
use crate::terminal::{FAINT, GOOD, HEADING, Terminal, styled};
use anyhow::{Result, anyhow};
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use zoo_discovery::{Allowed, Options, PluginFile, discover};
use zoo_record::Exit;

pub(crate) fn run(
    paths: &[PathBuf],
    forget: bool,
    json: bool,
    arguments: &Arguments,
    terminal: &mut Terminal,
) -> Result<Exit> {
    let options = plugin_options(arguments, None);
    let place = options.allowed.as_deref().unwrap_or(Path::new("the list of allowed plugins"));
    let cannot = |what: &str, error: std::io::Error| {
        anyhow!("`{}` cannot be {what}: {}", place.display(), system(&error))
    };
    let mut list = Allowed::read(options.allowed.as_deref()).map_err(|error| cannot("read", error))?;
    if paths.is_empty() {
        return show(&list, json, terminal);
    }
    let mut said = Vec::new();
    let mut text = String::new();
    for path in paths {
        if forget {
            if !list.forget(path).map_err(|error| cannot("written", error))? {
                return Err(Wrong::new(format!("`{}` is not on the list", path.display()))
                    .help("`zoo plugin allow` without a path prints the list")
                    .into());
            }
            said.push(json!({ "path": path }));
            let _ = writeln!(text, "{} {}", styled(FAINT, "forgotten"), path.display());
            continue;
        }
        for plugin in readable(path, &options)? {
            let hash = plugin.hash().map_err(|error| anyhow!("`{}`: {}", path.display(), system(&error)))?;
            list.allow(&plugin.path, hash).map_err(|error| cannot("written", error))?;
            said.push(json!({
                "name": plugin.build.name, "version": plugin.build.version, "path": plugin.path, "blake3": hash,
            }));
            let names: Vec<&str> = plugin.components.iter().map(|c| c.name.as_str()).collect();
            let _ = writeln!(
                text,
                "{} {} {}  {}\n  BLAKE3 {hash}\n  components {}",
                styled(GOOD, "allowed"),
                styled(HEADING, &plugin.build.name),
                plugin.build.version,
                plugin.path.display(),
                names.join(", ")
            );
        }
    }
    terminal.print(&if json { format!("{:#}\n", Value::Array(said)) } else { text })?;
    Ok(Exit::Success)
}

/// The plugins of a file or folder; a file that could not be loaded anyway is not allowed.
fn readable(path: &Path, options: &Options) -> Result<Vec<PluginFile>> {
    if !path.exists() {
        return Err(Wrong::new(format!("there is no `{}`", path.display()))
            .help("name a plugin file, `recipes/plugins/libzoo_NAME.so`, or a folder of them")
            .into());
    }
    let alone = Options {
        named: vec![path.to_owned()],
        here: options.here.clone(),
        cache: options.cache.clone(),
        ..Options::default()
    };
    let found = discover(&alone);
    if let Some(refused) = found.refused.first() {
        let wrong = Wrong::new(refused.to_string());
        return Err(match refused.help() {
            Some(help) => wrong.help(help),
            None => wrong,
        }
        .into());
    }
    if found.plugins.is_empty() {
        return Err(Wrong::new(format!("`{}` holds no plugin", path.display()))
            .help("plugin files are named `libzoo_NAME.so`")
            .into());
    }
    Ok(found.plugins)
}

fn show(list: &Allowed, json: bool, terminal: &mut Terminal) -> Result<Exit> {
    let text = if json {
        let files: Vec<Value> =
            list.files().map(|(path, hash)| json!({ "path": path, "blake3": hash })).collect();
        format!("{:#}\n", Value::Array(files))
    } else {
        let mut text = String::new();
        for (path, hash) in list.files() {
            let _ = writeln!(text, "{}  {}", path.display(), styled(FAINT, format!("BLAKE3 {hash}")));
        }
        if text.is_empty() {
            text.push_str("No plugin beside a recipe is allowed.\n");
        }
        text
    };
    terminal.print(&text)?;
    Ok(Exit::Success)
}
