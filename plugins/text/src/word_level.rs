//! A tokenizer whose tokens are words.

use crate::tokenizer::{Tokenizer, count_words, tokenizer_component};
use crate::trained::{failed, framed, open, write};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use tokenizers::models::wordlevel::WordLevel;
use tokenizers::pre_tokenizers::whitespace::WhitespaceSplit;
use tokenizers::tokenizer::Tokenizer as Inner;
use zoo_plugin::prelude::*;

tokenizer_component! {
    /// Whole words, those of a corpus: what stands between white space.
    ///
    /// The vocabulary is the words of the corpus, the most frequent ones first; words that it does not hold
    /// become [UNK]. For small, closed vocabularies: made-up languages, symbols, notes. It is made once
    /// for a corpus and kept. Ids 0 to 4 are [PAD], [UNK], [CLS], [SEP] and [MASK].
    ///
    /// # Example
    /// ```mlm
    /// data corpus = text.lines(file: asset("corpus.txt"))
    /// tokenizer words = text.words(corpus: corpus, vocabulary: 500)
    /// ```
    #[component(
        tokenizer,
        name = "text.words",
        inputs(text: "text[B]" = "texts", pair: "text[B]"? = "second texts of pairs"),
        outputs(
            ids: "int[B, T]" = "token ids, padded to the longest",
            attention_mask: "int[B, T]" = "1 for tokens, 0 for padding",
            segment_ids: "int[B, T]" = "1 for tokens of the second text, else 0",
        ),
        loader,
        bounds(T = "maximum_length"),
    )]
    pub struct WordTokenizer as (WordTokenizerInputs, WordTokenizerOutputs) {
        /// Where the words come from.
        #[param(component = "data")]
        pub corpus: Handle,
        /// Ids in all, special ones included; fewer where the corpus has not so many words.
        #[param(default = 10_000, range = ">= 6")]
        pub vocabulary: usize,
        /// The corpus's column of text.
        #[param(default = "text")]
        pub column: String,
        /// At most this many rows of the corpus are looked at, from its beginning; all, when not given.
        pub rows: Option<usize>,
    }
}

const SPECIAL: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/// The `tokenizer.json` of words with their counts, of at most `size` ids.
fn made(counts: BTreeMap<String, u64>, size: usize) -> Result<String> {
    let mut words: Vec<(Reverse<u64>, String)> = counts
        .into_iter()
        .filter(|(word, _)| !SPECIAL.contains(&word.as_str()))
        .map(|(word, count)| (Reverse(count), word))
        .collect();
    words.sort_unstable();
    let words = words.into_iter().map(|(_, word)| word);
    let tokens = SPECIAL.into_iter().map(str::to_owned).chain(words).take(size);
    let model = WordLevel::builder()
        .vocab(tokens.enumerate().map(|(id, token)| (token, id as u32)).collect())
        .unk_token("[UNK]".to_owned())
        .build()
        .map_err(failed)?;
    let mut inner = Inner::new(model);
    inner.with_pre_tokenizer(Some(WhitespaceSplit));
    framed(inner, &SPECIAL.map(str::to_owned), ("[CLS]", "[SEP]"))
}

impl WordTokenizer {
    fn make(&self, cx: &Build<'_>) -> Result<Tokenizer> {
        let path = cx.stage("tokenizer.json", |to| {
            let counts = count_words(cx, self.corpus, &self.column, self.rows, |text| {
                Ok(text.split_whitespace().map(str::to_owned).collect())
            })?;
            write(&made(counts, self.vocabulary)?, to)
        })?;
        open(&path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_numbered_by_frequency_and_masks_are_found_in_texts() {
        let counts = [("rare", 1), ("often", 9), ("also", 4), ("alas", 4), ("[MASK]", 50)];
        let counts = counts.into_iter().map(|(word, count)| (word.to_owned(), count)).collect();
        let tokenizer = Tokenizer::new(made(counts, 8).unwrap().as_bytes(), "words").unwrap();
        assert_eq!(tokenizer.size(), 8);
        let (ids, segments) = tokenizer.encode("often [MASK]  also rare alas", None, None).unwrap();
        // [CLS] often [MASK] also [UNK] alas [SEP]: the vocabulary was full before `rare`.
        assert_eq!(ids, [2, 5, 4, 7, 1, 6, 3]);
        assert_eq!(segments, [0; 7]);
        let (ids, segments) = tokenizer.encode("often", Some("also"), Some(16)).unwrap();
        assert_eq!((ids, segments), (vec![2, 5, 3, 7, 3], vec![0, 0, 0, 1, 1]));
        assert_eq!(tokenizer.ids("also often").unwrap(), [7, 5]);
    }
}
