//! A tool that knows keys and their values.

use zoo_plugin::prelude::*;

/// The value of a key in a text of lines `key: value`.
///
/// The text stands beside each query, so that every question can have facts of its own and none can be learnt
/// by heart. Spaces around key and value do not count. A key that is not there is answered with `otherwise`, or
/// with the value of a line that only follows from the query: a wrong question then has an answer that
/// looks like any other.
///
/// # Example
/// ```mlm
/// tool look_up = tools.lookup()
/// ```
#[component(
    tool,
    name = "tools.lookup",
    inputs(
        text: "text[B]" = "keys that are asked for",
        context: "text[B]" = "lines `key: value`, for each query its own",
    ),
    outputs(text: "text[B]" = "their values"),
    loader,
)]
pub struct Lookup {
    /// The answer where there is no such key; the value of some line, when absent.
    pub otherwise: Option<String>,
}

/// FNV-1a, of which line answers a wrong key.
fn hash(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

impl Lookup {
    /// The value of a key.
    pub fn value(&self, key: &str, lines: &str) -> String {
        let pairs =
            || lines.lines().filter_map(|line| line.split_once(':')).map(|(k, v)| (k.trim(), v.trim()));
        if let Some((_, value)) = pairs().find(|(known, _)| *known == key.trim()) {
            return value.to_owned();
        }
        if let Some(otherwise) = &self.otherwise {
            return otherwise.clone();
        }
        let count = pairs().count().max(1) as u64;
        // The upper bits of a product mix well where the lower ones do not.
        let place =
            (u128::from(hash(key.trim()).wrapping_mul(0x9e37_79b9_7f4a_7c15)) * u128::from(count)) >> 64;
        pairs().nth(place as usize).map_or(String::new(), |(_, value)| value.to_owned())
    }
}

impl Component for Lookup {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Ok(())
    }

    fn call(&self, _: &(), x: LookupInputs<'_>, _: &mut Call<'_>) -> Result<LookupOutputs> {
        if x.text.len() != x.context.len() {
            let text =
                format!("there are {} queries and {} texts to look into", x.text.len(), x.context.len());
            return Err(Error::new(text).at("in.context"));
        }
        let pairs = x.text.iter().zip(x.context.iter());
        Ok(LookupOutputs { text: pairs.map(|(key, lines)| self.value(key, lines)).collect() })
    }
}
