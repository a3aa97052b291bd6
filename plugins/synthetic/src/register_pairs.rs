//! Pairs of sentences of the register language, with their similarity.

use crate::language::{CONCEPTS_PER_SENTENCE, Language, Sentence};
use crate::register_language::rows;
use zoo_plugin::prelude::*;

/// Pairs of sentences of a register language, with the similarity of what they mean.
///
/// The gold similarity is the Jaccard overlap of the sets of concepts: 0, 0.2, 0.5 or 1 for 0, 1, 2 or 3 in
/// common, all four equally frequent. The registers of the two are drawn independently, so that sounding
/// alike says nothing. Pairs are drawn from the run's seed by streams of their own: none is a training example
/// other than by chance.
///
/// # Example
/// ```mlm
/// data sentences = synthetic.register_language(sentences: 1500)
/// data pairs = synthetic.register_pairs(language: sentences, pairs: 600)
/// ```
#[component(
    data,
    name = "synthetic.register_pairs",
    outputs(
        sentence1: "text[B]" = "a sentence",
        sentence2: "text[B]" = "another one",
        score: "float[B]" = "share of the concepts that both have, between 0 and 1",
    ),
    random,
)]
pub struct RegisterPairs {
    /// Sentences of the language, whose sizes the pairs take over.
    #[param(component = "data")]
    pub language: Handle,
    /// Number of pairs.
    #[param(default = 600, range = ">= 1")]
    pub pairs: usize,
    /// Whether a concept that both sentences have is said with different words, so that no word but fillers and
    /// particles is in both.
    #[param(default = true)]
    pub different_synonyms: bool,
}

/// A pair in words, with its similarity.
#[derive(Clone, Debug)]
pub struct Pair {
    first: String,
    second: String,
    similarity: f32,
}

impl RegisterPairs {
    fn pair(language: &Language, different_synonyms: bool, random: &mut impl Rng) -> Pair {
        let shared = random.random_range(0..=CONCEPTS_PER_SENTENCE);
        let (first, second): (Sentence, Sentence) = language.pair(shared, different_synonyms, random);
        Pair {
            first: language.text(&first),
            second: language.text(&second),
            similarity: first.similarity(&second) as f32,
        }
    }
}

impl Component for RegisterPairs {
    type State = Vec<Pair>;

    fn build(&self, cx: &mut Build<'_>) -> Result<Self::State> {
        let description = cx.describe(self.language)?;
        if description.component != "synthetic.register_language" {
            let text = format!("`{}` is a {}", description.name, description.component);
            return Err(Error::new(text).at("language").help("name a `synthetic.register_language`"));
        }
        let language: Language = serde_json::from_value(serde_json::Value::Object(description.parameters))?;
        language.check()?;
        let pair = |row| Self::pair(&language, self.different_synonyms, &mut cx.rng("pair", row));
        Ok((0..self.pairs).map(pair).collect())
    }

    fn length(&self, pairs: &Self::State, _: &mut Call<'_>) -> Result<usize> {
        Ok(pairs.len())
    }

    fn read(&self, pairs: &Self::State, indices: &[i64], _: &mut Call<'_>) -> Result<RegisterPairsOutputs> {
        let pairs = rows(pairs, indices)?;
        let scores: Vec<f32> = pairs.iter().map(|p| p.similarity).collect();
        Ok(RegisterPairsOutputs {
            sentence1: pairs.iter().map(|p| p.first.clone()).collect(),
            sentence2: pairs.iter().map(|p| p.second.clone()).collect(),
            score: Tensor::f_from_slice(&scores)?,
        })
    }
}
