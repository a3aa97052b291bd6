//! Relative positions of DeBERTa (He et al., 2021): scores of contents with positions and of
//! positions with contents, besides those of contents with contents.

use crate::blocks::attention::AttentionSpecification;
use crate::blocks::norm::{Norm, NormSpecification};
use crate::blocks::projection::Projection;
use zoo_plugin::prelude::*;

/// What a layer does with relative positions.
#[derive(Clone, Copy, Debug)]
pub struct DisentangledSpecification {
    /// Scores of contents with positions.
    pub content_to_position: bool,
    /// Scores of positions with contents.
    pub position_to_content: bool,
    /// Whether positions go through the maps of the contents; else through their own.
    pub shared: bool,
    /// Number of distances to either side.
    pub span: i64,
    /// Dropout of the table.
    pub dropout: f64,
}

/// The table of relative positions, which all layers share.
#[derive(Clone, Copy, Debug)]
pub struct RelationsSpecification {
    /// Name of the table.
    pub name: &'static str,
    /// Number of distances to either side.
    pub span: i64,
    /// Buckets: near distances one each, far ones in logarithmic steps; 0 for none.
    pub buckets: i64,
    /// Longest distance.
    pub maximum: i64,
    /// Normalisation of the table, under that name.
    pub norm: Option<(&'static str, NormSpecification)>,
}

/// The table with its parameters.
#[derive(Debug)]
pub struct RelationsTable {
    specification: RelationsSpecification,
    table: Embedding,
    norm: Option<Norm>,
}

/// The table and the distances of one call.
#[derive(Debug)]
pub struct Relations {
    /// [1, 2 span, hidden]
    table: Tensor,
    /// Place in the table for each query and key, [T, T].
    forward: Tensor,
    /// The same for keys and queries, [T, T].
    backward: Tensor,
}

/// The distance's bucket, of the sign of the distance.
fn bucket(distance: i64, buckets: i64, maximum: i64) -> i64 {
    let middle = buckets / 2;
    if distance.abs() <= middle || middle < 2 {
        return distance;
    }
    // In float32, as the checkpoints were trained.
    let (middle_real, far) = (middle as f32, distance.abs() as f32);
    let steps = (far / middle_real).ln() / ((maximum - 1) as f32 / middle_real).ln() * (middle_real - 1.0);
    (steps.ceil() as i64 + middle) * distance.signum()
}

impl RelationsTable {
    /// Parameters below `path`.
    ///
    /// # Errors
    /// The host's.
    pub fn new(
        cx: &mut Build<'_>,
        path: &str,
        hidden: i64,
        init: Init,
        specification: RelationsSpecification,
    ) -> Result<Self> {
        let name = format!("{path}.{}", specification.name);
        let table = Embedding::new(cx, &name, 2 * specification.span, hidden, init)?;
        let norm = match specification.norm {
            Some((name, norm)) => Some(Norm::new(cx, &format!("{path}.{name}"), hidden, norm)?),
            None => None,
        };
        Ok(Self { specification, table, norm })
    }

    /// The relations of a text of `length` tokens.
    ///
    /// # Errors
    /// libtorch's.
    pub fn relations(&self, length: i64, device: Device) -> Result<Relations> {
        let s = &self.specification;
        // 2 T - 1 distances, from 1 - T to T - 1.
        let places = |sign: i64| -> Result<Tensor> {
            let of: Vec<i64> = (1 - length..length)
                .map(|d| {
                    let d = if s.buckets > 0 { bucket(d, s.buckets, s.maximum) } else { d };
                    (sign * d + s.span).clamp(0, 2 * s.span - 1)
                })
                .collect();
            let options = (Kind::Int64, device);
            let positions = Tensor::f_arange(length, options)?;
            let distance =
                positions.f_unsqueeze(1)?.f_sub(&positions.f_unsqueeze(0)?)?.f_add_scalar(length - 1)?;
            let of = Tensor::f_from_slice(&of)?.f_to_device(device)?;
            Ok(of.f_index_select(0, &distance.f_reshape([-1])?)?.f_reshape([length, length])?)
        };
        let table = match &self.norm {
            Some(norm) => norm.forward(&self.table.weight)?,
            None => self.table.weight.shallow_clone(),
        };
        Ok(Relations { table: table.f_unsqueeze(0)?, forward: places(1)?, backward: places(-1)? })
    }
}

/// The maps of one layer's positions.
#[derive(Debug)]
pub struct Disentangled {
    specification: DisentangledSpecification,
    heads: i64,
    head: i64,
    scale: f64,
    key: Option<Projection>,
    query: Option<Projection>,
}

impl Disentangled {
    /// Parameters below `path`.
    ///
    /// # Errors
    /// The host's.
    pub fn new(
        cx: &mut Build<'_>,
        path: &str,
        attention: &AttentionSpecification,
        specification: DisentangledSpecification,
    ) -> Result<Self> {
        let size = attention.heads * attention.head;
        let style = attention.style.biased(true);
        let mut map = |wanted: bool, name: &str| -> Result<Option<Projection>> {
            let name = format!("{path}.{name}");
            wanted.then(|| Projection::new(cx, &name, attention.hidden, size, style)).transpose()
        };
        let own = !specification.shared;
        let key = map(own && specification.content_to_position, "attention.self.pos_key_proj")?;
        let query = map(own && specification.position_to_content, "attention.self.pos_query_proj")?;
        Ok(Self {
            specification,
            heads: attention.heads,
            head: attention.head,
            scale: attention.scale,
            key,
            query,
        })
    }

    fn split(&self, x: &Tensor) -> Result<Tensor> {
        Ok(x.f_view([1, -1, self.heads, self.head])?.f_transpose(1, 2)?)
    }

    /// What is added to the scores [B, heads, T, T]. `shared` maps the table by the layer's own
    /// queries and keys, where positions have no maps of their own.
    ///
    /// # Errors
    /// libtorch's.
    pub fn bias(
        &self,
        query: &Tensor,
        key: &Tensor,
        relations: &Relations,
        shared: (&Projection, &Projection),
        cx: &Call<'_>,
    ) -> Result<Tensor> {
        let s = &self.specification;
        let table = dropout(relations.table.shallow_clone(), s.dropout, cx)?;
        let size = [query.size()[0], self.heads, query.size()[2], key.size()[2]];
        let mut sum: Option<Tensor> = None;
        let mut add = |part: Tensor| -> Result<()> {
            sum = Some(match sum.take() {
                Some(sum) => sum.f_add(&part)?,
                None => part,
            });
            Ok(())
        };
        if s.content_to_position {
            let positions = self.split(&self.key.as_ref().unwrap_or(shared.1).forward(&table)?)?;
            let scores = query.f_matmul(&positions.f_transpose(-2, -1)?)?;
            let places = relations.forward.f_expand(size, false)?;
            add(scores.f_gather(-1, &places, false)?.f_mul_scalar(self.scale)?)?;
        }
        if s.position_to_content {
            let positions = self.split(&self.query.as_ref().unwrap_or(shared.0).forward(&table)?)?;
            let scores = key.f_matmul(&positions.f_transpose(-2, -1)?)?;
            let places = relations.backward.f_expand(size, false)?;
            let scores = scores.f_gather(-1, &places, false)?.f_transpose(-2, -1)?;
            add(scores.f_mul_scalar(self.scale)?)?;
        }
        match sum {
            Some(sum) => Ok(sum),
            None => Ok(Tensor::f_zeros([1], (query.kind(), query.device()))?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_distances_have_a_bucket_each_and_far_ones_share() {
        let buckets: Vec<i64> = [-20, -5, -4, 0, 3, 4, 5, 20, 39].map(|d| bucket(d, 8, 40)).to_vec();
        assert_eq!(buckets, [-7, -5, -4, 0, 3, 4, 5, 7, 7]);
    }
}
