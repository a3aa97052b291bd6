//! A text model with its parameters, and one forward pass through it.

use crate::blocks::disentangled::RelationsTable;
use crate::blocks::embeddings::{Embeddings, TextInputs};
use crate::blocks::layer::Layer;
use crate::blocks::mask::Masks;
use crate::blocks::norm::Norm;
use crate::blocks::pass::{Cache, Pass};
use crate::specification::Specification;
use zoo_plugin::prelude::*;

/// Embeddings, layers and the final norm.
#[derive(Debug)]
pub struct Stack {
    specification: Specification,
    embeddings: Embeddings,
    relations: Option<RelationsTable>,
    layers: Vec<Layer>,
    final_norm: Option<Norm>,
}

/// What a pass is asked for besides the last states.
#[derive(Debug, Default)]
pub struct Request {
    /// The states of every layer.
    pub states: bool,
    /// Keys and values, for later tokens.
    pub cache: bool,
    /// Keys and values of earlier tokens.
    pub past: Cache,
}

/// What a pass gives.
#[derive(Debug)]
pub struct Answer {
    /// The last states, [B, T, hidden].
    pub hidden: Tensor,
    /// The embeddings and each layer's states, the last after the final norm; empty where not asked for.
    pub states: Vec<Tensor>,
    /// Keys and values of all tokens; empty where not asked for.
    pub cache: Cache,
}

impl Stack {
    /// Parameters below `prefix` (with its dot, or empty).
    ///
    /// # Errors
    /// The host's.
    pub fn new(cx: &mut Build<'_>, prefix: &str, s: &Specification) -> Result<Self> {
        let embeddings = Embeddings::new(cx, prefix, s.hidden, &s.embeddings)?;
        let init = Init::Normal { mean: 0.0, std: s.deviation };
        let relations = match &s.relations {
            Some((path, inner)) => {
                Some(RelationsTable::new(cx, &format!("{prefix}{path}"), s.hidden, init, *inner)?)
            }
            None => None,
        };
        let layers = s
            .layers
            .iter()
            .enumerate()
            .map(|(i, layer)| Layer::new(cx, &format!("{prefix}{}.{i}", s.layer_path), i, layer))
            .collect::<Result<_>>()?;
        let final_norm = match s.final_norm {
            Some((name, norm)) => Some(Norm::new(cx, &format!("{prefix}{name}"), s.hidden, norm)?),
            None => None,
        };
        Ok(Self { specification: s.clone(), embeddings, relations, layers, final_norm })
    }

    /// The specification that it was made from.
    pub fn specification(&self) -> &Specification {
        &self.specification
    }

    /// The token embeddings [vocabulary, size], for heads that share them.
    pub fn words(&self) -> &Tensor {
        self.embeddings.words()
    }

    /// One pass over T tokens, after those of the cache.
    ///
    /// # Errors
    /// Inputs that do not fit each other or the model, and libtorch's errors.
    pub fn forward(&self, x: &TextInputs<'_>, request: Request, cx: &Call<'_>) -> Result<Answer> {
        let length = x.ids.size2()?.1;
        let device = x.ids.device();
        let past = request.past.length();
        if !request.past.tensors.is_empty() && request.past.tensors.len() != 2 * self.layers.len() {
            return Err(Error::new(format!(
                "the cache has {} tensors for {} layers, which need a key and a value each",
                request.past.tensors.len(),
                self.layers.len()
            ))
            .at("in.past"));
        }
        let total = past + length;
        let positions = match x.positions {
            Some(positions) => positions.shallow_clone(),
            None => Tensor::f_arange_start(past, total, (Kind::Int64, device))?.f_unsqueeze(0)?,
        };
        let mut hidden = self.embeddings.forward(x, &positions, total, cx)?;
        let rotations = self.specification.rotary.iter();
        let mut pass = Pass {
            cx,
            masks: Masks::new(x.attention_mask, length, total, (hidden.kind(), device))?,
            rotations: rotations
                .map(|r| r.rotation(&positions, total, hidden.kind()))
                .collect::<Result<_>>()?,
            relations: self.relations.as_ref().map(|r| r.relations(length, device)).transpose()?,
            past: request.past,
            kept: request.cache.then(Cache::default),
        };
        let mut states = Vec::new();
        for layer in &self.layers {
            if request.states {
                states.push(hidden.shallow_clone());
            }
            hidden = layer.forward(&hidden, &mut pass)?;
        }
        if let Some(norm) = &self.final_norm {
            hidden = norm.forward(&hidden)?;
        }
        if request.states {
            states.push(hidden.shallow_clone());
        }
        Ok(Answer { hidden, states, cache: pass.kept.unwrap_or_default() })
    }
}
