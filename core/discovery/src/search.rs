//! Where plugins are looked for.

use crate::catalogue::{Catalogue, PluginFile, Refused};
use crate::hash::Hashes;
use crate::read::{Limits, build_facts, read_file};
use crate::reason::{Here, Reason};
use crate::trust::{Allowed, Verdict};
use object::ReadCache;
use std::collections::BTreeMap;
use std::fs::File;
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
}

impl Search<'_> {
    fn refuse(&mut self, path: &Path, source: Source, build: Option<Build>, reason: Reason) {
        let file = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let name = build
            .as_ref()
            .map(|b| b.name.clone())
            .or_else(|| plugin_name(file))
            .unwrap_or_else(|| file.to_owned());
        let here = self.options.here.clone();
        self.catalogue.refused.push(Refused { path: path.to_owned(), name, source, build, here, reason });
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
                let reason = Reason::TwoFiles { first: first.path.clone(), second: second.path };
                self.refuse(&first.path, first.source, None, reason);
            } else {
                chosen.push(first);
            }
        }
        chosen
    }
}

/// Anybody may write: the file itself, or put another file in its place.
fn writable_by_others(path: &Path, source: Source) -> Result<Option<PathBuf>, std::io::Error> {
    const OTHERS_WRITE: u32 = 0o002;
    const STICKY: u32 = 0o1000;
    let file = path.canonicalize()?;
    if file.metadata()?.mode() & OTHERS_WRITE != 0 {
        return Ok(Some(path.to_owned()));
    }
    for folder in [Some(file.as_path()), Some(path)].into_iter().flatten().filter_map(Path::parent) {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let mode = folder.metadata()?.mode();
        // In a sticky folder nobody replaces another's file, so a file that the user names is safe;
        // but anybody may have put a new one there, so what is merely found is not.
        if mode & OTHERS_WRITE != 0 && (mode & STICKY == 0 || source != Source::Named) {
            return Ok(Some(folder.to_owned()));
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

/// Looks in every place for plugin files and reads them.
pub fn discover(options: &Options) -> Catalogue {
    let mut search = Search { options, catalogue: Catalogue::default(), candidates: Vec::new() };
    search.collect();
    let hashes = Arc::new(Hashes::new(options.cache.as_deref()));
    let mut chosen = search.choose();
    // By place, then name: of two plugins with a component of one name the earlier place wins.
    chosen.sort_by(|a, b| (a.source, &a.path).cmp(&(b.source, &b.path)));
    for Candidate { path, source, .. } in chosen {
        match writable_by_others(&path, source) {
            Ok(None) => {}
            Ok(Some(open)) => {
                search.refuse(&path, source, None, Reason::WritableByOthers { path: open });
                continue;
            }
            Err(error) => {
                search.refuse(&path, source, None, Reason::Unreadable(error));
                continue;
            }
        }
        match read_file(&path, &options.here, &options.limits) {
            Ok(content) => {
                let taken = content.components.iter().find_map(|component| {
                    let (other, _) = search.catalogue.component(&component.name)?;
                    Some(Reason::ComponentTaken {
                        component: component.name.clone(),
                        other: other.path.clone(),
                    })
                });
                let refused = taken.or_else(|| {
                    let asked = source == Source::BesideRecipe;
                    asked.then(|| allowed(&path, options, &hashes).err()).flatten()
                });
                if let Some(reason) = refused {
                    search.refuse(&path, source, Some(content.build), reason);
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
            // The program's folder holds other libraries too when zoo is run from a build.
            Err(Reason::NotAPlugin) if source == Source::Program => {}
            Err(reason) => {
                let build = facts_of(&path, &options.limits);
                search.refuse(&path, source, build, reason);
            }
        }
    }
    search.catalogue.plugins.sort_by(|a, b| a.build.name.cmp(&b.build.name));
    search.catalogue
}
