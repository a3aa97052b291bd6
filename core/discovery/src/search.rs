//! Where plugins are looked for.

use crate::accounts::Accounts;
use crate::catalogue::{Catalogue, PluginFile, Refused};
use crate::hash::Hashes;
use crate::read::{Content, Limits, build_facts, read_file};
use crate::reason::{Here, Reason};
use crate::trust::{Allowed, Verdict};
use object::ReadCache;
use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use zoo_schema::Build;

/// Which place a file was found in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Named by the user, `--plugin PATH`.
    Named,
    /// `plugins/` beside the recipe.
    BesideRecipe,
    /// A folder of `ZOO_PLUGIN_PATH`.
    Path,
    /// The user's own folder.
    User,
    /// The folder of the running program.
    Program,
}

impl Source {
    /// For people.
    pub fn description(self) -> &'static str {
        match self {
            Self::Named => "named with --plugin",
            Self::BesideRecipe => "plugins/ beside the recipe",
            Self::Path => "ZOO_PLUGIN_PATH",
            Self::User => "the user's folder",
            Self::Program => "zoo's own",
        }
    }
}

/// Where to look. The default looks nowhere.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Files, or folders of them, that the user names.
    pub named: Vec<PathBuf>,
    /// The folder of the recipe; its `plugins/` is searched.
    pub recipe_folder: Option<PathBuf>,
    /// The folders of `ZOO_PLUGIN_PATH`.
    pub path: Vec<PathBuf>,
    /// The user's folder, `zoo/plugins` in the data folder.
    pub user: Option<PathBuf>,
    /// The folder of the running program.
    pub program: Option<PathBuf>,
    /// The user's list of allowed files ([`Allowed`]); none: nothing beside the recipe is allowed.
    pub allowed: Option<PathBuf>,
    /// Folder for the cache of hashes; none: hashes are computed each time.
    pub cache: Option<PathBuf>,
    /// The folder with the machine's files of accounts, `group` and `passwd`; none: `/etc`.
    pub accounts: Option<PathBuf>,
    /// What plugins are compared with.
    pub here: Here,
    /// Sizes that are refused.
    pub limits: Limits,
}

impl Options {
    /// From `ZOO_PLUGIN_PATH`, `XDG_DATA_HOME`, `XDG_CONFIG_HOME`, `XDG_CACHE_HOME`, `HOME` and the running
    /// program's path. The only place of this crate that reads the environment.
    pub fn from_environment() -> Self {
        let folder =
            |variable: &str| std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = folder("HOME");
        let base = |variable: &str, otherwise: &str| {
            folder(variable).or_else(|| home.as_ref().map(|home| home.join(otherwise)))
        };
        Self {
            path: std::env::var_os("ZOO_PLUGIN_PATH")
                .map(|paths| std::env::split_paths(&paths).filter(|p| !p.as_os_str().is_empty()).collect())
                .unwrap_or_default(),
            allowed: base("XDG_CONFIG_HOME", ".config").map(|config| config.join("zoo/allowed-plugins.json")),
            user: base("XDG_DATA_HOME", ".local/share").map(|data| data.join("zoo/plugins")),
            program: std::env::current_exe().ok().and_then(|p| p.parent().map(Path::to_path_buf)),
            cache: base("XDG_CACHE_HOME", ".cache").map(|cache| cache.join("zoo")),
            ..Self::default()
        }
    }
}

struct Candidate {
    path: PathBuf,
    source: Source,
    /// Device and inode, which tell whether two paths are one file.
    identity: Option<(u64, u64)>,
}

/// The plugin's name in a file's name: `zoo-text` for `libzoo_text.so`. A `_` of the plugin's own
/// name reads as `-` too; the build facts have the last word.
fn plugin_name(file_name: &str) -> Option<String> {
    let stem = file_name.strip_prefix("lib")?.strip_suffix(".so")?;
    let rest = stem.strip_prefix("zoo_")?;
    let ok =
        !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    ok.then(|| stem.replace('_', "-"))
}

struct Search<'a> {
    options: &'a Options,
    catalogue: Catalogue,
    candidates: Vec<Candidate>,
    hashes: Arc<Hashes>,
}

/// A plugin that can be read, before it is held against the others.
struct Readable {
    path: PathBuf,
    source: Source,
    content: Content,
}

impl Search<'_> {
    fn refuse(&mut self, path: &Path, source: Source, content: Option<&Content>, reason: Reason) {
        let limits = &self.options.limits;
        let build = content.map(|content| content.build.clone()).or_else(|| facts_of(path, limits));
        let components = content
            .map(|content| content.components.iter().map(|component| component.name.clone()).collect())
            .unwrap_or_default();
        let file = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let name = build
            .as_ref()
            .map(|b| b.name.clone())
            .or_else(|| plugin_name(file))
            .unwrap_or_else(|| file.to_owned());
        let here = self.options.here.clone();
        let path = path.to_owned();
        self.catalogue.refused.push(Refused { path, name, source, build, components, here, reason });
    }

    fn add(&mut self, path: PathBuf, source: Source) {
        let identity = path.metadata().ok().map(|m| (m.dev(), m.ino()));
        // The same file by another path, or a folder that is searched twice.
        if identity.is_none() || !self.candidates.iter().any(|c| c.identity == identity) {
            self.candidates.push(Candidate { path, source, identity });
        }
    }

    fn folder(&mut self, folder: &Path, source: Source) {
        self.catalogue.searched.push(folder.to_owned());
        // A folder that is not there is normal.
        let Ok(entries) = std::fs::read_dir(folder) else { return };
        let mut files: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.file_name().and_then(|n| n.to_str()).and_then(plugin_name).is_some())
            .collect();
        files.sort();
        for file in files {
            self.add(file, source);
        }
    }

    fn collect(&mut self) {
        let options = self.options;
        for named in &options.named {
            if named.is_dir() {
                self.folder(named, Source::Named);
            } else {
                self.add(named.clone(), Source::Named);
            }
        }
        if let Some(recipe) = &options.recipe_folder {
            self.folder(&recipe.join("plugins"), Source::BesideRecipe);
        }
        for folder in &options.path {
            self.folder(folder, Source::Path);
        }
        if let Some(folder) = &options.user {
            self.folder(folder, Source::User);
        }
        if let Some(folder) = &options.program {
            self.folder(folder, Source::Program);
        }
    }

    /// One candidate a file name; two files of one name are refused, both.
    fn choose(&mut self) -> Vec<Candidate> {
        let mut by_name: BTreeMap<String, Vec<Candidate>> = BTreeMap::new();
        for candidate in std::mem::take(&mut self.candidates) {
            let name = candidate.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            by_name.entry(name).or_default().push(candidate);
        }
        let mut chosen = Vec::new();
        for candidates in by_name.into_values() {
            let mut candidates = candidates.into_iter();
            let Some(first) = candidates.next() else { continue };
            // A named file hides the others, but not another named file.
            let second =
                candidates.find(|other| first.source != Source::Named || other.source == Source::Named);
            if let Some(second) = second {
                let hash = |path: &Path| self.hashes.of(path).ok();
                let same = hash(&first.path).is_some_and(|one| hash(&second.path) == Some(one));
                let reason = Reason::TwoFiles { first: first.path.clone(), second: second.path, same };
                let content = read_file(&first.path, &self.options.here, &self.options.limits).ok();
                self.refuse(&first.path, first.source, content.as_ref(), reason);
            } else {
                chosen.push(first);
            }
        }
        chosen
    }
}

/// Others may write: the file itself, or put another file in its place.
fn writable_by_others(
    path: &Path,
    source: Source,
    accounts: &Accounts,
) -> Result<Option<Reason>, std::io::Error> {
    const OTHERS_WRITE: u32 = 0o002;
    const GROUP_WRITES: u32 = 0o020;
    const STICKY: u32 = 0o1000;
    // Who, for the message; none, where every user may.
    let writers = |metadata: &Metadata| -> Option<Option<String>> {
        if metadata.mode() & OTHERS_WRITE != 0 {
            return Some(None);
        }
        if metadata.mode() & GROUP_WRITES == 0 {
            return None;
        }
        accounts.shared_group(metadata.gid()).map(Some)
    };
    let file = path.canonicalize()?;
    if let Some(by) = writers(&file.metadata()?) {
        return Ok(Some(Reason::WritableByOthers { path: path.to_owned(), by }));
    }
    let parent = |file: &Path| file.parent().map(Path::to_owned).unwrap_or_default();
    let named = match parent(path) {
        folder if folder.as_os_str().is_empty() => PathBuf::from("."),
        folder => folder,
    };
    // The folder as it was named, too: a link in it may be replaced.
    let own = [parent(&file), named];
    for (folder, holds_it) in
        own.iter().map(|folder| (folder.as_path(), true)).chain(file.ancestors().skip(2).map(|a| (a, false)))
    {
        let metadata = folder.metadata()?;
        // In a sticky folder nobody replaces what is another's, so a file that the user names is safe;
        // but anybody may have put a new one there, so what is merely found is not.
        if metadata.mode() & STICKY != 0 && !(holds_it && source != Source::Named) {
            continue;
        }
        if let Some(by) = writers(&metadata) {
            return Ok(Some(Reason::WritableByOthers { path: folder.to_owned(), by }));
        }
    }
    Ok(None)
}

/// Whether the user has allowed a file that came with the recipe.
fn allowed(path: &Path, options: &Options, hashes: &Hashes) -> Result<(), Reason> {
    let hash = hashes.of(path).map_err(Reason::Unreadable)?;
    let list = Allowed::read(options.allowed.as_deref()).map_err(|error| Reason::AllowedUnreadable {
        list: options.allowed.clone().unwrap_or_default(),
        error: error.to_string(),
    })?;
    match list.verdict(path, &hash) {
        Verdict::Allowed => Ok(()),
        verdict => {
            let changed = verdict == Verdict::Changed;
            Err(Reason::NotAllowed { path: path.to_owned(), hash, changed })
        }
    }
}

/// The build facts of a file that was refused, for the message.
fn facts_of(path: &Path, limits: &Limits) -> Option<Build> {
    let cache = ReadCache::new(File::open(path).ok()?);
    build_facts(&cache, limits)
}

/// For each plugin the reason why another one stands in its way: a component of the same name. What the
/// user named is taken all the same.
fn clashes(plugins: &[Readable]) -> Vec<Option<Reason>> {
    let mut owners: BTreeMap<&str, Vec<&Readable>> = BTreeMap::new();
    for plugin in plugins {
        for component in &plugin.content.components {
            owners.entry(&component.name).or_default().push(plugin);
        }
    }
    let reason = |plugin: &Readable| {
        plugin.content.components.iter().find_map(|component| {
            let stronger = |other: &&&Readable| {
                !std::ptr::eq(**other, plugin)
                    && (other.source == Source::Named || plugin.source != Source::Named)
            };
            let other = owners.get(component.name.as_str())?.iter().find(stronger)?;
            Some(Reason::ComponentTaken { component: component.name.clone(), other: other.path.clone() })
        })
    };
    plugins.iter().map(reason).collect()
}

/// Looks in every place for plugin files and reads them.
pub fn discover(options: &Options) -> Catalogue {
    let hashes = Arc::new(Hashes::new(options.cache.as_deref()));
    let mut search = Search {
        options,
        catalogue: Catalogue::default(),
        candidates: Vec::new(),
        hashes: Arc::clone(&hashes),
    };
    search.collect();
    let mut chosen = search.choose();
    // By place, then name: messages come in the order of the places.
    chosen.sort_by(|a, b| (a.source, &a.path).cmp(&(b.source, &b.path)));
    let accounts = Accounts::new(options.accounts.as_deref());
    let mut readable = Vec::new();
    for Candidate { path, source, .. } in chosen {
        match writable_by_others(&path, source, &accounts) {
            Ok(None) => {}
            Ok(Some(reason)) => {
                search.refuse(&path, source, None, reason);
                continue;
            }
            Err(error) => {
                search.refuse(&path, source, None, Reason::Unreadable(error));
                continue;
            }
        }
        match read_file(&path, &options.here, &options.limits) {
            Ok(content) => {
                let asked = source == Source::BesideRecipe;
                match asked.then(|| allowed(&path, options, &hashes).err()).flatten() {
                    Some(reason) => search.refuse(&path, source, Some(&content), reason),
                    None => readable.push(Readable { path, source, content }),
                }
            }
            // The program's folder holds other libraries too when zoo is run from a build.
            Err(Reason::NotAPlugin) if source == Source::Program => {}
            Err(reason) => search.refuse(&path, source, None, reason),
        }
    }
    let clashes = clashes(&readable);
    for (Readable { path, source, content }, clash) in readable.into_iter().zip(clashes) {
        if let Some(reason) = clash {
            search.refuse(&path, source, Some(&content), reason);
            continue;
        }
        search.catalogue.plugins.push(PluginFile {
            path,
            source,
            build: content.build,
            components: content.components,
            hash: OnceLock::new(),
            hashes: Arc::clone(&hashes),
        });
    }
    search.catalogue.plugins.sort_by(|a, b| a.build.name.cmp(&b.build.name));
    search.catalogue
}
