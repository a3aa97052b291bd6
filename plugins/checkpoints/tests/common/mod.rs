//! The plugin, and the reference models.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "shared by several tests")]

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use zoo_host::{PluginPath, Registry};

/// The registry of this crate's plugin, from where cargo puts the libraries that tests depend on.
pub fn registry() -> Arc<Registry> {
    static LOADED: OnceLock<Arc<Registry>> = OnceLock::new();
    let load = || {
        let folder = std::env::current_exe().unwrap().parent().unwrap().to_owned();
        let path = folder.join("libzoo_checkpoints.so");
        Arc::new(Registry::load(&[PluginPath { path, hash: None }]).unwrap())
    };
    Arc::clone(LOADED.get_or_init(load))
}

/// A folder of the reference models.
pub fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}
