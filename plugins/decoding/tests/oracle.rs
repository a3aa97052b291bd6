//! Scores go through what transformers puts them through; `oracle.py` wrote the numbers.

#![allow(clippy::unwrap_used, reason = "a test may")]

use serde_json::{Value, from_str};
use tch::Tensor;
use zoo_decoding::Sampling;
use zoo_decoding::scores::{penalised, warped};

fn table(value: &Value) -> Vec<Vec<f64>> {
    let row = |row: &Value| {
        row.as_array().unwrap().iter().map(|v| v.as_f64().unwrap_or(f64::NEG_INFINITY)).collect()
    };
    value.as_array().unwrap().iter().map(row).collect()
}

fn tensor(value: &Value) -> Tensor {
    let rows = table(value);
    Tensor::from_slice(&rows.concat()).view([rows.len() as i64, -1])
}

#[test]
fn scores_become_what_transformers_makes_of_them() {
    let oracle: Value = from_str(include_str!("oracle.json")).unwrap();
    let scores = tensor(&oracle["scores"]).to_kind(tch::Kind::Float);
    let (ids, mask) = (tensor(&oracle["ids"]), tensor(&oracle["mask"]));
    let (ids, mask) = (ids.to_kind(tch::Kind::Int64), mask.to_kind(tch::Kind::Int64));
    let cases = oracle["cases"].as_array().unwrap();
    assert!(cases.len() >= 8);
    for case in cases {
        let options = &case["options"];
        let real = |name: &str| options[name].as_f64();
        let sampling = Sampling {
            temperature: real("temperature").unwrap_or(1.0),
            top_k: options["top_k"].as_u64().map(|k| k as usize),
            top_p: real("top_p"),
            min_p: real("min_p"),
        };
        let penalty = real("repetition_penalty").unwrap_or(1.0);
        let made = warped(&penalised(&scores, &ids, Some(&mask), penalty).unwrap(), &sampling).unwrap();
        let wanted = table(&case["scores"]).concat();
        let made: Vec<f64> = Vec::try_from(made.to_kind(tch::Kind::Double).view([-1])).unwrap();
        for (made, wanted) in made.iter().zip(&wanted) {
            assert!((made - wanted).abs() < 1e-5 || made == wanted, "{options}: {made} is not {wanted}");
        }
    }
}
