//! The recipe language's grammar and lossless tree.
