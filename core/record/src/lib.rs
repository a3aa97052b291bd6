//! What a run writes: events, metrics, TensorBoard files, the report.
