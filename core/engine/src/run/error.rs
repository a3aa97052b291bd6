//! What can go wrong with a run as a whole.

use crate::EngineError;
use std::path::PathBuf;
use zoo_record::RecordError;

/// A run that could not be begun or finished.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// An arm.
    #[error("arm `{arm}`, seed {seed}: {error}")]
    Arm {
        /// The arm.
        arm: String,
        /// The seed.
        seed: u64,
        /// What happened.
        error: Box<EngineError>,
    },
    /// An arm that another process ran.
    #[error("arm `{arm}`, seed {seed}: {message}")]
    Worker {
        /// The arm.
        arm: String,
        /// The seed.
        seed: u64,
        /// What happened.
        message: String,
    },
    /// A process that runs arms, before it had one.
    #[error("a process that runs arms {0}")]
    Hire(String),
    /// A plugin that cannot be loaded.
    #[error(transparent)]
    Plugin(#[from] zoo_host::Error),
    /// A file of the run directory.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The folder of a new run has something in it.
    #[error(
        "{} is not empty: choose another folder, or go on with `zoo run --resume {}`",
        .0.display(), .0.display()
    )]
    NotEmpty(PathBuf),
    /// A folder that no run was begun in.
    #[error("{} is no run directory: it has no experiment.json", .0.display())]
    NoRun(PathBuf),
    /// Another process runs it.
    #[error("{} is being run by another process; wait for it, or stop it with Ctrl-C", .0.display())]
    InUse(PathBuf),
    /// The lock of the run directory cannot be taken.
    #[error("cannot lock {}", path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// What takes part is not what the run was begun with.
    #[error(
        "the run was begun with other parts, and going on would mix two experiments: {}; put the old ones back, begin a new run, or go on all the same with `--allow-changed-plugins`",
        differences.join("; ")
    )]
    Changed {
        /// A sentence each.
        differences: Vec<String>,
    },
    /// A claim that no result could decide.
    #[error("the claim \"{claim}\" cannot be judged: {reason}")]
    Claim {
        /// Its title.
        claim: String,
        /// Why not.
        reason: String,
    },
    /// Arms that a claim compares do not cost the same.
    #[error(
        "the claim \"{claim}\" holds `cost.{cost}` equal within {}%, but `{low}` has {small:.4e} and `{high}` {large:.4e}",
        within * 100.0
    )]
    CostsDiffer {
        /// Title of the claim.
        claim: String,
        /// The cost.
        cost: String,
        /// Largest relative difference.
        within: f64,
        /// The cheapest arm.
        low: String,
        /// What it costs.
        small: f64,
        /// The dearest arm.
        high: String,
        /// What it costs.
        large: f64,
    },
    /// Nothing to do.
    #[error("the experiment has no {0}")]
    Nothing(&'static str),
    /// A name that stood for one thing in one arm and for another in the next.
    #[error(
        "`{uri}` changed while the run fetched it: it had hash {one}, then {other}; name a revision that stays"
    )]
    AssetMoved {
        /// As the recipe names it.
        uri: String,
        /// Hash of the content that was fetched first.
        one: String,
        /// Hash of the other.
        other: String,
    },
    /// Fewer seeds than were planned when the run began.
    #[error("the run has {planned} seeds already; a run can be given more, not fewer ({asked} asked for)")]
    FewerSeeds {
        /// Seeds of the run.
        planned: u64,
        /// Seeds asked for.
        asked: u64,
    },
    /// libtorch, outside of any arm.
    #[error("libtorch: {0}")]
    Torch(String),
}

impl From<zoo_torch::Error> for RunError {
    fn from(error: zoo_torch::Error) -> Self {
        Self::Torch(error.to_string())
    }
}

/// An error with its causes, those that the message before already tells left out.
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_told_once() {
        let inner = std::io::Error::other("no space left");
        let error = RunError::Lock { path: "runs/a/.lock".into(), source: inner };
        assert_eq!(with_causes(&error), "cannot lock runs/a/.lock: no space left");
        let arm = RunError::Arm {
            arm: "a".into(),
            seed: 1,
            error: Box::new(EngineError::Torch("out of memory".into())),
        };
        assert_eq!(with_causes(&arm), "arm `a`, seed 1: libtorch: out of memory");
    }
}
