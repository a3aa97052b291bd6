//! Texts to vectors of length 1 whose products are similarities, as sentence-transformers makes them.

use crate::model::{Head, Model};
use crate::text::{Padded, Texts, batches, optional};
use crate::{Error, Result};
use serde_json::Value as Json;
use std::path::Path;
use std::sync::Arc;
use tch::{Device, Kind};
use tokenizers::Encoding;
use zoo_host::{Registry, Value};

/// An encoder with its tokenizer.
#[derive(Debug)]
pub struct Embedder {
    model: Model,
    texts: Texts,
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

impl Embedder {
    /// Opens a folder with `config.json`, `model.safetensors` and `tokenizer.json`. The mean of states is
    /// taken, unless `1_Pooling/config.json` asks for the first; texts are cut after
    /// `sentence_bert_config.json`'s `max_seq_length`, or else the model's positions.
    ///
    /// # Errors
    /// As [`Model::open`], and a tokenizer that cannot be read.
    pub fn open(registry: &Arc<Registry>, folder: &Path, device: Device) -> Result<Self> {
        let model = Model::open(registry, folder, Some(Head::Encoder), device)?;
        let mut texts = Texts::open(folder, model.config())?;
        let sentence: Option<Json> = optional(&folder.join("sentence_bert_config.json"))?;
        let longest = sentence.as_ref().and_then(|s| s.get("max_seq_length")).and_then(Json::as_u64);
        texts.cut(longest.map(|n| n.clamp(1, 1 << 20) as usize))?;
        let kind: Option<Json> = optional(&folder.join("1_Pooling/config.json"))?;
        let first = kind.and_then(|k| k.get("pooling_mode_cls_token")?.as_bool()).unwrap_or(false);
        let pooling = if first { Pooling::First } else { Pooling::Mean };
        Ok(Self { model, texts, pooling, device })
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
        let rows = self.texts.encode_fast(texts.iter().map(String::as_str).collect(), true)?;
        let lengths: Vec<usize> = rows.iter().map(|row| row.get_ids().len()).collect();
        let mut vectors = vec![Vec::new(); texts.len()];
        for batch in batches(&lengths) {
            let encodings: Vec<&Encoding> = batch.iter().map(|i| &rows[*i]).collect();
            for (i, vector) in batch.iter().zip(self.batch(&encodings)?) {
                vectors[*i] = vector;
            }
        }
        Ok(vectors)
    }

    fn batch(&self, rows: &[&Encoding]) -> Result<Vec<Vec<f32>>> {
        let padded = Padded::new(rows, &self.texts, self.device)?;
        let inputs = padded.inputs();
        let inputs: Vec<(&str, &Value)> = inputs.iter().map(|(name, value)| (*name, value)).collect();
        let mut outputs = self.model.call(&inputs, &["hidden"], false)?;
        let hidden =
            outputs.take_tensor("hidden").ok_or_else(|| Error::Unknown("the model gave no states".into()))?;
        let vectors = match self.pooling {
            Pooling::First => hidden.f_select(1, 0)?,
            Pooling::Mean => match &padded.mask {
                None => hidden.f_mean_dim([1_i64].as_slice(), false, Kind::Float)?,
                Some(mask) => {
                    let weights = mask.f_to_kind(Kind::Float)?.f_unsqueeze(-1)?;
                    let sum =
                        hidden.f_mul(&weights)?.f_sum_dim_intlist([1_i64].as_slice(), false, Kind::Float)?;
                    let count = weights.f_sum_dim_intlist([1_i64].as_slice(), false, Kind::Float)?;
                    sum.f_div(&count.f_clamp_min(1.0)?)?
                }
            },
        };
        let size = vectors.f_linalg_norm(2.0, [-1_i64].as_slice(), true, Kind::Float)?.f_clamp_min(1e-12)?;
        let vectors = vectors.f_div(&size)?.f_to_device(Device::Cpu)?;
        let width = vectors.size2()?.1.max(1) as usize;
        let flat: Vec<f32> = Vec::try_from(vectors.f_reshape([-1])?)?;
        Ok(flat.chunks(width).map(<[f32]>::to_vec).collect())
    }
}
