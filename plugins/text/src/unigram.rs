//! Training of unigram vocabularies (Kudo, 2018): a large set of pieces is fitted to the words by
//! expectation maximisation, and those that are missed least are taken away until the wanted number is left.
//!
//! Equal corpora give equal vocabularies on any number of processors: words are gone through in a fixed number
//! of parts, whose sums are added in order, and where two pieces are equally good the first by letters stays.

use crate::tokenizer::parallel;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use zoo_plugin::prelude::*;

/// How a vocabulary is trained.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UnigramTraining {
    /// Pieces wanted.
    pub(crate) pieces: usize,
    /// At most this many different characters, the most frequent ones.
    pub(crate) characters: usize,
    /// Longest piece, in characters.
    pub(crate) longest: usize,
    /// Pieces to begin with, for each wanted one.
    pub(crate) seeds: usize,
}

/// Share of the pieces that a round leaves.
const SHRINKING: f64 = 0.75;
/// Rounds of expectation maximisation between two prunings.
const ROUNDS: usize = 2;
/// Pieces that are expected less often go.
const RARE: f64 = 0.5;
/// Parts that words are gone through in.
const PARTS: usize = 32;

/// A word as characters, with its count.
type Word = (Vec<char>, f64);

/// Pieces with their logarithmic probabilities.
#[derive(Clone, Debug, Default)]
struct Pieces {
    texts: Vec<String>,
    scores: Vec<f64>,
    ids: HashMap<String, usize>,
    longest: usize,
}

impl Pieces {
    fn new(pieces: Vec<(String, f64)>) -> Self {
        let mut made = Self::default();
        for (id, (text, score)) in pieces.into_iter().enumerate() {
            made.longest = made.longest.max(text.chars().count());
            made.ids.insert(text.clone(), id);
            made.texts.push(text);
            made.scores.push(score);
        }
        made
    }

    /// Calls `edge(begin, end, id)` for every piece in the word, by end and then by begin.
    fn edges(&self, word: &[char], mut edge: impl FnMut(usize, usize, usize)) {
        let mut text = String::new();
        for end in 1..=word.len() {
            for begin in end.saturating_sub(self.longest)..end {
                text.clear();
                text.extend(&word[begin..end]);
                if let Some(id) = self.ids.get(text.as_str()) {
                    edge(begin, end, *id);
                }
            }
        }
    }

    /// The likeliest way to cut a word, without the piece `but`; none where there is no way.
    fn best(&self, word: &[char], but: Option<usize>) -> Option<Vec<usize>> {
        let mut best: Vec<Option<(f64, usize, usize)>> = vec![None; word.len() + 1];
        best[0] = Some((0.0, 0, 0));
        self.edges(word, |begin, end, id| {
            let Some((before, ..)) = best[begin] else { return };
            let score = before + self.scores[id];
            if Some(id) != but && best[end].is_none_or(|(now, ..)| score > now) {
                best[end] = Some((score, begin, id));
            }
        });
        let (mut cut, mut at) = (Vec::new(), word.len());
        while at > 0 {
            let (_, begin, id) = best[at]?;
            cut.push(id);
            at = begin;
        }
        cut.reverse();
        Some(cut)
    }

    /// Adds how often each piece is expected in a word to `expected`; gives the word's logarithmic probability.
    fn expect(&self, (word, count): &Word, expected: &mut [f64]) -> f64 {
        let mut edges = Vec::new();
        self.edges(word, |begin, end, id| edges.push((begin, end, id)));
        let (mut before, mut after) =
            (vec![f64::NEG_INFINITY; word.len() + 1], vec![f64::NEG_INFINITY; word.len() + 1]);
        (before[0], after[word.len()]) = (0.0, 0.0);
        for &(begin, end, id) in &edges {
            before[end] = sum_of_logarithms(before[end], before[begin] + self.scores[id]);
        }
        for &(begin, end, id) in edges.iter().rev() {
            after[begin] = sum_of_logarithms(after[begin], after[end] + self.scores[id]);
        }
        let whole = before[word.len()];
        if whole.is_finite() {
            for &(begin, end, id) in &edges {
                expected[id] += count * (before[begin] + self.scores[id] + after[end] - whole).exp();
            }
        }
        whole
    }
}

/// ln(eᵃ + eᵇ)
fn sum_of_logarithms(a: f64, b: f64) -> f64 {
    let (less, more) = if a < b { (a, b) } else { (b, a) };
    if less == f64::NEG_INFINITY { more } else { more + (less - more).exp().ln_1p() }
}

/// The derivative of ln Γ, by its recurrence and its asymptotic series (Bernardo, 1976).
fn digamma(mut x: f64) -> f64 {
    let mut result = 0.0;
    while x < 7.0 {
        result -= 1.0 / x;
        x += 1.0;
    }
    let inverse = 1.0 / (x * x);
    let series = inverse * (1.0 / 12.0 - inverse * (1.0 / 120.0 - inverse / 252.0));
    result + x.ln() - 0.5 / x - series
}

/// Goes through all words in parts, and adds the parts' sums up in order.
fn over(words: &[Word], size: usize, each: impl Fn(&Word, &mut [f64]) + Sync) -> Result<Vec<f64>> {
    let parts: Vec<&[Word]> = words.chunks(words.len().div_ceil(PARTS).max(1)).collect();
    let mut sums = vec![0.0; size];
    for part in parallel(&parts, |part| {
        let mut sums = vec![0.0; size];
        part.iter().for_each(|word| each(word, &mut sums));
        Ok(sums)
    })? {
        for (sum, more) in sums.iter_mut().zip(part) {
            *sum += more;
        }
    }
    Ok(sums)
}

/// Characters that are pieces, the most frequent ones; and every substring of words that occurs twice, as far as there is
/// room, those first that cover most.
fn seeds(words: &[Word], alphabet: &BTreeMap<char, f64>, how: &UnigramTraining) -> Vec<(String, f64)> {
    let mut counts: HashMap<&[char], f64> = HashMap::new();
    for (word, count) in words {
        for begin in 0..word.len() {
            for end in begin + 2..=word.len().min(begin + how.longest) {
                *counts.entry(&word[begin..end]).or_default() += count;
            }
        }
    }
    let mut ranked: Vec<(u64, &[char])> = counts
        .into_iter()
        .filter(|(_, count)| *count >= 2.0)
        .map(|(text, count)| (count as u64 * text.len() as u64, text))
        .collect();
    ranked.sort_unstable_by_key(|(covered, text)| (Reverse(*covered), *text));
    ranked.truncate(how.pieces.saturating_mul(how.seeds));
    let mut pieces: Vec<(String, f64)> =
        alphabet.iter().map(|(c, count)| (c.to_string(), count.max(1.0))).collect();
    pieces.extend(ranked.into_iter().map(|(covered, text)| (text.iter().collect(), covered as f64)));
    let whole = pieces.iter().map(|(_, weight)| weight).sum::<f64>().ln();
    pieces.into_iter().map(|(text, weight)| (text, weight.ln() - whole)).collect()
}

/// Without the pieces that are missed least: those go whose text, cut otherwise, costs the least likelihood.
/// Characters stay.
fn prune(pieces: &Pieces, words: &[Word], keep: usize) -> Result<Vec<(String, f64)>> {
    let counts = over(words, pieces.texts.len(), |(word, count), sums| {
        for id in pieces.best(word, None).unwrap_or_default() {
            sums[id] += count;
        }
    })?;
    let whole: f64 = counts.iter().sum();
    let ids: Vec<usize> = (0..pieces.texts.len()).collect();
    let losses = parallel(&ids, |&id| {
        let text: Vec<char> = pieces.texts[id].chars().collect();
        if text.len() == 1 {
            return Ok(f64::INFINITY);
        }
        let Some(other) = pieces.best(&text, Some(id)) else { return Ok(f64::INFINITY) };
        let count = counts[id];
        if count == 0.0 {
            return Ok(f64::NEG_INFINITY);
        }
        // The count goes to the pieces of the other way, and all counts together grow by it.
        let after = (whole + count * (other.len() - 1) as f64).ln();
        let other: f64 = other.iter().map(|piece| (counts[*piece] + count).ln() - after).sum();
        Ok(count * (count.ln() - whole.ln() - other))
    })?;
    let mut order = ids;
    order.sort_by(|a, b| {
        losses[*b].total_cmp(&losses[*a]).then_with(|| pieces.texts[*a].cmp(&pieces.texts[*b]))
    });
    order.retain(|id| losses[*id] > f64::NEG_INFINITY);
    let characters = order.iter().filter(|id| losses[**id] == f64::INFINITY).count();
    order.truncate(keep.max(characters));
    order.sort_unstable();
    Ok(order.into_iter().map(|id| (pieces.texts[id].clone(), pieces.scores[id])).collect())
}

/// Pieces with their logarithmic probabilities, the likeliest first.
///
/// # Errors
/// More characters than pieces.
pub(crate) fn train_unigram(
    words: &BTreeMap<String, u64>,
    how: &UnigramTraining,
) -> Result<Vec<(String, f64)>> {
    let mut frequency: BTreeMap<char, f64> = BTreeMap::new();
    for (word, count) in words {
        word.chars().for_each(|c| *frequency.entry(c).or_default() += *count as f64);
    }
    let mut ranked: Vec<(char, f64)> = frequency.into_iter().collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    ranked.truncate(how.characters);
    let alphabet: BTreeMap<char, f64> = ranked.into_iter().collect();
    if alphabet.len() > how.pieces {
        let text = format!(
            "the corpus has {} characters, and the vocabulary room for {}",
            alphabet.len(),
            how.pieces
        );
        return Err(Error::new(text).at("vocabulary").help("a larger `vocabulary`, or fewer `characters`"));
    }
    // Characters that are no pieces part a word.
    let words: Vec<Word> = words
        .iter()
        .flat_map(|(word, count)| {
            let word: Vec<char> = word.chars().collect();
            let parts = word.split(|c| !alphabet.contains_key(c)).filter(|part| !part.is_empty());
            parts.map(|part| (part.to_vec(), *count as f64)).collect::<Vec<_>>()
        })
        .collect();
    let mut pieces = Pieces::new(seeds(&words, &alphabet, how));
    // As many as leave room for characters that come back at the end.
    let enough = how.pieces + how.pieces / 10;
    loop {
        for _ in 0..ROUNDS {
            let expected = over(&words, pieces.texts.len(), |word, sums| {
                pieces.expect(word, sums);
            })?;
            // Variational Bayes, under which rare pieces get rarer (Liang and Klein, 2007).
            let kept: Vec<usize> = (0..expected.len())
                .filter(|id| expected[*id] >= RARE || pieces.texts[*id].chars().nth(1).is_none())
                .collect();
            let count = |id: &usize| expected[*id].max(RARE);
            let whole = digamma(kept.iter().map(count).sum());
            let fitted = kept.iter().map(|id| (pieces.texts[*id].clone(), digamma(count(id)) - whole));
            pieces = Pieces::new(fitted.collect());
        }
        let size = pieces.texts.len();
        if size <= enough {
            break;
        }
        let fewer = prune(&pieces, &words, ((size as f64 * SHRINKING) as usize).max(enough))?;
        if fewer.len() == size {
            break;
        }
        pieces = Pieces::new(fewer);
    }
    let is_character = |text: &str| text.chars().nth(1).is_none();
    let mut all: Vec<(String, f64)> = pieces.texts.into_iter().zip(pieces.scores).collect();
    all.sort_by(|a, b| {
        is_character(&b.0).cmp(&is_character(&a.0)).then(b.1.total_cmp(&a.1)).then_with(|| a.0.cmp(&b.0))
    });
    all.truncate(how.pieces);
    all.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(words: &[(&str, u64)]) -> BTreeMap<String, u64> {
        words.iter().map(|(w, c)| ((*w).to_owned(), *c)).collect()
    }

    fn how(pieces: usize) -> UnigramTraining {
        UnigramTraining { pieces, characters: 100, longest: 16, seeds: 50 }
    }

    /// Words made of a few stems and endings.
    fn language() -> BTreeMap<String, u64> {
        let mut words = BTreeMap::new();
        for (i, stem) in ["▁walk", "▁talk", "▁jump", "▁paint", "▁plant", "▁cook"].iter().enumerate()
        {
            for (j, end) in ["", "s", "ed", "ing", "er", "ers"].iter().enumerate() {
                words.insert(format!("{stem}{end}"), (3 + 5 * i + 2 * j) as u64);
            }
        }
        words
    }

    fn likelihood(pieces: &[(String, f64)], words: &BTreeMap<String, u64>) -> f64 {
        let pieces = Pieces::new(pieces.to_vec());
        let mut sink = vec![0.0; pieces.texts.len()];
        words
            .iter()
            .map(|(w, c)| *c as f64 * pieces.expect(&(w.chars().collect(), *c as f64), &mut sink))
            .sum()
    }

    #[test]
    fn digamma_is_that_of_the_tables() {
        // ψ(1) = -γ, ψ(1/2) = -γ - 2 ln 2.
        assert!((digamma(1.0) + 0.577_215_664_901_532_9).abs() < 1e-8);
        assert!((digamma(0.5) + 1.963_510_026_021_423_5).abs() < 1e-8);
        assert!((digamma(10.0) - 2.251_752_589_066_721).abs() < 1e-10);
    }

    /// Of "ab" with P(ab) = 0.5, P(a) = 0.3 and P(b) = 0.2: 0.5 / 0.56 of its probability is the whole piece's.
    #[test]
    fn expectations_are_those_of_all_ways_to_cut() {
        let pieces = [("ab", 0.5_f64), ("a", 0.3), ("b", 0.2)].map(|(t, p)| (t.to_owned(), p.ln()));
        let pieces = Pieces::new(pieces.to_vec());
        let mut expected = vec![0.0; 3];
        let whole = pieces.expect(&(vec!['a', 'b'], 2.0), &mut expected);
        assert!((whole - 0.56_f64.ln()).abs() < 1e-12);
        for (found, wanted) in expected.iter().zip([2.0 * 0.5 / 0.56, 2.0 * 0.06 / 0.56, 2.0 * 0.06 / 0.56]) {
            assert!((found - wanted).abs() < 1e-12);
        }
        assert_eq!(pieces.best(&['a', 'b'], None), Some(vec![0]));
        assert_eq!(pieces.best(&['a', 'b'], Some(0)), Some(vec![1, 2]));
        assert_eq!(pieces.best(&['c'], None), None);
    }

    #[test]
    fn frequent_stems_are_found() {
        let words = language();
        let made = train_unigram(&words, &how(34)).unwrap();
        assert_eq!(made.len(), 34);
        let texts: Vec<&str> = made.iter().map(|(text, _)| text.as_str()).collect();
        for piece in ["▁cook", "▁plant", "▁paint", "▁talk", "▁jump", "s"] {
            assert!(texts.contains(&piece), "{piece} is none of {texts:?}");
        }
        let sum: f64 = made.iter().map(|(_, score)| score.exp()).sum();
        assert!(sum <= 1.0 + 1e-9, "{sum}");
        assert_eq!(train_unigram(&words, &how(34)).unwrap(), made);
        // More pieces fit the words better.
        assert!(likelihood(&train_unigram(&words, &how(40)).unwrap(), &words) > likelihood(&made, &words));
    }

    /// The trainer of the tokenizers crate, which draws its order from a clock, fits no better.
    #[test]
    fn words_are_fitted_as_well_as_by_the_reference() {
        use tokenizers::models::unigram::{Unigram, UnigramTrainer};
        let words = language();
        let sentences = words.iter().map(|(w, c)| (w.clone(), *c as u32)).collect();
        let trainer = UnigramTrainer::builder().show_progress(false).vocab_size(34).build().unwrap();
        let mut theirs = Unigram::default();
        trainer.do_train(sentences, &mut theirs).unwrap();
        let theirs: Vec<(String, f64)> = theirs.iter().cloned().collect();
        let (ours, theirs) =
            (likelihood(&train_unigram(&words, &how(34)).unwrap(), &words), likelihood(&theirs, &words));
        assert!(ours > theirs * 1.02, "{ours} against {theirs}");
    }

    #[test]
    fn rare_characters_are_left_out_and_too_small_a_vocabulary_is_refused() {
        let words = counts(&[("aaxa", 9), ("b", 50)]);
        let made = train_unigram(&words, &UnigramTraining { characters: 2, ..how(10) }).unwrap();
        assert!(made.iter().all(|(text, _)| !text.contains('x')), "{made:?}");
        let error = train_unigram(&words, &how(2)).unwrap_err();
        assert!(error.to_string().contains("3 characters"), "{error}");
    }
}
