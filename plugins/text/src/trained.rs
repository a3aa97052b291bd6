//! Tokenizers that are trained on a corpus of the recipe.

use crate::index::unwritable;
use crate::tokenizer::{Tokenizer, count_words, tokenizer_component};
use crate::training::{Training, train};
use std::path::Path;
use tokenizers::models::bpe::BPE;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::tokenizer::{
    AddedToken, NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString,
    PreTokenizer, Tokenizer as Inner,
};
use zoo_plugin::prelude::*;

fn failed(reason: impl std::fmt::Display) -> Error {
    Error::new(format!("training the tokenizer failed: {reason}"))
}

/// The words of a text, as a tokenizer sees them before it looks into its vocabulary.
fn words(text: &str, normalizer: Option<&BertNormalizer>, pre: &impl PreTokenizer) -> Result<Vec<String>> {
    let mut normalized = NormalizedString::from(text);
    if let Some(normalizer) = normalizer {
        normalizer.normalize(&mut normalized).map_err(failed)?;
    }
    let mut split = PreTokenizedString::from(normalized);
    pre.pre_tokenize(&mut split).map_err(failed)?;
    let pieces = split.get_splits(OffsetReferential::Original, OffsetType::Byte);
    Ok(pieces.into_iter().map(|(piece, _, _)| piece.to_owned()).collect())
}

/// Frames rows with a first and a last token, and saves the tokenizer.
fn save(mut inner: Inner, special: &[String], frame: (&str, &str), to: &Path) -> Result<()> {
    let tokens: Vec<AddedToken> = special.iter().map(|token| AddedToken::from(token.clone(), true)).collect();
    inner.add_special_tokens(&tokens);
    let (begin, end) = frame;
    let id = |token: &str| inner.token_to_id(token).ok_or_else(|| failed(format!("{token} has no id")));
    let processor = TemplateProcessing::builder()
        .try_single(format!("{begin} $A {end}"))
        .map_err(failed)?
        .try_pair(format!("{begin} $A {end} $B:1 {end}:1"))
        .map_err(failed)?
        .special_tokens(vec![(begin, id(begin)?), (end, id(end)?)])
        .build()
        .map_err(failed)?;
    inner.with_post_processor(Some(processor));
    let json = inner.to_string(true).map_err(failed)?;
    std::fs::write(to, json).map_err(|e| unwritable(to, &e))
}

/// Opens the tokenizer that a stage has made.
fn open(path: &Path) -> Result<Tokenizer> {
    let json = std::fs::read(path).map_err(|e| crate::file::unreadable(path, e))?;
    Tokenizer::new(&json, &path.display().to_string())
}

tokenizer_component! {
    /// WordPiece, trained on a corpus: the pieces of BERT and ELECTRA.
    ///
    /// Texts are cleaned, lower-cased and stripped of accents if asked, and split at white space and
    /// punctuation; words are then cut into the longest pieces of the vocabulary, those that do not begin a
    /// word marked with `##`. The vocabulary is trained by merging the most frequent pairs. It is trained
    /// once for a corpus and kept; equal corpora give equal vocabularies. Ids 0 to 4 are [PAD], [UNK],
    /// [CLS], [SEP] and [MASK]. A model's `vocabulary` must be at least this one.
    ///
    /// # Paper
    /// Schuster, Nakajima: Japanese and Korean voice search, ICASSP 2012; Devlin et al., NAACL 2019.
    ///
    /// # Example
    /// ```mlm
    /// data corpus = text.lines(file: asset("corpus.txt"))
    /// tokenizer wordpiece = text.wordpiece(corpus: corpus, vocabulary: 4000)
    /// ```
    #[component(
        tokenizer,
        name = "text.wordpiece",
        inputs(text: "text[B]" = "texts", pair: "text[B]"? = "second texts of pairs"),
        outputs(
            ids: "int[B, T]" = "token ids, padded to the longest",
            attention_mask: "int[B, T]" = "1 for tokens, 0 for padding",
            segment_ids: "int[B, T]" = "1 for tokens of the second text, else 0",
        ),
        loader,
    )]
    pub struct WordPieceTokenizer as (WordPieceTokenizerInputs, WordPieceTokenizerOutputs) {
        /// What it is trained on.
        #[param(component = "data")]
        pub corpus: Handle,
        /// Ids in all; fewer where the corpus has not so many pieces.
        #[param(default = 30522, range = ">= 6")]
        pub vocabulary: usize,
        /// The corpus's column of text.
        #[param(default = "text")]
        pub column: String,
        /// Whether case and accents are taken away.
        #[param(default = true)]
        pub lowercase: bool,
        /// Rarer pairs of pieces are not merged.
        #[param(default = 2, range = ">= 1")]
        pub minimum_frequency: u64,
        /// At most this many different characters; others become [UNK].
        #[param(default = 1000, range = ">= 1")]
        pub characters: usize,
        /// At most this many rows of the corpus are looked at, from its beginning; all, when not given.
        pub rows: Option<usize>,
    }
}

impl WordPieceTokenizer {
    fn make(&self, cx: &Build<'_>) -> Result<Tokenizer> {
        let path = cx.stage("tokenizer.json", |to| {
            let normalizer = BertNormalizer::new(true, true, None, self.lowercase);
            let counts = count_words(cx, self.corpus, &self.column, self.rows, |text| {
                words(text, Some(&normalizer), &BertPreTokenizer)
            })?;
            let special: Vec<String> =
                ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(str::to_owned).to_vec();
            let vocabulary = train(
                &counts,
                &Training {
                    vocabulary: self.vocabulary,
                    special: &special,
                    prefix: "##",
                    alphabet: &[],
                    characters: self.characters,
                    minimum_frequency: self.minimum_frequency,
                },
            );
            let model: WordPiece = serde_json::from_value(serde_json::json!({
                "type": "WordPiece",
                "unk_token": "[UNK]",
                "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100,
                "vocab": vocabulary.ids(),
            }))?;
            let mut inner = Inner::new(model);
            inner.with_normalizer(Some(normalizer));
            inner.with_pre_tokenizer(Some(BertPreTokenizer));
            inner.with_decoder(Some(tokenizers::decoders::wordpiece::WordPiece::default()));
            save(inner, &special, ("[CLS]", "[SEP]"), to)
        })?;
        open(&path)
    }
}

tokenizer_component! {
    /// Byte-pair encoding over bytes, trained on a corpus: the pieces of GPT-2 and RoBERTa.
    ///
    /// Words keep the space before them; any text has ids, since all 256 bytes are pieces. It is trained
    /// once for a corpus and kept; equal corpora give equal vocabularies. Ids 0 to 4 are <s>, <pad>, </s>,
    /// <unk> and <mask>, as in RoBERTa.
    ///
    /// # Paper
    /// Sennrich, Haddow, Birch: Neural Machine Translation of Rare Words with Subword Units, ACL 2016;
    /// Radford et al.: Language Models are Unsupervised Multitask Learners, 2019.
    ///
    /// # Example
    /// ```mlm
    /// data corpus = text.lines(file: asset("corpus.txt"))
    /// tokenizer pieces = text.byte_pairs(corpus: corpus, vocabulary: 8000)
    /// ```
    #[component(
        tokenizer,
        name = "text.byte_pairs",
        inputs(text: "text[B]" = "texts", pair: "text[B]"? = "second texts of pairs"),
        outputs(
            ids: "int[B, T]" = "token ids, padded to the longest",
            attention_mask: "int[B, T]" = "1 for tokens, 0 for padding",
            segment_ids: "int[B, T]" = "1 for tokens of the second text, else 0",
        ),
        loader,
    )]
    pub struct BytePairTokenizer as (BytePairTokenizerInputs, BytePairTokenizerOutputs) {
        /// What it is trained on.
        #[param(component = "data")]
        pub corpus: Handle,
        /// Ids in all; fewer where the corpus has not so many pieces.
        #[param(default = 50265, range = ">= 262")]
        pub vocabulary: usize,
        /// The corpus's column of text.
        #[param(default = "text")]
        pub column: String,
        /// Rarer pairs of pieces are not merged.
        #[param(default = 2, range = ">= 1")]
        pub minimum_frequency: u64,
        /// At most this many rows of the corpus are looked at, from its beginning; all, when not given.
        pub rows: Option<usize>,
    }
}

impl BytePairTokenizer {
    fn make(&self, cx: &Build<'_>) -> Result<Tokenizer> {
        let path = cx.stage("tokenizer.json", |to| {
            let pre = ByteLevel::new(false, true, true);
            let counts =
                count_words(cx, self.corpus, &self.column, self.rows, |text| words(text, None, &pre))?;
            let special: Vec<String> =
                ["<s>", "<pad>", "</s>", "<unk>", "<mask>"].map(str::to_owned).to_vec();
            let mut alphabet: Vec<char> = ByteLevel::alphabet().into_iter().collect();
            alphabet.sort_unstable();
            let vocabulary = train(
                &counts,
                &Training {
                    vocabulary: self.vocabulary,
                    special: &special,
                    prefix: "",
                    alphabet: &alphabet,
                    characters: 0,
                    minimum_frequency: self.minimum_frequency,
                },
            );
            let model: BPE = serde_json::from_value(serde_json::json!({
                "type": "BPE",
                "dropout": null,
                "unk_token": null,
                "continuing_subword_prefix": null,
                "end_of_word_suffix": null,
                "fuse_unk": false,
                "byte_fallback": false,
                "ignore_merges": false,
                "vocab": vocabulary.ids(),
                "merges": vocabulary.merges,
            }))?;
            let mut inner = Inner::new(model);
            inner.with_pre_tokenizer(Some(pre));
            inner.with_decoder(Some(ByteLevel::default()));
            save(inner, &special, ("<s>", "</s>"), to)
        })?;
        open(&path)
    }
}

tokenizer_component! {
    /// A tokenizer from the `tokenizer.json` of a model.
    ///
    /// Padding and cutting that the file asks for are left out; rows are as long as the recipe says.
    ///
    /// # Example
    /// ```mlm
    /// tokenizer pieces = text.pretrained_tokenizer(file: asset("hf:google-bert/bert-base-uncased@main/tokenizer.json"), maximum_length: 64 tok)
    /// ```
    #[component(
        tokenizer,
        name = "text.pretrained_tokenizer",
        inputs(text: "text[B]" = "texts", pair: "text[B]"? = "second texts of pairs"),
        outputs(
            ids: "int[B, T]" = "token ids, padded to the longest",
            attention_mask: "int[B, T]" = "1 for tokens, 0 for padding",
            segment_ids: "int[B, T]" = "1 for tokens of the second text, else 0",
        ),
        loader,
    )]
    pub struct PretrainedTokenizer as (PretrainedTokenizerInputs, PretrainedTokenizerOutputs) {
        /// The `tokenizer.json`.
        #[param(kind = "asset")]
        pub file: String,
    }
}

impl PretrainedTokenizer {
    fn make(&self, cx: &mut Build<'_>) -> Result<Tokenizer> {
        let path = cx.asset(&self.file)?;
        open(&path).map_err(|e| e.at("file"))
    }
}
