//! Training of vocabularies by merging the most frequent pairs (Gage, 1994; Sennrich et al., 2016).
//!
//! Equal corpora give equal vocabularies: words are counted in order, and where two pairs are equally
//! frequent the one with the smaller ids is merged.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};

/// How a vocabulary is trained.
#[derive(Clone, Debug)]
pub(crate) struct Training<'a> {
    /// Entries wanted, special ones included.
    pub(crate) vocabulary: usize,
    /// First entries.
    pub(crate) special: &'a [String],
    /// Put before pieces that do not begin a word.
    pub(crate) prefix: &'a str,
    /// Characters that are entries whether they occur or not, in order.
    pub(crate) alphabet: &'a [char],
    /// At most this many other characters, the most frequent ones.
    pub(crate) characters: usize,
    /// Rarer pairs are not merged.
    pub(crate) minimum_frequency: u64,
}

/// What training gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Vocabulary {
    /// Entries by id.
    pub(crate) tokens: Vec<String>,
    /// Merged pairs in order.
    pub(crate) merges: Vec<(String, String)>,
}

impl Vocabulary {
    /// Entries with their ids.
    pub(crate) fn ids(&self) -> serde_json::Map<String, serde_json::Value> {
        self.tokens.iter().enumerate().map(|(id, token)| (token.clone(), id.into())).collect()
    }
}

struct State {
    words: Vec<Vec<u32>>,
    counts: Vec<u64>,
    pairs: HashMap<(u32, u32), i64>,
    places: HashMap<(u32, u32), BTreeSet<usize>>,
}

impl State {
    fn add(&mut self, word: usize, sign: i64) -> Vec<(u32, u32)> {
        let mut seen = Vec::new();
        for pair in self.words[word].windows(2) {
            let pair = (pair[0], pair[1]);
            *self.pairs.entry(pair).or_default() += sign * self.counts[word] as i64;
            if sign > 0 {
                self.places.entry(pair).or_default().insert(word);
            }
            seen.push(pair);
        }
        seen
    }
}

/// Trains a vocabulary on words with their counts.
pub(crate) fn train(words: &BTreeMap<String, u64>, how: &Training<'_>) -> Vocabulary {
    let mut tokens: Vec<String> = Vec::new();
    let mut ids: HashMap<String, u32> = HashMap::new();
    let mut id_of = |text: &str, tokens: &mut Vec<String>| -> u32 {
        if let Some(id) = ids.get(text) {
            return *id;
        }
        let id = tokens.len() as u32;
        tokens.push(text.to_owned());
        ids.insert(text.to_owned(), id);
        id
    };
    for token in how.special {
        id_of(token, &mut tokens);
    }
    // The alphabet: what is asked for, then the most frequent characters.
    let mut frequency: BTreeMap<char, u64> = BTreeMap::new();
    for (word, count) in words {
        for character in word.chars() {
            *frequency.entry(character).or_default() += count;
        }
    }
    let mut ranked: Vec<(Reverse<u64>, char)> = frequency
        .iter()
        .filter(|(c, _)| !how.alphabet.contains(c))
        .map(|(c, count)| (Reverse(*count), *c))
        .collect();
    ranked.sort_unstable();
    ranked.truncate(how.characters);
    let alphabet: BTreeSet<char> =
        ranked.into_iter().map(|(_, c)| c).chain(how.alphabet.iter().copied()).collect();
    for character in &alphabet {
        id_of(&character.to_string(), &mut tokens);
    }
    // Words as pieces of one character; characters outside the alphabet part a word.
    let mut state = State { words: vec![], counts: vec![], pairs: HashMap::new(), places: HashMap::new() };
    let mut continuing: BTreeSet<char> = BTreeSet::new();
    if !how.prefix.is_empty() {
        for word in words.keys() {
            continuing.extend(word.chars().skip(1).filter(|c| alphabet.contains(c)));
        }
        for character in &continuing {
            id_of(&format!("{}{character}", how.prefix), &mut tokens);
        }
    }
    for (word, count) in words {
        let mut pieces = Vec::new();
        for (i, character) in word.chars().enumerate() {
            if !alphabet.contains(&character) {
                if pieces.len() > 1 {
                    state.words.push(std::mem::take(&mut pieces));
                    state.counts.push(*count);
                }
                pieces.clear();
                continue;
            }
            let text = if i > 0 { format!("{}{character}", how.prefix) } else { character.to_string() };
            pieces.push(id_of(&text, &mut tokens));
        }
        if pieces.len() > 1 {
            state.words.push(pieces);
            state.counts.push(*count);
        }
    }
    for word in 0..state.words.len() {
        state.add(word, 1);
    }
    let mut queue: BinaryHeap<(i64, Reverse<(u32, u32)>)> =
        state.pairs.iter().map(|(pair, count)| (*count, Reverse(*pair))).collect();
    let mut merges = Vec::new();
    while tokens.len() < how.vocabulary {
        let Some((count, Reverse(pair))) = queue.pop() else { break };
        let present = state.pairs.get(&pair).copied().unwrap_or(0);
        if present != count {
            // Counted anew when it changed; the entry that is right is in the queue as well, or comes now.
            if present > 0 && present < count {
                queue.push((present, Reverse(pair)));
            }
            continue;
        }
        if count < 1 || (count as u64) < how.minimum_frequency {
            break;
        }
        let (left, right) = (tokens[pair.0 as usize].clone(), tokens[pair.1 as usize].clone());
        let bare = right.strip_prefix(how.prefix).filter(|_| !how.prefix.is_empty()).unwrap_or(&right);
        let merged = id_of(&format!("{left}{bare}"), &mut tokens);
        merges.push((left, right));
        let places = state.places.remove(&pair).unwrap_or_default();
        let mut changed: BTreeSet<(u32, u32)> = BTreeSet::new();
        for word in places {
            changed.extend(state.add(word, -1));
            let old = std::mem::take(&mut state.words[word]);
            let mut new = Vec::with_capacity(old.len());
            let mut i = 0;
            while i < old.len() {
                if i + 1 < old.len() && (old[i], old[i + 1]) == pair {
                    new.push(merged);
                    i += 2;
                } else {
                    new.push(old[i]);
                    i += 1;
                }
            }
            state.words[word] = new;
            changed.extend(state.add(word, 1));
        }
        for pair in changed {
            match state.pairs.get(&pair).copied().unwrap_or(0) {
                0 => {
                    state.pairs.remove(&pair);
                    state.places.remove(&pair);
                }
                count => queue.push((count, Reverse(pair))),
            }
        }
    }
    Vocabulary { tokens, merges }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(words: &[(&str, u64)]) -> BTreeMap<String, u64> {
        words.iter().map(|(w, c)| ((*w).to_owned(), *c)).collect()
    }

    fn how<'a>(special: &'a [String], prefix: &'a str, vocabulary: usize) -> Training<'a> {
        Training { vocabulary, special, prefix, alphabet: &[], characters: 100, minimum_frequency: 1 }
    }

    /// The example of Sennrich et al. (2016), without the sign for the end of a word.
    #[test]
    fn the_most_frequent_pair_is_merged_first() {
        let words = counts(&[("low", 5), ("lowest", 2), ("newer", 6), ("wider", 3)]);
        let made = train(&words, &how(&[], "", 12));
        // e-r 9, then l-o 7 before lo-w 7 (w-e is down to 2 + 6 - 6).
        let merges: Vec<String> = made.merges.iter().map(|(a, b)| format!("{a}+{b}")).collect();
        assert_eq!(merges, ["e+r", "l+o"]);
        assert_eq!(made.tokens.last().unwrap(), "lo");
    }

    #[test]
    fn pieces_inside_words_have_the_prefix() {
        let special = ["[PAD]".to_owned()];
        let made = train(&counts(&[("abab", 3), ("ab", 4)]), &how(&special, "##", 100));
        assert_eq!(made.tokens[..5], ["[PAD]", "a", "b", "##a", "##b"]);
        assert!(made.tokens.contains(&"ab".to_owned()) && made.tokens.contains(&"abab".to_owned()));
        assert!(!made.tokens.iter().any(|t| t.contains("b#")), "{:?}", made.tokens);
    }

    #[test]
    fn repeated_characters_and_equal_counts_are_deterministic() {
        let words = counts(&[("aaaa", 2), ("bbbb", 2), ("aabb", 1), ("abba", 1)]);
        let first = train(&words, &how(&[], "##", 30));
        for _ in 0..5 {
            assert_eq!(train(&words, &how(&[], "##", 30)), first);
        }
    }

    #[test]
    fn characters_beyond_the_limit_are_left_out() {
        let words = counts(&[("aaxa", 9), ("b", 50)]);
        let made = train(&words, &Training { characters: 2, ..how(&[], "##", 30) });
        assert!(made.tokens.iter().all(|t| !t.contains('x')), "{:?}", made.tokens);
        let few = train(&words, &Training { minimum_frequency: 100, ..how(&[], "##", 30) });
        assert!(few.merges.is_empty());
    }
}
