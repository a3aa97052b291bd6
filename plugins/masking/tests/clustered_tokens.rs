//! C-RTS in numbers: distributions over clusters, counts, and what is drawn.

#![allow(clippy::unwrap_used, reason = "a test may")]

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use tch::{Device, Kind, Tensor};
use zoo_masking::clustered_tokens::{
    ClusterConfusions, ClusteredTokens, Substituted, distributions, entropy,
};
use zoo_masking::clusters::Clusters;
use zoo_masking::random_tokens::Masked;
use zoo_masking::{RandomTokens, Vocabulary};
use zoo_plugin::{Handle, Varying};

const COUNTS: [i64; 9] = [5, 1, 3, 2, 2, 2, 0, 4, 1];

fn near(found: &[Vec<f64>], expected: [[f64; 3]; 3]) {
    for (row, expected) in found.iter().zip(expected) {
        for (one, other) in row.iter().zip(expected) {
            assert!((one - other).abs() < 6e-5, "{found:?}");
        }
    }
}

/// The formula, and what the released function makes of the same counts.
#[test]
fn counts_become_distributions() {
    let third = 1.0 / 3.0;
    near(
        &distributions(&COUNTS, 3, 2.0, false),
        [[0.6652, 0.0900, 0.2447], [third; 3], [0.0996, 0.7361, 0.1643]],
    );
    // It divides by the range of row b, and by 1 where that is 0.
    let released = distributions(&COUNTS, 3, 2.0, true);
    for row in &released {
        assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }
    near(&released, [[0.6154, 0.0113, 0.3733], [0.3072, 0.1863, 0.5065], [0.0107, 0.9603, 0.0290]]);
}

/// In a row the largest probability is e^beta times the smallest, 7.389 at beta 2, exactly.
#[test]
fn no_cluster_is_more_than_e_to_the_beta_as_likely() {
    for (row, ratio) in distributions(&COUNTS, 3, 2.0, false).iter().zip([2_f64.exp(), 1.0, 2_f64.exp()]) {
        let largest = row.iter().copied().fold(0.0, f64::max);
        let smallest = row.iter().copied().fold(1.0, f64::min);
        assert!((largest / smallest - ratio).abs() < 1e-9, "{row:?}");
    }
    // The entropy of a row can be no smaller than with a mixture of the two extremes: the bound of the recipe.
    let clusters = 16;
    let bound = (1..clusters)
        .map(|many| {
            let weight = |i: usize| if i < many { 2_f64.exp() } else { 1.0 };
            let sum: f64 = (0..clusters).map(weight).sum();
            entropy(&(0..clusters).map(|i| weight(i) / sum).collect::<Vec<_>>())
        })
        .fold(f64::INFINITY, f64::min);
    assert!((entropy(&[0.25; 4]) - 4_f64.ln()).abs() < 1e-12);
    // Three clusters at e^2 and thirteen at 1: ln 35.167 - 6 e^2 / 35.167.
    assert!((bound - 2.299_44).abs() < 1e-5, "{bound}");
    for seed in 0..50_i64 {
        let counts: Vec<i64> = (0..256).map(|i| (i * i * (seed + 3) + 7 * i * seed) % 97).collect();
        for row in distributions(&counts, clusters, 2.0, false) {
            assert!(entropy(&row) >= bound - 1e-9 && entropy(&row) <= 16_f64.ln() + 1e-9);
        }
    }
}

fn clusters() -> (Clusters, Vec<i64>) {
    let ordinary: Vec<i64> = (5..35).collect();
    let assigned: BTreeMap<i64, usize> = ordinary.iter().map(|id| (*id, (*id as usize - 5) / 10)).collect();
    (Clusters::new(&assigned, &ordinary, 3).unwrap(), ordinary)
}

fn masker() -> ClusteredTokens {
    ClusteredTokens {
        tokenizer: Handle(1),
        corpus: None,
        file: None,
        rows: None,
        clusters: 3,
        rate: Varying::constant(0.15),
        beta: 2.0,
        released_normalisation: false,
        mask_token: None,
    }
}

#[test]
fn tokens_are_drawn_from_clusters_as_often_as_the_counts_say() {
    let (clusters, _) = clusters();
    let distributions = distributions(&COUNTS, 3, 2.0, false);
    let ids: Vec<i64> = [2].into_iter().chain((0..40).map(|i| 5 + i % 10)).chain([3, 0, 0]).collect();
    let real: Vec<bool> = (0..ids.len()).map(|t| t < 42).collect();
    let (mut drawn, mut selected) = ([0.0; 3], 0.0);
    for seed in 0..2000 {
        let mut out = Substituted::default();
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        masker().row(0.15, &clusters, &distributions, (&ids, &real), &mut random, &mut out);
        assert_eq!((out.ids[0], &out.ids[41..]), (2, [3, 0, 0].as_slice()));
        assert_eq!((out.clusters.0[0], out.clusters.0[1], out.clusters.1[43]), (-1, 0, -1));
        for place in &out.positions {
            let shown = out.clusters.1[*place as usize];
            assert_eq!(clusters.of(out.ids[*place as usize]), Some(shown as usize));
            drawn[shown as usize] += 1.0;
            selected += 1.0;
        }
        let untouched = (0..ids.len()).filter(|t| !out.positions.contains(&(*t as i64)));
        untouched.for_each(|t| assert_eq!(out.ids[t], ids[t]));
    }
    // 80,000 tokens: deviations of .0013 and .0045.
    assert!((selected / 80_000.0_f64 - 0.15).abs() < 0.006);
    for (drawn, expected) in drawn.iter().zip([0.6652, 0.0900, 0.2447]) {
        assert!((drawn / selected - expected).abs() < 0.02, "{drawn} of {selected}");
    }
}

/// With all answers right the sum of the counts falls by the number of tokens, with all wrong it rises by it.
#[test]
fn counts_grow_where_the_detector_is_wrong_and_shrink_where_it_is_right() {
    let whole = |values: &[i64]| Tensor::from_slice(values).view([2, 3]);
    let (from, to) = (whole(&[0, 1, -1, 2, 2, 0]), whole(&[0, 2, -1, 2, 1, 0]));
    let replaced = whole(&[0, 1, -100, 0, 1, 0]);
    let right = whole(&[0, 1, 0, 0, 1, 0]);
    let all = ClusterConfusions { clusters: 3, changed_only: false };
    let (added, wrong) = all.counted(&from, &to, &right, &replaced).unwrap();
    assert_eq!((i64::try_from(added.sum(Kind::Int64)).unwrap(), f64::try_from(wrong).unwrap()), (-5, 0.0));
    assert_eq!(Vec::<i64>::try_from(added.view([-1])).unwrap(), [-2, 0, 0, 0, 0, -1, 0, -1, -1]);
    let (added, wrong) = all.counted(&from, &to, &(1 - &right), &replaced).unwrap();
    assert_eq!((i64::try_from(added.sum(Kind::Int64)).unwrap(), f64::try_from(wrong).unwrap()), (5, 1.0));
    let some = ClusterConfusions { changed_only: true, ..all };
    let (added, _) = some.counted(&from, &to, &right, &replaced).unwrap();
    assert_eq!(Vec::<i64>::try_from(added.view([-1])).unwrap(), [0, 0, 0, 0, 0, -1, 0, -1, 0]);
    let few = ClusterConfusions { clusters: 2, changed_only: false };
    assert_eq!(few.counted(&from, &to, &right, &replaced).unwrap_err().at, "clusters");
    // Nothing that counts.
    let none = Tensor::full([2, 3], -1, (Kind::Int64, Device::Cpu));
    let (added, wrong) = few.counted(&none, &none, &right, &replaced).unwrap();
    assert_eq!(
        (i64::try_from(added.abs().sum(Kind::Int64)).unwrap(), f64::try_from(wrong).unwrap()),
        (0, 0.0)
    );
}

fn random_tokens(mask: f64, random: f64) -> RandomTokens {
    RandomTokens {
        tokenizer: Handle(1),
        rate: Varying::constant(0.15),
        mask_share: mask,
        random_share: random,
        with_replacement: false,
        independent: true,
        maximum: None,
        mask_token: None,
    }
}

/// Swapped language modelling is the masker of a masked language model with the shares 0, 1 and 0: no mask in its
/// inputs, the same places and targets, and at the rate 0 nothing at all.
#[test]
fn swapped_language_modelling_never_shows_a_mask() {
    let vocabulary =
        Vocabulary { mask: 4, special: vec![0, 2, 3, 4], ordinary: (5..35).chain([1]).collect() };
    let ids: Vec<i64> = [2].into_iter().chain((0..60).map(|i| 5 + i % 30)).chain([3]).collect();
    let real = vec![true; ids.len()];
    let row = |masker: &RandomTokens, rate: f64, seed: u64| {
        let mut out = Masked::default();
        masker.row(rate, &vocabulary, (&ids, &real), &mut ChaCha8Rng::seed_from_u64(seed), &mut out);
        out
    };
    let mut same = 0.0;
    let mut targets = 0.0;
    for seed in 0..500 {
        let swapped = row(&random_tokens(0.0, 1.0), 0.15, seed);
        assert!(!swapped.ids.contains(&4));
        for place in &swapped.positions {
            targets += 1.0;
            same += f64::from(u8::from(swapped.ids[*place as usize] == ids[*place as usize]));
            assert!(swapped.selected[*place as usize]);
        }
        // The split decides what is shown, not which places are chosen.
        let masked = row(&random_tokens(1.0, 0.0), 0.15, seed);
        assert_eq!((&masked.positions, &masked.labels), (&swapped.positions, &swapped.labels));
        assert_eq!(row(&random_tokens(0.0, 1.0), 0.0, seed).ids, ids);
        assert_eq!(swapped, row(&random_tokens(0.0, 1.0), 0.15, seed));
    }
    // One draw in 31 is the original, and is a target all the same.
    assert!((same / targets - 1.0 / 31.0_f64).abs() < 0.012, "{same} of {targets}");
}
