//! Sound as a row of frames: convolutions over samples (Baevski et al., 2020), each of which makes fewer
//! frames.

use crate::blocks::activation::Activation;
use crate::blocks::conformer::convolution_init;
use crate::blocks::norm::{Norm, NormKind, NormSpecification};
use crate::blocks::shortening::shortened;
use zoo_plugin::prelude::*;

/// What stands after convolutions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaveformNorm {
    /// Of each feature over the whole sound, after the first one.
    Group,
    /// Of each frame, after every one.
    Layer,
}

/// One convolution.
#[derive(Clone, Copy, Debug)]
pub struct WaveformLayer {
    /// Features that it gives.
    pub size: i64,
    /// Frames that it spans.
    pub width: i64,
    /// Frames from one place to the next.
    pub step: i64,
}

/// The convolutions.
#[derive(Clone, Debug)]
pub struct WaveformSpecification {
    /// In order; at least one.
    pub layers: Vec<WaveformLayer>,
    /// Whether they have a bias.
    pub bias: bool,
    /// What stands after them.
    pub norm: WaveformNorm,
    /// The function after that.
    pub activation: Activation,
}

#[derive(Debug)]
struct Layer {
    weight: Tensor,
    bias: Option<Tensor>,
    norm: Option<Norm>,
    specification: WaveformLayer,
}

/// Convolutions with their parameters.
#[derive(Debug)]
pub struct Waveform {
    layers: Vec<Layer>,
    norm: WaveformNorm,
    activation: Activation,
}

/// The makers' program has it so whatever `layer_norm_eps` says.
const EPSILON: f64 = 1e-5;

impl Waveform {
    /// Parameters below `path`.
    ///
    /// # Errors
    /// The host's.
    pub fn new(cx: &mut Build<'_>, path: &str, s: &WaveformSpecification) -> Result<Self> {
        let (mut inputs, mut layers) = (1, Vec::new());
        for (i, layer) in s.layers.iter().enumerate() {
            let name = |part: &str| format!("{path}.conv_layers.{i}.{part}");
            let shape = [layer.size, inputs, layer.width];
            let weight =
                cx.parameter(&name("conv.weight"), &shape, convolution_init(inputs * layer.width))?;
            let bias = if s.bias {
                Some(cx.parameter(&name("conv.bias"), &[layer.size], Init::Zeros)?)
            } else {
                None
            };
            let norm = if s.norm == WaveformNorm::Layer || i == 0 {
                let norm = NormSpecification { kind: NormKind::Layer { bias: true }, epsilon: EPSILON };
                Some(Norm::new(cx, &name("layer_norm"), layer.size, norm)?)
            } else {
                None
            };
            layers.push(Layer { weight, bias, norm, specification: *layer });
            inputs = layer.size;
        }
        Ok(Self { layers, norm: s.norm, activation: s.activation })
    }

    /// Samples `float[B, S]` to frames [B, T, size].
    ///
    /// # Errors
    /// A sound that is shorter than one frame, and libtorch's errors.
    pub fn forward(&self, samples: &Tensor) -> Result<Tensor> {
        let length = samples.size2()?.1;
        if self.frames(length) < 1 {
            return Err(Error::new(format!("a sound of {length} samples has no frame"))
                .help("give longer sounds, or pad them")
                .at("in.sound"));
        }
        let mut x = samples.f_unsqueeze(1)?;
        for layer in &self.layers {
            x = x.f_conv1d(&layer.weight, layer.bias.as_ref(), [layer.specification.step], [0], [1], 1)?;
            x = match &layer.norm {
                Some(norm) if self.norm == WaveformNorm::Group => norm.forward_features(&x)?,
                Some(norm) => norm.forward(&x.f_transpose(1, 2)?)?.f_transpose(1, 2)?,
                None => x,
            };
            x = self.activation.forward(&x)?;
        }
        Ok(x.f_transpose(1, 2)?)
    }

    fn frames(&self, samples: i64) -> i64 {
        let steps = self.layers.iter().map(|layer| layer.specification);
        steps.fold(samples, |n, s| if n < s.width { 0 } else { (n - s.width) / s.step + 1 })
    }

    /// How many frames sounds of these lengths have: `int[B]` to the same.
    ///
    /// # Errors
    /// libtorch's.
    pub fn lengths(&self, samples: Tensor) -> Result<Tensor> {
        let mut steps = self.layers.iter().map(|layer| layer.specification);
        steps.try_fold(samples, |lengths, s| shortened(&lengths, s.width, s.step, 0))
    }
}
