//! Spans of characters.

use zoo_plugin::prelude::*;

/// Replaces a random run of consecutive characters by a mask.
///
/// The mask stands between spaces: `the quick br [MASK]  fox`. Cutting inside words changes the tokens on
/// both sides of the cut, so that the two copies of a sentence differ in more than the masked token. As in the
/// authors' code, where the chosen characters occur earlier in the text too, their first occurrence is
/// replaced, and short texts stay as they are. A character is a Unicode scalar value.
///
/// The mask is written into the text, so the tokenizer must know it as one token.
///
/// # Paper
/// Liu, Vulić, Korhonen, Collier: Mirror-BERT, EMNLP 2021, section 2.1, and the authors' code.
///
/// # Example
/// ```mlm
/// masker span = masking.character_span(length: 5)
/// ```
#[component(
    augmenter,
    name = "masking.character_span",
    inputs(text: "text[B]" = "sentences"),
    outputs(text: "text[B]" = "the same, each with one run of characters replaced"),
    random,
    loader,
)]
pub struct CharacterSpan {
    /// Characters that are replaced; 0 leaves every text as it is.
    #[param(default = 5)]
    pub length: usize,
    /// Texts of fewer characters are left as they are.
    #[param(default = 30)]
    pub minimum_length: usize,
    /// What stands in their place, between spaces.
    #[param(default = "[MASK]")]
    pub mask: String,
}

impl CharacterSpan {
    /// The text with one run replaced; the text itself where it is too short.
    pub fn apply(&self, text: &str, random: &mut impl Rng) -> String {
        let starts: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        let characters = starts.len() - 1;
        if self.length == 0 || characters <= self.length || characters < self.minimum_length {
            return text.to_owned();
        }
        // The last possible start is left out, as in the authors' code.
        let start = random.random_range(0..characters - self.length);
        let chosen = &text[starts[start]..starts[start + self.length]];
        text.replacen(chosen, &format!(" {} ", self.mask), 1)
    }
}

impl Component for CharacterSpan {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Ok(())
    }

    fn call(&self, _: &(), x: CharacterSpanInputs<'_>, cx: &mut Call<'_>) -> Result<CharacterSpanOutputs> {
        let changed = x.text.iter().enumerate().map(|(row, text)| self.apply(text, &mut cx.rng("span", row)));
        Ok(CharacterSpanOutputs { text: changed.collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn span(length: usize) -> CharacterSpan {
        CharacterSpan { length, minimum_length: 30, mask: "[MASK]".to_owned() }
    }

    fn random(seed: u64) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(seed)
    }

    #[test]
    fn the_first_occurrence_of_the_chosen_characters_is_replaced() {
        for seed in 0..50 {
            let got = span(5).apply(&"a".repeat(40), &mut random(seed));
            assert_eq!(got, format!(" [MASK] {}", "a".repeat(35)));
        }
    }

    #[test]
    fn short_texts_stay_as_they_are() {
        let short = "b".repeat(29);
        assert_eq!(span(5).apply(&short, &mut random(0)), short);
        assert_ne!(span(5).apply(&"b".repeat(30), &mut random(0)), "b".repeat(30));
        assert_eq!(span(40).apply(&"b".repeat(40), &mut random(0)), "b".repeat(40));
        assert_eq!(span(0).apply(&"b".repeat(40), &mut random(0)), "b".repeat(40));
        assert_eq!(CharacterSpan { minimum_length: 0, ..span(5) }.apply("", &mut random(0)), "");
    }

    #[test]
    fn the_result_is_as_long_as_said_and_every_start_but_the_last_occurs() {
        let text: String = ('a'..='z').chain('A'..='Z').chain("éßØ中文😀".chars()).collect();
        let characters = text.chars().count();
        let mut starts = std::collections::BTreeSet::new();
        for seed in 0..2000 {
            let got = span(5).apply(&text, &mut random(seed));
            assert_eq!(got.chars().count(), characters - 5 + 8);
            starts.insert(got.chars().take_while(|c| *c != ' ').count());
        }
        assert_eq!(starts.into_iter().collect::<Vec<_>>(), (0..characters - 5).collect::<Vec<_>>());
    }
}
