//! Where the run's assets come from, and where what is fetched and made is kept.

use std::path::Path;
use std::sync::Arc;
use zoo_assets::{Options, Store};
use zoo_engine::Assets;
use zoo_schema::experiment::Experiment;

/// Assets as the environment says; relative paths start at the recipe's folder.
pub(crate) fn of(experiment: &Experiment, offline: bool) -> Assets {
    let mut options = Options::from_environment();
    options.offline |= offline;
    let folder = Path::new(&experiment.recipe).parent().unwrap_or(Path::new(""));
    let relative_to = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    Assets { store: Arc::new(Store::open(options)), relative_to: relative_to.to_owned() }
}
