//! Metrics that arms reached.

use std::collections::BTreeMap;

/// The value of every metric for every arm and seed that is done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Results {
    values: BTreeMap<(String, String), BTreeMap<u64, f64>>,
}

impl Results {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the value of a metric. One that is not finite is kept as it is: it leaves claims undecided.
    pub fn insert(&mut self, arm: &str, metric: &str, seed: u64, value: f64) {
        self.values.entry((arm.to_owned(), metric.to_owned())).or_default().insert(seed, value);
    }

    /// The value of a metric.
    pub fn get(&self, arm: &str, metric: &str, seed: u64) -> Option<f64> {
        // The key is looked for by scanning: there are a handful, and a borrowed pair is no key.
        self.values
            .iter()
            .find(|((known_arm, known_metric), _)| known_arm == arm && known_metric == metric)
            .and_then(|(_, seeds)| seeds.get(&seed).copied())
    }
}
