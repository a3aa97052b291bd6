//! BART (Lewis et al., 2020).

use super::bert;
use crate::blocks::attention::Inputs;
use crate::blocks::embeddings::PositionTable;
use crate::blocks::feed_forward::FeedForwardKind;
use crate::blocks::heads::VocabularySpecification;
use crate::blocks::layer::{CrossSpecification, Placement};
use crate::config::Config;
use crate::specification::{PairSpecification, Specification};
use zoo_plugin::Result;

/// Names of one half: heads, inner size and layers in the configuration, then those of parameters.
struct Names {
    heads: &'static str,
    inner: &'static str,
    layers: &'static str,
    path: &'static str,
    positions: &'static str,
    norm: &'static str,
    sites: &'static str,
}

const ENCODER: Names = Names {
    heads: "encoder_attention_heads",
    inner: "encoder_ffn_dim",
    layers: "encoder_layers",
    path: "encoder.layers",
    positions: "encoder.embed_positions",
    norm: "encoder.layernorm_embedding",
    sites: "encoder.",
};

const DECODER: Names = Names {
    heads: "decoder_attention_heads",
    inner: "decoder_ffn_dim",
    layers: "decoder_layers",
    path: "decoder.layers",
    positions: "decoder.embed_positions",
    norm: "decoder.layernorm_embedding",
    sites: "decoder.",
};

fn half(config: &Config, names: &Names, decoder: bool) -> Result<Specification> {
    for (key, only) in
        [("normalize_before", false), ("add_final_layer_norm", false), ("normalize_embedding", true)]
    {
        config.only_flag(key, only)?;
    }
    // Under its own name, for the error.
    config.activation("activation_function", "gelu")?;
    let renamed = config
        .with("hidden_size", config.size("d_model")?)
        .with("num_attention_heads", config.size(names.heads)?)
        .with("num_hidden_layers", config.layers(names.layers)?)
        .with("intermediate_size", config.size(names.inner)?)
        .with("hidden_act", config.text_or("activation_function", "gelu")?)
        .with("hidden_dropout_prob", config.rate_or("dropout", 0.1)?)
        .with("attention_probs_dropout_prob", config.rate_or("attention_dropout", 0.0)?)
        .with("layer_norm_eps", 1e-5)
        .with("initializer_range", config.real_or("init_std", 0.02)?)
        .with("type_vocab_size", 0)
        .with("is_decoder", decoder);
    let mut base = bert::base(&renamed, "bart", "model.")?;
    let within = config.rate_or("activation_dropout", 0.0)?;
    for layer in &mut base.layers {
        let attention = &mut layer.attention;
        attention.inputs = Inputs::Separate {
            query: "self_attn.q_proj",
            key: "self_attn.k_proj",
            value: "self_attn.v_proj",
        };
        attention.output = "self_attn.out_proj";
        if decoder {
            let mut attention = *attention;
            attention.inputs = Inputs::Separate {
                query: "encoder_attn.q_proj",
                key: "encoder_attn.k_proj",
                value: "encoder_attn.v_proj",
            };
            attention.output = "encoder_attn.out_proj";
            attention.reach.causal = false;
            layer.cross = Some(CrossSpecification { attention, norm: "encoder_attn_layer_norm" });
        }
        layer.feed_forward.kind = FeedForwardKind::Plain { inner: "fc1" };
        (layer.feed_forward.outer, layer.feed_forward.dropout) = ("fc2", within);
        layer.placement =
            Placement::After { attention: "self_attn_layer_norm", feed_forward: "final_layer_norm" };
    }
    (base.layer_path, base.sites) = (names.path, names.sites);
    let embeddings = &mut base.embeddings;
    // Where they are not tied, each half has a token table of its own.
    let words = match (tied(config)?, decoder) {
        (true, _) => "shared",
        (false, false) => "encoder.embed_tokens",
        (false, true) => "decoder.embed_tokens",
    };
    (embeddings.words, embeddings.padding) = (words, Some(config.whole_or("pad_token_id", 1)?));
    // The table has two rows that no position uses.
    let count = config.size("max_position_embeddings")? + 2;
    embeddings.positions =
        Some(PositionTable { name: names.positions, count, after_padding: None, offset: 2 });
    embeddings.norm = embeddings.norm.map(|(_, norm)| (names.norm, norm));
    if config.flag_or("scale_embedding", false)? {
        embeddings.scale = (base.hidden as f64).sqrt();
    }
    (base.pooler, base.sequence, base.tokens) = (None, None, None);
    Ok(base)
}

fn tied(config: &Config) -> Result<bool> {
    config.flag_or("tie_word_embeddings", true)
}

/// The encoder alone.
pub(super) fn encoder(config: &Config) -> Result<Specification> {
    let mut encoder = half(config, &ENCODER, false)?;
    encoder.sites = "";
    Ok(encoder)
}

pub(super) fn read(config: &Config) -> Result<PairSpecification> {
    let tied = tied(config)?;
    Ok(PairSpecification {
        encoder: half(config, &ENCODER, false)?,
        decoder: half(config, &DECODER, true)?,
        head: VocabularySpecification {
            transform: None,
            untied: (!tied).then_some("lm_head"),
            bias: None,
            fixed_bias: Some("final_logits_bias"),
            scale: 1.0,
            soft_cap: None,
        },
        own_words: !tied,
        start: config.whole_or("decoder_start_token_id", 2)?,
        padding: config.whole_or("pad_token_id", 1)?,
    })
}
