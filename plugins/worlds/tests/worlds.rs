//! Worlds: connected as they should be, with paths that are paths.
#![allow(clippy::unwrap_used, reason = "a test may")]

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeSet, HashMap};
use zoo_worlds::encoding::{Edges, row, token};
use zoo_worlds::maze::{World, a_star, depth_first_maze, obstacle_grid, shortest, star_graph};
use zoo_worlds::{Judgement, PathCheck};

fn random(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

fn is_path(world: &World) -> bool {
    let beside = |a: usize, b: usize| world.edges.contains(&(a, b)) || world.edges.contains(&(b, a));
    world.path.first() == Some(&world.origin)
        && world.path.last() == Some(&world.target)
        && world.path.windows(2).all(|step| beside(step[0], step[1]))
        && world.path.iter().collect::<BTreeSet<_>>().len() == world.path.len()
}

#[test]
fn depth_first_mazes_are_spanning_trees() {
    for (size, tokens) in [(5, 82), (10, 307)] {
        for seed in 0..20 {
            let world = depth_first_maze(size, &mut random(seed));
            assert_eq!(world.edges.len(), size * size - 1);
            let cells: BTreeSet<usize> = world.edges.iter().flat_map(|(a, b)| [*a, *b]).collect();
            assert_eq!(cells.len(), size * size, "all cells are connected by one edge less: a tree");
            assert!((0..size * size).all(|cell| shortest(&world.edges, 0, cell).is_some()));
            assert!(world.edges.iter().all(|(a, b)| a.abs_diff(*b) == 1 || a.abs_diff(*b) == size));
            assert!(world.origin != world.target && is_path(&world));
            // 3 (size² - 1) + 8 tokens before the path, and 2 around it: the paper's `… + 10 + path`.
            let spelled = row(&world, Edges::Spelled, true);
            assert_eq!(spelled.ids.len(), tokens + world.path.len());
            assert_eq!(spelled.ids[spelled.prefix - 1], token::PATH);
            assert_eq!(spelled.ids.last(), Some(&token::PATH_END));
        }
    }
}

#[test]
fn paths_are_as_long_as_measured_elsewhere() {
    // Mean cells of a path between two random cells, by size.
    for (size, expected) in [(3, 4.2), (4, 6.3), (5, 8.7), (7, 13.5)] {
        let lengths: f64 =
            (0..4000).map(|seed| depth_first_maze(size, &mut random(seed)).path.len() as f64).sum();
        let mean = lengths / 4000.0;
        assert!((mean / expected - 1.0).abs() < 0.05, "size {size}: {mean} and {expected}");
    }
}

#[test]
fn grids_with_walls_have_shortest_paths() {
    for seed in 0..40 {
        let size = 8;
        let world = obstacle_grid(size, &mut random(seed));
        let share = world.walls.len() as f64 / (size * size) as f64;
        assert!((0.28..=0.5).contains(&share), "{share}");
        assert!(is_path(&world) && world.path.len() > size);
        assert_eq!(shortest(&world.edges, world.origin, world.target).unwrap().len(), world.path.len());
        assert!(world.path.iter().all(|cell| !world.walls.contains(cell)));
        let mut walls = vec![false; size * size];
        world.walls.iter().for_each(|cell| walls[*cell] = true);
        assert_eq!(a_star(size, &walls, world.origin, world.target).unwrap(), world.path);
    }
}

#[test]
fn star_graphs_have_arms_of_one_length() {
    let mut chosen: HashMap<bool, usize> = HashMap::new();
    for seed in 0..400 {
        let world = star_graph((2, 4, 12), &mut random(seed));
        assert_eq!((world.edges.len(), world.path.len()), (6, 4));
        assert!(is_path(&world));
        assert_eq!(world.edges.iter().filter(|(a, _)| *a == world.origin).count(), 2);
        // The first edge out of the origin that is told says nothing about the arm.
        let first = world.edges.iter().find(|(a, _)| *a == world.origin).unwrap();
        *chosen.entry(first.1 == world.path[1]).or_default() += 1;
        let packed = row(&world, Edges::Packed, false);
        assert_eq!((packed.ids.len(), packed.prefix), (13, 9));
        assert!(packed.partners[..6].iter().all(|id| *id >= token::CELLS));
        assert!(packed.partners[6..].iter().all(|id| *id == 0));
    }
    assert!(chosen[&true].abs_diff(200) < 60, "{chosen:?}");
}

#[test]
fn paths_are_judged() {
    let check = PathCheck { pictures: 0, size: None, directed: false };
    // A square: 1 - 2 - 3, and 1 - 4 - 5 - 3.
    let edges = [(1, 2), (2, 3), (1, 4), (4, 5), (5, 3)];
    let (right, end) = ([1, 2, 3, token::PATH_END], token::PATH_END);
    let of = |found: &[i64]| check.judge(found, &right, &edges);
    assert_eq!(of(&right), Judgement { exact: true, valid: true, optimal: true });
    assert_eq!(of(&[1, 4, 5, 3]), Judgement { exact: false, valid: true, optimal: false });
    for wrong in [[1, 3, end, 0], [2, 3, end, 0], [1, 2, end, 0], [1, 2, 1, 3]] {
        assert_eq!(of(&wrong), Judgement::default(), "{wrong:?}");
    }
    let directed = PathCheck { directed: true, ..check };
    assert!(!directed.judge(&[3, 2, 1], &[3, 2, 1], &edges).valid);
}
