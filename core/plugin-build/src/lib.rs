//! One line for a plugin's build script: linker flags and build facts.

/// Emits the linker flags that a crate linking libtorch needs.
pub fn configure() {
    println!("cargo::rerun-if-changed=build.rs");
}
