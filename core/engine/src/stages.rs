//! What components get from the run: assets, and files that are made once and used by later runs.

use crate::cache::{self, Cache, CacheError};
use crate::{SharedSink, StopFlag};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use zoo_assets::{Expected, Progress, Store};
use zoo_host::{Asset, Environment, EnvironmentError, Stage};
use zoo_record::{Event, LockedAsset, Sink};

/// Where assets come from: the cache of assets, and the folder that relative paths start from.
#[derive(Clone, Debug)]
pub struct Assets {
    /// The cache.
    pub store: Arc<Store>,
    /// Usually the recipe's folder.
    pub relative_to: PathBuf,
}

/// Downloads as stages: they take time, and are done once.
struct Downloads<'a>(&'a RunEnvironment, Instant);

impl Progress for Downloads<'_> {
    fn started(&self, uri: &str, _done: u64, _total: Option<u64>) {
        self.0.tell(Event::StageStarted { stage: uri.to_owned(), key: key_of(uri) });
    }

    fn retrying(&self, uri: &str, reason: &str) {
        self.0.tell(Event::Warning {
            arm: None,
            seed: None,
            message: format!("`{uri}` is tried again: {reason}"),
            help: None,
        });
    }

    fn finished(&self, uri: &str, bytes: u64) {
        let seconds = self.1.elapsed().as_secs_f64();
        self.0.tell(Event::StageFinished { stage: uri.to_owned(), key: key_of(uri), seconds, bytes });
    }
}

fn key_of(uri: &str) -> String {
    blake3::hash(uri.as_bytes()).to_hex().to_string()
}

/// What the engine does for components during a run: assets are fetched once and held against the lock,
/// stages are kept in the cache under the key of all that they depend on.
pub struct RunEnvironment {
    assets: Assets,
    cache: Cache,
    sink: SharedSink,
    stop: StopFlag,
    /// Assets of the run by URI: those of the lock, and with a path those that were fetched now.
    known: Mutex<BTreeMap<String, (LockedAsset, Option<PathBuf>)>>,
}

impl std::fmt::Debug for RunEnvironment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunEnvironment").field("cache", &self.cache).finish_non_exhaustive()
    }
}

impl RunEnvironment {
    /// An environment whose stages lie in `stages/` of the assets' cache. `locked` are the assets of the
    /// run's lock, none for a new run.
    pub fn new(assets: Assets, sink: SharedSink, stop: StopFlag, locked: &[LockedAsset]) -> Self {
        let known = locked.iter().map(|asset| (asset.uri.clone(), (asset.clone(), None))).collect();
        let cache = Cache::new(assets.store.options().cache.join("stages"));
        Self { assets, cache, sink, stop, known: Mutex::new(known) }
    }

    /// The assets of the run, sorted by URI.
    pub fn locked(&self) -> Vec<LockedAsset> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.values().map(|(asset, _)| asset.clone()).collect()
    }

    /// Holds assets to what others have fetched meanwhile; what is known already stays.
    pub fn expect(&self, assets: &[LockedAsset]) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for asset in assets {
            known.entry(asset.uri.clone()).or_insert_with(|| (asset.clone(), None));
        }
    }

    fn tell(&self, event: Event) {
        self.sink.clone().event(&event);
    }

    fn fetched(&self, uri: &str) -> Result<(LockedAsset, PathBuf), EnvironmentError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((asset, Some(path))) = known.get(uri) {
            return Ok((asset.clone(), path.clone()));
        }
        let expected = known
            .get(uri)
            .map(|(asset, _)| Expected { hash: asset.hash.clone(), revision: asset.revision.clone() });
        let progress = Downloads(self, Instant::now());
        let fetched = self.assets.store.fetch(uri, &self.assets.relative_to, expected.as_ref(), &progress)?;
        let zoo_assets::Fetched { path, hash, bytes, revision, .. } = fetched;
        let locked = LockedAsset { uri: uri.to_owned(), revision, hash, bytes };
        known.insert(uri.to_owned(), (locked.clone(), Some(path.clone())));
        Ok((locked, path))
    }
}

impl Environment for RunEnvironment {
    fn asset(&self, uri: &str) -> Result<Asset, EnvironmentError> {
        let (locked, path) = self.fetched(uri)?;
        Ok(Asset { path, content: locked.hash })
    }

    fn stage(
        &self,
        stage: &Stage,
        produce: &mut dyn FnMut(&Path) -> Result<(), EnvironmentError>,
    ) -> Result<PathBuf, EnvironmentError> {
        let shown = format!("{}.{}", stage.instance, stage.name);
        let file = format!("{}-{}", stage.name, stage.key);
        let mut seconds = 0.0;
        let got = self.cache.get(&stage.component, &file, &|| self.stop.stopped(), &mut |path: &Path| {
            self.tell(Event::StageStarted { stage: shown.clone(), key: stage.key.clone() });
            let begun = Instant::now();
            produce(path)?;
            seconds = begun.elapsed().as_secs_f64();
            Ok(())
        });
        let cached = got.map_err(|error| match error {
            CacheError::Produce(inner) => inner,
            other => Box::new(other),
        })?;
        let (stage, key) = (shown, stage.key.clone());
        self.tell(if cached.made {
            Event::StageFinished { stage, key, seconds, bytes: cache::size(&cached.path) }
        } else {
            Event::StageReused { stage, key }
        });
        Ok(cached.path)
    }

    fn cancelled(&self) -> bool {
        self.stop.stopped()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zoo_record::Collect;

    fn environment(folder: &Path, events: &Arc<Mutex<Collect>>, locked: &[LockedAsset]) -> RunEnvironment {
        let store = Store::open(zoo_assets::Options::new(folder.join("cache")));
        let assets = Assets { store: Arc::new(store), relative_to: folder.to_owned() };
        let sink = SharedSink::new(Tell(Arc::clone(events)));
        RunEnvironment::new(assets, sink, StopFlag::new(), locked)
    }

    struct Tell(Arc<Mutex<Collect>>);

    impl Sink for Tell {
        fn event(&mut self, event: &Event) {
            self.0.lock().unwrap().event(event);
        }
    }

    fn stage(key: &str) -> Stage {
        Stage {
            key: key.into(),
            instance: "wordpiece".into(),
            component: "text.wordpiece".into(),
            name: "vocabulary".into(),
        }
    }

    #[test]
    fn a_stage_is_made_once_and_reused_by_a_later_run() {
        let folder = tempfile::tempdir().unwrap();
        let events = Arc::new(Mutex::new(Collect::default()));
        let first = environment(folder.path(), &events, &[]);
        let path = first.stage(&stage("k1"), &mut |path| Ok(std::fs::write(path, "tokens")?)).unwrap();
        let later = environment(folder.path(), &events, &[]);
        let again = later.stage(&stage("k1"), &mut |_| panic!("made twice")).unwrap();
        assert_eq!((path.clone(), std::fs::read_to_string(path).unwrap()), (again, "tokens".into()));
        later.stage(&stage("k2"), &mut |path| Ok(std::fs::write(path, "others")?)).unwrap();
        let failed = later.stage(&stage("k3"), &mut |_| Err("no corpus".into()));
        assert_eq!(failed.unwrap_err().to_string(), "no corpus");
        let told: Vec<String> = events
            .lock()
            .unwrap()
            .events
            .iter()
            .map(|event| match event {
                Event::StageStarted { stage, key } => format!("started {stage} {key}"),
                Event::StageFinished { stage, key, bytes, .. } => format!("finished {stage} {key} {bytes}"),
                Event::StageReused { stage, key } => format!("reused {stage} {key}"),
                other => format!("{other:?}"),
            })
            .collect();
        assert_eq!(
            told,
            [
                "started wordpiece.vocabulary k1",
                "finished wordpiece.vocabulary k1 6",
                "reused wordpiece.vocabulary k1",
                "started wordpiece.vocabulary k2",
                "finished wordpiece.vocabulary k2 6",
                "started wordpiece.vocabulary k3",
            ]
        );
    }

    #[test]
    fn assets_are_fetched_once_and_held_against_the_lock() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("lines.txt");
        std::fs::write(&file, "one").unwrap();
        let uri = "lines.txt";
        let events = Arc::new(Mutex::new(Collect::default()));
        let first = environment(folder.path(), &events, &[]);
        let asset = first.asset(uri).unwrap();
        assert_eq!(first.asset(uri).unwrap(), asset);
        let locked = first.locked();
        assert_eq!((locked.len(), locked[0].bytes), (1, 3));
        std::fs::write(&file, "two").unwrap();
        let resumed = environment(folder.path(), &events, &locked);
        let error = resumed.asset(uri).unwrap_err().to_string();
        assert!(error.contains("lines.txt"), "{error}");
        std::fs::write(&file, "one").unwrap();
        assert_eq!(resumed.asset(uri).unwrap(), asset);
    }
}
