//! Fewer frames after the last layer: convolutions with steps, alone or before attention.

use crate::blocks::attention::{Attention, AttentionSpecification};
use crate::blocks::conformer::convolution_init;
use crate::blocks::feed_forward::{FeedForward, FeedForwardSpecification};
use crate::blocks::mask::Masks;
use crate::blocks::norm::{Norm, NormSpecification};
use crate::blocks::pass::Pass;
use crate::blocks::projection::{Projection, Style};
use zoo_plugin::prelude::*;

/// How many places a convolution of that width, step and padding has in rows of these lengths.
pub(crate) fn shortened(lengths: &Tensor, width: i64, step: i64, padding: i64) -> Result<Tensor> {
    Ok(lengths.f_add_scalar(2 * padding - width)?.f_floor_divide_scalar(step)?.f_add_scalar(1)?)
}

/// True before each row's length: `int[B]` to `bool[B, count]`.
pub(crate) fn before(lengths: &Tensor, count: i64) -> Result<Tensor> {
    let places = Tensor::f_arange(count, (Kind::Int64, lengths.device()))?.f_unsqueeze(0)?;
    Ok(places.f_lt_tensor(&lengths.f_unsqueeze(1)?)?)
}

/// How frames become fewer.
#[derive(Clone, Copy, Debug)]
pub struct ShorteningSpecification {
    /// Size of the states before.
    pub hidden: i64,
    /// Size of the states after; another one needs a map and a norm.
    pub size: i64,
    /// Norms.
    pub norm: NormSpecification,
    /// Layers.
    pub layers: i64,
    /// Frames that a convolution spans.
    pub width: i64,
    /// Frames from one place to the next.
    pub step: i64,
    /// Frames beyond either end that it sees as zeros.
    pub padding: i64,
    /// What stands after the convolutions; nothing for gates alone.
    pub attention: Option<(AttentionSpecification, FeedForwardSpecification)>,
    /// Dropout of what attention adds.
    pub attention_dropout: f64,
    /// Dropout of what the feed-forward block adds.
    pub dropout: f64,
    /// How likely a layer is left out in training.
    pub layer_drop: f64,
    /// How maps are stored.
    pub style: Style,
}

#[derive(Debug)]
struct Convolution {
    weight: Tensor,
    bias: Tensor,
    step: i64,
    padding: i64,
}

impl Convolution {
    fn new(cx: &mut Build<'_>, name: &str, s: &ShorteningSpecification) -> Result<Self> {
        let shape = [2 * s.size, s.size, s.width];
        let init = convolution_init(s.size * s.width);
        let weight = cx.parameter(&format!("{name}.weight"), &shape, init)?;
        let bias = cx.parameter(&format!("{name}.bias"), &[2 * s.size], Init::Zeros)?;
        Ok(Self { weight, bias, step: s.step, padding: s.padding })
    }

    /// x [B, T, size] to [B, fewer, size].
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (_, length, _) = x.size3()?;
        let width = self.weight.size()[2];
        if length + 2 * self.padding < width {
            return Err(Error::new(format!("{length} frames are fewer than the {width} of a convolution"))
                .help("give longer sounds, or pad them"));
        }
        let x = x.f_transpose(1, 2)?;
        let y = x.f_conv1d(&self.weight, Some(&self.bias), [self.step], [self.padding], [1], 1)?;
        Ok(y.f_glu(1)?.f_transpose(1, 2)?)
    }
}

#[derive(Debug)]
struct Attending {
    beside: (Norm, Convolution),
    before: (Norm, Convolution),
    attention: Attention,
    feed_forward: (Norm, FeedForward),
}

#[derive(Debug)]
enum Layer {
    Gated(Convolution),
    Attending(Box<Attending>),
}

/// The layers with their parameters.
#[derive(Debug)]
pub struct Shortening {
    specification: ShorteningSpecification,
    map: Option<(Projection, Norm)>,
    layers: Vec<Layer>,
}

impl Shortening {
    /// Parameters below `path`.
    ///
    /// # Errors
    /// The host's.
    pub fn new(cx: &mut Build<'_>, path: &str, s: &ShorteningSpecification) -> Result<Self> {
        let map = if s.size == s.hidden {
            None
        } else {
            let map = Projection::new(cx, &format!("{path}.proj"), s.hidden, s.size, s.style)?;
            Some((map, Norm::new(cx, &format!("{path}.proj_layer_norm"), s.size, s.norm)?))
        };
        let mut layers = Vec::new();
        for i in 0..s.layers {
            let at = |part: &str| format!("{path}.layers.{i}.{part}");
            layers.push(match &s.attention {
                None => Layer::Gated(Convolution::new(cx, &at("conv"), s)?),
                Some((attention, feed_forward)) => {
                    let norm = |cx: &mut Build<'_>, name| Norm::new(cx, &at(name), s.size, s.norm);
                    let site = format!("shortening.{i}");
                    Layer::Attending(Box::new(Attending {
                        beside: (
                            norm(cx, "residual_layer_norm")?,
                            Convolution::new(cx, &at("residual_conv"), s)?,
                        ),
                        before: (
                            norm(cx, "self_attn_layer_norm")?,
                            Convolution::new(cx, &at("self_attn_conv"), s)?,
                        ),
                        attention: Attention::new(
                            cx,
                            &at("self_attn"),
                            &format!("{site}.attention"),
                            0,
                            attention,
                        )?,
                        feed_forward: (
                            norm(cx, "ffn_layer_norm")?,
                            FeedForward::new(
                                cx,
                                &format!("{path}.layers.{i}"),
                                &format!("{site}.feed_forward"),
                                feed_forward,
                            )?,
                        ),
                    }))
                }
            });
        }
        Ok(Self { specification: *s, map, layers })
    }

    /// How many frames are left of rows of these lengths: `int[B]` to the same.
    ///
    /// # Errors
    /// libtorch's.
    pub fn lengths(&self, mut lengths: Tensor) -> Result<Tensor> {
        let s = &self.specification;
        for _ in &self.layers {
            lengths = shortened(&lengths, s.width, s.step, s.padding)?;
        }
        Ok(lengths)
    }

    /// x [B, T, hidden] to [B, fewer, size]; `lengths`, `int[B]`, are those of the rows where some are
    /// padded.
    ///
    /// # Errors
    /// Too few frames, and libtorch's errors.
    pub fn forward(&self, x: Tensor, mut lengths: Option<Tensor>, cx: &Call<'_>) -> Result<Tensor> {
        let s = &self.specification;
        let mut x = match &self.map {
            Some((map, norm)) => norm.forward(&map.forward(&x)?)?,
            None => x,
        };
        for layer in &self.layers {
            lengths = lengths.map(|l| shortened(&l, s.width, s.step, s.padding)).transpose()?;
            if left_out(s.layer_drop, cx)? {
                continue;
            }
            x = match layer {
                Layer::Gated(convolution) => convolution.forward(&x)?,
                Layer::Attending(layer) => {
                    let beside = layer.beside.1.forward(&layer.beside.0.forward(&x)?)?;
                    let y = layer.before.1.forward(&layer.before.0.forward(&x)?)?;
                    let count = y.size3()?.1;
                    let tokens = lengths.as_ref().map(|l| before(l, count)).transpose()?;
                    let masks = Masks::new(tokens.as_ref(), count, count, (y.kind(), y.device()))?;
                    let y = layer.attention.forward(&y, &mut Pass::plain(cx, masks))?;
                    let x = dropout(y, s.attention_dropout, cx)?.f_add(&beside)?;
                    let (norm, feed_forward) = &layer.feed_forward;
                    let y = feed_forward.forward(&norm.forward(&x)?, cx)?;
                    dropout(y, s.dropout, cx)?.f_add(&x)?
                }
            };
        }
        Ok(x)
    }
}

/// Whether a layer is left out of this call, in training (Fan et al., 2020).
pub(crate) fn left_out(rate: f64, cx: &Call<'_>) -> Result<bool> {
    if rate <= 0.0 || !cx.training() {
        return Ok(false);
    }
    Ok(f64::try_from(Tensor::f_rand([1], (Kind::Double, Device::Cpu))?)? < rate)
}
