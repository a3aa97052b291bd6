//! Language modelling on masked and replaced text: objectives, sampling, replacing.
//!
//! The arithmetic of each component stands in a method or function apart from the ports, for tests and
//! for other plugins.

mod cross_entropy;
mod replaced;
pub mod sample;

pub use cross_entropy::{AllTokensCrossEntropy, ClassCrossEntropy, MaskedCrossEntropy};
pub use replaced::{Replace, ReplacedTokenDetection};
pub use sample::Sample;

zoo_plugin::export_plugin!(zoo_language_modelling);
