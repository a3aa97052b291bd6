//! Language modelling on masked and replaced text: objectives, sampling, replacing.
//!
//! The arithmetic of each component stands in a method or function apart from the ports, for tests and
//! for other plugins.

// The documentation of components is the user's reference: `[B, T]` is a shape and `<mask>` a token.
#![allow(rustdoc::broken_intra_doc_links, rustdoc::invalid_html_tags)]

mod cross_entropy;
mod distillation;
mod iterative_fill;
mod likelihood;
mod next;
mod replaced;
pub mod sample;

pub use cross_entropy::{AllTokensCrossEntropy, ClassCrossEntropy, MaskedCrossEntropy, TokenCrossEntropy};
pub use distillation::{MeanScores, SoftCrossEntropy, mean_scores};
pub use iterative_fill::IterativeFill;
pub use likelihood::TokenLogProbabilities;
pub use next::{NextTokens, next_tokens};
pub use replaced::{Replace, ReplacedTokenDetection};
pub use sample::Sample;

zoo_plugin::export_plugin!(zoo_language_modelling);
