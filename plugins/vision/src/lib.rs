//! Images as patches: masks, objectives and pictures of masked image modelling.

// The documentation of components is the user's reference: `[B, T]` is a shape and `<mask>` a token.
#![allow(rustdoc::broken_intra_doc_links, rustdoc::invalid_html_tags)]

mod error;
mod hide;
mod jpeg;
mod patches;
mod picture;
mod token;

pub use error::{Reconstruction, ReconstructionError};
pub use hide::PatchMask;
pub use jpeg::{ParquetImages, Photographs, decode};
pub use patches::Patches;
pub use token::{Heterogeneity, MaskedTokenOptimization, heterogeneity};

zoo_plugin::export_plugin!(zoo_vision);
