//! GPT-2 (Radford et al., 2019).

use super::{llama, style};
use crate::blocks::attention::Inputs;
use crate::blocks::embeddings::PositionTable;
use crate::blocks::feed_forward::FeedForwardKind;
use crate::blocks::layer::Placement;
use crate::blocks::norm::{NormKind, NormSpecification};
use crate::config::Config;
use crate::specification::Specification;
use zoo_plugin::Result;

pub(super) fn read(config: &Config) -> Result<Specification> {
    let hidden = config.size("n_embd")?;
    let positions = config.size_or("n_positions", 1024)?;
    // Under its own name, for the error.
    config.activation("activation_function", "gelu_new")?;
    let renamed = config
        .with("hidden_size", hidden)
        .with("num_attention_heads", config.size("n_head")?)
        .with("num_hidden_layers", config.layers("n_layer")?)
        .with("intermediate_size", config.size_or("n_inner", 4 * hidden)?)
        .with("hidden_act", config.text_or("activation_function", "gelu_new")?)
        .with_default("tie_word_embeddings", true);
    let mut base = llama::base(&renamed, "gpt2")?;
    llama::all_full(config, &base)?;
    let mut maps = style(config)?;
    maps.transposed = true;
    let norm = NormSpecification {
        kind: NormKind::Layer { bias: true },
        epsilon: config.real_or("layer_norm_epsilon", 1e-5)?,
    };
    let dropout = config.rate_or("resid_pdrop", 0.1)?;
    let scaled = config.flag_or("scale_attn_weights", true)?;
    let by_depth = config.flag_or("scale_attn_by_inverse_layer_idx", false)?;
    for (i, layer) in base.layers.iter_mut().enumerate() {
        layer.norm = norm;
        layer.placement = Placement::Before { attention: Some("ln_1"), feed_forward: "ln_2" };
        (layer.dropout, layer.attention_output_dropout) = (dropout, dropout);
        let attention = &mut layer.attention;
        (attention.inputs, attention.output) = (Inputs::Fused("attn.c_attn"), "attn.c_proj");
        (attention.style, attention.inputs_bias, attention.rotary) = (maps, true, None);
        attention.dropout = config.rate_or("attn_pdrop", 0.1)?;
        let depth = if by_depth { (i + 1) as f64 } else { 1.0 };
        attention.scale = if scaled { attention.scale } else { 1.0 } / depth;
        layer.feed_forward.kind = FeedForwardKind::Plain { inner: "mlp.c_fc" };
        (layer.feed_forward.outer, layer.feed_forward.style) = ("mlp.c_proj", maps);
    }
    (base.prefix, base.layer_path, base.rotary) = ("transformer.", "h", Vec::new());
    base.final_norm = Some(("ln_f", norm));
    base.embeddings.padding = None;
    base.embeddings.words = "wte";
    base.embeddings.positions =
        Some(PositionTable { name: "wpe", count: positions, after_padding: None, offset: 0 });
    base.embeddings.dropout = config.rate_or("embd_pdrop", 0.1)?;
    if let Some(classes) = &mut base.tokens {
        classes.classifier = "classifier";
    }
    Ok(base)
}
