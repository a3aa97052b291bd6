//! Why a file is not taken.

use std::path::PathBuf;
use zoo_schema::Build;

/// What this zoo is, to compare a plugin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Here {
    /// ABI `major.minor`.
    pub abi: String,
    /// libtorch's version; none where it is not known, and then it is not compared.
    pub libtorch: Option<String>,
    /// The compiler, for messages.
    pub compiler: Option<String>,
    /// The target triple.
    pub target: String,
}

impl Default for Here {
    fn default() -> Self {
        let environment = if cfg!(target_env = "musl") { "musl" } else { "gnu" };
        Self {
            abi: format!("{}.{}", zoo_abi::MAJOR, zoo_abi::MINOR),
            libtorch: None,
            compiler: None,
            target: format!("{}-unknown-{}-{environment}", std::env::consts::ARCH, std::env::consts::OS),
        }
    }
}

impl Here {
    /// One line of facts, as it stands in messages.
    pub fn facts(&self) -> String {
        line(&self.abi, self.libtorch.as_deref(), self.compiler.as_deref().unwrap_or(""), &self.target)
    }
}

/// One line of a plugin's facts, as it stands in messages.
pub(crate) fn facts(build: &Build) -> String {
    line(&build.abi, build.libtorch.as_deref(), &build.compiler, &build.target)
}

fn line(abi: &str, libtorch: Option<&str>, compiler: &str, target: &str) -> String {
    let mut text = format!("ABI {abi}");
    if let Some(libtorch) = libtorch {
        text.push_str(&format!(", libtorch {libtorch}"));
    }
    if !compiler.is_empty() {
        // `rustc 1.95.0 (59807616e 2026-04-14)`: the version is enough.
        text.push_str(&format!(", {}", compiler.split(" (").next().unwrap_or(compiler)));
    }
    text.push_str(&format!(", {target}"));
    text
}

/// Why a file is not taken as a plugin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The file or folder cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(#[source] std::io::Error),
    /// No ELF file.
    #[error("it is no ELF shared library: {0}")]
    NotElf(&'static str),
    /// Damaged or cut off.
    #[error("the file is damaged or cut off: {0}")]
    Damaged(String),
    /// A part is larger than anything sensible.
    #[error("{what} is {size} bytes long; at most {limit} are read")]
    TooLarge {
        /// Which part.
        what: String,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// Made for another processor.
    #[error("it was built for another processor: {plugin}, and this machine is {here}")]
    WrongMachine {
        /// The file's.
        plugin: String,
        /// This machine's.
        here: String,
    },
    /// A shared library, but no plugin of zoo.
    #[error("it is no plugin of zoo: the section `{}` is missing", zoo_abi::META_SECTION)]
    NotAPlugin,
    /// The build facts cannot be read.
    #[error("its build facts cannot be read: {0}")]
    BuildFacts(String),
    /// The file is not named as the plugin in it.
    #[error("the plugin in it is `{plugin}`, whose file is named {expected}")]
    FileName {
        /// Name in the build facts.
        plugin: String,
        /// How the file should be named.
        expected: String,
    },
    /// Built for another target.
    #[error("it was built for another target: {plugin}, and this zoo is for {here}")]
    WrongTarget {
        /// The plugin's triple.
        plugin: String,
        /// Ours.
        here: String,
    },
    /// Compiled with `panic = "abort"`.
    #[error("it was built with `panic = \"{0}\"`, so that any panic in it would end the whole process")]
    AbortOnPanic(String),
    /// Another major version of the ABI.
    #[error("it was built for ABI {plugin}, and this zoo has {here}")]
    WrongAbi {
        /// The plugin's, `major.minor`.
        plugin: String,
        /// Ours.
        here: String,
    },
    /// Needs a later minor version of the ABI.
    #[error("it needs ABI {plugin}, and this zoo has {here}")]
    NewerAbi {
        /// The plugin's, `major.minor`.
        plugin: String,
        /// Ours.
        here: String,
    },
    /// Another libtorch.
    #[error("it was built for another libtorch: {plugin}, and this zoo has {here}")]
    WrongLibtorch {
        /// The plugin's version.
        plugin: String,
        /// Ours.
        here: String,
    },
    /// A component's schema cannot be read or breaks the contract of its kind.
    #[error("the schema of {component} is wrong: {reason}")]
    Schema {
        /// Name in backticks, or its number where the name cannot be read.
        component: String,
        /// What is wrong.
        reason: String,
    },
    /// Two components of one name in one file.
    #[error("it has two components of the name `{0}`")]
    ComponentTwice(String),
    /// Another plugin has a component of the same name. Neither is taken, unless the user named one of
    /// them: which of two is meant must not depend on where they lie.
    #[error("its component `{component}` is also in {}", other.display())]
    ComponentTaken {
        /// The component.
        component: String,
        /// The file that has it.
        other: PathBuf,
    },
    /// Two files of one name.
    #[error(
        "{}: {} and {}",
        if *same { "it is in reach twice, as two copies of one file" } else { "there are two different files of this name" },
        first.display(),
        second.display()
    )]
    TwoFiles {
        /// Found first.
        first: PathBuf,
        /// Found later.
        second: PathBuf,
        /// They have the same content.
        same: bool,
    },
    /// Others than the user could put a plugin there.
    #[error(
        "{} is writable by {}", path.display(), by.as_deref().unwrap_or("every user of this machine")
    )]
    WritableByOthers {
        /// The file, or its folder.
        path: PathBuf,
        /// The group that may, where not every user may.
        by: Option<String>,
    },
    /// It came with a recipe, and the user has not allowed it.
    #[error(
        "it lies beside the recipe and {}; its BLAKE3 is {hash}",
        if *changed { "is not the file that was allowed" } else { "was never allowed" }
    )]
    NotAllowed {
        /// The file.
        path: PathBuf,
        /// Its hash, hexadecimal.
        hash: String,
        /// A file of another content was allowed in its place.
        changed: bool,
    },
    /// The list of allowed files cannot be read.
    #[error("the list of allowed plugins, {}, cannot be read: {error}", list.display())]
    AllowedUnreadable {
        /// The list.
        list: PathBuf,
        /// Why.
        error: String,
    },
}

impl Reason {
    /// What to do about it.
    pub fn help(&self, plugin: &str) -> Option<String> {
        let rebuild =
            |what: &str| Some(format!("rebuild the plugin {what}: cargo build --release -p {plugin}"));
        match self {
            Self::WrongLibtorch { .. } => rebuild("with `LIBTORCH` set to this zoo's"),
            Self::WrongAbi { .. } => rebuild("with the `zoo-plugin` crate of this zoo's version"),
            Self::NewerAbi { .. } => Some("take a newer zoo, or an older version of the plugin".to_owned()),
            Self::WrongTarget { .. } | Self::WrongMachine { .. } => rebuild("on this machine"),
            Self::AbortOnPanic(_) => rebuild("without `panic = \"abort\"` in its profile"),
            Self::NotElf(_) | Self::Damaged(_) | Self::BuildFacts(_) => rebuild("or copy it again"),
            Self::NotAPlugin => Some(
                "plugins are made with the crate `zoo-plugin`; `zoo plugin new NAME --kind KIND` writes one"
                    .to_owned(),
            ),
            Self::FileName { expected, .. } => Some(format!("rename the file to {expected}")),
            Self::TwoFiles { first, second, .. } => Some(format!(
                "remove one of them, or name the one to take: `--plugin {}` or `--plugin {}`",
                first.display(),
                second.display()
            )),
            Self::WritableByOthers { path, by } => {
                Some(format!("chmod {}-w {}", if by.is_some() { "g" } else { "o" }, path.display()))
            }
            Self::NotAllowed { path, .. } => Some(format!(
                "a plugin is a program that can do whatever you can; if you trust where it came from: \
                 zoo plugin allow {}",
                path.display()
            )),
            Self::ComponentTaken { .. } => {
                Some("remove one of the two plugins, or name the one to take with `--plugin`".to_owned())
            }
            _ => None,
        }
    }
}
