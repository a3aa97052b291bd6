//! Phi 1, 1.5 and 2 (Gunasekar et al., 2023).

use super::{llama, style};
use crate::blocks::attention::HeadNorms;
use crate::blocks::feed_forward::FeedForwardKind;
use crate::blocks::layer::Placement;
use crate::blocks::norm::{NormKind, NormSpecification};
use crate::config::Config;
use crate::specification::Specification;
use zoo_plugin::Result;

pub(super) fn read(config: &Config) -> Result<Specification> {
    let mut base = llama::base(&config.with_default("partial_rotary_factor", 0.5), "phi")?;
    llama::all_full(config, &base)?;
    let maps = style(config)?;
    let norm = NormSpecification {
        kind: NormKind::Layer { bias: true },
        epsilon: config.real_or("layer_norm_eps", 1e-5)?,
    };
    let normed = config.flag_or("qk_layernorm", false)?;
    let dropout = config.rate_or("resid_pdrop", 0.0)?;
    let activation = config.activation("hidden_act", "gelu_new")?;
    for layer in &mut base.layers {
        layer.norm = norm;
        layer.placement = Placement::Parallel { norm: "input_layernorm" };
        (layer.dropout, layer.attention_output_dropout) = (dropout, dropout);
        layer.attention.output = "self_attn.dense";
        (layer.attention.style, layer.attention.inputs_bias) = (maps, true);
        let (query, key) = ("self_attn.q_layernorm", "self_attn.k_layernorm");
        layer.attention.head_norms = normed.then_some(HeadNorms { query, key, norm });
        layer.feed_forward.kind = FeedForwardKind::Plain { inner: "mlp.fc1" };
        (layer.feed_forward.outer, layer.feed_forward.style) = ("mlp.fc2", maps);
        layer.feed_forward.activation = activation;
    }
    base.final_norm = Some(("final_layernorm", norm));
    base.embeddings.dropout = config.rate_or("embd_pdrop", 0.0)?;
    if let Some((head, _)) = &mut base.vocabulary {
        head.bias = Some("lm_head.bias");
    }
    Ok(base)
}
