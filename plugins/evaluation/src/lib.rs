//! Metrics over evaluation batches.

mod correlation;
mod isotropy;

pub use correlation::{Pearson, Scores, Spearman};
pub use isotropy::{Embeddings, Isotropy, MeanCosine};

zoo_plugin::export_plugin!(zoo_evaluation);
