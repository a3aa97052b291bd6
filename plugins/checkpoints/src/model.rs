//! A text model with its parameters, and one forward pass through it.

use crate::blocks::buckets::Buckets;
use crate::blocks::convolution::Convolution;
use crate::blocks::disentangled::RelationsTable;
use crate::blocks::embeddings::{Embeddings, Replaced, TextInputs};
use crate::blocks::layer::Layer;
use crate::blocks::mask::Masks;
use crate::blocks::norm::Norm;
use crate::blocks::pass::{Cache, Memory, Pass};
use crate::config::Config;
use crate::specification::Specification;
use zoo_plugin::prelude::*;

/// Embeddings, layers and the final norm.
#[derive(Debug)]
pub struct Stack {
    specification: Specification,
    config: Option<Config>,
    embeddings: Embeddings,
    relations: Option<RelationsTable>,
    buckets: Option<Buckets>,
    convolution: Option<Convolution>,
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
    /// The text that cross attention looks at.
    pub memory: Option<Memory>,
    /// Vectors in the places of tokens' own.
    pub replaced: Option<Replaced>,
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
    /// Keys and values of the text that cross attention looks at; empty where not asked for.
    pub memory: Cache,
}

impl Stack {
    /// Parameters below `prefix` (with its dot, or empty).
    ///
    /// # Errors
    /// The host's.
    pub fn new(cx: &mut Build<'_>, prefix: &str, s: &Specification) -> Result<Self> {
        Self::sharing(cx, prefix, s, None)
    }

    /// The same with a token table that another model has, too.
    ///
    /// # Errors
    /// The host's.
    pub fn sharing(
        cx: &mut Build<'_>,
        prefix: &str,
        s: &Specification,
        words: Option<Tensor>,
    ) -> Result<Self> {
        let embeddings = Embeddings::new(cx, prefix, s.hidden, &s.embeddings, words)?;
        let init = Init::Normal { mean: 0.0, std: s.deviation };
        let relations = match &s.relations {
            Some((path, inner)) => {
                Some(RelationsTable::new(cx, &format!("{prefix}{path}"), s.hidden, init, *inner)?)
            }
            None => None,
        };
        let buckets = s.buckets.map(|inner| Buckets::new(cx, prefix, inner)).transpose()?;
        let convolution = match s.convolution {
            Some((path, inner)) => Some(Convolution::new(cx, &format!("{prefix}{path}"), s.hidden, inner)?),
            None => None,
        };
        let layers = s
            .layers
            .iter()
            .enumerate()
            .map(|(i, layer)| {
                let (path, site) =
                    (format!("{prefix}{}.{i}", s.layer_path), format!("{}layers.{i}", s.sites));
                Layer::new(cx, &path, &site, i, layer)
            })
            .collect::<Result<_>>()?;
        let final_norm = match s.final_norm {
            Some((name, norm)) => Some(Norm::new(cx, &format!("{prefix}{name}"), s.hidden, norm)?),
            None => None,
        };
        Ok(Self {
            specification: s.clone(),
            config: None,
            embeddings,
            relations,
            buckets,
            convolution,
            layers,
            final_norm,
        })
    }

    /// The same, with the configuration that it was made of.
    #[must_use]
    pub fn described(mut self, config: &Config) -> Self {
        self.config = Some(config.clone());
        self
    }

    /// The `config.json` for a checkpoint of it; see [`Config::of_class`].
    ///
    /// # Errors
    /// When it was made of none.
    pub fn export(&self, ends: &[&str], classes: Option<i64>) -> Result<Vec<u8>> {
        let config =
            self.config.as_ref().ok_or_else(|| Error::new("the model was not made of a config.json"))?;
        config.of_class(ends, classes)
    }

    /// The specification that it was made from.
    pub fn specification(&self) -> &Specification {
        &self.specification
    }

    /// The token embeddings [vocabulary, size], for heads that share them.
    pub fn words(&self) -> &Tensor {
        self.embeddings.words()
    }

    fn check_cache(&self, cache: &Cache, at: &str) -> Result<()> {
        let (count, layers) = (cache.tensors.len(), self.layers.len());
        if count == 0 || count == 2 * layers {
            return Ok(());
        }
        let text =
            format!("the cache has {count} tensors for {layers} layers, which need a key and a value each");
        Err(Error::new(text).at(at))
    }

    /// The documents of rows, where the model can keep them apart.
    fn documents(&self, numbers: &Tensor, past: i64) -> Result<Documents> {
        let s = &self.specification;
        let mixes = if self.convolution.is_some() {
            Some("its convolution goes over the borders of documents")
        } else if s.embeddings.token_dropout.is_some() {
            Some("its embeddings depend on the masked tokens of the whole row")
        } else if past > 0 {
            Some("a cache holds one text a row")
        } else {
            None
        };
        if let Some(reason) = mixes {
            return Err(Error::new(format!("a row of `{}` is one document here: {reason}", s.family))
                .help("leave `document_ids` out, and give each document a row of its own")
                .at("in.document_ids"));
        }
        let documents = Documents::new(numbers)?;
        documents.are_whole().map_err(|e| e.at("in.document_ids"))?;
        Ok(documents)
    }

    /// One pass over T tokens, after those of the cache.
    ///
    /// # Errors
    /// Inputs that do not fit each other or the model, and libtorch's errors.
    pub fn forward(&self, x: &TextInputs<'_>, request: Request, cx: &Call<'_>) -> Result<Answer> {
        let length = x.ids.size2()?.1;
        let device = x.ids.device();
        let past = request.past.length();
        self.check_cache(&request.past, "in.past")?;
        if let Some(memory) = &request.memory {
            self.check_cache(&memory.cache, "in.memory")?;
        }
        let total = past + length;
        let documents = match x.documents {
            Some(numbers) => Some(self.documents(numbers, past)?),
            None => None,
        };
        let positions = match (x.positions, &documents) {
            (Some(positions), _) => positions.shallow_clone(),
            (None, Some(documents)) => documents.positions()?,
            (None, None) => Tensor::f_arange_start(past, total, (Kind::Int64, device))?.f_unsqueeze(0)?,
        };
        // A row may be longer than the documents that it holds.
        let longest = match &documents {
            Some(documents) => documents.longest()?,
            None => total,
        };
        let padding = match (&documents, x.attention_mask) {
            (Some(documents), None) => Some(documents.tokens().f_to_kind(Kind::Int64)?),
            _ => None,
        };
        let x = &TextInputs { attention_mask: x.attention_mask.or(padding.as_ref()), ..*x };
        let mut hidden = self.embeddings.forward(x, request.replaced.as_ref(), &positions, longest, cx)?;
        let rotations = self.specification.rotary.iter();
        let mut pass = Pass {
            cx,
            masks: Masks::new(x.attention_mask, length, total, (hidden.kind(), device))?
                .with_blind_padding(self.specification.padding_is_blind)
                .with_documents(documents.as_ref(), x.attention_mask)?,
            rotations: rotations
                .map(|r| r.rotation(&positions, longest, hidden.kind()))
                .collect::<Result<_>>()?,
            relations: self.relations.as_ref().map(|r| r.relations(length, device)).transpose()?,
            bias: match &self.buckets {
                Some(buckets) => Some(buckets.forward(length, total, hidden.kind())?),
                None => None,
            },
            memory: request.memory,
            past: request.past,
            kept: request.cache.then(Cache::default),
        };
        let mut states = Vec::new();
        for (i, layer) in self.layers.iter().enumerate() {
            if request.states {
                states.push(hidden.shallow_clone());
            }
            let after = layer.forward(&hidden, &mut pass)?;
            hidden = match &self.convolution {
                Some(convolution) if i == 0 => {
                    convolution.forward(&hidden, &after, pass.masks.tokens(), cx)?
                }
                _ => after,
            };
        }
        if let Some(norm) = &self.final_norm {
            hidden = norm.forward(&hidden)?;
        }
        hidden = dropout(hidden, self.specification.final_dropout, cx)?;
        if request.states {
            states.push(hidden.shallow_clone());
        }
        let memory = pass.memory.and_then(|memory| memory.kept).unwrap_or_default();
        Ok(Answer { hidden, states, cache: pass.kept.unwrap_or_default(), memory })
    }
}
