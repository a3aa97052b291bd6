//! Generated corpora with known structure.
