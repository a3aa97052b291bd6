//! The components there are, from the plugin files in reach.

use zoo_schema::Component;

/// A plugin whose file can be loaded.
#[derive(Clone, Debug, PartialEq)]
pub struct Plugin {
    /// `zoo-text`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its file.
    pub path: String,
    /// Hash of the file, hexadecimal; may be empty where nobody asks for it.
    pub hash: String,
    /// Its components.
    pub components: Vec<Component>,
}

/// A plugin whose file cannot be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// `zoo-text`.
    pub name: String,
    /// Its file.
    pub path: String,
    /// Its components' names, where the file tells.
    pub components: Vec<String>,
    /// Why, one line.
    pub reason: String,
    /// The facts of both sides, and what to do.
    pub help: String,
}

/// The plugins in reach.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalogue {
    /// Those that can be loaded.
    pub plugins: Vec<Plugin>,
    /// Those that cannot.
    pub refused: Vec<Refused>,
}

impl Catalogue {
    /// The component of that name, with its plugin.
    pub fn component(&self, name: &str) -> Option<(&Plugin, &Component)> {
        self.plugins
            .iter()
            .find_map(|plugin| Some((plugin, plugin.components.iter().find(|c| c.name == name)?)))
    }

    /// The plugin of that name.
    pub fn plugin(&self, name: &str) -> Option<&Plugin> {
        self.plugins.iter().find(|plugin| plugin.name == name)
    }

    /// Every component's name, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.plugins.iter().flat_map(|plugin| &plugin.components).map(|c| c.name.clone()).collect();
        names.sort();
        names
    }
}
