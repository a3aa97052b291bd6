//! Configurations that the reference models of tests/golden do not have: outputs, loss and gradients are
//! those of transformers. `variants.py` wrote the folders, with transformers 5.23 and torch 2.11.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may")]

mod common;

use common::registry;
use std::collections::BTreeMap;
use std::path::Path;
use tch::{Device, Kind, Tensor};
use zoo_inference::{Model, parity};

/// What rounding makes of a gradient that should be zero, as a share of the model's largest: 8 units in
/// the last place of float32.
const NOISE: f64 = 8.0 * 1.1920929e-7;

/// The sum of products with sin(1), sin(2), …, and the largest value: what is kept of a gradient.
fn probed(gradient: &Tensor) -> (f64, f64) {
    let flat = gradient.to_kind(Kind::Double).reshape([-1]);
    let probe = Tensor::arange_start(1, flat.numel() as i64 + 1, (Kind::Double, Device::Cpu)).sin();
    ((&flat * probe).sum(Kind::Double).double_value(&[]), flat.abs().max().double_value(&[]))
}

/// What differs.
fn differences(folder: &Path) -> String {
    let oracle = folder.join("oracle.safetensors");
    let opened = Model::open(&registry(), folder, None, Device::Cpu);
    let compared = opened.and_then(|model| {
        parity::run(&model, &oracle, Device::Cpu, parity::Tolerance::default()).map(|r| (model, r))
    });
    let (model, report) = match compared {
        Ok(compared) => compared,
        Err(error) => return format!("{error}\n"),
    };
    let mut wrong = String::new();
    if !report.passed() || report.worst(parity::Part::Loss).is_none() {
        wrong += &report.to_string();
    }
    let mut ours: BTreeMap<String, Tensor> = BTreeMap::new();
    for (name, parameter) in model.parameters() {
        // transformers has some under newer names in memory.
        ours.insert(parity::renamed(&name), parameter.tensor.grad());
        ours.insert(name, parameter.tensor.grad());
    }
    let mut theirs = Vec::new();
    for (name, pair) in Tensor::read_safetensors(&oracle).unwrap() {
        if let Some(name) = name.strip_prefix("probe.") {
            theirs.push((name.to_owned(), pair.double_value(&[0]), pair.double_value(&[1])));
        }
    }
    assert!(!theirs.is_empty(), "{} has no gradients", folder.display());
    let greatest = theirs.iter().map(|(_, _, size)| *size).fold(0.0, f64::max);
    for (name, sum, size) in theirs {
        let Some(gradient) = ours.get(&name).filter(|gradient| gradient.defined()) else {
            wrong += &format!("{name} has no gradient\n");
            continue;
        };
        let (our_sum, our_size) = probed(gradient);
        let noise = NOISE * greatest * (gradient.numel() as f64).sqrt();
        let error = (our_sum - sum).abs().max((our_size - size).abs());
        if error.is_nan() || error > (1e-4 * size).max(noise) {
            wrong += &format!("the gradient of {name} differs by {error:.2e} of {size:.2e}\n");
        }
    }
    wrong
}

#[test]
fn other_configurations_are_those_of_transformers() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/variants");
    let mut folders: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    assert!(folders.len() > 60);
    let mut wrong = String::new();
    for folder in &folders {
        let found = differences(folder);
        if !found.is_empty() {
            wrong += &format!("{}\n{found}\n", folder.file_name().unwrap().display());
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
