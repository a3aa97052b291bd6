//! How fast phases were computed on this machine: what `zoo plan` says of time comes from here.

use crate::environment::{read_json, write_json};
use crate::{MetricLine, RecordError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use zoo_schema::experiment::{Arm, Phase};

/// Entries kept; the oldest go first.
const LIMIT: usize = 2000;

/// A measured speed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Speed {
    /// Seconds an update takes.
    pub seconds_per_step: f64,
    /// Where: `cpu`, `cuda:0`, with its model.
    pub device: String,
    /// Threads of libtorch.
    pub threads: u64,
    /// Counts up with every entry, so that the newest is known.
    pub number: u64,
}

/// Speeds by what was computed, in `speeds.json` of the cache folder.
#[derive(Debug)]
pub struct Speeds {
    path: PathBuf,
    entries: BTreeMap<String, Speed>,
}

impl Speeds {
    /// Those of this cache folder; none where there is no file or a damaged one.
    pub fn open(cache_folder: &Path) -> Self {
        let path = cache_folder.join("speeds.json");
        let entries = read_json(&path).unwrap_or_default();
        Self { path, entries }
    }

    /// The speed of a phase of an arm, where it was measured. A change of any value that the phase or a
    /// component has makes it another phase; how long it lasts does not.
    pub fn get(&self, arm: &Arm, phase: &Phase) -> Option<&Speed> {
        self.entries.get(&key(arm, phase))
    }

    /// Keeps what the lines of a run tell of an arm's phases.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn note(
        &mut self,
        arm: &Arm,
        lines: &[MetricLine],
        device: &str,
        threads: u64,
    ) -> Result<(), RecordError> {
        for phase in &arm.phases {
            let mut speeds: Vec<f64> = lines
                .iter()
                .filter(|line| line.arm == arm.name && line.phase == phase.name && line.evaluation.is_none())
                .filter_map(|line| line.values.get("examples_per_second"))
                .filter(|speed| speed.is_finite() && *speed > 0.0)
                .collect();
            speeds.sort_by(f64::total_cmp);
            let Some(median) = speeds.get(speeds.len() / 2) else { continue };
            self.put(arm, phase, phase.batch as f64 / median, device, threads);
        }
        self.write()
    }

    /// Keeps a speed that was measured.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn set(
        &mut self,
        arm: &Arm,
        phase: &Phase,
        seconds_per_step: f64,
        device: &str,
        threads: u64,
    ) -> Result<(), RecordError> {
        self.put(arm, phase, seconds_per_step, device, threads);
        self.write()
    }

    fn put(&mut self, arm: &Arm, phase: &Phase, seconds_per_step: f64, device: &str, threads: u64) {
        let number = self.entries.values().map(|speed| speed.number).max().unwrap_or(0) + 1;
        let speed = Speed { seconds_per_step, device: device.to_owned(), threads, number };
        self.entries.insert(key(arm, phase), speed);
    }

    fn write(&mut self) -> Result<(), RecordError> {
        while self.entries.len() > LIMIT {
            let oldest =
                self.entries.iter().min_by_key(|(_, speed)| speed.number).map(|(key, _)| key.clone());
            oldest.and_then(|key| self.entries.remove(&key));
        }
        write_json(&self.path, &self.entries)
    }
}

/// The folder of zoo's cache: `ZOO_CACHE`, else `zoo` in `XDG_CACHE_HOME`, else `~/.cache/zoo`.
pub fn cache_folder() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("ZOO_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|caches| caches.join("zoo")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/zoo")))
        .unwrap_or_else(|| std::env::temp_dir().join("zoo-cache"))
}

/// What the speed of a phase depends on.
fn key(arm: &Arm, phase: &Phase) -> String {
    let instances: Vec<Value> = arm
        .instances
        .iter()
        .map(|instance| json!([instance.name, instance.component, instance.parameters, instance.frozen]))
        .collect();
    let step = json!([
        phase.step.loss.len(),
        phase.step.nodes.iter().map(|node| &node.operation).collect::<Vec<_>>()
    ]);
    let text = json!([
        phase.name,
        phase.data,
        step,
        phase.batch,
        phase.accumulate,
        phase.aggregate,
        phase.optimizer,
        phase.precision,
        phase.train,
        instances,
    ]);
    blake3::hash(text.to_string().as_bytes()).to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Values;
    use zoo_schema::experiment::{Length, Place, Precision, StepGraph};

    fn arm(batch: u64, steps: u64) -> Arm {
        let phase = Phase {
            name: "train".into(),
            continues: None,
            data: "rows".into(),
            step: StepGraph::default(),
            length: Length::Steps(steps),
            batch,
            accumulate: 1,
            optimizer: "adam".into(),
            schedule: None,
            clip_norm: None,
            aggregate: None,
            sampling: Default::default(),
            precision: Precision::Float32,
            train: Vec::new(),
            evaluate_every: None,
            save_every: None,
            keep: 1,
            best: None,
            patience: None,
            log_every: 10,
            place: Place::default(),
        };
        Arm {
            name: "a".into(),
            role: None,
            title: String::new(),
            instances: Vec::new(),
            phases: vec![phase],
            evaluations: Vec::new(),
            metrics: Vec::new(),
            cost: Default::default(),
            seed_offset: 0,
        }
    }

    #[test]
    fn speeds_are_found_again_for_the_same_work() {
        let folder = tempfile::tempdir().unwrap();
        let line = |speed: f64| MetricLine {
            arm: "a".into(),
            seed: 1,
            phase: "train".into(),
            step: 10,
            evaluation: None,
            values: Values::from([("examples_per_second", speed)]),
        };
        let (short, long, other) = (arm(8, 10), arm(8, 9000), arm(16, 10));
        let mut speeds = Speeds::open(folder.path());
        speeds.note(&short, &[line(1.0), line(16.0), line(20.0)], "cpu", 2).unwrap();
        let speeds = Speeds::open(folder.path());
        let found = speeds.get(&long, &long.phases[0]).unwrap();
        assert_eq!((found.seconds_per_step, found.threads), (0.5, 2));
        assert!(speeds.get(&other, &other.phases[0]).is_none());
    }
}
