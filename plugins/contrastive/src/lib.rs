//! Contrastive objectives and poolers.
