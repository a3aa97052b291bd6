//! Numbers and places of hidden inputs of a causal language model, from MEAP's code.

#![allow(clippy::unwrap_used, reason = "a test may")]

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use zoo_masking::InputTokens;
use zoo_masking::input_tokens::hidden;
use zoo_plugin::{Handle, Varying};

fn masker(keep_first: bool) -> InputTokens {
    InputTokens { tokenizer: Handle(1), rate: Varying::constant(0.15), keep_first, mask_token: None }
}

#[test]
fn numbers_of_hidden_inputs() {
    let cases = [(4096, 614), (128, 19), (16, 2), (6, 1)];
    assert_eq!(cases.map(|(inputs, _)| hidden(0.15, inputs)), cases.map(|(_, number)| number));
    assert!((hidden(0.15, 4096) as f64 / 4096.0 - 0.14990).abs() < 5e-6);
    // The authors' `max(1, ·)`: without a masker is something else.
    assert_eq!(hidden(0.0, 4096), 1);
    assert_eq!(hidden(0.2, 5), 1, "rounding does not lose a whole number");
}

/// A row of 17 tokens is 16 inputs, of which 2 are hidden, each but the last with probability 2 / 15.
#[test]
fn every_input_but_the_last_is_hidden_alike() {
    let mut times = [0.0_f64; 17];
    let rows = 30_000;
    for seed in 0..rows {
        let places = masker(false).places(0.15, 17, &mut ChaCha8Rng::seed_from_u64(seed));
        assert!(places.len() == 2 && places[0] < places[1]);
        places.iter().for_each(|place| times[*place] += 1.0);
    }
    assert_eq!(times[15..], [0.0, 0.0], "neither the last input nor the last target");
    let (rows, expected) = (rows as f64, 2.0_f64 / 15.0);
    let off = 6.0 * (expected * (1.0 - expected) / rows).sqrt();
    assert!(times[..15].iter().all(|count| (count / rows - expected).abs() < off), "{times:?}");
}

#[test]
fn short_rows_and_first_tokens() {
    let random = &mut ChaCha8Rng::seed_from_u64(1);
    assert!((0..3).all(|length| masker(false).places(0.15, length, random).is_empty()));
    assert_eq!(masker(false).places(0.15, 3, random), [0]);
    assert!(masker(true).places(0.15, 3, random).is_empty());
    assert!((0..200).all(|_| !masker(true).places(0.5, 9, random).contains(&0)));
}
