//! What components tell while they run: numbers beside the step's logs, and things for the report.

use crate::StopFlag;
use crate::step::TRIAL;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use zoo_host::{Asset, CallScope, Environment, EnvironmentError, Stage};
use zoo_record::Values;

/// Where a number came from: the same call made twice tells it once.
type Key = (u64, u64, u64, Arc<str>, String);

/// A picture, table or text that a component gave.
#[derive(Clone, Debug)]
pub(crate) struct Artifact {
    pub(crate) instance: String,
    pub(crate) name: String,
    pub(crate) media_type: String,
    pub(crate) content: Vec<u8>,
}

#[derive(Default)]
struct Told {
    numbers: BTreeMap<Key, f64>,
    artifacts: Vec<Artifact>,
}

/// The environment of an arm: assets and stages of the run's, what components tell kept here.
pub(crate) struct Observer {
    inner: Arc<dyn Environment>,
    stop: StopFlag,
    told: Mutex<Told>,
}

impl Observer {
    pub(crate) fn new(inner: Arc<dyn Environment>, stop: StopFlag) -> Self {
        Self { inner, stop, told: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Averages of the numbers told in updates from `from` up to `to`, both included; they are
    /// forgotten. What loader threads told of later updates stays.
    pub(crate) fn numbers(&self, from: u64, to: u64) -> Values {
        let mut told = self.lock();
        let mut sums: BTreeMap<String, (f64, f64)> = BTreeMap::new();
        told.numbers.retain(|(update, _, _, _, name), value| {
            if *update < from || *update > to {
                return *update > to;
            }
            let sum = sums.entry(name.clone()).or_default();
            *sum = (sum.0 + *value, sum.1 + 1.0);
            false
        });
        sums.into_iter().map(|(name, (sum, count))| (name, sum / count)).collect()
    }

    pub(crate) fn artifacts(&self) -> Vec<Artifact> {
        std::mem::take(&mut self.lock().artifacts)
    }
}

impl Environment for Observer {
    fn asset(&self, uri: &str) -> Result<Asset, EnvironmentError> {
        self.inner.asset(uri)
    }

    fn stage(
        &self,
        stage: &Stage,
        produce: &mut dyn FnMut(&Path) -> Result<(), EnvironmentError>,
    ) -> Result<PathBuf, EnvironmentError> {
        self.inner.stage(stage, produce)
    }

    fn cancelled(&self) -> bool {
        self.stop.stopped() || self.inner.cancelled()
    }

    fn metric(&self, instance: &str, scope: &CallScope, name: &str, value: f64) {
        if scope.update == TRIAL {
            return;
        }
        let key = (
            scope.update,
            scope.row_offset,
            scope.micro,
            Arc::clone(&scope.node),
            format!("{instance}.{name}"),
        );
        self.lock().numbers.insert(key, value);
    }

    fn artifact(&self, instance: &str, name: &str, media_type: &str, content: &[u8]) {
        self.lock().artifacts.push(Artifact {
            instance: instance.to_owned(),
            name: name.to_owned(),
            media_type: media_type.to_owned(),
            content: content.to_vec(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zoo_host::LocalEnvironment;

    #[test]
    fn numbers_are_averaged_by_update_and_told_once() {
        let inner = Arc::new(LocalEnvironment { folder: PathBuf::new() });
        let observer = Observer::new(inner, StopFlag::new());
        let tell = |update: u64, micro: u64, value: f64| {
            let scope = CallScope { update, micro, ..CallScope::default() };
            observer.metric("model", &scope, "norm", value);
        };
        tell(0, 0, 1.0);
        tell(0, 1, 3.0);
        tell(0, 1, 3.0);
        tell(5, 0, 9.0);
        tell(TRIAL, 0, 100.0);
        assert_eq!(observer.numbers(0, 1), Values::from([("model.norm", 2.0)]));
        assert_eq!(observer.numbers(0, 4), Values::new());
        assert_eq!(observer.numbers(2, 5), Values::from([("model.norm", 9.0)]));
    }
}
