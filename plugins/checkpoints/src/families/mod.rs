//! The families: what each makes of its `config.json`. A family is a mapping of keys and names onto
//! the shared blocks, and what is truly its own.

mod bart;
mod bert;
mod deberta;
mod esm;
mod gpt2;
mod llama;
mod llava;
mod modernbert;
mod phi;
mod speech;
mod t5;
mod unsupported;
mod vision;

use crate::blocks::projection::Style;
use crate::config::Config;
use crate::specification::{PairSpecification, Specification};
use crate::speech::SpeechSpecification;
use crate::vision::VisionSpecification;
use crate::vision_language::VisionLanguageSpecification;
use zoo_plugin::{Error, Result};

type Read = fn(&Config) -> Result<Specification>;
type ReadVision = fn(&Config) -> Result<VisionSpecification>;
type ReadSpeech = fn(&Config) -> Result<SpeechSpecification>;
type ReadBoth = fn(&Config) -> Result<VisionLanguageSpecification>;
type ReadPair = fn(&Config) -> Result<PairSpecification>;

/// Text families by `model_type`.
pub const TEXT: &[(&str, Read)] = &[
    ("bert", bert::bert),
    ("roberta", bert::roberta),
    ("xlm-roberta", bert::roberta),
    ("camembert", bert::roberta),
    ("electra", bert::electra),
    ("esm", esm::read),
    ("modernbert", modernbert::read),
    ("deberta-v2", deberta::read),
    ("gpt2", gpt2::read),
    ("llama", llama::llama),
    ("mistral", llama::mistral),
    ("qwen2", llama::qwen2),
    ("qwen3", llama::qwen3),
    ("gemma2", llama::gemma2),
    ("phi", phi::read),
    ("t5", t5::encoder),
    ("bart", bart::encoder),
];

/// Families of an encoder and a decoder.
pub const PAIRS: &[(&str, ReadPair)] = &[("t5", t5::read), ("bart", bart::read)];

/// Vision families.
pub const VISION: &[(&str, ReadVision)] = &[
    ("vit", vision::vit),
    ("vit_mae", vision::mae),
    ("beit", vision::beit),
    ("clip_vision_model", vision::clip),
    ("siglip_vision_model", vision::siglip),
];

/// Speech families.
pub const SPEECH: &[(&str, ReadSpeech)] =
    &[("wav2vec2-bert", speech::w2v_bert), ("wav2vec2-conformer", speech::conformer)];

/// Families of a vision tower and a language model.
pub const VISION_LANGUAGE: &[(&str, ReadBoth)] = &[("llava", llava::read)];

/// The entry of the configuration's family.
fn entry<R: Copy>(config: &Config, entries: &[(&str, R)], what: &str) -> Result<R> {
    let family = config.family()?;
    let found = entries.iter().find(|(name, _)| *name == family).map(|(_, read)| *read).ok_or_else(|| {
        let names: Vec<_> = entries.iter().map(|(name, _)| *name).collect();
        Error::new(format!("there is no {what} family `{family}`"))
            .help(format!("families are {}", names.join(", ")))
            .at("config")
    })?;
    unsupported::check(config, family)?;
    Ok(found)
}

/// The specification of a text model.
///
/// # Errors
/// An unknown family, and keys that are missing or wrong.
pub fn text(config: &Config) -> Result<Specification> {
    entry(config, TEXT, "text")?(config)
}

/// The specification of an encoder and a decoder.
///
/// # Errors
/// An unknown family, and keys that are missing or wrong.
pub fn pair(config: &Config) -> Result<PairSpecification> {
    entry(config, PAIRS, "encoder-decoder")?(config)
}

/// The specification of a vision model.
///
/// # Errors
/// An unknown family, and keys that are missing or wrong.
pub fn vision(config: &Config) -> Result<VisionSpecification> {
    entry(config, VISION, "vision")?(config)
}

/// The specification of a speech model.
///
/// # Errors
/// An unknown family, and keys that are missing or wrong.
pub fn speech(config: &Config) -> Result<SpeechSpecification> {
    entry(config, SPEECH, "speech")?(config)
}

/// The specification of a vision tower and a language model.
///
/// # Errors
/// An unknown family, and keys that are missing or wrong.
pub fn vision_language(config: &Config) -> Result<VisionLanguageSpecification> {
    entry(config, VISION_LANGUAGE, "vision-language")?(config)
}

/// Size of one of `heads` heads, where a configuration does not say it.
fn head_size(hidden: i64, heads: i64) -> Result<i64> {
    if hidden % heads != 0 {
        return Err(Error::new(format!("{heads} heads do not divide states of size {hidden}")).at("config"));
    }
    Ok(hidden / heads)
}

/// The kind of attention of each layer, where a configuration says it: `full_attention` or
/// `sliding_attention`.
fn layer_kinds(config: &Config, layers: usize) -> Result<Option<Vec<&str>>> {
    let kinds = config.texts("layer_types")?;
    if let Some(kinds) = &kinds {
        if kinds.iter().any(|kind| !["full_attention", "sliding_attention"].contains(kind)) {
            return Err(config.unsupported("layer_types", "full_attention and sliding_attention"));
        }
        if kinds.len() != layers {
            return Err(config.unsupported("layer_types", &format!("one entry for each of {layers} layers")));
        }
    }
    Ok(kinds)
}

/// Maps with bias, stored [output, input].
fn style(config: &Config) -> Result<Style> {
    let deviation = config.real_or("initializer_range", 0.02)?;
    if deviation < 0.0 {
        return Err(Error::new("`initializer_range` of config.json is negative").at("config"));
    }
    Ok(Style { bias: true, transposed: false, deviation })
}
