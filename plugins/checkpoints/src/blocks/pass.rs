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
    /// The key and the value of a layer; nothing where it has none.
    pub fn pair(&self, layer: usize) -> &[Tensor] {
        self.tensors.get(2 * layer..2 * layer + 2).unwrap_or(&[])
    }

    /// How many tokens it holds.
    pub fn length(&self) -> i64 {
        self.tensors.first().and_then(|t| t.size().get(2).copied()).unwrap_or(0)
    }
}

/// Another text, which cross attention looks at.
#[derive(Debug)]
pub struct Memory {
    /// Its states, [B, S, hidden]; none where `cache` has keys and values of every layer.
    pub states: Option<Tensor>,
    /// What of it is hidden.
    pub masks: Masks,
    /// Its keys and values, if they are there already.
    pub cache: Cache,
    /// Where they are kept, if somebody wants them.
    pub kept: Option<Cache>,
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
    /// Added to the scores of every layer's attention within the text, [B or 1, heads, T, S].
    pub bias: Option<Tensor>,
    /// The text that cross attention looks at.
    pub memory: Option<Memory>,
    /// Keys and values of earlier tokens.
    pub past: Cache,
    /// Where keys and values of all tokens are kept, if somebody wants them.
    pub kept: Option<Cache>,
}

impl<'p, 'c> Pass<'p, 'c> {
    /// A pass whose layers are told nothing but what is hidden from whom.
    pub fn plain(cx: &'p Call<'c>, masks: Masks) -> Self {
        Self {
            cx,
            masks,
            rotations: Vec::new(),
            relations: None,
            bias: None,
            memory: None,
            past: Cache::default(),
            kept: None,
        }
    }
}
