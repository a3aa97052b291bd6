//! Activation functions under the names that configurations use.

use zoo_plugin::{Result, Tensor};

/// A function of each element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// x Φ(x) (Hendrycks and Gimpel, 2016), exact.
    Gelu,
    /// The same, approximated by a hyperbolic tangent.
    GeluTanh,
    /// x σ(1.702 x).
    QuickGelu,
    /// max(x, 0).
    Relu,
    /// max(x, 0)².
    SquaredRelu,
    /// x σ(x).
    Silu,
    /// Hyperbolic tangent.
    Tanh,
    /// σ(x).
    Sigmoid,
    /// x tanh(log(1 + exp x)) (Misra, 2019).
    Mish,
    /// min(max(x, 0), 6).
    Relu6,
    /// max(x, x / 100).
    LeakyRelu,
    /// x min(max(x + 3, 0), 6) / 6 (Howard et al., 2019).
    HardSwish,
    /// x itself.
    Linear,
}

const NAMES: &[(&str, Activation)] = &[
    ("gelu", Activation::Gelu),
    ("gelu_python", Activation::Gelu),
    ("gelu_new", Activation::GeluTanh),
    ("gelu_fast", Activation::GeluTanh),
    ("gelu_pytorch_tanh", Activation::GeluTanh),
    ("gelu_accurate", Activation::GeluTanh),
    ("gelu_python_tanh", Activation::GeluTanh),
    ("quick_gelu", Activation::QuickGelu),
    ("relu", Activation::Relu),
    ("relu2", Activation::SquaredRelu),
    ("silu", Activation::Silu),
    ("swish", Activation::Silu),
    ("tanh", Activation::Tanh),
    ("sigmoid", Activation::Sigmoid),
    ("mish", Activation::Mish),
    ("relu6", Activation::Relu6),
    ("leaky_relu", Activation::LeakyRelu),
    ("hardswish", Activation::HardSwish),
    ("linear", Activation::Linear),
];

impl Activation {
    /// The function of that name, where there is one.
    pub fn named(name: &str) -> Option<Self> {
        NAMES.iter().find(|(n, _)| *n == name).map(|(_, activation)| *activation)
    }

    /// All names, as a list in words.
    pub fn names() -> String {
        let names: Vec<_> = NAMES.iter().map(|(n, _)| *n).collect();
        names.join(", ")
    }

    /// Any shape to the same shape.
    ///
    /// # Errors
    /// libtorch's.
    pub fn forward(self, x: &Tensor) -> Result<Tensor> {
        Ok(match self {
            Self::Gelu => x.f_gelu("none")?,
            Self::GeluTanh => x.f_gelu("tanh")?,
            Self::QuickGelu => x.f_mul(&x.f_mul_scalar(1.702)?.f_sigmoid()?)?,
            Self::Relu => x.f_relu()?,
            Self::SquaredRelu => x.f_relu()?.f_square()?,
            Self::Silu => x.f_silu()?,
            Self::Tanh => x.f_tanh()?,
            Self::Sigmoid => x.f_sigmoid()?,
            Self::Mish => x.f_mish()?,
            Self::Relu6 => x.f_clamp(0.0, 6.0)?,
            Self::LeakyRelu => x.f_leaky_relu()?,
            Self::HardSwish => x.f_hardswish()?,
            Self::Linear => x.shallow_clone(),
        })
    }
}
