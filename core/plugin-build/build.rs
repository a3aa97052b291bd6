//! Says at the start of a build that libtorch is missing, before torch-sys fails in C++.

// A build script talks to cargo through its standard output.
#![allow(clippy::print_stdout)]
// The module is the library's, which uses all of it.
#![allow(dead_code, unreachable_pub)]

#[path = "src/libtorch.rs"]
mod libtorch;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/libtorch.rs");
    for name in ["LIBTORCH", "LIBTORCH_USE_PYTORCH", "LIBTORCH_BYPASS_VERSION_CHECK"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    match libtorch::find() {
        // So that a libtorch that is removed or replaced is noticed.
        Ok(found) => println!("cargo::rerun-if-changed={}", found.root.join("lib").display()),
        Err(missing) => println!("cargo::error={missing}"),
    }
}
