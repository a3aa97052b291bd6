//! Token embeddings with all that families add to them.

use crate::blocks::norm::{Norm, NormSpecification};
use crate::blocks::projection::{Projection, Style};
use zoo_plugin::prelude::*;

/// A table of positions.
#[derive(Clone, Copy, Debug)]
pub struct PositionTable {
    /// Name of the table.
    pub name: &'static str,
    /// Number of rows.
    pub count: i64,
    /// The padding token, where positions count tokens alone and begin after its id, as RoBERTa's do.
    pub after_padding: Option<i64>,
    /// The row of position 0, where positions count everything from 0: 2 in BART's table.
    pub offset: i64,
}

/// ESM's way with masked tokens: they are zero, and the others are scaled to make up for it.
#[derive(Clone, Copy, Debug)]
pub struct TokenDropout {
    /// The mask token.
    pub mask: i64,
    /// The share of masked tokens in the pretraining.
    pub share: f64,
}

/// Embeddings.
#[derive(Clone, Copy, Debug)]
pub struct EmbeddingsSpecification {
    /// Name of the token table.
    pub words: &'static str,
    /// Number of token ids.
    pub vocabulary: i64,
    /// The token whose vector is not trained where it is read.
    pub padding: Option<i64>,
    /// Size of the vectors.
    pub size: i64,
    /// Positions.
    pub positions: Option<PositionTable>,
    /// Name and number of segments.
    pub segments: Option<(&'static str, i64)>,
    /// A normalisation under that name.
    pub norm: Option<(&'static str, NormSpecification)>,
    /// A map to the states' size under that name, and whether it stands before the norm.
    pub projection: Option<(&'static str, bool, Style)>,
    /// Factor of the token vectors.
    pub scale: f64,
    /// ESM's token dropout.
    pub token_dropout: Option<TokenDropout>,
    /// Whether padding becomes zero.
    pub zero_padding: bool,
    /// Dropout at the end.
    pub dropout: f64,
    /// Standard deviation of new tables.
    pub deviation: f64,
}

/// Embeddings with their parameters.
#[derive(Debug)]
pub struct Embeddings {
    specification: EmbeddingsSpecification,
    words: Embedding,
    positions: Option<Embedding>,
    segments: Option<Embedding>,
    norm: Option<Norm>,
    projection: Option<Projection>,
}

/// What embeddings are made from.
#[derive(Clone, Copy, Debug)]
pub struct TextInputs<'t> {
    /// Token ids [B, T].
    pub ids: &'t Tensor,
    /// 1 for tokens, 0 for padding, [B, S]; S counts tokens of the cache too.
    pub attention_mask: Option<&'t Tensor>,
    /// Segment of each token, [B, T].
    pub segments: Option<&'t Tensor>,
    /// Position of each token, [B, T].
    pub positions: Option<&'t Tensor>,
    /// The document of each token of rows that have several, [B, T]; 0 for padding.
    pub documents: Option<&'t Tensor>,
}

/// Vectors that stand where tokens' own would.
#[derive(Debug)]
pub struct Replaced {
    /// True in their places, `bool[B, T]`.
    pub places: Tensor,
    /// The vectors in the order of the places, row by row; [..., size].
    pub vectors: Tensor,
}

/// Ids [...] to vectors [..., size]; that of `padding` is not trained.
fn look_up(table: &Embedding, ids: &Tensor, padding: Option<i64>) -> Result<Tensor> {
    let rows = table.weight.size2()?.0;
    let padding = padding.filter(|id| (0..rows).contains(id)).unwrap_or(-1);
    Ok(Tensor::f_embedding(&table.weight, ids, padding, false, false)?)
}

impl Embeddings {
    /// Parameters below `prefix` (with its dot, or empty), for states of size `hidden`; `words` is the
    /// token table where it is that of another text, too.
    ///
    /// # Errors
    /// The host's.
    pub fn new(
        cx: &mut Build<'_>,
        prefix: &str,
        hidden: i64,
        s: &EmbeddingsSpecification,
        words: Option<Tensor>,
    ) -> Result<Self> {
        let init = Init::Normal { mean: 0.0, std: s.deviation };
        let mut table =
            |name: &str, count: i64| Embedding::new(cx, &format!("{prefix}{name}"), count, s.size, init);
        let words = match words {
            Some(weight) => Embedding { weight },
            None => table(s.words, s.vocabulary)?,
        };
        let positions = s.positions.map(|p| table(p.name, p.count)).transpose()?;
        let segments = s.segments.map(|(name, count)| table(name, count)).transpose()?;
        let projected = s.projection.is_some_and(|(_, before, _)| before);
        let size = if projected { hidden } else { s.size };
        let norm = match s.norm {
            Some((name, norm)) => Some(Norm::new(cx, &format!("{prefix}{name}"), size, norm)?),
            None => None,
        };
        let projection = match s.projection {
            Some((name, _, style)) => {
                Some(Projection::new(cx, &format!("{prefix}{name}"), s.size, hidden, style)?)
            }
            None => None,
        };
        Ok(Self { specification: *s, words, positions, segments, norm, projection })
    }

    /// The token table [vocabulary, size], for heads that share it.
    pub fn words(&self) -> &Tensor {
        &self.words.weight
    }

    /// Places in the position table, counted from 0 or as the family counts them, [B or 1, T].
    fn places(&self, x: &TextInputs<'_>, plain: &Tensor) -> Result<Tensor> {
        let Some(table) = self.specification.positions else { return Ok(plain.shallow_clone()) };
        match table.after_padding {
            Some(padding) if x.positions.is_none() && x.documents.is_some() => {
                let places = plain.f_add_scalar(padding + 1)?;
                match x.attention_mask {
                    Some(mask) => Ok(places.f_masked_fill(&mask.f_eq(0)?, padding)?),
                    None => Ok(places),
                }
            }
            Some(padding) if x.positions.is_none() => {
                let tokens = x.ids.f_ne(padding)?.f_to_kind(Kind::Int64)?;
                Ok(tokens.f_cumsum(1, Kind::Int64)?.f_mul(&tokens)?.f_add_scalar(padding)?)
            }
            _ if table.offset != 0 => Ok(plain.f_add_scalar(table.offset)?),
            _ => Ok(plain.shallow_clone()),
        }
    }

    /// Vectors [B, T, hidden]; `positions` [B or 1, T] count from 0, to below `length`, and some tokens' vectors are
    /// `replaced`.
    ///
    /// # Errors
    /// A text longer than the position table, and libtorch's errors.
    pub fn forward(
        &self,
        x: &TextInputs<'_>,
        replaced: Option<&Replaced>,
        positions: &Tensor,
        length: i64,
        cx: &Call<'_>,
    ) -> Result<Tensor> {
        let s = &self.specification;
        let mut y = look_up(&self.words, x.ids, s.padding)?;
        if let Some(Replaced { places, vectors }) = replaced {
            y = y.f_masked_scatter(&places.f_unsqueeze(-1)?, &vectors.f_to_kind(y.kind())?)?;
        }
        if s.scale != 1.0 {
            y = y.f_mul_scalar(s.scale)?;
        }
        if let Some(token_dropout) = &s.token_dropout {
            y = Self::drop_tokens(y, x, token_dropout)?;
        }
        if let (Some(table), Some(places)) = (&self.positions, &s.positions) {
            let room = places.count - places.after_padding.map_or(places.offset, |padding| padding + 1);
            if length > room {
                return Err(Error::new(format!("the text has {length} tokens and the model takes {room}"))
                    .help("shorten texts, e.g. by the tokenizer's `maximum_length`")
                    .at("in.ids"));
            }
            y = y.f_add(&look_up(table, &self.places(x, positions)?, places.after_padding)?)?;
        }
        if let Some(table) = &self.segments {
            y = match x.segments {
                Some(segments) => y.f_add(&table.forward(segments)?)?,
                None => y.f_add(&table.weight.f_select(0, 0)?)?,
            };
        }
        if let (Some((_, true, _)), Some(projection)) = (s.projection, &self.projection) {
            y = projection.forward(&y)?;
        }
        if let Some(norm) = &self.norm {
            y = norm.forward(&y)?;
        }
        if let (true, Some(mask)) = (s.zero_padding, x.attention_mask) {
            y = y.f_mul(&mask.f_unsqueeze(-1)?.f_to_kind(y.kind())?)?;
        }
        y = dropout(y, s.dropout, cx)?;
        match (s.projection, &self.projection) {
            (Some((_, false, _)), Some(projection)) => projection.forward(&y),
            _ => Ok(y),
        }
    }

    fn drop_tokens(y: Tensor, x: &TextInputs<'_>, dropout: &TokenDropout) -> Result<Tensor> {
        let masked = x.ids.f_eq(dropout.mask)?;
        let y = y.f_masked_fill(&masked.f_unsqueeze(-1)?, 0.0)?;
        let lengths = match x.attention_mask {
            Some(mask) => mask.f_sum_dim_intlist([1_i64].as_slice(), false, Kind::Float)?,
            None => Tensor::f_full([x.ids.size()[0]], x.ids.size()[1] as f64, (Kind::Float, x.ids.device()))?,
        };
        let count = masked.f_sum_dim_intlist([1_i64].as_slice(), false, Kind::Float)?;
        // (1 - share in the pretraining) / (1 - share here)
        let left = count.f_div(&lengths)?.f_neg()?.f_add_scalar(1.0)?;
        let scale = left.f_reciprocal()?.f_mul_scalar(1.0 - dropout.share)?;
        Ok(y.f_mul(&scale.f_unsqueeze(-1)?.f_unsqueeze(-1)?.f_to_kind(y.kind())?)?)
    }
}
