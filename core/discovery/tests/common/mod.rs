//! Small ELF files made by hand.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// Build facts that fit here.
pub fn facts(name: &str) -> Value {
    let here = zoo_discovery::Here::default();
    json!({
        "name": name, "version": "0.3.1", "abi": here.abi,
        "entry": format!("zoo_plugin_v1_{}", name.replace('-', "_")),
        "libtorch": "2.11.0", "compiler": "rustc 1.93.0 (0123abc 2026-01-01)",
        "target": here.target, "panic": "unwind", "sdk": "0.1.0"
    })
}

/// The schema of a component that does nothing.
pub fn schema(name: &str) -> String {
    json!({ "name": name, "kind": "function", "summary": "Does nothing." }).to_string()
}

/// A section's name and content.
pub type Section = (&'static str, Vec<u8>);

/// The two sections of a plugin.
pub fn sections(facts: &Value, schemas: &[String]) -> Vec<Section> {
    let frames = schemas.iter().flat_map(|s| zoo_discovery::frame(s)).collect();
    vec![(".zoo_meta", facts.to_string().into_bytes()), (".zoo_schema", frames)]
}

/// An ELF shared library with these sections and no code.
pub fn elf(sections: &[Section]) -> Vec<u8> {
    let machine: u16 = match std::env::consts::ARCH {
        "x86_64" => 62,
        "aarch64" => 183,
        other => panic!("tests know no machine number of {other}"),
    };
    let mut names = vec![0u8];
    let mut headers = vec![0u8; 64];
    let mut body = Vec::new();
    let mut all: Vec<(&str, Vec<u8>)> = sections.to_vec();
    all.push((".shstrtab", Vec::new()));
    for (name, content) in &mut all {
        let name_at = names.len() as u32;
        names.extend_from_slice(name.as_bytes());
        names.push(0);
        if *name == ".shstrtab" {
            *content = names.clone();
        }
        let kind: u32 = if *name == ".shstrtab" { 3 } else { 1 };
        headers.extend(name_at.to_le_bytes());
        headers.extend(kind.to_le_bytes());
        headers.extend([0; 16]);
        headers.extend((64 + body.len() as u64).to_le_bytes());
        headers.extend((content.len() as u64).to_le_bytes());
        headers.extend([0; 8]);
        headers.extend(8u64.to_le_bytes());
        headers.extend([0; 8]);
        body.extend_from_slice(content);
        body.resize(body.len().next_multiple_of(8), 0);
    }
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    file.extend(3u16.to_le_bytes());
    file.extend(machine.to_le_bytes());
    file.extend(1u32.to_le_bytes());
    file.extend([0; 16]);
    file.extend((64 + body.len() as u64).to_le_bytes());
    file.extend([0; 4]);
    for half in [64u16, 0, 0, 64, all.len() as u16 + 1, all.len() as u16] {
        file.extend(half.to_le_bytes());
    }
    file.extend(body);
    file.extend(headers);
    file
}

/// Bytes of a sound plugin.
pub fn plugin(name: &str, components: &[&str]) -> Vec<u8> {
    elf(&sections(&facts(name), &components.iter().map(|c| schema(c)).collect::<Vec<_>>()))
}

/// Writes a plugin into a folder, which is made.
pub fn write(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    fs::create_dir_all(folder).unwrap();
    let path = folder.join(format!("lib{}.so", name.replace('-', "_")));
    fs::write(&path, bytes).unwrap();
    path
}
