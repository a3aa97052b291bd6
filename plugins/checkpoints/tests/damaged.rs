//! Damaged files of the hub end in errors: no panic, no hang, no large allocation. The damages are the same
//! each time.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use common::{golden, registry};
use serde_json::{Value as Json, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tch::Device;
use zoo_inference::{Model, Texts};

/// Longest that a file of some kilobytes may take.
const LONGEST: Duration = Duration::from_secs(5);

/// Random numbers that are the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound.max(1)
    }
}

/// What stands in hostile files where something else should.
fn hostile() -> Vec<Json> {
    vec![
        Json::Null,
        json!(0),
        json!(-1),
        json!(1),
        json!(7),
        json!(0.5),
        json!(4096),
        json!(1_i64 << 28),
        json!(u64::MAX),
        json!(1e300),
        json!(""),
        json!("x"),
        json!(true),
        json!([]),
        json!([7, "x", null]),
        json!({}),
    ]
}

/// Pointers to all values below.
fn places(json: &Json, at: &str, found: &mut Vec<String>) {
    let mut inner = |name: &str, value: &Json| {
        let place = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
        found.push(place.clone());
        places(value, &place, found);
    };
    match json {
        Json::Object(map) => map.iter().for_each(|(name, value)| inner(name, value)),
        Json::Array(list) => {
            list.iter().take(3).enumerate().for_each(|(i, value)| inner(&i.to_string(), value))
        }
        _ => {}
    }
}

struct Folder {
    made: tempfile::TempDir,
}

impl Folder {
    fn of(name: &str) -> Self {
        let made = tempfile::tempdir().unwrap();
        for file in ["config.json", "model.safetensors"] {
            std::fs::copy(golden(name).join(file), made.path().join(file)).unwrap();
        }
        Self { made }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.made.path().join(file)
    }

    /// Opens the model; whether it opens.
    fn open(&self, what: &str) -> bool {
        let begun = Instant::now();
        let opened = Model::open(&registry(), self.made.path(), None, Device::Cpu);
        assert!(begun.elapsed() < LONGEST, "{what} takes {:?}", begun.elapsed());
        match opened {
            Ok(_) => true,
            Err(error) => {
                let text = error.to_string();
                assert!(!text.contains("panicked") && text.len() < 20_000, "{what}: {text}");
                false
            }
        }
    }
}

/// The most memory that this process has had, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

fn within_memory(test: impl FnOnce()) {
    registry();
    let before = peak();
    test();
    let grown = peak().saturating_sub(before) >> 20;
    assert!(grown < 400, "{grown} MB were taken");
}

#[test]
fn configurations() {
    within_memory(|| {
        for name in ["bert_mlm", "gemma2_clm", "modernbert_mlm", "deberta_v2_mlm"] {
            let folder = Folder::of(name);
            let path = folder.path("config.json");
            let text = std::fs::read_to_string(&path).unwrap();
            let whole: Json = serde_json::from_str(&text).unwrap();
            let mut all = Vec::new();
            places(&whole, "", &mut all);
            let values = hostile();
            let mut opened = 0;
            for (i, place) in all.iter().enumerate() {
                // Not all values at all places: a place's values differ from folder to folder.
                for value in values.iter().skip(i % 3).step_by(3) {
                    let mut config = whole.clone();
                    *config.pointer_mut(place).unwrap() = value.clone();
                    std::fs::write(&path, config.to_string()).unwrap();
                    opened += usize::from(folder.open(&format!("{name}: {place} = {value}")));
                }
            }
            assert!(opened > 0, "what does not matter is not read");
            for cut in (0..text.len()).step_by(97) {
                std::fs::write(&path, &text[..cut]).unwrap();
                assert!(!folder.open(&format!("{name} cut at {cut}")));
            }
            std::fs::write(&path, "[".repeat(100_000)).unwrap();
            assert!(!folder.open("a deep list"));
        }
    });
}

fn with_header(header: &str, rest: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), rest].concat()
}

#[test]
fn weights() {
    within_memory(|| {
        let folder = Folder::of("bert_mlm");
        let path = folder.path("model.safetensors");
        let whole = std::fs::read(&path).unwrap();
        let size = u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
        let (header, rest) = (std::str::from_utf8(&whole[8..8 + size]).unwrap(), &whole[8 + size..]);
        let parsed: Json = serde_json::from_str(header).unwrap();
        let mut all = Vec::new();
        places(&parsed, "", &mut all);
        let values = hostile();
        for (i, place) in all.iter().enumerate() {
            for value in values.iter().skip(i % 8).step_by(8) {
                let mut header = parsed.clone();
                *header.pointer_mut(place).unwrap() = value.clone();
                std::fs::write(&path, with_header(&header.to_string(), rest)).unwrap();
                folder.open(&format!("{place} = {value}"));
            }
        }
        let mut numbers = Numbers(1);
        for round in 0..300 {
            let mut bytes = whole.clone();
            for _ in 0..=numbers.below(4) {
                let place = numbers.below(8 + size);
                bytes[place] = numbers.below(256) as u8;
            }
            bytes.truncate(if round % 5 == 0 { numbers.below(bytes.len()) } else { bytes.len() });
            std::fs::write(&path, bytes).unwrap();
            folder.open(&format!("round {round}"));
        }
        for claim in [0, 1, size as u64 + 1, 1 << 40, u64::MAX] {
            std::fs::write(&path, [&claim.to_le_bytes()[..], &whole[8..]].concat()).unwrap();
            assert!(!folder.open(&format!("a header of {claim} bytes")));
        }
    });
}

#[test]
fn indices_of_shards() {
    let folder = Folder::of("bert_mlm");
    std::fs::rename(folder.path("model.safetensors"), folder.path("one.safetensors")).unwrap();
    let index = folder.path("model.safetensors.index.json");
    std::fs::write(&index, json!({ "weight_map": { "a": "one.safetensors" } }).to_string()).unwrap();
    assert!(folder.open("the index"));
    let outside = Path::new("..").join("one.safetensors");
    for map in hostile().into_iter().chain([
        json!({ "a": "one.safetensors", "b": "two.safetensors" }),
        json!({ "a": outside }),
        json!({ "a": "/etc/passwd" }),
        json!({ "a": "model.safetensors.index.json" }),
        json!({ "a": "config.json" }),
        json!({ "a": "." }),
        json!({ "a": ["one.safetensors"] }),
    ]) {
        std::fs::write(&index, json!({ "weight_map": map }).to_string()).unwrap();
        assert!(!folder.open(&format!("the index with {map}")));
    }
}

#[test]
fn tokenizers() {
    within_memory(|| {
        let words = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/inference/words");
        let folder = tempfile::tempdir().unwrap();
        let open = |what: &str| {
            let begun = Instant::now();
            let opened = Texts::open(folder.path(), &serde_json::Map::new());
            if let Ok(texts) = &opened {
                let _ = texts.encode(vec!["a walk, in ROME [MASK] \u{1f600}"], true);
                let _ = texts.decode(&[1, 5, 90, -1, i64::MAX]);
                let _ = (texts.special("mask_token"), texts.ends());
            }
            assert!(begun.elapsed() < LONGEST, "{what} takes {:?}", begun.elapsed());
        };
        for file in ["tokenizer.json", "tokenizer_config.json"] {
            for file in ["tokenizer.json", "tokenizer_config.json"] {
                std::fs::copy(words.join(file), folder.path().join(file)).unwrap();
            }
            let path = folder.path().join(file);
            let text = std::fs::read_to_string(&path).unwrap();
            let whole: Json = serde_json::from_str(&text).unwrap();
            let mut all = Vec::new();
            places(&whole, "", &mut all);
            // Of the vocabulary's entries a few are enough.
            all.retain(|place| !place.contains("/vocab/") || place.len() % 7 == 0);
            for (i, place) in all.iter().enumerate() {
                for value in hostile().iter().skip(i % 4).step_by(4) {
                    let mut json = whole.clone();
                    *json.pointer_mut(place).unwrap() = value.clone();
                    std::fs::write(&path, json.to_string()).unwrap();
                    open(&format!("{file}: {place} = {value}"));
                }
            }
            let mut numbers = Numbers(2);
            for round in 0..100 {
                let mut bytes = text.clone().into_bytes();
                let place = numbers.below(bytes.len());
                bytes[place] = numbers.below(256) as u8;
                std::fs::write(&path, bytes).unwrap();
                open(&format!("{file}, round {round}"));
            }
        }
    });
}
