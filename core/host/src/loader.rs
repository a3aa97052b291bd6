//! Opens plugin files and checks what they hand over. Libraries are never closed: code, thread
//! locals and tables of a plugin live as long as the process.

use crate::error::{Error, LoadFault, Result, nearest};
use crate::functions;
use crate::raw;
use std::collections::BTreeMap;
use std::mem::offset_of;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zoo_abi::{Entry, Plugin, Str};
use zoo_discovery::{Content, Here, Limits};
use zoo_schema::{Build, Component, Port};

/// What to load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginPath {
    /// The file.
    pub path: PathBuf,
    /// BLAKE3 of the file that the recipe was checked against, hexadecimal; none: any file.
    pub hash: Option<String>,
}

impl From<&zoo_schema::experiment::PluginFile> for PluginPath {
    fn from(file: &zoo_schema::experiment::PluginFile) -> Self {
        let hash = (!file.hash.is_empty()).then(|| file.hash.clone());
        Self { path: PathBuf::from(&file.path), hash }
    }
}

/// A component's table; valid as long as the process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table(pub(crate) &'static zoo_abi::Component);

// SAFETY: the table is constant, lies in a library that is never closed, and the host calls its
// functions under the locks that its flags ask for.
unsafe impl Send for Table {}
// SAFETY: as above.
unsafe impl Sync for Table {}

/// A component of a plugin that was loaded.
#[derive(Debug)]
pub(crate) struct LoadedComponent {
    pub(crate) plugin: Arc<LoadedPlugin>,
    pub(crate) schema: Component,
    /// The inputs of a call, and those of a count: shared, since every call needs them.
    pub(crate) inputs: Arc<[Port]>,
    pub(crate) count_inputs: Arc<[Port]>,
    pub(crate) table: Table,
}

/// A plugin that was loaded.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadedPlugin {
    /// The file.
    pub path: PathBuf,
    /// Its build facts.
    pub build: Build,
    /// BLAKE3 of the file, hexadecimal.
    pub hash: String,
}

/// Every component of every plugin that was loaded, by name.
#[derive(Debug, Default)]
pub struct Registry {
    plugins: Vec<Arc<LoadedPlugin>>,
    components: BTreeMap<String, Arc<LoadedComponent>>,
}

fn fault(path: &Path, fault: impl Into<LoadFault>) -> Error {
    Error::Load { path: path.to_owned(), fault: Box::new(fault.into()) }
}

impl Registry {
    /// Loads plugins in the given order.
    ///
    /// # Errors
    /// The first plugin that does not fit; see [`LoadFault`]. Nothing of a file runs before its
    /// sections were read and compared.
    pub fn load(paths: &[PluginPath]) -> Result<Self> {
        let mut registry = Self::default();
        for path in paths {
            registry.add(path)?;
        }
        Ok(registry)
    }

    /// Loads one more plugin.
    ///
    /// # Errors
    /// As [`Registry::load`].
    pub fn add(&mut self, plugin: &PluginPath) -> Result<()> {
        // A name without a folder would be searched for in the system's folders.
        let path = plugin
            .path
            .canonicalize()
            .map_err(|e| fault(&plugin.path, zoo_discovery::Reason::Unreadable(e)))?;
        if self.plugins.iter().any(|p| p.path == path) {
            return Ok(());
        }
        let here = Here { libtorch: Some(crate::LIBTORCH.to_owned()), ..Here::default() };
        let content = zoo_discovery::read_file(&path, &here, &Limits::default())
            .map_err(|reason| fault(&path, reason))?;
        let hash = zoo_discovery::Hashes::new(None)
            .of(&path)
            .map_err(|e| fault(&path, zoo_discovery::Reason::Unreadable(e)))?;
        if let Some(expected) = plugin.hash.as_ref().filter(|expected| **expected != hash) {
            return Err(fault(&path, LoadFault::Changed { found: hash, expected: expected.clone() }));
        }
        for component in &content.components {
            if let Some(other) = self.components.get(&component.name) {
                let other = other.plugin.path.clone();
                return Err(fault(
                    &path,
                    LoadFault::ComponentTaken { component: component.name.clone(), other },
                ));
            }
        }
        let tables = open(&path, &content).map_err(|reason| fault(&path, reason))?;
        let loaded = Arc::new(LoadedPlugin { path, build: content.build, hash });
        for (schema, table) in content.components.into_iter().zip(tables) {
            let name = schema.name.clone();
            let inputs = schema.inputs.clone().into();
            let count_inputs = schema.count_inputs.iter().filter_map(|n| schema.input(n)).cloned().collect();
            let component =
                LoadedComponent { plugin: Arc::clone(&loaded), schema, inputs, count_inputs, table };
            self.components.insert(name, Arc::new(component));
        }
        tracing::debug!(plugin = loaded.build.name, path = %loaded.path.display(), "plugin loaded");
        self.plugins.push(loaded);
        Ok(())
    }

    /// The plugins, in the order they were loaded.
    pub fn plugins(&self) -> impl Iterator<Item = &LoadedPlugin> {
        self.plugins.iter().map(|p| &**p)
    }

    /// The schema of a component.
    pub fn schema(&self, component: &str) -> Option<&Component> {
        self.components.get(component).map(|c| &c.schema)
    }

    /// The schemas of all components, sorted by name.
    pub fn schemas(&self) -> impl Iterator<Item = &Component> {
        self.components.values().map(|c| &c.schema)
    }

    pub(crate) fn component(&self, instance: &str, name: &str) -> Result<Arc<LoadedComponent>> {
        self.components.get(name).cloned().ok_or_else(|| Error::UnknownComponent {
            instance: instance.to_owned(),
            component: name.to_owned(),
            nearest: nearest(name, self.components.keys().map(String::as_str)),
        })
    }
}

/// Opens the library and gives its components' tables in the order of the file's schemas.
fn open(path: &Path, content: &Content) -> std::result::Result<Vec<Table>, LoadFault> {
    use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
    // SAFETY: initialisers of the library run; that this file is a plugin and may be trusted to run
    // is what loading a plugin means. RTLD_LOCAL keeps its symbols from other plugins.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }
        .map_err(|e| LoadFault::Open(loader_message(&e)))?;
    let entry = &content.build.entry;
    // SAFETY: the symbol's type is fixed by its name, which holds the ABI's major version.
    let table = unsafe {
        let Ok(symbol) = library.get::<Entry>(entry) else {
            return Err(LoadFault::NoEntry(entry.clone()));
        };
        let symbol = *symbol;
        // Never closed, even if a later check fails: its threads or exit handlers may live on.
        std::mem::forget(library);
        symbol(functions::table())
    };
    // SAFETY: what the entry gives is constant for the life of the process.
    unsafe { check(table, content) }
}

fn loader_message(error: &libloading::Error) -> String {
    let text = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    text.lines().next().unwrap_or_default().to_owned()
}

/// # Safety
/// `plugin` is null or points to memory that is constant for the life of the process; what follows
/// from a right magic number, size and version is as the ABI says.
unsafe fn check(plugin: *const Plugin, content: &Content) -> std::result::Result<Vec<Table>, LoadFault> {
    if plugin.is_null() {
        return Err(LoadFault::NullTable(content.build.entry.clone()));
    }
    // SAFETY: not null; the first eight bytes are the magic number or this is no table. Read as
    // bytes, since nothing is known of its alignment before.
    let magic = unsafe { plugin.cast::<u64>().read_unaligned() };
    if magic != zoo_abi::MAGIC {
        return Err(LoadFault::Magic { found: magic, expected: zoo_abi::MAGIC });
    }
    // SAFETY: with the magic number comes the rest of the first version's header.
    let (size, major, minor) = unsafe {
        (
            (&raw const (*plugin).size).read(),
            (&raw const (*plugin).major).read(),
            (&raw const (*plugin).minor).read(),
        )
    };
    if major != zoo_abi::MAJOR || minor > zoo_abi::MINOR {
        return Err(LoadFault::Version { found: format!("{major}.{minor}") });
    }
    if (size as usize) < size_of::<Plugin>() {
        return Err(LoadFault::Size { what: "table".to_owned(), found: size, expected: size_of::<Plugin>() });
    }
    // SAFETY: as large as it must be.
    let plugin: &'static Plugin = unsafe { &*plugin };
    let text = |what: &str, given: Str| {
        // SAFETY: texts of the table are constant for the life of the process.
        unsafe { raw::text(given) }.map_err(|fault| LoadFault::Text { what: what.to_owned(), fault })
    };
    let name = |what: &str, given: Str| {
        // SAFETY: as above.
        unsafe { raw::name(given) }.map_err(|fault| LoadFault::Text { what: what.to_owned(), fault })
    };
    let differs = |what: &str| LoadFault::Differs { what: what.to_owned() };
    if name("the name", plugin.name)? != content.build.name {
        return Err(differs("the name"));
    }
    if name("the version", plugin.version)? != content.build.version {
        return Err(differs("the version"));
    }
    if text("the build facts", plugin.build_json)?.trim_end_matches('\0') != content.build_json {
        return Err(differs("the text of the build facts"));
    }
    if plugin.len > 0 && plugin.components.is_null() {
        return Err(LoadFault::Null("the list of components".to_owned()));
    }
    let mut tables: BTreeMap<&str, Table> = BTreeMap::new();
    for i in 0..plugin.len.min(Limits::default().components) {
        // SAFETY: the list has `len` entries.
        let pointer = unsafe { *plugin.components.add(i) };
        if pointer.is_null() {
            return Err(LoadFault::Null(format!("component {}", i + 1)));
        }
        // SAFETY: not null; the size stands first.
        let size = unsafe { (&raw const (*pointer).size).read() };
        if (size as usize) < size_of::<zoo_abi::Component>() {
            return Err(LoadFault::Size {
                what: format!("component {}", i + 1),
                found: size,
                expected: size_of::<zoo_abi::Component>(),
            });
        }
        for (what, offset) in [
            ("create", offset_of!(zoo_abi::Component, create)),
            ("call", offset_of!(zoo_abi::Component, call)),
            ("drop", offset_of!(zoo_abi::Component, drop)),
        ] {
            // SAFETY: a pointer-sized field; read as a number, since a null `fn` must not exist.
            if unsafe { pointer.cast::<u8>().add(offset).cast::<usize>().read() } == 0 {
                return Err(LoadFault::Null(format!("`{what}` of component {}", i + 1)));
            }
        }
        // SAFETY: as large as it must be, with its functions there, and constant.
        let component: &'static zoo_abi::Component = unsafe { &*pointer };
        let component_name = name(&format!("the name of component {}", i + 1), component.name)?;
        let schema = text(&format!("the schema of `{component_name}`"), component.schema_json)?;
        let place = content.components.iter().position(|c| c.name == component_name);
        if place.and_then(|place| content.schemas_json.get(place)).map(String::as_str) != Some(schema) {
            return Err(differs(&format!("the schema of `{component_name}`")));
        }
        if tables.insert(component_name, Table(component)).is_some() {
            return Err(LoadFault::ComponentTwice(component_name.to_owned()));
        }
    }
    content
        .components
        .iter()
        .map(|schema| {
            tables
                .get(schema.name.as_str())
                .copied()
                .ok_or_else(|| differs(&format!("`{}`, which is missing there,", schema.name)))
        })
        .collect()
}
