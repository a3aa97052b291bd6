//! Tokenizers that are trained on a corpus of the recipe.

use crate::index::unwritable;
use crate::tokenizer::{Tokenizer, count_words, tokenizer_component};
use crate::training::{Training, train};
use crate::unigram::{UnigramTraining, train_unigram};
use std::collections::BTreeMap;
use std::path::Path;
use tokenizers::models::bpe::BPE;
use tokenizers::models::unigram::Unigram;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::normalizers::Strip;
use tokenizers::normalizers::replace::{Replace, ReplacePattern};
use tokenizers::normalizers::unicode::NFKC;
use tokenizers::normalizers::utils::Sequence;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::tokenizer::{
    AddedToken, NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString,
    PreTokenizer, Tokenizer as Inner,
};
use zoo_plugin::prelude::*;

pub(crate) fn failed(reason: impl std::fmt::Display) -> Error {
    Error::new(format!("training the tokenizer failed: {reason}"))
}

/// The words of a text, as a tokenizer sees them before it looks into its vocabulary.
fn words<N: Normalizer>(text: &str, normalizer: Option<&N>, pre: &impl PreTokenizer) -> Result<Vec<String>> {
    let mut normalized = NormalizedString::from(text);
    if let Some(normalizer) = normalizer {
        normalizer.normalize(&mut normalized).map_err(failed)?;
    }
    let mut split = PreTokenizedString::from(normalized);
    pre.pre_tokenize(&mut split).map_err(failed)?;
    let pieces = split.get_splits(OffsetReferential::Original, OffsetType::Byte);
    Ok(pieces.into_iter().map(|(piece, _, _)| piece.to_owned()).collect())
}

/// The `tokenizer.json`, with special tokens, one of which begins every text and one of which ends it.
pub(crate) fn framed(mut inner: Inner, special: &[String], frame: (&str, &str)) -> Result<String> {
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
    inner.to_string(true).map_err(failed)
}

pub(crate) fn write(json: &str, to: &Path) -> Result<()> {
    std::fs::write(to, json).map_err(|e| unwritable(to, &e))
}

/// Opens the tokenizer that a stage has made.
pub(crate) fn open(path: &Path) -> Result<Tokenizer> {
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
        bounds(T = "maximum_length"),
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
    fn normalizer(&self) -> BertNormalizer {
        BertNormalizer::new(true, true, None, self.lowercase)
    }

    fn make(&self, cx: &Build<'_>) -> Result<Tokenizer> {
        let path = cx.stage("tokenizer.json", |to| {
            let normalizer = self.normalizer();
            let counts = count_words(cx, self.corpus, &self.column, self.rows, |text| {
                words(text, Some(&normalizer), &BertPreTokenizer)
            })?;
            write(&self.trained(&counts)?, to)
        })?;
        open(&path)
    }

    fn trained(&self, counts: &BTreeMap<String, u64>) -> Result<String> {
        let special: Vec<String> = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(str::to_owned).to_vec();
        let vocabulary = train(
            counts,
            &Training {
                vocabulary: self.vocabulary,
                special: &special,
                prefix: "##",
                alphabet: &[],
                characters: self.characters,
                minimum_frequency: self.minimum_frequency,
            },
        );
        let model = serde_json::json!({
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": vocabulary.ids(),
        });
        let model: WordPiece = serde_json::from_str(&model.to_string())?;
        let mut inner = Inner::new(model);
        inner.with_normalizer(Some(self.normalizer()));
        inner.with_pre_tokenizer(Some(BertPreTokenizer));
        inner.with_decoder(Some(tokenizers::decoders::wordpiece::WordPiece::default()));
        framed(inner, &special, ("[CLS]", "[SEP]"))
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
        bounds(T = "maximum_length"),
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
    fn pre_tokenizer() -> ByteLevel {
        ByteLevel::new(false, true, true)
    }

    fn make(&self, cx: &Build<'_>) -> Result<Tokenizer> {
        let path = cx.stage("tokenizer.json", |to| {
            let pre = Self::pre_tokenizer();
            let counts = count_words(cx, self.corpus, &self.column, self.rows, |text| {
                words(text, None::<&NFKC>, &pre)
            })?;
            write(&self.trained(&counts)?, to)
        })?;
        open(&path)
    }

    fn trained(&self, counts: &BTreeMap<String, u64>) -> Result<String> {
        let special: Vec<String> = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"].map(str::to_owned).to_vec();
        let mut alphabet: Vec<char> = ByteLevel::alphabet().into_iter().collect();
        alphabet.sort_unstable();
        let vocabulary = train(
            counts,
            &Training {
                vocabulary: self.vocabulary,
                special: &special,
                prefix: "",
                alphabet: &alphabet,
                characters: 0,
                minimum_frequency: self.minimum_frequency,
            },
        );
        let model = serde_json::json!({
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
        });
        let model: BPE = serde_json::from_str(&model.to_string())?;
        let mut inner = Inner::new(model);
        inner.with_pre_tokenizer(Some(Self::pre_tokenizer()));
        inner.with_decoder(Some(ByteLevel::default()));
        framed(inner, &special, ("<s>", "</s>"))
    }
}

tokenizer_component! {
    /// Unigram pieces, trained on a corpus: the pieces of T5, ALBERT and XLM-RoBERTa.
    ///
    /// Characters are made the same where they look the same (NFKC), and words keep the space before them, as
    /// `▁`. A text is cut in the likeliest way under independent pieces; their probabilities are fitted to
    /// the corpus, and pieces that are missed least are taken away until `vocabulary` are left. It is
    /// trained once for a corpus and kept; equal corpora give equal vocabularies. Ids 0 to 4 are <s>, <pad>,
    /// </s>, <unk> and <mask>; characters that are no piece become <unk>.
    ///
    /// # Paper
    /// Kudo: Subword Regularization: Improving Neural Network Translation Models with Multiple Subword
    /// Candidates, ACL 2018.
    ///
    /// # Example
    /// ```mlm
    /// data corpus = text.lines(file: asset("corpus.txt"))
    /// tokenizer pieces = text.unigram(corpus: corpus, vocabulary: 8000)
    /// ```
    #[component(
        tokenizer,
        name = "text.unigram",
        inputs(text: "text[B]" = "texts", pair: "text[B]"? = "second texts of pairs"),
        outputs(
            ids: "int[B, T]" = "token ids, padded to the longest",
            attention_mask: "int[B, T]" = "1 for tokens, 0 for padding",
            segment_ids: "int[B, T]" = "1 for tokens of the second text, else 0",
        ),
        loader,
        bounds(T = "maximum_length"),
    )]
    pub struct UnigramTokenizer as (UnigramTokenizerInputs, UnigramTokenizerOutputs) {
        /// What it is trained on.
        #[param(component = "data")]
        pub corpus: Handle,
        /// Ids in all; fewer where the corpus has not so many pieces.
        #[param(default = 32000, range = ">= 6")]
        pub vocabulary: usize,
        /// The corpus's column of text.
        #[param(default = "text")]
        pub column: String,
        /// At most this many different characters, the most frequent ones; others become <unk>.
        #[param(default = 1000, range = ">= 1")]
        pub characters: usize,
        /// Longest piece, in characters.
        #[param(default = 16, range = "[1, 64]")]
        pub longest_piece: usize,
        /// At most this many rows of the corpus are looked at, from its beginning; all, when not given.
        pub rows: Option<usize>,
    }
}

impl UnigramTokenizer {
    /// Every stretch of white space is one space.
    fn normalizer() -> Result<Sequence> {
        let spaces = Replace::new(ReplacePattern::Regex(r"\s+".to_owned()), " ").map_err(failed)?;
        Ok(Sequence::new(vec![NFKC.into(), spaces.into(), Strip::new(true, true).into()]))
    }

    fn pre_tokenizer() -> Metaspace {
        Metaspace::new('▁', PrependScheme::Always, true)
    }

    fn make(&self, cx: &Build<'_>) -> Result<Tokenizer> {
        let path = cx.stage("tokenizer.json", |to| {
            let (normalizer, pre) = (Self::normalizer()?, Self::pre_tokenizer());
            let counts = count_words(cx, self.corpus, &self.column, self.rows, |text| {
                words(text, Some(&normalizer), &pre)
            })?;
            write(&self.trained(&counts)?, to)
        })?;
        open(&path)
    }

    fn trained(&self, counts: &BTreeMap<String, u64>) -> Result<String> {
        let special: Vec<String> = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"].map(str::to_owned).to_vec();
        let how = UnigramTraining {
            pieces: self.vocabulary.saturating_sub(special.len()),
            characters: self.characters,
            longest: self.longest_piece,
            seeds: 32,
        };
        let mut vocabulary: Vec<(String, f64)> = special.iter().map(|token| (token.clone(), 0.0)).collect();
        vocabulary.extend(train_unigram(counts, &how)?);
        let model = Unigram::from(vocabulary, Some(3), false).map_err(failed)?;
        let mut inner = Inner::new(model);
        inner.with_normalizer(Some(Self::normalizer()?));
        inner.with_pre_tokenizer(Some(Self::pre_tokenizer()));
        inner.with_decoder(Some(Self::pre_tokenizer()));
        framed(inner, &special, ("<s>", "</s>"))
    }
}

tokenizer_component! {
    /// A tokenizer from the `tokenizer.json` of a model.
    ///
    /// Padding and cutting that the file asks for are left out; rows are as long as the recipe says.
    ///
    /// # Example
    /// ```mlm
    /// tokenizer pieces = text.pretrained_tokenizer(file: asset("hf:google-bert/bert-base-uncased/tokenizer.json"), maximum_length: 64 tok)
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
        bounds(T = "maximum_length"),
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

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "The Congress of the United States, the people's house; the united people of Été.";

    fn wordpiece(lowercase: bool) -> WordPieceTokenizer {
        WordPieceTokenizer {
            corpus: Handle(1),
            special_tokens: true,
            vocabulary: 60,
            column: "text".to_owned(),
            lowercase,
            minimum_frequency: 1,
            characters: 100,
            rows: None,
            maximum_length: 8,
        }
    }

    fn counted(
        text: &str,
        normalizer: Option<&impl Normalizer>,
        pre: &impl PreTokenizer,
    ) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for word in words(text, normalizer, pre).unwrap() {
            *counts.entry(word).or_default() += 1;
        }
        counts
    }

    #[test]
    fn wordpiece_knows_the_words_it_has_seen() {
        let component = wordpiece(true);
        let counts = counted(TEXT, Some(&component.normalizer()), &BertPreTokenizer);
        assert_eq!((counts["the"], counts["people"], counts["ete"]), (4, 2, 1));
        let json = component.trained(&counts).unwrap();
        assert_eq!(json, component.trained(&counts).unwrap());
        let tokenizer = Tokenizer::new(json.as_bytes(), "test").unwrap();
        assert!(tokenizer.size() <= 60);
        let frame = tokenizer.frame().unwrap();
        assert_eq!((frame.pad, frame.begin, frame.end), (0, 2, 3));
        let (ids, segments) = tokenizer.encode("The people", Some("THE HOUSE"), None).unwrap();
        assert_eq!((ids[0], ids.iter().filter(|id| **id == 3).count()), (2, 2));
        assert_eq!(ids[1], tokenizer.ids("the").unwrap()[0]);
        assert_eq!(segments.last(), Some(&1));
        // Characters that it never saw are unknown, and do not fail.
        assert_eq!(tokenizer.ids("ж").unwrap(), [1]);
    }

    #[test]
    fn long_texts_are_cut_and_keep_their_end() {
        let component = wordpiece(true);
        let counts = counted(TEXT, Some(&component.normalizer()), &BertPreTokenizer);
        let tokenizer = Tokenizer::new(component.trained(&counts).unwrap().as_bytes(), "test").unwrap();
        let (ids, _) = tokenizer.encode(TEXT, None, Some(8)).unwrap();
        assert_eq!((ids.len(), ids[0], ids[7]), (8, 2, 3));
        let (ids, segments) = tokenizer.encode(TEXT, Some("the people"), Some(12)).unwrap();
        assert_eq!(ids.len(), 12);
        assert!(segments.contains(&1));
        let rows =
            [tokenizer.encode("the", None, None).unwrap(), tokenizer.encode(TEXT, None, None).unwrap()];
        let (ids, mask, _) = crate::tokenizer::padded(&rows, None, tokenizer.pad).unwrap();
        assert_eq!(ids.size()[0], 2);
        assert_eq!(i64::try_from(mask.select(0, 0).sum(None::<Kind>)).unwrap(), 3);
    }

    #[test]
    fn byte_pairs_give_ids_to_any_text() {
        let component = BytePairTokenizer {
            corpus: Handle(1),
            special_tokens: true,
            vocabulary: 300,
            column: "text".to_owned(),
            minimum_frequency: 1,
            rows: None,
            maximum_length: 8,
        };
        let counts = counted(TEXT, None::<&NFKC>, &BytePairTokenizer::pre_tokenizer());
        let json = component.trained(&counts).unwrap();
        assert_eq!(json, component.trained(&counts).unwrap());
        let tokenizer = Tokenizer::new(json.as_bytes(), "test").unwrap();
        assert_eq!(tokenizer.size(), 300);
        assert!(!tokenizer.ids("жзи ඉල").unwrap().contains(&3));
        assert!(tokenizer.ids(" the people").unwrap().len() < 8);
    }

    #[test]
    fn unigram_pieces_give_texts_back() {
        let component = UnigramTokenizer {
            corpus: Handle(1),
            special_tokens: true,
            vocabulary: 70,
            column: "text".to_owned(),
            characters: 100,
            longest_piece: 16,
            rows: None,
            maximum_length: 8,
        };
        let counts =
            counted(TEXT, Some(&UnigramTokenizer::normalizer().unwrap()), &UnigramTokenizer::pre_tokenizer());
        assert_eq!((counts["▁the"], counts["▁united"]), (3, 1));
        let json = component.trained(&counts).unwrap();
        assert_eq!(json, component.trained(&counts).unwrap());
        let tokenizer = Tokenizer::new(json.as_bytes(), "test").unwrap();
        assert!(tokenizer.size() <= 70);
        let frame = tokenizer.frame().unwrap();
        assert_eq!((frame.begin, frame.pad, frame.end), (0, 1, 2));
        // The full-width letters are the plain ones; what never occurred is unknown.
        assert_eq!(tokenizer.ids(" ｔｈｅ\n people").unwrap(), tokenizer.ids("the people").unwrap());
        assert!(tokenizer.ids("the ж").unwrap().contains(&3));
        let plain = Inner::from_bytes(json.as_bytes()).unwrap();
        let ids = tokenizer.ids("the united people of the house").unwrap();
        assert_eq!(plain.decode(&ids, true).unwrap(), "the united people of the house");
        assert!(ids.len() < 20, "{ids:?}");
    }

    #[test]
    fn what_is_no_tokenizer_is_an_error() {
        let error = Tokenizer::new(b"{}", "a.json").unwrap_err();
        assert!(error.message.starts_with("a.json: this is no tokenizer"), "{error}");
    }
}
