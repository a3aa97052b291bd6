//! Attention with grouped queries, rotary positions, windows, soft caps and a cache.

use crate::blocks::disentangled::{Disentangled, DisentangledSpecification};
use crate::blocks::mask::{Masking, Reach};
use crate::blocks::norm::{Norm, NormSpecification};
use crate::blocks::pass::Pass;
use crate::blocks::projection::{Projection, Style};
use crate::blocks::relative::{Relative, RelativeSpecification};
use zoo_plugin::prelude::*;

/// Names of the projections of queries, keys and values.
#[derive(Clone, Copy, Debug)]
pub enum Inputs {
    /// One map each.
    Separate {
        /// Of queries.
        query: &'static str,
        /// Of keys.
        key: &'static str,
        /// Of values.
        value: &'static str,
    },
    /// One map for all three, one after the other.
    Fused(&'static str),
    /// The same, as torch's own attention stores it.
    FusedFlat {
        /// Full name of the weight.
        weight: &'static str,
        /// Full name of the bias.
        bias: &'static str,
    },
}

/// A normalisation of the queries and keys of each head.
#[derive(Clone, Copy, Debug)]
pub struct HeadNorms {
    /// Name for queries.
    pub query: &'static str,
    /// Name for keys.
    pub key: &'static str,
    /// Which.
    pub norm: NormSpecification,
}

/// One attention block.
#[derive(Clone, Copy, Debug)]
pub struct AttentionSpecification {
    /// Size of the states.
    pub hidden: i64,
    /// Heads of queries.
    pub heads: i64,
    /// Heads of keys and values; divides `heads`.
    pub key_heads: i64,
    /// Size of one head.
    pub head: i64,
    /// Queries, keys and values.
    pub inputs: Inputs,
    /// Whether those three have a bias.
    pub inputs_bias: bool,
    /// Whether keys have one where queries and values do.
    pub key_bias: bool,
    /// Name of the output projection.
    pub output: &'static str,
    /// How linear maps are stored; its bias is the output's.
    pub style: Style,
    /// Normalisation of queries and keys.
    pub head_norms: Option<HeadNorms>,
    /// Factor of the scores.
    pub scale: f64,
    /// c, where scores s become c tanh(s / c).
    pub soft_cap: Option<f64>,
    /// Which of the specification's rotary embeddings turns queries and keys.
    pub rotary: Option<usize>,
    /// Whether it turns the states that queries and keys are made of, head by head, instead.
    pub rotary_inputs: bool,
    /// Scores of relative positions that are this layer's own.
    pub relative: Option<RelativeSpecification>,
    /// Who is seen.
    pub reach: Reach,
    /// Relative positions of DeBERTa.
    pub disentangled: Option<DisentangledSpecification>,
    /// Dropout of the attention probabilities.
    pub dropout: f64,
}

impl AttentionSpecification {
    /// Attention of every token to every other, with biases in all maps and nothing special.
    pub fn plain(
        (hidden, heads, head): (i64, i64, i64),
        inputs: Inputs,
        output: &'static str,
        style: Style,
        dropout: f64,
    ) -> Self {
        Self {
            hidden,
            heads,
            key_heads: heads,
            head,
            inputs,
            inputs_bias: true,
            key_bias: true,
            output,
            style,
            head_norms: None,
            scale: (head as f64).powf(-0.5),
            soft_cap: None,
            rotary: None,
            rotary_inputs: false,
            relative: None,
            reach: Reach { causal: false, window: None },
            disentangled: None,
            dropout,
        }
    }
}

#[derive(Debug)]
enum InputProjections {
    Separate(Projection, Projection, Projection),
    Fused(Projection),
}

/// Attention with its parameters.
#[derive(Debug)]
pub struct Attention {
    specification: AttentionSpecification,
    inputs: InputProjections,
    output: Projection,
    head_norms: Option<(Norm, Norm)>,
    disentangled: Option<Disentangled>,
    relative: Option<Relative>,
    layer: usize,
    site: String,
}

impl Attention {
    /// Parameters below `path`, sites below `site`; `layer` is its number, for the cache.
    ///
    /// # Errors
    /// Sizes that do not fit each other, and the host's errors.
    pub fn new(
        cx: &mut Build<'_>,
        path: &str,
        site: &str,
        layer: usize,
        s: &AttentionSpecification,
    ) -> Result<Self> {
        if s.heads % s.key_heads != 0 {
            return Err(Error::new(format!(
                "{} heads of keys do not divide {} heads of queries",
                s.key_heads, s.heads
            )));
        }
        let (queries, keys) = (s.heads * s.head, s.key_heads * s.head);
        let style = s.style.biased(s.inputs_bias);
        let mut map = |name: &str, size: i64, style: Style| {
            Projection::new(cx, &format!("{path}.{name}"), s.hidden, size, style)
        };
        let inputs = match s.inputs {
            Inputs::Separate { query, key, value } => InputProjections::Separate(
                map(query, queries, style)?,
                map(key, keys, style.biased(s.inputs_bias && s.key_bias))?,
                map(value, keys, style)?,
            ),
            Inputs::Fused(name) => InputProjections::Fused(map(name, queries + 2 * keys, style)?),
            Inputs::FusedFlat { weight, bias } => {
                let names = [format!("{path}.{weight}"), format!("{path}.{bias}")];
                InputProjections::Fused(Projection::named(cx, names, s.hidden, queries + 2 * keys, style)?)
            }
        };
        let head_norms = match s.head_norms {
            Some(norms) => Some((
                Norm::new(cx, &format!("{path}.{}", norms.query), s.head, norms.norm)?,
                Norm::new(cx, &format!("{path}.{}", norms.key), s.head, norms.norm)?,
            )),
            None => None,
        };
        let disentangled = match &s.disentangled {
            Some(inner) => Some(Disentangled::new(cx, path, s, *inner)?),
            None => None,
        };
        let relative = match s.relative {
            Some(inner) => Some(Relative::new(cx, path, (s.heads, s.head), s.scale, s.style, inner)?),
            None => None,
        };
        let output = Projection::new(cx, &format!("{path}.{}", s.output), queries, s.hidden, s.style)?;
        Ok(Self {
            specification: *s,
            inputs,
            output,
            head_norms,
            disentangled,
            relative,
            layer,
            site: site.to_owned(),
        })
    }

    fn split(&self, x: &Tensor, heads: i64) -> Result<Tensor> {
        let (batch, length, _) = x.size3()?;
        Ok(x.f_view([batch, length, heads, self.specification.head])?.f_transpose(1, 2)?)
    }

    /// Queries, keys and values, each [B, heads, T, head], of x [B, T, hidden]; queries and keys of
    /// `turned` where states were turned first.
    fn inputs(&self, x: &Tensor, turned: Option<&Tensor>, cx: &Call<'_>) -> Result<[Tensor; 3]> {
        let s = &self.specification;
        let site = |part: &str, x: &Tensor, y: Tensor| cx.site(&format!("{}.{part}", self.site), x, y);
        let (query, key, value) = match &self.inputs {
            InputProjections::Separate(query, key, value) => {
                let turned = turned.unwrap_or(x);
                (
                    site("query", turned, query.forward(turned)?)?,
                    site("key", turned, key.forward(turned)?)?,
                    site("value", x, value.forward(x)?)?,
                )
            }
            InputProjections::Fused(all) => {
                let (queries, keys) = (s.heads * s.head, s.key_heads * s.head);
                let y = site("query_key_value", x, all.forward(x)?)?;
                (
                    y.f_narrow(-1, 0, queries)?,
                    y.f_narrow(-1, queries, keys)?,
                    y.f_narrow(-1, queries + keys, keys)?,
                )
            }
        };
        Ok([self.split(&query, s.heads)?, self.split(&key, s.key_heads)?, self.split(&value, s.key_heads)?])
    }

    /// x [B, T, hidden] to the same shape.
    ///
    /// # Errors
    /// libtorch's, and those of adapters.
    pub fn forward(&self, x: &Tensor, pass: &mut Pass<'_, '_>) -> Result<Tensor> {
        let s = &self.specification;
        let (batch, length, _) = x.size3()?;
        let rotation = s.rotary.and_then(|i| pass.rotations.get(i));
        let turned = match rotation {
            Some(rotation) if s.rotary_inputs => {
                let turned = rotation.apply(&self.split(x, s.heads)?)?;
                Some(turned.f_transpose(1, 2)?.f_reshape(x.size())?)
            }
            _ => None,
        };
        let [mut query, mut key, mut value] = self.inputs(x, turned.as_ref(), pass.cx)?;
        if let Some((query_norm, key_norm)) = &self.head_norms {
            (query, key) = (query_norm.forward(&query)?, key_norm.forward(&key)?);
        }
        if let Some(rotation) = rotation.filter(|_| !s.rotary_inputs) {
            (query, key) = (rotation.apply(&query)?, rotation.apply(&key)?);
        }
        if let [old_key, old_value] = pass.past.pair(self.layer) {
            key = Tensor::f_cat(&[old_key, &key], 2)?;
            value = Tensor::f_cat(&[old_value, &value], 2)?;
        }
        if let Some(kept) = &mut pass.kept {
            kept.tensors.extend([key.shallow_clone(), value.shallow_clone()]);
        }
        let rate = if pass.cx.training() { s.dropout } else { 0.0 };
        let context = if s.soft_cap.is_some() || self.disentangled.is_some() {
            self.explicit(&query, &key, &value, rate, pass)?
        } else {
            let own = match &self.relative {
                Some(relative) => {
                    let (changed, bias) = relative.scores(&query)?;
                    query = changed;
                    Some(bias)
                }
                None => None,
            };
            let masking = match own.as_ref().or(pass.bias.as_ref()) {
                Some(bias) => Masking::Added(pass.masks.biased(s.reach, bias)?),
                None => pass.masks.get(s.reach)?,
            };
            self.kernel([&query, &key, &value], &masking, rate)?
        };
        self.output(&context, batch, length, pass.cx)
    }

    /// The fused kernel: queries, keys and values [B, heads, T or S, head] to [B, heads, T, head].
    fn kernel(&self, [query, key, value]: [&Tensor; 3], masking: &Masking, rate: f64) -> Result<Tensor> {
        let s = &self.specification;
        let (mask, causal) = match masking {
            Masking::All => (None, false),
            Masking::Causal => (None, true),
            Masking::Added(mask) => (Some(mask), false),
        };
        let grouped = s.heads != s.key_heads;
        Ok(Tensor::f_scaled_dot_product_attention(query, key, value, mask, rate, causal, s.scale, grouped)?)
    }

    fn output(&self, context: &Tensor, batch: i64, length: i64, cx: &Call<'_>) -> Result<Tensor> {
        let s = &self.specification;
        let context = context.f_transpose(1, 2)?.f_reshape([batch, length, s.heads * s.head])?;
        let y = self.output.forward(&context)?;
        cx.site(&format!("{}.output", self.site), &context, y)
    }

    /// x [B, T, hidden] to the same shape, with keys and values of the pass's memory: of its states, or
    /// as the cache has them.
    ///
    /// # Errors
    /// A pass without memory, libtorch's errors, and those of adapters.
    pub fn cross(&self, x: &Tensor, pass: &mut Pass<'_, '_>) -> Result<Tensor> {
        let s = &self.specification;
        let (batch, length, _) = x.size3()?;
        let (queries, keys) = (s.heads * s.head, s.key_heads * s.head);
        // Maps that are stored as one are taken apart.
        let [query_map, key_map, value_map] = match &self.inputs {
            InputProjections::Separate(query, key, value) => [query.again(), key.again(), value.again()],
            InputProjections::Fused(all) => {
                [all.part(0, queries)?, all.part(queries, keys)?, all.part(queries + keys, keys)?]
            }
        };
        let cx = pass.cx;
        let site = |part: &str, x: &Tensor, y: Tensor| cx.site(&format!("{}.{part}", self.site), x, y);
        let query = self.split(&site("query", x, query_map.forward(x)?)?, s.heads)?;
        let memory = pass.memory.as_mut().ok_or_else(|| Error::new("there is no text to look at"))?;
        let (key, value) = match (memory.cache.pair(self.layer), &memory.states) {
            ([key, value], _) => (key.shallow_clone(), value.shallow_clone()),
            (_, Some(states)) => (
                self.split(&site("key", states, key_map.forward(states)?)?, s.key_heads)?,
                self.split(&site("value", states, value_map.forward(states)?)?, s.key_heads)?,
            ),
            _ => return Err(Error::new("there are neither states nor keys and values to look at")),
        };
        let rate = if cx.training() { s.dropout } else { 0.0 };
        let masking = memory.masks.get(s.reach)?;
        let context = self.kernel([&query, &key, &value], &masking, rate)?;
        if let Some(kept) = &mut memory.kept {
            kept.tensors.extend([key, value]);
        }
        self.output(&context, batch, length, cx)
    }

    /// Attention whose scores are changed before the softmax, which the fused kernels cannot do.
    fn explicit(
        &self,
        query: &Tensor,
        key: &Tensor,
        value: &Tensor,
        rate: f64,
        pass: &mut Pass<'_, '_>,
    ) -> Result<Tensor> {
        let s = &self.specification;
        let (key, value) = if s.heads == s.key_heads {
            (key.shallow_clone(), value.shallow_clone())
        } else {
            let times = s.heads / s.key_heads;
            let repeat = |t: &Tensor| t.f_repeat_interleave_self_int(times, 1, None);
            (repeat(key)?, repeat(value)?)
        };
        let mut scores = query.f_matmul(&key.f_transpose(-2, -1)?)?.f_mul_scalar(s.scale)?;
        if let (Some(disentangled), Some(relations), InputProjections::Separate(queries, keys, _)) =
            (&self.disentangled, &pass.relations, &self.inputs)
        {
            let shared = (queries, keys);
            scores = scores.f_add(&disentangled.bias(query, &key, relations, shared, pass.cx)?)?;
        }
        if let Some(cap) = s.soft_cap {
            scores = scores.f_div_scalar(cap)?.f_tanh()?.f_mul_scalar(cap)?;
        }
        let added = match pass.masks.get(s.reach)? {
            Masking::All => None,
            Masking::Causal => Some(pass.masks.added(&pass.masks.pairs(s.reach)?)?),
            Masking::Added(mask) => Some(mask),
        };
        if let Some(added) = added {
            scores = scores.f_add(&added)?;
        }
        let shares = scores.f_softmax(-1, Kind::Float)?.f_to_kind(value.kind())?;
        let shares = if rate > 0.0 { shares.f_dropout(rate, true)? } else { shares };
        Ok(shares.f_matmul(&value)?)
    }
}
