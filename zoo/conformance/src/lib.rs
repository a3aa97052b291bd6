//! What every plugin is held to, first-party or not.
//!
//! ```no_run
//! let report = zoo_conformance::test(
//!     "target/release/libzoo_contrastive.so".as_ref(),
//!     &zoo_conformance::Options::default(),
//! );
//! assert!(report.passed(), "{report}");
//! ```
//!
//! [`test`](fn@test) loads a built plugin as the engine does, makes every component from its own first
//! example (with sizes made small), makes inputs up from the schema, and looks at what comes out;
//! [`CHECKS`] lists what is demanded. What a schema does not tell, it guesses: names of ports with
//! `mask` in them take 0 and 1, `positions` are places in a batch of sequences, other integers are
//! token ids below the vocabulary. A component that refuses what was made up is skipped with its own
//! words; one that breaks the contract fails.

mod compare;
mod component;
mod documents;
mod examples;
mod file;
mod gradients;
mod inputs;
mod kinds;
mod report;
mod splits;

pub use examples::catalogue;
pub use report::{CHECKS, Check, Outcome, Report};

use component::Subject;
use report::Stop;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zoo_host::{PluginPath, Registry};

/// How a plugin is tested.
#[derive(Clone, Debug)]
pub struct Options {
    /// Everything made up follows from it.
    pub seed: u64,
    /// Random sizes that are tried.
    pub rounds: usize,
    /// Plugins whose components examples refer to.
    pub plugins: Vec<PathBuf>,
    /// A recipe whose bindings stand for names that an example uses and does not define, and for
    /// references that it leaves out.
    pub surroundings: String,
    /// The folder that paths and names of assets in examples lie in; whatever an asset's URI says
    /// before its last part, that part is looked for there.
    pub assets: Option<PathBuf>,
    /// Sizes of dimensions of a component's inputs that its example's files fix: pixels of an image, for
    /// example. By component, then dimension; others are drawn.
    pub sizes: BTreeMap<String, BTreeMap<String, i64>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            rounds: 8,
            plugins: Vec::new(),
            surroundings: String::new(),
            assets: None,
            sizes: BTreeMap::new(),
        }
    }
}

/// Tests the plugin in a file. Never panics for what the plugin does, short of ending the process.
pub fn test(path: &Path, options: &Options) -> Report {
    let mut report = Report { file: path.display().to_string(), ..Report::default() };
    let Some(content) = file::check(path, &mut report) else { return report };
    let mut paths = vec![PluginPath { path: path.to_owned(), hash: None }];
    paths.extend(options.plugins.iter().map(|path| PluginPath { path: path.clone(), hash: None }));
    let registry = match Registry::load(&paths[..1]).and_then(|_| Registry::load(&paths)) {
        Ok(registry) => Arc::new(registry),
        Err(error) => {
            report.add(None, "loading", Outcome::Failed(error.to_string()));
            return report;
        }
    };
    report.add(None, "loading", Outcome::Passed);
    let catalogue = examples::catalogue(&registry);
    for schema in &content.components {
        report.add(Some(&schema.name), "documentation", file::documentation(schema).into());
        let example = examples::check(schema, &catalogue, options);
        report.add(Some(&schema.name), "example", example.into());
        let subject = match examples::instances(schema, &registry, options) {
            Ok(instances) => Subject::new(&registry, schema, instances, options),
            Err(stop) => Err(stop),
        };
        match subject {
            Ok(subject) => subject.check(&mut report),
            Err(Stop::Failed(reason)) => report.add(Some(&schema.name), "create", Outcome::Failed(reason)),
            Err(Stop::Skipped(reason)) => report.add(Some(&schema.name), "create", Outcome::Skipped(reason)),
        }
    }
    report
}
