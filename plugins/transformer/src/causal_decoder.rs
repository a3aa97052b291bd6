//! A decoder that reads from left to right.

use crate::pre_norm::{Block, Sizes, Vocabulary, check_heads};
use crate::query_decoder::ROTARY_BASE;
use zoo_plugin::prelude::*;

/// A causal language model: every token sees itself and those before it.
///
/// Layer norms stand before attention and feed-forward and after the last block; output weights are the
/// token embeddings, with a bias. Positions are rotary, in 32 bits, or learned. The scores at a place are of
/// the token after it. A token may have a partner, whose vector from a second table is added.
///
/// # Paper
/// Radford et al.: Language Models are Unsupervised Multitask Learners, 2019; Su et al.: RoFormer, 2021.
///
/// # Example
/// ```mlm
/// model causal = transformer.causal_decoder(vocabulary: 128, layers: 4, hidden: 64, heads: 4)
/// ```
#[component(
    architecture,
    name = "transformer.causal_decoder",
    inputs(
        ids: "int[B, T]" = "token ids",
        attention_mask: "int[B, T]"? = "1 for tokens, 0 for padding, which stands at the end",
        partners: "int[B, T]"? = "what a token is paired with, 0 for nothing",
        positions: "int[M]"? = "flat places b * T + t to score; every place, when absent",
    ),
    outputs(logits: "float[M, vocabulary]" = "scores of every token id after each of the positions"),
    parameters,
    random,
    cost(
        flops = "B * T * layers * (8 * hidden * hidden + 4 * T * hidden + 4 * hidden * feed_forward) + 2 * M * hidden * vocabulary",
        parameters = "layers * (4 * hidden * hidden + 9 * hidden + 2 * hidden * feed_forward + feed_forward) + vocabulary * hidden + vocabulary + 2 * hidden",
        activations = "B * T * (layers * (hidden * (10 + 2 * min(1, dropout * 1000)) + 2 * feed_forward + 4) + 2 * hidden) + 2 * M * hidden",
        workspace = "max(B * T * (6 * hidden + 2 * feed_forward), M * (hidden + vocabulary))",
    ),
    bounds(T = "maximum_length"),
)]
pub struct CausalDecoder {
    /// Number of token ids.
    #[param(range = ">= 1")]
    pub vocabulary: usize,
    /// Number of layers.
    #[param(default = 4, range = ">= 1")]
    pub layers: usize,
    /// Size of the hidden states.
    #[param(default = 128, range = ">= 1")]
    pub hidden: usize,
    /// Attention heads; must divide `hidden`.
    #[param(default = 4, range = ">= 1")]
    pub heads: usize,
    /// Inner size of the feed-forward blocks.
    #[param(default_formula = "4 * hidden", range = ">= 1")]
    pub feed_forward: usize,
    /// What stands between the two maps of a feed-forward block.
    #[param(default = "gelu", one_of("gelu", "relu"))]
    pub activation: String,
    /// Longest input, in tokens, where positions are learned.
    #[param(default = 512, range = ">= 1", kind = "tokens")]
    pub maximum_length: usize,
    /// How positions are known.
    #[param(default = "rotary", one_of("rotary", "learned"))]
    pub position_encoding: String,
    /// Whether tokens may have partners.
    #[param(default = false)]
    pub with_partners: bool,
    /// Dropout of what attention and feed-forward blocks add.
    #[param(default = 0.0, range = "[0%, 100%)", kind = "fraction")]
    pub dropout: f64,
    /// Standard deviation of the normal that weights start from.
    #[param(default = 0.02, range = ">= 0")]
    pub initial_deviation: f64,
}

/// The parameters of a causal decoder.
#[derive(Debug)]
pub struct Causal {
    vocabulary: Vocabulary,
    layers: Vec<Block>,
    norm: LayerNorm,
    sizes: Sizes,
}

impl Component for CausalDecoder {
    type State = Causal;

    fn build(&self, cx: &mut Build<'_>) -> Result<Causal> {
        let rotary = self.position_encoding == "rotary";
        check_heads(self.hidden, self.heads, rotary)?;
        let sizes = Sizes {
            hidden: self.hidden as i64,
            heads: self.heads as i64,
            feed_forward: self.feed_forward as i64,
            epsilon: 1e-5,
            dropout: self.dropout,
            relu: self.activation == "relu",
            rotary: rotary.then_some(ROTARY_BASE),
        };
        let init = Init::Normal { mean: 0.0, std: self.initial_deviation };
        let positions = (!rotary).then_some(self.maximum_length as i64);
        Ok(Causal {
            vocabulary: Vocabulary::new(
                cx,
                (self.vocabulary as i64, sizes.hidden, positions),
                self.with_partners,
                init,
            )?,
            layers: (0..self.layers)
                .map(|i| Block::new(cx, &format!("layers.{i}"), sizes, init))
                .collect::<Result<_>>()?,
            norm: LayerNorm::new(cx, "norm", sizes.hidden, sizes.epsilon)?,
            sizes,
        })
    }

    fn call(
        &self,
        model: &Causal,
        x: CausalDecoderInputs<'_>,
        cx: &mut Call<'_>,
    ) -> Result<CausalDecoderOutputs> {
        let (_, length) = x.ids.size2()?;
        let rotary = model.sizes.turning(length, &model.vocabulary.tokens.weight)?;
        let mut hidden = model.vocabulary.read(x.ids, x.partners)?;
        if let Some(places) = model.vocabulary.places(length)? {
            hidden = hidden.f_add(&places)?;
        }
        // Padding stands behind what is read: nothing before it sees it.
        for block in &model.layers {
            hidden = block.forward(&hidden, None, None, true, rotary.as_ref(), cx)?;
        }
        let logits = model.vocabulary.score(&model.norm.forward(&hidden)?, x.positions)?;
        Ok(CausalDecoderOutputs { logits })
    }
}
