//! Writing with a model that scores next tokens.
//!
//! [`generate`] is the search itself, over whatever implements [`Writer`]: the likeliest token each time,
//! draws from the model's distribution, or beam search. What scores go through on the way is in
//! [`scores`]. The component [`Generate`] drives a model of a recipe with it, so that roll-outs are a
//! component like any other; the command `zoo generate` drives a checkpoint.
//!
//! The meaning of every option, and their order, is that of transformers' `generate`.

mod beam;
mod component;
mod options;
pub mod scores;
mod search;

pub use component::Generate;
pub use options::{Options, OptionsError, Sampling};
pub use search::{Ended, Generated, Rows, Watch, Writer, generate};

zoo_plugin::export_plugin!(zoo_decoding);
