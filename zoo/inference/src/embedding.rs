//! Texts to vectors of length 1 whose products are similarities, as sentence-transformers makes them.

use crate::model::{Head, Model, read_json};
use crate::{Error, Result};
use serde_json::Value as Json;
use std::path::Path;
use std::sync::Arc;
use tch::{Device, Kind, Tensor};
use tokenizers::{PaddingParams, Tokenizer, TruncationParams};
use zoo_host::{Registry, Value};

/// Tokens of a batch, padding included: texts of like length go together.
const BATCH_TOKENS: usize = 8192;

/// An encoder with its tokenizer.
#[derive(Debug)]
pub struct Embedder {
    model: Model,
    tokenizer: Tokenizer,
    pooling: Pooling,
    device: Device,
}

/// Which states stand for a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// The mean of all tokens'.
    Mean,
    /// The first token's.
    First,
}

/// A file of JSON where there is one.
fn optional(path: &Path) -> Result<Option<Json>> {
    if path.exists() { read_json(path).map(Some) } else { Ok(None) }
}

impl Embedder {
    /// Opens a folder with `config.json`, `model.safetensors` and `tokenizer.json`. The mean of states is
    /// taken, unless `1_Pooling/config.json` asks for the first; texts are cut after
    /// `sentence_bert_config.json`'s `max_seq_length`, or else the model's positions.
    ///
    /// # Errors
    /// As [`Model::open`], and a tokenizer that cannot be read.
    pub fn open(registry: &Arc<Registry>, folder: &Path, device: Device) -> Result<Self> {
        let model = Model::open(registry, folder, Some(Head::Encoder), device)?;
        let path = folder.join("tokenizer.json");
        let fail = |reason: String| Error::File { path: path.display().to_string(), reason };
        let mut tokenizer = Tokenizer::from_file(&path).map_err(|e| fail(e.to_string()))?;
        let sentence = optional(&folder.join("sentence_bert_config.json"))?;
        let asked = sentence.as_ref().and_then(|s| s.get("max_seq_length")).and_then(Json::as_u64);
        let positions = model.config().get("max_position_embeddings").and_then(Json::as_u64);
        let maximum = asked.or(positions).unwrap_or(512).clamp(1, 1 << 20) as usize;
        let truncation = TruncationParams { max_length: maximum, ..TruncationParams::default() };
        tokenizer.with_truncation(Some(truncation)).map_err(|e| fail(e.to_string()))?;
        tokenizer.with_padding(None::<PaddingParams>);
        let kind = optional(&folder.join("1_Pooling/config.json"))?;
        let first = kind.and_then(|k| k.get("pooling_mode_cls_token")?.as_bool()).unwrap_or(false);
        let pooling = if first { Pooling::First } else { Pooling::Mean };
        Ok(Self { model, tokenizer, pooling, device })
    }

    /// Which states stand for a text.
    pub fn pooling(&self) -> Pooling {
        self.pooling
    }

    /// One vector of length 1 for each text, in their order.
    ///
    /// # Errors
    /// Everything that a call can end in.
    pub fn embed(&self, texts: &[String]) -> Result<Vec<Vec<f32>>> {
        let encodings = self
            .tokenizer
            .encode_batch(texts.iter().map(String::as_str).collect::<Vec<_>>(), true)
            .map_err(|e| Error::Unknown(format!("a text cannot be tokenized: {e}")))?;
        let ids: Vec<&[u32]> = encodings.iter().map(|encoding| encoding.get_ids()).collect();
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by_key(|i| std::cmp::Reverse(ids[*i].len()));
        let mut vectors = vec![Vec::new(); texts.len()];
        let mut rest = order.as_slice();
        while let Some(first) = rest.first() {
            // The first is the longest.
            let length = ids[*first].len().max(1);
            let (batch, after) = rest.split_at((BATCH_TOKENS / length).clamp(1, rest.len()));
            rest = after;
            let rows: Vec<&[u32]> = batch.iter().map(|i| ids[*i]).collect();
            for (i, vector) in batch.iter().zip(self.batch(&rows, length)?) {
                vectors[*i] = vector;
            }
        }
        Ok(vectors)
    }

    fn batch(&self, rows: &[&[u32]], length: usize) -> Result<Vec<Vec<f32>>> {
        let (mut ids, mut mask) = (Vec::<i64>::new(), Vec::<i64>::new());
        for row in rows {
            ids.extend(row.iter().map(|id| i64::from(*id)).chain(std::iter::repeat_n(0, length - row.len())));
            mask.extend((0..length).map(|place| i64::from(place < row.len())));
        }
        let shape = [rows.len() as i64, length as i64];
        let tensor = |values: &[i64]| Tensor::f_from_slice(values)?.f_view(shape)?.f_to_device(self.device);
        let (ids, mask) = (Value::Tensor(tensor(&ids)?), tensor(&mask)?);
        let shown = Value::Tensor(mask.shallow_clone());
        let mut outputs =
            self.model.call(&[("ids", &ids), ("attention_mask", &shown)], &["hidden"], false)?;
        let hidden =
            outputs.take_tensor("hidden").ok_or_else(|| Error::Unknown("the model gave no states".into()))?;
        let vectors = match self.pooling {
            Pooling::First => hidden.f_select(1, 0)?,
            Pooling::Mean => {
                let weights = mask.f_to_kind(Kind::Float)?.f_unsqueeze(-1)?;
                let sum =
                    hidden.f_mul(&weights)?.f_sum_dim_intlist([1_i64].as_slice(), false, Kind::Float)?;
                let count = weights.f_sum_dim_intlist([1_i64].as_slice(), false, Kind::Float)?;
                sum.f_div(&count.f_clamp_min(1.0)?)?
            }
        };
        let size = vectors.f_linalg_norm(2.0, [-1_i64].as_slice(), true, Kind::Float)?.f_clamp_min(1e-12)?;
        let vectors = vectors.f_div(&size)?.f_to_device(Device::Cpu)?;
        let width = vectors.size2()?.1.max(1) as usize;
        let flat: Vec<f32> = Vec::try_from(vectors.f_reshape([-1])?)?;
        Ok(flat.chunks(width).map(<[f32]>::to_vec).collect())
    }
}
