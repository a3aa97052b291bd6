//! What stands on top: scores of token ids, of replaced tokens, of classes.

use crate::blocks::activation::Activation;
use crate::blocks::norm::{Norm, NormSpecification};
use crate::blocks::projection::{Projection, Style};
use zoo_plugin::prelude::*;

/// A dense layer, an activation, and a norm where there is one.
#[derive(Clone, Copy, Debug)]
pub struct TransformSpecification {
    /// Name of the dense layer.
    pub dense: &'static str,
    /// Size that it gives.
    pub size: i64,
    /// How it is stored.
    pub style: Style,
    /// The function after it.
    pub activation: Activation,
    /// The norm under that name.
    pub norm: Option<(&'static str, NormSpecification)>,
}

/// The layers of a [`TransformSpecification`] with their parameters.
#[derive(Debug)]
pub struct Transform {
    dense: Projection,
    activation: Activation,
    norm: Option<Norm>,
}

impl Transform {
    /// Parameters below `prefix` (with its dot, or empty).
    ///
    /// # Errors
    /// The host's.
    pub fn new(cx: &mut Build<'_>, prefix: &str, input: i64, s: &TransformSpecification) -> Result<Self> {
        let dense = Projection::new(cx, &format!("{prefix}{}", s.dense), input, s.size, s.style)?;
        let norm = match s.norm {
            Some((name, norm)) => Some(Norm::new(cx, &format!("{prefix}{name}"), s.size, norm)?),
            None => None,
        };
        Ok(Self { dense, activation: s.activation, norm })
    }

    /// x [..., input] to [..., size].
    ///
    /// # Errors
    /// libtorch's.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let y = self.activation.forward(&self.dense.forward(x)?)?;
        match &self.norm {
            Some(norm) => norm.forward(&y),
            None => Ok(y),
        }
    }
}

/// Scores over the vocabulary.
#[derive(Clone, Copy, Debug)]
pub struct VocabularySpecification {
    /// What stands before.
    pub transform: Option<TransformSpecification>,
    /// Name of the output weights where they are not the token embeddings.
    pub untied: Option<&'static str>,
    /// Full name of the bias.
    pub bias: Option<&'static str>,
    /// Full name of a bias [1, vocabulary] that is not trained.
    pub fixed_bias: Option<&'static str>,
    /// Factor of the states.
    pub scale: f64,
    /// c, where scores s become c tanh(s / c).
    pub soft_cap: Option<f64>,
}

/// Scores over the vocabulary with their parameters.
#[derive(Debug)]
pub struct VocabularyHead {
    transform: Option<Transform>,
    weight: Option<Tensor>,
    bias: Option<Tensor>,
    scale: f64,
    soft_cap: Option<f64>,
}

impl VocabularyHead {
    /// Parameters as the specification names them; `size` is that of the token embeddings.
    ///
    /// # Errors
    /// The host's.
    pub fn new(
        cx: &mut Build<'_>,
        hidden: i64,
        vocabulary: i64,
        init: Init,
        s: &VocabularySpecification,
    ) -> Result<Self> {
        let transform = s.transform.map(|t| Transform::new(cx, "", hidden, &t)).transpose()?;
        let size = s.transform.map_or(hidden, |t| t.size);
        let weight = s
            .untied
            .map(|name| cx.parameter(&format!("{name}.weight"), &[vocabulary, size], init))
            .transpose()?;
        let bias = match (s.bias, s.fixed_bias) {
            (Some(name), _) => Some(cx.parameter(name, &[vocabulary], Init::Zeros)?),
            (None, Some(name)) => Some(cx.buffer(name, &[1, vocabulary], Kind::Float, Init::Zeros)?),
            (None, None) => None,
        };
        Ok(Self { transform, weight, bias, scale: s.scale, soft_cap: s.soft_cap })
    }

    /// States [..., hidden] to scores [..., vocabulary], with the token embeddings `words` as output
    /// weights where the head has none of its own.
    ///
    /// # Errors
    /// libtorch's.
    pub fn forward(&self, x: &Tensor, words: &Tensor) -> Result<Tensor> {
        let y = match &self.transform {
            Some(transform) => transform.forward(x)?,
            None => x.shallow_clone(),
        };
        let y = if self.scale == 1.0 { y } else { y.f_mul_scalar(self.scale)? };
        let bias = self.bias.as_ref().map(|bias| bias.f_view([-1])).transpose()?;
        let scores = y.f_linear(self.weight.as_ref().unwrap_or(words), bias)?;
        match self.soft_cap {
            Some(cap) => Ok(scores.f_div_scalar(cap)?.f_tanh()?.f_mul_scalar(cap)?),
            None => Ok(scores),
        }
    }
}

/// Which state stands for the whole text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// The first token's.
    First,
    /// The mean of all tokens'.
    Mean,
    /// The last token's.
    Last,
}

impl Pooling {
    /// States [B, T, hidden] to one vector a text, [B, hidden].
    ///
    /// # Errors
    /// libtorch's.
    pub fn forward(self, x: &Tensor, attention_mask: Option<&Tensor>) -> Result<Tensor> {
        match (self, attention_mask) {
            (Self::First, _) => Ok(x.f_select(1, 0)?),
            (Self::Mean, None) => Ok(x.f_mean_dim([1_i64].as_slice(), false, x.kind())?),
            (Self::Mean, Some(mask)) => {
                let weights = mask.f_to_kind(x.kind())?.f_unsqueeze(-1)?;
                let sum = x.f_mul(&weights)?.f_sum_dim_intlist([1_i64].as_slice(), false, x.kind())?;
                Ok(sum.f_div(&weights.f_sum_dim_intlist([1_i64].as_slice(), false, x.kind())?)?)
            }
            (Self::Last, None) => Ok(x.f_select(1, -1)?),
            (Self::Last, Some(mask)) => {
                // The last place with a 1: padding may stand on either side.
                let (batch, length, hidden) = x.size3()?;
                let places = Tensor::f_arange(length, (Kind::Int64, x.device()))?;
                let last = mask.f_mul(&places)?.f_argmax(1, false)?;
                let index = last.f_view([batch, 1, 1])?.f_expand([batch, 1, hidden], false)?;
                Ok(x.f_gather(1, &index, false)?.f_squeeze_dim(1)?)
            }
        }
    }
}

/// Scores of classes.
#[derive(Clone, Copy, Debug)]
pub struct ClassesSpecification {
    /// Which state is classified; none for every token's own.
    pub pooling: Option<Pooling>,
    /// Dropout before the transform.
    pub first_dropout: f64,
    /// What stands between, and whether its names begin with the base model's prefix.
    pub transform: Option<(TransformSpecification, bool)>,
    /// Dropout before the last map.
    pub dropout: f64,
    /// Name of the last map.
    pub classifier: &'static str,
    /// How it is stored.
    pub style: Style,
    /// Number of classes.
    pub classes: i64,
}

/// Scores of classes with their parameters.
#[derive(Debug)]
pub struct ClassesHead {
    specification: ClassesSpecification,
    transform: Option<Transform>,
    classifier: Projection,
}

impl ClassesHead {
    /// Parameters as the specification names them; `prefix` is the base model's.
    ///
    /// # Errors
    /// The host's.
    pub fn new(cx: &mut Build<'_>, prefix: &str, hidden: i64, s: &ClassesSpecification) -> Result<Self> {
        let transform = match s.transform {
            Some((inner, inside)) => {
                Some(Transform::new(cx, if inside { prefix } else { "" }, hidden, &inner)?)
            }
            None => None,
        };
        let size = s.transform.map_or(hidden, |(inner, _)| inner.size);
        let classifier = Projection::new(cx, s.classifier, size, s.classes, s.style)?;
        Ok(Self { specification: *s, transform, classifier })
    }

    /// Number of classes.
    pub fn classes(&self) -> i64 {
        self.specification.classes
    }

    /// States [B, T, hidden] to scores [B, classes], or [B, T, classes] without pooling.
    ///
    /// # Errors
    /// libtorch's.
    pub fn forward(&self, x: &Tensor, attention_mask: Option<&Tensor>, cx: &Call<'_>) -> Result<Tensor> {
        let s = &self.specification;
        let mut y = match s.pooling {
            Some(pooling) => pooling.forward(x, attention_mask)?,
            None => x.shallow_clone(),
        };
        if let Some(transform) = &self.transform {
            y = transform.forward(&dropout(y, s.first_dropout, cx)?)?;
        }
        self.classifier.forward(&dropout(y, s.dropout, cx)?)
    }
}
