//! Sentences of the register language.

use crate::language::Language;
use zoo_plugin::prelude::*;

/// Sentences of a made-up language in which style hides meaning.
///
/// A sentence is spoken in one of a few *registers*, each a fixed sequence of filler words, and means three
/// *concepts*. A concept is said with one of its synonyms, and a *particle* follows it that only depends on the
/// concept; the concepts of a sentence mostly share a *topic*. Two sentences mean the same to the degree that
/// their sets of concepts overlap, whatever their registers and synonyms.
///
/// The register fills most of a sentence, and so most of the mean of its token vectors: the nuisance that style
/// and word frequency are in natural text. It does not tell sentences of a register apart, so that a method
/// that learns to tell sentences apart learns to ignore it. Synonyms can be found by their company: particle,
/// topic, place.
///
/// With the defaults a sentence has 15 words out of 166. Sentences are drawn from the run's seed; the
/// language is the same under every seed.
///
/// # Example
/// ```mlm
/// data sentences = synthetic.register_language(sentences: 1500)
/// ```
#[component(
    data,
    name = "synthetic.register_language",
    outputs(text: "text[B]" = "one sentence, words between single spaces"),
    random,
)]
pub struct RegisterLanguage {
    /// Number of sentences.
    #[param(default = 10_000, range = ">= 1")]
    pub sentences: usize,
    /// What can be meant.
    #[param(default = 40, range = "[6, 1000]")]
    pub concepts: usize,
    /// Words for the same concept.
    #[param(default = 3, range = "[1, 100]")]
    pub synonyms: usize,
    /// Different particles; concept `c` has particle `c % particles`.
    #[param(default = 10, range = "[1, 1000]")]
    pub particles: usize,
    /// Styles.
    #[param(default = 4, range = "[1, 1000]")]
    pub registers: usize,
    /// Filler words of a sentence.
    #[param(default = 9, range = "[0, 100]")]
    pub fillers: usize,
    /// Groups of concepts that occur together.
    #[param(default = 10, range = ">= 1")]
    pub topics: usize,
    /// Share of the concepts that are drawn from the sentence's topic; the others from all.
    #[param(default = 0.95, range = "[0%, 100%]", kind = "fraction")]
    pub topic_share: f64,
    /// Whether particles are written. Without them nothing but knowledge of the language links synonyms.
    #[param(default = true)]
    pub with_particles: bool,
}

impl RegisterLanguage {
    /// The language, its sizes checked.
    pub fn language(&self) -> Result<Language> {
        let language = Language {
            concepts: self.concepts,
            synonyms: self.synonyms,
            particles: self.particles,
            registers: self.registers,
            fillers: self.fillers,
            topics: self.topics,
            topic_share: self.topic_share,
            with_particles: self.with_particles,
        };
        language.check()?;
        Ok(language)
    }
}

/// The texts at these indices.
pub(crate) fn rows<'a, T>(all: &'a [T], indices: &[i64]) -> Result<Vec<&'a T>> {
    let row = |index: &i64| {
        usize::try_from(*index)
            .ok()
            .and_then(|i| all.get(i))
            .ok_or_else(|| Error::new(format!("there is no example {index}; there are {}", all.len())))
    };
    indices.iter().map(row).collect()
}

impl Component for RegisterLanguage {
    type State = Vec<String>;

    fn build(&self, cx: &mut Build<'_>) -> Result<Self::State> {
        let language = self.language()?;
        let sentence = |row| language.text(&language.sentence(&mut cx.rng("sentence", row)));
        Ok((0..self.sentences).map(sentence).collect())
    }

    fn length(&self, sentences: &Self::State, _: &mut Call<'_>) -> Result<usize> {
        Ok(sentences.len())
    }

    fn read(
        &self,
        sentences: &Self::State,
        indices: &[i64],
        _: &mut Call<'_>,
    ) -> Result<RegisterLanguageOutputs> {
        let text = rows(sentences, indices)?.into_iter().cloned().collect();
        Ok(RegisterLanguageOutputs { text })
    }
}
