//! Transformer encoders (Vaswani et al., 2017; Devlin et al., 2019) with the parameter names of
//! Hugging Face checkpoints.

// The documentation of components is the user's reference: `[B, T]` is a shape and `<mask>` a token.
#![allow(rustdoc::broken_intra_doc_links, rustdoc::invalid_html_tags)]

mod attention;
mod causal_decoder;
mod electra;
mod encoder;
mod heads;
mod joint;
mod layout;
mod masked_lm;
mod patch_encoder;
mod pre_norm;
mod query_decoder;

pub use causal_decoder::CausalDecoder;
pub use electra::{ElectraDiscriminator, ElectraGenerator};
pub use encoder::TextEncoder;
pub use heads::{Classifier, ClozeHead, ClozeParts, TokenClassifier};
pub use joint::JointClassifier;
pub use masked_lm::MaskedLanguageModel;
pub use patch_encoder::PatchEncoder;
pub use query_decoder::QueryDecoder;

zoo_plugin::export_plugin!(zoo_transformer);
