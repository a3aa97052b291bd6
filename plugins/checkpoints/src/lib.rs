//! Architectures of hub checkpoints: each is made by its `config.json`, computes what transformers
//! computes, and names its parameters as the checkpoint does.
//!
//! [`blocks`] are shared by all; a family in [`families`] maps its configuration onto them. There is
//! a component for each head, not for each family.

pub mod blocks;
mod components;
mod config;
pub mod families;
mod model;
mod seq2seq;
mod specification;
mod speech;
mod speech_components;
mod vision;
mod vision_components;
mod vision_language;

pub use components::{CausalLm, Encoder, MaskedLm, ReplacedToken, SequenceClassifier, TokenClassifier};
pub use config::Config;
pub use model::{Answer, Request, Stack};
pub use seq2seq::Seq2Seq;
pub use specification::{Direction, Overrides, PairSpecification, Specification};
pub use speech::{SpeechAnswer, SpeechInputs, SpeechSpecification, SpeechStack};
pub use speech_components::{Ctc, SpeechEncoder};
pub use vision::{VisionAnswer, VisionSpecification, VisionStack};
pub use vision_components::{ImageClassifier, MaskedImage, VisionEncoder};
pub use vision_language::{VisionLanguage, VisionLanguageSpecification};

zoo_plugin::export_plugin!(zoo_checkpoints);
