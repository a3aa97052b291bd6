//! Normalisation of the last dimension.

use zoo_plugin::prelude::*;

/// Which normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// Mean 0 and variance 1 (Ba et al., 2016), with or without bias.
    Layer {
        /// Whether a bias is added.
        bias: bool,
    },
    /// Mean of squares 1 (Zhang and Sennrich, 2019); with `plus_one` the weight is stored as its
    /// difference from 1.
    RootMeanSquare {
        /// Whether 1 is added to the weight.
        plus_one: bool,
    },
}

/// A normalisation apart from its name and size.
#[derive(Clone, Copy, Debug)]
pub struct NormSpecification {
    /// Which.
    pub kind: NormKind,
    /// Added to the variance.
    pub epsilon: f64,
}

/// One normalisation with its parameters.
#[derive(Debug)]
pub struct Norm {
    specification: NormSpecification,
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Norm {
    /// Parameters `NAME.weight` and, where it has one, `NAME.bias`.
    ///
    /// # Errors
    /// The host's.
    pub fn new(cx: &mut Build<'_>, name: &str, size: i64, specification: NormSpecification) -> Result<Self> {
        let start = match specification.kind {
            NormKind::RootMeanSquare { plus_one: true } => Init::Zeros,
            _ => Init::Ones,
        };
        let weight = cx.parameter(&format!("{name}.weight"), &[size], start)?;
        let bias = match specification.kind {
            NormKind::Layer { bias: true } => {
                Some(cx.parameter(&format!("{name}.bias"), &[size], Init::Zeros)?)
            }
            _ => None,
        };
        Ok(Self { specification, weight, bias })
    }

    /// x [..., size] to the same shape.
    ///
    /// # Errors
    /// libtorch's.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (size, epsilon) = (self.weight.size(), self.specification.epsilon);
        match self.specification.kind {
            NormKind::Layer { .. } => {
                Ok(x.f_layer_norm(&size, Some(&self.weight), self.bias.as_ref(), epsilon, false)?)
            }
            NormKind::RootMeanSquare { plus_one } => {
                // Squares overflow in half precision: the sum is taken in float32, as is customary.
                let kind = x.kind();
                let wide = x.f_to_kind(Kind::Float)?;
                let mean = wide.f_square()?.f_mean_dim([-1_i64].as_slice(), true, Kind::Float)?;
                let wide = wide.f_mul(&mean.f_add_scalar(epsilon)?.f_rsqrt()?)?;
                if plus_one {
                    let weight = self.weight.f_to_kind(Kind::Float)?.f_add_scalar(1.0)?;
                    return Ok(wide.f_mul(&weight)?.f_to_kind(kind)?);
                }
                Ok(wide.f_to_kind(kind)?.f_mul(&self.weight)?)
            }
        }
    }

    /// x [B, size, T] to the same shape, each feature normalised over its T values: a group norm of one
    /// feature a group (Wu and He, 2018).
    ///
    /// # Errors
    /// libtorch's.
    pub fn forward_features(&self, x: &Tensor) -> Result<Tensor> {
        let size = self.weight.size().first().copied().unwrap_or(1);
        let bias = self.bias.as_ref();
        Ok(x.f_group_norm(size, Some(&self.weight), bias, self.specification.epsilon, false)?)
    }
}
