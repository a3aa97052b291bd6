//! Maskers and text augmenters.

mod char_span;
mod span;

pub use char_span::CharacterSpan;
pub use span::WordSpan;

zoo_plugin::export_plugin!(zoo_masking);
