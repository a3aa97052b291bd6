//! What all layers of one forward pass share.

use crate::blocks::disentangled::Relations;
use crate::blocks::mask::Masks;
use crate::blocks::rotary::Rotation;
use zoo_plugin::prelude::*;

/// Keys and values of tokens that were computed before, [B, key heads, S, head] each, layer by layer.
#[derive(Debug, Default)]
pub struct Cache {
    /// Key and value of layer 0, of layer 1, …
    pub tensors: Vec<Tensor>,
}

impl Cache {
    /// How many tokens it holds.
    pub fn length(&self) -> i64 {
        self.tensors.first().and_then(|t| t.size().get(2).copied()).unwrap_or(0)
    }
}

/// One forward pass.
#[derive(Debug)]
pub struct Pass<'p, 'c> {
    /// The host's side.
    pub cx: &'p Call<'c>,
    /// What is hidden from whom.
    pub masks: Masks,
    /// One for each rotary embedding of the specification.
    pub rotations: Vec<Rotation>,
    /// DeBERTa's relative positions.
    pub relations: Option<Relations>,
    /// Keys and values of earlier tokens.
    pub past: Cache,
    /// Where keys and values of all tokens are kept, if somebody wants them.
    pub kept: Option<Cache>,
}
