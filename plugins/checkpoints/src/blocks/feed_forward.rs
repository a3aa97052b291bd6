//! Feed-forward blocks: plain, and gated (Shazeer, 2020).

use crate::blocks::activation::Activation;
use crate::blocks::projection::{Projection, Style};
use zoo_plugin::prelude::*;

/// How a feed-forward block is built.
#[derive(Clone, Copy, Debug)]
pub enum FeedForwardKind {
    /// outer(f(inner(x)))
    Plain {
        /// Name of the first map.
        inner: &'static str,
    },
    /// outer(f(gate(x)) · up(x))
    Gated {
        /// Name of the map before the activation.
        gate: &'static str,
        /// Name of the other map.
        up: &'static str,
    },
    /// The same, with both maps stored as one: gate, then up.
    GatedFused {
        /// Name of both maps.
        both: &'static str,
    },
}

/// A feed-forward block.
#[derive(Clone, Copy, Debug)]
pub struct FeedForwardSpecification {
    /// How it is built.
    pub kind: FeedForwardKind,
    /// Name of the last map.
    pub outer: &'static str,
    /// Size of the states.
    pub hidden: i64,
    /// Size between the maps.
    pub inner: i64,
    /// The function between.
    pub activation: Activation,
    /// How linear maps are stored.
    pub style: Style,
    /// Dropout before the last map.
    pub dropout: f64,
}

/// A feed-forward block with its parameters.
#[derive(Debug)]
pub struct FeedForward {
    specification: FeedForwardSpecification,
    first: Projection,
    up: Option<Projection>,
    outer: Projection,
    site: String,
}

impl FeedForward {
    /// Parameters below `path`, sites below `site`.
    ///
    /// # Errors
    /// The host's.
    pub fn new(cx: &mut Build<'_>, path: &str, site: &str, s: &FeedForwardSpecification) -> Result<Self> {
        let mut map = |name: &str, from: i64, to: i64| {
            Projection::new(cx, &format!("{path}.{name}"), from, to, s.style)
        };
        let (first, up) = match s.kind {
            FeedForwardKind::Plain { inner } => (map(inner, s.hidden, s.inner)?, None),
            FeedForwardKind::Gated { gate, up } => {
                (map(gate, s.hidden, s.inner)?, Some(map(up, s.hidden, s.inner)?))
            }
            FeedForwardKind::GatedFused { both } => (map(both, s.hidden, 2 * s.inner)?, None),
        };
        let outer = map(s.outer, s.inner, s.hidden)?;
        Ok(Self { specification: *s, first, up, outer, site: site.to_owned() })
    }

    /// x [..., hidden] to the same shape.
    ///
    /// # Errors
    /// libtorch's, and those of adapters.
    pub fn forward(&self, x: &Tensor, cx: &Call<'_>) -> Result<Tensor> {
        let s = &self.specification;
        let site = |part: &str, x: &Tensor, y: Tensor| cx.site(&format!("{}.{part}", self.site), x, y);
        // Two maps stored as one are a site of another size, and have another name.
        let fused = matches!(s.kind, FeedForwardKind::GatedFused { .. });
        let first = if fused { "inner_up" } else { "inner" };
        let y = site(first, x, self.first.forward(x)?)?;
        let inner = match (&self.up, s.kind) {
            (Some(up), _) => s.activation.forward(&y)?.f_mul(&site("up", x, up.forward(x)?)?)?,
            (None, FeedForwardKind::GatedFused { .. }) => {
                let gate = s.activation.forward(&y.f_narrow(-1, 0, s.inner)?)?;
                gate.f_mul(&y.f_narrow(-1, s.inner, s.inner)?)?
            }
            (None, _) => s.activation.forward(&y)?,
        };
        let inner = dropout(inner, s.dropout, cx)?;
        site("outer", &inner, self.outer.forward(&inner)?)
    }
}
