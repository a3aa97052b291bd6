//! A share of the targets that is drawn anew for every row.
#![allow(clippy::unwrap_used, reason = "a test may")]

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use tch::Tensor;
use zoo_masking::UniformRate;

#[test]
fn every_number_of_hidden_targets_is_equally_likely() {
    let masker = UniformRate { selection: "random".to_owned() };
    let (draws, targets) = (10_000, 9);
    let mut counts = [0.0_f64; 10];
    let mut by_place = [0.0_f64; 9];
    let mut random = ChaCha8Rng::seed_from_u64(1);
    for _ in 0..draws {
        let hidden = masker.hidden(targets, &mut random);
        assert_eq!(hidden.len(), targets);
        counts[hidden.iter().filter(|hidden| **hidden).count()] += 1.0;
        for (place, hidden) in hidden.into_iter().enumerate() {
            by_place[place] += f64::from(u8::from(hidden));
        }
    }
    let n = f64::from(draws);
    // Three standard deviations of a share of a tenth.
    assert!(counts.iter().all(|count| (count / n - 0.1).abs() < 0.009), "{counts:?}");
    assert!(by_place.iter().all(|count| (count / n - 0.5).abs() < 0.015), "{by_place:?}");
    let share = |number: usize| number as f64 / targets as f64;
    let mean: f64 = counts.iter().enumerate().map(|(k, count)| share(k) * count / n).sum();
    let variance: f64 = counts.iter().enumerate().map(|(k, c)| (share(k) - mean).powi(2) * c / n).sum();
    // 1/12 + 1/54
    assert!((variance - 0.101852).abs() < 0.003, "{variance}");
}

#[test]
fn the_last_ones_are_hidden_where_that_is_asked_for() {
    let masker = UniformRate { selection: "last".to_owned() };
    let mut random = ChaCha8Rng::seed_from_u64(2);
    for _ in 0..200 {
        assert!(masker.hidden(7, &mut random).is_sorted());
    }
}

/// What is not a target is never hidden, and what is hidden is no longer visible; with everything kept there is
/// nothing to predict, with nothing kept all of it.
#[test]
fn targets_alone_are_hidden() {
    let masker = UniformRate { selection: "random".to_owned() };
    let ids = Tensor::arange(18, (tch::Kind::Int64, tch::Device::Cpu)).view([2, 9]);
    let real = [[1_i64; 9], [1, 1, 1, 1, 1, 1, 1, 0, 0]];
    let wanted = [[0_i64, 0, 0, 1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 1, 1, 1, 0, 0]];
    let (real, wanted) = (Tensor::from_slice2(&real), Tensor::from_slice2(&wanted));
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let of = |tensor: &Tensor| Vec::<i64>::try_from(tensor.reshape([-1])).unwrap();
    for (keep, expected) in [(Some(1.0), Some(0)), (Some(0.0), Some(9)), (None, None), (None, None)] {
        let outputs = masker
            .hide(&ids, &real, &wanted, |_, count| match keep {
                Some(keep) => masker.hidden_at(keep, count, &mut random),
                None => masker.hidden(count, &mut random),
            })
            .unwrap();
        let labels = of(&outputs.labels);
        let count = labels.iter().filter(|label| **label >= 0).count();
        expected.into_iter().for_each(|expected: usize| assert_eq!(count, expected, "{keep:?}"));
        let (visible, real, wanted) = (of(&outputs.attention_mask), of(&real), of(&wanted));
        for place in 0..18 {
            let hidden = labels[place] >= 0;
            assert!(!hidden || labels[place] == place as i64, "an id here is its place");
            assert!(wanted[place] == 1 || !hidden, "{place}");
            assert_eq!(visible[place], i64::from(real[place] == 1 && !hidden), "{place}");
        }
    }
}
