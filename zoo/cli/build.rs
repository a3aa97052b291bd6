use std::path::Path;

fn main() {
    // The version of libtorch that plugins are compared with; nothing is linked.
    zoo_plugin_build::facts();
    // Names that no new plugin can take.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut names = Vec::new();
    for folder in ["core", "dsl", "plugins", "zoo"] {
        let entries = std::fs::read_dir(root.join(folder)).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.path().join("Cargo.toml").is_file()) {
            names.push(entry.file_name().to_string_lossy().replace('_', "-"));
        }
    }
    names.sort();
    println!("cargo::rustc-env=ZOO_OWN_CRATES={}", names.join(" "));
}
