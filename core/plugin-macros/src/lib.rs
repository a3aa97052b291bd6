//! The component attribute and its schema, at compile time.
