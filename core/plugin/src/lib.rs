//! The SDK for plugin authors: traits, macros, boundary.
