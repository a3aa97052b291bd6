//! Hub checkpoints outside of recipes: a folder with `config.json` and `model.safetensors` becomes a
//! [`Model`], which is called through the host as in a run, and compared with numbers of its makers
//! by [`parity`]. [`generation`] writes texts, [`embedding`] makes vectors of them, [`fill_mask`] fills
//! gaps, [`classification`] names classes; [`chat`] makes a prompt of a conversation.

pub mod chat;
pub mod classification;
pub mod embedding;
pub mod fill_mask;
pub mod generation;
mod model;
pub mod parity;
mod text;

pub use model::{Head, Model};
pub use text::{Spelled, Texts};

/// Why a model cannot be opened or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file that cannot be read.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: String,
        /// Why not.
        reason: String,
    },
    /// A model that this program has no component for.
    #[error("{0}")]
    Unknown(String),
    /// Options of the generation.
    #[error(transparent)]
    Options(#[from] zoo_decoding::OptionsError),
    /// The host, or the component through it.
    #[error(transparent)]
    Host(#[from] zoo_host::Error),
    /// libtorch.
    #[error("libtorch: {0}")]
    Torch(String),
}

impl From<tch::TchError> for Error {
    fn from(error: tch::TchError) -> Self {
        Self::Torch(error.to_string().lines().next().unwrap_or_default().to_owned())
    }
}

/// Ends in an [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
