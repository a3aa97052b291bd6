//! What a component answers when it cannot do what is asked.

/// A failure that the user reads: what is wrong, what to do, and where in the recipe.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What is wrong, one line.
    pub message: String,
    /// What to do; may be empty.
    pub help: String,
    /// The parameter (`layers`) or port (`in.hidden`) that is wrong; may be empty.
    pub at: String,
    /// One of [`zoo_abi::status`].
    pub status: i32,
}

/// Ends in an [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A failure with a message alone.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: String::new(),
            at: String::new(),
            status: zoo_abi::status::ERROR,
        }
    }

    /// Adds what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = help.into();
        self
    }

    /// Adds the parameter or port that is wrong.
    #[must_use]
    pub fn at(mut self, at: impl Into<String>) -> Self {
        self.at = at.into();
        self
    }

    /// The run was asked to stop.
    pub fn cancelled() -> Self {
        Self { status: zoo_abi::status::CANCELLED, ..Self::new("cancelled") }
    }

    pub(crate) fn unsupported(what: &str) -> Self {
        Self { status: zoo_abi::status::UNSUPPORTED, ..Self::new(format!("this component has no {what}")) }
    }
}

impl From<tch::TchError> for Error {
    fn from(error: tch::TchError) -> Self {
        let text = error.to_string();
        // libtorch appends its C++ frames; the first line is what a user can read.
        let line = text.lines().next().unwrap_or_default();
        let line = line.strip_prefix("Internal torch error: ").unwrap_or(line);
        Self { status: zoo_abi::status::TORCH, ..Self::new(line) }
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::new(error.to_string())
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::new(error.to_string())
    }
}
