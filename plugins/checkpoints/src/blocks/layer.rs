//! One layer: attention and feed-forward with residual sums and norms.

use crate::blocks::attention::{Attention, AttentionSpecification};
use crate::blocks::feed_forward::{FeedForward, FeedForwardSpecification};
use crate::blocks::norm::{Norm, NormSpecification};
use crate::blocks::pass::Pass;
use zoo_plugin::prelude::*;

/// Where norms stand, by name.
#[derive(Clone, Copy, Debug)]
pub enum Placement {
    /// norm(x + f(x)), as in the original transformer.
    After {
        /// After attention.
        attention: &'static str,
        /// After the feed-forward block.
        feed_forward: &'static str,
    },
    /// x + f(norm(x)).
    Before {
        /// Before attention; none in ModernBERT's first layer.
        attention: Option<&'static str>,
        /// Before the feed-forward block.
        feed_forward: &'static str,
    },
    /// x + norm(f(norm(x))).
    Around {
        /// Before and after attention.
        attention: [&'static str; 2],
        /// Before and after the feed-forward block.
        feed_forward: [&'static str; 2],
    },
    /// x + attention(norm(x)) + feed_forward(norm(x)).
    Parallel {
        /// Before both.
        norm: &'static str,
    },
}

/// Attention to another text, between attention and the feed-forward block.
#[derive(Clone, Copy, Debug)]
pub struct CrossSpecification {
    /// Attention.
    pub attention: AttentionSpecification,
    /// Its norm, which stands as the placement has it for attention.
    pub norm: &'static str,
}

/// One layer.
#[derive(Clone, Copy, Debug)]
pub struct LayerSpecification {
    /// Attention.
    pub attention: AttentionSpecification,
    /// Attention to another text; with norms before or after alone.
    pub cross: Option<CrossSpecification>,
    /// Feed-forward block.
    pub feed_forward: FeedForwardSpecification,
    /// Where norms stand.
    pub placement: Placement,
    /// Which norms.
    pub norm: NormSpecification,
    /// Dropout of what attention adds.
    pub attention_output_dropout: f64,
    /// Dropout of what the feed-forward block adds.
    pub dropout: f64,
    /// Factors of what attention and the feed-forward block add, element by element, under these names
    /// and with that value at first (Touvron et al., 2021).
    pub scales: Option<([&'static str; 2], f64)>,
    /// How likely an example goes without what attention, or the feed-forward block, adds in training
    /// (Huang et al., 2016).
    pub drop_path: f64,
}

#[derive(Debug, Default)]
struct Norms {
    before_attention: Option<Norm>,
    after_attention: Option<Norm>,
    cross: Option<Norm>,
    before_feed_forward: Option<Norm>,
    after_feed_forward: Option<Norm>,
}

/// A layer with its parameters.
#[derive(Debug)]
pub struct Layer {
    placement: Placement,
    attention: Attention,
    cross: Option<Attention>,
    feed_forward: FeedForward,
    norms: Norms,
    scales: Option<[Tensor; 2]>,
    attention_output_dropout: f64,
    dropout: f64,
    drop_path: f64,
}

fn normal(norm: Option<&Norm>, x: &Tensor) -> Result<Tensor> {
    norm.map_or_else(|| Ok(x.shallow_clone()), |norm| norm.forward(x))
}

impl Layer {
    /// Parameters below `path`, sites below `site`; `number` counts from 0, for the cache.
    ///
    /// # Errors
    /// The host's.
    pub fn new(
        cx: &mut Build<'_>,
        path: &str,
        site: &str,
        number: usize,
        s: &LayerSpecification,
    ) -> Result<Self> {
        let attention = Attention::new(cx, path, &format!("{site}.attention"), number, &s.attention)?;
        let cross = match &s.cross {
            Some(cross) => {
                let site = format!("{site}.cross_attention");
                Some(Attention::new(cx, path, &site, number, &cross.attention)?)
            }
            None => None,
        };
        let feed_forward = FeedForward::new(cx, path, &format!("{site}.feed_forward"), &s.feed_forward)?;
        let mut norm =
            |name: &str| Norm::new(cx, &format!("{path}.{name}"), s.attention.hidden, s.norm).map(Some);
        let mut norms = Norms::default();
        if let Some(cross) = &s.cross {
            norms.cross = norm(cross.norm)?;
        }
        match s.placement {
            Placement::After { attention, feed_forward } => {
                norms.after_attention = norm(attention)?;
                norms.after_feed_forward = norm(feed_forward)?;
            }
            Placement::Before { attention, feed_forward } => {
                if let Some(attention) = attention {
                    norms.before_attention = norm(attention)?;
                }
                norms.before_feed_forward = norm(feed_forward)?;
            }
            Placement::Around { attention, feed_forward } => {
                norms.before_attention = norm(attention[0])?;
                norms.after_attention = norm(attention[1])?;
                norms.before_feed_forward = norm(feed_forward[0])?;
                norms.after_feed_forward = norm(feed_forward[1])?;
            }
            Placement::Parallel { norm: name } => norms.before_attention = norm(name)?,
        }
        let scales = match s.scales {
            Some((names, value)) => {
                let mut scale = |name: &str| {
                    cx.parameter(&format!("{path}.{name}"), &[s.attention.hidden], Init::Constant(value))
                };
                Some([scale(names[0])?, scale(names[1])?])
            }
            None => None,
        };
        Ok(Self {
            placement: s.placement,
            attention,
            cross,
            feed_forward,
            norms,
            scales,
            attention_output_dropout: s.attention_output_dropout,
            dropout: s.dropout,
            drop_path: s.drop_path,
        })
    }

    /// What attention (`part` 0) or the feed-forward block (1) adds, after its dropout.
    fn added(&self, part: usize, y: Tensor, cx: &Call<'_>) -> Result<Tensor> {
        let rate = if part == 0 { self.attention_output_dropout } else { self.dropout };
        let mut y = dropout(y, rate, cx)?;
        if let Some(scale) = self.scales.as_ref().and_then(|scales| scales.get(part)) {
            y = y.f_mul(scale)?;
        }
        if self.drop_path > 0.0 && cx.training() {
            // One draw an example, and the rest larger to make up for it.
            let ones = Tensor::f_ones([y.size()[0], 1, 1], (y.kind(), y.device()))?;
            y = y.f_mul(&dropout(ones, self.drop_path, cx)?)?;
        }
        Ok(y)
    }

    /// x with what the other text adds, where the layer looks at one.
    fn crossed(&self, x: Tensor, pass: &mut Pass<'_, '_>) -> Result<Tensor> {
        let Some(cross) = &self.cross else { return Ok(x) };
        let norm = self.norms.cross.as_ref();
        let after = matches!(self.placement, Placement::After { .. });
        let start = if after { x.shallow_clone() } else { normal(norm, &x)? };
        let y = dropout(cross.cross(&start, pass)?, self.attention_output_dropout, pass.cx)?.f_add(&x)?;
        if after { normal(norm, &y) } else { Ok(y) }
    }

    /// x [B, T, hidden] to the same shape.
    ///
    /// # Errors
    /// libtorch's, and those of adapters.
    pub fn forward(&self, x: &Tensor, pass: &mut Pass<'_, '_>) -> Result<Tensor> {
        let norms = &self.norms;
        let start = normal(norms.before_attention.as_ref(), x)?;
        let attended = self.attention.forward(&start, pass)?;
        let attended = self.added(0, attended, pass.cx)?;
        match self.placement {
            Placement::After { .. } => {
                let x = normal(norms.after_attention.as_ref(), &attended.f_add(x)?)?;
                let x = self.crossed(x, pass)?;
                let y = self.added(1, self.feed_forward.forward(&x, pass.cx)?, pass.cx)?;
                normal(norms.after_feed_forward.as_ref(), &y.f_add(&x)?)
            }
            Placement::Before { .. } | Placement::Around { .. } => {
                let x = normal(norms.after_attention.as_ref(), &attended)?.f_add(x)?;
                let x = self.crossed(x, pass)?;
                let y =
                    self.feed_forward.forward(&normal(norms.before_feed_forward.as_ref(), &x)?, pass.cx)?;
                let y = self.added(1, y, pass.cx)?;
                Ok(normal(norms.after_feed_forward.as_ref(), &y)?.f_add(&x)?)
            }
            Placement::Parallel { .. } => {
                let y = self.added(1, self.feed_forward.forward(&start, pass.cx)?, pass.cx)?;
                Ok(attended.f_add(&y)?.f_add(x)?)
            }
        }
    }
}
