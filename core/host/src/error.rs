//! What can go wrong with a plugin, with the plugin, the component, the instance and the step.

use std::fmt;
use std::path::PathBuf;

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure of the host.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A plugin file that is not loaded.
    #[error("plugin {} cannot be loaded: {fault}", path.display())]
    Load {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        fault: Box<LoadFault>,
    },
    /// A component that failed or broke its contract.
    #[error(transparent)]
    Component(#[from] Box<ComponentError>),
    /// No plugin that was loaded has a component of that name.
    #[error("instance `{instance}`: there is no component `{component}`{}", did_you_mean(nearest))]
    UnknownComponent {
        /// The instance.
        instance: String,
        /// The component.
        component: String,
        /// Names that are close to it.
        nearest: Vec<String>,
    },
    /// An instance that was not created.
    #[error("there is no instance `{0}`")]
    UnknownInstance(String),
    /// Two instances of one name.
    #[error("there are two instances of the name `{0}`")]
    InstanceTwice(String),
    /// Weights of an instance.
    #[error("instance `{instance}`: {fault}")]
    Weights {
        /// The instance.
        instance: String,
        /// What is wrong.
        #[source]
        fault: Box<WeightsFault>,
    },
    /// Parameters as a whole: saved state, lists of what is trained.
    #[error("{0}")]
    Parameters(String),
    /// libtorch, outside of any component.
    #[error("libtorch: {0}")]
    Torch(String),
}

impl From<tch::TchError> for Error {
    fn from(error: tch::TchError) -> Self {
        Self::Torch(first_line(&error.to_string()))
    }
}

pub(crate) fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

pub(crate) fn did_you_mean(nearest: &[String]) -> String {
    if nearest.is_empty() { String::new() } else { format!("; did you mean `{}`?", nearest.join("`, `")) }
}

/// Names close to the one that was meant, best first.
pub(crate) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut scored: Vec<(f64, &str)> = names
        .map(|other| (strsim::jaro_winkler(name, other), other))
        .filter(|(score, _)| *score > 0.85)
        .collect();
    scored.sort_by(|(a, x), (b, y)| b.total_cmp(a).then(x.cmp(y)));
    scored.into_iter().take(3).map(|(_, name)| name.to_owned()).collect()
}

/// Why a plugin file is not loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadFault {
    /// Seen in the file, before anything of it ran.
    #[error(transparent)]
    File(#[from] zoo_discovery::Reason),
    /// The file is not the one that the recipe was checked against.
    #[error("the file has changed since it was checked: its hash is {found} and was {expected}")]
    Changed {
        /// Now.
        found: String,
        /// When it was checked.
        expected: String,
    },
    /// The system's loader refused it.
    #[error("the system's loader refused it: {0}")]
    Open(String),
    /// The entry symbol is missing.
    #[error("it does not export `{0}`")]
    NoEntry(String),
    /// The entry gave nothing.
    #[error("its entry `{0}` gave no table")]
    NullTable(String),
    /// Not a table of ours.
    #[error("its table does not begin with the magic number: {found:#018x} instead of {expected:#018x}")]
    Magic {
        /// What stands there.
        found: u64,
        /// What should.
        expected: u64,
    },
    /// A struct is shorter than this ABI's first version.
    #[error("its {what} says that it is {found} bytes long; ABI {major} needs {expected}", major = zoo_abi::MAJOR)]
    Size {
        /// Which struct.
        what: String,
        /// What it says.
        found: u32,
        /// What is needed.
        expected: usize,
    },
    /// Another version than the file's build facts say, or one that does not fit.
    #[error("its table is of ABI {found}, and this zoo has {here}", here = format_args!("{}.{}", zoo_abi::MAJOR, zoo_abi::MINOR))]
    Version {
        /// `major.minor` of the table.
        found: String,
    },
    /// A text in the table is unusable.
    #[error("{what} in its table {fault}")]
    Text {
        /// Which text.
        what: String,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// A pointer in the table is null.
    #[error("{0} in its table is null")]
    Null(String),
    /// Table and file disagree.
    #[error("{what} in its table differs from the one in the file")]
    Differs {
        /// What.
        what: String,
    },
    /// Another plugin has a component of that name.
    #[error("its component `{component}` is already that of {}", other.display())]
    ComponentTaken {
        /// The component.
        component: String,
        /// The file that has it.
        other: PathBuf,
    },
    /// It has a component twice.
    #[error("it has two components of the name `{0}`")]
    ComponentTwice(String),
}

/// What a component was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Being created.
    Create,
    /// Being called.
    Call,
    /// Saying how many examples there are.
    Length,
    /// Reading examples.
    Read,
    /// Counting targets.
    Count,
    /// Giving a metric's value.
    Finish,
    /// Forgetting what a metric accumulated.
    Reset,
    /// Giving `tokenizer.json`.
    Export,
    /// Saving its state.
    Save,
    /// Taking its state back.
    Load,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "create",
            Self::Call => "call",
            Self::Length => "length",
            Self::Read => "read",
            Self::Count => "count",
            Self::Finish => "finish",
            Self::Reset => "reset",
            Self::Export => "export",
            Self::Save => "save",
            Self::Load => "load",
        })
    }
}

/// Where in a run something happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The step's name in the recipe.
    pub step: String,
    /// The node's id.
    pub node: String,
    /// The update.
    pub update: u64,
}

/// A failure of a component, or a breach of its contract.
#[derive(Debug)]
pub struct ComponentError {
    /// The plugin.
    pub plugin: String,
    /// The component.
    pub component: String,
    /// The instance's name in the recipe.
    pub instance: String,
    /// What it was doing.
    pub action: Action,
    /// Where in the run; none while it is created.
    pub step: Option<Step>,
    /// The parameter or port that is wrong, for the caret in the recipe: `layers`, `in.hidden`.
    pub at: Option<String>,
    /// What is wrong.
    pub fault: Fault,
    /// What to do about it.
    pub help: Option<String>,
}

impl fmt::Display for ComponentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ({} of plugin {})", self.instance, self.component, self.plugin)?;
        if let Some(Step { step, node, update }) = &self.step {
            f.write_str(", ")?;
            if !step.is_empty() {
                write!(f, "step `{step}`, ")?;
            }
            if !node.is_empty() && node != step {
                write!(f, "`{node}`, ")?;
            }
            write!(f, "update {update}")?;
        }
        write!(f, ", {}: {}", self.action, self.fault)?;
        if let Some(at) = &self.at {
            write!(f, " (at `{at}`)")?;
        }
        Ok(())
    }
}

impl std::error::Error for ComponentError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.fault)
    }
}

/// What a component did wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// It said so itself.
    #[error("{0}")]
    Failed(String),
    /// It panicked; the instance is not called again.
    #[error("it {0}")]
    Panicked(String),
    /// libtorch raised an exception in it.
    #[error("libtorch: {0}")]
    Torch(String),
    /// The run was asked to stop.
    #[error("stopped, as the run was asked to")]
    Cancelled,
    /// It has no such function.
    #[error("it has no such function{}", if .0.is_empty() { String::new() } else { format!(": {}", .0) })]
    Unsupported(String),
    /// It panicked earlier.
    #[error("it panicked earlier and is not called again")]
    Poisoned,
    /// A status that the ABI does not know.
    #[error("it answered with status {0}, which the ABI does not know")]
    Status(i32),
    /// `OK` without an instance.
    #[error("it answered that it is there, but gave no instance")]
    NoInstance,
    /// `OK` without an output that was wanted.
    #[error("it answered that all is well, but gave no output `{0}`")]
    OutputMissing(String),
    /// An output that is no valid value.
    #[error("output `{port}` {reason}")]
    OutputInvalid {
        /// The port.
        port: String,
        /// What is wrong.
        reason: String,
    },
    /// An output or input of another type than the schema says.
    #[error("{direction} `{port}` is {found}; its schema says {expected}")]
    Type {
        /// `input` or `output`.
        direction: &'static str,
        /// The port.
        port: String,
        /// What came.
        found: String,
        /// What the schema says.
        expected: String,
    },
    /// A required input that is not connected.
    #[error("input `{0}` is missing")]
    InputMissing(String),
    /// An input that the schema does not have.
    #[error("there is no input `{port}`{}", did_you_mean(nearest))]
    InputUnknown {
        /// The port.
        port: String,
        /// Names close to it.
        nearest: Vec<String>,
    },
    /// It wrote into an input that was lent to it.
    #[error("it changed its input `{0}` in place")]
    InputWritten(String),
    /// Values that are no numbers.
    #[error("output `{port}` has {count} values that are no number (NaN)")]
    NotNumbers {
        /// The port.
        port: String,
        /// How many.
        count: i64,
    },
    /// A switch of the whole process is another one than before.
    #[error("it changed {what} of the whole process from {before} to {after}")]
    ProcessChanged {
        /// Which.
        what: &'static str,
        /// Before.
        before: String,
        /// After.
        after: String,
    },
    /// A parameter that it asked for cannot be had.
    #[error("parameter `{name}`: {reason}")]
    Parameter {
        /// The parameter's name in the component.
        name: String,
        /// Why not.
        reason: String,
    },
    /// Parameters that the recipe shares but the component never asked for.
    #[error("`share` names `{0}`, but it has no parameter of that name or below it")]
    ShareUnused(String),
    /// Sites that an adapter acts on, but that the model never offered.
    #[error("an adapter acts on the site `{0}`, which the model did not come by")]
    SiteUnused(String),
    /// A site that the model does not have.
    #[error("model `{model}` has no site `{site}`{}", did_you_mean(nearest))]
    SiteUnknown {
        /// The model.
        model: String,
        /// The site.
        site: String,
        /// Names close to it.
        nearest: Vec<String>,
    },
    /// Its parameters in the recipe are not what its schema says.
    #[error("{0}")]
    Recipe(String),
    /// Another component, which it called, failed.
    #[error("{0}")]
    Inner(#[source] Box<Error>),
}

/// What is wrong with a checkpoint.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsFault {
    /// It cannot be had.
    #[error("the weights `{uri}` cannot be had: {reason}")]
    Asset {
        /// As the recipe names them.
        uri: String,
        /// Why not.
        reason: String,
    },
    /// Not a safetensors file, or a damaged one.
    #[error("{} is no sound safetensors file: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// What `torch.save` writes, which can run any program when it is opened.
    #[error(
        "{} is a pickle, which can run any program when it is opened, and is not read; convert it once: \
         python -c \"import torch; from safetensors.torch import save_file; \
         save_file({{k: v.clone().contiguous() for k, v in torch.load('{}', weights_only=True).items()}}, 'model.safetensors')\"",
        path.display(),
        path.file_name().unwrap_or_default().display()
    )]
    Pickle {
        /// The file.
        path: PathBuf,
    },
    /// Parameters that are not in it.
    #[error("{} of its parameters {} not in the weights: {}", missing.len(), if missing.len() == 1 { "is" } else { "are" }, list_missing(missing))]
    Missing {
        /// Name of the parameter, and names in the checkpoint that are close to it.
        missing: Vec<(String, Vec<String>)>,
    },
    /// A tensor of another shape.
    #[error("`{name}` has the shape {found:?} in the weights and {expected:?} in the model")]
    Shape {
        /// The parameter.
        name: String,
        /// In the checkpoint.
        found: Vec<i64>,
        /// In the model.
        expected: Vec<i64>,
    },
}

/// How many missing parameters a message names.
pub(crate) const SHOWN: usize = 5;

fn list_missing(missing: &[(String, Vec<String>)]) -> String {
    let mut lines: Vec<String> = missing
        .iter()
        .take(SHOWN)
        .map(|(name, nearest)| {
            format!(
                "`{name}`{}",
                did_you_mean(nearest).replacen("; did you mean", " (near", 1).replace("`?", "`)")
            )
        })
        .collect();
    if missing.len() > SHOWN {
        lines.push(format!("and {} more", missing.len() - SHOWN));
    }
    lines.join(", ")
}
