//! Small components that together use everything the SDK has.

mod calling;
mod models;
mod reading;

pub use calling::{Circle, Counter, Fade, Noise, Nothing, Relay};
pub use models::{LowRank, Projection};
pub use reading::{Numbers, Table};

zoo_plugin::export_plugin!(zoo_probe);
