//! Corpora as rows of tokens.

use crate::part::mix;
use crate::rows::{Batch, PackedRows, RowWriter, framed, is_wide};
use crate::tokenizer::{Frame, Tokenizer, texts};
use zoo_plugin::prelude::*;

/// A corpus as rows of tokens, `[CLS] … [SEP]`, cut from one stream.
///
/// The texts of the source are tokenized, joined with [SEP] between them, and cut into rows of equal
/// length; what is left at the end is dropped. With `across_texts: false` no row holds tokens of two
/// texts, and the last row of each is padded. Rows are made once for a source and a tokenizer, on all
/// processors, and read from disk by index.
///
/// With `isolate_texts` several texts share a row and do not see each other: each is framed by itself,
/// `[CLS] A [SEP] [CLS] B [SEP]`, and has a number in `document_ids`, by which an encoder keeps attention
/// within a text and begins its positions anew. The result is that of a row for each text, without the
/// padding. A text that does not fit goes on in the next row; nothing is dropped.
///
/// # Example
/// ```mlm
/// data corpus = text.lines(file: asset("corpus.txt"))
/// tokenizer wordpiece = text.wordpiece(corpus: corpus, vocabulary: 4000)
/// data examples = text.packed(source: corpus, tokenizer: wordpiece, length: 128 tok)
/// ```
///
/// # Example
/// A masked language model on short texts without padding: the batch's `document_ids` go to the encoder.
/// ```mlm
/// data corpus = text.lines(file: asset("corpus.txt"))
/// tokenizer wordpiece = text.wordpiece(corpus: corpus, vocabulary: 4000)
/// data examples = text.packed(source: corpus, tokenizer: wordpiece, length: 128 tok, isolate_texts: true)
/// masker mask = masking.random_tokens(tokenizer: wordpiece)
/// model bert = transformer.masked_lm(vocabulary: 4000, layers: 4, hidden: 256)
/// objective mlm = language_modelling.masked_cross_entropy()
/// step masked(batch) {
///   let x = mask(batch)
///   let b = bert(
///     ids: x.ids,
///     attention_mask: batch.attention_mask,
///     positions: x.positions,
///     document_ids: batch.document_ids,
///   )
///   loss = mlm(b.logits, x.labels)
/// }
/// ```
#[component(
    data,
    name = "text.packed",
    outputs(
        ids: "int[B, length]" = "token ids",
        attention_mask: "int[B, length]" = "1 for tokens, 0 for padding",
        document_ids: "int[B, length]" = "numbers of the row's texts from 1, with `isolate_texts`; else 1 for all tokens; 0 for padding",
    ),
    loader,
)]
pub struct Packed {
    /// The texts.
    #[param(component = "data")]
    pub source: Handle,
    /// What makes tokens of them.
    #[param(component = "tokenizer")]
    pub tokenizer: Handle,
    /// Tokens in a row, special ones included.
    #[param(default = 128, range = ">= 3", kind = "tokens")]
    pub length: usize,
    /// The source's column of text.
    #[param(default = "text")]
    pub column: String,
    /// Whether a row may hold tokens of several texts.
    #[param(default = true)]
    pub across_texts: bool,
    /// Whether texts that share a row are framed and numbered one by one.
    #[param(default = false)]
    pub isolate_texts: bool,
}

/// Lays texts into rows, each in a frame of its own.
struct Shelf {
    length: usize,
    frame: Frame,
    ids: Vec<u32>,
    /// The number of the text of each token.
    documents: Vec<u32>,
}

impl Shelf {
    fn new(length: usize, frame: Frame) -> Self {
        Self { length, frame, ids: Vec::new(), documents: Vec::new() }
    }

    /// Adds a text, and hands over rows as they are full: ids, then the number of each one's text, both
    /// padded to the rows' length.
    fn text(&mut self, mut ids: &[u32], push: &mut impl FnMut(&[u32]) -> Result<()>) -> Result<()> {
        while !ids.is_empty() {
            // A frame, and a token in it.
            if self.ids.len() + 3 > self.length {
                self.finish(push)?;
            }
            let (piece, rest) = ids.split_at(ids.len().min(self.length - self.ids.len() - 2));
            let number = self.documents.last().map_or(1, |last| last + 1);
            self.ids.push(self.frame.begin);
            self.ids.extend_from_slice(piece);
            self.ids.push(self.frame.end);
            self.documents.resize(self.ids.len(), number);
            ids = rest;
        }
        Ok(())
    }

    /// Hands the begun row over, if there is one.
    fn finish(&mut self, push: &mut impl FnMut(&[u32]) -> Result<()>) -> Result<()> {
        if self.ids.is_empty() {
            return Ok(());
        }
        self.ids.resize(self.length, self.frame.pad);
        self.documents.resize(self.length, 0);
        self.ids.append(&mut self.documents);
        push(&self.ids)?;
        self.ids.clear();
        Ok(())
    }
}

impl Packed {
    /// Numbers that a row on disk has: with the documents of its tokens, twice as many.
    fn stored(&self) -> usize {
        if self.isolate_texts { 2 * self.length } else { self.length }
    }
}

impl Component for Packed {
    type State = PackedRows;

    fn build(&self, cx: &mut Build<'_>) -> Result<PackedRows> {
        if self.isolate_texts && !self.across_texts {
            let text = "with `across_texts: false` no two texts share a row, and there is nothing to isolate";
            return Err(Error::new(text).at("isolate_texts").help("leave out one of the two"));
        }
        let tokenizer = Tokenizer::of(cx, self.tokenizer)?;
        let frame = tokenizer.frame()?;
        let wide = is_wide(tokenizer.size(), self.stored());
        let path = cx.stage("rows", |to| {
            let mut writer = RowWriter::new(to, self.stored(), wide, frame.pad)?;
            let inner = self.length - 2;
            let mut stream: Vec<u32> = Vec::new();
            let mut shelf = Shelf::new(self.length, frame);
            texts(cx, self.source, &self.column, None, |texts| {
                for ids in tokenizer.in_threads(texts, |t, text| t.ids(text))? {
                    if self.isolate_texts {
                        shelf.text(&ids, &mut |row| writer.push(row, row.len()))?;
                        continue;
                    }
                    if self.across_texts && !stream.is_empty() && !ids.is_empty() {
                        stream.push(frame.end);
                    }
                    stream.extend(ids);
                    let mut done = 0;
                    while stream.len() - done >= inner {
                        let (row, first) = framed(frame, &stream[done..done + inner], &[]);
                        writer.push(&row, first)?;
                        done += inner;
                    }
                    stream.drain(..done);
                    if !self.across_texts && !stream.is_empty() {
                        let (row, first) = framed(frame, &stream, &[]);
                        writer.push(&row, first)?;
                        stream.clear();
                    }
                }
                Ok(())
            })?;
            shelf.finish(&mut |row| writer.push(row, row.len()))?;
            writer.finish().map(drop)
        })?;
        PackedRows::open(&path, self.stored(), wide)
    }

    fn length(&self, rows: &PackedRows, _: &mut Call<'_>) -> Result<usize> {
        Ok(rows.len())
    }

    fn read(&self, rows: &PackedRows, indices: &[i64], _: &mut Call<'_>) -> Result<PackedOutputs> {
        let Batch { ids, attention_mask, .. } = rows.batch(indices)?;
        if !self.isolate_texts {
            return Ok(PackedOutputs { ids, document_ids: attention_mask.copy(), attention_mask });
        }
        let length = self.length as i64;
        let document_ids = ids.f_narrow(1, length, length)?.f_contiguous()?;
        Ok(PackedOutputs {
            ids: ids.f_narrow(1, 0, length)?.f_contiguous()?,
            attention_mask: document_ids.f_gt(0)?.f_to_kind(Kind::Int64)?,
            document_ids,
        })
    }
}

/// A corpus as rows of two neighbouring segments, `[CLS] A [SEP] B [SEP]`, as BERT and ELECTRA read it.
///
/// Sentences are the lines of the source's texts; an empty line, or the end of a text, ends a document
/// (see `across_texts`).
/// Sentences are collected until a row is full, and dealt to the first segment up to about half of the
/// row, then to the second; what does not fit is cut off. Some rows have one segment only, and some are
/// built for a random shorter length. These choices are the same in every run, so that all share the
/// rows, which are made once, on all processors, and read from disk by index.
///
/// # Paper
/// Clark, Luong, Le, Manning: ELECTRA, ICLR 2020; `build_pretraining_dataset.py` of its code.
///
/// # Example
/// ```mlm
/// data corpus = text.files(folder: asset("books"))
/// tokenizer wordpiece = text.wordpiece(corpus: corpus, vocabulary: 4000)
/// data examples = text.two_segments(source: corpus, tokenizer: wordpiece, length: 128 tok)
/// ```
#[component(
    data,
    name = "text.two_segments",
    outputs(
        ids: "int[B, length]" = "token ids",
        attention_mask: "int[B, length]" = "1 for tokens, 0 for padding",
        segment_ids: "int[B, length]" = "1 for tokens of the second segment, else 0",
    ),
    loader,
)]
pub struct TwoSegments {
    /// The texts.
    #[param(component = "data")]
    pub source: Handle,
    /// What makes tokens of them.
    #[param(component = "tokenizer")]
    pub tokenizer: Handle,
    /// Tokens in a row, special ones included.
    #[param(default = 128, range = ">= 8", kind = "tokens")]
    pub length: usize,
    /// The source's column of text.
    #[param(default = "text")]
    pub column: String,
    /// Whether a document goes on in the next text: for sources of single sentences, where an empty text
    /// ends it.
    #[param(default = false)]
    pub across_texts: bool,
    /// Share of the rows that have one segment only.
    #[param(default = 0.1, range = "[0%, 100%]", kind = "fraction")]
    pub single_share: f64,
    /// Share of the rows that are built for a random length between 5 and the full one.
    #[param(default = 0.05, range = "[0%, 100%]", kind = "fraction")]
    pub short_share: f64,
    /// Number that the choices above follow from; the same in every run.
    #[param(default = 0)]
    pub seed: u64,
}

/// Deals sentences into rows.
pub(crate) struct Dealer {
    length: usize,
    single_share: f64,
    short_share: f64,
    seed: u64,
    draws: u64,
    sentences: Vec<Vec<u32>>,
    tokens: usize,
    target: usize,
}

impl Dealer {
    pub(crate) fn new(length: usize, single_share: f64, short_share: f64, seed: u64) -> Self {
        let target = length;
        Self { length, single_share, short_share, seed, draws: 0, sentences: vec![], tokens: 0, target }
    }

    /// A number in [0, 1): the next of the seed's stream.
    fn draw(&mut self) -> f64 {
        self.draws += 1;
        let bits = mix(mix(self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15)) ^ self.draws);
        (bits >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Takes a sentence; gives the segments of a row that is full, or that an empty sentence ends.
    pub(crate) fn sentence(&mut self, ids: Vec<u32>) -> Option<(Vec<u32>, Vec<u32>)> {
        if ids.is_empty() {
            return if self.tokens > 0 { Some(self.row()) } else { None };
        }
        self.tokens += ids.len();
        self.sentences.push(ids);
        (self.tokens >= self.target).then(|| self.row())
    }

    fn row(&mut self) -> (Vec<u32>, Vec<u32>) {
        let half =
            if self.draw() < self.single_share { usize::MAX } else { self.target.saturating_sub(3) / 2 };
        let (mut first, mut second): (Vec<u32>, Vec<u32>) = (Vec::new(), Vec::new());
        for sentence in std::mem::take(&mut self.sentences) {
            // As in ELECTRA's code, a short sentence may fill up the first segment when the second has begun.
            let fits = first.is_empty()
                || first.len() + sentence.len() < half
                || (second.is_empty() && first.len() < half && self.draw() < 0.5);
            if fits { &mut first } else { &mut second }.extend(sentence);
        }
        first.truncate(self.length - 2);
        second.truncate((self.length - first.len()).saturating_sub(3));
        self.tokens = 0;
        self.target = if self.draw() < self.short_share {
            5 + (self.draw() * (self.length.saturating_sub(5) + 1) as f64) as usize
        } else {
            self.length
        };
        (first, second)
    }
}

impl Component for TwoSegments {
    type State = PackedRows;

    fn build(&self, cx: &mut Build<'_>) -> Result<PackedRows> {
        let tokenizer = Tokenizer::of(cx, self.tokenizer)?;
        let frame = tokenizer.frame()?;
        let wide = is_wide(tokenizer.size(), self.length);
        let path = cx.stage("rows", |to| {
            let mut writer = RowWriter::new(to, self.length, wide, frame.pad)?;
            let mut dealer = Dealer::new(self.length, self.single_share, self.short_share, self.seed);
            texts(cx, self.source, &self.column, None, |texts| {
                let documents = tokenizer.in_threads(texts, |t, text| {
                    text.lines().map(|line| t.ids(line.trim())).collect::<Result<Vec<_>>>()
                })?;
                for mut document in documents {
                    if !self.across_texts || document.is_empty() {
                        document.push(Vec::new());
                    }
                    for sentence in document {
                        if let Some((first, second)) = dealer.sentence(sentence) {
                            let (row, boundary) = framed(frame, &first, &second);
                            writer.push(&row, boundary)?;
                        }
                    }
                }
                Ok(())
            })?;
            if let Some((first, second)) = dealer.sentence(Vec::new()) {
                let (row, boundary) = framed(frame, &first, &second);
                writer.push(&row, boundary)?;
            }
            writer.finish().map(drop)
        })?;
        PackedRows::open(&path, self.length, wide)
    }

    fn length(&self, rows: &PackedRows, _: &mut Call<'_>) -> Result<usize> {
        Ok(rows.len())
    }

    fn read(&self, rows: &PackedRows, indices: &[i64], _: &mut Call<'_>) -> Result<TwoSegmentsOutputs> {
        let Batch { ids, attention_mask, segment_ids } = rows.batch(indices)?;
        Ok(TwoSegmentsOutputs { ids, attention_mask, segment_ids })
    }
}

/// Texts as rows of tokens, one row each, padded or cut to one length.
///
/// Other columns of the source, such as labels, are passed on by `keep`. Rows are made once for a source
/// and a tokenizer, on all processors, and read from disk by index.
///
/// # Example
/// ```mlm
/// data reviews = text.jsonl(file: asset("reviews.jsonl"), columns: ["text"], integers: ["stars"])
/// tokenizer wordpiece = text.wordpiece(corpus: reviews, vocabulary: 4000)
/// data examples = text.tokenized(source: reviews, tokenizer: wordpiece, length: 64 tok, keep: ["stars"])
/// ```
#[component(
    data,
    name = "text.tokenized",
    outputs(
        ids: "int[B, length]" = "token ids",
        attention_mask: "int[B, length]" = "1 for tokens, 0 for padding",
        segment_ids: "int[B, length]" = "1 for tokens of the second text, else 0",
        kept: "any[B]" = "columns of numbers that are passed on" columns_from = "keep",
    ),
    loader,
)]
pub struct Tokenized {
    /// The texts.
    #[param(component = "data")]
    pub source: Handle,
    /// What makes tokens of them.
    #[param(component = "tokenizer")]
    pub tokenizer: Handle,
    /// Tokens in a row, special ones included; longer texts are cut.
    #[param(default = 128, range = ">= 3", kind = "tokens")]
    pub length: usize,
    /// The source's column of text.
    #[param(default = "text")]
    pub column: String,
    /// The source's column with the second text of a pair.
    pub pair: Option<String>,
    /// Columns of numbers that are passed on.
    #[param(default = [])]
    pub keep: Vec<String>,
}

impl Component for Tokenized {
    type State = PackedRows;

    fn build(&self, cx: &mut Build<'_>) -> Result<PackedRows> {
        let tokenizer = Tokenizer::of(cx, self.tokenizer)?;
        let wide = is_wide(tokenizer.size(), self.length);
        let path = cx.stage("rows", |to| {
            let mut writer = RowWriter::new(to, self.length, wide, tokenizer.pad.unwrap_or(0))?;
            let length = cx.length(self.source)?;
            let mut from = 0;
            while from < length {
                if cx.cancelled() {
                    return Err(Error::cancelled());
                }
                let to = (from + 256).min(length);
                let indices: Vec<i64> = (from as i64..to as i64).collect();
                let columns = cx.read(self.source, &indices)?;
                let texts = columns.texts(&self.column)?;
                let pairs = self.pair.as_ref().map(|pair| columns.texts(pair)).transpose()?;
                let rows: Vec<(&String, Option<&String>)> =
                    texts.iter().enumerate().map(|(i, text)| (text, pairs.and_then(|p| p.get(i)))).collect();
                let encoded = tokenizer.in_threads(&rows, |t, (text, pair)| {
                    t.encode(text, pair.map(String::as_str), Some(self.length))
                })?;
                for (ids, segments) in encoded {
                    let first = segments.iter().position(|s| *s == 1).unwrap_or(ids.len());
                    writer.push(&ids, first)?;
                }
                from = to;
            }
            writer.finish().map(drop)
        })?;
        PackedRows::open(&path, self.length, wide)
    }

    fn length(&self, rows: &PackedRows, _: &mut Call<'_>) -> Result<usize> {
        Ok(rows.len())
    }

    fn read(&self, rows: &PackedRows, indices: &[i64], cx: &mut Call<'_>) -> Result<TokenizedOutputs> {
        let Batch { ids, attention_mask, segment_ids } = rows.batch(indices)?;
        let mut kept = Vec::new();
        if !self.keep.is_empty() {
            let columns = cx.read(self.source, indices)?;
            for name in &self.keep {
                kept.push(columns.tensor(name).map_err(|e| e.at("keep"))?.shallow_clone());
            }
        }
        Ok(TokenizedOutputs { ids, attention_mask, segment_ids, kept })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deal(single: f64, short: f64) -> Vec<(Vec<u32>, Vec<u32>)> {
        let mut dealer = Dealer::new(32, single, short, 0);
        (0..30_000).filter_map(|i| dealer.sentence(vec![i; 1 + (i as usize * 7) % 12])).collect()
    }

    #[test]
    fn rows_fit_and_keep_the_order() {
        let rows = deal(0.1, 0.05);
        for (first, second) in &rows {
            let frames = if second.is_empty() { 2 } else { 3 };
            assert!(!first.is_empty() && first.len() + second.len() + frames <= 32);
            assert!(first.is_sorted() && second.is_sorted());
        }
        let single = rows.iter().filter(|(_, second)| second.is_empty()).count() as f64 / rows.len() as f64;
        // One in ten by choice, and some of the short ones.
        assert!((0.09..0.16).contains(&single), "{single}");
        assert!(deal(1.0, 0.0).iter().all(|(_, second)| second.is_empty()));
    }

    #[test]
    fn short_targets_are_as_frequent_as_asked() {
        let lengths = |short| {
            let rows = deal(0.0, short);
            let few = rows.iter().filter(|(a, b)| a.len() + b.len() < 28).count() as f64;
            few / rows.len() as f64
        };
        assert_eq!(lengths(0.0), 0.0);
        // A random target between 5 and 32 is short of 28 in 23 of 28 cases; sentences overshoot some.
        let share = lengths(0.05);
        assert!((0.02..0.05).contains(&share), "{share}");
    }

    #[test]
    fn an_empty_line_ends_a_row() {
        let mut dealer = Dealer::new(32, 0.0, 0.0, 0);
        assert!(dealer.sentence(vec![]).is_none());
        assert!(dealer.sentence(vec![1, 2]).is_none());
        assert_eq!(dealer.sentence(vec![]), Some((vec![1, 2], vec![])));
    }

    #[test]
    fn isolated_texts_fill_rows_and_are_numbered() {
        let mut shelf = Shelf::new(8, Frame { begin: 100, end: 101, pad: 0 });
        let mut rows: Vec<Vec<u32>> = Vec::new();
        let mut push = |row: &[u32]| {
            rows.push(row.to_vec());
            Ok(())
        };
        for text in [&[1_u32, 2][..], &[], &[3, 4, 5], &[6], &[7, 8, 9, 10, 11, 12, 13]] {
            shelf.text(text, &mut push).unwrap();
        }
        shelf.finish(&mut push).unwrap();
        shelf.finish(&mut push).unwrap();
        let expected: [&[u32]; 3] = [
            &[100, 1, 2, 101, 100, 3, 4, 101, 1, 1, 1, 1, 2, 2, 2, 2],
            &[100, 5, 101, 100, 6, 101, 0, 0, 1, 1, 1, 2, 2, 2, 0, 0],
            &[100, 7, 8, 9, 10, 11, 12, 101, 1, 1, 1, 1, 1, 1, 1, 1],
        ];
        assert_eq!(rows[..3], expected);
        assert_eq!(rows[3], [100, 13, 101, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0]);
        assert_eq!(rows.len(), 4);
    }
}
