//! Vision families: ViT (Dosovitskiy et al., 2021), masked autoencoders (He et al., 2022), BEiT (Bao et
//! al., 2022), and the vision towers of CLIP (Radford et al., 2021) and SigLIP (Zhai et al., 2023).

use super::{head_size, style};
use crate::blocks::attention::{AttentionSpecification, Inputs};
use crate::blocks::feed_forward::{FeedForwardKind, FeedForwardSpecification};
use crate::blocks::heads::TransformSpecification;
use crate::blocks::layer::{LayerSpecification, Placement};
use crate::blocks::norm::{NormKind, NormSpecification};
use crate::blocks::patches::{Named, PatchesSpecification};
use crate::blocks::relative::RelativeSpecification;
use crate::config::Config;
use crate::vision::{
    DecoderSpecification, MaskedSpecification, QUERY_MAPS, VisionPooling, VisionSpecification,
};
use zoo_plugin::{Error, Result};

/// Names of a layer's parts, and the keys of dropout rates.
struct Names {
    inputs: Inputs,
    attention_output: &'static str,
    inner: &'static str,
    outer: &'static str,
    norms: [&'static str; 2],
    dropout: &'static str,
    attention_dropout: &'static str,
}

const VIT: Names = Names {
    inputs: Inputs::Separate {
        query: "attention.attention.query",
        key: "attention.attention.key",
        value: "attention.attention.value",
    },
    attention_output: "attention.output.dense",
    inner: "intermediate.dense",
    outer: "output.dense",
    norms: ["layernorm_before", "layernorm_after"],
    dropout: "hidden_dropout_prob",
    attention_dropout: "attention_probs_dropout_prob",
};

const CLIP: Names = Names {
    inputs: Inputs::Separate {
        query: "self_attn.q_proj",
        key: "self_attn.k_proj",
        value: "self_attn.v_proj",
    },
    attention_output: "self_attn.out_proj",
    inner: "mlp.fc1",
    outer: "mlp.fc2",
    norms: ["layer_norm1", "layer_norm2"],
    dropout: "dropout",
    attention_dropout: "attention_dropout",
};

fn norm(config: &Config, default: f64) -> Result<NormSpecification> {
    let kind = NormKind::Layer { bias: true };
    Ok(NormSpecification { kind, epsilon: config.real_or("layer_norm_eps", default)? })
}

/// A layer with norms before attention and feed-forward block; `part` begins the keys of its sizes.
fn layer(config: &Config, part: &str, names: &Names, epsilon: f64) -> Result<LayerSpecification> {
    let key = |name: &str| format!("{part}{name}");
    let hidden = config.size(&key("hidden_size"))?;
    let heads = config.size(&key("num_attention_heads"))?;
    let (style, dropout) = (style(config)?, config.rate_or(names.dropout, 0.0)?);
    let sizes = (hidden, heads, head_size(hidden, heads)?);
    let attention_dropout = config.rate_or(names.attention_dropout, 0.0)?;
    let mut attention =
        AttentionSpecification::plain(sizes, names.inputs, names.attention_output, style, attention_dropout);
    attention.inputs_bias = config.flag_or("qkv_bias", true)?;
    Ok(LayerSpecification {
        attention,
        cross: None,
        scales: None,
        drop_path: 0.0,
        feed_forward: FeedForwardSpecification {
            kind: FeedForwardKind::Plain { inner: names.inner },
            outer: names.outer,
            hidden,
            inner: config.size(&key("intermediate_size"))?,
            activation: config.activation("hidden_act", "gelu")?,
            style,
            dropout: 0.0,
        },
        placement: Placement::Before { attention: Some(names.norms[0]), feed_forward: names.norms[1] },
        norm: norm(config, epsilon)?,
        attention_output_dropout: dropout,
        dropout,
    })
}

/// Patches as ViT has them, before a family's changes.
fn patches(config: &Config) -> Result<PatchesSpecification> {
    let leading = |name| Named { name, leading: 2 };
    Ok(PatchesSpecification {
        map: "embeddings.patch_embeddings.projection",
        bias: true,
        channels: config.size_or("num_channels", 3)?,
        image: config.sides("image_size", 224)?,
        patch: config.sides("patch_size", 16)?,
        hidden: config.size("hidden_size")?,
        class: Some(leading("embeddings.cls_token")),
        positions: Some(Named { name: "embeddings.position_embeddings", leading: 1 }),
        fixed: false,
        mask: None,
        dropout: config.rate_or("hidden_dropout_prob", 0.0)?,
        deviation: style(config)?.deviation,
    })
}

pub(super) fn vit(config: &Config) -> Result<VisionSpecification> {
    let layer = layer(config, "", &VIT, 1e-12)?;
    let hidden = layer.attention.hidden;
    Ok(VisionSpecification {
        family: "vit",
        prefix: "vit.",
        patches: patches(config)?,
        first_norm: None,
        layer_path: "encoder.layer",
        final_norm: Some(("layernorm", layer.norm)),
        relative: None,
        pooling: Some(VisionPooling::Dense(TransformSpecification {
            dense: "pooler.dense",
            size: config.size_or("pooler_output_size", hidden)?,
            style: style(config)?,
            activation: config.activation("pooler_act", "tanh")?,
            norm: None,
        })),
        classifier: Some(("classifier", config.classes()?)),
        masked: None,
        layers: vec![layer; config.layers("num_hidden_layers")? as usize],
    })
}

pub(super) fn mae(config: &Config) -> Result<VisionSpecification> {
    let mut base = vit(config)?;
    base.family = "vit_mae";
    base.patches.fixed = true;
    base.patches.dropout = 0.0;
    (base.pooling, base.classifier) = (None, None);
    let own = layer(config, "decoder_", &VIT, 1e-12)?;
    base.masked = Some(MaskedSpecification::Pixels(DecoderSpecification {
        prefix: "decoder.",
        hidden: own.attention.hidden,
        norm: own.norm,
        layers: vec![own; config.layers("decoder_num_hidden_layers")? as usize],
        share: config.rate_or("mask_ratio", 0.75)?,
        normal: config.flag_or("norm_pix_loss", false)?,
        style: style(config)?,
    }));
    Ok(base)
}

pub(super) fn beit(config: &Config) -> Result<VisionSpecification> {
    let mut base = vit(config)?;
    (base.family, base.prefix) = ("beit", "beit.");
    if !config.flag_or("use_absolute_position_embeddings", false)? {
        base.patches.positions = None;
    }
    if config.flag_or("use_mask_token", false)? {
        base.patches.mask = Some(Named { name: "embeddings.mask_token", leading: 2 });
    }
    let [rows, columns] = base.patches.grid();
    let table = |name| RelativeSpecification::Grid { name, rows, columns };
    if config.flag_or("use_shared_relative_position_bias", false)? {
        base.relative = Some(("encoder.relative_position_bias", table("relative_position_bias_table")));
    }
    let own = config.flag_or("use_relative_position_bias", false)?;
    if (own || base.relative.is_some()) && rows != columns {
        // transformers takes height and width of the table for each other, and so has other numbers.
        return Err(
            config.unsupported("image_size", "as many rows as columns of patches with relative positions")
        );
    }
    if own && base.relative.is_some() {
        return Err(Error::new(
            "relative positions are shared by all layers or each layer's own, and config.json says both",
        )
        .at("config"));
    }
    let (scale, drop) =
        (config.real_or("layer_scale_init_value", 0.1)?, config.rate_or("drop_path_rate", 0.1)?);
    let last = (base.layers.len() as f64 - 1.0).max(1.0);
    for (i, layer) in base.layers.iter_mut().enumerate() {
        layer.attention.inputs_bias = true;
        layer.attention.key_bias = false;
        layer.attention.relative =
            own.then_some(table("attention.attention.relative_position_bias.relative_position_bias_table"));
        layer.scales = (scale > 0.0).then_some((["lambda_1", "lambda_2"], scale));
        layer.drop_path = drop * i as f64 / last;
    }
    let norm = norm(config, 1e-12)?;
    if config.flag_or("use_mean_pooling", true)? {
        base.final_norm = None;
        base.pooling = Some(VisionPooling::Mean(("pooler.layernorm", norm)));
    } else {
        base.pooling = Some(VisionPooling::State);
    }
    base.masked = Some(MaskedSpecification::Tokens {
        norm: ("layernorm", norm),
        map: "lm_head",
        vocabulary: config.size_or("vocab_size", 8192)?,
        style: style(config)?,
    });
    Ok(base)
}

/// What CLIP and SigLIP share.
fn tower(
    config: &Config,
    family: &'static str,
    act: &str,
    epsilon: f64,
    patch: i64,
) -> Result<VisionSpecification> {
    let config = config.with_default("hidden_act", act).with_default("patch_size", patch);
    let layer = layer(&config, "", &CLIP, epsilon)?;
    let mut patches = patches(&config)?;
    patches.map = "embeddings.patch_embedding";
    patches.positions = Some(Named { name: "embeddings.position_embedding.weight", leading: 0 });
    Ok(VisionSpecification {
        family,
        prefix: "",
        patches,
        first_norm: None,
        layer_path: "encoder.layers",
        final_norm: None,
        relative: None,
        pooling: None,
        classifier: None,
        masked: None,
        layers: vec![layer; config.layers("num_hidden_layers")? as usize],
    })
}

pub(super) fn clip(config: &Config) -> Result<VisionSpecification> {
    let mut base = tower(config, "clip_vision_model", "quick_gelu", 1e-5, 32)?;
    let norm = norm(config, 1e-5)?;
    base.patches.bias = false;
    base.patches.class = Some(Named { name: "embeddings.class_embedding", leading: 0 });
    // The name is the checkpoints' own.
    base.first_norm = Some(("pre_layrnorm", norm));
    base.pooling = Some(VisionPooling::Class(("post_layernorm", norm)));
    Ok(base)
}

pub(super) fn siglip(config: &Config) -> Result<VisionSpecification> {
    let mut base = tower(config, "siglip_vision_model", "gelu_pytorch_tanh", 1e-6, 16)?;
    let norm = norm(config, 1e-6)?;
    base.patches.class = None;
    base.final_norm = Some(("post_layernorm", norm));
    if config.flag_or("vision_use_head", true)? {
        let own = layer(&config.with_default("hidden_act", "gelu_pytorch_tanh"), "", &CLIP, 1e-6)?;
        let (hidden, heads, head) = (own.attention.hidden, own.attention.heads, own.attention.head);
        base.pooling = Some(VisionPooling::Query {
            probe: Named { name: "head.probe", leading: 2 },
            attention: AttentionSpecification::plain(
                (hidden, heads, head),
                QUERY_MAPS,
                "out_proj",
                own.attention.style,
                0.0,
            ),
            norm: ("head.layernorm", norm),
            feed_forward: own.feed_forward,
        });
    }
    Ok(base)
}
