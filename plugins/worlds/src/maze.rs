//! How worlds come into being.

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use std::collections::{BinaryHeap, HashMap, VecDeque};

/// A graph with a path from an origin to a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct World {
    /// Pairs of neighbours, in the order and direction in which a reader is told of them.
    pub edges: Vec<(usize, usize)>,
    /// Cells that cannot be entered, in the order in which a reader is told of them.
    pub walls: Vec<usize>,
    /// Where the path begins.
    pub origin: usize,
    /// Where it ends.
    pub target: usize,
    /// A shortest path, both ends included.
    pub path: Vec<usize>,
}

/// Neighbours of a cell of a square grid: above, left, right, below.
fn neighbours(cell: usize, size: usize) -> impl Iterator<Item = usize> {
    let (row, column) = (cell / size, cell % size);
    [
        (row > 0).then(|| cell - size),
        (column > 0).then(|| cell - 1),
        (column + 1 < size).then_some(cell + 1),
        (row + 1 < size).then_some(cell + size),
    ]
    .into_iter()
    .flatten()
}

/// A spanning tree of a grid, by randomized depth-first search: from the cell on top of a stack, go through
/// to a random neighbour that was not visited, until there is none anywhere.
///
/// # Source
/// The generator `gen_dfs` of the package maze-dataset, whose first cell is never in the last row or column.
pub fn depth_first(size: usize, random: &mut ChaCha8Rng) -> Vec<(usize, usize)> {
    let first = |random: &mut ChaCha8Rng| random.random_range(0..size.saturating_sub(1).max(1));
    let start = first(random) * size + first(random);
    let mut visited = vec![false; size * size];
    visited[start] = true;
    let (mut stack, mut edges) = (vec![start], Vec::with_capacity(size * size));
    while let Some(cell) = stack.pop() {
        let open: Vec<usize> = neighbours(cell, size).filter(|next| !visited[*next]).collect();
        if open.is_empty() {
            continue;
        }
        stack.push(cell);
        let next = open[random.random_range(0..open.len())];
        visited[next] = true;
        edges.push((cell, next));
        stack.push(next);
    }
    edges
}

/// A shortest path through undirected edges, both ends included; none where there is none.
pub fn shortest(edges: &[(usize, usize)], origin: usize, target: usize) -> Option<Vec<usize>> {
    let mut beside: HashMap<usize, Vec<usize>> = HashMap::new();
    for (a, b) in edges {
        beside.entry(*a).or_default().push(*b);
        beside.entry(*b).or_default().push(*a);
    }
    let (mut before, mut open) = (HashMap::from([(origin, origin)]), VecDeque::from([origin]));
    while let Some(cell) = open.pop_front() {
        if cell == target {
            return Some(back(&before, origin, target));
        }
        for next in beside.get(&cell).into_iter().flatten() {
            if !before.contains_key(next) {
                before.insert(*next, cell);
                open.push_back(*next);
            }
        }
    }
    None
}

fn back(before: &HashMap<usize, usize>, origin: usize, target: usize) -> Vec<usize> {
    let (mut path, mut cell) = (vec![target], target);
    while cell != origin {
        cell = before[&cell];
        path.push(cell);
    }
    path.reverse();
    path
}

/// A shortest path around walls by A* with the Manhattan distance; of equally short ones always the same.
pub fn a_star(size: usize, walls: &[bool], origin: usize, target: usize) -> Option<Vec<usize>> {
    let distance =
        |cell: usize| (cell / size).abs_diff(target / size) + (cell % size).abs_diff(target % size);
    let mut cost = HashMap::from([(origin, 0)]);
    let mut before = HashMap::from([(origin, origin)]);
    // Largest first: the least estimate, then the one that was reached last.
    let mut open = BinaryHeap::from([(std::cmp::Reverse(distance(origin)), 0, origin)]);
    let mut order = 0;
    while let Some((_, _, cell)) = open.pop() {
        if cell == target {
            return Some(back(&before, origin, target));
        }
        for next in neighbours(cell, size).filter(|next| !walls[*next]) {
            let new = cost[&cell] + 1;
            if cost.get(&next).is_none_or(|known| new < *known) {
                cost.insert(next, new);
                before.insert(next, cell);
                order += 1;
                open.push((std::cmp::Reverse(new + distance(next)), order, next));
            }
        }
    }
    None
}

/// A depth-first maze with a path between two different random cells.
pub fn depth_first_maze(size: usize, random: &mut ChaCha8Rng) -> World {
    let mut edges = depth_first(size, random);
    let cells = size * size;
    let origin = random.random_range(0..cells);
    let target = (origin + 1 + random.random_range(0..cells - 1)) % cells;
    let path = shortest(&edges, origin, target).unwrap_or_default();
    edges.shuffle(random);
    for edge in &mut edges {
        if random.random::<bool>() {
            *edge = (edge.1, edge.0);
        }
    }
    World { edges, walls: Vec::new(), origin, target, path }
}

/// Walls in random cells, 30 to 50 % of them, and a path that takes at least as many steps as the grid is
/// wide.
///
/// # Paper
/// Lehnert et al.: Beyond A*: Better Planning with Transformers via Search Dynamics Bootstrapping, 2024.
pub fn obstacle_grid(size: usize, random: &mut ChaCha8Rng) -> World {
    let cells = size * size;
    loop {
        let share = 0.3 + 0.2 * random.random::<f64>();
        let mut order: Vec<usize> = (0..cells).collect();
        order.shuffle(random);
        let (walled, free) = order.split_at((share * cells as f64) as usize);
        let mut walls = vec![false; cells];
        walled.iter().for_each(|cell| walls[*cell] = true);
        let (origin, target) = (free[0], free[1]);
        let Some(path) = a_star(size, &walls, origin, target).filter(|path| path.len() > size) else {
            continue;
        };
        let edges = (0..cells)
            .filter(|cell| !walls[*cell])
            .flat_map(|cell| {
                let open = neighbours(cell, size).filter(move |next| *next > cell);
                open.filter(|next| !walls[*next]).map(move |next| (cell, next)).collect::<Vec<_>>()
            })
            .collect();
        return World { edges, walls: walled.to_vec(), origin, target, path };
    }
}

/// Arms of `length - 1` nodes each that leave one node; which node is which is drawn from `nodes`. The target
/// is the end of a random arm.
///
/// # Paper
/// Bachmann, Nagarajan: The Pitfalls of Next-Token Prediction, 2024.
pub fn star_graph((arms, length, nodes): (usize, usize, usize), random: &mut ChaCha8Rng) -> World {
    let mut names: Vec<usize> = (0..nodes).collect();
    names.shuffle(random);
    let origin = names[0];
    let arm = |number: usize| names[1 + number * (length - 1)..][..length - 1].to_vec();
    let mut edges = Vec::with_capacity(arms * (length - 1));
    for number in 0..arms {
        let nodes = arm(number);
        edges.extend(std::iter::once(&origin).chain(&nodes).copied().zip(nodes.iter().copied()));
    }
    edges.shuffle(random);
    let chosen = arm(random.random_range(0..arms));
    let target = chosen[length - 2];
    let path = std::iter::once(origin).chain(chosen).collect();
    World { edges, walls: Vec::new(), origin, target, path }
}
