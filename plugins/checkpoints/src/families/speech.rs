//! Speech families: wav2vec 2.0 with conformer layers (Wang et al., 2020), which reads samples, and
//! w2v-BERT 2.0 (Seamless Communication, 2023), which reads filter banks.

use super::{head_size, style};
use crate::blocks::activation::Activation;
use crate::blocks::attention::{AttentionSpecification, Inputs};
use crate::blocks::conformer::{ConformerSpecification, GatedConvolutionSpecification, Normalisation};
use crate::blocks::feed_forward::{FeedForwardKind, FeedForwardSpecification};
use crate::blocks::norm::{NormKind, NormSpecification};
use crate::blocks::relative::RelativeSpecification;
use crate::blocks::rotary::{RotarySpecification, Scaling};
use crate::blocks::shortening::ShorteningSpecification;
use crate::blocks::waveform::{WaveformLayer, WaveformNorm, WaveformSpecification};
use crate::config::Config;
use crate::speech::{SpeechSpecification, UnusedConvolution};
use zoo_plugin::{Error, Result};

const ATTENTION: Inputs = Inputs::Separate { query: "linear_q", key: "linear_k", value: "linear_v" };

/// What the families leave open.
struct Own {
    family: &'static str,
    prefix: &'static str,
    activation: &'static str,
    /// Defaults of dropout rates.
    dropout: f64,
    positions: &'static str,
    /// Norms inside layers.
    inner_norm: NormSpecification,
    normalisation: Normalisation,
    causal: bool,
}

fn layer_norm(epsilon: f64) -> NormSpecification {
    NormSpecification { kind: NormKind::Layer { bias: true }, epsilon }
}

fn feed_forward(
    config: &Config,
    [inner, outer]: [&'static str; 2],
    hidden: i64,
    activation: Activation,
    dropout: f64,
) -> Result<FeedForwardSpecification> {
    Ok(FeedForwardSpecification {
        kind: FeedForwardKind::Plain { inner },
        outer,
        hidden,
        inner: config.size("intermediate_size")?,
        activation,
        style: style(config)?,
        dropout: config.rate_or("activation_dropout", dropout)?,
    })
}

fn base(config: &Config, own: &Own) -> Result<SpeechSpecification> {
    let hidden = config.size("hidden_size")?;
    let heads = config.size("num_attention_heads")?;
    let head = head_size(hidden, heads)?;
    let style = style(config)?;
    let rate = |key: &str| config.rate_or(key, own.dropout);
    let attention_dropout = rate("attention_dropout")?;
    let mut attention = AttentionSpecification::plain(
        (hidden, heads, head),
        ATTENTION,
        "linear_out",
        style,
        attention_dropout,
    );
    let mut rotary = Vec::new();
    let key = "position_embeddings_type";
    let kind = if config.has(key) { config.text_or(key, "")? } else { own.positions };
    match (kind, own.family) {
        ("", _) => {}
        ("rotary", _) => {
            (attention.rotary, attention.rotary_inputs) = (Some(0), true);
            if head % 2 != 0 {
                return Err(Error::new(format!("heads of size {head} cannot be rotated")).at("config"));
            }
            rotary.push(RotarySpecification {
                dimensions: head,
                base: config.real_or("rotary_embedding_base", 10_000.0)?,
                maximum: config.size_or("max_source_positions", 5000)?,
                scaling: Scaling::None,
                attention_factor: 1.0,
            });
        }
        ("relative", _) => {
            let (contents, positions) = ("pos_bias_u", "pos_bias_v");
            attention.relative =
                Some(RelativeSpecification::Waves { map: "linear_pos", contents, positions });
        }
        ("relative_key", "wav2vec2-bert") => {
            attention.relative = Some(RelativeSpecification::Vectors {
                name: "distance_embedding",
                left: config.size_or("left_max_position_embeddings", 64)?,
                right: config.size_or("right_max_position_embeddings", 8)?,
            });
        }
        ("relative_key", _) => return Err(config.unsupported(key, "relative, rotary and null")),
        _ => return Err(config.unsupported(key, "relative, relative_key, rotary and null")),
    }
    let activation = config.activation("hidden_act", own.activation)?;
    let block = |names| feed_forward(config, names, hidden, activation, own.dropout);
    let layer = ConformerSpecification {
        first: block(["ffn1.intermediate_dense", "ffn1.output_dense"])?,
        attention,
        convolution: GatedConvolutionSpecification {
            width: config.size_or("conv_depthwise_kernel_size", 31)?,
            causal: own.causal,
            hides_padding: own.causal,
            norm: own.inner_norm,
            normalisation: own.normalisation,
            activation,
            dropout: config.rate_or("conformer_conv_dropout", 0.1)?,
        },
        last: block(["ffn2.intermediate_dense", "ffn2.output_dense"])?,
        norm: own.inner_norm,
        attention_output_dropout: attention_dropout,
        dropout: rate("hidden_dropout")?,
    };
    let mask =
        config.rate_or("mask_time_prob", 0.05)? > 0.0 || config.rate_or("mask_feature_prob", 0.0)? > 0.0;
    let letters = config.get("vocab_size").map(|_| config.size("vocab_size")).transpose()?;
    Ok(SpeechSpecification {
        family: own.family,
        prefix: own.prefix,
        hidden,
        waveform: None,
        features: 0,
        norm: layer_norm(config.real_or("layer_norm_eps", 1e-5)?),
        features_dropout: config.rate_or("feat_proj_dropout", 0.0)?,
        dropout: rate("hidden_dropout")?,
        mask: (mask, config.flag_or("apply_spec_augment", true)?),
        layers: vec![layer; config.layers("num_hidden_layers")? as usize],
        layer_drop: config.rate_or("layerdrop", 0.1)?,
        rotary,
        final_norm: false,
        unused: None,
        intermediate: None,
        shortening: None,
        letters,
        final_dropout: config.rate_or("final_dropout", 0.1)?,
        style,
    })
}

/// What makes frames fewer, where config.json asks for it, but for what stands after its convolutions.
fn shortening(
    config: &Config,
    norm: NormSpecification,
    layers: i64,
    padding: impl Fn(i64, i64) -> i64,
) -> Result<Option<ShorteningSpecification>> {
    if !config.flag_or("add_adapter", false)? {
        return Ok(None);
    }
    let hidden = config.size("hidden_size")?;
    let (width, step) = (config.size_or("adapter_kernel_size", 3)?, config.size_or("adapter_stride", 2)?);
    Ok(Some(ShorteningSpecification {
        hidden,
        size: config.size_or("output_hidden_size", hidden)?,
        norm,
        layers: match config.get("num_adapter_layers") {
            Some(_) => config.layers("num_adapter_layers")?,
            None => layers,
        },
        width,
        step,
        padding: padding(width, step),
        attention: None,
        attention_dropout: config.rate_or("conformer_conv_dropout", 0.1)?,
        dropout: config.rate_or("hidden_dropout", 0.0)?,
        layer_drop: config.rate_or("layerdrop", 0.1)?,
        style: style(config)?,
    }))
}

pub(super) fn conformer(config: &Config) -> Result<SpeechSpecification> {
    let inner = layer_norm(1e-5);
    let mut base = base(
        config,
        &Own {
            family: "wav2vec2-conformer",
            prefix: "wav2vec2_conformer.",
            activation: "gelu",
            dropout: 0.1,
            positions: "relative",
            inner_norm: inner,
            normalisation: Normalisation::Batch,
            causal: false,
        },
    )?;
    let sizes = config.sizes_or("conv_dim", &[512; 7])?;
    let steps = config.sizes_or("conv_stride", &[5, 2, 2, 2, 2, 2, 2])?;
    let widths = config.sizes_or("conv_kernel", &[10, 3, 3, 3, 3, 2, 2])?;
    if sizes.is_empty() || steps.len() != sizes.len() || widths.len() != sizes.len() {
        let text =
            "`conv_dim`, `conv_stride` and `conv_kernel` of config.json must be equally many, at least one";
        return Err(Error::new(text).at("config"));
    }
    base.features = sizes.last().copied().unwrap_or(1);
    let layers = sizes.into_iter().zip(widths).zip(steps);
    base.waveform = Some(WaveformSpecification {
        layers: layers.map(|((size, width), step)| WaveformLayer { size, width, step }).collect(),
        bias: config.flag_or("conv_bias", false)?,
        norm: match config.text_or("feat_extract_norm", "group")? {
            "group" => WaveformNorm::Group,
            "layer" => WaveformNorm::Layer,
            _ => return Err(config.unsupported("feat_extract_norm", "group and layer")),
        },
        activation: config.activation("feat_extract_activation", "gelu")?,
    });
    base.final_norm = true;
    let groups = config.size_or("num_conv_pos_embedding_groups", 16)?;
    if base.hidden % groups != 0 {
        return Err(config.unsupported("num_conv_pos_embedding_groups", "a divisor of `hidden_size`"));
    }
    base.unused = Some(UnusedConvolution {
        name: "encoder.pos_conv_embed.conv",
        width: config.size_or("num_conv_pos_embeddings", 128)?,
        groups,
    });
    base.shortening = shortening(config, inner, 3, |_, _| 1)?;
    if base.shortening.is_some_and(|s| s.width != 3) {
        // transformers counts frames as if the convolutions spanned one, which is right for three alone.
        return Err(config.unsupported("adapter_kernel_size", "3"));
    }
    Ok(base)
}

pub(super) fn w2v_bert(config: &Config) -> Result<SpeechSpecification> {
    let norm = layer_norm(config.real_or("layer_norm_eps", 1e-5)?);
    let mut base = base(
        config,
        &Own {
            family: "wav2vec2-bert",
            prefix: "wav2vec2_bert.",
            activation: "swish",
            dropout: 0.0,
            positions: "relative_key",
            inner_norm: norm,
            normalisation: Normalisation::Layer(norm),
            causal: true,
        },
    )?;
    base.features = config.size_or("feature_projection_input_dim", 160)?;
    let names = ["intermediate_dense", "output_dense"];
    if config.flag_or("use_intermediate_ffn_before_adapter", false)? {
        if !config.flag_or("add_adapter", false)? {
            return Err(
                config.unsupported("use_intermediate_ffn_before_adapter", "false without `add_adapter`")
            );
        }
        base.intermediate = Some(feed_forward(config, names, base.hidden, Activation::Relu, 0.0)?);
    }
    base.shortening = shortening(config, norm, 1, |_, step| step / 2)?;
    if let Some(s) = &mut base.shortening {
        if s.step / 2 != s.width / 2 {
            // transformers counts frames with the one and computes them with the other.
            return Err(
                config.unsupported("adapter_stride", "one that has as many halves as `adapter_kernel_size`")
            );
        }
        let heads = config.size("num_attention_heads")?;
        let sizes = (s.size, heads, head_size(s.size, heads)?);
        let dropout = config.rate_or("attention_dropout", 0.0)?;
        let attention = AttentionSpecification::plain(sizes, ATTENTION, "linear_out", s.style, dropout);
        let names = ["ffn.intermediate_dense", "ffn.output_dense"];
        let activation = config.activation("adapter_act", "relu")?;
        s.attention = Some((attention, feed_forward(config, names, s.size, activation, 0.0)?));
    }
    Ok(base)
}
