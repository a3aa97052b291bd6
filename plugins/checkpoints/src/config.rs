//! A `config.json` of the hub, read with errors that name the key.

use crate::blocks::activation::Activation;
use serde_json::{Map, Value, json};
use std::io::Read;
use std::path::Path;
use zoo_plugin::{Error, Result};

/// Largest size that a configuration may ask for: a mistake, not a model, lies beyond.
const LARGEST: i64 = 1 << 28;
/// Most layers.
const LAYERS: i64 = 4096;
/// How transformers ends names of model classes.
const CLASS_ENDS: [&str; 13] = [
    "ForMaskedLM",
    "ForCausalLM",
    "LMHeadModel",
    "DoubleHeadsModel",
    "ForPreTraining",
    "ForSequenceClassification",
    "ForTokenClassification",
    "ForQuestionAnswering",
    "ForConditionalGeneration",
    "ForImageClassification",
    "ForMaskedImageModeling",
    "ForCTC",
    "Model",
];
/// Longest file that is read, in bytes.
const LONGEST: u64 = 16 << 20;

/// The keys and values of a `config.json`, or of a part of one.
#[derive(Clone, Debug)]
pub struct Config {
    map: Map<String, Value>,
}

impl Config {
    /// Reads a file, or the `config.json` of a folder.
    ///
    /// # Errors
    /// A file that cannot be read, is too long, or is no JSON object.
    pub fn read(path: &Path) -> Result<Self> {
        let file = if path.is_dir() { path.join("config.json") } else { path.to_owned() };
        let fail = |reason: String| Error::new(format!("{}: {reason}", file.display()));
        let mut text = String::new();
        std::fs::File::open(&file)
            .and_then(|f| f.take(LONGEST).read_to_string(&mut text))
            .map_err(|e| fail(e.to_string()))?;
        Self::parse(&text).map_err(|e| fail(e.message))
    }

    /// Reads JSON text.
    ///
    /// # Errors
    /// When it is no JSON object.
    pub fn parse(text: &str) -> Result<Self> {
        match serde_json::from_str(text) {
            Ok(Value::Object(map)) => Ok(Self { map }),
            Ok(_) => Err(Error::new("it is no JSON object, which a config.json is")),
            Err(e) => Err(Error::new(format!("it is no JSON: {e}"))),
        }
    }

    /// The `model_type`.
    ///
    /// # Errors
    /// When it is missing.
    pub fn family(&self) -> Result<&str> {
        self.map.get("model_type").and_then(Value::as_str).ok_or_else(|| {
            Error::new("config.json has no `model_type`")
                .help("say the family, as transformers names it: `bert`, …")
        })
    }

    /// The first of `architectures`: the model class that wrote the checkpoint.
    pub fn architecture(&self) -> Option<&str> {
        self.map.get("architectures")?.as_array()?.first()?.as_str()
    }

    /// The `config.json` of a model of this family with another head, or with other classes: what
    /// transformers loads it by. `ends` are endings of class names, the usual one first.
    ///
    /// # Errors
    /// What cannot be written as JSON.
    pub fn of_class(&self, ends: &[&str], classes: Option<i64>) -> Result<Vec<u8>> {
        let mut map = self.map.clone();
        let stem = self.architecture().and_then(|class| {
            // The longest end: `ForMaskedLM`, not `LM`.
            let cut =
                CLASS_ENDS.iter().filter_map(|end| class.strip_suffix(end)).min_by_key(|stem| stem.len());
            cut.filter(|stem| !stem.is_empty())
        });
        let same = self.architecture().is_some_and(|class| ends.iter().any(|end| class.ends_with(end)));
        if let (Some(stem), Some(end), false) = (stem, ends.first(), same) {
            map.insert("architectures".to_owned(), json!([format!("{stem}{end}")]));
        } else if !same {
            map.remove("architectures");
        }
        if let Some(classes) = classes {
            let named = map.get("id2label").and_then(Value::as_object).map(Map::len);
            if named != Some(classes as usize) {
                let label = |i: i64| format!("LABEL_{i}");
                let names: Map<String, Value> =
                    (0..classes).map(|i| (i.to_string(), label(i).into())).collect();
                let numbers: Map<String, Value> = (0..classes).map(|i| (label(i), i.into())).collect();
                map.insert("id2label".to_owned(), names.into());
                map.insert("label2id".to_owned(), numbers.into());
            }
            map.remove("num_labels");
        }
        // Parameters are float32, whatever they were loaded from.
        map.remove("torch_dtype");
        map.insert("dtype".to_owned(), "float32".into());
        serde_json::to_vec_pretty(&map).map_err(|e| Error::new(format!("a configuration: {e}")))
    }

    /// The value, where there is one that is not null.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// Whether the key is there, be it with null.
    pub fn has(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    fn wrong(&self, key: &str, value: &Value, expected: &str) -> Error {
        let mut shown = value.to_string();
        if shown.chars().count() > 60 {
            shown = shown.chars().take(60).chain(['…']).collect();
        }
        Error::new(format!("`{key}` of config.json is {shown}, which is no {expected}"))
    }

    fn number(&self, key: &str, value: &Value, least: i64, most: i64) -> Result<i64> {
        // Some exports write whole numbers as 2.0.
        let whole = value.as_i64().or_else(|| value.as_f64().filter(|v| v.fract() == 0.0).map(|v| v as i64));
        whole
            .filter(|n| (least..=most).contains(n))
            .ok_or_else(|| self.wrong(key, value, &format!("whole number from {least} to {most}")))
    }

    /// A size that must be there, at least 1.
    ///
    /// # Errors
    /// When it is missing or no such number.
    pub fn size(&self, key: &str) -> Result<i64> {
        match self.get(key) {
            Some(value) => self.number(key, value, 1, LARGEST),
            None => Err(Error::new(format!("config.json has no `{key}`"))),
        }
    }

    /// A size of at least 1, or the default.
    ///
    /// # Errors
    /// When it is no such number.
    pub fn size_or(&self, key: &str, default: i64) -> Result<i64> {
        self.get(key).map_or(Ok(default), |value| self.number(key, value, 1, LARGEST))
    }

    /// Two sizes, height and width: a number for both or a list of two.
    ///
    /// # Errors
    /// When it is neither.
    pub fn sides(&self, key: &str, default: i64) -> Result<[i64; 2]> {
        match self.get(key) {
            None => Ok([default, default]),
            Some(Value::Array(list)) => match list.as_slice() {
                [height, width] => {
                    Ok([self.number(key, height, 1, LARGEST)?, self.number(key, width, 1, LARGEST)?])
                }
                _ => Err(self.wrong(key, &Value::Array(list.clone()), "number or list of two")),
            },
            Some(value) => self.number(key, value, 1, LARGEST).map(|side| [side, side]),
        }
    }

    /// A whole number of either sign.
    ///
    /// # Errors
    /// When it is no such number.
    pub fn whole_or(&self, key: &str, default: i64) -> Result<i64> {
        self.get(key).map_or(Ok(default), |value| self.number(key, value, -LARGEST, LARGEST))
    }

    /// The token that pads, whose vector is never trained: `pad_token_id`, or the family's; none where the
    /// file says `null`.
    ///
    /// # Errors
    /// When it is no whole number.
    pub fn padding(&self, default: i64) -> Result<Option<i64>> {
        if self.map.get("pad_token_id").is_some_and(Value::is_null) {
            return Ok(None);
        }
        self.whole_or("pad_token_id", default).map(Some)
    }

    /// A number of layers, at least 0.
    ///
    /// # Errors
    /// When it is missing or no such number.
    pub fn layers(&self, key: &str) -> Result<i64> {
        match self.get(key) {
            Some(value) => self.number(key, value, 0, LAYERS),
            None => Err(Error::new(format!("config.json has no `{key}`"))),
        }
    }

    /// A finite number, where there is one.
    ///
    /// # Errors
    /// When it is no number.
    pub fn real(&self, key: &str) -> Result<Option<f64>> {
        self.get(key)
            .map(|value| {
                value.as_f64().filter(|v| v.is_finite()).ok_or_else(|| self.wrong(key, value, "number"))
            })
            .transpose()
    }

    /// A finite number, or the default.
    ///
    /// # Errors
    /// When it is no number.
    pub fn real_or(&self, key: &str, default: f64) -> Result<f64> {
        Ok(self.real(key)?.unwrap_or(default))
    }

    /// A share in [0, 1), or the default.
    ///
    /// # Errors
    /// When it is no such number.
    pub fn rate_or(&self, key: &str, default: f64) -> Result<f64> {
        let rate = self.real_or(key, default)?;
        match self.get(key) {
            Some(value) if !(0.0..1.0).contains(&rate) => Err(self.wrong(key, value, "share from 0 to 1")),
            _ => Ok(rate),
        }
    }

    /// True or false, or the default.
    ///
    /// # Errors
    /// When it is neither.
    pub fn flag_or(&self, key: &str, default: bool) -> Result<bool> {
        self.get(key).map_or(Ok(default), |value| {
            value.as_bool().ok_or_else(|| self.wrong(key, value, "`true` or `false`"))
        })
    }

    /// A flag that must have this value where it is given.
    ///
    /// # Errors
    /// When it has the other one.
    pub fn only_flag(&self, key: &str, only: bool) -> Result<()> {
        if self.flag_or(key, only)? == only {
            return Ok(());
        }
        Err(self.unsupported(key, &only.to_string()))
    }

    /// That a key has a value which is not built.
    pub fn unsupported(&self, key: &str, supported: &str) -> Error {
        let value = self.map.get(key).cloned().unwrap_or_default();
        Error::new(format!("`{key}` of config.json is {value}, which is not supported"))
            .help(format!("supported is {supported}"))
            .at("config")
    }

    /// The activation function that a key names, or the default.
    ///
    /// # Errors
    /// One that is not built.
    pub fn activation(&self, key: &str, default: &str) -> Result<Activation> {
        self.activation_named(key, self.text_or(key, default)?)
    }

    /// The activation function of that name, which comes from `key`.
    ///
    /// # Errors
    /// One that is not built.
    pub fn activation_named(&self, key: &str, name: &str) -> Result<Activation> {
        Activation::named(name).ok_or_else(|| self.unsupported(key, &Activation::names()))
    }

    /// A text, or the default.
    ///
    /// # Errors
    /// When it is no text.
    pub fn text_or<'a>(&'a self, key: &str, default: &'a str) -> Result<&'a str> {
        self.get(key)
            .map_or(Ok(default), |value| value.as_str().ok_or_else(|| self.wrong(key, value, "text")))
    }

    /// A list of texts, where there is one.
    ///
    /// # Errors
    /// When it is something else.
    pub fn texts(&self, key: &str) -> Result<Option<Vec<&str>>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        value
            .as_array()
            .and_then(|list| list.iter().map(Value::as_str).collect::<Option<Vec<_>>>())
            .map(Some)
            .ok_or_else(|| self.wrong(key, value, "list of texts"))
    }

    /// A list of numbers, where there is one.
    ///
    /// # Errors
    /// When it is something else.
    pub fn reals(&self, key: &str) -> Result<Option<Vec<f64>>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        value
            .as_array()
            .and_then(|list| list.iter().map(Value::as_f64).collect::<Option<Vec<_>>>())
            .map(Some)
            .ok_or_else(|| self.wrong(key, value, "list of numbers"))
    }

    /// A list of sizes, each at least 1, or the default.
    ///
    /// # Errors
    /// When it is something else.
    pub fn sizes_or(&self, key: &str, default: &[i64]) -> Result<Vec<i64>> {
        match self.get(key) {
            None => Ok(default.to_vec()),
            Some(Value::Array(list)) => list.iter().map(|v| self.number(key, v, 1, LARGEST)).collect(),
            Some(value) => Err(self.wrong(key, value, "list of sizes")),
        }
    }

    /// The whole numbers of a list; none where it is no list.
    ///
    /// # Errors
    /// A list of something else.
    pub fn list(&self, key: &str) -> Result<Option<Vec<i64>>> {
        match self.get(key) {
            Some(Value::Array(list)) => {
                list.iter().map(|v| self.number(key, v, -LARGEST, LARGEST)).collect::<Result<_>>().map(Some)
            }
            _ => Ok(None),
        }
    }

    /// A part that is an object, where there is one.
    ///
    /// # Errors
    /// When it is something else.
    pub fn part(&self, key: &str) -> Result<Option<Self>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(Self { map: map.clone() })),
            Some(value) => Err(self.wrong(key, value, "object")),
        }
    }

    /// The same with another value.
    #[must_use]
    pub fn with(&self, key: &str, value: impl Into<Value>) -> Self {
        let mut map = self.map.clone();
        map.insert(key.to_owned(), value.into());
        Self { map }
    }

    /// The same with that value where the key is missing; null stays.
    #[must_use]
    pub fn with_absent(&self, key: &str, value: impl Into<Value>) -> Self {
        if self.has(key) { self.clone() } else { self.with(key, value) }
    }

    /// The same with that value where there is none.
    #[must_use]
    pub fn with_default(&self, key: &str, value: impl Into<Value>) -> Self {
        if self.get(key).is_some() { self.clone() } else { self.with(key, value) }
    }

    /// How many classes a classifier tells apart: `num_labels`, or the entries of `id2label`; 2
    /// where neither is said, as transformers has it.
    ///
    /// # Errors
    /// When they are something else.
    pub fn classes(&self) -> Result<i64> {
        if self.get("num_labels").is_some() {
            return self.size("num_labels");
        }
        Ok(self.part("id2label")?.map_or(2, |labels| (labels.map.len() as i64).max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_with_errors_that_name_them() {
        let config =
            Config::parse(r#"{"a": 3, "b": 2.0, "c": "x", "d": null, "e": -1, "f": 1e300}"#).unwrap();
        assert_eq!(config.size("a").unwrap(), 3);
        assert_eq!(config.size("b").unwrap(), 2);
        assert_eq!(config.size_or("d", 7).unwrap(), 7);
        for key in ["c", "e", "f"] {
            let text = config.size(key).unwrap_err().message;
            assert!(text.starts_with(&format!("`{key}` of config.json is ")), "{text}");
        }
        assert_eq!(config.size("g").unwrap_err().message, "config.json has no `g`");
        assert!(config.rate_or("a", 0.0).is_err());
        assert_eq!(config.classes().unwrap(), 2);
        assert!(Config::parse("[]").is_err() && Config::parse("{").is_err());
    }
}
