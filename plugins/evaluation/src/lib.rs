//! Metrics over evaluation batches.

mod accuracy;
mod auc;
mod correlation;
mod isotropy;
mod shares;

pub use accuracy::{Accuracy, Agreement};
pub use auc::{Auc, Ranked};
pub use correlation::{Pearson, Scores, Spearman};
pub use isotropy::{Embeddings, Isotropy, MeanCosine};
pub use shares::{BinaryEntropy, Mean, Rate, Sum};

zoo_plugin::export_plugin!(zoo_evaluation);
