//! Whether a path is one.

use crate::encoding::token;
use crate::picture::picture;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use zoo_plugin::prelude::*;

/// Judges predicted paths, and draws some for the report.
///
/// `exact`: the path of the data, token by token, its end included. `valid`: it begins at the origin, each step
/// is an edge, and it ends at the target. `optimal`: valid, and no longer than the path of the data, which is a
/// shortest one.
///
/// # Example
/// ```mlm
/// model judge = worlds.path_check(pictures: 3, size: 10)
/// ```
#[component(
    function,
    name = "worlds.path_check",
    inputs(
        predicted: "int[B, T]" = "tokens with a predicted path",
        ids: "int[B, T]" = "tokens with the path of the data",
        prediction_mask: "int[B, T]" = "1 for the path",
        edges: "int[B, E, 2]" = "tokens of both ends of each edge; below 0 for none",
    ),
    outputs(
        exact: "bool[B]" = "the path of the data",
        valid: "bool[B]" = "a path from origin to target",
        optimal: "bool[B]" = "a shortest one",
    ),
)]
pub struct PathCheck {
    /// Worlds of the first batch that are drawn.
    #[param(default = 0, range = "[0, 12]")]
    pub pictures: usize,
    /// Cells of a grid's side; without it nodes are drawn on a circle.
    #[param(range = ">= 2")]
    pub size: Option<usize>,
    /// Whether a step may only be made in the direction in which an edge is told.
    #[param(default = false)]
    pub directed: bool,
}

/// What a path is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// The path of the data.
    pub exact: bool,
    /// A path from origin to target.
    pub valid: bool,
    /// A shortest one.
    pub optimal: bool,
}

/// Cells of a path: what stands before its end.
fn cells(path: &[i64]) -> &[i64] {
    let end = path.iter().position(|id| *id == token::PATH_END).unwrap_or(path.len());
    &path[..end]
}

impl PathCheck {
    /// Judges a path against the one of the data; `edges` are pairs of tokens.
    pub fn judge(&self, predicted: &[i64], path: &[i64], edges: &[(i64, i64)]) -> Judgement {
        let mut open: HashSet<(i64, i64)> = edges.iter().copied().collect();
        if !self.directed {
            open.extend(edges.iter().map(|(a, b)| (*b, *a)));
        }
        let (found, right) = (cells(predicted), cells(path));
        let valid = !found.is_empty()
            && found.first() == right.first()
            && found.last() == right.last()
            && found.windows(2).all(|step| open.contains(&(step[0], step[1])));
        Judgement { exact: predicted == path, valid, optimal: valid && found.len() <= right.len() }
    }
}

fn numbers(tensor: &Tensor) -> Result<Vec<i64>> {
    Ok(Vec::try_from(&tensor.f_reshape([-1])?.f_to_device(Device::Cpu)?)?)
}

impl Component for PathCheck {
    /// Whether something was drawn.
    type State = AtomicBool;

    fn build(&self, _: &mut Build<'_>) -> Result<AtomicBool> {
        Ok(AtomicBool::new(self.pictures == 0))
    }

    fn call(
        &self,
        drawn: &AtomicBool,
        x: PathCheckInputs<'_>,
        cx: &mut Call<'_>,
    ) -> Result<PathCheckOutputs> {
        let (batch, length) = x.ids.size2()?;
        let (predicted, ids) = (numbers(x.predicted)?, numbers(x.ids)?);
        let (targets, pairs) = (numbers(x.prediction_mask)?, numbers(x.edges)?);
        let (batch, length) = (batch as usize, length as usize);
        let each = pairs.len().checked_div(batch).unwrap_or(0);
        let draw = !drawn.swap(true, Ordering::Relaxed);
        let mut judged = Vec::with_capacity(batch);
        for b in 0..batch {
            let chosen = (b * length..(b + 1) * length).filter(|place| targets[*place] != 0);
            let (found, right): (Vec<i64>, Vec<i64>) = chosen.map(|at| (predicted[at], ids[at])).unzip();
            let edges: Vec<(i64, i64)> = pairs[b * each..(b + 1) * each]
                .chunks_exact(2)
                .filter(|pair| pair[0] >= 0)
                .map(|pair| (pair[0], pair[1]))
                .collect();
            let judgement = self.judge(&found, &right, &edges);
            if draw && b < self.pictures {
                let svg = picture(self.size, &edges, cells(&found), cells(&right), judgement);
                cx.artifact(&format!("path {}", b + 1), "image/svg+xml", svg.as_bytes());
            }
            judged.push(judgement);
        }
        let column =
            |of: fn(&Judgement) -> bool| Tensor::f_from_slice(&judged.iter().map(of).collect::<Vec<_>>());
        Ok(PathCheckOutputs {
            exact: column(|j| j.exact)?,
            valid: column(|j| j.valid)?,
            optimal: column(|j| j.optimal)?,
        })
    }
}
