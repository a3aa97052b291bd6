//! One line for a plugin's build script: linker flags and build facts.
//!
//! ```no_run
//! // build.rs
//! zoo_plugin_build::configure();
//! ```

// A build script talks to cargo through its standard output.
#![allow(clippy::print_stdout)]

use std::path::PathBuf;
use std::process::Command;

pub mod libtorch;

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

/// Only the build facts, for a program that compares plugins without linking libtorch:
/// `ZOO_LIBTORCH_VERSION`, `ZOO_TARGET` and `ZOO_COMPILER` reach the crate as variables of the compiler.
pub fn facts() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=LIBTORCH");
    println!("cargo::rerun-if-env-changed=LIBTORCH_USE_PYTORCH");
    println!("cargo::rerun-if-env-changed=LIBTORCH_BYPASS_VERSION_CHECK");
    let version = match libtorch::find() {
        Ok(found) => found.version,
        Err(missing) => {
            println!("cargo::error={missing}");
            String::new()
        }
    };
    println!("cargo::rustc-env=ZOO_LIBTORCH_VERSION={version}");
    println!("cargo::rustc-env=ZOO_TARGET={}", std::env::var("TARGET").unwrap_or_default());
    let compiler = std::env::var("RUSTC")
        .ok()
        .and_then(|rustc| Command::new(rustc).arg("--version").output().ok())
        .and_then(|out| String::from_utf8(out.stdout).ok())
        .unwrap_or_default();
    println!("cargo::rustc-env=ZOO_COMPILER={}", compiler.trim());
}

fn libtorch_lib() -> Option<PathBuf> {
    let lib = libtorch::find().ok()?.root.join("lib");
    Some(lib.canonicalize().unwrap_or(lib))
}

#[cfg(test)]
mod tests {
    use super::libtorch::{EXPECTED_VERSION, Missing, check};
    use std::fs;
    use std::path::Path;

    fn place(root: &Path, version: &str, header: bool) {
        fs::create_dir_all(root.join("lib")).unwrap();
        fs::write(root.join("lib/libtorch_cpu.so"), "").unwrap();
        if header {
            fs::create_dir_all(root.join("include/torch/headeronly")).unwrap();
            let text = format!("#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION \"{version}\"\n");
            fs::write(root.join("include/torch/headeronly/version.h"), text).unwrap();
        } else {
            fs::write(root.join("build-version"), format!("{version}+cpu\n")).unwrap();
        }
    }

    #[test]
    fn a_libtorch_of_the_version_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        for (name, header) in [("a", true), ("b", false)] {
            let root = folder.path().join(name);
            place(&root, EXPECTED_VERSION, header);
            assert_eq!(check(root, false).unwrap().version, EXPECTED_VERSION);
        }
    }

    #[test]
    fn another_version_is_refused_unless_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        place(folder.path(), "2.10.1", true);
        let missing = check(folder.path().to_owned(), false).unwrap_err();
        assert!(matches!(&missing, Missing::OtherVersion { found, .. } if found == "2.10.1"));
        assert!(missing.to_string().contains("is libtorch 2.10.1, and zoo is built for 2.11.0"), "{missing}");
        assert_eq!(check(folder.path().to_owned(), true).unwrap().version, "2.10.1");
    }

    #[test]
    fn an_empty_folder_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let missing = check(folder.path().to_owned(), false).unwrap_err();
        assert!(missing.to_string().contains("run `./zoo.sh setup`"), "{missing}");
    }
}
