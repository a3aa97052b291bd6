//! Writing with a model that scores next tokens.
//!
//! [`generate`] is the search itself, over whatever implements [`Writer`]: the likeliest token each time,
//! draws from the model's distribution, or beam search. What scores go through on the way is in
//! [`scores`]. The component [`Generate`] drives a model of a recipe with it, so that roll-outs are a
//! component like any other; the command `zoo generate` drives a checkpoint.
//!
//! An agent is a text that calls a tool while it is written: [`guided`] takes what the tool says into the
//! text, and [`tools`] has the loop that every agent uses, [`AgentRollout`] among them.
//!
//! The meaning of every option, and their order, is that of transformers' `generate`.

// The documentation of components is the user's reference: `<search>` is a marker.
#![allow(rustdoc::invalid_html_tags)]

mod agent;
mod beam;
mod component;
mod demonstrations;
mod options;
pub mod scores;
mod search;
mod spelling;
pub mod tools;

pub use agent::AgentRollout;
pub use component::Generate;
pub use demonstrations::Demonstrations;
pub use options::{Options, OptionsError, Sampling};
pub use search::{Ended, Generated, Guide, Next, Rows, Watch, Writer, generate, guided};

zoo_plugin::export_plugin!(zoo_decoding);
