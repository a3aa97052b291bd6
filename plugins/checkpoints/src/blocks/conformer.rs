//! Conformer layers (Gulati et al., 2020): half a feed-forward block, attention, a gated convolution, and
//! the other half.

use crate::blocks::activation::Activation;
use crate::blocks::attention::{Attention, AttentionSpecification};
use crate::blocks::feed_forward::{FeedForward, FeedForwardSpecification};
use crate::blocks::norm::{Norm, NormSpecification};
use crate::blocks::pass::Pass;
use zoo_plugin::prelude::*;

/// What stands after the convolution over time.
#[derive(Clone, Copy, Debug)]
pub enum Normalisation {
    /// Mean 0 and variance 1 of each feature over the batch (Ioffe and Szegedy, 2015); outside of training,
    /// over what was seen in it.
    Batch,
    /// Of each frame.
    Layer(NormSpecification),
}

/// The convolution of a conformer layer.
#[derive(Clone, Copy, Debug)]
pub struct GatedConvolutionSpecification {
    /// Frames that it spans; odd.
    pub width: i64,
    /// Whether it looks at the past alone; else at both sides.
    pub causal: bool,
    /// Whether padding is hidden from it.
    pub hides_padding: bool,
    /// Before it.
    pub norm: NormSpecification,
    /// After it.
    pub normalisation: Normalisation,
    /// The function after that.
    pub activation: Activation,
    /// Dropout at the end.
    pub dropout: f64,
}

/// One layer.
#[derive(Clone, Copy, Debug)]
pub struct ConformerSpecification {
    /// The feed-forward block before attention.
    pub first: FeedForwardSpecification,
    /// Attention.
    pub attention: AttentionSpecification,
    /// The convolution.
    pub convolution: GatedConvolutionSpecification,
    /// The feed-forward block after the convolution.
    pub last: FeedForwardSpecification,
    /// Norms before the blocks, and after the layer.
    pub norm: NormSpecification,
    /// Dropout of what attention adds.
    pub attention_output_dropout: f64,
    /// Dropout of what the feed-forward blocks add.
    pub dropout: f64,
}

/// The standard deviation of new convolution weights with `inputs` summands (He et al., 2015).
pub(crate) fn convolution_init(inputs: i64) -> Init {
    Init::Normal { mean: 0.0, std: (2.0 / inputs.max(1) as f64).sqrt() }
}

#[derive(Debug)]
enum Normalised {
    Batch { weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, count: Tensor },
    Layer(Norm),
}

#[derive(Debug)]
struct GatedConvolution {
    specification: GatedConvolutionSpecification,
    norm: Norm,
    gate: Tensor,
    depth: Tensor,
    normalised: Normalised,
    point: Tensor,
}

impl GatedConvolution {
    fn new(cx: &mut Build<'_>, path: &str, hidden: i64, s: GatedConvolutionSpecification) -> Result<Self> {
        if s.width % 2 == 0 {
            return Err(Error::new(format!(
                "`conv_depthwise_kernel_size` of config.json is {}, which is not odd",
                s.width
            ))
            .at("config"));
        }
        let name = |part: &str| format!("{path}.{part}");
        let norm = Norm::new(cx, &name("layer_norm"), hidden, s.norm)?;
        let inner = convolution_init(hidden);
        let gate = cx.parameter(&name("pointwise_conv1.weight"), &[2 * hidden, hidden, 1], inner)?;
        let shape = [hidden, 1, s.width];
        let depth = cx.parameter(&name("depthwise_conv.weight"), &shape, convolution_init(s.width))?;
        let normalised = match s.normalisation {
            Normalisation::Layer(norm) => {
                Normalised::Layer(Norm::new(cx, &name("depthwise_layer_norm"), hidden, norm)?)
            }
            Normalisation::Batch => {
                let mut buffer = |part: &str, init| {
                    cx.buffer(&name(&format!("batch_norm.{part}")), &[hidden], Kind::Float, init)
                };
                let (mean, variance) =
                    (buffer("running_mean", Init::Zeros)?, buffer("running_var", Init::Ones)?);
                let count = name("batch_norm.num_batches_tracked");
                Normalised::Batch {
                    weight: cx.parameter(&name("batch_norm.weight"), &[hidden], Init::Ones)?,
                    bias: cx.parameter(&name("batch_norm.bias"), &[hidden], Init::Zeros)?,
                    mean,
                    variance,
                    count: cx.buffer(&count, &[], Kind::Int64, Init::Zeros)?,
                }
            }
        };
        let point = cx.parameter(&name("pointwise_conv2.weight"), &[hidden, hidden, 1], inner)?;
        Ok(Self { specification: s, norm, gate, depth, normalised, point })
    }

    /// x [B, T, hidden] to what is added to it.
    fn forward(&self, x: &Tensor, pass: &Pass<'_, '_>) -> Result<Tensor> {
        let s = &self.specification;
        let mut x = self.norm.forward(x)?;
        if let (true, Some(tokens)) = (s.hides_padding, pass.masks.tokens()) {
            x = x.f_masked_fill(&tokens.f_logical_not()?.f_unsqueeze(-1)?, 0.0)?;
        }
        let none = None::<&Tensor>;
        let point = |x: &Tensor, weight: &Tensor| x.f_conv1d(weight, none, [1_i64], [0_i64], [1_i64], 1);
        let mut y = point(&x.f_transpose(1, 2)?, &self.gate)?.f_glu(1)?;
        let mut padding = (s.width - 1) / 2;
        if s.causal {
            (y, padding) = (y.f_constant_pad_nd([s.width - 1, 0])?, 0);
        }
        let hidden = self.depth.size()[0];
        y = y.f_conv1d(&self.depth, none, [1_i64], [padding], [1_i64], hidden)?;
        y = match &self.normalised {
            Normalised::Layer(norm) => norm.forward(&y.f_transpose(1, 2)?)?.f_transpose(1, 2)?,
            Normalised::Batch { weight, bias, mean, variance, count } => {
                let training = pass.cx.training();
                if training {
                    // A buffer's own tensor counts: the one in hand is another name of it.
                    let _ = count.shallow_clone().f_add_scalar_(1)?;
                }
                let (weight, bias) = (Some(weight), Some(bias));
                y.f_batch_norm(weight, bias, Some(mean), Some(variance), training, 0.1, 1e-5, false)?
            }
        };
        let y = point(&s.activation.forward(&y)?, &self.point)?;
        dropout(y, s.dropout, pass.cx)?.f_transpose(1, 2).map_err(Into::into)
    }
}

/// A layer with its parameters.
#[derive(Debug)]
pub struct Conformer {
    blocks: [(Norm, FeedForward); 2],
    attention: (Norm, Attention),
    convolution: GatedConvolution,
    norm: Norm,
    attention_output_dropout: f64,
    dropout: f64,
}

impl Conformer {
    /// Parameters below `path`, sites below `site`.
    ///
    /// # Errors
    /// An even convolution, and the host's errors.
    pub fn new(cx: &mut Build<'_>, path: &str, site: &str, s: &ConformerSpecification) -> Result<Self> {
        let hidden = s.attention.hidden;
        let norm = |cx: &mut Build<'_>, name: &str| Norm::new(cx, &format!("{path}.{name}"), hidden, s.norm);
        let mut block = |name: &str, at: &str, inner: &FeedForwardSpecification| -> Result<_> {
            Ok((norm(cx, name)?, FeedForward::new(cx, path, &format!("{site}.{at}"), inner)?))
        };
        let blocks = [
            block("ffn1_layer_norm", "first_feed_forward", &s.first)?,
            block("ffn2_layer_norm", "last_feed_forward", &s.last)?,
        ];
        let attention = (
            norm(cx, "self_attn_layer_norm")?,
            Attention::new(cx, &format!("{path}.self_attn"), &format!("{site}.attention"), 0, &s.attention)?,
        );
        let convolution = GatedConvolution::new(cx, &format!("{path}.conv_module"), hidden, s.convolution)?;
        Ok(Self {
            blocks,
            attention,
            convolution,
            norm: norm(cx, "final_layer_norm")?,
            attention_output_dropout: s.attention_output_dropout,
            dropout: s.dropout,
        })
    }

    /// x with half of what a feed-forward block makes of it.
    fn half(&self, x: &Tensor, block: usize, cx: &Call<'_>) -> Result<Tensor> {
        let (norm, feed_forward) = &self.blocks[block];
        let y = dropout(feed_forward.forward(&norm.forward(x)?, cx)?, self.dropout, cx)?;
        Ok(y.f_mul_scalar(0.5)?.f_add(x)?)
    }

    /// x [B, T, hidden] to the same shape.
    ///
    /// # Errors
    /// libtorch's, and those of adapters.
    pub fn forward(&self, x: &Tensor, pass: &mut Pass<'_, '_>) -> Result<Tensor> {
        let x = self.half(x, 0, pass.cx)?;
        let (norm, attention) = &self.attention;
        let y = attention.forward(&norm.forward(&x)?, pass)?;
        let x = dropout(y, self.attention_output_dropout, pass.cx)?.f_add(&x)?;
        let x = self.convolution.forward(&x, pass)?.f_add(&x)?;
        self.norm.forward(&self.half(&x, 1, pass.cx)?)
    }
}
