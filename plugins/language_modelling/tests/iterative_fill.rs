//! Filling places one at a time.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::cell::RefCell;
use tch::{Device, Kind, Tensor};
use zoo_language_modelling::IterativeFill;
use zoo_plugin::Handle;

fn fill(order: &str, predicts: &str) -> IterativeFill {
    IterativeFill { model: Handle(1), order: order.to_owned(), predicts: predicts.to_owned() }
}

/// Wanted tokens by place, and how sure the model is of each.
const TOKENS: [[i64; 5]; 2] = [[1, 2, 3, 4, 5], [5, 4, 3, 2, 1]];
const SURE: [[f64; 5]; 2] = [[9.0, 1.0, 3.0, 2.0, 9.0], [1.0, 2.0, 9.0, 9.0, 9.0]];

/// Scores of 6 tokens; `shift`: those at a place are of the one after it.
fn scores(shift: usize) -> Tensor {
    let scores = Tensor::zeros([2, 5, 6], (Kind::Float, Device::Cpu));
    for row in 0..2 {
        for place in shift..5 {
            let at = scores.get(row as i64).get((place - shift) as i64);
            let _ = at.get(TOKENS[row][place]).fill_(SURE[row][place]);
        }
    }
    scores
}

fn run(order: &str, predicts: &str) -> (Vec<i64>, Vec<Vec<i64>>) {
    let ids = Tensor::from_slice2(&[[1_i64, 0, 0, 0, 5], [0, 0, 3, 2, 0]]);
    let real = Tensor::from_slice2(&[[1_i64; 5], [1, 1, 1, 1, 0]]);
    let wanted = Tensor::from_slice2(&[[0_i64, 1, 1, 1, 0], [0, 1, 0, 0, 0]]);
    let seen = RefCell::new(Vec::new());
    let shift = usize::from(predicts == "next");
    let filled = fill(order, predicts)
        .fill(&ids, &real, &wanted, |_, visible| {
            seen.borrow_mut().push(Vec::<i64>::try_from(visible.reshape([-1])).unwrap());
            Ok(scores(shift))
        })
        .unwrap();
    (Vec::try_from(filled.reshape([-1])).unwrap(), seen.into_inner())
}

#[test]
fn each_pass_takes_one_place_of_each_row() {
    for (order, predicts, second) in [
        ("left_to_right", "itself", [1, 1, 0, 0, 1]),
        ("most_confident", "itself", [1, 0, 1, 0, 1]),
        ("left_to_right", "next", [1, 1, 0, 0, 1]),
    ] {
        let (filled, seen) = run(order, predicts);
        assert_eq!(filled, [1, 2, 3, 4, 5, 0, 4, 3, 2, 0], "{order}, {predicts}");
        assert_eq!(seen.len(), 3, "as many passes as the longest row has places");
        assert_eq!(seen[0], [1, 0, 0, 0, 1, 1, 0, 1, 1, 0]);
        assert_eq!(seen[1][..5], second, "{order}, {predicts}");
        assert_eq!(seen[1][5..], [1, 1, 1, 1, 0], "a row that is full stays");
    }
}

/// Places that a model is equally sure of but for rounding are filled from the left.
#[test]
fn rounding_decides_nothing() {
    let ids = Tensor::zeros([1, 4], (Kind::Int64, Device::Cpu));
    let all = Tensor::ones([1, 4], (Kind::Int64, Device::Cpu));
    let seen = RefCell::new(Vec::new());
    let filled = fill("most_confident", "itself")
        .fill(&ids, &all, &all, |_, visible| {
            seen.borrow_mut().push(Vec::<i64>::try_from(visible.reshape([-1])).unwrap());
            let sure = Tensor::from_slice(&[1.0, 1.000_002, 1.000_001, 1.01_f64]).view([1, 4, 1]);
            Ok(Tensor::cat(&[sure, Tensor::zeros([1, 4, 2], (Kind::Double, Device::Cpu))], 2))
        })
        .unwrap();
    assert_eq!(Vec::<i64>::try_from(filled.reshape([-1])).unwrap(), [0, 0, 0, 0]);
    assert_eq!(seen.into_inner(), [[0, 0, 0, 0], [0, 0, 0, 1], [1, 0, 0, 1], [1, 1, 0, 1]]);
}
