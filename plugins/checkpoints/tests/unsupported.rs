//! Keys of `config.json` that change the computation and are not built end in errors that name the key, its
//! value and what is supported: never in other numbers than the checkpoint's makers had.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use common::golden;
use serde_json::{Value as Json, json};
use zoo_checkpoints::{Config, families};
use zoo_plugin::{Error, Result};

/// Reads a configuration as its family.
fn read(config: &Config) -> Result<()> {
    let family = config.family()?.to_owned();
    let has = |names: &[&str]| names.contains(&family.as_str());
    let names = |all: &mut dyn Iterator<Item = &'static str>| all.collect::<Vec<_>>();
    if has(&names(&mut families::PAIRS.iter().map(|(name, _)| *name))) {
        families::text(config)?;
        return families::pair(config).map(drop);
    }
    if has(&names(&mut families::VISION.iter().map(|(name, _)| *name))) {
        return families::vision(config).map(drop);
    }
    if has(&names(&mut families::SPEECH.iter().map(|(name, _)| *name))) {
        return families::speech(config).map(drop);
    }
    if has(&names(&mut families::VISION_LANGUAGE.iter().map(|(name, _)| *name))) {
        return families::vision_language(config).map(drop);
    }
    families::text(config).map(drop)
}

fn whole(folder: &str) -> Json {
    serde_json::from_str(&std::fs::read_to_string(golden(folder).join("config.json")).unwrap()).unwrap()
}

/// The configuration of a reference model, with another value at that place.
fn changed(folder: &str, place: &str, value: &Json) -> Json {
    let mut config = whole(folder);
    let (outer, key) = place.rsplit_once('/').unwrap();
    config.pointer_mut(outer).unwrap().as_object_mut().unwrap().insert(key.to_owned(), value.clone());
    config
}

fn refused(folder: &str, place: &str, value: &Json) -> Error {
    let config = Config::parse(&changed(folder, place, value).to_string()).unwrap();
    match read(&config) {
        Ok(()) => panic!("{folder}: {place} = {value} is read"),
        Err(error) => error,
    }
}

const ALL: &[&str] = &[
    "bart_seq2seq",
    "beit_mim",
    "bert_mlm",
    "clip_vision",
    "deberta_v2_mlm",
    "electra_generator",
    "esm_mlm",
    "gemma2_clm",
    "gpt2_clm",
    "llama_clm",
    "llava_clm",
    "mistral_clm",
    "modernbert_mlm",
    "phi_clm",
    "qwen2_clm",
    "qwen3_clm",
    "roberta_mlm",
    "siglip_vision",
    "t5_seq2seq",
    "vit_cls",
    "vit_mae",
    "wav2vec2_bert_ctc",
    "wav2vec2_conformer",
    "xlm_roberta_mlm",
];

#[test]
fn no_family_reads_what_none_computes() {
    for folder in ALL {
        read(&Config::parse(&whole(folder).to_string()).unwrap()).unwrap();
        for (key, value) in [
            ("quantization_config", json!({ "quant_method": "gptq", "bits": 4 })),
            ("compression_config", json!({ "format": "pack-quantized" })),
            ("pruned_heads", json!({ "1": [0] })),
            ("per_layer_config", json!({ "0": { "hidden_size": 8 } })),
            ("attention_chunk_size", json!(8192)),
        ] {
            let error = refused(folder, &format!("/{key}"), &value);
            let said =
                error.message.contains(&format!("`{key}`")) && error.message.contains(&value.to_string());
            assert!(said && !error.help.is_empty(), "{folder}: {error:?}");
            // What says nothing is no obstacle.
            for nothing in [Json::Null, json!({})] {
                let config = changed(folder, &format!("/{key}"), &nothing).to_string();
                read(&Config::parse(&config).unwrap()).unwrap();
            }
        }
    }
}

#[test]
fn what_a_family_does_not_compute_is_named() {
    let kinds = |kind: &str, count: usize| json!(vec![kind; count]);
    let scaled = json!({ "rope_type": "su3", "rope_theta": 1e4, "factor": 2.0 });
    let partial =
        json!({ "rope_type": "linear", "rope_theta": 1e4, "factor": 2.0, "partial_rotary_factor": 0.5 });
    // Folder, place, value, what the message names, what the help names.
    let mut table: Vec<(&str, &str, Json, &str, &str)> = vec![
        ("bert_mlm", "/add_cross_attention", json!(true), "add_cross_attention", "false"),
        ("gpt2_clm", "/add_cross_attention", json!(true), "add_cross_attention", "false"),
        ("esm_mlm", "/is_folding_model", json!(true), "is_folding_model", "false"),
        ("esm_mlm", "/position_embedding_type", json!("relative_key"), "relative_key", "rotary"),
        ("deberta_v2_mlm", "/pos_att_type", json!("p2c|p2p"), "p2c|p2p", "c2p"),
        ("deberta_v2_mlm", "/norm_rel_ebd", json!("batch_norm"), "batch_norm", "layer_norm"),
        ("deberta_v2_mlm", "/attention_head_size", json!(3), "attention_head_size", ""),
        ("deberta_v2_mlm", "/pooler_hidden_size", json!(3), "pooler_hidden_size", ""),
        ("modernbert_mlm", "/classifier_pooling", json!("max"), "max", "cls and mean"),
        ("modernbert_mlm", "/classifier_activation", json!("snake"), "classifier_activation", "gelu"),
        (
            "gemma2_clm",
            "/use_bidirectional_attention",
            json!(true),
            "use_bidirectional_attention",
            "attention:",
        ),
        ("gemma2_clm", "/hidden_activation", json!("snake"), "snake", "gelu"),
        ("t5_seq2seq", "/feed_forward_proj", json!("gated-snake"), "gated-snake", "gelu"),
        ("bart_seq2seq", "/normalize_before", json!(true), "normalize_before", "false"),
        ("bart_seq2seq", "/activation_function", json!("snake"), "activation_function", "gelu"),
        ("gpt2_clm", "/activation_function", json!("snake"), "snake", "gelu"),
        ("llava_clm", "/projector_hidden_act", json!("snake"), "projector_hidden_act", "gelu"),
        ("llava_clm", "/vision_feature_select_strategy", json!("cls"), "cls", "default and full"),
        ("beit_mim", "/image_size", json!([8, 16]), "image_size", "as many rows"),
        ("llava_clm", "/text_config/model_type", json!("mamba"), "mamba", "llama"),
        ("llava_clm", "/vision_config/model_type", json!("swin"), "swin", "clip_vision_model"),
        ("wav2vec2_conformer", "/position_embeddings_type", json!("alibi"), "alibi", "rotary"),
        ("wav2vec2_conformer", "/feat_extract_norm", json!("batch"), "batch", "group and layer"),
        ("wav2vec2_conformer", "/feat_extract_activation", json!("snake"), "snake", "gelu"),
        ("wav2vec2_bert_ctc", "/position_embeddings_type", json!("alibi"), "alibi", "relative_key"),
        ("llama_clm", "/layer_types", kinds("sliding_attention", 2), "layer_types", "full_attention"),
        (
            "mistral_clm",
            "/layer_types",
            kinds("chunked_attention", 2),
            "chunked_attention",
            "sliding_attention",
        ),
    ];
    for folder in ["bert_mlm", "roberta_mlm", "xlm_roberta_mlm", "electra_generator", "deberta_v2_mlm"] {
        for kind in ["relative_key", "relative_key_query", "rotary", "alibi"] {
            table.push((
                folder,
                "/position_embedding_type",
                json!(kind),
                "position_embedding_type",
                "absolute",
            ));
        }
    }
    for folder in ALL.iter().filter(|f| !["bart_seq2seq", "t5_seq2seq", "gpt2_clm", "llava_clm"].contains(f))
    {
        // ESM's layers have one function, and Gemma and ModernBERT name theirs otherwise.
        if !["esm_mlm", "gemma2_clm", "modernbert_mlm"].contains(folder) {
            table.push((
                folder,
                "/hidden_act",
                json!("xielu"),
                "`hidden_act` of config.json is \"xielu\"",
                "gelu",
            ));
        }
    }
    for folder in ["llama_clm", "mistral_clm", "qwen2_clm", "qwen3_clm", "gemma2_clm", "phi_clm"] {
        table.push((
            folder,
            "/rope_parameters",
            scaled.clone(),
            "`rope_type` of config.json is \"su3\"",
            "yarn",
        ));
        if folder != "phi_clm" {
            table.push((folder, "/rope_parameters", partial.clone(), "partial_rotary_factor", "1.0"));
        }
    }
    for folder in ["qwen2_clm", "qwen3_clm", "gemma2_clm", "modernbert_mlm"] {
        let layers = whole(folder)["num_hidden_layers"].as_u64().unwrap() as usize;
        table.push((folder, "/layer_types", kinds("linear_attention", layers), "linear_attention", ""));
        table.push((folder, "/layer_types", kinds("full_attention", layers + 1), "layer_types", ""));
    }
    for (folder, place, value, message, help) in table {
        let error = refused(folder, place, &value);
        let named = error.message.contains(message) && error.help.contains(help);
        assert!(named, "{folder}: {place} = {value}: {error:?}");
    }
}
