//! What was found.

use crate::hash::Hashes;
use crate::reason::{Here, Reason, facts};
use crate::search::Source;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use zoo_schema::{Build, Component};

/// A plugin that can be loaded, as far as its file tells.
#[derive(Clone, Debug)]
pub struct PluginFile {
    /// The file, as it was found.
    pub path: PathBuf,
    /// Which of the places it was found in.
    pub source: Source,
    /// The build facts.
    pub build: Build,
    /// The components, sorted by name.
    pub components: Vec<Component>,
    pub(crate) hash: OnceLock<String>,
    pub(crate) hashes: Arc<Hashes>,
}

impl PluginFile {
    /// BLAKE3 of the file, hexadecimal; computed when first asked for, or taken from the cache.
    ///
    /// # Errors
    /// When the file cannot be read any more.
    pub fn hash(&self) -> io::Result<&str> {
        if let Some(hash) = self.hash.get() {
            return Ok(hash);
        }
        let hash = self.hashes.of(&self.path)?;
        Ok(self.hash.get_or_init(|| hash))
    }
}

/// A file that is not taken.
#[derive(Debug)]
pub struct Refused {
    /// The file.
    pub path: PathBuf,
    /// The plugin's name, from the file's name.
    pub name: String,
    /// Where it was found.
    pub source: Source,
    /// The build facts, where they could be read.
    pub build: Option<Build>,
    /// Its components' names, sorted, where its schemas could be read.
    pub components: Vec<String>,
    /// What this zoo is.
    pub here: Here,
    /// Why not.
    pub reason: Reason,
}

impl Refused {
    /// Facts of both sides, a line each; empty where there is nothing to compare.
    pub fn notes(&self) -> Vec<String> {
        match (&self.reason, &self.build) {
            (
                Reason::WrongLibtorch { .. }
                | Reason::WrongAbi { .. }
                | Reason::NewerAbi { .. }
                | Reason::WrongTarget { .. }
                | Reason::AbortOnPanic(_),
                Some(build),
            ) => {
                vec![format!("the plugin: {}", facts(build)), format!("this zoo:   {}", self.here.facts())]
            }
            _ => Vec::new(),
        }
    }

    /// What to do about it.
    pub fn help(&self) -> Option<String> {
        self.reason.help(&self.name)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "plugin `{}` cannot be loaded from {}: {}", self.name, self.path.display(), self.reason)
    }
}

impl std::error::Error for Refused {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.reason)
    }
}

/// Every plugin in reach, sorted by name, and every file that was refused.
#[derive(Debug, Default)]
pub struct Catalogue {
    /// The plugins, sorted by name.
    pub plugins: Vec<PluginFile>,
    /// Files that are not taken, in the order they were found.
    pub refused: Vec<Refused>,
    /// The folders that were searched, in order, whether they exist or not.
    pub searched: Vec<PathBuf>,
}

impl Catalogue {
    /// The plugin of that name.
    pub fn plugin(&self, name: &str) -> Option<&PluginFile> {
        self.plugins.iter().find(|p| p.build.name == name)
    }

    /// The refused file of that plugin.
    pub fn refused(&self, name: &str) -> Option<&Refused> {
        self.refused.iter().find(|r| r.name == name)
    }

    /// The component of that name (`text.lines`) and its plugin.
    pub fn component(&self, name: &str) -> Option<(&PluginFile, &Component)> {
        self.components().find(|(_, component)| component.name == name)
    }

    /// Every component, with its plugin.
    pub fn components(&self) -> impl Iterator<Item = (&PluginFile, &Component)> {
        self.plugins.iter().flat_map(|plugin| plugin.components.iter().map(move |c| (plugin, c)))
    }
}
