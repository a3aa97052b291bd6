//! Text: files and tables as data, tokenizers, and corpora as rows of tokens.
//!
//! * Sources: [`Files`], [`Lines`], [`JsonLines`], [`SeparatedValues`], [`Parquet`]. Nothing is held in
//!   memory: where rows lie is found once and kept, and they are read by index.
//!   [`Truecasing`] takes the capitals out of texts.
//! * Tokenizers: [`WordPieceTokenizer`], [`BytePairTokenizer`] and [`UnigramTokenizer`], trained on a source;
//!   [`WordTokenizer`], the words of a source; [`PretrainedTokenizer`]. [`Decode`] goes back to texts.
//! * Parts of documents: [`StructurePairs`], [`StructureGroups`], labelled by where they stand; [`CandidateGroups`] and
//!   [`Slots`] for models that read several candidates together.
//! * Rows of tokens: [`Packed`], [`TwoSegments`], [`Tokenized`], made once for a source and a tokenizer.

// The documentation of components is the user's reference: `[B, T]` is a shape and `<mask>` a token.
#![allow(rustdoc::broken_intra_doc_links, rustdoc::invalid_html_tags)]

mod cloze;
mod composed;
mod csv;
mod decode;
mod few;
mod file;
mod files;
mod index;
mod instructions;
mod lines;
mod packed;
mod parquet;
mod part;
mod rows;
mod slots;
pub mod structure;
mod table;
mod tagged;
mod tokenizer;
mod trained;
mod training;
mod truecasing;
mod unigram;
mod word_level;

pub use crate::csv::{SeparatedValues, TableRows};
pub use crate::parquet::{Parquet, ParquetRows};
pub use cloze::{MaskPlaces, Pattern, ReplaceWords, Verbalized, Verbalizer, class_scores};
pub use composed::Composed;
pub use decode::Decode;
pub use few::{ClassPairs, Draw, FewPerClass};
pub use files::{FileRows, Files};
pub use index::Rows;
pub use instructions::{InstructionRows, Instructions, Row};
pub use lines::{JsonLines, Lines};
pub use packed::{Packed, Tokenized, TwoSegments};
pub use rows::PackedRows;
pub use slots::Slots;
pub use structure::{
    CandidateGroups, Document, Relation, Sort, Structure, StructureGroups, StructurePairs, Usable,
};
pub use tagged::{Columns, Tagged, piece_labels};
pub use tokenizer::Tokenizer;
pub use trained::{BytePairTokenizer, PretrainedTokenizer, UnigramTokenizer, WordPieceTokenizer};
pub use truecasing::{Truecasing, lowered};
pub use word_level::WordTokenizer;

zoo_plugin::export_plugin!(zoo_text);
