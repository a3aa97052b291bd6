//! Components that make whole trainings of a few milliseconds: numbers, a linear model, objectives that
//! are normalised in every way there is, and things that go wrong at a chosen place.

mod data;
mod measures;
mod models;

pub use data::{Jitter, Rows};
pub use measures::{Contrast, RootMeanSquare, SquaredError, WeightedError};
pub use models::{Drift, Line, Twist};

zoo_plugin::export_plugin!(zoo_toy);
