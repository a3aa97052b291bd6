//! Several documents in a row, kept apart by `document_ids`: every token's numbers, and every gradient, are
//! those of documents in rows of their own.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use common::{golden, registry};
use std::collections::BTreeMap;
use std::path::Path;
use tch::{Device, Kind, Tensor};
use zoo_host::Value;
use zoo_inference::Model;

/// Lengths of the documents of two rows of eight tokens; what is left of a row is padding.
const ROWS: [&[usize]; 2] = [&[3, 5], &[2, 1, 4]];
const LENGTH: usize = 8;

/// A document's tokens: small ids that are no special ones.
fn document(row: usize, number: usize, length: usize) -> Vec<i64> {
    (0..length).map(|t| (10 + 7 * row + 5 * number + 3 * t) as i64 % 40 + 8).collect()
}

fn model(name: &str) -> Model {
    Model::open(&registry(), &golden(name), None, Device::Cpu).unwrap()
}

fn call(model: &Model, inputs: &[(&str, Tensor)]) -> Result<(Tensor, Tensor), String> {
    let values: Vec<(&str, Value)> =
        inputs.iter().map(|(name, tensor)| (*name, Value::Tensor(tensor.shallow_clone()))).collect();
    let values: Vec<(&str, &Value)> = values.iter().map(|(name, value)| (*name, value)).collect();
    let mut outputs = model.call(&values, &["hidden", "logits"], true).map_err(|e| e.to_string())?;
    Ok((outputs.take_tensor("hidden").unwrap(), outputs.take_tensor("logits").unwrap()))
}

/// Every parameter's gradient, and forgets it.
fn gradients(model: &Model) -> BTreeMap<String, Tensor> {
    let mut all = BTreeMap::new();
    for (name, mut parameter) in model.parameters() {
        let gradient = parameter.tensor.grad();
        if gradient.defined() {
            all.insert(name, gradient.copy());
            parameter.tensor.zero_grad();
        }
    }
    all
}

/// The largest difference, as a share of the largest value.
fn difference(a: &Tensor, b: &Tensor) -> f64 {
    let size = b.abs().max().double_value(&[]).max(1e-3);
    (a - b).abs().max().double_value(&[]) / size
}

/// Rows of documents, with the number of each token's document.
fn packed() -> (Tensor, Tensor) {
    let (mut ids, mut numbers) = (Vec::new(), Vec::new());
    for (row, lengths) in ROWS.iter().enumerate() {
        for (number, length) in lengths.iter().enumerate() {
            ids.extend(document(row, number, *length));
            numbers.extend(vec![number as i64 + 1; *length]);
        }
        ids.resize((row + 1) * LENGTH, 1);
        numbers.resize((row + 1) * LENGTH, 0);
    }
    let shape = [ROWS.len() as i64, LENGTH as i64];
    (Tensor::from_slice(&ids).view(shape), Tensor::from_slice(&numbers).view(shape))
}

#[test]
fn packed_documents_are_those_of_rows_of_their_own() {
    for name in [
        "bert_mlm",
        "roberta_mlm",
        "electra_discriminator",
        "modernbert_mlm",
        "bert_tok",
        "gpt2_clm",
        "llama_clm",
        "mistral_clm",
        "gemma2_clm",
        "qwen3_clm",
    ] {
        let model = model(name);
        let (ids, numbers) = packed();
        let (hidden, logits) =
            call(&model, &[("ids", ids), ("document_ids", numbers.shallow_clone())]).unwrap();
        // Scores of masked models are [B T, vocabulary].
        let width = logits.numel() as i64 / (ROWS.len() * LENGTH) as i64;
        let logits = logits.reshape([ROWS.len() as i64, LENGTH as i64, width]);
        let real = numbers.gt(0).unsqueeze(-1).to_kind(Kind::Float);
        let loss = (logits.tanh() * &real).sum(Kind::Float);
        loss.backward();
        let ours = gradients(&model);
        let mut total = Vec::new();
        for (row, lengths) in ROWS.iter().enumerate() {
            let mut from = 0;
            for (number, length) in lengths.iter().enumerate() {
                let alone = Tensor::from_slice(&document(row, number, *length)).unsqueeze(0);
                let (states, scores) = call(&model, &[("ids", alone)]).unwrap();
                let part = |x: &Tensor| x.select(0, row as i64).narrow(0, from, *length as i64);
                let error = difference(&part(&hidden), &states.squeeze_dim(0));
                assert!(error < 1e-5, "{name}: states of row {row}, document {number} differ by {error:.1e}");
                let scores = scores.reshape([*length as i64, width]);
                let error = difference(&part(&logits), &scores);
                assert!(error < 1e-5, "{name}: scores of row {row}, document {number} differ by {error:.1e}");
                total.push(scores.tanh().sum(Kind::Float));
                from += *length as i64;
            }
        }
        Tensor::stack(&total, 0).sum(Kind::Float).backward();
        let theirs = gradients(&model);
        assert!(theirs.len() > 10 && ours.keys().eq(theirs.keys()), "{name}");
        let largest = theirs.values().map(|g| g.abs().max().double_value(&[])).fold(0.0, f64::max);
        for (parameter, gradient) in &theirs {
            let error = (gradient - &ours[parameter]).abs().max().double_value(&[]);
            let allowed = 1e-4 * gradient.abs().max().double_value(&[]) + 1e-6 * largest;
            assert!(error <= allowed, "{name}: the gradient of {parameter} differs by {error:.1e}");
        }
    }
}

#[test]
fn rows_longer_than_the_positions_hold_documents_that_are_not() {
    let model = model("bert_mlm");
    let positions = model.config()["max_position_embeddings"].as_i64().unwrap();
    let ids = Tensor::full([1, 2 * positions], 9, (Kind::Int64, Device::Cpu));
    let numbers =
        Tensor::arange(2 * positions, (Kind::Int64, Device::Cpu)).divide_scalar_mode(positions, "floor");
    let numbers = (numbers.to_kind(Kind::Int64) + 1).unsqueeze(0);
    assert!(call(&model, &[("ids", ids.shallow_clone()), ("document_ids", numbers)]).is_ok());
    let error = call(&model, &[("ids", ids)]).unwrap_err();
    assert!(error.contains("the model takes"), "{error}");
}

#[test]
fn what_cannot_be_kept_apart_is_refused() {
    let (ids, numbers) = packed();
    for (name, family) in [("esm_before", "esm"), ("deberta_v2_convolution", "deberta-v2")] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/variants").join(name);
        let model = Model::open(&registry(), &folder, None, Device::Cpu).unwrap();
        let inputs = [("ids", ids.shallow_clone()), ("document_ids", numbers.shallow_clone())];
        let error = call(&model, &inputs).unwrap_err();
        assert!(error.contains(&format!("a row of `{family}` is one document here")), "{error}");
    }
    let mixed = Tensor::from_slice2(&[[1_i64, 2, 1, 2, 0, 0, 0, 0], [1; 8]]);
    let error = call(&model("bert_mlm"), &[("ids", ids), ("document_ids", mixed)]).unwrap_err();
    assert!(error.contains("interrupted by another"), "{error}");
}
