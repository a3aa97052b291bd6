//! Compiles the C++ shim against the libtorch that torch-sys chose.

use std::path::{Path, PathBuf};

fn main() {
    zoo_plugin_build::configure_host();
    println!("cargo::rerun-if-changed=shim");
    println!("cargo::rerun-if-env-changed=LIBTORCH_INCLUDE");
    println!("cargo::rerun-if-env-changed=LIBTORCH_CXX11_ABI");

    // torch-sys tells where it found the libraries; the headers stand beside them in every layout
    // that it knows, unless LIBTORCH_INCLUDE says otherwise.
    let library = PathBuf::from(std::env::var_os("DEP_TCH_LIBTORCH_LIB").unwrap_or_default());
    let root = match std::env::var_os("LIBTORCH_INCLUDE") {
        Some(root) => PathBuf::from(root),
        None => library.parent().unwrap_or(Path::new("/usr")).to_owned(),
    };
    let abi = std::env::var("LIBTORCH_CXX11_ABI").unwrap_or_else(|_| "1".to_owned());
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .pic(true)
        .debug(false)
        .warnings(false)
        .include(root.join("include"))
        .include(root.join("include/torch/csrc/api/include"))
        .define("_GLIBCXX_USE_CXX11_ABI", abi.as_str())
        .file("shim/zoo_torch.cpp")
        .file("shim/uses.cpp")
        .compile("zoo_torch_shim");
}
