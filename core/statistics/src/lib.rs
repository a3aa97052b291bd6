//! Claims judged with paired intervals.

mod judgement;

pub use judgement::{Interval, Judgement, MoreSeeds, Outcome, Region};
