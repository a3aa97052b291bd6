//! Worlds as data: rows are made when they are read, each from its own randomness.

use crate::encoding::{Edges, row, token};
use crate::maze::{World, depth_first_maze, obstacle_grid, star_graph};
use rand_chacha::ChaCha8Rng;
use zoo_plugin::prelude::*;

/// Tokens of some worlds, as the columns have them.
struct Columns {
    ids: Tensor,
    partners: Tensor,
    attention_mask: Tensor,
    prediction_mask: Tensor,
    edges: Tensor,
}

/// The generator of a row: rows do not depend on which others are read.
fn generator(seed: u64, index: i64, rows: usize) -> Result<ChaCha8Rng> {
    use rand::SeedableRng;
    let index = u64::try_from(index).ok().filter(|index| *index < rows as u64);
    let index = index.ok_or_else(|| Error::new(format!("there is no such world among {rows}")))?;
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    generator.set_stream(index);
    Ok(generator)
}

fn columns(worlds: &[World], edges: Edges, ended: bool, length: usize) -> Result<Columns> {
    let rows: Vec<_> = worlds.iter().map(|world| row(world, edges, ended)).collect();
    if let Some(longest) = rows.iter().map(|row| row.ids.len()).max().filter(|longest| *longest > length) {
        let text = format!("a world with its path is {longest} tokens, and rows have {length}");
        return Err(Error::new(text).at("row_length").help("leave `row_length` away: no row is longer then"));
    }
    let most = worlds.iter().map(|world| world.edges.len()).max().unwrap_or(0);
    let count = rows.len();
    let mut ids = vec![0; count * length];
    let (mut partners, mut real, mut path) = (ids.clone(), ids.clone(), ids.clone());
    let mut pairs = vec![-1; count * most * 2];
    for (number, (row, world)) in rows.iter().zip(worlds).enumerate() {
        let start = number * length;
        let end = start + row.ids.len();
        ids[start..end].copy_from_slice(&row.ids);
        partners[start..end].copy_from_slice(&row.partners);
        real[start..end].fill(1);
        path[start + row.prefix..end].fill(1);
        for (place, (a, b)) in world.edges.iter().enumerate() {
            let at = (number * most + place) * 2;
            pairs[at] = token::CELLS + *a as i64;
            pairs[at + 1] = token::CELLS + *b as i64;
        }
    }
    let matrix = |values: &[i64]| -> Result<Tensor> {
        Ok(Tensor::f_from_slice(values)?.f_reshape([count as i64, length as i64])?)
    };
    Ok(Columns {
        ids: matrix(&ids)?,
        partners: matrix(&partners)?,
        attention_mask: matrix(&real)?,
        prediction_mask: matrix(&path)?,
        edges: Tensor::f_from_slice(&pairs)?.f_reshape([count as i64, most as i64, 2])?,
    })
}

macro_rules! world_data {
    ($name:ident, $outputs:ident, $world:expr, $edges:expr, $ended:expr, $check:expr) => {
        impl Component for $name {
            /// The seed of all rows.
            type State = u64;

            fn build(&self, cx: &mut Build<'_>) -> Result<u64> {
                let check: fn(&$name) -> Result<()> = $check;
                check(self)?;
                Ok(cx.seed("worlds", 0))
            }

            fn length(&self, _: &u64, _: &mut Call<'_>) -> Result<usize> {
                Ok(self.count)
            }

            fn read(&self, seed: &u64, indices: &[i64], _: &mut Call<'_>) -> Result<$outputs> {
                let world: fn(&$name, &mut ChaCha8Rng) -> World = $world;
                let edges: fn(&$name) -> Edges = $edges;
                let worlds = indices
                    .iter()
                    .map(|index| Ok(world(self, &mut generator(*seed, *index, self.count)?)))
                    .collect::<Result<Vec<_>>>()?;
                let Columns { ids, partners, attention_mask, prediction_mask, edges } =
                    columns(&worlds, edges(self), $ended, self.row_length)?;
                Ok($outputs { ids, partners, attention_mask, prediction_mask, edges })
            }
        }
    };
}

/// Graphs of arms that leave one node, and the path along the arm that ends at the target.
///
/// Node names are a random sample. A row is the shuffled edges, one token each whose partner is the edge's
/// other end, then origin, target, a marker, and the path of `length` nodes. Once the first node of the arm
/// is known, the rest of the path only follows edges; to know it, a model must look ahead along the whole arm.
///
/// # Paper
/// Bachmann, Nagarajan: The Pitfalls of Next-Token Prediction, 2024; Nolte et al., 2024, whose code has it.
///
/// # Example
/// ```mlm
/// data graphs = worlds.star_graphs(count: 20k, arms: 2, length: 4, nodes: 12)
/// ```
#[component(
    data,
    name = "worlds.star_graphs",
    outputs(
        ids: "int[B, row_length]" = "edges, origin, target, marker, path; 0 for padding",
        partners: "int[B, row_length]" = "the other end of an edge, 0 elsewhere",
        attention_mask: "int[B, row_length]" = "1 for tokens, 0 for padding",
        prediction_mask: "int[B, row_length]" = "1 for the path",
        edges: "int[B, E, 2]" = "tokens of both ends of each edge; -1 for padding",
    ),
    random,
)]
pub struct StarGraphs {
    /// Number of graphs.
    #[param(default = 20_000, range = ">= 1")]
    pub count: usize,
    /// Arms that leave the origin.
    #[param(default = 2, range = ">= 1")]
    pub arms: usize,
    /// Nodes of a path, both ends included.
    #[param(default = 4, range = ">= 2")]
    pub length: usize,
    /// Names that nodes are drawn from; token ids go up to 10 more.
    #[param(default = 12, range = ">= 2")]
    pub nodes: usize,
    /// Tokens of a row: as many as all of them have.
    #[param(default_formula = "arms * (length - 1) + 3 + length", range = ">= 1", kind = "tokens")]
    pub row_length: usize,
}

world_data!(
    StarGraphs,
    StarGraphsOutputs,
    |this, random| star_graph((this.arms, this.length, this.nodes), random),
    |_| Edges::Packed,
    false,
    |this| {
        let needed = 1 + this.arms * (this.length - 1);
        if this.nodes >= needed {
            return Ok(());
        }
        Err(Error::new(format!("{} arms of {} nodes need {needed} names", this.arms, this.length - 1))
            .at("nodes")
            .help(format!("give at least {needed} nodes")))
    }
);

/// Mazes by randomized depth-first search, and the only path between two cells.
///
/// All cells of a square grid are connected by `size² - 1` openings. A row tells these, with ends and order
/// at random, then origin and target, then the path with a token after it: spelled as in the paper, two cells and a
/// separator an opening between markers, 3 (size² - 1) + 8 tokens before the path; or packed, one token an
/// opening with the other cell as its partner.
///
/// # Paper
/// Ivanitskiy et al.: A Configurable Library for Generating and Manipulating Maze Datasets, 2023; Nolte et al.:
/// Transformers Can Navigate Mazes With Multi-Step Prediction, 2024.
///
/// # Example
/// ```mlm
/// data mazes = worlds.depth_first_mazes(count: 100k, size: 10)
/// ```
#[component(
    data,
    name = "worlds.depth_first_mazes",
    outputs(
        ids: "int[B, row_length]" = "openings, origin, target, path and its end; 0 for padding",
        partners: "int[B, row_length]" = "the other end of a packed opening, 0 elsewhere",
        attention_mask: "int[B, row_length]" = "1 for tokens, 0 for padding",
        prediction_mask: "int[B, row_length]" = "1 for the path and its end",
        edges: "int[B, E, 2]" = "tokens of both cells of each opening; -1 for padding",
    ),
    random,
)]
pub struct DepthFirstMazes {
    /// Number of mazes.
    #[param(default = 100_000, range = ">= 1")]
    pub count: usize,
    /// Cells of a side; token ids go up to 10 + size².
    #[param(default = 10, range = "[2, 100]")]
    pub size: usize,
    /// Whether an opening is one token.
    #[param(default = false)]
    pub packed: bool,
    /// Tokens of a row, the rest is padding: as many as the longest path through a spelled maze needs. Packed,
    /// 2 size² + 3 are enough.
    #[param(default_formula = "4 * size * size + 6", range = ">= 1", kind = "tokens")]
    pub row_length: usize,
}

world_data!(
    DepthFirstMazes,
    DepthFirstMazesOutputs,
    |this, random| depth_first_maze(this.size, random),
    |this| if this.packed { Edges::Packed } else { Edges::Spelled },
    true,
    |_| Ok(())
);

/// Grids with walls in random cells, and the path that A* finds between two others.
///
/// From 30 to 50 % of the cells are walls; the path takes at least `size` steps. Several may be as short: the
/// row has one of them, always the same, and a model that finds another is not wrong (`worlds.path_check`
/// tells both). A row is origin, target, the walls in random order, each after its marker, then the path with
/// a token after it. A cell is one token.
///
/// # Paper
/// Lehnert et al.: Beyond A*, 2024 (Searchformer); Nolte et al., 2024.
///
/// # Example
/// ```mlm
/// data grids = worlds.obstacle_grids(count: 100k, size: 10)
/// ```
#[component(
    data,
    name = "worlds.obstacle_grids",
    outputs(
        ids: "int[B, row_length]" = "origin, target, walls, path and its end; 0 for padding",
        partners: "int[B, row_length]" = "0 everywhere",
        attention_mask: "int[B, row_length]" = "1 for tokens, 0 for padding",
        prediction_mask: "int[B, row_length]" = "1 for the path and its end",
        edges: "int[B, E, 2]" = "tokens of neighbours that are both free; -1 for padding",
    ),
    random,
)]
pub struct ObstacleGrids {
    /// Number of grids.
    #[param(default = 100_000, range = ">= 1")]
    pub count: usize,
    /// Cells of a side; token ids go up to 10 + size².
    #[param(default = 10, range = "[4, 100]")]
    pub size: usize,
    /// Tokens of a row, the rest is padding: as many as half a grid of walls and the longest path need.
    #[param(default_formula = "2 * size * size + 6", range = ">= 1", kind = "tokens")]
    pub row_length: usize,
}

world_data!(
    ObstacleGrids,
    ObstacleGridsOutputs,
    |this, random| obstacle_grid(this.size, random),
    |_| Edges::Spelled,
    true,
    |_| Ok(())
);
