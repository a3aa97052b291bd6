//! Finds plugin files and reads their schemas from the file, without loading them.
//!
//! ```no_run
//! use zoo_discovery::Options;
//!
//! let mut options = Options::from_environment();
//! options.recipe_folder = Some("recipes".into());
//! let catalogue = zoo_discovery::discover(&options);
//! for plugin in &catalogue.plugins {
//!     println!("{} {} {}", plugin.build.name, plugin.build.version, plugin.path.display());
//! }
//! for refused in &catalogue.refused {
//!     println!("{refused}");
//! }
//! ```
//!
//! Files are looked for in this order: the paths that the user names, `plugins/` beside the recipe,
//! each folder of `ZOO_PLUGIN_PATH`, the user's own folder, the folder of the running program (its
//! first-party plugins). A plugin `zoo-text` is the file `libzoo_text.so`. Two different files of
//! one name, and two plugins with a component of one name, are an error that names both, unless the user
//! named one of them. One file that is found twice, by links or by a folder on two lists, is one plugin.
//!
//! What lies in `plugins/` beside a recipe came with the recipe; it is taken only where the user has
//! allowed that very file, `zoo plugin allow` ([`Allowed`]).
//!
//! Nothing is executed: two sections of the ELF file are read ([`read_file`]), with limits on every
//! size, so that a truncated, damaged or hostile file is a [`Reason`] and never a panic.

mod accounts;
mod catalogue;
mod hash;
mod read;
mod reason;
mod search;
mod trust;

pub use catalogue::{Catalogue, PluginFile, Refused};
pub use hash::Hashes;
pub use read::{Content, Limits, Linkage, frame, linkage, read_bytes, read_file};
pub use reason::{Here, Reason};
pub use search::{Options, Source, discover};
pub use trust::{Allowed, Verdict};

/// The diagnostics' code of a plugin that cannot be loaded.
pub const CANNOT_BE_LOADED: &str = "Z0110";
