//! A decoder that is asked for positions.

use crate::pre_norm::{Block, Sizes, Vocabulary, check_heads};
use zoo_plugin::prelude::*;

/// An encoder over the tokens that may be read, and a decoder that is asked for positions.
///
/// The encoder's blocks attend among visible tokens alone; hidden ones are not replaced but left out of
/// attention. The decoder has one learned vector as its query at every position; its blocks attend to the
/// encoder's states, not to each other, so that what it says of a position does not depend on which others it
/// is asked for. Layer norms stand before attention and feed-forward, and after each stack; output weights are
/// the token embeddings. Positions are rotary, in 32 bits, or learned. Where nothing is
/// visible the first token is, since attention to nothing is undefined.
///
/// A token may have a partner, another token whose vector from a second table is added: an edge of a graph
/// is then one token.
///
/// # Paper
/// Nolte, Kitouni, Williams, Rabbat, Ibrahim: Transformers Can Navigate Mazes With Multi-Step Prediction,
/// arXiv 2412.05117, the model "PAST" of its code.
///
/// # Example
/// ```mlm
/// model past = transformer.query_decoder(vocabulary: 128, encoder_layers: 2, decoder_layers: 2, hidden: 64, heads: 4)
/// ```
#[component(
    architecture,
    name = "transformer.query_decoder",
    inputs(
        ids: "int[B, T]" = "token ids",
        attention_mask: "int[B, T]"? = "1 for tokens that may be read; all, when absent",
        partners: "int[B, T]"? = "what a token is paired with, 0 for nothing",
        positions: "int[M]"? = "flat places b * T + t to score; every place, when absent",
    ),
    outputs(logits: "float[M, vocabulary]" = "scores of every token id at the positions"),
    parameters,
    random,
    cost(
        flops = "B * T * (encoder_layers + decoder_layers) * (8 * hidden * hidden + 4 * T * hidden + 4 * hidden * feed_forward) + 2 * M * hidden * vocabulary",
        parameters = "(encoder_layers + decoder_layers) * (4 * hidden * hidden + 9 * hidden + 2 * hidden * feed_forward + feed_forward) + vocabulary * hidden + vocabulary + 5 * hidden",
        activations = "B * T * ((encoder_layers + decoder_layers) * (hidden * (10 + 2 * min(1, dropout * 1000)) + 2 * feed_forward + 4) + 2 * hidden) + 2 * M * hidden",
        workspace = "max(B * T * (6 * hidden + 2 * feed_forward), M * (hidden + vocabulary))",
    ),
    bounds(T = "maximum_length"),
)]
pub struct QueryDecoder {
    /// Number of token ids.
    #[param(range = ">= 1")]
    pub vocabulary: usize,
    /// Layers of the encoder.
    #[param(default = 4, range = ">= 1")]
    pub encoder_layers: usize,
    /// Layers of the decoder.
    #[param(default_formula = "encoder_layers", range = ">= 1")]
    pub decoder_layers: usize,
    /// Size of the hidden states.
    #[param(default = 128, range = ">= 1")]
    pub hidden: usize,
    /// Attention heads; must divide `hidden`.
    #[param(default = 4, range = ">= 1")]
    pub heads: usize,
    /// Inner size of the feed-forward blocks.
    #[param(default_formula = "4 * hidden", range = ">= 1")]
    pub feed_forward: usize,
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

/// Base of rotary positions.
pub(crate) const ROTARY_BASE: f64 = 10_000.0;

/// The parameters of a query decoder.
#[derive(Debug)]
pub struct Past {
    vocabulary: Vocabulary,
    query: Embedding,
    encoder: Vec<Block>,
    encoder_norm: LayerNorm,
    decoder: Vec<Block>,
    decoder_norm: LayerNorm,
    sizes: Sizes,
}

impl Component for QueryDecoder {
    type State = Past;

    fn build(&self, cx: &mut Build<'_>) -> Result<Past> {
        let rotary = self.position_encoding == "rotary";
        check_heads(self.hidden, self.heads, rotary)?;
        let sizes = Sizes {
            hidden: self.hidden as i64,
            heads: self.heads as i64,
            feed_forward: self.feed_forward as i64,
            epsilon: 1e-5,
            dropout: self.dropout,
            relu: false,
            rotary: rotary.then_some(ROTARY_BASE),
        };
        let init = Init::Normal { mean: 0.0, std: self.initial_deviation };
        let positions = (!rotary).then_some(self.maximum_length as i64);
        let stack = |cx: &mut Build<'_>, name: &str, layers: usize| -> Result<Vec<Block>> {
            (0..layers).map(|i| Block::new(cx, &format!("{name}.layers.{i}"), sizes, init)).collect()
        };
        Ok(Past {
            vocabulary: Vocabulary::new(
                cx,
                (self.vocabulary as i64, sizes.hidden, positions),
                self.with_partners,
                init,
            )?,
            query: Embedding::new(cx, "decoder.query", 1, sizes.hidden, init)?,
            encoder: stack(cx, "encoder", self.encoder_layers)?,
            encoder_norm: LayerNorm::new(cx, "encoder.norm", sizes.hidden, sizes.epsilon)?,
            decoder: stack(cx, "decoder", self.decoder_layers)?,
            decoder_norm: LayerNorm::new(cx, "decoder.norm", sizes.hidden, sizes.epsilon)?,
            sizes,
        })
    }

    fn call(&self, past: &Past, x: QueryDecoderInputs<'_>, cx: &mut Call<'_>) -> Result<QueryDecoderOutputs> {
        let (batch, length) = x.ids.size2()?;
        let visible = match x.attention_mask {
            Some(mask) => {
                let visible = mask.f_ne(0)?;
                let first = Tensor::f_arange(length, (Kind::Int64, x.ids.device()))?.f_eq(0)?;
                let nothing = visible.f_any_dim(1, true)?.f_logical_not()?;
                let visible = visible.f_logical_or(&first.f_logical_and(&nothing)?)?;
                Some(visible.f_unsqueeze(1)?.f_unsqueeze(1)?)
            }
            None => None,
        };
        let rotary = past.sizes.turning(length, &past.query.weight)?;
        let places = past.vocabulary.places(length)?;
        let placed = |x: Tensor| match &places {
            Some(places) => x.f_add(places),
            None => Ok(x),
        };
        let mut memory = placed(past.vocabulary.read(x.ids, x.partners)?)?;
        for block in &past.encoder {
            memory = block.forward(&memory, None, visible.as_ref(), false, rotary.as_ref(), cx)?;
        }
        let memory = past.encoder_norm.forward(&memory)?;
        let query = past.query.weight.f_unsqueeze(0)?.f_expand([batch, length, past.sizes.hidden], false)?;
        let mut asked = placed(query)?;
        for block in &past.decoder {
            asked = block.forward(&asked, Some(&memory), visible.as_ref(), false, rotary.as_ref(), cx)?;
        }
        let logits = past.vocabulary.score(&past.decoder_norm.forward(&asked)?, x.positions)?;
        Ok(QueryDecoderOutputs { logits })
    }
}
