//! Speech: sound to frames, frames to codes, and recognition by connectionist temporal classification.

// The documentation of components is the user's reference: `[B, T]` is a shape and `<mask>` a token.
#![allow(rustdoc::broken_intra_doc_links, rustdoc::invalid_html_tags)]

mod audio;
mod chart;
mod codebook;
mod ctc;
mod error_rate;
mod frames;
mod log_mel;
mod phones;
mod quantizer;

pub use audio::{AudioFolder, Recordings, decode};
pub use chart::CodeChart;
pub use codebook::{CodebookDiversity, CodebookPerplexity, Usage, perplexities};
pub use ctc::{Ctc, GreedyCtc, collapse};
pub use error_rate::{Edits, ErrorRate, edit_distance};
pub use frames::{FrameEncoder, Frames};
pub use log_mel::{Bank, LogMel};
pub use phones::{Language, SyntheticPhones, Utterance};
pub use quantizer::{GumbelVectorQuantizer, Quantizer};

zoo_plugin::export_plugin!(zoo_speech);
