//! What a masker knows of a tokenizer: how many ids there are, and which of them are special.

use zoo_plugin::prelude::*;

/// The ids of a tokenizer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vocabulary {
    /// The mask token's id.
    pub mask: i64,
    /// Ids that are never selected and never drawn, in order: [CLS], [SEP], [PAD], [MASK] and the like.
    /// The unknown token is not among them, since it stands for text.
    pub special: Vec<i64>,
    /// Ids that text is made of, in order.
    pub ordinary: Vec<i64>,
}

impl Vocabulary {
    /// From a `tokenizer.json`; `mask` names the mask token where it is not [MASK] or <mask>.
    ///
    /// # Errors
    ///
    /// A file that is no tokenizer, or one without a mask token.
    pub fn new(json: &[u8], mask: Option<&str>) -> Result<Self> {
        let wrong = || Error::new("the tokenizer's export is no `tokenizer.json`").at("tokenizer");
        let root: serde_json::Value = serde_json::from_slice(json).map_err(|_| wrong())?;
        let mut ids: Vec<(String, i64)> = match &root["model"]["vocab"] {
            serde_json::Value::Object(map) => {
                map.iter().filter_map(|(token, id)| Some((token.clone(), id.as_i64()?))).collect()
            }
            // Unigram: pieces with scores, by id.
            serde_json::Value::Array(list) => list
                .iter()
                .enumerate()
                .filter_map(|(id, piece)| Some((piece.get(0)?.as_str()?.to_owned(), id as i64)))
                .collect(),
            _ => return Err(wrong()),
        };
        let unknown = match &root["model"]["unk_token"] {
            serde_json::Value::String(token) => token.clone(),
            _ => "<unk>".to_owned(),
        };
        let mut special = Vec::new();
        for added in root["added_tokens"].as_array().into_iter().flatten() {
            let (Some(token), Some(id)) = (added["content"].as_str(), added["id"].as_i64()) else { continue };
            if !ids.iter().any(|(_, known)| *known == id) {
                ids.push((token.to_owned(), id));
            }
            if added["special"] == true && token != unknown {
                special.push(id);
            }
        }
        let names: Vec<&str> = mask.map_or(vec!["[MASK]", "<mask>"], |name| vec![name]);
        let mask = names.iter().find_map(|name| ids.iter().find(|(token, _)| token == name));
        let Some((_, mask)) = mask else {
            return Err(Error::new(format!("the tokenizer has no token {}", names.join(" or ")))
                .at("tokenizer")
                .help("name its mask token in `mask_token`"));
        };
        special.push(*mask);
        special.sort_unstable();
        special.dedup();
        let mut ordinary: Vec<i64> =
            ids.iter().map(|(_, id)| *id).filter(|id| special.binary_search(id).is_err()).collect();
        ordinary.sort_unstable();
        ordinary.dedup();
        Ok(Self { mask: *mask, special, ordinary })
    }

    /// Whether an id is never selected.
    pub fn is_special(&self, id: i64) -> bool {
        self.special.binary_search(&id).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_ids_are_told_from_others() {
        let json = br#"{
            "added_tokens": [
                {"id": 0, "content": "[PAD]", "special": true}, {"id": 1, "content": "[UNK]", "special": true},
                {"id": 2, "content": "[MASK]", "special": true}, {"id": 9, "content": "new", "special": false}
            ],
            "model": {"type": "WordPiece", "unk_token": "[UNK]",
                "vocab": {"[PAD]": 0, "[UNK]": 1, "[MASK]": 2, "a": 3, "b": 4}}
        }"#;
        let made = Vocabulary::new(json, None).unwrap();
        assert_eq!(made, Vocabulary { mask: 2, special: vec![0, 2], ordinary: vec![1, 3, 4, 9] });
        assert_eq!(Vocabulary::new(json, Some("<m>")).unwrap_err().at, "tokenizer");
        assert!(Vocabulary::new(b"{}", None).is_err());
    }

    #[test]
    fn unigram_vocabularies_are_lists() {
        let json =
            br#"{"added_tokens": [], "model": {"type": "Unigram", "vocab": [["<mask>", 0.0], ["a", -1.0]]}}"#;
        let made = Vocabulary::new(json, None).unwrap();
        assert_eq!((made.mask, made.ordinary), (0, vec![1]));
    }
}
