//! An encoder of vectors of which some are hidden.

use crate::pre_norm::{Block, Sizes, check_heads};
use zoo_plugin::prelude::*;

/// An encoder of patches, of images or of anything else that comes as vectors, some of which are hidden.
///
/// A linear map makes a token of every patch; the token of a hidden patch is the mask token, one trained vector.
/// Learned positions are added, then come blocks with layer norms before attention and feed-forward, and one after the
/// last. A second linear map predicts the patches. That is SimMIM's model, and without hidden patches a vision
/// transformer without a class token.
///
/// With `gates`, each block has a number g in (0, 1), the sigmoid of a trained one: ln g is added to attention's
/// products with hidden patches, so that at 1 nothing changes and near 0 they are not attended to.
///
/// # Paper
/// Dosovitskiy et al.: An Image is Worth 16x16 Words, ICLR 2021; Xie et al.: SimMIM, CVPR 2022. Gates: Choi et al.:
/// Emerging Property of Masked Token for Effective Pre-training, ECCV 2024.
///
/// # Example
/// ```mlm
/// model encoder = transformer.patch_encoder(patch_size: 4, length: 16, layers: 3, hidden: 48, heads: 4)
/// ```
#[component(
    architecture,
    name = "transformer.patch_encoder",
    inputs(
        patches: "float[B, length, patch_size]" = "vectors",
        is_hidden: "bool[B, length]"? = "true for those that the model does not see; none, when absent",
    ),
    outputs(
        hidden: "float[B, length, hidden]" = "states of the last layer",
        pooled: "float[B, hidden]" = "their mean",
        predicted: "float[B, length, patch_size]" = "every patch as the model has it",
        tokens: "float[B, length, hidden]" = "what goes into the encoder, before positions are added",
        hidden_attention: "float[B]" = "share of its attention that a visible token pays to hidden ones in the first block: mean over heads and visible tokens, 0 where there are none",
        gates: "float[layers]" = "gates of the blocks, 1 where they have none",
    ),
    parameters,
    random,
    cost(
        flops = "B * length * (layers * (8 * hidden * hidden + 4 * length * hidden + 4 * hidden * feed_forward) + 4 * patch_size * hidden)",
        parameters = "layers * (4 * hidden * hidden + 9 * hidden + 2 * hidden * feed_forward + feed_forward) + (2 * patch_size + length + 4) * hidden + patch_size",
        activations = "B * length * (layers * (hidden * (10 + 2 * min(1, dropout * 1000)) + 2 * feed_forward + 4) + 4 * hidden + patch_size)",
        workspace = "B * length * (6 * hidden + 2 * feed_forward + heads * length)",
    ),
)]
pub struct PatchEncoder {
    /// Numbers of a patch.
    #[param(range = ">= 1")]
    pub patch_size: usize,
    /// Patches of an example.
    #[param(range = ">= 1")]
    pub length: usize,
    /// Number of layers.
    #[param(default = 12, range = ">= 1")]
    pub layers: usize,
    /// Size of the hidden states.
    #[param(default = 768, range = ">= 1")]
    pub hidden: usize,
    /// Attention heads; must divide `hidden`.
    #[param(default = 12, range = ">= 1")]
    pub heads: usize,
    /// Inner size of the feed-forward blocks.
    #[param(default_formula = "4 * hidden", range = ">= 1")]
    pub feed_forward: usize,
    /// Whether blocks have gates.
    #[param(default = false)]
    pub gates: bool,
    /// Dropout of what attention and feed-forward blocks add.
    #[param(default = 0.0, range = "[0%, 100%)", kind = "fraction")]
    pub dropout: f64,
    /// Standard deviation of the normal that weights, positions and the mask token start from.
    #[param(default = 0.02, range = ">= 0")]
    pub initial_deviation: f64,
}

/// The parameters of a patch encoder.
#[derive(Debug)]
pub struct Patched {
    embed: Linear,
    mask_token: Tensor,
    positions: Tensor,
    layers: Vec<Block>,
    gates: Option<Tensor>,
    norm: LayerNorm,
    predict: Linear,
}

/// What is added to attention's products with keys: the logarithm of the gate, from 0 to 1, for hidden ones, and 0 for
/// visible ones; `is_hidden` is `bool[B, T]`, the bias `float[B, 1, 1, T]`.
///
/// # Errors
/// libtorch's.
fn gate_bias(gate: &Tensor, is_hidden: &Tensor) -> Result<Tensor> {
    let closed = gate.f_log()?.f_expand(is_hidden.size(), false)?;
    let bias = closed.f_where_self(is_hidden, &closed.f_zeros_like()?)?;
    Ok(bias.f_unsqueeze(1)?.f_unsqueeze(1)?)
}

/// The mean over heads and visible tokens of what they attend to hidden ones, float[B]; `shares` is
/// `float[B, heads, T, T]`.
fn hidden_attention(shares: &Tensor, is_hidden: &Tensor) -> Result<Tensor> {
    let kind = shares.kind();
    let hidden = is_hidden.f_to_kind(kind)?;
    let visible = hidden.f_neg()?.f_add_scalar(1.0)?;
    let of_queries = shares.f_mean_dim([1_i64].as_slice(), false, kind)?;
    let paid = of_queries.f_matmul(&hidden.f_unsqueeze(-1)?)?.f_squeeze_dim(-1)?;
    let sum = |x: &Tensor| x.f_sum_dim_intlist([1_i64].as_slice(), false, kind);
    Ok(sum(&paid.f_mul(&visible)?)?.f_div(&sum(&visible)?.f_clamp_min(1.0)?)?)
}

impl Component for PatchEncoder {
    type State = Patched;

    fn build(&self, cx: &mut Build<'_>) -> Result<Patched> {
        check_heads(self.hidden, self.heads, false)?;
        let sizes = Sizes {
            hidden: self.hidden as i64,
            heads: self.heads as i64,
            feed_forward: self.feed_forward as i64,
            epsilon: 1e-6,
            dropout: self.dropout,
            relu: false,
            rotary: None,
        };
        let init = Init::Normal { mean: 0.0, std: self.initial_deviation };
        let (size, length) = (self.patch_size as i64, self.length as i64);
        let gates =
            if self.gates { Some(cx.parameter("gates", &[self.layers as i64], Init::Zeros)?) } else { None };
        Ok(Patched {
            embed: Linear::new(cx, "embeddings.projection", size, sizes.hidden, true, init)?,
            mask_token: cx.parameter("embeddings.mask_token", &[1, 1, sizes.hidden], init)?,
            positions: cx.parameter("embeddings.positions", &[1, length, sizes.hidden], init)?,
            layers: (0..self.layers)
                .map(|i| Block::new(cx, &format!("layers.{i}"), sizes, init))
                .collect::<Result<_>>()?,
            gates,
            norm: LayerNorm::new(cx, "norm", sizes.hidden, sizes.epsilon)?,
            predict: Linear::new(cx, "prediction", sizes.hidden, size, true, init)?,
        })
    }

    fn call(
        &self,
        model: &Patched,
        x: PatchEncoderInputs<'_>,
        cx: &mut Call<'_>,
    ) -> Result<PatchEncoderOutputs> {
        let seen = model.embed.forward(x.patches)?;
        let tokens = match x.is_hidden {
            Some(hidden) => model
                .mask_token
                .f_to_kind(seen.kind())?
                .f_expand_as(&seen)?
                .f_where_self(&hidden.f_unsqueeze(-1)?, &seen)?,
            None => seen,
        };
        let gates = model.gates.as_ref().map(Tensor::f_sigmoid).transpose()?;
        let bias = |layer: usize, kind: Kind| -> Result<Option<Tensor>> {
            let (Some(gates), Some(hidden)) = (&gates, x.is_hidden) else { return Ok(None) };
            Ok(Some(gate_bias(&gates.f_select(0, layer as i64)?, hidden)?.f_to_kind(kind)?))
        };
        let mut hidden = tokens.f_add(&model.positions)?;
        let attention = match (x.is_hidden, model.layers.first()) {
            (Some(is_hidden), Some(first)) if cx.wants("hidden_attention") => {
                let shares = first.shares(&hidden, bias(0, hidden.kind())?.as_ref())?;
                hidden_attention(&shares, is_hidden)?
            }
            _ => Tensor::f_zeros([x.patches.size3()?.0], (Kind::Float, x.patches.device()))?,
        };
        for (number, block) in model.layers.iter().enumerate() {
            // Queries in autocast are narrower than what they are made of.
            let bias = bias(number, hidden.kind())?;
            hidden = block.forward(&hidden, None, bias.as_ref(), false, None, cx)?;
        }
        let hidden = model.norm.forward(&hidden)?;
        let predicted = model.predict.forward(&hidden)?;
        let pooled = hidden.f_mean_dim([1_i64].as_slice(), false, hidden.kind())?;
        let gates = match gates {
            Some(gates) => gates,
            None => Tensor::f_ones([self.layers as i64], (Kind::Float, hidden.device()))?,
        };
        Ok(PatchEncoderOutputs { hidden, pooled, predicted, tokens, hidden_attention: attention, gates })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four equal products of which two are with hidden tokens.
    #[test]
    fn gates_close() {
        let is_hidden = Tensor::from_slice2(&[[false, false, true, true]]);
        let at = |gate: f64| {
            let bias = gate_bias(&Tensor::from(gate), &is_hidden).unwrap();
            let shares =
                (Tensor::zeros([1, 1, 1, 4], (Kind::Double, Device::Cpu)) + bias).softmax(-1, Kind::Double);
            Vec::<f64>::try_from(shares.reshape([-1])).unwrap()
        };
        for (gate, visible, masked) in [(1.0, 0.25, 0.25), (0.5, 1.0 / 3.0, 1.0 / 6.0), (0.0, 0.5, 0.0)] {
            let shares = at(gate);
            for (share, expected) in shares.iter().zip([visible, visible, masked, masked]) {
                assert!((share - expected).abs() < 1e-12, "{gate}: {shares:?}");
            }
        }
    }

    #[test]
    fn attention_to_masked_tokens_is_that_of_visible_ones() {
        let shares = Tensor::from_slice(&[0.5, 0.2, 0.3, 0.1, 0.6, 0.3, 0.0, 0.0, 1.0]).view([1, 1, 3, 3]);
        let of = |hidden: [bool; 3]| {
            hidden_attention(&shares, &Tensor::from_slice(&hidden).view([1, 3])).unwrap().double_value(&[0])
        };
        assert!((of([false, false, true]) - 0.3).abs() < 1e-12);
        assert!((of([false, true, true]) - 0.5).abs() < 1e-12);
        assert_eq!([of([false; 3]), of([true; 3])], [0.0, 0.0]);
    }
}
