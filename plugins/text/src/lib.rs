//! Text data, tokenizers and packing.
