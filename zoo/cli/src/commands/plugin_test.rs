//! `zoo plugin test`: builds a crate, or takes a built file, and puts it through the conformance suite.

use crate::error::{Wrong, system};
use crate::terminal::Terminal;
use anyhow::{Context, Result, anyhow};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use zoo_record::Exit;

/// What is tested, and how.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Test {
    /// The plugin's crate, which is built, or a built file `libzoo_NAME.so`
    #[arg(value_name = "PATH")]
    pub(crate) path: PathBuf,

    /// The profile that a crate is built with
    #[arg(long, value_name = "NAME", default_value = "release")]
    pub(crate) profile: String,

    /// Seed of everything that is made up
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,

    /// Random sizes that are tried
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub(crate) rounds: usize,

    /// A recipe whose bindings stand for names that examples use and do not define
    #[arg(long, value_name = "RECIPE")]
    pub(crate) surroundings: Option<PathBuf>,

    /// The folder that assets in examples are looked for in, by their last name
    #[arg(long, value_name = "DIR")]
    pub(crate) assets: Option<PathBuf>,

    /// The report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Tests it. `others` are the plugins in reach, whose components its examples may name.
pub(crate) fn run(command: &Test, others: &[PathBuf], terminal: &mut Terminal) -> Result<Exit> {
    let plugin = if command.path.is_dir() {
        built(&command.path, &command.profile)?
    } else if command.path.is_file() {
        command.path.clone()
    } else {
        return Err(Wrong::new(format!("there is no `{}`", command.path.display()))
            .help("name the folder of the plugin's crate, or its file `libzoo_NAME.so`")
            .into());
    };
    let runner = super::run::runner()?;
    terminal.note(&format!("loading {}", plugin.display()));
    let mut words = Command::new(runner);
    words.arg("conformance").arg(&plugin);
    words.args(["--seed", &command.seed.to_string(), "--rounds", &command.rounds.to_string()]);
    for (name, path) in [("--surroundings", &command.surroundings), ("--assets", &command.assets)] {
        if let Some(path) = path {
            words.arg(name).arg(path);
        }
    }
    for other in others.iter().filter(|other| other.file_name() != plugin.file_name()) {
        words.arg("--with").arg(other);
    }
    if command.json {
        words.arg("--json");
    }
    let status = words.status().context("zoo-runner cannot be started")?;
    match status.code() {
        Some(0) => Ok(Exit::Success),
        Some(2) => Ok(Exit::Wrong),
        Some(_) => Ok(Exit::Error),
        None => Err(anyhow!("the plugin ended the whole process: {status}")),
    }
}

/// Builds the crate and gives the file of its plugin.
fn built(folder: &Path, profile: &str) -> Result<PathBuf> {
    let manifest = folder.join("Cargo.toml");
    if !manifest.is_file() {
        return Err(Wrong::new(format!("`{}` is no crate: there is no Cargo.toml in it", folder.display()))
            .help("name the folder of a plugin's crate, or a file `libzoo_NAME.so`")
            .into());
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(&cargo)
        // In the folder, where cargo finds the crate's .cargo/config.toml.
        .current_dir(folder)
        .args(["build", "--lib", "--message-format=json-render-diagnostics", "--profile", profile])
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| anyhow!("`{}` cannot be started: {}", cargo.display(), system(&error)))?;
    let mut found = None;
    if let Some(out) = build.stdout.take() {
        for line in BufReader::new(out).lines() {
            found = line.ok().and_then(|line| plugin_in(&line)).or(found);
        }
    }
    let status = build.wait().context("cargo was lost")?;
    if !status.success() {
        return Err(anyhow!("`{}` does not build; cargo's words are above", folder.display()));
    }
    found.ok_or_else(|| {
        Wrong::new(format!(
            "`{}` makes no plugin: no library of it is named libzoo_NAME.so",
            folder.display()
        ))
        .help("in its Cargo.toml: [lib] name = \"zoo_NAME\", crate-type = [\"cdylib\", \"rlib\"]")
        .into()
    })
}

/// The plugin's file, where one of cargo's messages names it.
fn plugin_in(message: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    if message["reason"] != "compiler-artifact" {
        return None;
    }
    let files = message["filenames"].as_array()?.iter().filter_map(|file| file.as_str().map(PathBuf::from));
    files.into_iter().find(|file| {
        let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.starts_with("libzoo_") && name.ends_with(".so")
    })
}

#[cfg(test)]
mod tests {
    use super::plugin_in;

    #[test]
    fn cargo_says_where_the_plugin_is() {
        let message = r#"{"reason":"compiler-artifact","filenames":["/t/libzoo_a.rlib","/t/libzoo_a.so"]}"#;
        assert_eq!(plugin_in(message).unwrap().to_str(), Some("/t/libzoo_a.so"));
        for other in [
            r#"{"reason":"compiler-artifact","filenames":["/t/libserde_derive-1.so"]}"#,
            r#"{"reason":"build-finished","success":true}"#,
            "",
        ] {
            assert_eq!(plugin_in(other), None, "{other}");
        }
    }
}
