//! Greedy and beam search give the tokens that transformers gives: with and without a cache, in a batch
//! and one by one.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use common::{golden, registry};
use serde_json::Value as Json;
use tch::Device;
use zoo_inference::Model;
use zoo_inference::generation::{Generated, Options};

fn generate(model: &Model, prompts: &[Vec<i64>], options: &Options, cache: bool) -> Vec<Generated> {
    let place = (Device::Cpu, cache);
    zoo_inference::generation::generate(model, prompts, &[], options, place, &mut |_, _| Ok(false)).unwrap()
}

fn rows(json: &Json) -> Vec<Vec<i64>> {
    let row = |row: &Json| row.as_array().unwrap().iter().map(|n| n.as_i64().unwrap()).collect();
    json.as_array().unwrap().iter().map(row).collect()
}

fn same(name: &str) {
    let folder = golden(name);
    let model = Model::open(&registry(), &folder, None, Device::Cpu).unwrap();
    let wanted: Json =
        serde_json::from_str(&std::fs::read_to_string(folder.join("generate.json")).unwrap()).unwrap();
    let prompts = rows(&wanted["input_ids"]);
    for (key, beams) in [("greedy", 1), ("beam4", 4)] {
        for cache in [true, false] {
            let options = Options { new_tokens: 12, beams, ..Options::default() };
            let texts = generate(&model, &prompts, &options, cache);
            let expected = rows(&wanted[key]);
            let tokens: Vec<_> = texts.iter().map(|text| text.tokens.clone()).collect();
            assert_eq!(tokens, expected, "{name}, {key}, cache {cache}");
            for (i, prompt) in prompts.iter().enumerate() {
                let alone = generate(&model, std::slice::from_ref(prompt), &options, true);
                assert_eq!(alone[0].tokens, expected[i], "{name}, {key}, cache {cache}, prompt {i} alone");
                if beams == 4 {
                    let score = wanted["beam4_scores"][i].as_f64().unwrap();
                    assert!((alone[0].score - score).abs() < 1e-4, "{} is not {score}", alone[0].score);
                }
            }
        }
    }
    // Prompts of different lengths in one batch are those alone.
    let uneven = vec![prompts[0][..3].to_vec(), prompts[1].clone(), prompts[0][..1].to_vec()];
    for beams in [1, 3] {
        let options = Options { new_tokens: 8, beams, ..Options::default() };
        let together = generate(&model, &uneven, &options, true);
        for (text, prompt) in together.iter().zip(&uneven) {
            let alone = generate(&model, std::slice::from_ref(prompt), &options, true);
            assert_eq!(text.tokens, alone[0].tokens, "{name}, {beams} beams");
        }
        // A token that ends texts ends them.
        let end = together[1].tokens[together[1].prompt + 2];
        let options = Options { ends: vec![end], ..options };
        for text in generate(&model, &uneven, &options, true) {
            let first = text.tokens.iter().skip(1).position(|t| *t == end);
            assert!(
                first.is_none() || text.tokens.last() == Some(&end) || text.tokens.len() >= 9,
                "{text:?}"
            );
        }
    }
}

macro_rules! folders {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            same(stringify!($name));
        }
    )*};
}

folders! { t5_seq2seq bart_seq2seq gpt2_clm llama_clm mistral_clm qwen2_clm qwen3_clm gemma2_clm phi_clm }

/// Penalties, beams of several lengths, texts that end: `golden/options.py` wrote what transformers
/// gives, for prompts of different lengths in one batch.
#[test]
fn other_options() {
    let text = std::fs::read_to_string(golden("options.json")).unwrap();
    let cases: Vec<Json> = serde_json::from_str(&text).unwrap();
    assert!(cases.len() >= 18);
    for case in &cases {
        let name = case["model"].as_str().unwrap();
        let model = Model::open(&registry(), &golden(name), None, Device::Cpu).unwrap();
        let given = &case["options"];
        let end = &given["eos_token_id"];
        let options = Options {
            new_tokens: 10,
            ends: end.as_i64().into_iter().chain(end[0].as_i64()).collect(),
            repetition_penalty: given["repetition_penalty"].as_f64().unwrap_or(1.0),
            beams: given["num_beams"].as_u64().unwrap_or(1) as usize,
            length_penalty: given["length_penalty"].as_f64().unwrap_or(1.0),
            samples: given["num_return_sequences"].as_u64().unwrap_or(1) as usize,
            ..Options::default()
        };
        let texts = generate(&model, &rows(&case["prompts"]), &options, true);
        let tokens: Vec<_> = texts.into_iter().map(|text| text.tokens).collect();
        assert_eq!(tokens, rows(&case["texts"]), "{name}, {given}");
    }
}
