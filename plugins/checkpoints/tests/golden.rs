//! Every covered folder of reference models: outputs, hidden states, loss and gradients are those of
//! transformers. The folders were written by transformers 5.23 with torch 2.11.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may")]

mod common;

use common::{golden, registry};
use tch::Device;
use zoo_inference::{Model, parity};

fn same(name: &str) {
    let folder = golden(name);
    let model = Model::open(&registry(), &folder, None, Device::Cpu).unwrap();
    let report =
        parity::run(&model, &folder.join("oracle.safetensors"), Device::Cpu, parity::Tolerance::default())
            .unwrap();
    println!("{name}\n{report}");
    assert!(report.passed(), "{name} is not equal:\n{report}");
    assert!(report.worst(parity::Part::Gradient).is_some() && report.worst(parity::Part::Loss).is_some());
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
}
