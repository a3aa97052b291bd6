//! Keys of `config.json` that change what a model computes and are not built: a model that has one is refused,
//! not computed without it.

use crate::config::Config;
use serde_json::Value;
use zoo_plugin::Result;

/// What a key may be, besides missing and null.
enum Only {
    /// Nothing: false and what is empty mean the same.
    Nothing,
    /// This flag.
    Flag(bool),
}

/// Families (all, where there are none), the key, what it may be, and what to do instead.
type Rule = (&'static [&'static str], &'static str, Only, &'static str);

const BERTS: &[&str] = &["bert", "roberta", "xlm-roberta", "camembert", "electra", "esm"];

const RULES: &[Rule] = &[
    (&[], "quantization_config", Only::Nothing, "weights in float32, float16 or bfloat16"),
    (&[], "compression_config", Only::Nothing, "weights in float32, float16 or bfloat16"),
    (&[], "pruned_heads", Only::Nothing, "layers with all of their heads"),
    (&[], "per_layer_config", Only::Nothing, "layers that differ by `layer_types` alone"),
    (&[], "attention_chunk_size", Only::Nothing, "attention to the whole text or to a `sliding_window`"),
    (BERTS, "add_cross_attention", Only::Flag(false), "false: no attention to another text"),
    (&["gpt2"], "add_cross_attention", Only::Flag(false), "false: no attention to another text"),
    (&["esm"], "is_folding_model", Only::Flag(false), "false: the language model alone"),
    (
        &["gemma2"],
        "use_bidirectional_attention",
        Only::Flag(false),
        "false; a recipe makes attention bidirectional with `attention: [\"bidirectional\"]`",
    ),
];

fn allowed(value: &Value, only: &Only) -> bool {
    match (only, value) {
        (_, Value::Null) | (Only::Nothing, Value::Bool(false)) => true,
        (Only::Nothing, Value::Array(list)) => list.is_empty(),
        (Only::Nothing, Value::Object(map)) => map.is_empty(),
        (Only::Flag(only), Value::Bool(value)) => only == value,
        _ => false,
    }
}

/// Refuses a configuration that asks for what is not built.
///
/// # Errors
/// The first such key, with its value and what is supported.
pub(super) fn check(config: &Config, family: &str) -> Result<()> {
    for (families, key, only, supported) in RULES {
        let concerned = families.is_empty() || families.contains(&family);
        if concerned && config.get(key).is_some_and(|value| !allowed(value, only)) {
            return Err(config.unsupported(key, supported));
        }
    }
    Ok(())
}
