//! The components: one for each head.

use crate::blocks::embeddings::TextInputs;
use crate::blocks::heads::{ClassesHead, Transform, VocabularyHead};
use crate::blocks::pass::Cache;
use crate::blocks::projection::Projection;
use crate::config::Config;
use crate::families;
use crate::model::{Answer, Request, Stack};
use crate::specification::{Overrides, Specification};
use zoo_plugin::prelude::*;

/// Declares a component over the ports, parameters, sites and costs that every text model has. `inputs` begins with
/// what stands beside the token ids: `segments`, `segments and documents`, or nothing more than what follows.
macro_rules! checkpoint_component {
    (
        $(#[$documentation:meta])*
        component(
            name = $name:literal,
            inputs(segments and documents; $($inputs:tt)*),
            $($rest:tt)*
        )
        $($item:tt)*
    ) => {
        checkpoint_component! {
            $(#[$documentation])*
            component(
                name = $name,
                inputs(
                    segments;
                    document_ids: "int[B, T]"? = "document of each token, which sees no other, with positions from 0; 0 for padding; a row is one document, when absent",
                    $($inputs)*
                ),
                $($rest)*
            )
            $($item)*
        }
    };
    (
        $(#[$documentation:meta])*
        component(
            name = $name:literal,
            inputs(segments; $($inputs:tt)*),
            $($rest:tt)*
        )
        $($item:tt)*
    ) => {
        checkpoint_component! {
            $(#[$documentation])*
            component(
                name = $name,
                inputs(
                    attention_mask: "int[B, T]"? = "1 for tokens, 0 for padding; all ones, when absent",
                    segment_ids: "int[B, T]"? = "segment of each token; all zero, when absent",
                    $($inputs)*
                ),
                $($rest)*
            )
            $($item)*
        }
    };
    (
        $(#[$documentation:meta])*
        component(
            name = $name:literal,
            inputs($($inputs:tt)*),
            outputs($($outputs:tt)*),
            cost($($cost:tt)*),
        )
        $visibility:vis struct $struct:ident { $($fields:tt)* }
    ) => {
        $(#[$documentation])*
        #[component(
            architecture,
            name = $name,
            inputs(
                ids: "int[B, T]" = "token ids",
                $($inputs)*
            ),
            outputs(
                $($outputs)*
                hidden_states: "float[B, T, hidden]"* = "embeddings, then each layer's states",
            ),
            sites(
                "layers.{layers}.attention.query": "hidden" => "queries",
                "layers.{layers}.attention.key": "hidden" => "keys",
                "layers.{layers}.attention.value": "hidden" => "keys",
                "layers.{layers}.attention.query_key_value": "hidden" => "queries + 2 * keys",
                "layers.{layers}.attention.output": "queries" => "hidden",
                "layers.{layers}.feed_forward.inner": "hidden" => "feed_forward",
                "layers.{layers}.feed_forward.up": "hidden" => "feed_forward",
                "layers.{layers}.feed_forward.inner_up": "hidden" => "2 * feed_forward",
                "layers.{layers}.feed_forward.outer": "feed_forward" => "hidden",
            ),
            parameters,
            random,
            cost(
                parameters = "vocabulary * hidden + layers * (2 * hidden * (queries + keys) + feed_forward_maps * hidden * feed_forward)",
                $($cost)*
            ),
        )]
        $visibility struct $struct {
            /// The `config.json`, or the folder that has one.
            #[param(kind = "asset")]
            pub config: String,
            /// Dropout of embeddings, residual branches and heads; that of the configuration, when
            /// absent.
            #[param(range = "[0%, 100%)", kind = "fraction")]
            pub dropout: Option<f64>,
            /// Dropout of attention probabilities; that of the configuration, when absent.
            #[param(range = "[0%, 100%)", kind = "fraction")]
            pub attention_dropout: Option<f64>,
            /// `causal` or `bidirectional`: one for all layers, or one each; the family's own way,
            /// when absent.
            #[param(kind = "list[text]")]
            pub attention: Option<Vec<String>>,
            /// Number of layers. It and the sizes below must be the configuration's, and are needed only where
            /// adapters act on the model: a recipe is checked without its files.
            #[param(range = ">= 1")]
            pub layers: Option<usize>,
            /// Size of the states.
            #[param(range = ">= 1")]
            pub hidden: Option<usize>,
            /// Size of all queries of a token, heads times their size.
            #[param(range = ">= 1")]
            pub queries: Option<usize>,
            /// Size of all keys of a token, and of its values.
            #[param(range = ">= 1")]
            pub keys: Option<usize>,
            /// Inner size of the feed-forward blocks.
            #[param(range = ">= 1")]
            pub feed_forward: Option<usize>,
            /// Maps of a feed-forward block: 2, or 3 where one is a gate. It and `vocabulary` are needed only for
            /// costs to be predicted, as the sizes above are.
            #[param(range = "[2, 3]")]
            pub feed_forward_maps: Option<usize>,
            /// Number of token ids.
            #[param(range = ">= 1")]
            pub vocabulary: Option<usize>,
            $($fields)*
        }

        impl $struct {
            fn specification(&self, cx: &mut Build<'_>) -> Result<Described> {
                let path = cx.asset(&self.config).map_err(|e| e.at("config"))?;
                let config = Config::read(&path).map_err(|e| e.at("config"))?;
                let family = families::text(&config).map_err(|e| if e.at.is_empty() { e.at("config") } else { e })?;
                family.has_sizes(&[
                    ("layers", self.layers),
                    ("hidden", self.hidden),
                    ("queries", self.queries),
                    ("keys", self.keys),
                    ("feed_forward", self.feed_forward),
                    ("feed_forward_maps", self.feed_forward_maps),
                    ("vocabulary", self.vocabulary),
                ])?;
                let specification = family.changed(Overrides {
                    dropout: self.dropout,
                    attention_dropout: self.attention_dropout,
                    attention: self.attention.as_deref(),
                })?;
                Ok(Described { specification, config })
            }
        }
    };
}

/// A specification with the configuration that says it.
struct Described {
    specification: Specification,
    config: Config,
}

impl std::ops::Deref for Described {
    type Target = Specification;

    fn deref(&self) -> &Specification {
        &self.specification
    }
}

fn request(cx: &Call<'_>) -> Request {
    Request { states: cx.wants("hidden_states"), ..Request::default() }
}

/// The rows at flat places b T + t, or all of them: [B, T, hidden] to [M, hidden].
fn rows(hidden: &Tensor, positions: Option<&Tensor>) -> Result<Tensor> {
    let flat = hidden.f_reshape([-1, hidden.size3()?.2])?;
    match positions {
        Some(positions) => Ok(flat.f_index_select(0, positions)?),
        None => Ok(flat),
    }
}

checkpoint_component! {
    /// The base model of a hub checkpoint: token ids to states.
    ///
    /// Families are bert, roberta, xlm-roberta, camembert, electra, esm, modernbert, deberta-v2, gpt2,
    /// llama, mistral, qwen2, qwen3, gemma2, phi, and of t5 and bart what reads; `config.json` says which.
    /// Weights come from the declaration's `weights`.
    ///
    /// # Example
    /// ```mlm
    /// model encoder = checkpoint.encoder(config: "file:bert.json")
    /// ```
    component(
        name = "checkpoint.encoder",
        inputs(segments and documents;),
        outputs(
            hidden: "float[B, T, hidden]" = "states of the last layer",
            pooled: "float[B, hidden]"? = "the pooler's vector of each text, where `pooler` is set",
        ),
        cost(
            flops = "B * T * layers * (4 * hidden * (queries + keys) + 4 * T * queries + 2 * feed_forward_maps * hidden * feed_forward)",
            workspace = "B * T * (3 * hidden + queries + 2 * keys + feed_forward_maps * feed_forward)",
        ),
    )
    pub struct Encoder {
        /// Whether the checkpoint's pooler is loaded too.
        #[param(default = false)]
        pub pooler: bool,
    }
}

impl Component for Encoder {
    type State = (Stack, Option<Transform>);

    fn build(&self, cx: &mut Build<'_>) -> Result<Self::State> {
        let specification = self.specification(cx)?;
        let stack = Stack::new(cx, "", &specification)?.described(&specification.config);
        let pooler = if self.pooler {
            let pooler = specification.needed(specification.pooler.as_ref(), "pooler")?;
            Some(Transform::new(cx, "", specification.hidden, pooler)?)
        } else {
            None
        };
        Ok((stack, pooler))
    }

    fn export(&self, (stack, _): &Self::State) -> Result<Vec<u8>> {
        stack.export(&["Model"], None)
    }

    fn call(
        &self,
        (stack, pooler): &Self::State,
        x: EncoderInputs<'_>,
        cx: &mut Call<'_>,
    ) -> Result<EncoderOutputs> {
        let text = TextInputs {
            ids: x.ids,
            attention_mask: x.attention_mask,
            segments: x.segment_ids,
            positions: None,
            documents: x.document_ids,
        };
        let Answer { hidden, states, .. } = stack.forward(&text, request(cx), cx)?;
        let pooled = match pooler {
            Some(pooler) if cx.wants("pooled") => Some(pooler.forward(&hidden.f_select(1, 0)?)?),
            _ => None,
        };
        Ok(EncoderOutputs { hidden, pooled, hidden_states: states })
    }
}

checkpoint_component! {
    /// A masked language model of a hub checkpoint: scores of token ids at masked places.
    ///
    /// Families are bert, roberta, xlm-roberta, camembert, electra, esm, modernbert and deberta-v2.
    /// Scores are computed at `positions` alone.
    ///
    /// # Example
    /// ```mlm
    /// model bert = checkpoint.masked_lm(config: "file:bert.json")
    /// ```
    component(
        name = "checkpoint.masked_lm",
        inputs(
            segments and documents;
            positions: "int[M]"? = "flat places b * T + t to score; every token, when absent",
        ),
        outputs(
            hidden: "float[B, T, hidden]"? = "states of the last layer",
            logits: "float[M, vocabulary]"? = "scores of every token id at the positions",
        ),
        cost(
            flops = "B * T * layers * (4 * hidden * (queries + keys) + 4 * T * queries + 2 * feed_forward_maps * hidden * feed_forward) + M * (2 * hidden * hidden + 2 * hidden * vocabulary)",
            workspace = "max(B * T * (3 * hidden + queries + 2 * keys + feed_forward_maps * feed_forward), B * T * hidden + M * (2 * hidden + vocabulary))",
        ),
    )
    pub struct MaskedLm {}
}

fn vocabulary_head(cx: &mut Build<'_>, s: &Specification) -> Result<VocabularyHead> {
    let (head, _) = s.needed(s.vocabulary.as_ref(), "head over the vocabulary")?;
    let init = Init::Normal { mean: 0.0, std: s.deviation };
    VocabularyHead::new(cx, s.hidden, s.embeddings.vocabulary, init, head)
}

impl Component for MaskedLm {
    type State = (Stack, VocabularyHead);

    fn build(&self, cx: &mut Build<'_>) -> Result<Self::State> {
        let specification = self.specification(cx)?;
        let stack = Stack::new(cx, specification.prefix, &specification)?.described(&specification.config);
        Ok((stack, vocabulary_head(cx, &specification)?))
    }

    fn export(&self, (stack, _): &Self::State) -> Result<Vec<u8>> {
        stack.export(&["ForMaskedLM"], None)
    }

    fn call(
        &self,
        (stack, head): &Self::State,
        x: MaskedLmInputs<'_>,
        cx: &mut Call<'_>,
    ) -> Result<MaskedLmOutputs> {
        let text = TextInputs {
            ids: x.ids,
            attention_mask: x.attention_mask,
            segments: x.segment_ids,
            positions: None,
            documents: x.document_ids,
        };
        let Answer { hidden, states, .. } = stack.forward(&text, request(cx), cx)?;
        let logits = if cx.wants("logits") {
            Some(head.forward(&rows(&hidden, x.positions)?, stack.words())?)
        } else {
            None
        };
        Ok(MaskedLmOutputs { hidden: Some(hidden), logits, hidden_states: states })
    }
}

checkpoint_component! {
    /// A causal language model of a hub checkpoint: scores of the next token.
    ///
    /// Families are gpt2, llama, mistral, qwen2, qwen3, gemma2 and phi. The outputs `cache`, given back
    /// as `past`, spare computing earlier tokens again.
    ///
    /// # Example
    /// ```mlm
    /// model gpt = checkpoint.causal_lm(config: "file:gpt2.json")
    /// ```
    component(
        name = "checkpoint.causal_lm",
        inputs(
            attention_mask: "int[B, S]"? = "1 for tokens, 0 for padding, over those of the past and T more; all ones, when absent",
            position_ids: "int[B, T]"? = "position of each token; counted from the past's end, when absent",
            past: "float[B, G, P, size]"* = "keys and values of earlier tokens, as an earlier call gave them in `cache`",
            document_ids: "int[B, T]"? = "document of each token, which sees no other, with positions from 0; 0 for padding; a row is one document, when absent",
        ),
        outputs(
            hidden: "float[B, T, hidden]"? = "states of the last layer",
            logits: "float[B, T, vocabulary]"? = "scores of the token after each",
            cache: "float[B, G, S, size]"* = "keys and values of all tokens: key and value of the first layer, of the second, …",
        ),
        cost(
            flops = "B * T * layers * (4 * hidden * (queries + keys) + 4 * T * queries + 2 * feed_forward_maps * hidden * feed_forward) + 2 * B * T * hidden * vocabulary",
            workspace = "max(B * T * (3 * hidden + queries + 2 * keys + feed_forward_maps * feed_forward), B * T * (hidden + vocabulary))",
        ),
    )
    pub struct CausalLm {}
}

impl Component for CausalLm {
    type State = (Stack, VocabularyHead);

    fn build(&self, cx: &mut Build<'_>) -> Result<Self::State> {
        let specification = self.specification(cx)?;
        let stack = Stack::new(cx, specification.prefix, &specification)?.described(&specification.config);
        Ok((stack, vocabulary_head(cx, &specification)?))
    }

    fn export(&self, (stack, _): &Self::State) -> Result<Vec<u8>> {
        stack.export(&["ForCausalLM", "LMHeadModel"], None)
    }

    fn call(
        &self,
        (stack, head): &Self::State,
        x: CausalLmInputs<'_>,
        cx: &mut Call<'_>,
    ) -> Result<CausalLmOutputs> {
        let text = TextInputs {
            ids: x.ids,
            attention_mask: x.attention_mask,
            segments: None,
            positions: x.position_ids,
            documents: x.document_ids,
        };
        let past = Cache { tensors: x.past.iter().map(|t| t.shallow_clone()).collect() };
        let request = Request {
            states: cx.wants("hidden_states"),
            cache: cx.wants("cache"),
            past,
            ..Request::default()
        };
        let Answer { hidden, states, cache, .. } = stack.forward(&text, request, cx)?;
        let logits = if cx.wants("logits") { Some(head.forward(&hidden, stack.words())?) } else { None };
        Ok(CausalLmOutputs { hidden: Some(hidden), logits, hidden_states: states, cache: cache.tensors })
    }
}

checkpoint_component! {
    /// A discriminator of a hub checkpoint: one score a token, high for replaced ones.
    ///
    /// The family is electra.
    ///
    /// # Example
    /// ```mlm
    /// model discriminator = checkpoint.replaced_token(config: "file:electra.json")
    /// ```
    component(
        name = "checkpoint.replaced_token",
        inputs(segments and documents;),
        outputs(
            hidden: "float[B, T, hidden]"? = "states of the last layer",
            logits: "float[B, T]"? = "log-odds that the token is replaced",
        ),
        cost(
            flops = "B * T * layers * (4 * hidden * (queries + keys) + 4 * T * queries + 2 * feed_forward_maps * hidden * feed_forward) + 2 * B * T * hidden * hidden",
            workspace = "B * T * (3 * hidden + queries + 2 * keys + feed_forward_maps * feed_forward)",
        ),
    )
    pub struct ReplacedToken {}
}

impl Component for ReplacedToken {
    type State = (Stack, Transform, Projection);

    fn build(&self, cx: &mut Build<'_>) -> Result<Self::State> {
        let specification = self.specification(cx)?;
        let (transform, name) =
            specification.needed(specification.replaced.as_ref(), "head for replaced tokens")?;
        let stack = Stack::new(cx, specification.prefix, &specification)?.described(&specification.config);
        let dense = Transform::new(cx, "", specification.hidden, transform)?;
        let score = Projection::new(cx, name, specification.hidden, 1, transform.style)?;
        Ok((stack, dense, score))
    }

    fn export(&self, (stack, ..): &Self::State) -> Result<Vec<u8>> {
        stack.export(&["ForPreTraining"], None)
    }

    fn call(
        &self,
        (stack, dense, score): &Self::State,
        x: ReplacedTokenInputs<'_>,
        cx: &mut Call<'_>,
    ) -> Result<ReplacedTokenOutputs> {
        let text = TextInputs {
            ids: x.ids,
            attention_mask: x.attention_mask,
            segments: x.segment_ids,
            positions: None,
            documents: x.document_ids,
        };
        let Answer { hidden, states, .. } = stack.forward(&text, request(cx), cx)?;
        let logits = if cx.wants("logits") {
            Some(score.forward(&dense.forward(&hidden)?)?.f_squeeze_dim(-1)?)
        } else {
            None
        };
        Ok(ReplacedTokenOutputs { hidden: Some(hidden), logits, hidden_states: states })
    }
}

checkpoint_component! {
    /// A classifier of texts of a hub checkpoint.
    ///
    /// The number of classes is the configuration's, unless `classes` says another.
    ///
    /// # Example
    /// ```mlm
    /// model classifier = checkpoint.sequence_classifier(config: "file:bert.json", classes: 3)
    /// ```
    component(
        name = "checkpoint.sequence_classifier",
        inputs(segments;),
        outputs(
            hidden: "float[B, T, hidden]"? = "states of the last layer",
            logits: "float[B, classes]"? = "scores of the classes",
        ),
        cost(
            flops = "B * T * layers * (4 * hidden * (queries + keys) + 4 * T * queries + 2 * feed_forward_maps * hidden * feed_forward) + 2 * B * hidden * hidden",
            workspace = "B * T * (3 * hidden + queries + 2 * keys + feed_forward_maps * feed_forward)",
        ),
    )
    pub struct SequenceClassifier {
        /// Number of classes; the configuration's, when absent.
        #[param(range = ">= 1")]
        pub classes: Option<usize>,
    }
}

impl Component for SequenceClassifier {
    type State = (Stack, ClassesHead);

    fn build(&self, cx: &mut Build<'_>) -> Result<Self::State> {
        let specification = self.specification(cx)?;
        let mut head = *specification.needed(specification.sequence.as_ref(), "classifier of texts")?;
        head.classes = self.classes.map_or(head.classes, |n| n as i64);
        let stack = Stack::new(cx, specification.prefix, &specification)?.described(&specification.config);
        Ok((stack, ClassesHead::new(cx, specification.prefix, specification.hidden, &head)?))
    }

    fn export(&self, (stack, head): &Self::State) -> Result<Vec<u8>> {
        stack.export(&["ForSequenceClassification"], Some(head.classes()))
    }

    fn call(
        &self,
        (stack, head): &Self::State,
        x: SequenceClassifierInputs<'_>,
        cx: &mut Call<'_>,
    ) -> Result<SequenceClassifierOutputs> {
        let text = TextInputs {
            ids: x.ids,
            attention_mask: x.attention_mask,
            segments: x.segment_ids,
            positions: None,
            documents: None,
        };
        let Answer { hidden, states, .. } = stack.forward(&text, request(cx), cx)?;
        let logits =
            if cx.wants("logits") { Some(head.forward(&hidden, x.attention_mask, cx)?) } else { None };
        Ok(SequenceClassifierOutputs { hidden: Some(hidden), logits, hidden_states: states })
    }
}

checkpoint_component! {
    /// A classifier of tokens of a hub checkpoint.
    ///
    /// The number of classes is the configuration's, unless `classes` says another.
    ///
    /// # Example
    /// ```mlm
    /// model tagger = checkpoint.token_classifier(config: "file:bert.json", classes: 5)
    /// ```
    component(
        name = "checkpoint.token_classifier",
        inputs(segments and documents;),
        outputs(
            hidden: "float[B, T, hidden]"? = "states of the last layer",
            logits: "float[B, T, classes]"? = "scores of the classes of each token",
        ),
        cost(
            flops = "B * T * layers * (4 * hidden * (queries + keys) + 4 * T * queries + 2 * feed_forward_maps * hidden * feed_forward)",
            workspace = "B * T * (3 * hidden + queries + 2 * keys + feed_forward_maps * feed_forward)",
        ),
    )
    pub struct TokenClassifier {
        /// Number of classes; the configuration's, when absent.
        #[param(range = ">= 1")]
        pub classes: Option<usize>,
    }
}

impl Component for TokenClassifier {
    type State = (Stack, ClassesHead);

    fn build(&self, cx: &mut Build<'_>) -> Result<Self::State> {
        let specification = self.specification(cx)?;
        let mut head = *specification.needed(specification.tokens.as_ref(), "classifier of tokens")?;
        head.classes = self.classes.map_or(head.classes, |n| n as i64);
        let stack = Stack::new(cx, specification.prefix, &specification)?.described(&specification.config);
        Ok((stack, ClassesHead::new(cx, specification.prefix, specification.hidden, &head)?))
    }

    fn export(&self, (stack, head): &Self::State) -> Result<Vec<u8>> {
        stack.export(&["ForTokenClassification"], Some(head.classes()))
    }

    fn call(
        &self,
        (stack, head): &Self::State,
        x: TokenClassifierInputs<'_>,
        cx: &mut Call<'_>,
    ) -> Result<TokenClassifierOutputs> {
        let text = TextInputs {
            ids: x.ids,
            attention_mask: x.attention_mask,
            segments: x.segment_ids,
            positions: None,
            documents: x.document_ids,
        };
        let Answer { hidden, states, .. } = stack.forward(&text, request(cx), cx)?;
        let logits =
            if cx.wants("logits") { Some(head.forward(&hidden, x.attention_mask, cx)?) } else { None };
        Ok(TokenClassifierOutputs { hidden: Some(hidden), logits, hidden_states: states })
    }
}
