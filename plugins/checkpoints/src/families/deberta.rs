//! DeBERTa v2 and v3 (He et al., 2021).

use super::{bert, style};
use crate::blocks::attention::Inputs;
use crate::blocks::convolution::ConvolutionSpecification;
use crate::blocks::disentangled::{DisentangledSpecification, RelationsSpecification};
use crate::config::Config;
use crate::specification::Specification;
use zoo_plugin::Result;

pub(super) fn read(config: &Config) -> Result<Specification> {
    let mut base = bert::base(config, "deberta-v2", "deberta.")?;
    let mut norm = bert::norm(config)?;
    norm.epsilon = config.real_or("layer_norm_eps", 1e-7)?;
    let maps = style(config)?;
    for (key, only) in [
        ("attention_head_size", base.layers.first().map_or(1, |layer| layer.attention.head)),
        ("pooler_hidden_size", base.hidden),
    ] {
        if config.size_or(key, only)? != only {
            return Err(config.unsupported(key, &only.to_string()));
        }
    }
    // The family has no way to write.
    base.each_attention(|attention| attention.reach.causal = false);
    let longest = config.size("max_position_embeddings")?;
    let kinds = match config.get("pos_att_type").and_then(|v| v.as_str()) {
        Some(text) => text.split('|').map(|k| k.trim().to_lowercase()).collect(),
        None => config
            .texts("pos_att_type")?
            .unwrap_or_default()
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>(),
    };
    if kinds.iter().any(|kind| !["c2p", "p2c"].contains(&kind.as_str())) {
        return Err(config.unsupported("pos_att_type", "c2p and p2c"));
    }
    let has = |kind: &str| kinds.iter().any(|k| k == kind);
    let relative = config.flag_or("relative_attention", false)?;
    let scores = 1 + i64::from(has("c2p")) + i64::from(has("p2c"));
    let maximum = Some(config.whole_or("max_relative_positions", -1)?).filter(|m| *m >= 1).unwrap_or(longest);
    let buckets = config.whole_or("position_buckets", -1)?.max(0);
    let span = if buckets > 0 { buckets } else { maximum };
    for layer in &mut base.layers {
        layer.norm = norm;
        let attention = &mut layer.attention;
        attention.inputs = Inputs::Separate {
            query: "attention.self.query_proj",
            key: "attention.self.key_proj",
            value: "attention.self.value_proj",
        };
        attention.scale = ((attention.head * scores) as f64).powf(-0.5);
        if relative {
            attention.disentangled = Some(DisentangledSpecification {
                content_to_position: has("c2p"),
                position_to_content: has("p2c"),
                shared: config.flag_or("share_att_key", false)?,
                span,
                dropout: config.rate_or("hidden_dropout_prob", 0.1)?,
            });
        }
    }
    if relative {
        let normed = config.text_or("norm_rel_ebd", "none")?.to_lowercase();
        if normed.split('|').any(|part| !["none", "layer_norm"].contains(&part.trim())) {
            return Err(config.unsupported("norm_rel_ebd", "none and layer_norm"));
        }
        let normed = normed.split('|').any(|part| part.trim() == "layer_norm");
        let relations = RelationsSpecification {
            name: "rel_embeddings",
            span,
            buckets,
            maximum,
            norm: normed.then_some(("LayerNorm", norm)),
        };
        base.relations = Some(("encoder", relations));
    }
    let size = config.size_or("embedding_size", base.hidden)?;
    base.embeddings.size = size;
    base.embeddings.projection =
        (size != base.hidden).then_some(("embeddings.embed_proj", true, maps.biased(false)));
    base.embeddings.norm = Some(("embeddings.LayerNorm", norm));
    base.embeddings.zero_padding = true;
    let segments = config.whole_or("type_vocab_size", 0)?;
    base.embeddings.segments = (segments > 0).then_some(("embeddings.token_type_embeddings", segments));
    if !config.flag_or("position_biased_input", true)? {
        base.embeddings.positions = None;
    }
    let names = if config.flag_or("legacy", true)? {
        bert::BERT_NAMES
    } else {
        [
            "lm_predictions.lm_head.dense",
            "lm_predictions.lm_head.LayerNorm",
            "",
            "lm_predictions.lm_head.bias",
            "lm_predictions.lm_head.bias",
        ]
    };
    let activation = bert::base_activation(config)?;
    base.vocabulary = bert::vocabulary(config, &base, activation, names)?;
    if let Some((head, _)) = &mut base.vocabulary {
        if let Some((_, inner)) = head.transform.as_mut().and_then(|t| t.norm.as_mut()) {
            inner.epsilon = norm.epsilon;
        }
        if !config.flag_or("legacy", true)? {
            head.untied = None;
        }
    }
    base.pooler = None;
    base.padding_is_blind = true;
    if config.whole_or("conv_kernel_size", 0)? > 0 {
        let convolution = ConvolutionSpecification {
            width: config.size("conv_kernel_size")?,
            groups: config.size_or("conv_groups", 1)?,
            activation: config.activation("conv_act", "tanh")?,
            norm,
            dropout: config.rate_or("hidden_dropout_prob", 0.1)?,
            deviation: base.deviation,
        };
        base.convolution = Some(("encoder.conv", convolution));
    }
    let dropout = config.rate_or("cls_dropout", config.rate_or("hidden_dropout_prob", 0.1)?)?;
    if let Some(classes) = &mut base.sequence {
        classes.dropout = dropout;
        classes.first_dropout = config.rate_or("pooler_dropout", 0.0)?;
        if let Some((transform, inside)) = &mut classes.transform {
            transform.activation = config.activation("pooler_hidden_act", "gelu")?;
            *inside = false;
        }
    }
    if let Some(classes) = &mut base.tokens {
        classes.dropout = config.rate_or("hidden_dropout_prob", 0.1)?;
    }
    Ok(base)
}
