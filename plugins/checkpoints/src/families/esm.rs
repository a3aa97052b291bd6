//! ESM-2 (Lin et al., 2023), a model of proteins.

use super::bert;
use crate::blocks::activation::Activation;
use crate::blocks::embeddings::TokenDropout;
use crate::blocks::layer::Placement;
use crate::blocks::rotary::RotarySpecification;
use crate::config::Config;
use crate::specification::Specification;
use zoo_plugin::Result;

pub(super) fn read(config: &Config) -> Result<Specification> {
    let mut base = bert::base(config, "esm", "esm.")?;
    let norm = bert::norm(config)?;
    let padding = config.whole_or("pad_token_id", 1)?;
    match config.text_or("position_embedding_type", "absolute")? {
        "rotary" => {
            let head = base.layers.first().map_or(2, |layer| layer.attention.head);
            base.rotary = vec![RotarySpecification::read(config, head, 10000.0, None)?.of_whole_heads(head)?];
            base.each_attention(|attention| attention.rotary = Some(0));
            base.embeddings.positions = None;
        }
        "absolute" => {
            if let Some(positions) = &mut base.embeddings.positions {
                positions.after_padding = Some(padding);
            }
        }
        _ => return Err(config.unsupported("position_embedding_type", "absolute and rotary")),
    }
    base.embeddings.padding = Some(padding);
    base.embeddings.segments = None;
    let before = config.flag_or("emb_layer_norm_before", false)?;
    base.embeddings.norm = before.then_some(("embeddings.layer_norm", norm));
    base.embeddings.zero_padding = true;
    base.embeddings.dropout = 0.0;
    if config.flag_or("token_dropout", false)? {
        let mask = config.whole_or("mask_token_id", 32)?;
        // 15% of tokens are chosen in the pretraining, and 80% of these are masked.
        base.embeddings.token_dropout = Some(TokenDropout { mask, share: 0.15 * 0.8 });
    }
    for layer in &mut base.layers {
        layer.placement =
            Placement::Before { attention: Some("attention.LayerNorm"), feed_forward: "LayerNorm" };
        layer.feed_forward.activation = Activation::Gelu;
    }
    base.final_norm = Some(("encoder.emb_layer_norm_after", norm));
    base.vocabulary = bert::vocabulary(config, &base, Activation::Gelu, bert::ROBERTA_NAMES)?;
    if let Some((head, _)) = &mut base.vocabulary {
        // The map to the vocabulary has no bias of its own.
        head.bias = Some("lm_head.bias");
    }
    let dropout = config.rate_or("hidden_dropout_prob", 0.1)?;
    for classes in [&mut base.sequence, &mut base.tokens].into_iter().flatten() {
        classes.dropout = dropout;
    }
    bert::own_classes(&mut base, Activation::Tanh);
    Ok(base)
}
