//! Frames of sound to vectors, fewer of them.

use zoo_plugin::prelude::*;

/// Frames of filter banks to vectors, `reduction` times fewer.
///
/// With a reduction of 4, two convolutions over time and bands, each 3 × 3 with a step of 2 and followed by a ReLU,
/// then a linear map of all bands and channels; with 2, one convolution; with 1, the linear map alone. Padding is
/// zero before each convolution. A vector counts where the first of its frames does.
///
/// # Paper
/// Gulati et al.: Conformer, Interspeech 2020, section 2 (convolution subsampling).
///
/// # Example
/// ```mlm
/// model frames = speech.frame_encoder(bands: 8, hidden: 12, reduction: 2, channels: 4)
/// ```
#[component(
    architecture,
    name = "speech.frame_encoder",
    inputs(
        features: "float[B, T, bands]" = "filter banks",
        attention_mask: "int[B, T]"? = "1 for frames, 0 for padding after them; all ones, when absent",
    ),
    outputs(
        hidden: "float[B, T/reduction, hidden]" = "vectors",
        attention_mask: "int[B, T/reduction]" = "1 for vectors, 0 for those of padding",
    ),
    parameters,
    cost(
        flops = "B * T * (min(1, reduction - 1) * 9 * bands * channels / 2 + max(0, min(1, reduction - 2)) * 9 * bands * channels * channels / 8 + 2 * hidden * bands * (min(1, reduction - 1) * channels / reduction / reduction + max(0, 2 - reduction)))",
        parameters = "hidden * (1 + bands * (max(0, 2 - reduction) + min(1, reduction - 1) * channels / reduction)) + 10 * channels * min(1, reduction - 1) + channels * (9 * channels + 1) * max(0, min(1, reduction - 2))",
        activations = "B * T * (bands * channels * min(1, reduction - 1) + hidden / reduction)",
    ),
)]
pub struct FrameEncoder {
    /// Numbers of a frame; a multiple of `reduction`.
    #[param(default = 80, range = ">= 1")]
    pub bands: usize,
    /// Size of the vectors.
    #[param(default = 512, range = ">= 1")]
    pub hidden: usize,
    /// How many frames become one vector: 1, 2 or 4. Rows must be a multiple of it.
    #[param(default = 4, range = "[1, 4]")]
    pub reduction: usize,
    /// Channels of the convolutions.
    #[param(default = 256, range = ">= 1")]
    pub channels: usize,
    /// Standard deviation of the normal that the linear map starts from.
    #[param(default = 0.02, range = ">= 0")]
    pub initial_deviation: f64,
}

/// Convolutions with their biases, and the map after them.
#[derive(Debug)]
pub struct Frames {
    convolutions: Vec<(Tensor, Tensor)>,
    map: Linear,
}

impl Component for FrameEncoder {
    type State = Frames;

    fn build(&self, cx: &mut Build<'_>) -> Result<Frames> {
        if !self.reduction.is_power_of_two() {
            return Err(Error::new(format!(
                "every convolution halves the frames, and {} is no power of two",
                self.reduction
            ))
            .at("reduction")
            .help("choose 1, 2 or 4"));
        }
        if !self.bands.is_multiple_of(self.reduction) {
            return Err(Error::new(format!(
                "{} bands cannot be made {} times fewer",
                self.bands, self.reduction
            ))
            .at("bands")
            .help("choose a multiple of the reduction"));
        }
        let (bands, channels) = (self.bands as i64, self.channels as i64);
        let mut convolutions = Vec::new();
        for number in 0..i64::from(self.reduction.ilog2()) {
            let input = if number == 0 { 1 } else { channels };
            let init = Init::Normal { mean: 0.0, std: (2.0 / (9 * input) as f64).sqrt() };
            let name = format!("convolutions.{number}");
            convolutions.push((
                cx.parameter(&format!("{name}.weight"), &[channels, input, 3, 3], init)?,
                cx.parameter(&format!("{name}.bias"), &[channels], Init::Zeros)?,
            ));
        }
        let input = if convolutions.is_empty() { bands } else { channels * bands / self.reduction as i64 };
        let init = Init::Normal { mean: 0.0, std: self.initial_deviation };
        Ok(Frames { convolutions, map: Linear::new(cx, "map", input, self.hidden as i64, true, init)? })
    }

    fn call(
        &self,
        frames: &Frames,
        x: FrameEncoderInputs<'_>,
        _: &mut Call<'_>,
    ) -> Result<FrameEncoderOutputs> {
        let (batch, length, _) = x.features.size3()?;
        let reduction = self.reduction as i64;
        if length % reduction != 0 {
            return Err(Error::new(format!("{length} frames cannot be made {reduction} times fewer"))
                .at("in.features")
                .help("give rows a multiple of the reduction"));
        }
        let mut mask = match x.attention_mask {
            Some(mask) => mask.f_ne(0)?,
            None => Tensor::f_ones([batch, length], (Kind::Bool, x.features.device()))?,
        };
        let mut states = x.features.shallow_clone();
        if !frames.convolutions.is_empty() {
            states = states.f_unsqueeze(1)?;
            for (weight, bias) in &frames.convolutions {
                states =
                    states.f_masked_fill(&mask.f_logical_not()?.f_unsqueeze(1)?.f_unsqueeze(-1)?, 0.0)?;
                states =
                    states.f_conv2d(weight, Some(bias), [2_i64, 2], [1_i64, 1], [1_i64, 1], 1)?.f_relu()?;
                mask = mask.f_slice(1, 0, None::<i64>, 2)?;
            }
            states = states.f_transpose(1, 2)?.f_flatten(2, 3)?;
        }
        let hidden = frames.map.forward(&states)?;
        Ok(FrameEncoderOutputs { hidden, attention_mask: mask.f_to_kind(Kind::Int64)? })
    }
}
