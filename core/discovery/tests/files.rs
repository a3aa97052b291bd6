//! What is read from a file, and how each fault is named.

#![allow(clippy::unwrap_used)]

mod common;

use common::{elf, facts, plugin, schema, sections, write};
use proptest::prelude::*;
use serde_json::{Value, json};
use zoo_discovery::{Content, Here, Limits, Reason, read_bytes, read_file};

fn here() -> Here {
    Here { libtorch: Some("2.11.0".to_owned()), ..Here::default() }
}

fn read(bytes: &[u8]) -> Result<Content, Reason> {
    read_bytes(bytes, &here(), &Limits::default())
}

fn with(key: &str, value: Value) -> Vec<u8> {
    let mut facts = facts("zoo-test");
    facts[key] = value;
    elf(&sections(&facts, &[schema("test.a")]))
}

#[test]
fn a_sound_file_is_read() {
    let content = read(&plugin("zoo-test", &["test.b", "test.a"])).unwrap();
    assert_eq!(content.build.version, "0.3.1");
    let names: Vec<_> = content.components.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["test.a", "test.b"], "sorted by name, whatever the order in the file");
    assert!(content.schemas_json[0].contains("test.a"));
}

#[test]
fn padding_and_trailing_zeros_are_skipped() {
    let mut parts = sections(&facts("zoo-test"), &[schema("test.a")]);
    parts[0].1.extend([0; 9]);
    let frame = parts[1].1.clone();
    parts[1].1.extend([0; 24]);
    parts[1].1.extend(zoo_discovery::frame(&schema("test.b")));
    parts[1].1.extend([0; 3]);
    assert!(frame.len().is_multiple_of(8));
    assert_eq!(read(&elf(&parts)).unwrap().components.len(), 2);
}

#[test]
fn every_fault_is_named() {
    let mut cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("text", b"hello".to_vec(), "it is no ELF shared library: it is shorter than a header"),
        ("script", b"#!/bin/sh\nexit 0 # long enough".to_vec(), "its first bytes are not those of one"),
        (
            "no sections of zoo",
            elf(&[(".text", vec![0; 8])]),
            "it is no plugin of zoo: the section `.zoo_meta`",
        ),
        ("abort", with("panic", json!("abort")), "`panic = \"abort\"`"),
        (
            "other libtorch",
            with("libtorch", json!("2.10.0")),
            "another libtorch: 2.10.0, and this zoo has 2.11.0",
        ),
        ("no version", with("libtorch", json!("two")), "another libtorch: two, and this zoo has 2.11.0"),
        ("ABI 2", with("abi", json!("2.0")), "it was built for ABI 2.0, and this zoo has 1.0"),
        ("ABI 1.9", with("abi", json!("1.9")), "it needs ABI 1.9, and this zoo has 1.0"),
        ("ABI ?", with("abi", json!("new")), "the ABI `new` is not `major.minor`"),
        ("target", with("target", json!("wasm32-unknown-unknown")), "another target: wasm32-unknown-unknown"),
        (
            "entry",
            with("entry", json!("init")),
            "the entry symbol is `init` and must be `zoo_plugin_v1_zoo_test`",
        ),
        ("name", with("name", json!("../../evil")), "the name `../../evil` is not `zoo-`"),
        ("facts", elf(&[(".zoo_meta", b"{\"name\": 1}".to_vec())]), "its build facts cannot be read"),
        ("facts not text", elf(&[(".zoo_meta", vec![0xff; 8])]), "its build facts cannot be read"),
        (
            "two sections",
            elf(&[(".zoo_meta", b"{}".to_vec()), (".zoo_meta", b"{}".to_vec())]),
            "there are two sections `.zoo_meta`",
        ),
        ("large", elf(&[(".zoo_meta", vec![b' '; 70_000])]), "the section `.zoo_meta` is 70000 bytes long"),
        ("twice", plugin("zoo-test", &["test.a", "test.a"]), "two components of the name `test.a`"),
    ];
    let schemas = |schema: &str| elf(&sections(&facts("zoo-test"), &[schema.to_owned()]));
    cases.push(("not JSON", schemas("nonsense"), "the schema of component 1 is wrong"));
    cases.push((
        "no kind",
        schemas("{\"name\": \"test.x\"}"),
        "the schema of `test.x` is wrong: missing field",
    ));
    cases.push((
        "other kind",
        schemas(&schema("test.x").replace("function", "magic")),
        "there is no kind `magic`",
    ));
    cases.push((
        "breaks its kind",
        schemas(&schema("test.x").replace("function", "objective")),
        "`loss: float[]`",
    ));
    cases.push(("name of one part", schemas(&schema("alone")), "a component's name is `namespace.name`"));
    cases.push(("NUL in the name", schemas(&schema("test.a\0b")), "the schema of `test.a\\0b` is wrong"));
    let mut cut = sections(&facts("zoo-test"), &[schema("test.a")]);
    cut[1].1.truncate(20);
    cases.push(("schema cut off", elf(&cut), "a schema reaches past the end of its section"));
    for (what, bytes, expected) in cases {
        let message = read(&bytes).unwrap_err().to_string();
        assert!(message.contains(expected), "{what}: {message}");
    }
}

#[test]
fn other_machines_and_types_are_named() {
    let mut other = plugin("zoo-test", &[]);
    other[18] = 20;
    assert!(read(&other).unwrap_err().to_string().contains("another processor: ELF machine 20"));
    let mut narrow = plugin("zoo-test", &[]);
    narrow[4] = 1;
    assert!(read(&narrow).unwrap_err().to_string().contains("not of 64 bits"));
    let mut executable = plugin("zoo-test", &[]);
    executable[16] = 2;
    assert!(read(&executable).unwrap_err().to_string().contains("ELF file of another type"));
}

#[test]
fn a_plugin_without_libtorch_fits_any() {
    let mut facts = facts("zoo-test");
    facts.as_object_mut().unwrap().remove("libtorch");
    read(&elf(&sections(&facts, &[]))).unwrap();
    // A patch version makes no difference, nor does a local part.
    read(&with("libtorch", json!("2.11.1+cu130"))).unwrap();
}

#[test]
fn a_section_that_claims_to_be_huge_is_refused_without_reading() {
    let sound = plugin("zoo-test", &["test.a"]);
    let table = u64::from_le_bytes(sound[40..48].try_into().unwrap()) as usize;
    for (size, expected) in [(u64::MAX, "at most"), (1 << 40, "at most"), (60_000, "reaches past the end")] {
        let mut bytes = sound.clone();
        // Section 1 is the build facts; its size stands 32 bytes into its header.
        bytes[table + 64 + 32..table + 64 + 40].copy_from_slice(&size.to_le_bytes());
        let message = read(&bytes).unwrap_err().to_string();
        assert!(message.contains(expected), "{size}: {message}");
    }
}

#[test]
fn every_cut_is_an_error() {
    let sound = plugin("zoo-test", &["test.a", "test.b"]);
    for length in 0..sound.len() {
        assert!(read(&sound[..length]).is_err(), "cut at {length}");
    }
}

#[test]
fn the_file_is_named_as_the_plugin() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "zoo-other", &plugin("zoo-test", &[]));
    let reason = read_file(&path, &here(), &Limits::default()).unwrap_err();
    assert_eq!(reason.to_string(), "the plugin in it is `zoo-test`, whose file is named libzoo_test.so");
    assert_eq!(reason.help("zoo-test").unwrap(), "rename the file to libzoo_test.so");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Damaged files are read or refused, never more.
    #[test]
    fn damaged_files_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12)) {
        let mut bytes = plugin("zoo-test", &["test.a", "test.b"]);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let _ = read(&bytes);
    }

    /// Headers are where sizes and offsets are: every eight bytes of them replaced by extremes.
    #[test]
    fn hostile_headers_never_panic(
        changes in prop::collection::vec(
            (any::<prop::sample::Index>(), prop::sample::select(vec![0u64, 1, 63, 1 << 31, 1 << 32, u64::MAX - 7, u64::MAX])),
            1..4,
        ),
        header in any::<bool>(),
    ) {
        let mut bytes = plugin("zoo-test", &["test.a"]);
        let table = u64::from_le_bytes(bytes[40..48].try_into().unwrap()) as usize;
        let range = if header { 16..64 } else { table..bytes.len() };
        for (at, value) in changes {
            let at = range.start + at.index(range.len() - 8);
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        let _ = read(&bytes);
    }

    /// Arbitrary sections.
    #[test]
    fn arbitrary_sections_never_panic(meta in prop::collection::vec(any::<u8>(), 0..64), frames in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = read(&elf(&[(".zoo_meta", meta), (".zoo_schema", frames.clone())]));
        let meta = facts("zoo-test").to_string().into_bytes();
        let _ = read(&elf(&[(".zoo_meta", meta), (".zoo_schema", frames)]));
    }
}
