//! Differentially private training: examples' gradients are clipped, noise hides what is left of any one of
//! them, and accountants say what that costs.

// The documentation of components is the user's reference: `[B, T]` is a shape and `<mask>` a token.
#![allow(rustdoc::broken_intra_doc_links, rustdoc::invalid_html_tags)]

pub mod accounting;
mod accounts;
mod chart;
mod mechanism;

pub use accounts::Accounts;
pub use mechanism::GaussianMechanism;

zoo_plugin::export_plugin!(zoo_privacy);
