//! Numbers of masked tokens and the shares of what becomes of them, from ELECTRA's code.

#![allow(clippy::unwrap_used, reason = "a test may")]

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use zoo_masking::random_tokens::{Masked, count};
use zoo_masking::{RandomTokens, Vocabulary};
use zoo_plugin::{Handle, Varying};

fn masker(with_replacement: bool) -> RandomTokens {
    RandomTokens {
        tokenizer: Handle(1),
        rate: Varying::constant(0.15),
        mask_share: 0.85,
        random_share: 0.0,
        with_replacement,
        independent: false,
        maximum: None,
        mask_token: None,
    }
}

fn vocabulary() -> Vocabulary {
    Vocabulary { mask: 4, special: vec![0, 2, 3, 4], ordinary: (5..1000).chain([1]).collect() }
}

fn run(masker: &RandomTokens, ids: &[i64], tokens: &[bool], seed: u64) -> Masked {
    let mut out = Masked::default();
    masker.row(0.15, &vocabulary(), (ids, tokens), &mut ChaCha8Rng::seed_from_u64(seed), &mut out);
    out
}

#[test]
fn numbers_of_selected_tokens() {
    assert_eq!(count(0.15, 128, 128, None), 19);
    assert_eq!(count(0.15, 20, 128, None), 3);
    assert_eq!(count(0.15, 3, 128, None), 1);
    assert_eq!(count(0.15, 10_000, 512, None), 79);
    assert_eq!(count(0.25, 10_000, 512, None), 130);
    assert_eq!(count(0.15, 128, 128, Some(7)), 7);
}

/// 125 candidates, 19 draws with replacement: 125 (1 - (1 - 1/125)^19) = 17.692 different ones.
#[test]
fn draws_with_replacement_hit_fewer_places() {
    let mut ids: Vec<i64> = (0..128).map(|t| 10 + t).collect();
    (ids[0], ids[64], ids[127]) = (2, 3, 3);
    let tokens = vec![true; 128];
    let (mut distinct, mut masked, mut draws) = (0, 0, 0);
    let rows = 20_000;
    for seed in 0..rows {
        let out = run(&masker(true), &ids, &tokens, seed);
        assert_eq!(out.positions.len(), 19);
        assert!(!out.selected[0] && !out.selected[64] && !out.selected[127]);
        distinct += out.selected.iter().filter(|s| **s).count();
        masked += out.ids.iter().filter(|id| **id == 4).count();
        draws += 19;
        for (position, label) in out.positions.iter().zip(&out.labels) {
            assert_eq!(ids[*position as usize], *label);
        }
    }
    let mean = distinct as f64 / rows as f64;
    let expected = 125.0 * (1.0 - (1.0 - 1.0 / 125.0_f64).powi(19));
    assert!((expected - 17.692).abs() < 5e-4);
    // Standard deviation of one row is about 1, so of the mean 0.007.
    assert!((mean - expected).abs() < 0.03, "{mean}");
    // A place stays open only when none of its draws hides it: 125 (1 - (1 - .85/125)^19).
    let expected = 125.0 * (1.0 - (1.0 - 0.85 / 125.0_f64).powi(19));
    let mean = masked as f64 / rows as f64;
    assert!((mean - expected).abs() < 0.04, "{mean} is not {expected}");
    assert_eq!(draws, rows as usize * 19);
}

#[test]
fn without_replacement_places_differ_and_padding_is_spared() {
    let ids: Vec<i64> = (0..40).map(|t| if t < 30 { 10 + t } else { 0 }).collect();
    let tokens: Vec<bool> = (0..40).map(|t| t < 30).collect();
    for seed in 0..200 {
        let out = run(&masker(false), &ids, &tokens, seed);
        let mut places = out.positions.clone();
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), 4, "round(.15 * 30), ties to even");
        assert!(places.iter().all(|p| *p < 30));
    }
}

#[test]
fn shares_are_kept() {
    let ids: Vec<i64> = (0..200).map(|t| 10 + t).collect();
    let masker = RandomTokens { mask_share: 0.8, random_share: 0.1, ..masker(false) };
    let (mut hidden, mut random, mut kept) = (0.0, 0.0, 0.0);
    for seed in 0..3000 {
        let out = run(&masker, &ids, &[true; 200], seed);
        for (position, label) in out.positions.iter().zip(&out.labels) {
            match out.ids[*position as usize] {
                4 => hidden += 1.0,
                id if id == *label => kept += 1.0,
                id => {
                    assert!(!vocabulary().is_special(id));
                    random += 1.0;
                }
            }
        }
        for (t, id) in out.ids.iter().enumerate() {
            assert!(out.selected[t] || *id == ids[t], "an unselected token was changed");
        }
    }
    let all = hidden + random + kept;
    for (share, expected) in [(hidden, 0.8_f64), (random, 0.1), (kept, 0.1)] {
        assert!((share / all - expected).abs() < 0.005, "{} is not {expected}", share / all);
    }
}

#[test]
fn a_row_without_candidates_has_no_targets() {
    assert_eq!(run(&masker(true), &[2, 3, 0], &[true, true, false], 1).positions, [0_i64; 0]);
}

/// Gisserot-Boukhlef et al.: of 2,048 tokens without special ones 40% are expected, 819.2; at 100% all of them.
#[test]
fn independent_selections_vary_around_the_rate() {
    let masker = RandomTokens { independent: true, mask_share: 1.0, ..masker(false) };
    let row = |rate: f64, ids: &[i64], seed: u64| {
        let mut out = Masked::default();
        let random = &mut ChaCha8Rng::seed_from_u64(seed);
        masker.row(rate, &vocabulary(), (ids, &vec![true; ids.len()]), random, &mut out);
        assert!(out.positions.iter().all(|p| out.ids[*p as usize] == 4 && out.selected[*p as usize]));
        assert!(out.positions.is_sorted_by(|a, b| a < b), "no token twice");
        out.positions.len()
    };
    let ids: Vec<i64> = (0..2048).map(|t| 10 + t % 500).collect();
    let counts: Vec<f64> = (0..400).map(|seed| row(0.4, &ids, seed) as f64).collect();
    let mean = counts.iter().sum::<f64>() / 400.0;
    let variance = counts.iter().map(|count| (count - mean).powi(2)).sum::<f64>() / 399.0;
    // Binomial: variance 2048 · 0.4 · 0.6 = 491.52, six standard deviations of mean and variance.
    assert!((mean - 819.2).abs() < 6.0 * (491.52_f64 / 400.0).sqrt(), "{mean}");
    assert!((variance / 491.52 - 1.0).abs() < 6.0 * (2.0_f64 / 399.0).sqrt(), "{variance}");
    // [CLS] … [SEP]: every other token, and no special one.
    assert_eq!(row(1.0, &[2, 10, 11, 12, 3], 1), 3);
}
