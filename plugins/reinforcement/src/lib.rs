//! Reinforcement learning of language models: what a policy's update is computed from once texts are
//! written and scored.
//!
//! A step rolls out (`decoding.agent_rollout`), scores with rewards, whose weighted sum is arithmetic of the
//! recipe, takes advantages within groups and ends in [`PolicyClip`]: GRPO and DAPO are settings of it.

// The documentation of components is the user's reference: `[B, T]` is a shape and `<answer>` a marker.
#![allow(rustdoc::broken_intra_doc_links, rustdoc::invalid_html_tags)]

mod advantage;
mod answer;
mod clip;
mod format;
mod overlong;
mod recall;

pub use advantage::GroupAdvantage;
pub use answer::{Markers, words};
pub use clip::PolicyClip;
pub use format::AgentFormat;
pub use overlong::OverlongPenalty;
pub use recall::{ExactMatch, TokenRecall};

zoo_plugin::export_plugin!(zoo_reinforcement);
