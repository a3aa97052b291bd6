//! LLaVA (Liu et al., 2023): a vision tower whose patches are tokens of a causal language model.

use super::style;
use crate::config::Config;
use crate::vision_language::{FeatureLayers, VisionLanguageSpecification};
use zoo_plugin::{Error, Result};

/// What transformers takes where a part of `config.json` does not say it, as older checkpoints have it.
const DEFAULTS: &[(&str, &[(&str, i64)])] = &[
    (
        "llama",
        &[
            ("vocab_size", 32_000),
            ("hidden_size", 4096),
            ("intermediate_size", 11_008),
            ("num_hidden_layers", 32),
            ("num_attention_heads", 32),
        ],
    ),
    (
        "mistral",
        &[
            ("vocab_size", 32_000),
            ("hidden_size", 4096),
            ("intermediate_size", 14_336),
            ("num_hidden_layers", 32),
            ("num_attention_heads", 32),
            ("num_key_value_heads", 8),
        ],
    ),
    (
        "qwen2",
        &[
            ("vocab_size", 151_936),
            ("hidden_size", 4096),
            ("intermediate_size", 22_016),
            ("num_hidden_layers", 32),
            ("num_attention_heads", 32),
            ("num_key_value_heads", 32),
        ],
    ),
    (
        "clip_vision_model",
        &[
            ("hidden_size", 768),
            ("intermediate_size", 3072),
            ("num_hidden_layers", 12),
            ("num_attention_heads", 12),
            ("image_size", 224),
            ("patch_size", 32),
        ],
    ),
    (
        "siglip_vision_model",
        &[
            ("hidden_size", 768),
            ("intermediate_size", 3072),
            ("num_hidden_layers", 12),
            ("num_attention_heads", 12),
            ("image_size", 224),
            ("patch_size", 16),
        ],
    ),
];

/// A part with what it does not say; `families` are those that may stand there, the usual one first.
fn part(config: &Config, key: &str, families: &[&str]) -> Result<Config> {
    let inner = config
        .part(key)?
        .ok_or_else(|| Error::new(format!("config.json has no `{key}`")).at("config"))?
        .with_default("model_type", *families.first().unwrap_or(&""));
    let family = inner.family()?.to_owned();
    if !families.contains(&family.as_str()) {
        return Err(Error::new(format!(
            "`model_type` in `{key}` of config.json is {family}, which is not supported"
        ))
        .help(format!("supported are {}", families.join(", ")))
        .at("config"));
    }
    let defaults = DEFAULTS.iter().filter(|(name, _)| *name == family).flat_map(|(_, values)| *values);
    Ok(defaults.fold(inner, |inner, (key, value)| inner.with_default(key, *value)))
}

pub(super) fn read(config: &Config) -> Result<VisionLanguageSpecification> {
    let vision = part(config, "vision_config", &["clip_vision_model", "siglip_vision_model"])?;
    let text = part(config, "text_config", &["llama", "mistral", "qwen2", "qwen3"])?;
    let tied = config.flag_or("tie_word_embeddings", false)? || text.flag_or("tie_word_embeddings", false)?;
    let vision = super::vision(&vision)?;
    let mut text = super::text(&text.with("tie_word_embeddings", tied))?;
    if let Some((head, _)) = &mut text.vocabulary {
        head.untied = (!tied).then_some("language_model.lm_head");
    }
    let count = vision.layers.len() as i64;
    let layer = |given: i64| {
        let found = if given < 0 { given + count + 1 } else { given };
        if (0..=count).contains(&found) {
            return Ok(found as usize);
        }
        Err(config.unsupported("vision_feature_layer", &format!("layers from {} to {count}", -count - 1)))
    };
    let layers = match config.list("vision_feature_layer")? {
        Some(list) if list.is_empty() => {
            return Err(config.unsupported("vision_feature_layer", "at least one layer"));
        }
        Some(list) => list.into_iter().map(layer).collect::<Result<_>>()?,
        None => vec![layer(config.whole_or("vision_feature_layer", -2)?)?],
    };
    let token = match config.get("image_token_id") {
        Some(_) => config.whole_or("image_token_id", 0)?,
        None => config.whole_or("image_token_index", 32_000)?,
    };
    let features = FeatureLayers {
        layers,
        without_first: match config.text_or("vision_feature_select_strategy", "default")? {
            "default" => true,
            "full" => false,
            _ => return Err(config.unsupported("vision_feature_select_strategy", "default and full")),
        },
    };
    let maps = style(config)?.biased(config.flag_or("multimodal_projector_bias", true)?);
    Ok(VisionLanguageSpecification {
        vision,
        text,
        features,
        activation: config.activation("projector_hidden_act", "gelu")?,
        style: maps,
        token,
    })
}
