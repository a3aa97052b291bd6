//! Layers that most architectures are made of. Their parameters belong to the host and carry the
//! names that checkpoints use: `weight`, `bias`.

use crate::context::{Build, Call, Init};
use crate::error::Result;
use tch::Tensor;

/// `y = x Wᵀ + b`, weight [output, input], as checkpoints store it.
#[derive(Debug)]
pub struct Linear {
    /// `[output, input]`
    pub weight: Tensor,
    /// `[output]`
    pub bias: Option<Tensor>,
}

impl Linear {
    /// Parameters `NAME.weight` and, with `bias`, `NAME.bias` (zeros).
    pub fn new(
        cx: &mut Build<'_>,
        name: &str,
        input: i64,
        output: i64,
        bias: bool,
        init: Init,
    ) -> Result<Self> {
        let weight = cx.parameter(&format!("{name}.weight"), &[output, input], init)?;
        let bias =
            if bias { Some(cx.parameter(&format!("{name}.bias"), &[output], Init::Zeros)?) } else { None };
        Ok(Self { weight, bias })
    }

    /// x [..., input] to [..., output].
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.f_linear(&self.weight, self.bias.as_ref())?)
    }
}

/// Normalises the last dimension (Ba et al., 2016).
#[derive(Debug)]
pub struct LayerNorm {
    /// `[size]`
    pub weight: Tensor,
    /// `[size]`
    pub bias: Tensor,
    /// Added to the variance.
    pub epsilon: f64,
}

impl LayerNorm {
    /// Parameters `NAME.weight` (ones) and `NAME.bias` (zeros).
    pub fn new(cx: &mut Build<'_>, name: &str, size: i64, epsilon: f64) -> Result<Self> {
        let weight = cx.parameter(&format!("{name}.weight"), &[size], Init::Ones)?;
        let bias = cx.parameter(&format!("{name}.bias"), &[size], Init::Zeros)?;
        Ok(Self { weight, bias, epsilon })
    }

    /// x [..., size] to the same shape.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let size = self.weight.size();
        Ok(x.f_layer_norm(&size, Some(&self.weight), Some(&self.bias), self.epsilon, false)?)
    }
}

/// A table of vectors, one an id.
#[derive(Debug)]
pub struct Embedding {
    /// [count, size]
    pub weight: Tensor,
}

impl Embedding {
    /// Parameter `NAME.weight`.
    pub fn new(cx: &mut Build<'_>, name: &str, count: i64, size: i64, init: Init) -> Result<Self> {
        Ok(Self { weight: cx.parameter(&format!("{name}.weight"), &[count, size], init)? })
    }

    /// Ids [...] to vectors [..., size].
    pub fn forward(&self, ids: &Tensor) -> Result<Tensor> {
        Ok(Tensor::f_embedding(&self.weight, ids, -1, false, false)?)
    }
}

/// Zeroes a share of the elements while training and scales the others up; else the input itself.
pub fn dropout(x: Tensor, rate: f64, cx: &Call<'_>) -> Result<Tensor> {
    if rate <= 0.0 || !cx.training() { Ok(x) } else { Ok(x.f_dropout(rate, true)?) }
}
