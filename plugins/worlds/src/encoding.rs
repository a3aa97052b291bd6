//! Worlds as tokens.

use crate::maze::World;

/// Token ids that are no cells; cell c has the id `CELLS + c`, and 0 is padding.
pub mod token {
    /// Before the edges.
    pub const EDGES_BEGIN: i64 = 1;
    /// After them.
    pub const EDGES_END: i64 = 2;
    /// Before the origin.
    pub const ORIGIN: i64 = 3;
    /// After it.
    pub const ORIGIN_END: i64 = 4;
    /// Before the target.
    pub const TARGET: i64 = 5;
    /// After it.
    pub const TARGET_END: i64 = 6;
    /// Before the path.
    pub const PATH: i64 = 7;
    /// After it.
    pub const PATH_END: i64 = 8;
    /// Between edges.
    pub const SEPARATOR: i64 = 9;
    /// Before a wall.
    pub const WALL: i64 = 10;
    /// The first cell.
    pub const CELLS: i64 = 11;
}

/// How edges are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edges {
    /// One token an edge, whose partner is the other end; no markers but that before the path.
    Packed,
    /// Both ends and a separator, between markers.
    Spelled,
}

/// A row of tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// The world, then the path.
    pub ids: Vec<i64>,
    /// The other end of a packed edge, 0 elsewhere.
    pub partners: Vec<i64>,
    /// Tokens before the path.
    pub prefix: usize,
}

/// Tokens of a world with its path. `ended`: the path has a token after it, which belongs to it.
pub fn row(world: &World, edges: Edges, ended: bool) -> Row {
    let cell = |cell: usize| token::CELLS + cell as i64;
    let mut row = Row::default();
    let add = |row: &mut Row, id: i64| {
        row.ids.push(id);
        row.partners.push(0);
    };
    let is_grid = !world.walls.is_empty();
    if is_grid {
        for (marker, place) in [(token::ORIGIN, world.origin), (token::TARGET, world.target)] {
            add(&mut row, marker);
            add(&mut row, cell(place));
        }
        for wall in &world.walls {
            add(&mut row, token::WALL);
            add(&mut row, cell(*wall));
        }
    } else if edges == Edges::Packed {
        for (a, b) in &world.edges {
            row.ids.push(cell(*a));
            row.partners.push(cell(*b));
        }
        add(&mut row, cell(world.origin));
        add(&mut row, cell(world.target));
    } else {
        add(&mut row, token::EDGES_BEGIN);
        for (a, b) in &world.edges {
            add(&mut row, cell(*a));
            add(&mut row, cell(*b));
            add(&mut row, token::SEPARATOR);
        }
        let ends = [
            token::EDGES_END,
            token::ORIGIN,
            cell(world.origin),
            token::ORIGIN_END,
            token::TARGET,
            cell(world.target),
            token::TARGET_END,
        ];
        ends.into_iter().for_each(|id| add(&mut row, id));
    }
    add(&mut row, token::PATH);
    row.prefix = row.ids.len();
    world.path.iter().for_each(|place| add(&mut row, cell(*place)));
    if ended {
        add(&mut row, token::PATH_END);
    }
    row
}
