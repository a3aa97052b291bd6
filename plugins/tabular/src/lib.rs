//! Tables of numbers, and models of their rows.

// The documentation of components is the user's reference: `[B, T]` is a shape and `<mask>` a token.
#![allow(rustdoc::broken_intra_doc_links, rustdoc::invalid_html_tags)]

mod labelled;
mod linear;

pub use labelled::{LabelledVectors, Table};
pub use linear::LinearClassifier;

zoo_plugin::export_plugin!(zoo_tabular);
