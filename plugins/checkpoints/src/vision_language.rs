//! A language model that sees images: patches of a vision tower, mapped to the size of its tokens, stand in
//! the places of image tokens.

use crate::blocks::activation::Activation;
use crate::blocks::embeddings::{Replaced, TextInputs};
use crate::blocks::heads::VocabularyHead;
use crate::blocks::pass::Cache;
use crate::blocks::projection::{Projection, Style};
use crate::config::Config;
use crate::families;
use crate::model::{Answer, Request, Stack};
use crate::specification::{Overrides, Specification};
use crate::vision::{Pooler, VisionSpecification, VisionStack};
use zoo_plugin::prelude::*;

/// Which states of the vision tower the language model gets.
#[derive(Clone, Debug)]
pub struct FeatureLayers {
    /// Layers, 0 for what goes into the first one; several are joined feature by feature.
    pub layers: Vec<usize>,
    /// Whether the first token, which is the class token, is left out.
    pub without_first: bool,
}

/// A vision tower and a language model as plain data: what a family makes of its `config.json`.
#[derive(Clone, Debug)]
pub struct VisionLanguageSpecification {
    /// The tower.
    pub vision: VisionSpecification,
    /// The language model.
    pub text: Specification,
    /// What of the tower goes into it.
    pub features: FeatureLayers,
    /// The function between the two maps from one to the other.
    pub activation: Activation,
    /// How those are stored.
    pub style: Style,
    /// The token in whose places patches stand.
    pub token: i64,
}

/// A language model of a hub checkpoint that sees images: scores of the next token.
///
/// The family is llava, over towers of clip_vision_model and siglip_vision_model and language models of
/// llama, mistral, qwen2 and qwen3. A text has as many image tokens as its images have patches.
/// The outputs `cache`, given back as `past`, spare computing earlier tokens again; images belong to the
/// call whose `ids` have their tokens.
///
/// # Example
/// ```mlm
/// model seer = checkpoint.vision_language(config: "file:llava.json")
/// ```
#[component(
    architecture,
    name = "checkpoint.vision_language",
    inputs(
        ids: "int[B, T]" = "token ids, those of images included",
        pixel_values: "float[I, C, H, W]"? = "images in the order of their tokens, scaled as the checkpoint's makers did; none, when absent",
        attention_mask: "int[B, S]"? = "1 for tokens, 0 for padding, over those of the past and T more; all ones, when absent",
        position_ids: "int[B, T]"? = "position of each token; counted from the past's end, when absent",
        past: "float[B, G, P, size]"* = "keys and values of earlier tokens, as an earlier call gave them in `cache`",
    ),
    outputs(
        hidden: "float[B, T, hidden]"? = "states of the last layer",
        logits: "float[B, T, vocabulary]"? = "scores of the token after each",
        image_states: "float[I, N, hidden]"? = "what stands in the places of image tokens, where there are images",
        hidden_states: "float[B, T, hidden]"* = "embeddings, then each layer's states",
        cache: "float[B, G, S, size]"* = "keys and values of all tokens: key and value of the first layer, of the second, …",
    ),
    parameters,
    random,
)]
pub struct VisionLanguage {
    /// The `config.json`, or the folder that has one.
    #[param(kind = "asset")]
    pub config: String,
    /// Dropout of embeddings and residual branches of both models; that of the configuration, when absent.
    #[param(range = "[0%, 100%)", kind = "fraction")]
    pub dropout: Option<f64>,
    /// Dropout of attention probabilities of both; that of the configuration, when absent.
    #[param(range = "[0%, 100%)", kind = "fraction")]
    pub attention_dropout: Option<f64>,
    /// `causal` or `bidirectional` in the language model: one for all layers, or one each; the family's own
    /// way, when absent.
    #[param(kind = "list[text]")]
    pub attention: Option<Vec<String>>,
}

/// Both models with their parameters.
#[derive(Debug)]
pub struct Seer {
    tower: VisionStack,
    // What checkpoints have and this model does not use.
    _pooler: Option<Pooler>,
    maps: [Projection; 2],
    activation: Activation,
    features: FeatureLayers,
    token: i64,
    text: Stack,
    head: VocabularyHead,
    config: Config,
}

impl Seer {
    /// Images [I, C, H, W] to what stands in the places of image tokens, [I, N, hidden].
    fn see(&self, images: &Tensor, cx: &Call<'_>) -> Result<Tensor> {
        let states = self.tower.forward(images, None, true, cx)?.states;
        let mut chosen = Vec::with_capacity(self.features.layers.len());
        for layer in &self.features.layers {
            let state = states
                .get(*layer)
                .ok_or_else(|| Error::new(format!("the vision tower has no layer {layer}")))?;
            let (_, tokens, _) = state.size3()?;
            let first = i64::from(self.features.without_first);
            chosen.push(state.f_narrow(1, first, tokens - first)?);
        }
        let x = Tensor::f_cat(&chosen, -1)?;
        self.maps[1].forward(&self.activation.forward(&self.maps[0].forward(&x)?)?)
    }
}

impl Component for VisionLanguage {
    type State = Seer;

    fn build(&self, cx: &mut Build<'_>) -> Result<Self::State> {
        let path = cx.asset(&self.config).map_err(|e| e.at("config"))?;
        let config = Config::read(&path).map_err(|e| e.at("config"))?;
        let s = families::vision_language(&config)
            .map_err(|e| if e.at.is_empty() { e.at("config") } else { e })?;
        let vision = s.vision.changed(self.dropout, self.attention_dropout);
        let text = s.text.changed(Overrides {
            dropout: self.dropout,
            attention_dropout: self.attention_dropout,
            attention: self.attention.as_deref(),
        })?;
        let tower = VisionStack::new(cx, "vision_tower.", &vision)?;
        let pooler =
            vision.pooling.map(|p| Pooler::new(cx, "vision_tower.", &vision.patches, &p)).transpose()?;
        let seen = vision.patches.hidden * s.features.layers.len() as i64;
        let mut map = |name: &str, input: i64| {
            Projection::new(cx, &format!("multi_modal_projector.{name}"), input, text.hidden, s.style)
        };
        let maps = [map("linear_1", seen)?, map("linear_2", text.hidden)?];
        let (head, _) = text.needed(text.vocabulary.as_ref(), "head over the vocabulary")?;
        let stack = Stack::new(cx, &format!("language_model.{}", text.prefix), &text)?;
        let init = Init::Normal { mean: 0.0, std: text.deviation };
        let head = VocabularyHead::new(cx, text.hidden, text.embeddings.vocabulary, init, head)?;
        Ok(Seer {
            tower,
            _pooler: pooler,
            maps,
            activation: s.activation,
            features: s.features,
            token: s.token,
            text: stack,
            head,
            config,
        })
    }

    fn export(&self, state: &Self::State) -> Result<Vec<u8>> {
        state.config.of_class(&["ForConditionalGeneration"], None)
    }

    fn call(
        &self,
        state: &Self::State,
        x: VisionLanguageInputs<'_>,
        cx: &mut Call<'_>,
    ) -> Result<VisionLanguageOutputs> {
        let seen = x.pixel_values.map(|images| state.see(images, cx)).transpose()?;
        let replaced = match &seen {
            Some(seen) => {
                let places = x.ids.f_eq(state.token)?;
                let (images, patches, _) = seen.size3()?;
                let tokens = i64::try_from(places.f_sum(Kind::Int64)?)?;
                if tokens != images * patches {
                    return Err(Error::new(format!(
                        "the texts have {tokens} image tokens, and {images} images have {patches} patches each"
                    ))
                    .help(format!("give each image {patches} tokens {}", state.token))
                    .at("in.ids"));
                }
                Some(Replaced { places, vectors: seen.shallow_clone() })
            }
            None => None,
        };
        let text = TextInputs {
            documents: None,
            ids: x.ids,
            attention_mask: x.attention_mask,
            segments: None,
            positions: x.position_ids,
        };
        let request = Request {
            states: cx.wants("hidden_states"),
            cache: cx.wants("cache"),
            past: Cache { tensors: x.past.iter().map(|t| t.shallow_clone()).collect() },
            memory: None,
            replaced,
        };
        let Answer { hidden, states, cache, .. } = state.text.forward(&text, request, cx)?;
        let logits =
            if cx.wants("logits") { Some(state.head.forward(&hidden, state.text.words())?) } else { None };
        Ok(VisionLanguageOutputs {
            hidden: Some(hidden),
            logits,
            image_states: seen,
            hidden_states: states,
            cache: cache.tensors,
        })
    }
}
