//! What loading takes in memory: parameters that are copied take their size once, those that are mapped
//! take nothing. Each case is a process of its own, measured by the kernel.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may")]

mod common;

use common::{instance, probe};
use serde_json::{Value as Json, json};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use zoo_host::{LocalEnvironment, World, WorldOptions};

const MIB: u64 = 1 << 20;

/// A case: how many maps of which size, in how many files, of which type, mapped or copied.
struct Case {
    layers: u64,
    size: u64,
    files: u64,
    half: bool,
    mapped: bool,
}

impl Case {
    fn parameter_bytes(&self) -> u64 {
        4 * self.layers * (self.size + 1) * self.size
    }
}

/// Writes a checkpoint without ever having it in memory.
fn checkpoint(folder: &Path, case: &Case) {
    let width = if case.half { 2 } else { 4 };
    let mut map = serde_json::Map::new();
    for number in 0..case.files {
        let name = format!("model-{number}.safetensors");
        let (mut header, mut end) = (serde_json::Map::new(), 0);
        let mut add = |tensor: String, dtype: &str, shape: Json, bytes: u64| {
            let info = json!({ "dtype": dtype, "shape": shape, "data_offsets": [end, end + bytes] });
            end += bytes;
            map.insert(tensor.clone(), json!(name));
            header.insert(tensor, info);
        };
        if number == 0 {
            add("net.steps".to_owned(), "I64", json!([1]), 8);
        }
        let dtype = if case.half { "BF16" } else { "F32" };
        for layer in (number..case.layers).step_by(case.files as usize) {
            let stem = format!("net.layers.{layer}.map");
            add(
                format!("{stem}.weight"),
                dtype,
                json!([case.size, case.size]),
                width * case.size * case.size,
            );
            add(format!("{stem}.bias"), dtype, json!([case.size]), width * case.size);
        }
        let header = Json::Object(header).to_string();
        // As transformers writes it: tensors begin at a multiple of eight.
        let header = format!("{header:<width$}", width = header.len().next_multiple_of(8));
        let mut file = std::fs::File::create(folder.join(&name)).unwrap();
        file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
        file.write_all(header.as_bytes()).unwrap();
        // 0x3f80 is 1 in bfloat16, and twice that is 1.0019 in float32.
        let ones: Vec<u8> = [0x80_u8, 0x3f].repeat(1 << 19);
        let mut left = end as usize;
        while left > 0 {
            let piece = left.min(ones.len());
            file.write_all(&ones[..piece]).unwrap();
            left -= piece;
        }
    }
    std::fs::write(folder.join("model.safetensors.index.json"), json!({ "weight_map": map }).to_string())
        .unwrap();
}

/// Anonymous memory of this process now, in bytes.
fn anonymous() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
}

/// In the child: loads and prints by how much anonymous memory grew at most, and what is resident grew.
fn load(folder: &Path, mapped: bool, layers: u64, size: u64) {
    let registry = probe();
    let stages = tempfile::tempdir().unwrap();
    let environment = std::sync::Arc::new(LocalEnvironment { folder: stages.path().to_owned() });
    let options = WorldOptions { map_weights: mapped, ..WorldOptions::default() };
    let world = World::new(registry, environment, options);
    let mut made = instance("m", "probe.projection", json!({ "size": size, "layers": layers }));
    made.weights = Some(folder.display().to_string());
    let (done, most) = (AtomicBool::new(false), AtomicU64::new(0));
    let before = anonymous();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                most.fetch_max(anonymous(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_micros(200));
            }
        });
        world.create(&made).unwrap();
        done.store(true, Ordering::Relaxed);
    });
    most.fetch_max(anonymous(), Ordering::Relaxed);
    // Every value is there, wherever it lies.
    for parameter in world.parameters().iter().filter(|p| p.trainable) {
        let (least, most) = (parameter.tensor.min(), parameter.tensor.max());
        assert!((least.double_value(&[]) - 1.0).abs() < 0.01 && (most.double_value(&[]) - 1.0).abs() < 0.01);
    }
    // libtest writes the test's name before it, on the same line.
    println!("\ngrown: {}", most.into_inner().saturating_sub(before));
}

/// By how much a child's anonymous memory grows at most while it loads.
fn grown(case: &Case) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    checkpoint(folder.path(), case);
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_checkpoint_takes_its_size_once", "--nocapture", "--test-threads=1"])
        .env("ZOO_TEST_FOLDER", folder.path())
        .env("ZOO_TEST_CASE", format!("{} {} {}", case.mapped, case.layers, case.size))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find_map(|line| line.strip_prefix("grown: "));
    line.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr))).parse().unwrap()
}

#[test]
fn a_checkpoint_takes_its_size_once() {
    if let (Ok(folder), Ok(case)) = (std::env::var("ZOO_TEST_FOLDER"), std::env::var("ZOO_TEST_CASE")) {
        let words: Vec<&str> = case.split(' ').collect();
        load(Path::new(&folder), words[0] == "true", words[1].parse().unwrap(), words[2].parse().unwrap());
        return;
    }
    let (one, many) = ((1, 7168), (12, 2048));
    for ((layers, size), files, half, mapped) in [
        (many, 1, false, false),
        (many, 3, false, false),
        (one, 1, false, false),
        (many, 2, true, false),
        (one, 1, true, false),
        (many, 3, false, true),
        (one, 1, false, true),
    ] {
        let case = Case { layers, size, files, half, mapped };
        let (grown, once) = (grown(&case), case.parameter_bytes());
        println!("{layers} × {size}², half {half}, mapped {mapped}: {} of {} MiB", grown / MIB, once / MIB);
        let limit = if mapped { once / 20 } else { once + once / 10 };
        assert!(grown <= limit, "{} MiB are taken for {} MiB", grown / MIB, once / MIB);
        // Or else nothing was measured.
        assert!(mapped || grown > once * 9 / 10, "{grown}");
    }
}
