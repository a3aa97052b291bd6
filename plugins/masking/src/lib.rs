//! Maskers of token ids and augmenters of texts, on loader threads, each row by its own randomness.

mod char_span;
pub mod random_tokens;
mod span;
mod uniform;
mod vocabulary;

pub use char_span::CharacterSpan;
pub use random_tokens::RandomTokens;
pub use span::WordSpan;
pub use uniform::UniformSample;
pub use vocabulary::Vocabulary;

zoo_plugin::export_plugin!(zoo_masking);
