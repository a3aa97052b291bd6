//! T5 (Raffel et al., 2020), its version 1.1 and those trained from it.

use super::llama;
use crate::blocks::activation::Activation;
use crate::blocks::attention::Inputs;
use crate::blocks::buckets::BucketsSpecification;
use crate::blocks::feed_forward::FeedForwardKind;
use crate::blocks::layer::{CrossSpecification, Placement};
use crate::config::Config;
use crate::specification::{PairSpecification, Specification};
use zoo_plugin::{Error, Result};

/// One of the two halves.
fn half(config: &Config, decoder: bool) -> Result<Specification> {
    let hidden = config.size("d_model")?;
    let factor = config.real_or("initializer_factor", 1.0)?;
    let layers = config.layers("num_layers")?;
    let layers = match config.get("num_decoder_layers") {
        Some(_) if decoder => config.layers("num_decoder_layers")?,
        _ => layers,
    };
    let feed_forward = config.text_or("feed_forward_proj", "relu")?;
    let (gated, activation) = match feed_forward.strip_prefix("gated-") {
        // The name is older than the difference between the two.
        Some("gelu") => (true, Activation::GeluTanh),
        Some(name) => (true, config.activation_named("feed_forward_proj", name)?),
        None => (false, config.activation_named("feed_forward_proj", feed_forward)?),
    };
    let dropout = config.rate_or("dropout_rate", 0.1)?;
    let renamed = config
        .with("hidden_size", hidden)
        .with("num_attention_heads", config.size("num_heads")?)
        .with("head_dim", config.size("d_kv")?)
        .with("num_hidden_layers", layers)
        .with("intermediate_size", config.size("d_ff")?)
        .with("rms_norm_eps", config.real_or("layer_norm_epsilon", 1e-6)?)
        .with("attention_dropout", dropout)
        .with("initializer_range", factor * (hidden as f64).powf(-0.5));
    let mut base = llama::base(&renamed, "t5")?;
    let last = if decoder {
        [
            "layer.2.DenseReluDense.wi",
            "layer.2.DenseReluDense.wi_0",
            "layer.2.DenseReluDense.wi_1",
            "layer.2.DenseReluDense.wo",
            "layer.2.layer_norm",
        ]
    } else {
        [
            "layer.1.DenseReluDense.wi",
            "layer.1.DenseReluDense.wi_0",
            "layer.1.DenseReluDense.wi_1",
            "layer.1.DenseReluDense.wo",
            "layer.1.layer_norm",
        ]
    };
    let [inner, gate, up, outer, norm] = last;
    for layer in &mut base.layers {
        let attention = &mut layer.attention;
        attention.inputs = Inputs::Separate {
            query: "layer.0.SelfAttention.q",
            key: "layer.0.SelfAttention.k",
            value: "layer.0.SelfAttention.v",
        };
        attention.output = "layer.0.SelfAttention.o";
        (attention.scale, attention.rotary) = (1.0, None);
        attention.reach.causal = decoder;
        if decoder {
            let mut attention = *attention;
            attention.inputs = Inputs::Separate {
                query: "layer.1.EncDecAttention.q",
                key: "layer.1.EncDecAttention.k",
                value: "layer.1.EncDecAttention.v",
            };
            attention.output = "layer.1.EncDecAttention.o";
            attention.reach.causal = false;
            layer.cross = Some(CrossSpecification { attention, norm: "layer.1.layer_norm" });
        }
        layer.placement = Placement::Before { attention: Some("layer.0.layer_norm"), feed_forward: norm };
        layer.feed_forward.kind =
            if gated { FeedForwardKind::Gated { gate, up } } else { FeedForwardKind::Plain { inner } };
        (layer.feed_forward.outer, layer.feed_forward.activation) = (outer, activation);
        layer.feed_forward.dropout = dropout;
        (layer.dropout, layer.attention_output_dropout) = (dropout, dropout);
    }
    let names = if decoder {
        (
            "decoder.block",
            "decoder.final_layer_norm",
            "decoder.block.0.layer.0.SelfAttention.relative_attention_bias",
            "decoder.",
        )
    } else {
        (
            "encoder.block",
            "encoder.final_layer_norm",
            "encoder.block.0.layer.0.SelfAttention.relative_attention_bias",
            "encoder.",
        )
    };
    base.buckets = match base.layers.first() {
        Some(layer) => Some(BucketsSpecification {
            name: names.2,
            buckets: config.size_or("relative_attention_num_buckets", 32)?,
            maximum: config.size_or("relative_attention_max_distance", 128)?,
            both_sides: !decoder,
            heads: layer.attention.heads,
            deviation: base.deviation,
        }),
        None => None,
    };
    (base.prefix, base.layer_path, base.sites) = ("", names.0, names.3);
    base.final_norm = base.final_norm.map(|(_, norm)| (names.1, norm));
    base.final_dropout = dropout;
    base.rotary = Vec::new();
    base.embeddings.padding = None;
    base.embeddings.words = "shared";
    base.embeddings.dropout = dropout;
    base.embeddings.deviation = factor;
    (base.sequence, base.tokens) = (None, None);
    Ok(base)
}

/// The encoder alone.
pub(super) fn encoder(config: &Config) -> Result<Specification> {
    let mut encoder = half(config, false)?;
    (encoder.sites, encoder.vocabulary) = ("", None);
    Ok(encoder)
}

pub(super) fn read(config: &Config) -> Result<PairSpecification> {
    let (encoder, decoder) = (half(config, false)?, half(config, true)?);
    let (mut head, _) = decoder.vocabulary.ok_or_else(|| Error::new("`t5` has no head"))?;
    let tied = config.flag_or("tie_word_embeddings", true)?;
    head.untied = (!tied).then_some("lm_head");
    if config.flag_or("scale_decoder_outputs", tied)? {
        head.scale = (decoder.hidden as f64).powf(-0.5);
    }
    let padding = config.whole_or("pad_token_id", 0)?;
    let start = config.whole_or("decoder_start_token_id", padding)?;
    Ok(PairSpecification { encoder, decoder, head, own_words: false, start, padding })
}
