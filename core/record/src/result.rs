//! `result.json`: metrics and judgements, also what `zoo run --json` prints.

use crate::environment::{read_json, write_json};
use crate::values::number;
use crate::{FinishedSeed, RecordError};
use serde::{Deserialize, Serialize};
use std::path::Path;
use zoo_schema::experiment::Experiment;
use zoo_statistics::Judgement;

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Not at its end, as far as the files tell.
    Running,
    /// Everything is done and judged.
    Finished,
    /// Stopped by the user or a limit; can be resumed.
    Stopped,
    /// Ended with an error.
    Failed,
}

/// What came out of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// The recipe's file.
    pub recipe: String,
    /// Name of the paper in the recipe.
    pub paper: String,
    /// The profile in force.
    pub profile: Option<String>,
    /// The run directory as the user named it.
    pub run_dir: String,
    /// How far it is.
    pub state: RunState,
    /// The arms in the order of the recipe.
    pub arms: Vec<ArmResult>,
    /// The answers, in the order of the recipe.
    pub claims: Vec<Judgement>,
    /// Seconds of all arms and seeds.
    pub seconds: f64,
}

/// What an arm reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArmResult {
    /// The arm.
    pub name: String,
    /// `baseline`, `treatment` or nothing.
    pub role: Option<String>,
    /// Its metrics in the order of the recipe.
    pub metrics: Vec<MetricResult>,
}

/// A metric of an arm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricResult {
    /// The metric.
    pub name: String,
    /// Mean over seeds.
    #[serde(with = "number")]
    pub mean: f64,
    /// Sample standard deviation over seeds; not a number for a single seed.
    #[serde(with = "number")]
    pub standard_deviation: f64,
    /// The value for each seed, in the order of the seeds.
    pub seeds: Vec<SeedValue>,
}

/// A metric of an arm with a seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeedValue {
    /// The seed.
    pub seed: u64,
    /// The value.
    #[serde(with = "number")]
    pub value: f64,
}

impl RunResult {
    /// Puts together what is done.
    pub fn of(
        experiment: &Experiment,
        run_dir: &str,
        state: RunState,
        finished: &[FinishedSeed],
        claims: &[Judgement],
    ) -> Self {
        let arms = experiment.arms.iter().map(|arm| {
            let metrics = arm.metrics.iter().filter_map(|metric| {
                let mut seeds: Vec<SeedValue> = finished
                    .iter()
                    .filter(|done| done.arm == arm.name)
                    .filter_map(|done| {
                        Some(SeedValue { seed: done.seed, value: done.metrics.get(&metric.name)? })
                    })
                    .collect();
                seeds.sort_by_key(|value| value.seed);
                let (mean, standard_deviation) = mean_and_deviation(seeds.iter().map(|value| value.value))?;
                Some(MetricResult { name: metric.name.clone(), mean, standard_deviation, seeds })
            });
            ArmResult { name: arm.name.clone(), role: arm.role.clone(), metrics: metrics.collect() }
        });
        Self {
            recipe: experiment.recipe.clone(),
            paper: experiment.paper.name.clone(),
            profile: experiment.profile.clone(),
            run_dir: run_dir.to_owned(),
            state,
            arms: arms.collect(),
            claims: claims.to_vec(),
            seconds: finished.iter().map(|done| done.seconds).sum(),
        }
    }

    /// Writes it.
    pub fn write(&self, path: &Path) -> Result<(), RecordError> {
        write_json(path, self)
    }

    /// Reads it.
    pub fn read(path: &Path) -> Result<Self, RecordError> {
        read_json(path)
    }
}

/// None without values; a single one has no deviation.
pub(crate) fn mean_and_deviation(values: impl Iterator<Item = f64> + Clone) -> Option<(f64, f64)> {
    let count = values.clone().count() as f64;
    if count == 0.0 {
        return None;
    }
    let mean = values.clone().sum::<f64>() / count;
    let squares: f64 = values.map(|value| (value - mean).powi(2)).sum();
    Some((mean, if count > 1.0 { (squares / (count - 1.0)).sqrt() } else { f64::NAN }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means() {
        assert_eq!(mean_and_deviation([].into_iter()), None);
        let (mean, deviation) = mean_and_deviation([1.0, 3.0].into_iter()).unwrap();
        assert_eq!((mean, deviation), (2.0, 2.0_f64.sqrt()));
        assert!(mean_and_deviation([1.0].into_iter()).unwrap().1.is_nan());
    }
}
