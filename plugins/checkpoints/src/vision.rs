//! A vision model with its parameters, and one forward pass through it.

use crate::blocks::attention::{Attention, AttentionSpecification, Inputs};
use crate::blocks::feed_forward::{FeedForward, FeedForwardSpecification};
use crate::blocks::heads::{Transform, TransformSpecification};
use crate::blocks::layer::{Layer, LayerSpecification};
use crate::blocks::mask::Masks;
use crate::blocks::norm::{Norm, NormSpecification};
use crate::blocks::pass::{Cache, Memory, Pass};
use crate::blocks::patches::{Named, Patches, PatchesSpecification, named, waves};
use crate::blocks::projection::{Projection, Style};
use crate::blocks::relative::{Relative, RelativeSpecification};
use zoo_plugin::prelude::*;

/// A norm under its name.
pub(crate) type NamedNorm = (&'static str, NormSpecification);

/// A vision model as plain data: what a family makes of its `config.json`.
#[derive(Clone, Debug)]
pub struct VisionSpecification {
    /// The `model_type`.
    pub family: &'static str,
    /// What the names of the base model begin with in a model with a head: `vit.`.
    pub prefix: &'static str,
    /// How images become tokens.
    pub patches: PatchesSpecification,
    /// A norm before the first layer.
    pub first_norm: Option<NamedNorm>,
    /// What the names of layers begin with, before their number.
    pub layer_path: &'static str,
    /// Layers.
    pub layers: Vec<LayerSpecification>,
    /// Relative positions that all layers share, below that path.
    pub relative: Option<(&'static str, RelativeSpecification)>,
    /// A norm after the last layer; it is not part of that layer's states.
    pub final_norm: Option<NamedNorm>,
    /// The vector of the image.
    pub pooling: Option<VisionPooling>,
    /// Classes of images, as names and number: from the image's vector, or from the class token's state
    /// where it has none.
    pub classifier: Option<(&'static str, i64)>,
    /// What hidden patches are predicted as.
    pub masked: Option<MaskedSpecification>,
}

/// How tokens become one vector.
#[expect(clippy::large_enum_variant, reason = "there is one a model")]
#[derive(Clone, Copy, Debug)]
pub enum VisionPooling {
    /// The class token's state as it is.
    State,
    /// The class token's state, normalised.
    Class(NamedNorm),
    /// The mean of the patches, normalised.
    Mean(NamedNorm),
    /// A dense layer upon the class token's state, which not every checkpoint has.
    Dense(TransformSpecification),
    /// A trained query that attends to all tokens, and a feed-forward block (Zhai et al., 2022).
    Query {
        /// The query.
        probe: Named,
        /// Its attention, with maps in one under `in_proj_weight` and `in_proj_bias`.
        attention: AttentionSpecification,
        /// Before the feed-forward block.
        norm: NamedNorm,
        /// The feed-forward block.
        feed_forward: FeedForwardSpecification,
    },
}

/// What hidden patches are predicted as.
#[derive(Clone, Debug)]
pub enum MaskedSpecification {
    /// Ids of visual tokens, from the states after a norm (Bao et al., 2022).
    Tokens {
        /// The norm.
        norm: NamedNorm,
        /// Name of the map.
        map: &'static str,
        /// Number of visual tokens.
        vocabulary: i64,
        /// How the map is stored.
        style: Style,
    },
    /// Pixels, by a decoder that sees all places where the encoder saw a part (He et al., 2022).
    Pixels(DecoderSpecification),
}

/// A masked autoencoder's decoder.
#[derive(Clone, Debug)]
pub struct DecoderSpecification {
    /// What its names begin with.
    pub prefix: &'static str,
    /// Size of its states.
    pub hidden: i64,
    /// Its layers, below `decoder_encoder.layer`.
    pub layers: Vec<LayerSpecification>,
    /// Its last norm.
    pub norm: NormSpecification,
    /// Share of patches that the encoder does not see.
    pub share: f64,
    /// Whether each patch's pixels are predicted with mean 0 and variance 1.
    pub normal: bool,
    /// How maps are stored.
    pub style: Style,
}

impl VisionSpecification {
    /// Other dropout rates than the configuration's.
    #[must_use]
    pub fn changed(mut self, dropout: Option<f64>, attention_dropout: Option<f64>) -> Self {
        let decoder = match &mut self.masked {
            Some(MaskedSpecification::Pixels(decoder)) => Some(&mut decoder.layers),
            _ => None,
        };
        for layer in self.layers.iter_mut().chain(decoder.into_iter().flatten()) {
            if let Some(rate) = dropout {
                (layer.dropout, layer.attention_output_dropout) = (rate, rate);
            }
            if let Some(rate) = attention_dropout {
                layer.attention.dropout = rate;
            }
        }
        self.patches.dropout = dropout.unwrap_or(self.patches.dropout);
        self
    }
}

/// Patches, layers and the final norm.
#[derive(Debug)]
pub struct VisionStack {
    patches: Patches,
    first_norm: Option<Norm>,
    layers: Vec<Layer>,
    relative: Option<Relative>,
    final_norm: Option<Norm>,
}

/// What a pass gives.
#[derive(Debug)]
pub struct VisionAnswer {
    /// The last states, [B, tokens, hidden].
    pub hidden: Tensor,
    /// What goes into the first layer, and each layer's states before the final norm; empty where not
    /// asked for.
    pub states: Vec<Tensor>,
}

fn layers(cx: &mut Build<'_>, path: &str, site: &str, layers: &[LayerSpecification]) -> Result<Vec<Layer>> {
    let named = layers.iter().enumerate();
    named.map(|(i, s)| Layer::new(cx, &format!("{path}.{i}"), &format!("{site}layers.{i}"), i, s)).collect()
}

fn norm(cx: &mut Build<'_>, prefix: &str, size: i64, (name, s): NamedNorm) -> Result<Norm> {
    Norm::new(cx, &format!("{prefix}{name}"), size, s)
}

/// Every token sees every other.
fn pass<'p, 'c>(x: &Tensor, bias: Option<Tensor>, cx: &'p Call<'c>) -> Result<Pass<'p, 'c>> {
    let length = x.size3()?.1;
    let masks = Masks::new(None, length, length, (x.kind(), x.device()))?;
    Ok(Pass { bias, ..Pass::plain(cx, masks) })
}

impl VisionStack {
    /// Parameters below `prefix` (with its dot, or empty).
    ///
    /// # Errors
    /// The host's.
    pub fn new(cx: &mut Build<'_>, prefix: &str, s: &VisionSpecification) -> Result<Self> {
        let hidden = s.patches.hidden;
        let patches = Patches::new(cx, prefix, &s.patches)?;
        let first_norm = s.first_norm.map(|n| norm(cx, prefix, hidden, n)).transpose()?;
        let relative = match (s.relative, s.layers.first()) {
            (Some((path, inner)), Some(layer)) => {
                let a = &layer.attention;
                let path = format!("{prefix}{path}");
                Some(Relative::new(cx, &path, (a.heads, a.head), a.scale, a.style, inner)?)
            }
            _ => None,
        };
        let layers = layers(cx, &format!("{prefix}{}", s.layer_path), "", &s.layers)?;
        let final_norm = s.final_norm.map(|n| norm(cx, prefix, hidden, n)).transpose()?;
        Ok(Self { patches, first_norm, layers, relative, final_norm })
    }

    /// Its patches.
    pub fn patches(&self) -> &Patches {
        &self.patches
    }

    /// One pass over `images` [B, C, H, W]; hidden patches (`mask`, bool[B, N]) are the mask token.
    ///
    /// # Errors
    /// Images that do not fit the model, and libtorch's errors.
    pub fn forward(
        &self,
        images: &Tensor,
        mask: Option<&Tensor>,
        states: bool,
        cx: &Call<'_>,
    ) -> Result<VisionAnswer> {
        let (x, class) = self.patches.parts(images, mask)?;
        self.encode(self.patches.joined(x, class, cx)?, states, cx)
    }

    /// The same from tokens [B, T, hidden].
    ///
    /// # Errors
    /// libtorch's.
    pub fn encode(&self, tokens: Tensor, states: bool, cx: &Call<'_>) -> Result<VisionAnswer> {
        let mut hidden = tokens;
        if let Some(norm) = &self.first_norm {
            hidden = norm.forward(&hidden)?;
        }
        let bias = match &self.relative {
            Some(relative) => Some(relative.grid(hidden.size3()?.1, hidden.kind())?),
            None => None,
        };
        let mut pass = pass(&hidden, bias, cx)?;
        let mut kept = Vec::new();
        for layer in &self.layers {
            if states {
                kept.push(hidden.shallow_clone());
            }
            hidden = layer.forward(&hidden, &mut pass)?;
        }
        if states {
            kept.push(hidden.shallow_clone());
        }
        if let Some(norm) = &self.final_norm {
            hidden = norm.forward(&hidden)?;
        }
        Ok(VisionAnswer { hidden, states: kept })
    }
}

/// The image's vector, with its parameters.
#[derive(Debug)]
pub struct Pooler(Parts);

#[expect(clippy::large_enum_variant, reason = "there is one a model")]
#[derive(Debug)]
enum Parts {
    State,
    Class(Norm),
    Mean(Norm, i64),
    Dense(Transform),
    Query { probe: Tensor, attention: Attention, norm: Norm, feed_forward: FeedForward },
}

impl Pooler {
    /// Parameters below `prefix` (with its dot, or empty).
    ///
    /// # Errors
    /// The host's.
    pub fn new(
        cx: &mut Build<'_>,
        prefix: &str,
        patches: &PatchesSpecification,
        s: &VisionPooling,
    ) -> Result<Self> {
        let hidden = patches.hidden;
        Ok(Self(match s {
            VisionPooling::State => Parts::State,
            VisionPooling::Class(n) => Parts::Class(norm(cx, prefix, hidden, *n)?),
            VisionPooling::Mean(n) => {
                Parts::Mean(norm(cx, prefix, hidden, *n)?, i64::from(patches.class.is_some()))
            }
            VisionPooling::Dense(s) => Parts::Dense(Transform::new(cx, prefix, hidden, s)?),
            VisionPooling::Query { probe, attention, norm: n, feed_forward } => {
                let init = Init::Normal { mean: 0.0, std: 1.0 };
                let head = format!("{prefix}head");
                Parts::Query {
                    probe: named(cx, prefix, *probe, &[hidden], init)?,
                    attention: Attention::new(
                        cx,
                        &format!("{head}.attention"),
                        "pooler.attention",
                        0,
                        attention,
                    )?,
                    norm: norm(cx, prefix, hidden, *n)?,
                    feed_forward: FeedForward::new(cx, &head, "pooler.feed_forward", feed_forward)?,
                }
            }
        }))
    }

    /// States [B, tokens, hidden] to [B, size].
    ///
    /// # Errors
    /// libtorch's.
    pub fn forward(&self, hidden: &Tensor, cx: &Call<'_>) -> Result<Tensor> {
        let (batch, tokens, size) = hidden.size3()?;
        match &self.0 {
            Parts::State => Ok(hidden.f_select(1, 0)?),
            Parts::Class(norm) => norm.forward(&hidden.f_select(1, 0)?),
            Parts::Mean(norm, first) => {
                let patches = hidden.f_narrow(1, *first, tokens - first)?;
                norm.forward(&patches.f_mean_dim([1_i64].as_slice(), false, hidden.kind())?)
            }
            Parts::Dense(transform) => transform.forward(&hidden.f_select(1, 0)?),
            Parts::Query { probe, attention, norm, feed_forward } => {
                let query = probe.f_view([1, 1, size])?.f_expand([batch, 1, size], false)?;
                let mut pass = pass(&query, None, cx)?;
                pass.memory = Some(Memory {
                    states: Some(hidden.shallow_clone()),
                    masks: Masks::new(None, 1, tokens, (hidden.kind(), hidden.device()))?,
                    cache: Cache::default(),
                    kept: None,
                });
                let x = attention.cross(&query, &mut pass)?;
                let y = feed_forward.forward(&norm.forward(&x)?, cx)?;
                Ok(y.f_add(&x)?.f_select(1, 0)?)
            }
        }
    }
}

/// A masked autoencoder's decoder with its parameters.
#[derive(Debug)]
pub struct Decoder {
    specification: DecoderSpecification,
    embed: Projection,
    mask: Tensor,
    positions: Tensor,
    layers: Vec<Layer>,
    norm: Norm,
    predict: Projection,
}

/// Which patches the encoder sees.
#[derive(Debug)]
pub struct Sight {
    /// Numbers of the patches that it sees, int[B, K].
    pub kept: Tensor,
    /// Where each patch lies among those seen and then those hidden, int[B, N].
    pub places: Tensor,
    /// True for those hidden, bool[B, N].
    pub hidden: Tensor,
}

impl Decoder {
    /// Parameters below the specification's prefix.
    ///
    /// # Errors
    /// The host's.
    pub fn new(cx: &mut Build<'_>, patches: &PatchesSpecification, s: &DecoderSpecification) -> Result<Self> {
        let prefix = s.prefix;
        let name = |part: &str| format!("{prefix}{part}");
        let pixels = patches.patch.iter().product::<i64>() * patches.channels;
        Ok(Self {
            embed: Projection::new(cx, &name("decoder_embed"), patches.hidden, s.hidden, s.style)?,
            mask: cx.parameter(&name("mask_token"), &[1, 1, s.hidden], s.style.init())?,
            positions: waves(cx, &name("decoder_pos_embed"), patches.grid(), s.hidden)?,
            layers: layers(cx, &name("decoder_encoder.layer"), "decoder.", &s.layers)?,
            norm: Norm::new(cx, &name("decoder_norm"), s.hidden, s.norm)?,
            predict: Projection::new(cx, &name("decoder_pred"), s.hidden, pixels, s.style)?,
            specification: s.clone(),
        })
    }

    /// Hides the patches of the largest noise, float[B, N].
    ///
    /// # Errors
    /// libtorch's.
    pub fn sight(&self, noise: &Tensor) -> Result<Sight> {
        let count = noise.size2()?.1;
        let kept = (count as f64 * (1.0 - self.specification.share)) as i64;
        let order = noise.f_argsort(1, false)?;
        let places = order.f_argsort(1, false)?;
        Ok(Sight { kept: order.f_narrow(1, 0, kept)?, hidden: places.f_ge(kept)?, places })
    }

    /// The encoder's states of the class token and the patches seen, [B, K + 1, hidden], to the pixels
    /// of all patches, [B, N, pixels].
    ///
    /// # Errors
    /// libtorch's.
    pub fn forward(&self, hidden: &Tensor, sight: &Sight, cx: &Call<'_>) -> Result<Tensor> {
        let size = self.specification.hidden;
        let x = self.embed.forward(hidden)?;
        let (batch, seen, _) = x.size3()?;
        let count = sight.places.size2()?.1;
        let masks = self.mask.f_expand([batch, count + 1 - seen, size], false)?;
        let all = Tensor::f_cat(&[&x.f_narrow(1, 1, seen - 1)?, &masks], 1)?;
        let index = sight.places.f_unsqueeze(-1)?.f_expand([batch, count, size], false)?;
        let all = all.f_gather(1, &index, false)?;
        let mut x = Tensor::f_cat(&[&x.f_narrow(1, 0, 1)?, &all], 1)?.f_add(&self.positions)?;
        let mut pass = pass(&x, None, cx)?;
        for layer in &self.layers {
            x = layer.forward(&x, &mut pass)?;
        }
        Ok(self.predict.forward(&self.norm.forward(&x)?)?.f_narrow(1, 1, count)?)
    }

    /// What the pixels of all patches, [B, N, pixels], are predicted as.
    ///
    /// # Errors
    /// libtorch's.
    pub fn targets(&self, pixels: Tensor) -> Result<Tensor> {
        if !self.specification.normal {
            return Ok(pixels);
        }
        let mean = pixels.f_mean_dim([-1_i64].as_slice(), true, pixels.kind())?;
        let variance = pixels.f_var_dim([-1_i64].as_slice(), true, true)?;
        Ok(pixels.f_sub(&mean)?.f_div(&variance.f_add_scalar(1e-6)?.f_sqrt()?)?)
    }
}

/// The map of a pooling query, whose weights are stored as one.
pub(crate) const QUERY_MAPS: Inputs = Inputs::FusedFlat { weight: "in_proj_weight", bias: "in_proj_bias" };
