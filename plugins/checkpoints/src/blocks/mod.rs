//! What all families are made of. A block is made from a specification, which is plain data that a
//! family fills in from its `config.json`; names of parameters are part of the specification.

pub mod activation;
pub mod attention;
pub mod buckets;
pub mod conformer;
pub mod convolution;
pub mod disentangled;
pub mod embeddings;
pub mod feed_forward;
pub mod heads;
pub mod layer;
pub mod mask;
pub mod norm;
pub mod pass;
pub mod patches;
pub mod projection;
pub mod relative;
pub mod rotary;
pub mod shortening;
pub mod waveform;
