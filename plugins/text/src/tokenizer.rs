//! Tokenizers as this plugin keeps them, and what all of their components share.

use std::collections::BTreeMap;
use tokenizers::utils::truncation::truncate_encodings;
use tokenizers::{PostProcessor, Tokenizer as Inner, TruncationParams};
use zoo_plugin::prelude::*;

/// A tokenizer with the ids of its special tokens.
#[derive(Debug)]
pub struct Tokenizer {
    inner: Inner,
    json: Vec<u8>,
    pub(crate) pad: Option<u32>,
    pub(crate) begin: Option<u32>,
    pub(crate) end: Option<u32>,
}

fn wrong(what: &str, reason: impl std::fmt::Display) -> Error {
    Error::new(format!("{what}: {reason}"))
}

impl Tokenizer {
    /// From a `tokenizer.json`. Padding and cutting that it asks for are left out: rows are the
    /// components' business.
    pub(crate) fn new(json: &[u8], what: &str) -> Result<Self> {
        let mut inner = Inner::from_bytes(json).map_err(|e| {
            wrong(what, format!("this is no tokenizer: {e}"))
                .help("it takes a `tokenizer.json` of transformers")
        })?;
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|e| wrong(what, e))?;
        let json = inner.to_string(false).map_err(|e| wrong(what, e))?.into_bytes();
        let id = |names: &[&str]| names.iter().find_map(|name| inner.token_to_id(name));
        let (pad, begin, end) = (id(&["[PAD]", "<pad>"]), id(&["[CLS]", "<s>"]), id(&["[SEP]", "</s>"]));
        Ok(Self { inner, json, pad, begin, end })
    }

    /// The one that a reference exports.
    pub(crate) fn of(cx: &Build<'_>, handle: Handle) -> Result<Self> {
        let name = cx.describe(handle)?.name;
        Self::new(&cx.export(handle)?, &format!("the tokenizer `{name}`"))
    }

    pub(crate) fn json(&self) -> Vec<u8> {
        self.json.clone()
    }

    /// The mask token's id: of the name that is given, or [MASK] or <mask>.
    pub(crate) fn mask(&self, name: Option<&str>) -> Option<u32> {
        match name {
            Some(name) => self.inner.token_to_id(name),
            None => ["[MASK]", "<mask>"].iter().find_map(|name| self.inner.token_to_id(name)),
        }
    }

    /// The id of what the vocabulary does not hold.
    pub(crate) fn unknown(&self) -> Option<u32> {
        ["[UNK]", "<unk>"].iter().find_map(|name| self.inner.token_to_id(name))
    }

    /// Number of ids: one more than the largest.
    pub(crate) fn size(&self) -> usize {
        self.inner.get_vocab(true).values().max().map_or(0, |id| *id as usize + 1)
    }

    /// The special tokens that rows need, or an error that names what is missing.
    pub(crate) fn frame(&self) -> Result<Frame> {
        let need = |id: Option<u32>, names: &str| {
            id.ok_or_else(|| {
                Error::new(format!("the tokenizer has no {names} token")).at("tokenizer").help(
                    "rows of encoders begin and end with special tokens; choose a tokenizer that has them",
                )
            })
        };
        Ok(Frame {
            begin: need(self.begin, "[CLS] or <s>")?,
            end: need(self.end, "[SEP] or </s>")?,
            // What has none, as decoders often, pads with the token that ends a row; the mask hides it.
            pad: need(self.pad.or(self.end), "[PAD] or <pad>")?,
        })
    }

    /// The ids of one text, without special tokens.
    pub(crate) fn ids(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.inner.encode_fast(text, false).map_err(|e| wrong("tokenizing failed", e))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of ids, special tokens in it or left out.
    pub(crate) fn text(&self, ids: &[u32], special: bool) -> Result<String> {
        self.inner.decode(ids, !special).map_err(|e| wrong("tokens have no text", e))
    }

    /// Texts through `each`, on all processors, in order.
    pub(crate) fn in_threads<T: Sync, R: Send>(
        &self,
        items: &[T],
        each: impl Fn(&Self, &T) -> Result<R> + Sync,
    ) -> Result<Vec<R>> {
        parallel(items, |item| each(self, item))
    }

    /// Ids of a text, or of a pair, with special tokens, cut to `length`; and the segment of each token.
    pub(crate) fn encode(
        &self,
        text: &str,
        pair: Option<&str>,
        length: Option<usize>,
    ) -> Result<(Vec<u32>, Vec<u32>)> {
        self.framed(text, pair, length, true)
    }

    /// The same, with special tokens at the ends or without.
    pub(crate) fn framed(
        &self,
        text: &str,
        pair: Option<&str>,
        length: Option<usize>,
        special: bool,
    ) -> Result<(Vec<u32>, Vec<u32>)> {
        let part = |text: &str| self.inner.encode(text, false).map_err(|e| wrong("tokenizing failed", e));
        let (mut first, mut second) = (part(text)?, pair.map(part).transpose()?);
        if let Some(length) = length {
            // Before special tokens are added, so that they stay; of a pair the longer text is cut.
            let processor = self.inner.get_post_processor().filter(|_| special);
            let added = processor.map_or(0, |p| p.added_tokens(pair.is_some()));
            let limit = TruncationParams { max_length: length.saturating_sub(added), ..Default::default() };
            (first, second) =
                truncate_encodings(first, second, &limit).map_err(|e| wrong("cutting a text failed", e))?;
        }
        let encoding =
            self.inner.post_process(first, second, special).map_err(|e| wrong("tokenizing failed", e))?;
        Ok((encoding.get_ids().to_vec(), encoding.get_type_ids().to_vec()))
    }
}

/// Ids that rows are made with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    pub(crate) begin: u32,
    pub(crate) end: u32,
    pub(crate) pad: u32,
}

/// Items through `each` on all processors; results in order, the first error in order.
pub(crate) fn parallel<T: Sync, R: Send>(
    items: &[T],
    each: impl Fn(&T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(items.len()).max(1);
    if threads == 1 {
        return items.iter().map(each).collect();
    }
    let next = std::sync::atomic::AtomicUsize::new(0);
    let mut all: Vec<Option<Result<R>>> = (0..items.len()).map(|_| None).collect();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut done = Vec::new();
                    loop {
                        let i = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        let Some(item) = items.get(i) else { return done };
                        done.push((i, each(item)));
                    }
                })
            })
            .collect();
        for worker in workers {
            for (i, result) in worker.join().unwrap_or_default() {
                all[i] = Some(result);
            }
        }
    });
    all.into_iter()
        .map(|result| result.unwrap_or_else(|| Err(Error::new("a thread that tokenized has failed"))))
        .collect()
}

/// Rows read from a source at once.
const CHUNK: usize = 256;

/// All texts of a source's column, in order, some at a time.
pub(crate) fn texts(
    cx: &Build<'_>,
    source: Handle,
    column: &str,
    limit: Option<usize>,
    mut each: impl FnMut(&[String]) -> Result<()>,
) -> Result<()> {
    let length = cx.length(source)?.min(limit.unwrap_or(usize::MAX));
    let mut from = 0;
    while from < length {
        if cx.cancelled() {
            return Err(Error::cancelled());
        }
        let to = (from + CHUNK).min(length);
        let indices: Vec<i64> = (from as i64..to as i64).collect();
        each(cx.read(source, &indices)?.texts(column)?)?;
        from = to;
    }
    Ok(())
}

/// Counts the words of a corpus: `words` takes a text apart.
pub(crate) fn count_words(
    cx: &Build<'_>,
    source: Handle,
    column: &str,
    limit: Option<usize>,
    words: impl Fn(&str) -> Result<Vec<String>> + Sync,
) -> Result<BTreeMap<String, u64>> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    texts(cx, source, column, limit, |texts| {
        let parts = parallel(texts, |text| {
            let mut counts: BTreeMap<String, u64> = BTreeMap::new();
            for word in words(text)? {
                *counts.entry(word).or_default() += 1;
            }
            Ok(counts)
        })?;
        for (word, count) in parts.into_iter().flatten() {
            *counts.entry(word).or_default() += count;
        }
        Ok(())
    })?;
    if counts.is_empty() {
        return Err(Error::new("the corpus has no words").at("corpus"));
    }
    Ok(counts)
}

/// Rows of ids, padded to the longest or to `length`: ids, mask and segments, int[B, T] each.
pub(crate) fn padded(
    rows: &[(Vec<u32>, Vec<u32>)],
    length: Option<usize>,
    pad: Option<u32>,
) -> Result<(Tensor, Tensor, Tensor)> {
    let longest = rows.iter().map(|(ids, _)| ids.len()).max().unwrap_or(0);
    let width = length.unwrap_or(longest).max(1);
    let pad = i64::from(pad.unwrap_or(0));
    let mut ids = vec![pad; rows.len() * width];
    let mut mask = vec![0_i64; rows.len() * width];
    let mut segments = vec![0_i64; rows.len() * width];
    for (i, (row, types)) in rows.iter().enumerate() {
        for (t, (id, segment)) in row.iter().zip(types).take(width).enumerate() {
            ids[i * width + t] = i64::from(*id);
            mask[i * width + t] = 1;
            segments[i * width + t] = i64::from(*segment);
        }
    }
    let shape = [rows.len() as i64, width as i64];
    let tensor = |values: &[i64]| -> Result<Tensor> { Ok(Tensor::f_from_slice(values)?.f_reshape(shape)?) };
    Ok((tensor(&ids)?, tensor(&mask)?, tensor(&segments)?))
}

/// Declares a tokenizer: a struct with the parameter that all have, and everything but how it is made,
/// which is a method `make`.
macro_rules! tokenizer_component {
    (
        $(#[$attribute:meta])*
        $visibility:vis struct $name:ident as ($inputs:ident, $outputs:ident) { $($extra:tt)* }
    ) => {
        $(#[$attribute])*
        $visibility struct $name {
            $($extra)*
            /// Where a step calls it: longer texts are cut to this many tokens, special ones included.
            #[param(default = 512, range = ">= 3", kind = "tokens")]
            pub maximum_length: usize,
            /// Where a step calls it: whether special tokens stand at a text's ends, as encoders want it.
            #[param(default = true)]
            pub special_tokens: bool,
        }

        impl Component for $name {
            type State = $crate::tokenizer::Tokenizer;

            fn build(&self, cx: &mut Build<'_>) -> Result<Self::State> {
                self.make(cx)
            }

            fn call(&self, tokenizer: &Self::State, x: $inputs<'_>, _: &mut Call<'_>) -> Result<$outputs> {
                let rows = (0..x.text.len())
                    .map(|i| {
                        let pair = x.pair.as_ref().map(|pair| pair.get(i));
                        let (text, length) = (x.text.get(i), Some(self.maximum_length));
                        tokenizer.framed(text, pair, length, self.special_tokens)
                    })
                    .collect::<Result<Vec<_>>>()?;
                let (ids, attention_mask, segment_ids) =
                    $crate::tokenizer::padded(&rows, None, tokenizer.pad)?;
                Ok($outputs { ids, attention_mask, segment_ids })
            }

            fn export(&self, tokenizer: &Self::State) -> Result<Vec<u8>> {
                Ok(tokenizer.json())
            }
        }
    };
}
pub(crate) use tokenizer_component;
