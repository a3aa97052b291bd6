//! Finds plugin files and reads their schemas from the file, without loading them.
