//! Every covered folder of reference models: outputs, hidden states, loss and gradients are those of
//! transformers. The folders were written by transformers 5.23 with torch 2.11.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may")]

mod common;

use common::{golden, registry};
use tch::Device;
use zoo_inference::Model;
use zoo_inference::parity::{self, Part, Precision, Report, Tolerance};

fn compared(name: &str, precision: Precision) -> Report {
    let folder = golden(name);
    let model = Model::open(&registry(), &folder, None, Device::Cpu).unwrap();
    let tolerance = Tolerance::of(precision, &model);
    parity::run(&model, &folder.join("oracle.safetensors"), Device::Cpu, tolerance).unwrap()
}

fn same(name: &str) {
    let report = compared(name, Precision::Float32);
    println!("{name}\n{report}");
    assert!(report.passed(), "{name} is not equal:\n{report}");
    assert!(report.worst(Part::Gradient).is_some() && report.worst(Part::Loss).is_some());
}

macro_rules! folders {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            same(stringify!($name));
        }
    )*};
}

folders! {
    bert_mlm bert_cls bert_tok
    t5_seq2seq bart_seq2seq
    roberta_mlm xlm_roberta_mlm
    electra_generator electra_discriminator
    esm_mlm modernbert_mlm deberta_v2_mlm
    gpt2_clm llama_clm mistral_clm qwen2_clm qwen3_clm gemma2_clm phi_clm
    clip_vision siglip_vision vit_cls vit_mae beit_mim
    llava_clm wav2vec2_bert_ctc wav2vec2_conformer
}

#[test]
fn in_bfloat16_all_are_within_what_its_rounding_explains() {
    let folder = golden("");
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().join("config.json").exists())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names.len(), 27);
    let mut wrong = String::new();
    for name in &names {
        let report = compared(name, Precision::Bfloat16);
        if !report.passed() {
            wrong += &format!("{name}\n{report}");
        }
        let [outputs, gradients] =
            [Part::Output, Part::Gradient].map(|part| report.worst(part).unwrap().error);
        println!("{name:<22} outputs {outputs:.4} gradients {gradients:.4}");
        // In float32 it would be far nearer.
        assert!(outputs > 1e-4 && gradients > 1e-3, "{name} was not computed in bfloat16:\n{report}");
    }
    assert!(wrong.is_empty(), "{wrong}");
}
