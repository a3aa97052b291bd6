//! One line for a plugin's build script: linker flags and build facts.
//!
//! ```no_run
//! // build.rs
//! zoo_plugin_build::configure();
//! ```

// A build script talks to cargo through its standard output.
#![allow(clippy::print_stdout)]

use std::path::{Path, PathBuf};
use std::process::Command;

/// For a plugin crate: its library exports one symbol and binds its own; its tests find libtorch.
///
/// The version of libtorch, from its own files, reaches the crate as `ZOO_LIBTORCH_VERSION`.
pub fn configure() {
    facts();
    // `zoo-plugin` itself uses this for its tests and has no such library.
    if std::env::var("CARGO_PKG_NAME").is_ok_and(|name| name != "zoo-plugin") {
        println!("cargo::rustc-link-arg-cdylib=-Wl,--exclude-libs,ALL");
        println!("cargo::rustc-link-arg-cdylib=-Wl,-Bsymbolic");
    }
    rpath();
}

/// For the unit tests. Cargo cannot give it to them alone; in the plugin's library it does nothing,
/// as the process that loads it has a library of that name already.
fn rpath() {
    if let Some(lib) = libtorch_lib() {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{}", lib.display());
    }
}

/// For a program or a library that is not a plugin: its binaries and tests find libtorch and bring
/// all of it, since plugins expect it in the process.
pub fn configure_host() {
    facts();
    println!("cargo::rustc-link-arg=-Wl,--no-as-needed");
    rpath();
    if let Some(lib) = libtorch_lib() {
        println!("cargo::rustc-link-arg=-L{}", lib.display());
        println!("cargo::rustc-link-arg=-ltorch_cpu");
    }
}

fn facts() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=LIBTORCH");
    println!("cargo::rerun-if-env-changed=LIBTORCH_USE_PYTORCH");
    let version = libtorch_root().and_then(|root| version_of(&root)).unwrap_or_default();
    println!("cargo::rustc-env=ZOO_LIBTORCH_VERSION={version}");
    println!("cargo::rustc-env=ZOO_TARGET={}", std::env::var("TARGET").unwrap_or_default());
    let compiler = std::env::var("RUSTC")
        .ok()
        .and_then(|rustc| Command::new(rustc).arg("--version").output().ok())
        .and_then(|out| String::from_utf8(out.stdout).ok())
        .unwrap_or_default();
    println!("cargo::rustc-env=ZOO_COMPILER={}", compiler.trim());
}

/// The folder with libtorch's `lib` and `include`, found as `torch-sys` finds it.
pub fn libtorch_root() -> Option<PathBuf> {
    if std::env::var_os("LIBTORCH_USE_PYTORCH").is_some() {
        let script = "import torch, os; print(os.path.dirname(torch.__file__))";
        let output = Command::new("python3").args(["-c", script]).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        return Some(PathBuf::from(text.trim()));
    }
    std::env::var_os("LIBTORCH").map(PathBuf::from)
}

fn libtorch_lib() -> Option<PathBuf> {
    let lib = libtorch_root()?.join("lib");
    Some(lib.canonicalize().unwrap_or(lib))
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
