//! Tools that agents call: a text to a text.
//!
//! [`Lookup`] finds exact keys in a text that stands beside the query; [`Search`] ranks the rows of a corpus
//! by BM25.

// The documentation of components is the user's reference: `[B]` is a shape.
#![allow(rustdoc::broken_intra_doc_links)]

mod lookup;
mod search;

pub use lookup::Lookup;
pub use search::{Index, Search};

zoo_plugin::export_plugin!(zoo_tools);
