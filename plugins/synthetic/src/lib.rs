//! Made-up data, for experiments that run in minutes: every property of it is known, and so is what a
//! method should find.

// The documentation of components is the user's reference: `[B, T]` is a shape and `<mask>` a token.
#![allow(rustdoc::broken_intra_doc_links, rustdoc::invalid_html_tags)]

mod debate;
mod facts;
mod language;
mod marked_names;
mod recall;
mod register_language;
mod register_pairs;
mod topics;

pub use debate::{Debate, remark};
pub use facts::{Facts, MaskedFacts, Names, Question, TwoHopQuestions};
pub use language::{Language, Sentence};
pub use marked_names::MarkedNames;
pub use recall::Recall;
pub use register_language::RegisterLanguage;
pub use register_pairs::RegisterPairs;
pub use topics::{Answer, AnswerCandidates, TopicDocuments, TopicLanguage, TopicText, Words};

zoo_plugin::export_plugin!(zoo_synthetic);
