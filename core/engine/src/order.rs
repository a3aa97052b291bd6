//! The order of the data: a function of the run's seed, the phase, the data and the epoch.
//!
//! Nothing is stored and nothing is shuffled: the row at any place of any epoch is computed in
//! constant time, so a resumed run needs no state and reaches any place at once.

use crate::{EngineError, Result};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::ops::Range;
use zoo_host::{Part, hash};
use zoo_schema::experiment::{Length, Phase, Sampling};

/// Rounds of the network; four give a pseudo-random permutation of even the smallest domains
/// (Luby and Rackoff, 1988), the others pay for a mixing function that is weaker than a cipher.
const ROUNDS: usize = 8;

/// A permutation of `0..length`, chosen by a key: a Feistel network over the next power of four,
/// walked until it lands inside (Black and Rogaway, "Ciphers with Arbitrary Finite Domains", 2002).
#[derive(Clone, Debug)]
pub(crate) struct Permutation {
    length: u64,
    half_bits: u32,
    keys: [u64; ROUNDS],
}

impl Permutation {
    pub(crate) fn new(key: &[u8; 32], length: u64) -> Self {
        let bits = u64::BITS - length.saturating_sub(1).leading_zeros();
        let mut keys = [0; ROUNDS];
        for (round, slot) in keys.iter_mut().enumerate() {
            let mut hasher = blake3::Hasher::new_keyed(key);
            hasher.update(&[round as u8]);
            let mut bytes = [0; 8];
            hasher.finalize_xof().fill(&mut bytes);
            *slot = u64::from_le_bytes(bytes);
        }
        Self { length, half_bits: bits.div_ceil(2).max(1), keys }
    }

    fn once(&self, value: u64) -> u64 {
        let mask = (1_u64 << self.half_bits) - 1;
        let (mut left, mut right) = (value >> self.half_bits, value & mask);
        for key in self.keys {
            (left, right) = (right, left ^ (mix(right ^ key) & mask));
        }
        (left << self.half_bits) | right
    }

    /// The element at a place below the length.
    pub(crate) fn at(&self, place: u64) -> u64 {
        let mut value = self.once(place);
        // The domain is less than four times as large, so this takes fewer than four turns on average.
        while value >= self.length {
            value = self.once(value);
        }
        value
    }
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood, 2014).
fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// Which rows the updates of a phase see.
#[derive(Clone, Debug)]
pub(crate) struct DataOrder {
    seed: u64,
    phase: String,
    data: String,
    rows: u64,
    batch: u64,
    sampling: Sampling,
    /// Parts that an update is computed in.
    parts: u64,
    /// Updates of the order that other phases have had.
    from: u64,
}

impl DataOrder {
    /// The order of a phase over data of `rows` rows.
    pub(crate) fn new(seed: u64, phase: &Phase, rows: u64) -> Result<Self> {
        if rows < phase.batch || phase.batch == 0 {
            return Err(EngineError::TooFewExamples {
                phase: phase.name.clone(),
                data: phase.data.clone(),
                batch: phase.batch,
                examples: rows,
            });
        }
        Ok(Self {
            seed,
            phase: phase.name.clone(),
            data: phase.data.clone(),
            rows,
            batch: phase.batch,
            sampling: phase.sampling,
            parts: parts(phase.batch, phase.accumulate).len() as u64,
            from: 0,
        })
    }

    /// The order that the phase of that name would have.
    pub(crate) fn named(self, phase: &str) -> Self {
        Self { phase: phase.to_owned(), ..self }
    }

    /// The order of another phase over the same data in batches of the same size, behind its `updates`.
    pub(crate) fn after(self, other: &Self, updates: u64) -> Self {
        Self { phase: other.phase.clone(), from: other.from + updates, ..self }
    }

    /// Updates of an epoch: the last incomplete batch is dropped, another one in every epoch.
    fn updates_per_epoch(&self) -> u64 {
        self.rows / self.batch
    }

    /// Updates of a phase of this length, at least one.
    pub(crate) fn updates(&self, length: Length) -> u64 {
        match length {
            Length::Steps(steps) => steps,
            Length::Epochs(epochs) => ((self.updates_per_epoch() as f64 * epochs) as u64).max(1),
        }
    }

    /// Parts that every update is computed in.
    pub(crate) fn parts(&self) -> u64 {
        self.parts
    }

    /// A part of an update, counted from 0 within the phase: its places in the update, and its rows. Empty
    /// where a Poisson sample has fewer examples than there are parts.
    pub(crate) fn part(&self, update: u64, part: u64) -> (Range<usize>, Vec<i64>) {
        let rows = self.rows(update);
        let ranges = parts(rows.len() as u64, self.parts);
        match ranges.get(part as usize) {
            Some(range) => (range.clone(), rows[range.clone()].to_vec()),
            None => (rows.len()..rows.len(), Vec::new()),
        }
    }

    /// The rows of an update, counted from 0 within the phase.
    pub(crate) fn rows(&self, update: u64) -> Vec<i64> {
        let update = self.from + update;
        let epoch = update / self.updates_per_epoch();
        let name = match self.sampling {
            Sampling::Shuffled => "order",
            Sampling::Poisson => "sample",
        };
        let number = if self.sampling == Sampling::Poisson { update } else { epoch };
        let key = hash(
            self.seed,
            &[Part::Text(name), Part::Text(&self.phase), Part::Text(&self.data), Part::Number(number)],
        );
        if self.sampling == Sampling::Poisson {
            return self.sample(&key);
        }
        let first = (update % self.updates_per_epoch()) * self.batch;
        let permutation = Permutation::new(&key, self.rows);
        (0..self.batch).map(|place| permutation.at(first + place).cast_signed()).collect()
    }

    /// Every row with probability batch / rows: the gaps between those that are taken are geometric, so that
    /// only they cost anything.
    fn sample(&self, key: &[u8; 32]) -> Vec<i64> {
        if self.batch == self.rows {
            return (0..self.rows.cast_signed()).collect();
        }
        let missed = (-(self.batch as f64 / self.rows as f64)).ln_1p();
        let mut random = ChaCha8Rng::from_seed(*key);
        let mut taken = Vec::with_capacity(self.batch as usize + 16);
        let mut next = 0.0_f64;
        loop {
            // In (0, 1]: its logarithm is finite.
            let uniform = 1.0 - random.random::<f64>();
            next += (uniform.ln() / missed).floor();
            if next >= self.rows as f64 {
                return taken;
            }
            taken.push(next as i64);
            next += 1.0;
        }
    }
}

/// Splits an update's rows into parts, as equal as can be; the first ones take what is left over.
pub(crate) fn parts(rows: u64, parts: u64) -> Vec<Range<usize>> {
    let parts = parts.clamp(1, rows.max(1));
    let (each, more) = (rows / parts, rows % parts);
    let mut start = 0;
    (0..parts)
        .map(|part| {
            let end = start + (each + u64::from(part < more)) as usize;
            let range = start..end;
            start = end;
            range
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn key(number: u64) -> [u8; 32] {
        hash(number, &[])
    }

    #[test]
    fn every_length_is_permuted_whole() {
        for length in (1..70).chain([255, 256, 257, 1023, 5000]) {
            let permutation = Permutation::new(&key(length), length);
            let seen: BTreeSet<u64> = (0..length).map(|place| permutation.at(place)).collect();
            assert_eq!(seen.len() as u64, length);
            assert_eq!(seen.last(), Some(&(length - 1)));
        }
    }

    #[test]
    fn elements_land_everywhere_equally_often() {
        // Over many keys, the place of every element is uniform: chi square with 12² - 2·12 + 1
        // degrees of freedom stays below its 99.99 % point of about 186.
        let (length, keys) = (12_u64, 6000_u64);
        let mut counts = vec![0.0_f64; (length * length) as usize];
        for number in 0..keys {
            let permutation = Permutation::new(&key(number), length);
            for place in 0..length {
                counts[(place * length + permutation.at(place)) as usize] += 1.0;
            }
        }
        let expected = keys as f64 / length as f64;
        let chi: f64 = counts.iter().map(|count| (count - expected).powi(2) / expected).sum();
        assert!((60.0..186.0).contains(&chi), "{chi}");
    }

    #[test]
    fn neighbours_are_not_kept() {
        let permutation = Permutation::new(&key(3), 10_000);
        let kept = (0..9_999).filter(|p| permutation.at(*p) + 1 == permutation.at(p + 1)).count();
        assert!(kept < 10, "{kept} neighbours");
    }

    fn order(rows: u64, batch: u64) -> Result<DataOrder> {
        DataOrder::new(1, &Phase { batch, ..crate::testing::phase() }, rows)
    }

    #[test]
    fn an_epoch_sees_every_row_once_but_for_the_rest() {
        let order = order(10, 3).unwrap();
        assert_eq!(order.updates(Length::Epochs(2.0)), 6);
        assert_eq!(order.updates(Length::Epochs(0.5)), 1);
        assert_eq!(order.updates(Length::Steps(7)), 7);
        let epoch = |number: u64| -> BTreeSet<i64> {
            (number * 3..number * 3 + 3).flat_map(|update| order.rows(update)).collect()
        };
        assert_eq!((epoch(0).len(), epoch(1).len()), (9, 9));
        assert!((0..20).map(epoch).any(|rows| !rows.contains(&0)), "another row is dropped each time");
        assert_ne!(order.rows(0), order.rows(3), "epochs differ");
    }

    #[test]
    fn parts_of_an_update_are_its_rows() {
        for sampling in [Sampling::Shuffled, Sampling::Poisson] {
            let phase = Phase { batch: 7, accumulate: 3, sampling, ..crate::testing::phase() };
            let order = DataOrder::new(1, &phase, 40).unwrap();
            for update in 0..20 {
                let parts: Vec<_> = (0..order.parts()).map(|part| order.part(update, part)).collect();
                assert_eq!(parts.len(), 3);
                let all: Vec<i64> = parts.iter().flat_map(|(_, rows)| rows.clone()).collect();
                assert_eq!(all, order.rows(update));
                assert!(parts.iter().all(|(range, rows)| range.len() == rows.len()));
            }
        }
    }

    #[test]
    fn poisson_samples_take_every_row_independently() {
        let phase = Phase { batch: 30, sampling: Sampling::Poisson, ..crate::testing::phase() };
        let order = DataOrder::new(5, &phase, 100).unwrap();
        let updates = 4000;
        let mut taken = vec![0.0_f64; 100];
        let (mut together, mut sizes) = (0.0_f64, Vec::new());
        for update in 0..updates {
            let rows = order.rows(update);
            assert!(rows.is_sorted_by(|a, b| a < b), "no row twice");
            rows.iter().for_each(|row| taken[*row as usize] += 1.0);
            together += f64::from(u8::from(rows.contains(&3) && rows.contains(&4)));
            sizes.push(rows.len() as f64);
        }
        let n = updates as f64;
        // Six standard deviations of a share of 0.3 and of 0.09 over the updates.
        let off = 6.0 * (0.21 / n).sqrt();
        assert!(taken.iter().all(|count| (count / n - 0.3).abs() < off), "{taken:?}");
        assert!((together / n - 0.09).abs() < 6.0 * (0.0819 / n).sqrt(), "{together}");
        let mean = sizes.iter().sum::<f64>() / n;
        let variance = sizes.iter().map(|size| (size - mean).powi(2)).sum::<f64>() / n;
        // Binomial: 100 · 0.3 · 0.7, whose estimate varies by about its own share sqrt(2 / n).
        assert!((variance / 21.0 - 1.0).abs() < 0.15, "{variance}");
        let all = Phase { batch: 100, sampling: Sampling::Poisson, ..crate::testing::phase() };
        assert_eq!(DataOrder::new(5, &all, 100).unwrap().rows(9).len(), 100);
    }

    #[test]
    fn too_few_rows_are_an_error() {
        let text = order(2, 3).unwrap_err().to_string();
        assert!(text.contains("an update takes 3 examples") && text.contains("has 2"), "{text}");
    }

    #[test]
    fn parts_cover_the_rows_in_order() {
        assert_eq!(parts(16, 4), [0..4, 4..8, 8..12, 12..16]);
        assert_eq!(parts(7, 3), [0..3, 3..5, 5..7]);
        assert_eq!(parts(2, 5), [0..1, 1..2]);
    }
}
