//! The encoder that all models here share.

use crate::attention::{AttentionMask, AttentionShape, SelfAttention, Sight};
use crate::layout::{Layout, States};
use zoo_plugin::prelude::*;

/// Sizes and rates of an encoder.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) vocabulary: i64,
    pub(crate) layers: i64,
    pub(crate) hidden: i64,
    pub(crate) heads: i64,
    pub(crate) feed_forward: i64,
    pub(crate) embedding: i64,
    pub(crate) positions: i64,
    pub(crate) segments: i64,
    pub(crate) dropout: f64,
    pub(crate) attention_dropout: f64,
    pub(crate) head_dropout: f64,
    pub(crate) epsilon: f64,
    pub(crate) deviation: f64,
}

impl Shape {
    pub(crate) fn init(&self) -> Init {
        Init::TruncatedNormal { mean: 0.0, std: self.deviation }
    }
}

/// Declares a component over the parameters that every encoder has.
macro_rules! encoder_component {
    ($(#[$attribute:meta])* $visibility:vis struct $name:ident;) => {
        $(#[$attribute])*
        $visibility struct $name {
            /// Number of token ids.
            #[param(range = ">= 1")]
            pub vocabulary: usize,
            /// Number of layers.
            #[param(default = 12, range = ">= 0")]
            pub layers: usize,
            /// Size of the hidden states.
            #[param(default = 768, range = ">= 1")]
            pub hidden: usize,
            /// Attention heads; must divide `hidden`.
            #[param(default_formula = "hidden / 64", range = ">= 1")]
            pub heads: usize,
            /// Inner size of the feed-forward blocks.
            #[param(default_formula = "4 * hidden", range = ">= 1")]
            pub feed_forward: usize,
            /// Size of the embeddings; where it differs from `hidden`, a linear map stands between.
            #[param(default_formula = "hidden", range = ">= 1")]
            pub embedding: usize,
            /// Longest input, in tokens.
            #[param(default = 512, range = ">= 1", kind = "tokens")]
            pub maximum_length: usize,
            /// Number of segment ids.
            #[param(default = 2, range = ">= 1")]
            pub segments: usize,
            /// Dropout of embeddings and of the output of every block.
            #[param(default = 0.1, range = "[0%, 100%)", kind = "fraction")]
            pub dropout: f64,
            /// Dropout of attention probabilities.
            #[param(default = 0.1, range = "[0%, 100%)", kind = "fraction")]
            pub attention_dropout: f64,
            /// Probability that a whole attention head is dropped for an example (Zhou et al., 2020).
            #[param(default = 0.0, range = "[0%, 100%)", kind = "fraction")]
            pub head_dropout: f64,
            /// Added to the variance in layer norms.
            #[param(default = 1e-12, range = "> 0")]
            pub epsilon: f64,
            /// Standard deviation of the truncated normal that weights start from.
            #[param(default = 0.02, range = ">= 0")]
            pub initial_deviation: f64,
            /// `causal`, where a token sees itself and those before it, or `bidirectional`: one for all
            /// layers, or one each from the lowest on.
            #[param(default = ["bidirectional"])]
            pub attention: Vec<String>,
        }

        impl $name {
            /// The `config.json` by which transformers loads a checkpoint.
            fn hub_config(&self, family: &str, class: &str) -> Result<Vec<u8>> {
                if family == "bert" && self.embedding != self.hidden {
                    let text = format!("transformers has no {class} whose embeddings are narrower than its states");
                    return Err(Error::new(text).at("embedding"));
                }
                if self.causal()?.contains(&true) {
                    let text = format!("transformers has no {class} with causal layers");
                    return Err(Error::new(text).at("attention"));
                }
                let config = serde_json::json!({
                    "architectures": [class],
                    "attention_probs_dropout_prob": self.attention_dropout,
                    "dtype": "float32",
                    "embedding_size": self.embedding,
                    "hidden_act": "gelu",
                    "hidden_dropout_prob": self.dropout,
                    "hidden_size": self.hidden,
                    "initializer_range": self.initial_deviation,
                    "intermediate_size": self.feed_forward,
                    "layer_norm_eps": self.epsilon,
                    "max_position_embeddings": self.maximum_length,
                    "model_type": family,
                    "num_attention_heads": self.heads,
                    "num_hidden_layers": self.layers,
                    "pad_token_id": 0,
                    "tie_word_embeddings": true,
                    "type_vocab_size": self.segments,
                    "vocab_size": self.vocabulary,
                });
                serde_json::to_vec_pretty(&config).map_err(|e| Error::new(format!("a configuration: {e}")))
            }

            /// Whether each layer is causal.
            pub(crate) fn causal(&self) -> Result<Vec<bool>> {
                $crate::encoder::causal_layers(&self.attention, self.layers)
            }

            pub(crate) fn shape(&self) -> Result<$crate::encoder::Shape> {
                if self.heads == 0 || self.hidden % self.heads != 0 {
                    let text = format!("{} heads do not divide a hidden size of {}", self.heads, self.hidden);
                    return Err(Error::new(text).at("heads").help("choose heads so that hidden / heads is whole"));
                }
                Ok($crate::encoder::Shape {
                    vocabulary: self.vocabulary as i64,
                    layers: self.layers as i64,
                    hidden: self.hidden as i64,
                    heads: self.heads as i64,
                    feed_forward: self.feed_forward as i64,
                    embedding: self.embedding as i64,
                    positions: self.maximum_length as i64,
                    segments: self.segments as i64,
                    dropout: self.dropout,
                    attention_dropout: self.attention_dropout,
                    head_dropout: self.head_dropout,
                    epsilon: self.epsilon,
                    deviation: self.initial_deviation,
                })
            }
        }
    };
}
pub(crate) use encoder_component;

/// What `attention` says of each of so many layers: whether it is causal.
pub(crate) fn causal_layers(ways: &[String], layers: usize) -> Result<Vec<bool>> {
    if ways.len() != 1 && ways.len() != layers {
        return Err(Error::new(format!("`attention` has {} entries for {layers} layers", ways.len()))
            .help("give one entry for all layers, or one each")
            .at("attention"));
    }
    let causal = |way: &String| match way.as_str() {
        "causal" => Ok(true),
        "bidirectional" => Ok(false),
        other => {
            let text = format!("attention is `causal` or `bidirectional`, not `{other}`");
            Err(Error::new(text).at("attention"))
        }
    };
    (0..layers).map(|i| ways.get(i).or(ways.first()).map_or(Ok(false), causal)).collect()
}

#[derive(Debug)]
struct Embeddings {
    words: Embedding,
    positions: Embedding,
    segments: Embedding,
    norm: LayerNorm,
    dropout: f64,
}

impl Embeddings {
    fn new(cx: &mut Build<'_>, name: &str, shape: &Shape) -> Result<Self> {
        let (size, init) = (shape.embedding, shape.init());
        Ok(Self {
            words: Embedding::new(cx, &format!("{name}.word_embeddings"), shape.vocabulary, size, init)?,
            positions: Embedding::new(
                cx,
                &format!("{name}.position_embeddings"),
                shape.positions,
                size,
                init,
            )?,
            segments: Embedding::new(
                cx,
                &format!("{name}.token_type_embeddings"),
                shape.segments,
                size,
                init,
            )?,
            norm: LayerNorm::new(cx, &format!("{name}.LayerNorm"), size, shape.epsilon)?,
            dropout: shape.dropout,
        })
    }

    fn too_long(&self, what: &str, length: i64) -> Error {
        let longest = self.positions.weight.size()[0];
        let text = format!("{what}{length} tokens are more than the {longest} positions of the model");
        Error::new(text)
            .at("in.ids")
            .help("shorten the sequences, or give the model a larger `maximum_length`")
    }

    /// The embeddings of tokens that are laid out, [1, N, embedding].
    fn laid_out(&self, x: &Tokens<'_>, layout: &Layout, cx: &Call<'_>) -> Result<Tensor> {
        let (positions, last) = layout.positions()?;
        let (_, length) = x.ids.size2()?;
        let longest = self.positions.weight.size()[0];
        if x.document_ids.is_none() && length > longest {
            return Err(self.too_long("", length));
        }
        if last >= longest {
            return Err(self.too_long("a document's ", last + 1));
        }
        let ids = layout.take(x.ids)?;
        let segment_ids = x.segment_ids.map(|segments| layout.take(segments)).transpose()?;
        self.sum(&ids, &self.positions.forward(&positions)?, segment_ids.as_ref(), cx)
    }

    /// The embeddings of positions, [T or B, T, embedding].
    fn positions(&self, length: i64, documents: Option<&Documents>) -> Result<Tensor> {
        let longest = self.positions.weight.size()[0];
        let Some(documents) = documents else {
            if length > longest {
                return Err(self.too_long("", length));
            }
            return Ok(self.positions.weight.f_narrow(0, 0, length)?);
        };
        let places = documents.positions()?;
        // A row may be longer than what it holds. Where it is not, no device needs to be waited for.
        if length > longest {
            let last = places.f_max()?.f_int64_value(&[])?;
            if last >= longest {
                return Err(self.too_long("a document's ", last + 1));
            }
        }
        self.positions.forward(&places)
    }

    fn forward(
        &self,
        ids: &Tensor,
        segment_ids: Option<&Tensor>,
        documents: Option<&Documents>,
        cx: &Call<'_>,
    ) -> Result<Tensor> {
        let (_, length) = ids.size2()?;
        self.sum(ids, &self.positions(length, documents)?, segment_ids, cx)
    }

    fn sum(
        &self,
        ids: &Tensor,
        positions: &Tensor,
        segment_ids: Option<&Tensor>,
        cx: &Call<'_>,
    ) -> Result<Tensor> {
        let x = self.words.forward(ids)?.f_add(positions)?;
        let x = match segment_ids {
            Some(segments) => x.f_add(&self.segments.forward(segments)?)?,
            None => x.f_add(&self.segments.weight.f_select(0, 0)?)?,
        };
        dropout(self.norm.forward(&x)?, self.dropout, cx)
    }
}

#[derive(Debug)]
struct Layer {
    attention: SelfAttention,
    attention_output: Linear,
    attention_norm: LayerNorm,
    inner: Linear,
    outer: Linear,
    norm: LayerNorm,
    dropout: f64,
    site: String,
}

impl Layer {
    fn new(cx: &mut Build<'_>, name: &str, index: i64, shape: &Shape) -> Result<Self> {
        let (hidden, init) = (shape.hidden, shape.init());
        let attention = AttentionShape {
            hidden,
            heads: shape.heads,
            dropout: shape.attention_dropout,
            head_dropout: shape.head_dropout,
        };
        let site = format!("layers.{index}");
        Ok(Self {
            attention: SelfAttention::new(
                cx,
                &format!("{name}.attention.self"),
                format!("{site}.attention"),
                attention,
                init,
            )?,
            attention_output: Linear::new(
                cx,
                &format!("{name}.attention.output.dense"),
                hidden,
                hidden,
                true,
                init,
            )?,
            attention_norm: LayerNorm::new(
                cx,
                &format!("{name}.attention.output.LayerNorm"),
                hidden,
                shape.epsilon,
            )?,
            inner: Linear::new(
                cx,
                &format!("{name}.intermediate.dense"),
                hidden,
                shape.feed_forward,
                true,
                init,
            )?,
            outer: Linear::new(cx, &format!("{name}.output.dense"), shape.feed_forward, hidden, true, init)?,
            norm: LayerNorm::new(cx, &format!("{name}.output.LayerNorm"), hidden, shape.epsilon)?,
            dropout: shape.dropout,
            site,
        })
    }

    fn forward(
        &self,
        x: &Tensor,
        sight: Sight<'_>,
        probabilities: Option<&mut Vec<Tensor>>,
        cx: &Call<'_>,
    ) -> Result<Tensor> {
        let context = self.attention.forward(x, sight, probabilities, cx)?;
        let y = self.attention_output.forward(&context)?;
        let y = cx.site(&format!("{}.attention.output", self.site), &context, y)?;
        let x = self.attention_norm.forward(&dropout(y, self.dropout, cx)?.f_add(x)?)?;
        let y = cx.site(&format!("{}.feed_forward.inner", self.site), &x, self.inner.forward(&x)?)?;
        let inner = y.f_gelu("none")?;
        let y = cx.site(&format!("{}.feed_forward.outer", self.site), &inner, self.outer.forward(&inner)?)?;
        self.norm.forward(&dropout(y, self.dropout, cx)?.f_add(&x)?)
    }
}

/// What an encoder reads, int[B, T] each.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tokens<'a> {
    pub(crate) ids: &'a Tensor,
    /// 1 for tokens, 0 for padding.
    pub(crate) attention_mask: Option<&'a Tensor>,
    pub(crate) segment_ids: Option<&'a Tensor>,
    /// See [`Documents`].
    pub(crate) document_ids: Option<&'a Tensor>,
}

/// The inputs of a component as [`Tokens`].
macro_rules! tokens {
    ($inputs:expr) => {
        $crate::encoder::Tokens {
            ids: $inputs.ids,
            attention_mask: $inputs.attention_mask,
            segment_ids: $inputs.segment_ids,
            document_ids: $inputs.document_ids,
        }
    };
}
pub(crate) use tokens;

/// Embeddings and layers.
#[derive(Debug)]
pub struct Encoder {
    embeddings: Embeddings,
    projection: Option<Linear>,
    layers: Vec<Layer>,
    /// Whether each layer's tokens see none after them.
    causal: Vec<bool>,
}

/// What the tokens of rows see, in layers of both kinds.
#[derive(Debug)]
struct Masks {
    both_ways: AttentionMask,
    /// Absent where no layer is causal.
    causal: Option<AttentionMask>,
}

impl Masks {
    fn of(&self, causal: bool) -> &AttentionMask {
        self.causal.as_ref().filter(|_| causal).unwrap_or(&self.both_ways)
    }
}

impl Encoder {
    /// Parameters under `prefix` (with its dot), named as in checkpoints.
    pub(crate) fn new(cx: &mut Build<'_>, prefix: &str, shape: &Shape, causal: Vec<bool>) -> Result<Self> {
        let embeddings = Embeddings::new(cx, &format!("{prefix}embeddings"), shape)?;
        let projection = if shape.embedding == shape.hidden {
            None
        } else {
            let name = format!("{prefix}embeddings_project");
            Some(Linear::new(cx, &name, shape.embedding, shape.hidden, true, shape.init())?)
        };
        let layers = (0..shape.layers)
            .map(|i| Layer::new(cx, &format!("{prefix}encoder.layer.{i}"), i, shape))
            .collect::<Result<_>>()?;
        Ok(Self { embeddings, projection, layers, causal })
    }

    /// Token ids [B, T] to hidden states. On the CPU padding is left out, unless each example must keep its
    /// row.
    pub(crate) fn forward(&self, x: Tokens<'_>, cx: &Call<'_>) -> Result<States> {
        self.forward_with(x, None, cx)
    }

    /// The same; every layer's attention, [B, heads, T, T], goes into `probabilities`, where they are given.
    /// The states do not depend on that.
    pub(crate) fn forward_with(
        &self,
        x: Tokens<'_>,
        probabilities: Option<&mut Vec<Tensor>>,
        cx: &Call<'_>,
    ) -> Result<States> {
        let layout = if cx.keeps_rows() { None } else { Layout::new(&x)? };
        let states = match &layout {
            Some(layout) => {
                let masks = if probabilities.is_some() { Some(self.masks(&x)?) } else { None };
                let sight = |causal: bool| {
                    let mask = masks.as_ref().map(|masks| masks.of(causal));
                    Sight::Texts { layout, causal, mask }
                };
                self.layers(self.embeddings.laid_out(&x, layout, cx)?, sight, probabilities, cx)?
            }
            None => {
                let masks = self.masks(&x)?;
                let documents = x.document_ids.map(Documents::new).transpose()?;
                let embeddings = self.embeddings.forward(x.ids, x.segment_ids, documents.as_ref(), cx)?;
                self.layers(embeddings, |causal| Sight::Rows(masks.of(causal)), probabilities, cx)?
            }
        };
        Ok(States { states, layout })
    }

    /// What the tokens of rows see.
    fn masks(&self, x: &Tokens<'_>) -> Result<Masks> {
        let documents = x.document_ids.map(Documents::new).transpose()?;
        let both_ways = AttentionMask::new(x.attention_mask, documents.as_ref())?;
        let causal =
            if self.causal.contains(&true) { Some(both_ways.causal(x.ids.size2()?.1)?) } else { None };
        Ok(Masks { both_ways, causal })
    }

    /// The layers over embeddings; `sight` says what tokens of layers, causal or not, see.
    fn layers<'s>(
        &self,
        embeddings: Tensor,
        sight: impl Fn(bool) -> Sight<'s>,
        mut probabilities: Option<&mut Vec<Tensor>>,
        cx: &Call<'_>,
    ) -> Result<Tensor> {
        let mut x = match &self.projection {
            Some(projection) => projection.forward(&embeddings)?,
            None => embeddings,
        };
        for (layer, causal) in self.layers.iter().zip(&self.causal) {
            x = layer.forward(&x, sight(*causal), probabilities.as_deref_mut(), cx)?;
        }
        Ok(x)
    }

    /// The word embeddings [vocabulary, embedding], for tied heads.
    pub(crate) fn words(&self) -> &Tensor {
        &self.embeddings.words.weight
    }
}

encoder_component! {
    /// A bidirectional text encoder, as BERT has it.
    ///
    /// Token, position and segment embeddings, a layer norm, then layers of self-attention and
    /// feed-forward (GELU) blocks, each followed by dropout, a residual sum and a layer norm.
    /// Parameters are named as in a `BertModel` checkpoint.
    ///
    /// # Paper
    /// Devlin, Chang, Lee, Toutanova: BERT, NAACL 2019, section 3.
    ///
    /// # Example
    /// ```mlm
    /// model encoder = transformer.encoder(vocabulary: 30522, layers: 4, hidden: 256)
    /// ```
    #[component(
        architecture,
        name = "transformer.encoder",
        inputs(
            ids: "int[B, T]" = "token ids",
            attention_mask: "int[B, T]"? = "1 for tokens, 0 for padding; all ones, when absent",
            segment_ids: "int[B, T]"? = "segment of each token; all zero, when absent",
            document_ids: "int[B, T]"? = "document of each token, which sees no other, with positions from 0; 0 for padding; a row is one document, when absent",
        ),
        outputs(hidden: "float[B, T, hidden]" = "states of the last layer"),
        sites(
            "layers.{layers}.attention.query": "hidden" => "hidden",
            "layers.{layers}.attention.key": "hidden" => "hidden",
            "layers.{layers}.attention.value": "hidden" => "hidden",
            "layers.{layers}.attention.output": "hidden" => "hidden",
            "layers.{layers}.feed_forward.inner": "hidden" => "feed_forward",
            "layers.{layers}.feed_forward.outer": "feed_forward" => "hidden",
        ),
        parameters,
        random,
        cost(
            flops = "B * T * layers * (8 * hidden * hidden + 4 * T * hidden + 4 * hidden * feed_forward) + 2 * B * T * embedding * hidden * min(1, max(embedding - hidden, hidden - embedding))",
            parameters = "(vocabulary + maximum_length + segments + 2) * embedding + (embedding * hidden + hidden) * min(1, max(embedding - hidden, hidden - embedding)) + layers * (4 * hidden * hidden + 9 * hidden + 2 * hidden * feed_forward + feed_forward)",
            activations = "B * T * (embedding * (1 + min(1, dropout * 1000) + min(1, max(embedding - hidden, hidden - embedding))) + layers * (hidden * (8 + 2 * min(1, dropout * 1000) + min(1, head_dropout * 1000)) + 2 * feed_forward + 4 + 3 * heads * T * min(1, attention_dropout * 1000)))",
            workspace = "max(B * T * (6 * hidden + 2 * feed_forward), 5 * B * T * embedding)",
        ),
        bounds(T = "maximum_length"),
        parts("embeddings" = "(vocabulary + maximum_length + segments + 2) * embedding"),
    )]
    pub struct TextEncoder;
}

impl Component for TextEncoder {
    type State = Encoder;

    fn build(&self, cx: &mut Build<'_>) -> Result<Encoder> {
        Encoder::new(cx, "", &self.shape()?, self.causal()?)
    }

    fn export(&self, _state: &Encoder) -> Result<Vec<u8>> {
        // ELECTRA's encoder is BERT's with a map behind narrower embeddings, under the same names.
        if self.embedding == self.hidden {
            self.hub_config("bert", "BertModel")
        } else {
            self.hub_config("electra", "ElectraModel")
        }
    }

    fn call(
        &self,
        state: &Encoder,
        x: TextEncoderInputs<'_>,
        cx: &mut Call<'_>,
    ) -> Result<TextEncoderOutputs> {
        Ok(TextEncoderOutputs { hidden: state.forward(tokens!(x), cx)?.rows()? })
    }
}
