//! Contrastive learning: objectives that pull the views of an example together and push other
//! examples away, poolers that make one vector of a sequence, and what is measured of the vectors.

// The documentation of components is the user's reference: `[B, T]` is a shape and `<mask>` a token.
#![allow(rustdoc::broken_intra_doc_links, rustdoc::invalid_html_tags)]

mod alignment;
mod cosine;
mod info_nce;
mod pooler;
mod regression;

pub use alignment::{Alignment, Uniformity};
pub use cosine::CosineSimilarity;
pub use info_nce::InfoNce;
pub use pooler::Pooler;
pub use regression::CosineRegression;

zoo_plugin::export_plugin!(zoo_contrastive);
