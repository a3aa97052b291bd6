//! A tokenizer and a decoder of the recipe, as the tool loop wants them.

use crate::search::wholes;
use crate::tools::Spelling;
use zoo_plugin::prelude::*;
use zoo_plugin::{Description, Handle, Output};

/// References to both.
#[derive(Clone)]
pub(crate) struct Spelled<'c, 'h> {
    pub(crate) cx: &'c Call<'h>,
    pub(crate) tokenizer: (Handle, &'c Description),
    pub(crate) decoder: (Handle, &'c Description),
}

/// The ids of texts by a tokenizer of the recipe, a row each.
pub(crate) fn tokenized(
    cx: &Call<'_>,
    (handle, description): (Handle, &Description),
    texts: Vec<String>,
) -> Result<Vec<Vec<i64>>> {
    if description.parameters.get("special_tokens").and_then(serde_json::Value::as_bool) == Some(true) {
        let text = format!("`{}` frames every piece of a text with special tokens", description.name);
        return Err(Error::new(text)
            .at("tokenizer")
            .help(format!("set `special_tokens: false` on `{}`", description.name)));
    }
    let count = texts.len();
    let inputs = vec![("text", Output::Texts(texts))];
    let outputs = cx.call_by_name(handle, description, inputs, &["ids", "attention_mask"])?;
    let mut tensors = outputs.into_iter().map(|output| match output {
        Some(Output::Tensor(tensor)) => Ok(tensor),
        _ => Err(Error::new(format!("`{}` gave no tokens", description.name)).at("tokenizer")),
    });
    let mut next = || tensors.next().unwrap_or_else(|| Err(Error::new("the tokenizer gave no tokens")));
    let (ids, mask) = (next()?, next()?);
    let width = (ids.numel() / count.max(1)).max(1);
    let (ids, mask) = (wholes(&ids)?, wholes(&mask)?);
    let row = |(ids, mask): (&[i64], &[i64])| -> Vec<i64> {
        ids.iter().zip(mask).filter(|(_, shown)| **shown != 0).map(|(id, _)| *id).collect()
    };
    Ok(ids.chunks(width).zip(mask.chunks(width)).map(row).collect())
}

impl Spelled<'_, '_> {
    /// The text of ids.
    pub(crate) fn of(&self, ids: &[i64]) -> Result<String> {
        if ids.is_empty() {
            return Ok(String::new());
        }
        let (handle, description) = self.decoder;
        let ids = Tensor::f_from_slice(ids)?.f_unsqueeze(0)?;
        let outputs =
            self.cx.call_by_name(handle, description, vec![("ids", Output::Tensor(ids))], &["text"])?;
        match outputs.into_iter().next().flatten() {
            Some(Output::Texts(mut texts)) if texts.len() == 1 => Ok(texts.remove(0)),
            _ => Err(Error::new(format!("`{}` gave no text", description.name)).at("decoder")),
        }
    }

    /// The id of a text that is one token.
    pub(crate) fn one(&mut self, text: &str) -> Result<i64> {
        match self.ids(text)?.as_slice() {
            [id] => Ok(*id),
            ids => {
                Err(Error::new(format!("`{text}` is {} tokens, and a text ends with one", ids.len()))
                    .at("ends"))
            }
        }
    }
}

impl Spelling for Spelled<'_, '_> {
    type Error = Error;

    fn ids(&mut self, text: &str) -> Result<Vec<i64>> {
        Ok(tokenized(self.cx, self.tokenizer, vec![text.to_owned()])?.remove(0))
    }

    fn text(&mut self, ids: &[i64]) -> Result<String> {
        self.of(ids)
    }
}
