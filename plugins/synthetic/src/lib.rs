//! Made-up data, for experiments that run in minutes: every property of it is known, and so is what a
//! method should find.

mod language;
mod register_language;
mod register_pairs;

pub use language::{Language, Sentence};
pub use register_language::RegisterLanguage;
pub use register_pairs::RegisterPairs;

zoo_plugin::export_plugin!(zoo_synthetic);
