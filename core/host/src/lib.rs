//! Loads plugins, builds components, and guards every call.
