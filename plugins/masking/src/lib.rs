//! Maskers of token ids and of frames, and augmenters of texts, on loader threads, each row by its own randomness.

// The documentation of components is the user's reference: `[B, T]` is a shape and `<mask>` a token.
#![allow(rustdoc::broken_intra_doc_links, rustdoc::invalid_html_tags)]

mod char_span;
pub mod clustered_tokens;
pub mod clusters;
pub mod input_tokens;
pub mod random_tokens;
mod span;
mod time_spans;
mod uniform;
mod uniform_rate;
mod vocabulary;

pub use char_span::CharacterSpan;
pub use clustered_tokens::{ClusterConfusions, ClusteredTokens};
pub use input_tokens::InputTokens;
pub use random_tokens::RandomTokens;
pub use span::WordSpan;
pub use time_spans::{AtPositions, TimeSpans};
pub use uniform::UniformSample;
pub use uniform_rate::{UniformRate, UniformRateOutputs};
pub use vocabulary::Vocabulary;

zoo_plugin::export_plugin!(zoo_masking);
