//! Spans of words.

use zoo_plugin::prelude::*;

/// Replaces a random run of consecutive words by masks, one for each.
///
/// A word is what stands between white space. Every run is as likely as any other. The masks are written into
/// the text, so the tokenizer must know them as one token. Texts that are no longer than the run stay as
/// they are; white space becomes single spaces.
///
/// # Paper
/// Joshi, Chen, Liu, Weld, Zettlemoyer, Levy: SpanBERT, TACL 2020, section 3.1 (spans of whole words).
///
/// # Example
/// ```mlm
/// masker span = masking.word_span(length: 2)
/// ```
#[component(
    augmenter,
    name = "masking.word_span",
    inputs(text: "text[B]" = "sentences"),
    outputs(text: "text[B]" = "the same, each with one run of words replaced"),
    random,
    loader,
)]
pub struct WordSpan {
    /// Words that are replaced; 0 leaves every text as it is.
    #[param(default = 1)]
    pub length: usize,
    /// What stands in the place of each.
    #[param(default = "[MASK]")]
    pub mask: String,
}

impl WordSpan {
    /// The text with one run replaced; the text itself where it is too short.
    pub fn apply(&self, text: &str, random: &mut impl Rng) -> String {
        let mut words: Vec<&str> = text.split_whitespace().collect();
        if self.length == 0 || words.len() <= self.length {
            return text.to_owned();
        }
        let start = random.random_range(0..=words.len() - self.length);
        words[start..start + self.length].fill(&self.mask);
        words.join(" ")
    }
}

impl Component for WordSpan {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Ok(())
    }

    fn call(&self, _: &(), x: WordSpanInputs<'_>, cx: &mut Call<'_>) -> Result<WordSpanOutputs> {
        let changed = x.text.iter().enumerate().map(|(row, text)| self.apply(text, &mut cx.rng("span", row)));
        Ok(WordSpanOutputs { text: changed.collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn every_run_of_words_can_be_masked() {
        let span = WordSpan { length: 2, mask: "[MASK]".to_owned() };
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..200 {
            seen.insert(span.apply("a b  c d", &mut ChaCha8Rng::seed_from_u64(seed)));
        }
        let expected = ["[MASK] [MASK] c d", "a [MASK] [MASK] d", "a b [MASK] [MASK]"];
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn short_texts_stay_as_they_are() {
        let span = WordSpan { length: 2, mask: "[MASK]".to_owned() };
        let mut random = ChaCha8Rng::seed_from_u64(0);
        for text in ["", "a", "a b"] {
            assert_eq!(span.apply(text, &mut random), text);
        }
        assert_eq!(WordSpan { length: 0, ..span }.apply("a  b c", &mut random), "a  b c");
    }
}
