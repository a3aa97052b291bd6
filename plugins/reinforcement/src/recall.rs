//! Rewards for what an answer says.

use crate::answer::{Markers, words};
use std::collections::HashMap;
use zoo_plugin::prelude::*;

fn scores(scores: &[f64]) -> Result<Tensor> {
    let scores: Vec<f32> = scores.iter().map(|score| *score as f32).collect();
    Ok(Tensor::f_from_slice(&scores)?)
}

/// Texts in pairs, or an error that says how many there are of each.
fn paired(texts: usize, wanted: usize) -> Result<()> {
    if texts == wanted {
        return Ok(());
    }
    Err(Error::new(format!("there are {texts} texts and {wanted} right answers")).at("in.wanted"))
}

/// The share of the wanted words that an answer has.
///
/// Both are multisets of words, lower-cased, without punctuation and articles: `|wanted ∩ answer| / |wanted|`.
/// A text without the markers scores 0, so does one that was cut off. A policy can win by writing much:
/// `longest` bounds that.
///
/// # Paper
/// Wu et al.: MaskSearch, arXiv 2505.20285, section 3.3.
///
/// # Example
/// ```mlm
/// reward recall = reinforcement.token_recall()
/// ```
#[component(
    reward,
    name = "reinforcement.token_recall",
    inputs(text: "text[N]" = "finished texts", wanted: "text[N]" = "the right answers"),
    outputs(score: "float[N]" = "between 0 and 1" better = "higher" unit = "fraction"),
    stops_gradient,
)]
pub struct TokenRecall {
    /// What stands before the answer; the whole text is the answer, when absent.
    pub answer_open: Option<String>,
    /// What stands after it; it goes on to the end, when absent.
    pub answer_close: Option<String>,
    /// An answer of more words than this times the wanted ones has its score divided by how many times too long
    /// it is; any length is fine, when absent.
    #[param(range = ">= 1")]
    pub longest: Option<f64>,
}

impl TokenRecall {
    /// The score of one text.
    pub fn score(&self, text: &str, wanted: &str) -> f64 {
        let markers = Markers { open: self.answer_open.as_deref(), close: self.answer_close.as_deref() };
        let Some(answer) = markers.answer(text) else { return 0.0 };
        let (answer, wanted) = (words(answer), words(wanted));
        if wanted.is_empty() {
            return if answer.is_empty() { 1.0 } else { 0.0 };
        }
        let mut left: HashMap<&str, usize> = HashMap::new();
        answer.iter().for_each(|word| *left.entry(word).or_default() += 1);
        let found = wanted.iter().filter(|word| match left.get_mut(word.as_str()) {
            Some(count) if *count > 0 => {
                *count -= 1;
                true
            }
            _ => false,
        });
        let recall = found.count() as f64 / wanted.len() as f64;
        let allowed = self.longest.map_or(f64::INFINITY, |longest| longest * wanted.len() as f64);
        recall / (answer.len() as f64 / allowed).max(1.0)
    }
}

impl Component for TokenRecall {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Ok(())
    }

    fn call(&self, _: &(), x: TokenRecallInputs<'_>, _: &mut Call<'_>) -> Result<TokenRecallOutputs> {
        paired(x.text.len(), x.wanted.len())?;
        let all: Vec<f64> =
            x.text.iter().zip(x.wanted.iter()).map(|(text, wanted)| self.score(text, wanted)).collect();
        Ok(TokenRecallOutputs { score: scores(&all)? })
    }
}

/// 1 for an answer of exactly the wanted words, else 0.
///
/// Words are compared lower-cased, without punctuation and articles. Where `evidence` is set, a text that does
/// not have it is wrong whatever it answers: a guess that no tool stood behind is no skill, and without this an
/// untrained policy keeps groups for its lucky guesses.
///
/// # Example
/// ```mlm
/// reward correct = reinforcement.exact_match(answer_open: "<answer>", answer_close: "</answer>")
/// ```
#[component(
    reward,
    name = "reinforcement.exact_match",
    inputs(text: "text[N]" = "finished texts", wanted: "text[N]" = "the right answers"),
    outputs(score: "float[N]" = "0 or 1" better = "higher" unit = "fraction"),
    stops_gradient,
)]
pub struct ExactMatch {
    /// What stands before the answer; the whole text is the answer, when absent.
    pub answer_open: Option<String>,
    /// What stands after it; it goes on to the end, when absent.
    pub answer_close: Option<String>,
    /// What a text must have beside the answer: the beginning of a tool's call.
    pub evidence: Option<String>,
}

impl ExactMatch {
    /// The score of one text.
    pub fn score(&self, text: &str, wanted: &str) -> f64 {
        let markers = Markers { open: self.answer_open.as_deref(), close: self.answer_close.as_deref() };
        let seen = self.evidence.as_deref().is_none_or(|evidence| text.contains(evidence));
        let right = markers.answer(text).is_some_and(|answer| words(answer) == words(wanted));
        if seen && right { 1.0 } else { 0.0 }
    }
}

impl Component for ExactMatch {
    type State = ();

    fn build(&self, _: &mut Build<'_>) -> Result<()> {
        Ok(())
    }

    fn call(&self, _: &(), x: ExactMatchInputs<'_>, _: &mut Call<'_>) -> Result<ExactMatchOutputs> {
        paired(x.text.len(), x.wanted.len())?;
        let all: Vec<f64> =
            x.text.iter().zip(x.wanted.iter()).map(|(text, wanted)| self.score(text, wanted)).collect();
        Ok(ExactMatchOutputs { score: scores(&all)? })
    }
}
