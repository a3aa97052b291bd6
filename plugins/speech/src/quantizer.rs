//! Frames to codes.

use zoo_plugin::prelude::*;
use zoo_torch::modes::Autocast;

/// Puts one of `codes` trained vectors, or one of each of several groups, in the place of every frame.
///
/// A linear map gives scores l of the codes. In training one is drawn: with Gumbel noise n, the largest of
/// (l + n) / τ, and gradients are those of the softmax of these (straight through: forwards the code's vector itself,
/// backwards as if the softmax's mixture had been taken). Outside of training the code with the highest score is
/// taken, and no gradient reaches the scores through it. With several groups, the vectors of a frame's codes are put
/// one behind the other.
///
/// The map starts from a normal distribution of deviation 1, as in wav2vec 2.0: from a small one the codes of a frame
/// would be nearly as likely as each other, and ids noise.
///
/// `logits` and `probabilities` are without noise and temperature, and differentiable.
///
/// # Paper
/// Jang, Gu, Poole: Categorical Reparameterization with Gumbel-Softmax, ICLR 2017; Baevski, Zhou, Mohamed, Auli:
/// wav2vec 2.0, NeurIPS 2020, section 2.
///
/// # Example
/// ```mlm
/// model quantizer = speech.gumbel_vector_quantizer(input: 16, codes: 8, size: 12)
/// ```
#[component(
    architecture,
    name = "speech.gumbel_vector_quantizer",
    inputs(features: "float[B, T, input]" = "frames"),
    outputs(
        quantized: "float[B, T, size]" = "vectors of the codes",
        ids: "int[B, T]" = "the code; with several groups c₁ + codes c₂ + codes² c₃ + …",
        logits: "float[B, T, groups*codes]" = "scores of the codes, group by group",
        probabilities: "float[B, T, groups, codes]" = "their softmax",
    ),
    parameters,
    random,
    cost(
        flops = "B * T * (2 * input * groups * codes + 2 * codes * size + 10 * groups * codes)",
        parameters = "(input + 1) * groups * codes + codes * size",
        activations = "B * T * (4 * groups * codes + size)",
        workspace = "B * T * (6 * groups * codes + size)",
    ),
)]
pub struct GumbelVectorQuantizer {
    /// Size of a frame.
    #[param(range = ">= 1")]
    pub input: usize,
    /// Codes of a group.
    #[param(default = 1024, range = ">= 2")]
    pub codes: usize,
    /// Groups that a code is taken from each; must divide `size`.
    #[param(default = 1, range = ">= 1")]
    pub groups: usize,
    /// Size of what stands for a frame.
    #[param(default = 1024, range = ">= 1")]
    pub size: usize,
    /// τ: the lower, the nearer is the gradient's mixture to a single code. wav2vec 2.0 lowers it from 2.
    #[param(default = 2.0, range = "> 0", varies)]
    pub temperature: Varying,
    /// Standard deviation of the normal that the map starts from.
    #[param(default = 1.0, range = ">= 0")]
    pub initial_deviation: f64,
}

/// The map to scores, and the vectors of the codes.
#[derive(Debug)]
pub struct Quantizer {
    scores: Linear,
    /// `[groups, codes, size / groups]`
    table: Tensor,
}

impl Quantizer {
    /// From tensors: weights `[groups codes, input]` of the map, which has no bias, and the table
    /// `[groups, codes, size / groups]`.
    pub fn from_tensors(weight: Tensor, table: Tensor) -> Self {
        Self { scores: Linear { weight, bias: None }, table }
    }

    /// Frames [B, T, input] to scores [B, T, groups codes], in 32 bits at least.
    ///
    /// # Errors
    /// libtorch's.
    pub fn logits(&self, features: &Tensor) -> Result<Tensor> {
        let logits = self.scores.forward(features)?;
        Ok(logits.f_to_kind(if logits.kind() == Kind::Double { Kind::Double } else { Kind::Float })?)
    }

    /// Vectors [B, T, size] and ids [B, T] for scores. With `noise`, of the shape of the scores, and the temperature,
    /// gradients flow straight through.
    ///
    /// # Errors
    /// libtorch's.
    pub fn quantize(&self, logits: &Tensor, drawn: Option<(&Tensor, f64)>) -> Result<(Tensor, Tensor)> {
        let (groups, codes, part) = self.table.size3()?;
        let (batch, length, _) = logits.size3()?;
        // Products would be narrowed by autocast, and vectors no longer the table's.
        let _full_width = Autocast::pause(logits.device()).map_err(|e| Error::new(e.to_string()))?;
        let table = self.table.f_to_kind(logits.kind())?;
        let by_group = |x: &Tensor| x.f_reshape([batch * length, groups, codes]);
        let noisy = match drawn {
            Some((noise, temperature)) => by_group(&logits.f_add(noise)?)?.f_div_scalar(temperature)?,
            None => by_group(logits)?,
        };
        let chosen = noisy.f_argmax(-1, false)?;
        let hard = chosen.f_one_hot(codes)?.f_to_kind(logits.kind())?;
        let mixture = if drawn.is_some() {
            let soft = noisy.f_softmax(-1, logits.kind())?;
            // The difference is 0 to the bit, so that forwards there is one code alone.
            hard.f_add(&soft.f_sub(&soft.f_detach()?)?)?
        } else {
            hard
        };
        // [groups, B T, codes] × [groups, codes, part]
        let vectors = mixture.f_transpose(0, 1)?.f_matmul(&table)?.f_transpose(0, 1)?;
        let places: Vec<i64> = (0..groups).map(|group| codes.pow(group as u32)).collect();
        let places = Tensor::f_from_slice(&places)?.f_to_device(chosen.device())?;
        let ids = chosen.f_mul(&places)?.f_sum_dim_intlist([1_i64].as_slice(), false, Kind::Int64)?;
        Ok((vectors.f_reshape([batch, length, groups * part])?, ids.f_reshape([batch, length])?))
    }
}

/// Standard Gumbel noise in the shape of `like`, from libtorch's generator.
fn gumbel(like: &Tensor) -> Result<Tensor> {
    // Neither 0 nor 1: the logarithms stay finite.
    let uniform = like.f_detach()?.f_rand_like()?.f_clamp(1e-7, 1.0 - 1e-7)?;
    Ok(uniform.f_log()?.f_neg()?.f_log()?.f_neg()?)
}

impl Component for GumbelVectorQuantizer {
    type State = Quantizer;

    fn build(&self, cx: &mut Build<'_>) -> Result<Quantizer> {
        if !self.size.is_multiple_of(self.groups) {
            return Err(Error::new(format!("{} groups do not divide a size of {}", self.groups, self.size))
                .at("groups")
                .help("choose groups so that size / groups is whole"));
        }
        if u32::try_from(self.groups).ok().and_then(|g| (self.codes as i64).checked_pow(g)).is_none() {
            let text =
                format!("{} groups of {} codes are more ids than 64 bits have", self.groups, self.codes);
            return Err(Error::new(text).at("groups").help("take fewer groups, or fewer codes"));
        }
        let (groups, codes) = (self.groups as i64, self.codes as i64);
        let init = Init::Normal { mean: 0.0, std: self.initial_deviation };
        let scores = Linear::new(cx, "scores", self.input as i64, groups * codes, true, init)?;
        let shape = [groups, codes, self.size as i64 / groups];
        let table = cx.parameter("codebook", &shape, Init::Uniform { low: 0.0, high: 1.0 })?;
        Ok(Quantizer { scores, table })
    }

    fn call(
        &self,
        quantizer: &Quantizer,
        x: GumbelVectorQuantizerInputs<'_>,
        cx: &mut Call<'_>,
    ) -> Result<GumbelVectorQuantizerOutputs> {
        let logits = quantizer.logits(x.features)?;
        let (quantized, ids) = if cx.training() {
            let temperature = self.temperature.at("temperature", cx);
            quantizer.quantize(&logits, Some((&gumbel(&logits)?, temperature)))?
        } else {
            quantizer.quantize(&logits, None)?
        };
        let (batch, length, _) = logits.size3()?;
        let probabilities = logits
            .f_reshape([batch, length, self.groups as i64, self.codes as i64])?
            .f_softmax(-1, logits.kind())?;
        Ok(GumbelVectorQuantizerOutputs { quantized, ids, logits, probabilities })
    }
}
