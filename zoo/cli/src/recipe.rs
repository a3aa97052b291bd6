//! Reading recipes, finding plugins, and checking the one with the other.

use crate::arguments::{Arguments, Choice};
use crate::error::{Wrong, system};
use crate::terminal::{BAD, Terminal, styled};
use anyhow::Result;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use zoo_check::{Catalogue, Checked, Input};
use zoo_diagnostics::{Diagnostic, Sources, render};

/// Bytes of a recipe that are read; the parser refuses less.
const READ_LIMIT: u64 = 4 << 20;

/// A recipe's text.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    /// The file as the user named it.
    pub(crate) name: String,
    /// What it holds.
    pub(crate) text: String,
    /// The folder that `use` and `plugins/` are relative to.
    pub(crate) folder: PathBuf,
}

impl Recipe {
    /// Reads the file; `-` is the standard input.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        if path.as_os_str() == "-" {
            let text = read_text(io::stdin()).map_err(|error| {
                Wrong::new(format!("the standard input cannot be read: {}", system(&error)))
            })?;
            return Ok(Self { name: "<standard input>".to_owned(), text, folder: PathBuf::from(".") });
        }
        let text = File::open(path).and_then(read_text).map_err(|error| {
            let wrong = Wrong::new(format!("`{}` cannot be read: {}", path.display(), system(&error)));
            match nearest_file(path) {
                Some(near) if error.kind() == io::ErrorKind::NotFound => {
                    wrong.help(format!("did you mean `{}`?", near.display()))
                }
                _ => wrong,
            }
        })?;
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        Ok(Self { name: path.display().to_string(), text, folder })
    }

    /// Checks it under one profile.
    pub(crate) fn check(&self, catalogue: &Catalogue, choice: &Choice, seeds: Option<u64>) -> Checked {
        self.checked(catalogue, choice, seeds, false)
    }

    /// The messages of a check, with only as much of the experiment as they need.
    pub(crate) fn messages(&self, catalogue: &Catalogue, choice: &Choice) -> Checked {
        self.checked(catalogue, choice, None, true)
    }

    fn checked(
        &self,
        catalogue: &Catalogue,
        choice: &Choice,
        seeds: Option<u64>,
        messages_only: bool,
    ) -> Checked {
        let read = |name: &str| {
            File::open(self.folder.join(name)).and_then(read_text).map_err(|error| system(&error))
        };
        zoo_check::check(&Input {
            name: &self.name,
            text: &self.text,
            read: &read,
            catalogue,
            profile: choice.profile.as_deref(),
            arms: &choice.arm,
            sets: &choice.set,
            seeds,
            messages_only,
        })
    }

    /// The profile that runs when none is asked for.
    pub(crate) fn default_profile(&self) -> Option<String> {
        zoo_check::profiles(&self.text).into_iter().find(|profile| profile == "mini")
    }

    /// The choice with the profile that it means; says so where the user did not name it.
    pub(crate) fn with_profile(&self, choice: &Choice, terminal: &mut Terminal) -> Choice {
        let mut choice = choice.clone();
        if choice.profile.is_none()
            && let Some(profile) = self.default_profile()
        {
            let all = zoo_check::profiles(&self.text).join(", ");
            terminal.note(&format!(
                "profile `{profile}`, as none was named; `--profile` chooses another ({all})"
            ));
            choice.profile = Some(profile);
        }
        choice
    }
}

fn read_text(from: impl Read) -> io::Result<String> {
    let mut text = String::new();
    from.take(READ_LIMIT).read_to_string(&mut text)?;
    Ok(text)
}

/// A recipe in the same folder, or in `recipes`, whose name is like that of a file that is not there.
fn nearest_file(path: &Path) -> Option<PathBuf> {
    let stem = |path: &Path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let wanted = stem(path)?;
    let own = path.parent().unwrap_or(Path::new("")).to_owned();
    for folder in [own.clone(), own.join("recipes")] {
        let listed = if folder.as_os_str().is_empty() { Path::new(".") } else { &folder };
        let Ok(entries) = listed.read_dir() else { continue };
        let mut recipes: Vec<PathBuf> = entries
            .filter_map(|entry| Some(folder.join(entry.ok()?.file_name())))
            .filter(|path| path.extension().is_some_and(|extension| extension == "mlm"))
            .collect();
        recipes.sort();
        let stems: Vec<String> = recipes.iter().filter_map(|path| stem(path)).collect();
        let near = stems.iter().position(|stem| *stem == wanted).or_else(|| {
            let near = zoo_diagnostics::similar(&wanted, stems.iter().map(String::as_str))?;
            stems.iter().position(|stem| stem == near)
        });
        if let Some(index) = near {
            return recipes.into_iter().nth(index);
        }
    }
    None
}

/// Where plugins are looked for, for a recipe in this folder.
pub(crate) fn plugin_options(arguments: &Arguments, folder: Option<&Path>) -> zoo_discovery::Options {
    let mut options = zoo_discovery::Options::from_environment();
    options.named = arguments.plugin.clone();
    options.recipe_folder = folder.map(Path::to_owned);
    let fact = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    options.here.libtorch = fact(env!("ZOO_LIBTORCH_VERSION"));
    options.here.compiler = fact(env!("ZOO_COMPILER"));
    if let Some(target) = fact(env!("ZOO_TARGET")) {
        options.here.target = target;
    }
    options
}

/// What the checker needs of the plugins in reach. The files' hashes are left out: only a run asks for them.
pub(crate) fn catalogue(found: &zoo_discovery::Catalogue) -> Catalogue {
    Catalogue {
        plugins: found
            .plugins
            .iter()
            .map(|plugin| zoo_check::Plugin {
                name: plugin.build.name.clone(),
                version: plugin.build.version.clone(),
                path: plugin.path.display().to_string(),
                hash: String::new(),
                components: plugin.components.clone(),
            })
            .collect(),
        refused: found
            .refused
            .iter()
            .map(|refused| {
                let mut help = refused.notes();
                help.extend(refused.help());
                zoo_check::Refused {
                    name: refused.name.clone(),
                    path: refused.path.display().to_string(),
                    components: refused.components.clone(),
                    reason: refused.reason.to_string(),
                    help: help.join("\n"),
                }
            })
            .collect(),
    }
}

/// The plugins in reach of a recipe.
pub(crate) fn catalogue_for(arguments: &Arguments, recipe: &Recipe) -> Catalogue {
    catalogue(&zoo_discovery::discover(&plugin_options(arguments, Some(&recipe.folder))))
}

/// Prints messages in full on the standard error, and a line that counts the errors.
pub(crate) fn show_messages(diagnostics: &[Diagnostic], sources: &Sources, terminal: &mut Terminal) {
    let text = render::full(diagnostics, sources, terminal.message_style());
    terminal.say(&text);
    let errors = diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).count();
    if errors > 0 {
        let name = sources.ids().next().map_or("the recipe", |id| sources.name(id)).to_owned();
        let what = counted(errors, "error");
        terminal.say(&format!("{}: {name}: {what}; nothing was run\n", styled(BAD, "error")));
    }
}

/// `1 error`, `2 errors`
pub(crate) fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
