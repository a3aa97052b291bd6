//! A speech model with its parameters, and one forward pass through it.

use crate::blocks::conformer::{Conformer, ConformerSpecification};
use crate::blocks::feed_forward::{FeedForward, FeedForwardSpecification};
use crate::blocks::mask::Masks;
use crate::blocks::norm::{Norm, NormSpecification};
use crate::blocks::pass::Pass;
use crate::blocks::projection::{Projection, Style};
use crate::blocks::rotary::RotarySpecification;
use crate::blocks::shortening::{Shortening, ShorteningSpecification, before, left_out};
use crate::blocks::waveform::{Waveform, WaveformSpecification};
use zoo_plugin::prelude::*;

/// A convolution over time whose parameters checkpoints have, and which their model never uses.
#[derive(Clone, Copy, Debug)]
pub struct UnusedConvolution {
    /// What its names begin with.
    pub name: &'static str,
    /// Frames that it spans.
    pub width: i64,
    /// Groups of features.
    pub groups: i64,
}

/// A speech model as plain data: what a family makes of its `config.json`.
#[derive(Clone, Debug)]
pub struct SpeechSpecification {
    /// The `model_type`.
    pub family: &'static str,
    /// What the names of the base model begin with in a model with a head.
    pub prefix: &'static str,
    /// Size of the states.
    pub hidden: i64,
    /// How samples become frames; nothing where frames are given.
    pub waveform: Option<WaveformSpecification>,
    /// Size of a frame.
    pub features: i64,
    /// The norm of frames, and that after the last layer where there is one.
    pub norm: NormSpecification,
    /// Dropout of frames after their map.
    pub features_dropout: f64,
    /// Dropout before the first layer.
    pub dropout: f64,
    /// Whether there is a vector that stands for hidden frames, and whether frames may be hidden.
    pub mask: (bool, bool),
    /// Layers.
    pub layers: Vec<ConformerSpecification>,
    /// How likely a layer is left out in training.
    pub layer_drop: f64,
    /// Rotary embeddings, to which layers refer by number.
    pub rotary: Vec<RotarySpecification>,
    /// Whether there is a norm after the last layer.
    pub final_norm: bool,
    /// A convolution that is saved and not used.
    pub unused: Option<UnusedConvolution>,
    /// A feed-forward block after the last layer.
    pub intermediate: Option<FeedForwardSpecification>,
    /// How frames become fewer in the end.
    pub shortening: Option<ShorteningSpecification>,
    /// Number of letters, that of silence included; none where config.json does not say it.
    pub letters: Option<i64>,
    /// Dropout before the letters' scores.
    pub final_dropout: f64,
    /// How maps are stored.
    pub style: Style,
}

impl SpeechSpecification {
    /// Other rates than the configuration's.
    #[must_use]
    pub fn changed(
        mut self,
        dropout: Option<f64>,
        attention_dropout: Option<f64>,
        layer_drop: Option<f64>,
    ) -> Self {
        if let Some(rate) = dropout {
            (self.dropout, self.features_dropout, self.final_dropout) = (rate, rate, rate);
            for layer in &mut self.layers {
                (layer.dropout, layer.attention_output_dropout) = (rate, rate);
                layer.convolution.dropout = rate;
                (layer.first.dropout, layer.last.dropout) = (rate, rate);
            }
            if let Some(s) = &mut self.shortening {
                (s.attention_dropout, s.dropout) = (rate, rate);
                s.attention.iter_mut().for_each(|(_, block)| block.dropout = rate);
            }
            self.intermediate.iter_mut().for_each(|block| block.dropout = rate);
        }
        if let Some(rate) = attention_dropout {
            self.layers.iter_mut().for_each(|layer| layer.attention.dropout = rate);
            let inner = self.shortening.as_mut().and_then(|s| s.attention.as_mut());
            inner.into_iter().for_each(|(attention, _)| attention.dropout = rate);
        }
        if let Some(rate) = layer_drop {
            self.layer_drop = rate;
            self.shortening.iter_mut().for_each(|s| s.layer_drop = rate);
        }
        self
    }

    /// Size of what the model gives for a frame.
    pub fn size(&self) -> i64 {
        self.shortening.map_or(self.hidden, |s| s.size)
    }
}

/// Frames, layers and what stands after them.
#[derive(Debug)]
pub struct SpeechStack {
    specification: SpeechSpecification,
    waveform: Option<Waveform>,
    features: (Norm, Projection),
    mask: Option<Tensor>,
    layers: Vec<Conformer>,
    final_norm: Option<Norm>,
    intermediate: Option<FeedForward>,
    shortening: Option<Shortening>,
}

/// What a pass is made from.
#[derive(Clone, Copy, Debug)]
pub struct SpeechInputs<'t> {
    /// Frames, `float[B, T, features]`, or samples, which are frames of size 1.
    pub sound: &'t Tensor,
    /// 1 for them, 0 for padding after them, `int[B, T]`.
    pub attention_mask: Option<&'t Tensor>,
    /// True for frames that are hidden, `bool[B, frames]`.
    pub hidden: Option<&'t Tensor>,
}

/// What a pass gives.
#[derive(Debug)]
pub struct SpeechAnswer {
    /// The last states, [B, K, size].
    pub hidden: Tensor,
    /// 1 for those that are not padding, int[B, K].
    pub mask: Tensor,
    /// Frames after their norm, [B, T, features].
    pub features: Tensor,
    /// What goes into the first layer, and each layer's states before the final norm; empty where not
    /// asked for.
    pub states: Vec<Tensor>,
}

/// How many are true in each row: bool[B, T] to int[B].
fn lengths(tokens: &Tensor) -> Result<Tensor> {
    Ok(tokens.f_sum_dim_intlist([1_i64].as_slice(), false, Kind::Int64)?)
}

impl SpeechStack {
    /// Parameters below `prefix` (with its dot, or empty).
    ///
    /// # Errors
    /// The host's.
    pub fn new(cx: &mut Build<'_>, prefix: &str, s: &SpeechSpecification) -> Result<Self> {
        let name = |part: &str| format!("{prefix}{part}");
        let waveform = match &s.waveform {
            Some(inner) => Some(Waveform::new(cx, &name("feature_extractor"), inner)?),
            None => None,
        };
        let features = (
            Norm::new(cx, &name("feature_projection.layer_norm"), s.features, s.norm)?,
            Projection::new(cx, &name("feature_projection.projection"), s.features, s.hidden, s.style)?,
        );
        let mask = if s.mask.0 {
            let init = Init::Uniform { low: 0.0, high: 1.0 };
            Some(cx.parameter(&name("masked_spec_embed"), &[s.hidden], init)?)
        } else {
            None
        };
        if let Some(UnusedConvolution { name: stem, width, groups }) = s.unused {
            let at = |part: &str| format!("{prefix}{stem}.{part}");
            let shape = [s.hidden, s.hidden / groups, width];
            // Ones: a norm of zero has no direction.
            let _ = cx.buffer(&at("bias"), &[s.hidden], Kind::Float, Init::Zeros)?;
            let _ =
                cx.buffer(&at("parametrizations.weight.original0"), &[1, 1, width], Kind::Float, Init::Ones)?;
            let _ = cx.buffer(&at("parametrizations.weight.original1"), &shape, Kind::Float, Init::Ones)?;
        }
        let layers = s.layers.iter().enumerate();
        let layers = layers
            .map(|(i, layer)| {
                Conformer::new(cx, &name(&format!("encoder.layers.{i}")), &format!("layers.{i}"), layer)
            })
            .collect::<Result<_>>()?;
        let final_norm = if s.final_norm {
            Some(Norm::new(cx, &name("encoder.layer_norm"), s.hidden, s.norm)?)
        } else {
            None
        };
        let intermediate = match &s.intermediate {
            Some(inner) => Some(FeedForward::new(cx, &name("intermediate_ffn"), "intermediate", inner)?),
            None => None,
        };
        let shortening = match &s.shortening {
            Some(inner) => Some(Shortening::new(cx, &name("adapter"), inner)?),
            None => None,
        };
        Ok(Self {
            specification: s.clone(),
            waveform,
            features,
            mask,
            layers,
            final_norm,
            intermediate,
            shortening,
        })
    }

    /// Frames before their norm, [B, T, features], and which are none of padding where some are, bool[B, T].
    fn frames(&self, x: &SpeechInputs<'_>) -> Result<(Tensor, Option<Tensor>)> {
        let (_, count, size) = x.sound.size3()?;
        let (wanted, what) = match &self.waveform {
            Some(_) => (1, "samples, frames of size 1"),
            None => (self.specification.features, "frames of filter banks"),
        };
        if size != wanted {
            let family = self.specification.family;
            return Err(Error::new(format!(
                "the sound has {size} numbers a place, and the model takes {wanted}"
            ))
            .help(format!("family `{family}` takes {what}"))
            .at("in.sound"));
        }
        let mut tokens = match x.attention_mask {
            Some(mask) if mask.size() != x.sound.size()[..2] => {
                return Err(Error::new(format!(
                    "the attention mask is {:?} and must be {:?}",
                    mask.size(),
                    &x.sound.size()[..2]
                ))
                .at("in.attention_mask"));
            }
            Some(mask) => Some(mask.f_ne(0)?),
            None => None,
        };
        let Some(waveform) = &self.waveform else { return Ok((x.sound.shallow_clone(), tokens)) };
        let frames = waveform.forward(&x.sound.f_view([-1, count])?)?;
        if let Some(samples) = &tokens {
            tokens = Some(before(&waveform.lengths(lengths(samples)?)?, frames.size3()?.1)?);
        }
        Ok((frames, tokens))
    }

    /// One pass.
    ///
    /// # Errors
    /// Inputs that the family does not take or that do not fit, and libtorch's errors.
    pub fn forward(&self, x: &SpeechInputs<'_>, wanted: bool, cx: &Call<'_>) -> Result<SpeechAnswer> {
        let s = &self.specification;
        let (frames, tokens) = self.frames(x)?;
        let (batch, count, _) = frames.size3()?;
        let features = self.features.0.forward(&frames)?;
        let mut hidden = dropout(self.features.1.forward(&features)?, s.features_dropout, cx)?;
        if let Some(places) = x.hidden {
            hidden = self.hide(hidden, places)?;
        }
        if let Some(tokens) = &tokens {
            hidden = hidden.f_masked_fill(&tokens.f_logical_not()?.f_unsqueeze(-1)?, 0.0)?;
        }
        hidden = dropout(hidden, s.dropout, cx)?;
        let masks = Masks::new(tokens.as_ref(), count, count, (hidden.kind(), hidden.device()))?;
        let positions = Tensor::f_arange(count, (Kind::Int64, hidden.device()))?.f_unsqueeze(0)?;
        let rotations = s.rotary.iter().map(|r| r.rotation(&positions, count, hidden.kind()));
        let mut pass = Pass { rotations: rotations.collect::<Result<_>>()?, ..Pass::plain(cx, masks) };
        let mut states = Vec::new();
        for layer in &self.layers {
            if wanted {
                states.push(hidden.shallow_clone());
            }
            if !left_out(s.layer_drop, cx)? {
                hidden = layer.forward(&hidden, &mut pass)?;
            }
        }
        if wanted {
            states.push(hidden.shallow_clone());
        }
        if let Some(norm) = &self.final_norm {
            hidden = norm.forward(&hidden)?;
        }
        if let Some(block) = &self.intermediate {
            let y = dropout(block.forward(&hidden, cx)?, s.dropout, cx)?;
            hidden = y.f_mul_scalar(0.5)?.f_add(&hidden)?;
        }
        let mut mask = match &tokens {
            Some(tokens) => tokens.shallow_clone(),
            None => Tensor::f_ones([batch, count], (Kind::Bool, hidden.device()))?,
        };
        if let Some(shortening) = &self.shortening {
            let given = tokens.as_ref().map(lengths).transpose()?;
            hidden = shortening.forward(hidden, given, cx)?;
            mask = before(&shortening.lengths(lengths(&mask)?)?, hidden.size3()?.1)?;
        }
        let mask = mask.f_to_kind(Kind::Int64)?;
        Ok(SpeechAnswer { hidden, mask, features, states })
    }

    /// The mask vector in the place of hidden frames.
    fn hide(&self, states: Tensor, places: &Tensor) -> Result<Tensor> {
        let fail = |text: String| Error::new(text).at("in.mask_time_indices");
        let (Some(mask), true) = (&self.mask, self.specification.mask.1) else {
            let key = if self.mask.is_some() { "apply_spec_augment" } else { "mask_time_prob" };
            return Err(fail(format!("`{key}` of config.json says that frames are not hidden")));
        };
        if places.size() != states.size()[..2] {
            return Err(fail(format!(
                "the mask is {:?} and must be {:?}: one entry a frame",
                places.size(),
                &states.size()[..2]
            )));
        }
        let places = places.f_to_kind(Kind::Bool)?.f_unsqueeze(-1)?;
        Ok(mask.f_to_kind(states.kind())?.f_view([1, 1, -1])?.f_where_self(&places, &states)?)
    }
}
