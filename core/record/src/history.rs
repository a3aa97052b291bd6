//! `events.jsonl`: everything that happened beside logged steps and evaluations.

use crate::jsonl::{self, JsonLines};
use crate::{Event, RecordError, Sink, Values};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// A line of `events.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryLine {
    /// Seconds since 1970, UTC.
    pub time: f64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// Writes `events.jsonl`. The file tells the whole history: nothing is dropped when a run is resumed, so
/// of two lines about the same thing the later one counts.
#[derive(Debug)]
pub struct HistoryWriter {
    lines: JsonLines<HistoryLine>,
    failure: Option<RecordError>,
}

impl HistoryWriter {
    /// Opens or creates the file; an incomplete last line is cut off.
    pub fn open(path: &Path) -> Result<Self, RecordError> {
        Ok(Self { lines: JsonLines::open(path)?, failure: None })
    }
}

impl Sink for HistoryWriter {
    fn event(&mut self, event: &Event) {
        if matches!(
            event,
            Event::StepLogged(_) | Event::EvaluationStarted { .. } | Event::EvaluationFinished { .. }
        ) {
            return;
        }
        if let Err(error) = self.lines.append(&HistoryLine { time: now(), event: event.clone() }) {
            self.failure.get_or_insert(error);
        }
    }

    fn failure(&mut self) -> Option<RecordError> {
        self.failure.take()
    }
}

/// Seconds since 1970, UTC.
pub(crate) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |elapsed| elapsed.as_secs_f64())
}

/// All lines of `events.jsonl`; none when there is no file.
pub fn read_history(path: &Path) -> Result<Vec<HistoryLine>, RecordError> {
    jsonl::read(path)
}

/// An arm that is done with a seed.
#[derive(Clone, Debug, PartialEq)]
pub struct FinishedSeed {
    /// The arm.
    pub arm: String,
    /// The seed.
    pub seed: u64,
    /// The recipe's metrics.
    pub metrics: Values,
    /// Seconds it took.
    pub seconds: f64,
}

/// What is done, in the order it was finished. A seed that was begun again after it was done is not done.
pub fn finished_seeds(history: &[HistoryLine]) -> Vec<FinishedSeed> {
    let mut finished: Vec<FinishedSeed> = Vec::new();
    for line in history {
        match &line.event {
            Event::SeedStarted { arm, seed, .. } => {
                finished.retain(|done| done.arm != *arm || done.seed != *seed);
            }
            Event::SeedFinished { arm, seed, metrics, seconds } => {
                finished.retain(|done| done.arm != *arm || done.seed != *seed);
                finished.push(FinishedSeed {
                    arm: arm.clone(),
                    seed: *seed,
                    metrics: metrics.clone(),
                    seconds: *seconds,
                });
            }
            _ => {}
        }
    }
    finished
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn history_knows_what_is_done() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        let started = |arm: &str| Event::SeedStarted { arm: arm.into(), seed: 1, resumed: None };
        let finished = |arm: &str, value| Event::SeedFinished {
            arm: arm.into(),
            seed: 1,
            metrics: Values::from([("auc", value)]),
            seconds: 2.0,
        };
        let mut writer = HistoryWriter::open(&path).unwrap();
        for event in [started("a"), finished("a", f64::NAN), started("b"), finished("b", 0.5), started("b")] {
            writer.event(&event);
        }
        writer.event(&Event::StepLogged(Default::default()));
        assert!(writer.failure().is_none());
        let history = read_history(&path).unwrap();
        assert_eq!(history.len(), 5);
        assert!(history[0].time > 1e9);
        let done = finished_seeds(&history);
        assert_eq!(done.iter().map(|done| done.arm.as_str()).collect::<Vec<_>>(), ["a"]);
        assert!(done[0].metrics.get("auc").unwrap().is_nan());
    }
}
