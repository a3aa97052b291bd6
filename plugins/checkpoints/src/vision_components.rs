//! The components of vision models.

use crate::blocks::norm::Norm;
use crate::blocks::projection::{Projection, Style};
use crate::config::Config;
use crate::families;
use crate::vision::{
    Decoder, MaskedSpecification, Pooler, VisionAnswer, VisionPooling, VisionSpecification, VisionStack,
};
use zoo_plugin::prelude::*;

fn specification(
    cx: &mut Build<'_>,
    config: &str,
    dropout: Option<f64>,
    attention_dropout: Option<f64>,
) -> Result<(VisionSpecification, Config)> {
    let path = cx.asset(config).map_err(|e| e.at("config"))?;
    let config = Config::read(&path).map_err(|e| e.at("config"))?;
    let read = families::vision(&config).map_err(|e| if e.at.is_empty() { e.at("config") } else { e })?;
    Ok((read.changed(dropout, attention_dropout), config))
}

fn none(s: &VisionSpecification, what: &str) -> Error {
    Error::new(format!("family `{}` has no {what}", s.family)).at("config")
}

/// A vision model of a hub checkpoint: images to states of their patches.
///
/// Families are vit, vit_mae, beit, clip_vision_model and siglip_vision_model; `config.json` says which.
/// Images of another size than the model's get interpolated positions, where the model has any.
///
/// # Example
/// ```mlm
/// model tower = checkpoint.vision_encoder(config: "file:clip_vision.json")
/// ```
#[component(
    architecture,
    name = "checkpoint.vision_encoder",
    inputs(
        pixel_values: "float[B, C, H, W]" = "images, scaled as the checkpoint's makers did",
    ),
    outputs(
        hidden: "float[B, T, hidden]" = "states of the last layer: the class token's first, where there is one, and those of the patches, row by row",
        pooled: "float[B, size]"? = "the image's vector, where the family has one",
        hidden_states: "float[B, T, hidden]"* = "what goes into the first layer, then each layer's states",
    ),
    parameters,
    random,
)]
pub struct VisionEncoder {
    /// The `config.json`, or the folder that has one.
    #[param(kind = "asset")]
    pub config: String,
    /// Dropout of embeddings and residual branches; that of the configuration, when absent.
    #[param(range = "[0%, 100%)", kind = "fraction")]
    pub dropout: Option<f64>,
    /// Dropout of attention probabilities; that of the configuration, when absent.
    #[param(range = "[0%, 100%)", kind = "fraction")]
    pub attention_dropout: Option<f64>,
    /// Whether a vector that not every checkpoint of the family has is loaded too: ViT's and BEiT's.
    #[param(default = false)]
    pub pooler: bool,
}

impl Component for VisionEncoder {
    type State = (VisionStack, Option<Pooler>, Config);

    fn build(&self, cx: &mut Build<'_>) -> Result<Self::State> {
        let (s, config) = specification(cx, &self.config, self.dropout, self.attention_dropout)?;
        let stack = VisionStack::new(cx, "", &s)?;
        let optional = matches!(s.pooling, Some(VisionPooling::Dense(_) | VisionPooling::Mean(_)));
        if self.pooler && s.pooling.is_none() {
            return Err(none(&s, "vector of an image"));
        }
        let pooling = s.pooling.filter(|_| self.pooler || !optional);
        Ok((stack, pooling.map(|p| Pooler::new(cx, "", &s.patches, &p)).transpose()?, config))
    }

    fn export(&self, (_, _, config): &Self::State) -> Result<Vec<u8>> {
        config.of_class(&["Model"], None)
    }

    fn call(
        &self,
        (stack, pooler, _): &Self::State,
        x: VisionEncoderInputs<'_>,
        cx: &mut Call<'_>,
    ) -> Result<VisionEncoderOutputs> {
        let VisionAnswer { hidden, states } =
            stack.forward(x.pixel_values, None, cx.wants("hidden_states"), cx)?;
        let pooled = match pooler {
            Some(pooler) if cx.wants("pooled") => Some(pooler.forward(&hidden, cx)?),
            _ => None,
        };
        Ok(VisionEncoderOutputs { hidden, pooled, hidden_states: states })
    }
}

/// A classifier of images of a hub checkpoint.
///
/// Families are vit and beit. The number of classes is the configuration's, unless `classes` says another.
///
/// # Example
/// ```mlm
/// model classifier = checkpoint.image_classifier(config: "file:vit.json", classes: 3)
/// ```
#[component(
    architecture,
    name = "checkpoint.image_classifier",
    inputs(
        pixel_values: "float[B, C, H, W]" = "images, scaled as the checkpoint's makers did",
    ),
    outputs(
        hidden: "float[B, T, hidden]"? = "states of the last layer",
        logits: "float[B, classes]"? = "scores of the classes",
        hidden_states: "float[B, T, hidden]"* = "what goes into the first layer, then each layer's states",
    ),
    parameters,
    random,
)]
pub struct ImageClassifier {
    /// The `config.json`, or the folder that has one.
    #[param(kind = "asset")]
    pub config: String,
    /// Dropout of embeddings and residual branches; that of the configuration, when absent.
    #[param(range = "[0%, 100%)", kind = "fraction")]
    pub dropout: Option<f64>,
    /// Dropout of attention probabilities; that of the configuration, when absent.
    #[param(range = "[0%, 100%)", kind = "fraction")]
    pub attention_dropout: Option<f64>,
    /// Number of classes; the configuration's, when absent.
    #[param(range = ">= 1")]
    pub classes: Option<usize>,
}

/// Stack, vector and map of a classifier.
#[derive(Debug)]
pub struct Classifier {
    stack: VisionStack,
    pooler: Option<Pooler>,
    map: Projection,
    classes: i64,
    config: Config,
}

impl Component for ImageClassifier {
    type State = Classifier;

    fn build(&self, cx: &mut Build<'_>) -> Result<Self::State> {
        let (s, config) = specification(cx, &self.config, self.dropout, self.attention_dropout)?;
        let (name, classes) = s.classifier.ok_or_else(|| none(&s, "classifier of images"))?;
        let stack = VisionStack::new(cx, s.prefix, &s)?;
        // ViT's dense layer is no part of its classifier.
        let pooling = s.pooling.filter(|p| matches!(p, VisionPooling::Mean(_)));
        let pooler = pooling.map(|p| Pooler::new(cx, s.prefix, &s.patches, &p)).transpose()?;
        let style = Style { bias: true, transposed: false, deviation: s.patches.deviation };
        let classes = self.classes.map_or(classes, |n| n as i64);
        let map = Projection::new(cx, name, s.patches.hidden, classes, style)?;
        Ok(Classifier { stack, pooler, map, classes, config })
    }

    fn export(&self, state: &Self::State) -> Result<Vec<u8>> {
        state.config.of_class(&["ForImageClassification"], Some(state.classes))
    }

    fn call(
        &self,
        state: &Self::State,
        x: ImageClassifierInputs<'_>,
        cx: &mut Call<'_>,
    ) -> Result<ImageClassifierOutputs> {
        let VisionAnswer { hidden, states } =
            state.stack.forward(x.pixel_values, None, cx.wants("hidden_states"), cx)?;
        let logits = if cx.wants("logits") {
            let vector = match &state.pooler {
                Some(pooler) => pooler.forward(&hidden, cx)?,
                None => hidden.f_select(1, 0)?,
            };
            Some(state.map.forward(&vector)?)
        } else {
            None
        };
        Ok(ImageClassifierOutputs { hidden: Some(hidden), logits, hidden_states: states })
    }
}

/// A model of a hub checkpoint that predicts hidden patches of images.
///
/// Families are vit_mae, which predicts their pixels from the patches that are left, and beit, which
/// predicts ids of visual tokens and puts a mask token in their place. With vit_mae, the patches of the
/// largest `noise` are hidden; with beit, those that `bool_masked_pos` says.
///
/// # Example
/// ```mlm
/// model autoencoder = checkpoint.masked_image(config: "file:vit_mae.json")
/// ```
#[component(
    architecture,
    name = "checkpoint.masked_image",
    inputs(
        pixel_values: "float[B, C, H, W]" = "images, scaled as the checkpoint's makers did",
        noise: "float[B, N]"? = "vit_mae: a number for each patch; drawn, when absent",
        bool_masked_pos: "bool[B, N]"? = "beit: whether a patch is hidden; none is, when absent",
    ),
    outputs(
        hidden: "float[B, T, hidden]"? = "states of the last layer",
        logits: "float[B, N, size]"? = "for each patch the pixels, or scores of the visual tokens",
        mask: "bool[B, N]"? = "which patches are hidden",
        targets: "float[B, N, pixels]"? = "vit_mae: the pixels that should be predicted",
        hidden_states: "float[B, T, hidden]"* = "what goes into the first layer, then each layer's states",
    ),
    parameters,
    random,
)]
pub struct MaskedImage {
    /// The `config.json`, or the folder that has one.
    #[param(kind = "asset")]
    pub config: String,
    /// Dropout of embeddings and residual branches; that of the configuration, when absent.
    #[param(range = "[0%, 100%)", kind = "fraction")]
    pub dropout: Option<f64>,
    /// Dropout of attention probabilities; that of the configuration, when absent.
    #[param(range = "[0%, 100%)", kind = "fraction")]
    pub attention_dropout: Option<f64>,
}

/// What stands on the encoder.
#[derive(Debug)]
pub enum MaskedHead {
    /// Scores of visual tokens.
    Tokens(Norm, Projection),
    /// Pixels.
    Pixels(Decoder),
}

impl Component for MaskedImage {
    type State = (VisionStack, MaskedHead, Config);

    fn build(&self, cx: &mut Build<'_>) -> Result<Self::State> {
        let (s, config) = specification(cx, &self.config, self.dropout, self.attention_dropout)?;
        let stack = VisionStack::new(cx, s.prefix, &s)?;
        let head = match s.masked.as_ref().ok_or_else(|| none(&s, "head for hidden patches"))? {
            MaskedSpecification::Tokens { norm: (name, norm), map, vocabulary, style } => MaskedHead::Tokens(
                Norm::new(cx, name, s.patches.hidden, *norm)?,
                Projection::new(cx, map, s.patches.hidden, *vocabulary, *style)?,
            ),
            MaskedSpecification::Pixels(decoder) => {
                MaskedHead::Pixels(Decoder::new(cx, &s.patches, decoder)?)
            }
        };
        Ok((stack, head, config))
    }

    fn export(&self, (_, head, config): &Self::State) -> Result<Vec<u8>> {
        match head {
            MaskedHead::Tokens(..) => config.of_class(&["ForMaskedImageModeling"], None),
            MaskedHead::Pixels(_) => config.of_class(&["ForPreTraining"], None),
        }
    }

    fn call(
        &self,
        (stack, head, _): &Self::State,
        x: MaskedImageInputs<'_>,
        cx: &mut Call<'_>,
    ) -> Result<MaskedImageOutputs> {
        let wanted = cx.wants("hidden_states");
        let patches = stack.patches();
        match head {
            MaskedHead::Tokens(norm, map) => {
                let VisionAnswer { hidden, states } =
                    stack.forward(x.pixel_values, x.bool_masked_pos, wanted, cx)?;
                let logits = if cx.wants("logits") {
                    let count = hidden.size3()?.1 - 1;
                    Some(map.forward(&norm.forward(&hidden.f_narrow(1, 1, count)?)?)?)
                } else {
                    None
                };
                let mask = x.bool_masked_pos.map(|mask| mask.shallow_clone());
                Ok(MaskedImageOutputs {
                    hidden: Some(hidden),
                    logits,
                    mask,
                    targets: None,
                    hidden_states: states,
                })
            }
            MaskedHead::Pixels(decoder) => {
                let pixels = patches.pixels(x.pixel_values)?;
                let (tokens, class) = patches.parts(x.pixel_values, None)?;
                let (batch, count, size) = tokens.size3()?;
                let noise = match x.noise {
                    Some(noise) if noise.size() == [batch, count] => noise.shallow_clone(),
                    Some(noise) => {
                        return Err(Error::new(format!(
                            "the noise is {:?} and must be {:?}: one number a patch",
                            noise.size(),
                            [batch, count]
                        ))
                        .at("in.noise"));
                    }
                    None => Tensor::f_rand([batch, count], (Kind::Float, tokens.device()))?,
                };
                let sight = decoder.sight(&noise)?;
                let kept = sight.kept.size2()?.1;
                let index = sight.kept.f_unsqueeze(-1)?.f_expand([batch, kept, size], false)?;
                let tokens = patches.joined(tokens.f_gather(1, &index, false)?, class, cx)?;
                let VisionAnswer { hidden, states } = stack.encode(tokens, wanted, cx)?;
                let logits =
                    if cx.wants("logits") { Some(decoder.forward(&hidden, &sight, cx)?) } else { None };
                Ok(MaskedImageOutputs {
                    hidden: Some(hidden),
                    logits,
                    mask: Some(sight.hidden),
                    targets: Some(decoder.targets(pixels)?),
                    hidden_states: states,
                })
            }
        }
    }
}
