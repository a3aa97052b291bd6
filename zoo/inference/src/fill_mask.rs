//! What may stand at a masked place.

use crate::model::{Head, Model};
use crate::text::{Padded, Texts, batches};
use crate::{Error, Result};
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;
use tch::{Device, Kind, Tensor};
use zoo_host::{Registry, Value};

/// A masked language model with its tokenizer.
#[derive(Debug)]
pub struct MaskFiller {
    model: Model,
    texts: Texts,
    mask: (String, i64),
    device: Device,
}

/// A token for a masked place.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Filling {
    /// Its probability there.
    pub score: f64,
    /// Its id.
    pub token: i64,
    /// Its text.
    pub token_str: String,
}

impl MaskFiller {
    /// Opens a folder with `config.json`, weights and `tokenizer.json`.
    ///
    /// # Errors
    /// As [`Model::open`], and a tokenizer without a mask token.
    pub fn open(registry: &Arc<Registry>, folder: &Path, device: Device) -> Result<Self> {
        let model = Model::open(registry, folder, Some(Head::MaskedLm), device)?;
        let mut texts = Texts::open(folder, model.config())?;
        texts.cut(None)?;
        let mask = texts.special("mask_token").ok_or_else(|| Error::File {
            path: folder.join("tokenizer_config.json").display().to_string(),
            reason: "it names no `mask_token` that the tokenizer knows".to_owned(),
        })?;
        Ok(Self { model, texts, mask, device })
    }

    /// The mask, `[MASK]` or `<mask>`.
    pub fn mask(&self) -> &str {
        &self.mask.0
    }

    /// For each text and each of its masks, the likeliest tokens, best first.
    ///
    /// # Errors
    /// A text without a mask, and everything that a call can end in.
    pub fn fill(&self, texts: &[String], count: usize) -> Result<Vec<Vec<Vec<Filling>>>> {
        let rows = self.texts.encode_fast(texts.iter().map(String::as_str).collect(), true)?;
        let lengths: Vec<usize> = rows.iter().map(|row| row.get_ids().len()).collect();
        let mut made = vec![Vec::new(); texts.len()];
        for batch in batches(&lengths) {
            let encodings: Vec<_> = batch.iter().map(|i| &rows[*i]).collect();
            let padded = Padded::new(&encodings, &self.texts, self.device)?;
            let width = padded.ids.size2()?.1;
            let (mut places, mut owners) = (Vec::new(), Vec::new());
            for (b, i) in batch.iter().enumerate() {
                let before = places.len();
                for (t, id) in rows[*i].get_ids().iter().enumerate() {
                    if i64::from(*id) == self.mask.1 {
                        places.push(b as i64 * width + t as i64);
                        owners.push(*i);
                    }
                }
                if places.len() == before {
                    let mut shown: String = texts[*i].chars().take(60).collect();
                    shown.push_str(if texts[*i].chars().nth(60).is_some() { "…" } else { "" });
                    return Err(Error::Unknown(format!(
                        "`{shown}` has no {} within the {} tokens that the model reads",
                        self.mask.0, lengths[*i]
                    )));
                }
            }
            let positions = Value::Tensor(Tensor::f_from_slice(&places)?.f_to_device(self.device)?);
            let inputs = padded.inputs();
            let mut inputs: Vec<(&str, &Value)> = inputs.iter().map(|(name, value)| (*name, value)).collect();
            inputs.push(("positions", &positions));
            let mut outputs = self.model.call(&inputs, &["logits"], false)?;
            let logits = outputs
                .take_tensor("logits")
                .ok_or_else(|| Error::Unknown("the model gave no scores".into()))?;
            let chances = logits.f_softmax(-1, Kind::Float)?;
            let count = (count as i64).min(chances.size2()?.1);
            let (scores, tokens) = chances.f_topk(count, -1, true, true)?;
            let flat = |t: Tensor, kind| t.f_to_kind(kind)?.f_to_device(Device::Cpu)?.f_reshape([-1]);
            let scores: Vec<f64> = Vec::try_from(flat(scores, Kind::Double)?)?;
            let tokens: Vec<i64> = Vec::try_from(flat(tokens, Kind::Int64)?)?;
            let count = count.max(1) as usize;
            for ((owner, scores), tokens) in owners.iter().zip(scores.chunks(count)).zip(tokens.chunks(count))
            {
                let filling = |(score, token): (&f64, &i64)| Filling {
                    score: *score,
                    token: *token,
                    token_str: self.texts.token(*token).1,
                };
                made[*owner].push(scores.iter().zip(tokens).map(filling).collect());
            }
        }
        Ok(made)
    }

    /// The text with its masks replaced, from the first on.
    pub fn filled(&self, text: &str, fillings: &[&str]) -> String {
        fillings.iter().fold(text.to_owned(), |text, filling| text.replacen(&self.mask.0, filling, 1))
    }
}
