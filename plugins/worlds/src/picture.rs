//! A world with the path that was found in it.

use crate::encoding::token;
use crate::paths::Judgement;
use std::collections::{BTreeSet, HashSet};
use std::fmt::Write;

const SIDE: f64 = 260.0;
const MARGIN: f64 = 24.0;
const FOUND: &str = "#d55e00";
const RIGHT: &str = "#009e73";

/// An SVG: cells of a grid with walls between those that are not neighbours, or nodes on a circle; the right
/// path broad and green, the predicted one narrow and orange.
pub(crate) fn picture(
    size: Option<usize>,
    edges: &[(i64, i64)],
    found: &[i64],
    right: &[i64],
    judgement: Judgement,
) -> String {
    let open: HashSet<(i64, i64)> = edges.iter().flat_map(|(a, b)| [(*a, *b), (*b, *a)]).collect();
    let verdict = match judgement {
        Judgement { exact: true, .. } => "the right path",
        Judgement { optimal: true, .. } => "another path, as short",
        Judgement { valid: true, .. } => "a longer path",
        _ => "no path",
    };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {SIDE} {:.0}\" width=\"{SIDE}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"{SIDE}\" height=\"{:.0}\" fill=\"white\"/>\n",
        SIDE + 20.0,
        SIDE + 20.0
    );
    match size {
        Some(size) => grid(&mut svg, size, &open, found, right),
        None => circle(&mut svg, edges, found, right),
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"middle\">predicted: {verdict}</text>\n</svg>",
        SIDE / 2.0,
        SIDE + 10.0
    );
    svg
}

fn line(svg: &mut String, points: &[(f64, f64)], colour: &str, width: f64) {
    let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let _ = writeln!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width:.1}\" \
         stroke-linecap=\"round\" stroke-linejoin=\"round\"/>",
        points.join(" ")
    );
}

fn ends(svg: &mut String, points: &[(f64, f64)], radius: f64) {
    for (point, fill) in [(points.first(), "white"), (points.last(), RIGHT)] {
        if let Some((x, y)) = point {
            let _ = writeln!(
                svg,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius:.1}\" fill=\"{fill}\" stroke=\"{RIGHT}\" stroke-width=\"2\"/>"
            );
        }
    }
}

fn grid(svg: &mut String, size: usize, open: &HashSet<(i64, i64)>, found: &[i64], right: &[i64]) {
    let cell = (SIDE - 2.0 * MARGIN) / size as f64;
    let centre = |id: &i64| {
        let place = (id - token::CELLS).max(0) as usize;
        let middle = |n: usize| MARGIN + (n as f64 + 0.5) * cell;
        (middle(place % size), middle(place / size))
    };
    let is_cell = |id: &&i64| (0..(size * size) as i64).contains(&(**id - token::CELLS));
    let id = |row: usize, column: usize| token::CELLS + (row * size + column) as i64;
    let wall = |svg: &mut String, x1: f64, y1: f64, x2: f64, y2: f64| {
        line(svg, &[(x1, y1), (x2, y2)], "#333333", 1.5);
    };
    for row in 0..=size {
        for column in 0..=size {
            let (x, y) = (MARGIN + column as f64 * cell, MARGIN + row as f64 * cell);
            let above_open = row > 0
                && row < size
                && column < size
                && open.contains(&(id(row - 1, column), id(row, column)));
            if column < size && !above_open {
                wall(svg, x, y, x + cell, y);
            }
            let left_open = column > 0
                && column < size
                && row < size
                && open.contains(&(id(row, column - 1), id(row, column)));
            if row < size && !left_open {
                wall(svg, x, y, x, y + cell);
            }
        }
    }
    let points = |path: &[i64]| path.iter().filter(is_cell).map(centre).collect::<Vec<_>>();
    line(svg, &points(right), "#9fd8c6", cell * 0.4);
    line(svg, &points(found), FOUND, cell * 0.14);
    ends(svg, &points(right), cell * 0.22);
}

fn circle(svg: &mut String, edges: &[(i64, i64)], found: &[i64], right: &[i64]) {
    let nodes: BTreeSet<i64> =
        edges.iter().flat_map(|(a, b)| [*a, *b]).chain(found.iter().copied()).collect();
    // Neighbours of an arm beside each other: the order in which a walk along the edges meets them.
    let mut order: Vec<i64> = right.to_vec();
    for node in &nodes {
        let mut next = *node;
        while !order.contains(&next) {
            order.push(next);
            match edges.iter().find(|(a, _)| *a == next) {
                Some((_, b)) => next = *b,
                None => break,
            }
        }
    }
    let (middle, radius) = (SIDE / 2.0, SIDE / 2.0 - MARGIN);
    let place = |id: &i64| {
        let at = order.iter().position(|node| node == id).unwrap_or(0) as f64;
        let (sin, cos) = (std::f64::consts::TAU * at / order.len().max(1) as f64).sin_cos();
        (middle + radius * sin, middle - radius * cos)
    };
    for (a, b) in edges {
        line(svg, &[place(a), place(b)], "#bbbbbb", 1.5);
    }
    let points = |path: &[i64]| path.iter().map(place).collect::<Vec<_>>();
    line(svg, &points(right), "#9fd8c6", 9.0);
    line(svg, &points(found), FOUND, 2.5);
    for node in &order {
        let (x, y) = place(node);
        let _ = writeln!(
            svg,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"9\" fill=\"white\" stroke=\"#333333\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            y + 4.0,
            node - token::CELLS
        );
    }
}
