//! Which libtorch a build takes, found as `torch-sys` finds it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The version that tch is bound to.
pub const EXPECTED_VERSION: &str = "2.11.0";

/// A libtorch that can be built against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Libtorch {
    /// The folder with `lib` and `include`.
    pub root: PathBuf,
    /// Its version without the build, `2.11.0`; empty where nothing tells it.
    pub version: String,
}

/// Why there is none. Its text says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// No variable names one.
    Unset,
    /// There is no library in the folder.
    NoLibrary(PathBuf),
    /// It is of another version.
    OtherVersion {
        /// Its folder.
        root: PathBuf,
        /// Its version.
        found: String,
    },
    /// Python has no torch.
    NoPyTorch(String),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unset => write!(
                f,
                "no libtorch: run `./zoo.sh setup` in zoo's folder, or let LIBTORCH name one of version \
                 {EXPECTED_VERSION}"
            ),
            Self::NoLibrary(root) => write!(
                f,
                "no libtorch in {} (there is no lib/libtorch_cpu.so): run `./zoo.sh setup`, or let LIBTORCH \
                 name one of version {EXPECTED_VERSION}",
                root.display()
            ),
            Self::OtherVersion { root, found } => write!(
                f,
                "{} is libtorch {found}, and zoo is built for {EXPECTED_VERSION}: unset LIBTORCH and run \
                 `./zoo.sh setup`, or let LIBTORCH name one of that version",
                root.display()
            ),
            Self::NoPyTorch(reason) => write!(
                f,
                "LIBTORCH_USE_PYTORCH is set, but Python has no torch ({reason}): install \
                 torch=={EXPECTED_VERSION}, or unset it and run `./zoo.sh setup`"
            ),
        }
    }
}

/// Finds it by `LIBTORCH_USE_PYTORCH`, else `LIBTORCH`, and checks that it can be used.
///
/// # Errors
///
/// Why it cannot be used; `LIBTORCH_BYPASS_VERSION_CHECK` lets any version pass.
pub fn find() -> Result<Libtorch, Missing> {
    let root = if std::env::var_os("LIBTORCH_USE_PYTORCH").is_some() {
        of_python().map_err(Missing::NoPyTorch)?
    } else {
        std::env::var_os("LIBTORCH").map(PathBuf::from).ok_or(Missing::Unset)?
    };
    check(root, std::env::var_os("LIBTORCH_BYPASS_VERSION_CHECK").is_some())
}

/// Checks that the folder has a libtorch, and of the version that is needed.
///
/// # Errors
///
/// Why it cannot be used.
pub fn check(root: PathBuf, any_version: bool) -> Result<Libtorch, Missing> {
    let library = if cfg!(target_os = "macos") { "libtorch_cpu.dylib" } else { "libtorch_cpu.so" };
    if !root.join("lib").join(library).is_file() {
        return Err(Missing::NoLibrary(root));
    }
    let version = version_of(&root).unwrap_or_default();
    if !any_version && !version.is_empty() && version != EXPECTED_VERSION {
        return Err(Missing::OtherVersion { root, found: version });
    }
    Ok(Libtorch { root, version })
}

fn of_python() -> Result<PathBuf, String> {
    let python = if std::env::var_os("VIRTUAL_ENV").is_some() { "python" } else { "python3" };
    let script = "import torch, os; print(os.path.dirname(torch.__file__))";
    let output =
        Command::new(python).args(["-c", script]).output().map_err(|error| format!("{python}: {error}"))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(words.trim().lines().last().unwrap_or("no message").to_owned());
    }
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}

/// From the headers, which are what is compiled against, else from the file beside them.
fn version_of(root: &Path) -> Option<String> {
    let header = root.join("include/torch/headeronly/version.h");
    let text = std::fs::read_to_string(header)
        .or_else(|_| std::fs::read_to_string(root.join("include/torch/csrc/api/include/torch/version.h")))
        .unwrap_or_default();
    let quoted = text
        .lines()
        .find(|line| line.starts_with("#define TORCH_VERSION ") && line.contains('"'))
        .and_then(|line| line.split('"').nth(1).map(str::to_owned));
    quoted
        .or_else(|| std::fs::read_to_string(root.join("build-version")).ok().map(|t| t.trim().to_owned()))
        .map(|version| version.split('+').next().unwrap_or_default().to_owned())
}
