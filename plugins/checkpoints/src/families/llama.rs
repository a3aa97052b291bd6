//! Llama (Touvron et al., 2023) and those that keep its layers: Mistral (Jiang et al., 2023), Qwen 2
//! (Yang et al., 2024), Qwen 3 (Yang et al., 2025), Gemma 2 (Gemma team, 2024).

use super::{head_size, layer_kinds, style};
use crate::blocks::attention::{AttentionSpecification, HeadNorms, Inputs};
use crate::blocks::embeddings::EmbeddingsSpecification;
use crate::blocks::feed_forward::{FeedForwardKind, FeedForwardSpecification};
use crate::blocks::heads::{ClassesSpecification, Pooling, VocabularySpecification};
use crate::blocks::layer::{LayerSpecification, Placement};
use crate::blocks::mask::Reach;
use crate::blocks::norm::{NormKind, NormSpecification};
use crate::blocks::rotary::RotarySpecification;
use crate::config::Config;
use crate::specification::{Direction, Specification};
use zoo_plugin::{Error, Result};

/// The layers of Llama, and the heads whose names its relatives keep.
pub(super) fn base(config: &Config, family: &'static str) -> Result<Specification> {
    let hidden = config.size("hidden_size")?;
    let heads = config.size("num_attention_heads")?;
    let key_heads = config.size_or("num_key_value_heads", heads)?;
    let head = match config.get("head_dim") {
        Some(_) => config.size("head_dim")?,
        None => head_size(hidden, heads)?,
    };
    let maps = style(config)?;
    let kind = NormKind::RootMeanSquare { plus_one: false };
    let norm = NormSpecification { kind, epsilon: config.real_or("rms_norm_eps", 1e-6)? };
    let attention_bias = config.flag_or("attention_bias", false)?;
    let layer = LayerSpecification {
        attention: AttentionSpecification {
            hidden,
            heads,
            key_heads,
            head,
            inputs: Inputs::Separate {
                query: "self_attn.q_proj",
                key: "self_attn.k_proj",
                value: "self_attn.v_proj",
            },
            inputs_bias: attention_bias,
            key_bias: true,
            output: "self_attn.o_proj",
            style: maps.biased(attention_bias),
            head_norms: None,
            scale: (head as f64).powf(-0.5),
            soft_cap: None,
            rotary: Some(0),
            rotary_inputs: false,
            relative: None,
            reach: Reach { causal: config.flag_or("is_causal", true)?, window: None },
            disentangled: None,
            dropout: config.rate_or("attention_dropout", 0.0)?,
        },
        cross: None,
        scales: None,
        drop_path: 0.0,
        feed_forward: FeedForwardSpecification {
            kind: FeedForwardKind::Gated { gate: "mlp.gate_proj", up: "mlp.up_proj" },
            outer: "mlp.down_proj",
            hidden,
            inner: config.size("intermediate_size")?,
            activation: config.activation("hidden_act", "silu")?,
            style: maps.biased(config.flag_or("mlp_bias", false)?),
            dropout: 0.0,
        },
        placement: Placement::Before {
            attention: Some("input_layernorm"),
            feed_forward: "post_attention_layernorm",
        },
        norm,
        attention_output_dropout: 0.0,
        dropout: 0.0,
    };
    let classes = ClassesSpecification {
        pooling: Some(Pooling::Last),
        first_dropout: 0.0,
        transform: None,
        dropout: 0.0,
        classifier: "score",
        style: maps.biased(false),
        classes: config.classes()?,
    };
    // As transformers has it for classes of tokens.
    let token_dropout = config.rate_or("classifier_dropout", config.rate_or("hidden_dropout", 0.1)?)?;
    let tied = config.flag_or("tie_word_embeddings", false)?;
    let head_over_words = VocabularySpecification {
        transform: None,
        untied: (!tied).then_some("lm_head"),
        bias: None,
        fixed_bias: None,
        scale: 1.0,
        soft_cap: None,
    };
    let rotary = RotarySpecification::read(config, head, 10_000.0, None)?;
    let rotary = if family == "phi" { rotary } else { rotary.of_whole_heads(head)? };
    Ok(Specification {
        family,
        hidden,
        prefix: "model.",
        embeddings: EmbeddingsSpecification {
            words: "embed_tokens",
            vocabulary: config.size("vocab_size")?,
            padding: config.get("pad_token_id").map(|_| config.whole_or("pad_token_id", 0)).transpose()?,
            size: hidden,
            positions: None,
            segments: None,
            norm: None,
            projection: None,
            scale: 1.0,
            token_dropout: None,
            zero_padding: false,
            dropout: 0.0,
            deviation: maps.deviation,
        },
        layer_path: "layers",
        layers: vec![layer; config.layers("num_hidden_layers")? as usize],
        final_norm: Some(("norm", norm)),
        rotary: vec![rotary],
        relations: None,
        buckets: None,
        convolution: None,
        padding_is_blind: false,
        final_dropout: 0.0,
        sites: "",
        deviation: maps.deviation,
        vocabulary: Some((head_over_words, Direction::Causal)),
        replaced: None,
        pooler: None,
        sequence: Some(classes),
        tokens: Some(ClassesSpecification { pooling: None, style: maps, dropout: token_dropout, ..classes }),
    })
}

/// Windows of the layers that have one: by `layer_types`, or else by `otherwise`.
fn windows(base: &mut Specification, config: &Config, otherwise: impl Fn(usize) -> bool) -> Result<()> {
    let Some(window) = config.get("sliding_window").map(|_| config.size("sliding_window")).transpose()?
    else {
        return Ok(());
    };
    let kinds = layer_kinds(config, base.layers.len())?;
    for (i, layer) in base.layers.iter_mut().enumerate() {
        let slides = match &kinds {
            Some(kinds) => kinds.get(i) == Some(&"sliding_attention"),
            None => otherwise(i),
        };
        layer.attention.reach.window = slides.then_some(window);
        if slides && !layer.attention.reach.causal {
            return Err(config.unsupported("is_causal", "true with `sliding_window`"));
        }
    }
    Ok(())
}

pub(super) fn llama(config: &Config) -> Result<Specification> {
    let base = base(config, "llama")?;
    all_full(config, &base)?;
    Ok(base)
}

/// Refuses layers of several kinds in a family that has one.
pub(super) fn all_full(config: &Config, base: &Specification) -> Result<()> {
    match layer_kinds(config, base.layers.len())? {
        Some(kinds) if kinds.iter().any(|kind| *kind != "full_attention") => {
            Err(config.unsupported("layer_types", "full_attention in every layer"))
        }
        _ => Ok(()),
    }
}

pub(super) fn mistral(config: &Config) -> Result<Specification> {
    let config = &config.with_absent("sliding_window", 4096).with_absent("num_key_value_heads", 8);
    let mut base = base(config, "mistral")?;
    let only = if config.get("sliding_window").is_some() { "sliding_attention" } else { "full_attention" };
    if layer_kinds(config, base.layers.len())?.is_some_and(|kinds| kinds.iter().any(|kind| *kind != only)) {
        return Err(config.unsupported("layer_types", &format!("{only} in every layer")));
    }
    windows(&mut base, config, |_| true)?;
    Ok(base)
}

fn qwen(config: &Config, family: &'static str) -> Result<Specification> {
    let config = &config.with_absent("sliding_window", 4096).with_absent("num_key_value_heads", 32);
    let mut base = base(config, family)?;
    let slides = config.flag_or("use_sliding_window", false)?;
    if !slides {
        all_full(config, &base).map_err(|e| e.help("other kinds need `use_sliding_window`"))?;
    }
    if slides {
        let first = config.whole_or("max_window_layers", 28)?;
        windows(&mut base, config, |i| i as i64 >= first)?;
    }
    Ok(base)
}

pub(super) fn qwen2(config: &Config) -> Result<Specification> {
    let mut base = qwen(config, "qwen2")?;
    base.each_attention(|attention| {
        attention.inputs_bias = true;
        attention.style.bias = false;
    });
    Ok(base)
}

pub(super) fn qwen3(config: &Config) -> Result<Specification> {
    let mut base = qwen(&config.with_absent("head_dim", 128), "qwen3")?;
    if let Some(norm) = base.layers.first().map(|layer| layer.norm) {
        base.each_attention(|attention| {
            let (query, key) = ("self_attn.q_norm", "self_attn.k_norm");
            attention.head_norms = Some(HeadNorms { query, key, norm });
        });
    }
    Ok(base)
}

pub(super) fn gemma2(config: &Config) -> Result<Specification> {
    let config = &config
        .with_absent("num_key_value_heads", 4)
        .with_absent("head_dim", 256)
        .with_absent("sliding_window", 4096)
        .with_absent("attn_logit_softcapping", 50.0)
        .with_absent("final_logit_softcapping", 30.0)
        .with_absent("pad_token_id", 0);
    let mut base = base(config, "gemma2")?;
    windows(&mut base, config, |i| i % 2 == 0)?;
    let kind = NormKind::RootMeanSquare { plus_one: true };
    let scale = config.real_or("query_pre_attn_scalar", 256.0)?;
    if scale <= 0.0 {
        return Err(Error::new("`query_pre_attn_scalar` of config.json must be positive").at("config"));
    }
    let cap = config.real("attn_logit_softcapping")?.filter(|cap| *cap > 0.0);
    let activation = config.activation("hidden_activation", "gelu_pytorch_tanh")?;
    for layer in &mut base.layers {
        layer.norm.kind = kind;
        layer.placement = Placement::Around {
            attention: ["input_layernorm", "post_attention_layernorm"],
            feed_forward: ["pre_feedforward_layernorm", "post_feedforward_layernorm"],
        };
        layer.feed_forward.activation = activation;
        layer.attention.scale = scale.powf(-0.5);
        layer.attention.soft_cap = cap;
    }
    if let Some((_, norm)) = &mut base.final_norm {
        norm.kind = kind;
    }
    base.embeddings.scale = (base.hidden as f64).sqrt();
    let tied = config.flag_or("tie_word_embeddings", true)?;
    if let Some((head, _)) = &mut base.vocabulary {
        head.untied = (!tied).then_some("lm_head");
        head.soft_cap = config.real("final_logit_softcapping")?.filter(|cap| *cap > 0.0);
    }
    Ok(base)
}
