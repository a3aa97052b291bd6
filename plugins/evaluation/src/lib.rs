//! Metrics over evaluation batches.
