//! Classes of texts, and of their tokens.

use crate::model::{Head, Model};
use crate::text::{Padded, Texts, batches};
use crate::{Error, Result};
use serde::Serialize;
use serde_json::Value as Json;
use std::path::Path;
use std::sync::Arc;
use tch::{Device, Kind};
use tokenizers::EncodeInput;
use zoo_host::{Registry, Value};

/// A classifier with its tokenizer.
#[derive(Debug)]
pub struct Classifier {
    model: Model,
    texts: Texts,
    device: Device,
}

/// A class with its probability.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scored {
    /// Its name, from `id2label`.
    pub label: String,
    /// Its probability.
    pub score: f64,
}

/// A token, or several of one entity, with its likeliest class.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tagged {
    /// The class; of an entity without `B-` and `I-`.
    pub entity: String,
    /// Its probability; of an entity the mean.
    pub score: f64,
    /// The text that it covers.
    pub word: String,
    /// Where it begins, in characters.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
}

/// What a classifier says of one text.
#[derive(Clone, Debug, PartialEq)]
pub enum Classified {
    /// Classes of the text, the likeliest first.
    Text(Vec<Scored>),
    /// The class of each token.
    Tokens(Vec<Tagged>),
}

impl Classifier {
    /// Opens a folder with `config.json`, weights and `tokenizer.json`; its class decides whether texts or
    /// tokens are classified.
    ///
    /// # Errors
    /// As [`Model::open`], and a checkpoint that classifies nothing.
    pub fn open(registry: &Arc<Registry>, folder: &Path, device: Device) -> Result<Self> {
        let model = Model::open(registry, folder, None, device)?;
        if !matches!(model.head(), Head::SequenceClassifier | Head::TokenClassifier) {
            let class = model.config().get("architectures").and_then(|a| a.get(0)).and_then(Json::as_str);
            return Err(Error::Unknown(format!(
                "{}: its class is {}, which classifies neither texts nor tokens",
                folder.display(),
                class.unwrap_or("unknown")
            )));
        }
        let mut texts = Texts::open(folder, model.config())?;
        texts.cut(None)?;
        Ok(Self { model, texts, device })
    }

    fn label(&self, class: usize) -> String {
        let labels = self.model.config().get("id2label");
        let named = labels.and_then(|labels| labels.get(class.to_string())?.as_str());
        named.map_or_else(|| format!("LABEL_{class}"), str::to_owned)
    }

    /// Whether each class has a probability of its own: one class, or a problem of several labels.
    fn independent(&self, classes: i64) -> bool {
        let problem = self.model.config().get("problem_type").and_then(Json::as_str);
        problem == Some("multi_label_classification") || (classes == 1 && problem != Some("regression"))
    }

    /// Classes of texts, or of pairs of texts.
    ///
    /// # Errors
    /// Everything that a call can end in.
    pub fn classify(&self, texts: &[(String, Option<String>)]) -> Result<Vec<Classified>> {
        let inputs = texts.iter().map(|(text, pair)| match pair {
            Some(pair) => EncodeInput::from((text.as_str(), pair.as_str())),
            None => EncodeInput::from(text.as_str()),
        });
        let rows = self.texts.encode(inputs.collect::<Vec<_>>(), true)?;
        let lengths: Vec<usize> = rows.iter().map(|row| row.get_ids().len()).collect();
        let mut made: Vec<Option<Classified>> = vec![None; texts.len()];
        let tokens = self.model.head() == Head::TokenClassifier;
        for batch in batches(&lengths) {
            let encodings: Vec<_> = batch.iter().map(|i| &rows[*i]).collect();
            let padded = Padded::new(&encodings, &self.texts, self.device)?;
            let inputs = padded.inputs();
            let inputs: Vec<(&str, &Value)> = inputs.iter().map(|(name, value)| (*name, value)).collect();
            let mut outputs = self.model.call(&inputs, &["logits"], false)?;
            let logits = outputs
                .take_tensor("logits")
                .ok_or_else(|| Error::Unknown("the model gave no scores".into()))?;
            let classes = logits.size().last().copied().unwrap_or(1).max(1);
            let chances = if self.model.config().get("problem_type").is_some_and(|p| p == "regression") {
                logits
            } else if !tokens && self.independent(classes) {
                logits.f_sigmoid()?
            } else {
                logits.f_softmax(-1, Kind::Float)?
            };
            let chances = chances.f_to_kind(Kind::Double)?.f_to_device(Device::Cpu)?.f_reshape([-1])?;
            let chances: Vec<f64> = Vec::try_from(chances)?;
            for (i, chances) in batch.iter().zip(chances.chunks((chances.len() / batch.len()).max(1))) {
                made[*i] = Some(if tokens {
                    Classified::Tokens(self.tagged(&texts[*i].0, &rows[*i], chances, classes as usize))
                } else {
                    let scored =
                        |(class, score): (usize, &f64)| Scored { label: self.label(class), score: *score };
                    let mut all: Vec<Scored> = chances.iter().enumerate().map(scored).collect();
                    all.sort_by(|a, b| b.score.total_cmp(&a.score));
                    Classified::Text(all)
                });
            }
        }
        Ok(made.into_iter().flatten().collect())
    }

    fn tagged(&self, text: &str, row: &tokenizers::Encoding, chances: &[f64], classes: usize) -> Vec<Tagged> {
        let special = row.get_special_tokens_mask();
        let places = row.get_offsets();
        let each = chances.chunks(classes).zip(places).zip(special).filter(|(_, special)| **special == 0);
        each.filter_map(|((chances, (start, end)), _)| {
            let (class, score) = chances.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1))?;
            Some(Tagged {
                entity: self.label(class),
                score: *score,
                word: part(text, *start, *end),
                start: *start,
                end: *end,
            })
        })
        .collect()
    }
}

fn part(text: &str, start: usize, end: usize) -> String {
    text.chars().skip(start).take(end.saturating_sub(start)).collect()
}

/// Tokens as entities, as transformers' aggregation `simple` has it: neighbours of one class are one entity
/// unless the second begins with `B-`; tokens of class `O` are none.
pub fn entities(text: &str, tokens: &[Tagged]) -> Vec<Tagged> {
    let parts = |entity: &str| match entity.split_once('-') {
        Some(("B", rest)) => (true, rest.to_owned()),
        Some(("I", rest)) => (false, rest.to_owned()),
        _ => (false, entity.to_owned()),
    };
    let mut made: Vec<(Tagged, Vec<f64>)> = Vec::new();
    // Whether the last token belongs to the last entity.
    let mut open = false;
    for token in tokens {
        let (begins, entity) = parts(&token.entity);
        if token.entity == "O" {
            open = false;
            continue;
        }
        match made.last_mut() {
            Some((last, scores)) if open && !begins && last.entity == entity => {
                last.end = token.end;
                scores.push(token.score);
            }
            _ => made.push((Tagged { entity, ..token.clone() }, vec![token.score])),
        }
        open = true;
    }
    let finished = made.into_iter().map(|(entity, scores)| Tagged {
        word: part(text, entity.start, entity.end),
        score: scores.iter().sum::<f64>() / scores.len().max(1) as f64,
        ..entity
    });
    finished.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_of_a_class_are_one_entity() {
        let text = "Ada Lovelace met Bob in Rome Italy";
        let token = |word: &str, entity: &str, score: f64| {
            let start = text.find(word).unwrap();
            let end = start + word.len();
            Tagged { entity: entity.to_owned(), score, word: word.to_owned(), start, end }
        };
        let tokens = [
            token("Ada", "B-PER", 0.9),
            token("Lovelace", "I-PER", 0.7),
            token("met", "O", 0.9),
            token("Bob", "I-PER", 0.6),
            token("in", "O", 0.9),
            token("Rome", "B-LOC", 0.5),
            token("Italy", "B-LOC", 0.5),
        ];
        let found = entities(text, &tokens);
        let words: Vec<_> = found.iter().map(|e| (e.word.as_str(), e.entity.as_str())).collect();
        assert_eq!(words, [("Ada Lovelace", "PER"), ("Bob", "PER"), ("Rome", "LOC"), ("Italy", "LOC")]);
        assert!((found[0].score - 0.8).abs() < 1e-12);
    }
}
