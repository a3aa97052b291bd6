//! `metrics.jsonl`: what was logged and evaluated, a line each.

use crate::jsonl::{self, JsonLines};
use crate::{Event, RecordError, Sink, StepLogged, Values};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// A line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricLine {
    /// The arm.
    pub arm: String,
    /// The seed.
    pub seed: u64,
    /// The phase that it was done in or after.
    pub phase: String,
    /// Updates of that phase that were done.
    pub step: u64,
    /// The evaluation, or none for a logged step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluation: Option<String>,
    /// The values.
    pub values: Values,
}

/// Writes `metrics.jsonl`. When an arm and seed goes on in the middle, lines that lie after that are dropped.
#[derive(Debug)]
pub struct MetricsWriter {
    lines: JsonLines<MetricLine>,
    failure: Option<RecordError>,
}

impl MetricsWriter {
    /// Opens or creates the file; an incomplete last line is cut off.
    pub fn open(path: &Path) -> Result<Self, RecordError> {
        Ok(Self { lines: JsonLines::open(path)?, failure: None })
    }
}

impl Sink for MetricsWriter {
    fn event(&mut self, event: &Event) {
        let done = match event {
            Event::SeedStarted { arm, seed, resumed } => self.lines.retain(|line| {
                line.arm != *arm
                    || line.seed != *seed
                    || resumed.as_ref().is_some_and(|reached| reached.includes(&line.phase, line.step))
            }),
            Event::StepLogged(StepLogged { arm, seed, phase, step, total: _, values }) => {
                self.lines.append(&MetricLine {
                    arm: arm.clone(),
                    seed: *seed,
                    phase: phase.clone(),
                    step: *step,
                    evaluation: None,
                    values: values.clone(),
                })
            }
            Event::EvaluationFinished { arm, seed, phase, step, evaluation, values, .. } => {
                self.lines.append(&MetricLine {
                    arm: arm.clone(),
                    seed: *seed,
                    phase: phase.clone(),
                    step: *step,
                    evaluation: Some(evaluation.clone()),
                    values: values.clone(),
                })
            }
            _ => Ok(()),
        };
        if let Err(error) = done {
            self.failure.get_or_insert(error);
        }
    }

    fn failure(&mut self) -> Option<RecordError> {
        self.failure.take()
    }
}

/// All lines of `metrics.jsonl`; none when there is no file.
pub fn read_metrics(path: &Path) -> Result<Vec<MetricLine>, RecordError> {
    jsonl::read(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reached;

    fn logged(arm: &str, phase: &str, step: u64) -> Event {
        Event::StepLogged(StepLogged {
            arm: arm.into(),
            seed: 1,
            phase: phase.into(),
            step,
            total: 10,
            values: Values::from([("loss", 1.0 / step as f64)]),
        })
    }

    #[test]
    fn resuming_drops_what_will_be_done_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut writer = MetricsWriter::open(&path).unwrap();
        for (arm, phase, step) in [
            ("a", "first", 10),
            ("a", "second", 5),
            ("a", "second", 6),
            ("a", "third", 1),
            ("b", "second", 9),
        ] {
            writer.event(&logged(arm, phase, step));
        }
        drop(writer);
        let mut writer = MetricsWriter::open(&path).unwrap();
        let reached =
            Reached { finished_phases: vec!["first".into()], phase: Some("second".into()), step: 5 };
        writer.event(&Event::SeedStarted { arm: "a".into(), seed: 1, resumed: Some(reached) });
        writer.event(&logged("a", "second", 6));
        assert!(writer.failure().is_none());
        let lines = read_metrics(&path).unwrap();
        let places: Vec<_> =
            lines.iter().map(|line| (line.arm.as_str(), line.phase.as_str(), line.step)).collect();
        assert_eq!(places, [("a", "first", 10), ("a", "second", 5), ("b", "second", 9), ("a", "second", 6)]);
        assert_eq!(lines[1].values.get("loss"), Some(0.2));

        writer.event(&Event::SeedStarted { arm: "a".into(), seed: 1, resumed: None });
        assert_eq!(read_metrics(&path).unwrap().len(), 1);
    }
}
