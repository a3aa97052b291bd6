//! ModernBERT (Warner et al., 2024).

use super::{bert, head_size, layer_kinds, style};
use crate::blocks::attention::{AttentionSpecification, Inputs};
use crate::blocks::feed_forward::{FeedForwardKind, FeedForwardSpecification};
use crate::blocks::heads::Pooling;
use crate::blocks::layer::{LayerSpecification, Placement};
use crate::blocks::mask::Reach;
use crate::blocks::norm::{NormKind, NormSpecification};
use crate::blocks::rotary::RotarySpecification;
use crate::config::Config;
use crate::specification::Specification;
use zoo_plugin::Result;

pub(super) fn read(config: &Config) -> Result<Specification> {
    let mut base = bert::base(config, "modernbert", "model.")?;
    let maps = style(config)?;
    let heads = config.size("num_attention_heads")?;
    let (hidden, head) = (base.hidden, head_size(base.hidden, heads)?);
    let norm = NormSpecification {
        kind: NormKind::Layer { bias: config.flag_or("norm_bias", false)? },
        epsilon: config.real_or("norm_eps", 1e-5)?,
    };
    let every = config.size_or("global_attn_every_n_layers", 3)?;
    let kinds = layer_kinds(config, base.layers.len())?;
    let global = |i: usize| match &kinds {
        Some(kinds) => kinds.get(i).is_none_or(|kind| *kind == "full_attention"),
        None => i as i64 % every == 0,
    };
    let window = config.size_or("local_attention", 128)? / 2;
    let dropout = config.rate_or("attention_dropout", 0.0)?;
    let layer = |i: usize| -> Result<LayerSpecification> {
        Ok(LayerSpecification {
            attention: AttentionSpecification {
                hidden,
                heads,
                key_heads: heads,
                head,
                inputs: Inputs::Fused("attn.Wqkv"),
                inputs_bias: config.flag_or("attention_bias", false)?,
                key_bias: true,
                output: "attn.Wo",
                style: maps.biased(config.flag_or("attention_bias", false)?),
                head_norms: None,
                scale: (head as f64).powf(-0.5),
                soft_cap: None,
                rotary: Some(usize::from(!global(i))),
                rotary_inputs: false,
                relative: None,
                reach: Reach { causal: false, window: (!global(i)).then_some(window) },
                disentangled: None,
                dropout,
            },
            cross: None,
            scales: None,
            drop_path: 0.0,
            feed_forward: FeedForwardSpecification {
                kind: FeedForwardKind::GatedFused { both: "mlp.Wi" },
                outer: "mlp.Wo",
                hidden,
                inner: config.size("intermediate_size")?,
                activation: config.activation("hidden_activation", "gelu")?,
                style: maps.biased(config.flag_or("mlp_bias", false)?),
                dropout: config.rate_or("mlp_dropout", 0.0)?,
            },
            placement: Placement::Before {
                attention: (i > 0).then_some("attn_norm"),
                feed_forward: "mlp_norm",
            },
            norm,
            attention_output_dropout: dropout,
            dropout: 0.0,
        })
    };
    base.layers = (0..base.layers.len()).map(layer).collect::<Result<_>>()?;
    let rotary = |key: &str, group: &str, default: f64| {
        let theta = config.real_or(key, default)?;
        RotarySpecification::read(config, head, theta, Some(group))?.of_whole_heads(head)
    };
    base.rotary = vec![
        rotary("global_rope_theta", "full_attention", 160_000.0)?,
        rotary("local_rope_theta", "sliding_attention", 10_000.0)?,
    ];
    base.layer_path = "layers";
    base.final_norm = Some(("final_norm", norm));
    base.pooler = None;
    let embeddings = &mut base.embeddings;
    (embeddings.words, embeddings.positions, embeddings.segments) = ("embeddings.tok_embeddings", None, None);
    embeddings.norm = Some(("embeddings.norm", norm));
    embeddings.dropout = config.rate_or("embedding_dropout", 0.0)?;
    let names = ["head.dense", "head.norm", "decoder", "decoder.bias", "decoder.bias"];
    let activation = config.activation("classifier_activation", "gelu")?;
    base.vocabulary = bert::vocabulary(config, &base, activation, names)?;
    if let Some((head, _)) = &mut base.vocabulary {
        if !config.flag_or("decoder_bias", true)? {
            head.bias = None;
        }
        if let Some(transform) = &mut head.transform {
            transform.style = maps.biased(config.flag_or("classifier_bias", false)?);
            transform.norm = Some(("head.norm", norm));
        }
    }
    let transform = base.vocabulary.and_then(|(head, _)| head.transform).map(|t| (t, false));
    for classes in [&mut base.sequence, &mut base.tokens].into_iter().flatten() {
        classes.transform = transform;
        classes.dropout = config.rate_or("classifier_dropout", 0.0)?;
    }
    let pooling = match config.text_or("classifier_pooling", "cls")? {
        "cls" => Pooling::First,
        "mean" => Pooling::Mean,
        _ => return Err(config.unsupported("classifier_pooling", "cls and mean")),
    };
    if let Some(classes) = &mut base.sequence {
        classes.pooling = Some(pooling);
    }
    Ok(base)
}
