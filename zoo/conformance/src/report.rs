//! What was found.

use serde::Serialize;
use std::fmt;

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", content = "reason", rename_all = "snake_case")]
pub enum Outcome {
    /// As it should be.
    Passed,
    /// Not as it should be.
    Failed(String),
    /// It does not apply, or could not be tried.
    Skipped(String),
}

/// One check of a file or a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The component; none for checks of the file.
    pub component: Option<String>,
    /// What was looked at, one of [`CHECKS`].
    pub check: &'static str,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// Every check and what it demands.
pub const CHECKS: &[(&str, &str)] = &[
    ("file", "the file can be read, and fits this zoo: ABI, libtorch, target, panics that unwind"),
    ("symbols", "it exports its entry symbol and nothing else"),
    ("linkage", "it brings no libtorch and no C++ library of its own"),
    ("loading", "the table that its entry gives is that of the file"),
    (
        "documentation",
        "components, parameters and ports say what they are, and each component has an example",
    ),
    ("example", "every example is a piece of a recipe without a mistake"),
    ("create", "the component of the first example can be made, twice with the same parameters"),
    (
        "shapes",
        "outputs have the type and shape of the schema, for random sizes, with and without optional inputs",
    ),
    ("batch of one", "one example is a batch"),
    ("empty mask", "a mask that hides everything gives a result without NaN, or an error that says so"),
    ("same seed", "equal seeds give equal bits, and so does a second call"),
    ("inputs unchanged", "no byte of an input is another one after the call"),
    ("wanted outputs", "an output is the same whether others are wanted or not"),
    ("rows alone", "a row's result does not depend on how a batch is split"),
    ("state", "state that is saved and loaded continues equally"),
    ("gradients", "gradients are those of finite differences"),
    ("splits", "16x1, 8x2, 4x4 and 2x8 give the same update to 1e-6"),
    ("padding", "a padded document gives what it gives alone: values and gradients"),
    ("packing", "documents packed into one row give what they give padded: values and gradients"),
    ("reading", "examples are the same in every order, and an index out of range is an error"),
    ("factors", "a schedule gives finite factors that are not negative"),
    ("update", "an optimizer changes what it says it changes, equally each time"),
];

/// Everything that was found about a plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The plugin's name, where the file tells.
    pub plugin: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// The file.
    pub file: String,
    /// The checks, in order.
    pub checks: Vec<Check>,
}

impl Report {
    /// Whether nothing failed.
    pub fn passed(&self) -> bool {
        self.failures().next().is_none()
    }

    /// The checks that failed.
    pub fn failures(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|c| matches!(c.outcome, Outcome::Failed(_)))
    }

    /// The outcome of a check.
    pub fn outcome(&self, component: Option<&str>, check: &str) -> Option<&Outcome> {
        self.checks
            .iter()
            .find(|c| c.component.as_deref() == component && c.check == check)
            .map(|c| &c.outcome)
    }

    pub(crate) fn add(&mut self, component: Option<&str>, check: &'static str, outcome: Outcome) {
        self.checks.push(Check { component: component.map(str::to_owned), check, outcome });
    }
}

/// A table a component, then what failed.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.plugin.as_deref().unwrap_or("no plugin");
        writeln!(f, "{name} {}  {}", self.version.as_deref().unwrap_or(""), self.file)?;
        let mut before: Option<&Option<String>> = None;
        for check in &self.checks {
            if before != Some(&check.component) {
                writeln!(f, "\n{}", check.component.as_deref().unwrap_or("the file"))?;
                before = Some(&check.component);
            }
            match &check.outcome {
                Outcome::Passed => writeln!(f, "  ok    {}", check.check)?,
                Outcome::Failed(reason) => writeln!(f, "  FAIL  {:<16}  {reason}", check.check)?,
                Outcome::Skipped(reason) => writeln!(f, "  -     {:<16}  {reason}", check.check)?,
            }
        }
        let count = |wanted: fn(&Outcome) -> bool| self.checks.iter().filter(|c| wanted(&c.outcome)).count();
        writeln!(
            f,
            "\n{} passed, {} failed, {} skipped",
            count(|o| *o == Outcome::Passed),
            count(|o| matches!(o, Outcome::Failed(_))),
            count(|o| matches!(o, Outcome::Skipped(_)))
        )
    }
}

/// Ends a check early.
pub(crate) enum Stop {
    Failed(String),
    Skipped(String),
}

pub(crate) type Result<T> = std::result::Result<T, Stop>;

pub(crate) fn failed<T>(reason: impl Into<String>) -> Result<T> {
    Err(Stop::Failed(reason.into()))
}

pub(crate) fn skipped<T>(reason: impl Into<String>) -> Result<T> {
    Err(Stop::Skipped(reason.into()))
}

impl From<Result<()>> for Outcome {
    fn from(result: Result<()>) -> Self {
        match result {
            Ok(()) => Self::Passed,
            Err(Stop::Failed(reason)) => Self::Failed(reason),
            Err(Stop::Skipped(reason)) => Self::Skipped(reason),
        }
    }
}

impl From<tch::TchError> for Stop {
    fn from(error: tch::TchError) -> Self {
        Self::Failed(format!("libtorch: {}", error.to_string().lines().next().unwrap_or_default()))
    }
}

/// What a component does with inputs that were made up: complaining is its right, and that of one that
/// it calls; breaking the contract is not.
impl From<zoo_host::Error> for Stop {
    fn from(error: zoo_host::Error) -> Self {
        match &error {
            zoo_host::Error::Component(inner)
                if matches!(
                    inner.fault,
                    zoo_host::Fault::Failed(_) | zoo_host::Fault::Torch(_) | zoo_host::Fault::Inner(_)
                ) =>
            {
                Self::Skipped(format!("it refuses what was made up: {}", inner.fault))
            }
            zoo_host::Error::Component(inner) => Self::Failed(format!("{}: {}", inner.action, inner.fault)),
            other => Self::Failed(other.to_string()),
        }
    }
}
