//! What a folder says about texts: the tokenizer, its special tokens, how long texts may be.

use crate::model::read_json;
use crate::{Error, Result};
use serde_json::{Map, Value as Json};
use std::path::{Path, PathBuf};
use tch::{Device, Tensor};
use tokenizers::{EncodeInput, Encoding, PaddingParams, Tokenizer, TruncationParams};
use zoo_decoding::tools::Spelling;
use zoo_host::Value;

/// Tokens of a batch, padding included: texts of like length go together.
const BATCH_TOKENS: usize = 8192;
/// Longest text of a model that does not say how long texts may be, in tokens.
const LONGEST: usize = 1 << 20;

/// Reads a `tokenizer.json`. The library panics on some that are damaged, which is one error more here.
fn read_tokenizer(path: &Path) -> std::result::Result<Tokenizer, String> {
    match std::panic::catch_unwind(|| Tokenizer::from_file(path)) {
        Ok(read) => read.map_err(|e| e.to_string()),
        Err(_) => Err("it is damaged: a part of it is not what its type says".to_owned()),
    }
}

/// Special tokens as BERT and RoBERTa spell them.
const USUAL: [(&str, [&str; 2]); 3] = [
    ("mask_token", ["[MASK]", "<mask>"]),
    ("pad_token", ["[PAD]", "<pad>"]),
    ("eos_token", ["</s>", "<|endoftext|>"]),
];

/// A file of JSON where there is one.
pub(crate) fn optional<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    if path.exists() { read_json(path).map(Some) } else { Ok(None) }
}

/// The tokenizer of a folder.
#[derive(Debug)]
pub struct Texts {
    folder: PathBuf,
    tokenizer: Tokenizer,
    /// `tokenizer_config.json`, with `special_tokens_map.json` where that says more.
    settings: Map<String, Json>,
    /// `config.json`.
    config: Map<String, Json>,
    /// `generation_config.json`.
    generation: Map<String, Json>,
    padding: i64,
}

impl Texts {
    /// Reads `tokenizer.json`, and `tokenizer_config.json`, `special_tokens_map.json` and
    /// `generation_config.json` where they are there; `config` is the model's. Texts are not cut.
    ///
    /// # Errors
    /// Files that are missing or damaged.
    pub fn open(folder: &Path, config: &Map<String, Json>) -> Result<Self> {
        let path = folder.join("tokenizer.json");
        let fail = |reason: String| Error::File { path: path.display().to_string(), reason };
        if !path.exists() {
            return Err(fail(
                "it is not there; transformers writes it: \
                 AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)"
                    .to_owned(),
            ));
        }
        let mut tokenizer = read_tokenizer(&path).map_err(fail)?;
        tokenizer.with_truncation(None).map_err(|e| fail(e.to_string()))?;
        tokenizer.with_padding(None::<PaddingParams>);
        let mut settings: Map<String, Json> =
            optional(&folder.join("tokenizer_config.json"))?.unwrap_or_default();
        let special: Option<Map<String, Json>> = optional(&folder.join("special_tokens_map.json"))?;
        for (name, token) in special.unwrap_or_default() {
            let missing = settings.get(&name).is_none_or(Json::is_null);
            if missing {
                settings.insert(name, token);
            }
        }
        let generation = optional(&folder.join("generation_config.json"))?.unwrap_or_default();
        let mut texts = Self {
            folder: folder.to_owned(),
            tokenizer,
            settings,
            config: config.clone(),
            generation,
            padding: 0,
        };
        let id = |token: Option<(String, i64)>| token.map(|(_, id)| id);
        let said = texts.whole("pad_token_id");
        texts.padding = said.or_else(|| id(texts.special("pad_token"))).unwrap_or(0);
        Ok(texts)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// `tokenizer_config.json`.
    pub fn settings(&self) -> &Map<String, Json> {
        &self.settings
    }

    /// `generation_config.json`; empty where there is none.
    pub fn generation(&self) -> &Map<String, Json> {
        &self.generation
    }

    fn whole(&self, name: &str) -> Option<i64> {
        [&self.generation, &self.config].iter().find_map(|map| map.get(name)?.as_i64())
    }

    /// Whether the model is given segments: unless `model_input_names` lists its inputs without them.
    fn has_segments(&self) -> bool {
        let names = self.settings.get("model_input_names").and_then(Json::as_array);
        names.is_none_or(|names| names.iter().any(|name| name == "token_type_ids"))
    }

    /// The token that short rows are filled up with.
    pub fn padding(&self) -> i64 {
        self.padding
    }

    /// The tokens that end a generated text: `eos_token_id` of `generation_config.json`, or else of
    /// `config.json`.
    pub fn ends(&self) -> Vec<i64> {
        let said =
            [&self.generation, &self.config].into_iter().find_map(|map| match map.get("eos_token_id") {
                Some(Json::Array(ids)) => Some(ids.iter().filter_map(Json::as_i64).collect()),
                Some(id) => Some(vec![id.as_i64()?]),
                None => None,
            });
        said.or_else(|| Some(vec![self.special("eos_token")?.1])).unwrap_or_default()
    }

    /// A special token and its id, by the name that `tokenizer_config.json` gives it: `mask_token`. Where
    /// that file says nothing, as beside a tokenizer that a run has trained, the usual spellings are tried.
    pub fn special(&self, name: &str) -> Option<(String, i64)> {
        let found = |text: &str| Some((text.to_owned(), i64::from(self.tokenizer.token_to_id(text)?)));
        match self.settings.get(name) {
            Some(token) => found(token.as_str().or_else(|| token.get("content")?.as_str())?),
            None => {
                let spellings = USUAL.iter().filter(|(role, _)| *role == name);
                spellings.flat_map(|(_, spellings)| spellings.iter()).find_map(|text| found(text))
            }
        }
    }

    /// Texts are cut after so many tokens, special ones included, or as many as the model takes, whichever
    /// is less.
    ///
    /// # Errors
    /// A limit that leaves no room beside special tokens.
    pub fn cut(&mut self, longest: Option<usize>) -> Result<()> {
        let of = |map: &Map<String, Json>, name: &str| {
            // Some say 1e30, which means: none.
            map.get(name)?.as_f64().filter(|n| (1.0..=LONGEST as f64).contains(n)).map(|n| n as usize)
        };
        let positions = of(&self.config, "max_position_embeddings").map(|count| {
            // These count positions from the padding token's id on.
            let family = self.config.get("model_type").and_then(Json::as_str).unwrap_or_default();
            let shifted = ["roberta", "xlm-roberta", "camembert"].contains(&family);
            if shifted { count.saturating_sub(self.padding as usize + 1).max(1) } else { count }
        });
        let said = [of(&self.settings, "model_max_length"), positions, longest];
        let max_length = said.into_iter().flatten().min().unwrap_or(LONGEST);
        let truncation = TruncationParams { max_length, ..TruncationParams::default() };
        self.tokenizer.with_truncation(Some(truncation)).map_err(|e| Error::File {
            path: self.folder.join("tokenizer.json").display().to_string(),
            reason: e.to_string(),
        })?;
        Ok(())
    }

    /// Tokens of each text, or pair of texts.
    ///
    /// # Errors
    /// A text that cannot be tokenized.
    pub fn encode<'t, T: Into<EncodeInput<'t>> + Send>(
        &self,
        texts: Vec<T>,
        special: bool,
    ) -> Result<Vec<Encoding>> {
        self.tokenizer
            .encode_batch_char_offsets(texts, special)
            .map_err(|e| Error::Unknown(format!("a text cannot be tokenized: {e}")))
    }

    /// The same without places in the text.
    ///
    /// # Errors
    /// A text that cannot be tokenized.
    pub fn encode_fast<'t, T: Into<EncodeInput<'t>> + Send>(
        &self,
        texts: Vec<T>,
        special: bool,
    ) -> Result<Vec<Encoding>> {
        self.tokenizer
            .encode_batch_fast(texts, special)
            .map_err(|e| Error::Unknown(format!("a text cannot be tokenized: {e}")))
    }

    /// The text of tokens, special ones left out.
    ///
    /// # Errors
    /// The tokenizer's.
    pub fn decode(&self, tokens: &[i64]) -> Result<String> {
        self.decoded(tokens, true)
    }

    fn decoded(&self, tokens: &[i64], skip_special: bool) -> Result<String> {
        let ids: Vec<u32> = tokens.iter().filter_map(|id| u32::try_from(*id).ok()).collect();
        let text = self.tokenizer.decode(&ids, skip_special);
        text.map_err(|e| Error::Unknown(format!("tokens make no text: {e}")))
    }

    /// The text that new tokens add to that of a prompt.
    ///
    /// # Errors
    /// The tokenizer's.
    pub fn decode_after(&self, prompt: &[i64], new: &[i64]) -> Result<String> {
        // A token's text may depend on the one before: a space at the start of a text is dropped.
        let context = &prompt[prompt.len().saturating_sub(8)..];
        let before = self.decode(context)?;
        let whole = self.decode(&[context, new].concat())?;
        match whole.strip_prefix(&before) {
            Some(added) => Ok(added.to_owned()),
            None => self.decode(new),
        }
    }

    /// A token as the vocabulary has it, and as text.
    pub fn token(&self, id: i64) -> (String, String) {
        let id = u32::try_from(id).unwrap_or(u32::MAX);
        let token = self.tokenizer.id_to_token(id).unwrap_or_default();
        let text = self.tokenizer.decode(&[id], false).unwrap_or_default();
        (token, text)
    }
}

/// A tokenizer as texts that call tools are spelled with: no special tokens are put around what is read, and those
/// that a model writes are shown, as calls may begin and end with one.
#[derive(Clone, Copy, Debug)]
pub struct Spelled<'t>(pub &'t Texts);

impl Spelling for Spelled<'_> {
    type Error = Error;

    fn ids(&mut self, text: &str) -> Result<Vec<i64>> {
        let rows = self.0.encode_fast(vec![text], false)?;
        Ok(rows.first().map_or(&[][..], Encoding::get_ids).iter().map(|id| i64::from(*id)).collect())
    }

    fn text(&mut self, ids: &[i64]) -> Result<String> {
        self.0.decoded(ids, false)
    }
}

/// Texts of like length, as numbers of rows: the longest first, `BATCH_TOKENS` with padding in each.
pub(crate) fn batches(lengths: &[usize]) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|i| std::cmp::Reverse(lengths[*i]));
    let mut batches = Vec::new();
    let mut rest = order.as_slice();
    while let Some(first) = rest.first() {
        // The first is the longest.
        let count = (BATCH_TOKENS / lengths[*first].max(1)).clamp(1, rest.len());
        let (batch, after) = rest.split_at(count);
        batches.push(batch.to_vec());
        rest = after;
    }
    batches
}

/// Rows as tensors of one shape [B, T].
pub(crate) struct Padded {
    /// Token ids.
    pub(crate) ids: Tensor,
    /// 1 for tokens, 0 for padding; none where there is no padding.
    pub(crate) mask: Option<Tensor>,
    /// Segments; none where all are the first.
    pub(crate) segments: Option<Tensor>,
}

impl Padded {
    pub(crate) fn new(rows: &[&Encoding], texts: &Texts, device: Device) -> Result<Self> {
        let length = rows.iter().map(|row| row.get_ids().len()).max().unwrap_or(0).max(1);
        let shape = [rows.len() as i64, length as i64];
        let tensor = |of: &dyn Fn(&Encoding) -> Vec<i64>, fill: i64| -> Result<Tensor> {
            let mut values = Vec::with_capacity(rows.len() * length);
            for (i, row) in rows.iter().enumerate() {
                values.extend(of(row));
                values.resize((i + 1) * length, fill);
            }
            Ok(Tensor::f_from_slice(&values)?.f_view(shape)?.f_to_device(device)?)
        };
        let wide = |numbers: &[u32]| numbers.iter().map(|n| i64::from(*n)).collect::<Vec<_>>();
        let even = rows.iter().all(|row| row.get_ids().len() == length);
        let paired = texts.has_segments()
            && rows.iter().any(|row| row.get_type_ids().iter().any(|segment| *segment != 0));
        Ok(Self {
            ids: tensor(&|row| wide(row.get_ids()), texts.padding)?,
            mask: if even { None } else { Some(tensor(&|row| vec![1; row.get_ids().len()], 0)?) },
            segments: if paired { Some(tensor(&|row| wide(row.get_type_ids()), 0)?) } else { None },
        })
    }

    /// The inputs that a text model takes.
    pub(crate) fn inputs(&self) -> Vec<(&'static str, Value)> {
        let mut inputs = vec![("ids", Value::Tensor(self.ids.shallow_clone()))];
        let more = [("attention_mask", &self.mask), ("segment_ids", &self.segments)];
        inputs.extend(
            more.into_iter()
                .filter_map(|(name, tensor)| Some((name, Value::Tensor(tensor.as_ref()?.shallow_clone())))),
        );
        inputs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_hold_every_text_once_and_like_lengths_together() {
        let lengths = [3, 5000, 0, 4000, 3, 9000];
        let batches = batches(&lengths);
        assert_eq!(batches[..3], [vec![5], vec![1], vec![3, 0]]);
        let mut all = batches.concat();
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3, 4, 5]);
        assert!(super::batches(&[]).is_empty());
    }
}
