//! Transformer encoders (Vaswani et al., 2017; Devlin et al., 2019) with the parameter names of
//! Hugging Face checkpoints.

// The documentation of components is the user's reference: `[B, T]` is a shape and `<mask>` a token.
#![allow(rustdoc::broken_intra_doc_links, rustdoc::invalid_html_tags)]

mod attention;
mod documents;
mod electra;
mod encoder;
mod heads;
mod masked_lm;

pub use electra::{ElectraDiscriminator, ElectraGenerator};
pub use encoder::TextEncoder;
pub use heads::{Classifier, TokenClassifier};
pub use masked_lm::MaskedLanguageModel;

zoo_plugin::export_plugin!(zoo_transformer);
