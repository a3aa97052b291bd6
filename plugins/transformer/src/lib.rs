//! Transformer encoders (Vaswani et al., 2017; Devlin et al., 2019) with the parameter names of
//! Hugging Face checkpoints.

mod attention;
mod electra;
mod encoder;
mod heads;
mod masked_lm;

pub use electra::{ElectraDiscriminator, ElectraGenerator};
pub use encoder::TextEncoder;
pub use heads::Classifier;
pub use masked_lm::MaskedLanguageModel;

zoo_plugin::export_plugin!(zoo_transformer);
