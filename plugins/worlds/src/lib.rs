//! Generated worlds: mazes and graphs, and paths through them.

// The documentation of components is the user's reference: `[B, T]` is a shape and `<mask>` a token.
#![allow(rustdoc::broken_intra_doc_links, rustdoc::invalid_html_tags)]

mod data;
pub mod encoding;
pub mod maze;
mod paths;
mod picture;

pub use data::{DepthFirstMazes, ObstacleGrids, StarGraphs};
pub use paths::{Judgement, PathCheck};

zoo_plugin::export_plugin!(zoo_worlds);
