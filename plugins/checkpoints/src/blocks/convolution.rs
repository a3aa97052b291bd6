//! The convolution beside the first layer of DeBERTa v2's larger models (He et al., 2021, section 3).

use crate::blocks::activation::Activation;
use crate::blocks::norm::{Norm, NormSpecification};
use zoo_plugin::prelude::*;

/// A convolution over neighbouring tokens.
#[derive(Clone, Copy, Debug)]
pub struct ConvolutionSpecification {
    /// Tokens that it spans; odd.
    pub width: i64,
    /// Groups of features that are convolved apart; divides the states' size.
    pub groups: i64,
    /// The function after it.
    pub activation: Activation,
    /// The norm of its sum with the layer's states.
    pub norm: NormSpecification,
    /// Dropout after it.
    pub dropout: f64,
    /// Standard deviation of new weights.
    pub deviation: f64,
}

/// The convolution with its parameters.
#[derive(Debug)]
pub struct Convolution {
    specification: ConvolutionSpecification,
    weight: Tensor,
    bias: Tensor,
    norm: Norm,
}

impl Convolution {
    /// Parameters `PATH.conv.weight` [hidden, hidden / groups, width], `PATH.conv.bias` and the norm's.
    ///
    /// # Errors
    /// An even width, groups that do not divide the size, and the host's errors.
    pub fn new(cx: &mut Build<'_>, path: &str, hidden: i64, s: ConvolutionSpecification) -> Result<Self> {
        if s.width % 2 == 0 {
            return Err(Error::new(format!(
                "`conv_kernel_size` of config.json is {}, which is not odd",
                s.width
            )));
        }
        if hidden % s.groups != 0 {
            let text =
                format!("`conv_groups` of config.json is {}, which does not divide {hidden}", s.groups);
            return Err(Error::new(text));
        }
        let shape = [hidden, hidden / s.groups, s.width];
        let init = Init::Normal { mean: 0.0, std: s.deviation };
        let weight = cx.parameter(&format!("{path}.conv.weight"), &shape, init)?;
        let bias = cx.parameter(&format!("{path}.conv.bias"), &[hidden], Init::Zeros)?;
        let norm = Norm::new(cx, &format!("{path}.LayerNorm"), hidden, s.norm)?;
        Ok(Self { specification: s, weight, bias, norm })
    }

    /// `before` and `after`: what the layer was given and what it made of it, [B, T, hidden]; `tokens` is
    /// true for tokens, [B, T]. The sum of both, padding zero.
    ///
    /// # Errors
    /// libtorch's.
    pub fn forward(
        &self,
        before: &Tensor,
        after: &Tensor,
        tokens: Option<&Tensor>,
        cx: &Call<'_>,
    ) -> Result<Tensor> {
        let s = &self.specification;
        let x = before.f_transpose(1, 2)?;
        let y =
            x.f_conv1d(&self.weight, Some(&self.bias), [1_i64], [(s.width - 1) / 2], [1_i64], s.groups)?;
        let y = y.f_transpose(1, 2)?;
        let padding = tokens.map(|tokens| tokens.f_logical_not()?.f_unsqueeze(-1)).transpose()?;
        let hide = |x: Tensor| -> Result<Tensor> {
            match &padding {
                Some(padding) => Ok(x.f_masked_fill(padding, 0.0)?),
                None => Ok(x),
            }
        };
        let y = s.activation.forward(&dropout(hide(y)?, s.dropout, cx)?)?;
        hide(self.norm.forward(&after.f_add(&y)?)?)
    }
}
