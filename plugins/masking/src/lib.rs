//! Maskers and text augmenters.
