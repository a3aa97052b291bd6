//! Scores that depend on how far a key lies from its query, in buckets (Raffel et al., 2020, section 2.1).

use zoo_plugin::prelude::*;

/// The table of T5: near distances have a bucket each, far ones share in logarithmic steps.
#[derive(Clone, Copy, Debug)]
pub struct BucketsSpecification {
    /// Name of the table.
    pub name: &'static str,
    /// Number of buckets.
    pub buckets: i64,
    /// The distance from which on all share the last bucket.
    pub maximum: i64,
    /// Whether keys behind the query and keys before it share buckets out among them; else keys behind
    /// it count as far as the query itself.
    pub both_sides: bool,
    /// Heads, each with scores of its own.
    pub heads: i64,
    /// Standard deviation of a new table.
    pub deviation: f64,
}

/// The table with its parameters, [buckets, heads].
#[derive(Debug)]
pub struct Buckets {
    specification: BucketsSpecification,
    table: Embedding,
}

impl BucketsSpecification {
    /// The bucket of a key that lies `distance` tokens after its query.
    fn bucket(&self, distance: i64) -> i64 {
        let (mut buckets, mut first) = (self.buckets, 0);
        let distance = if self.both_sides {
            buckets /= 2;
            if distance > 0 {
                first = buckets;
            }
            distance.abs()
        } else {
            (-distance).max(0)
        };
        let near = buckets / 2;
        if distance < near {
            return first + distance;
        }
        // In float32, as the checkpoints were trained.
        let (near_real, far) = (near as f32, distance as f32);
        let steps = (far / near_real).ln() / (self.maximum as f64 / near as f64).ln() as f32
            * (buckets - near) as f32;
        first + (near + steps as i64).min(buckets - 1)
    }
}

impl Buckets {
    /// The parameter `PREFIX NAME.weight`.
    ///
    /// # Errors
    /// Too few buckets for the distances, and the host's errors.
    pub fn new(cx: &mut Build<'_>, prefix: &str, specification: BucketsSpecification) -> Result<Self> {
        let s = specification;
        let near = s.buckets / if s.both_sides { 4 } else { 2 };
        if near < 1 || s.maximum <= near {
            return Err(Error::new(format!(
                "{} buckets of distances of up to {} tokens leave {near} for near ones, which must be at least 1 and fewer than the tokens",
                s.buckets, s.maximum
            )));
        }
        let init = Init::Normal { mean: 0.0, std: s.deviation };
        let table = Embedding::new(cx, &format!("{prefix}{}", s.name), s.buckets, s.heads, init)?;
        Ok(Self { specification, table })
    }

    /// Scores of the last `queries` of `keys` tokens with all of them, [1, heads, T, S].
    ///
    /// # Errors
    /// libtorch's.
    pub fn forward(&self, queries: i64, keys: i64, kind: Kind) -> Result<Tensor> {
        let device = self.table.weight.device();
        // All distances from 1 - keys to keys - 1.
        let of: Vec<i64> = (1 - keys..keys).map(|d| self.specification.bucket(d)).collect();
        let of = Tensor::f_from_slice(&of)?.f_to_device(device)?;
        let options = (Kind::Int64, device);
        let query = Tensor::f_arange_start(keys - queries, keys, options)?.f_unsqueeze(1)?;
        let key = Tensor::f_arange(keys, options)?.f_unsqueeze(0)?;
        let distances = key.f_sub(&query)?.f_add_scalar(keys - 1)?.f_reshape([-1])?;
        let buckets = of.f_index_select(0, &distances)?.f_view([queries, keys])?;
        Ok(self.table.forward(&buckets)?.f_permute([2, 0, 1])?.f_unsqueeze(0)?.f_to_kind(kind)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_have_the_buckets_of_transformers() {
        let specification = BucketsSpecification {
            name: "",
            buckets: 32,
            maximum: 128,
            both_sides: true,
            heads: 1,
            deviation: 1.0,
        };
        let buckets = |s: BucketsSpecification| {
            [-300, -100, -20, -8, -7, -1, 0, 1, 7, 8, 9, 12, 30, 127, 128, 500].map(|d| s.bucket(d))
        };
        // T5Attention._relative_position_bucket of transformers 5.23.
        assert_eq!(buckets(specification), [15, 15, 10, 8, 7, 1, 0, 17, 23, 24, 24, 25, 27, 31, 31, 31]);
        assert_eq!(
            buckets(BucketsSpecification { both_sides: false, ..specification }),
            [31, 30, 17, 8, 7, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        );
    }
}
