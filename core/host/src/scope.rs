//! What the engine says about a call, and what it does for components.

use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Which outputs the caller wants; a component need not compute the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    /// Every one.
    #[default]
    All,
    /// These.
    Only(Arc<[String]>),
}

/// Where in the run a call stands. Cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub struct CallScope {
    /// The step's name, for messages; empty outside of steps.
    pub step: Arc<str>,
    /// The node's id; part of every seed, so that one instance called twice in a step draws twice.
    pub node: Arc<str>,
    /// The update, counted over the whole run; part of every seed.
    pub update: u64,
    /// The update within the phase, for parameters that vary in time.
    pub phase_update: u64,
    /// How many rows of the update (or of the evaluation) come before the first one of this call.
    pub row_offset: u64,
    /// Which part of the update this is, for the seed of device-side draws (dropout).
    pub micro: u64,
    /// Dropout and the like are active.
    pub training: bool,
    /// Gradients are recorded.
    pub gradients: bool,
    /// Each example must keep its row: the gradient of every one is looked at, or the plan of memory, which is
    /// of full rows, is measured.
    pub keep_rows: bool,
    /// Which outputs are wanted.
    pub wanted: Wanted,
}

impl Default for CallScope {
    fn default() -> Self {
        Self {
            step: "".into(),
            node: "".into(),
            update: 0,
            phase_update: 0,
            row_offset: 0,
            micro: 0,
            training: false,
            gradients: false,
            keep_rows: false,
            wanted: Wanted::All,
        }
    }
}

/// An error of the engine's side, on its way through a component.
pub type EnvironmentError = Box<dyn std::error::Error + Send + Sync>;

/// An asset on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asset {
    /// The file or folder.
    pub path: PathBuf,
    /// What identifies its content, usually a hash: part of the keys of stages.
    pub content: String,
}

/// A file that a component makes and that later runs use again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// Hash over all that the file depends on, hexadecimal.
    pub key: String,
    /// The instance that makes it.
    pub instance: String,
    /// Its component.
    pub component: String,
    /// The component's name for it.
    pub name: String,
}

/// What the engine does for components. Called from any thread.
pub trait Environment: Send + Sync {
    /// Fetches an asset (`file:`, `https:`, `hf:`, `pypi:`, or a path).
    ///
    /// # Errors
    /// When it cannot be had.
    fn asset(&self, uri: &str) -> Result<Asset, EnvironmentError>;

    /// The file of a stage: `produce` writes it to the path it is given, where no earlier run left
    /// one. The engine makes it appear under its name as a whole, and lets one thread produce it.
    ///
    /// # Errors
    /// Those of `produce`, and the engine's own.
    fn stage(
        &self,
        stage: &Stage,
        produce: &mut dyn FnMut(&Path) -> Result<(), EnvironmentError>,
    ) -> Result<PathBuf, EnvironmentError>;

    /// Whether the run was asked to stop.
    fn cancelled(&self) -> bool {
        false
    }

    /// A number that a component records beside the step's own logs.
    fn metric(&self, instance: &str, scope: &CallScope, name: &str, value: f64) {
        let _ = (instance, scope, name, value);
    }

    /// A picture, table or text for the report.
    fn artifact(&self, instance: &str, name: &str, media_type: &str, content: &[u8]) {
        let _ = (instance, name, media_type, content);
    }
}

/// For tests and tools: assets are local paths, stages are made anew in a folder.
#[derive(Clone, Debug)]
pub struct LocalEnvironment {
    /// Where stages are kept.
    pub folder: PathBuf,
}

impl Environment for LocalEnvironment {
    fn asset(&self, uri: &str) -> Result<Asset, EnvironmentError> {
        let path = PathBuf::from(uri.strip_prefix("file:").unwrap_or(uri));
        let metadata = path.metadata().map_err(|e| format!("{}: {e}", path.display()))?;
        let content = if metadata.is_file() {
            blake3::hash(&std::fs::read(&path)?).to_hex().to_string()
        } else {
            path.display().to_string()
        };
        Ok(Asset { path, content })
    }

    fn stage(
        &self,
        stage: &Stage,
        produce: &mut dyn FnMut(&Path) -> Result<(), EnvironmentError>,
    ) -> Result<PathBuf, EnvironmentError> {
        let path = self.folder.join(&stage.key);
        if !path.exists() {
            std::fs::create_dir_all(&self.folder)?;
            let temporary = path.with_extension(format!("{:?}.tmp", std::thread::current().id()));
            produce(&temporary)?;
            std::fs::rename(&temporary, &path)?;
        }
        Ok(path)
    }
}
