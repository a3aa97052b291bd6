//! Metrics over evaluation batches.

// The documentation of components is the user's reference: `[B, T]` is a shape and `<mask>` a token.
#![allow(rustdoc::broken_intra_doc_links, rustdoc::invalid_html_tags)]

mod accuracy;
mod attention;
mod auc;
mod classes;
mod correlation;
mod entities;
mod isotropy;
mod probe;
mod ranking;
mod shares;

pub use accuracy::{Accuracy, Agreement};
pub use attention::{AttentionTo, Paid, paid};
pub use auc::{Auc, Ranked};
pub use classes::{Classification, Confusion};
pub use correlation::{Pearson, Scores, Spearman};
pub use entities::{Counts, EntityF1, count, entities};
pub use isotropy::{Embeddings, Isotropy, MeanCosine};
pub use probe::{Examples, RidgeProbe};
pub use ranking::{Candidates, Ranking};
pub use shares::{BinaryEntropy, Mean, Rate, Sum};

zoo_plugin::export_plugin!(zoo_evaluation);
