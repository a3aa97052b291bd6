#![no_main]

use libfuzzer_sys::fuzz_target;
use std::path::PathBuf;
use std::sync::LazyLock;

static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("zoo-fuzz-weights-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("the folder for temporary files can be written");
    folder
});

/// Reads the file; what it gives is no more than the file's bytes.
fn read(name: &str, bytes: &[u8]) {
    let path = FOLDER.join(name);
    std::fs::write(&path, bytes).expect("the file is written");
    let Ok(tensors) = zoo_host::read_weights(&path) else { return };
    let taken: usize = tensors.values().map(|t| t.numel() * t.kind().elt_size_in_bytes()).sum();
    assert!(name.ends_with("json") || taken <= bytes.len());
    assert_eq!(zoo_host::weight_shapes(&path).map(|shapes| shapes.len()).ok(), Some(tensors.len()));
}

fuzz_target!(|data: &[u8]| {
    read("plain.safetensors", data);
    // The length of the header is right, so that what it says is looked at.
    let (header, rest) = data.split_at(data.len() - data.len() / 4);
    let framed = [&(header.len() as u64).to_le_bytes()[..], header, rest].concat();
    read("framed.safetensors", &framed);
    read("model.safetensors.index.json", data);
});
