//! Scores that depend on where a key lies beside its query, which a layer's attention adds to its own.

use crate::blocks::projection::{Projection, Style};
use zoo_plugin::prelude::*;

/// How relative positions become scores.
#[derive(Clone, Copy, Debug)]
pub enum RelativeSpecification {
    /// A score for each distance in rows and columns of a grid, which a class token leads: BEiT (Bao
    /// et al., 2022).
    Grid {
        /// Full name of the table, [(2 rows - 1)(2 columns - 1) + 3, heads].
        name: &'static str,
        /// Rows of patches.
        rows: i64,
        /// Columns of patches.
        columns: i64,
    },
    /// The product of the query with a vector for each distance (Shaw et al., 2018).
    Vectors {
        /// Name of the table, [left + right + 1, head].
        name: &'static str,
        /// Distances to the left; farther ones share the last.
        left: i64,
        /// Distances to the right.
        right: i64,
    },
    /// The product of the query with waves of the distance through a map, and biases of the query for
    /// contents and for positions (Dai et al., 2019).
    Waves {
        /// Name of the map.
        map: &'static str,
        /// Full name of the query's bias for contents, [heads, head].
        contents: &'static str,
        /// Full name of the query's bias for positions, [heads, head].
        positions: &'static str,
    },
}

#[derive(Debug)]
enum Parts {
    Grid { table: Tensor, index: Tensor },
    Vectors { table: Embedding, left: i64, right: i64 },
    Waves { map: Projection, contents: Tensor, positions: Tensor },
}

/// Relative positions with their parameters.
#[derive(Debug)]
pub struct Relative {
    parts: Parts,
    scale: f64,
}

/// The row of the table for each query and key, [tokens, tokens] in one.
fn grid_index(rows: i64, columns: i64) -> Vec<i64> {
    let patches = rows * columns;
    let distances = (2 * rows - 1) * (2 * columns - 1);
    let mut index = Vec::with_capacity(((patches + 1) * (patches + 1)) as usize);
    for query in 0..=patches {
        for key in 0..=patches {
            index.push(match (query, key) {
                (0, 0) => distances + 2,
                (0, _) => distances,
                (_, 0) => distances + 1,
                _ => {
                    let (q, k) = (query - 1, key - 1);
                    let down = q / columns - k / columns + rows - 1;
                    let right = q % columns - k % columns + columns - 1;
                    down * (2 * columns - 1) + right
                }
            });
        }
    }
    index
}

/// Waves of distances from `length` - 1 down to 1 - `length`, [2 length - 1, size].
fn waves(length: i64, size: i64, (kind, device): (Kind, Device)) -> Result<Tensor> {
    let options = (Kind::Float, device);
    let distances = Tensor::f_arange_start(1 - length, length, options)?.f_neg()?.f_unsqueeze(1)?;
    let steps = Tensor::f_arange(size / 2, options)?.f_mul_scalar(2.0)?;
    let rates = steps.f_mul_scalar(-(10000_f64.ln() / size as f64))?.f_exp()?;
    let angles = distances.f_mul(&rates)?;
    let both = Tensor::f_stack(&[angles.f_sin()?, angles.f_cos()?], -1)?;
    Ok(both.f_view([2 * length - 1, size])?.f_to_kind(kind)?)
}

impl Relative {
    /// Parameters below `path`, for `heads` heads of size `head` whose scores have the factor `scale`.
    ///
    /// # Errors
    /// Sizes that do not fit, and the host's errors.
    pub fn new(
        cx: &mut Build<'_>,
        path: &str,
        (heads, head): (i64, i64),
        scale: f64,
        style: Style,
        s: RelativeSpecification,
    ) -> Result<Self> {
        let parts = match s {
            RelativeSpecification::Grid { name, rows, columns } => {
                let count = (2 * rows - 1) * (2 * columns - 1) + 3;
                let table = cx.parameter(&format!("{path}.{name}"), &[count, heads], Init::Zeros)?;
                let index = Tensor::f_from_slice(&grid_index(rows, columns))?;
                let tokens = rows * columns + 1;
                Parts::Grid { index: index.f_view([tokens, tokens])?.f_to_device(table.device())?, table }
            }
            RelativeSpecification::Vectors { name, left, right } => {
                let name = format!("{path}.{name}");
                let table = Embedding::new(cx, &name, left + right + 1, head, style.init())?;
                Parts::Vectors { table, left, right }
            }
            RelativeSpecification::Waves { map, contents, positions } => {
                let size = heads * head;
                if size % 2 != 0 {
                    return Err(Error::new(format!(
                        "relative positions need states of an even size, not {size}"
                    )));
                }
                let map = Projection::new(cx, &format!("{path}.{map}"), size, size, style.biased(false))?;
                let mut bias =
                    |name: &str| cx.parameter(&format!("{path}.{name}"), &[heads, head], Init::Zeros);
                Parts::Waves { map, contents: bias(contents)?, positions: bias(positions)? }
            }
        };
        Ok(Self { parts, scale })
    }

    /// The query that contents are scored with, and what is added to the scores, [1 or B, heads, T, T];
    /// `query` is [B, heads, T, head].
    ///
    /// # Errors
    /// Tokens that are not those of the grid, and libtorch's errors.
    pub fn scores(&self, query: &Tensor) -> Result<(Tensor, Tensor)> {
        let (batch, heads, length, head) = query.size4()?;
        match &self.parts {
            Parts::Grid { .. } => Ok((query.shallow_clone(), self.grid(length, query.kind())?)),
            Parts::Vectors { table, left, right } => {
                let options = (Kind::Int64, query.device());
                let keys = Tensor::f_arange(length, options)?.f_unsqueeze(0)?;
                let distances = keys.f_sub(&keys.f_transpose(0, 1)?)?.f_clamp(-left, *right)?;
                let vectors = table.forward(&distances.f_add_scalar(*left)?)?.f_to_kind(query.kind())?;
                // [B, heads, T, head] with [T, T, head], query by query.
                let rows = query.f_permute([2, 0, 1, 3])?.f_reshape([length, batch * heads, head])?;
                let scores = rows
                    .f_matmul(&vectors.f_transpose(1, 2)?)?
                    .f_view([length, batch, heads, length])?
                    .f_permute([1, 2, 0, 3])?;
                Ok((query.shallow_clone(), scores.f_mul_scalar(self.scale)?))
            }
            Parts::Waves { map, contents, positions } => {
                let waves = waves(length, heads * head, (query.kind(), query.device()))?;
                let places =
                    map.forward(&waves)?.f_view([2 * length - 1, heads, head])?.f_permute([1, 2, 0])?;
                let bias = |b: &Tensor| b.f_view([1, heads, 1, head]);
                let scores = query.f_add(&bias(positions)?)?.f_matmul(&places)?;
                // Row t holds distances from length - 1 on; it is moved so that column s is t - s.
                let moved = scores
                    .f_constant_pad_nd([1, 0])?
                    .f_view([batch, heads, 2 * length, length])?
                    .f_narrow(2, 1, 2 * length - 1)?
                    .f_reshape([batch, heads, length, 2 * length - 1])?
                    .f_narrow(3, 0, length)?;
                Ok((query.f_add(&bias(contents)?)?, moved.f_mul_scalar(self.scale)?))
            }
        }
    }

    /// What is added to scores whatever the query, [1, heads, T, T].
    ///
    /// # Errors
    /// Tokens that are not those of the grid, and libtorch's errors.
    pub fn grid(&self, length: i64, kind: Kind) -> Result<Tensor> {
        let Parts::Grid { table, index } = &self.parts else {
            return Err(Error::new("these relative positions need a query"));
        };
        let tokens = index.size()[0];
        if length != tokens {
            return Err(Error::new(format!(
                "relative positions are those of {tokens} tokens, and the image has {length}"
            ))
            .help("give images of the size that config.json says")
            .at("in.pixel_values"));
        }
        let heads = table.size()[1];
        Ok(table
            .f_index_select(0, &index.f_reshape([-1])?)?
            .f_view([tokens, tokens, heads])?
            .f_permute([2, 0, 1])?
            .f_unsqueeze(0)?
            .f_to_kind(kind)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_of_two_has_the_rows_of_transformers() {
        // BeitRelativePositionBias.generate_relative_position_index((2, 2)) of transformers 5.23.
        let expected = [9, 9, 9, 9, 10, 4, 3, 1, 0, 10, 5, 4, 2, 1, 10, 7, 6, 4, 3, 10, 8, 7, 5, 4];
        let index = grid_index(2, 2);
        assert_eq!(index[0], 11);
        assert_eq!(index[1..], expected);
    }

    #[test]
    fn waves_are_those_of_the_distances() {
        let waves = waves(3, 4, (Kind::Float, Device::Cpu)).unwrap();
        for (row, distance) in [2_f64, 1.0, 0.0, -1.0, -2.0].into_iter().enumerate() {
            let expected = [distance.sin(), distance.cos(), (distance * 0.01).sin(), (distance * 0.01).cos()];
            for (column, value) in expected.into_iter().enumerate() {
                assert!((waves.double_value(&[row as i64, column as i64]) - value).abs() < 1e-6);
            }
        }
    }
}
