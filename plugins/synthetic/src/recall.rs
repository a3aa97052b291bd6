//! Documents of facts with questions about them.

use rand::RngExt;
use zoo_plugin::prelude::*;

/// Documents that state facts and ask for them again: key-value recall, a needle test in small.
///
/// A document has `facts` facts, each a key and its value, no key and no value twice, in random order among `fillers`
/// filler words; then `;`, then `queries` queries about its facts, of which none is asked for again before all were. A query is
/// the key and the value to be recalled, behind what `hint` says: the same value (`answer`), so that copying the last
/// word but one suffices; a filler word (`filler`), so that only the fact gives it away; or nothing (`none`). Filler
/// words are drawn at random, or each is the next one of a fixed cycle with the probability `chain`. The values to be
/// recalled have the tag `answer`, all other words `-`, for none.
///
/// Guessing among the values of the document is right one time in `facts`.
///
/// # Paper
/// Arora et al.: Zoology: Measuring and Improving Recall in Efficient Language Models, ICLR 2024, section 3, for the
/// task; Zhuang et al.: Mask-Enhanced Autoregressive Prediction, ICML 2025, for the needle.
///
/// # Example
/// ```mlm
/// data documents = synthetic.recall(documents: 1000, facts: 4, queries: 4)
/// ```
#[component(
    data,
    name = "synthetic.recall",
    outputs(
        text: "text[B]" = "one document, words between single spaces",
        tags: "text[B]" = "a tag for each word, between single spaces",
    ),
    random,
)]
pub struct Recall {
    /// Number of documents.
    #[param(default = 1000, range = ">= 1")]
    pub documents: usize,
    /// Facts of a document.
    #[param(default = 4, range = ">= 1")]
    pub facts: usize,
    /// Keys that there are.
    #[param(default_formula = "2 * facts", range = ">= 1")]
    pub keys: usize,
    /// Values that there are.
    #[param(default_formula = "2 * facts", range = ">= 1")]
    pub values: usize,
    /// Filler words among the facts of a document.
    #[param(default = 4, range = ">= 0")]
    pub fillers: usize,
    /// Filler words that there are.
    #[param(default = 8, range = ">= 1")]
    pub filler_words: usize,
    /// Probability that a filler word is the one after its predecessor; else it is any.
    #[param(default = 0.0, range = "[0%, 100%]", kind = "fraction")]
    pub chain: f64,
    /// Queries of a document.
    #[param(default = 4, range = ">= 1")]
    pub queries: usize,
    /// What stands before the key of a query.
    #[param(default = "none", one_of("answer", "filler", "none"))]
    pub hint: String,
}

/// `count` different numbers below `from`, in random order.
fn some(random: &mut impl RngExt, from: usize, count: usize) -> Vec<usize> {
    let mut all: Vec<usize> = (0..from).collect();
    for i in 0..count {
        let other = random.random_range(i..from);
        all.swap(i, other);
    }
    all.truncate(count);
    all
}

impl Recall {
    /// The next filler word.
    fn filler(&self, last: &mut Option<usize>, random: &mut impl RngExt) -> String {
        let (draw, any) = (random.random::<f64>(), random.random_range(0..self.filler_words));
        let word = match *last {
            Some(last) if draw < self.chain => (last + 1) % self.filler_words,
            _ => any,
        };
        *last = Some(word);
        format!("word{word}")
    }

    /// A document and its tags.
    pub fn document(&self, random: &mut impl RngExt) -> (String, String) {
        let (keys, values) = (some(random, self.keys, self.facts), some(random, self.values, self.facts));
        let mut last: Option<usize> = None;
        // Facts and fillers in random order; what stands at a place below `facts` is that fact.
        let (mut words, mut tags) = (Vec::new(), Vec::new());
        for unit in some(random, self.facts + self.fillers, self.facts + self.fillers) {
            if unit < self.facts {
                words.extend([format!("key{}", keys[unit]), format!("value{}", values[unit])]);
                tags.extend(["-", "-"]);
            } else {
                words.push(self.filler(&mut last, random));
                tags.push("-");
            }
        }
        words.push(";".to_owned());
        tags.push("-");
        let mut asked: Vec<usize> = Vec::new();
        while asked.len() < self.queries {
            let more = (self.queries - asked.len()).min(self.facts);
            asked.extend(some(random, self.facts, more));
        }
        for fact in asked {
            match self.hint.as_str() {
                "answer" => words.push(format!("value{}", values[fact])),
                "filler" => words.push(self.filler(&mut last, random)),
                _ => {}
            }
            if self.hint != "none" {
                tags.push("-");
            }
            words.extend([format!("key{}", keys[fact]), format!("value{}", values[fact])]);
            tags.extend(["-", "answer"]);
        }
        (words.join(" "), tags.join(" "))
    }
}

impl Component for Recall {
    type State = u64;

    fn build(&self, cx: &mut Build<'_>) -> Result<u64> {
        for (name, there) in [("keys", self.keys), ("values", self.values)] {
            if there < self.facts {
                let text = format!("{} facts have different {name}, and there are {there}", self.facts);
                return Err(Error::new(text).at(name));
            }
        }
        Ok(cx.seed("documents", 0))
    }

    fn length(&self, _: &u64, _: &mut Call<'_>) -> Result<usize> {
        Ok(self.documents)
    }

    fn read(&self, seed: &u64, indices: &[i64], _: &mut Call<'_>) -> Result<RecallOutputs> {
        let (mut text, mut tags) = (Vec::new(), Vec::new());
        for index in indices {
            let row = usize::try_from(*index).ok().filter(|row| *row < self.documents).ok_or_else(|| {
                Error::new(format!("there is no document {index}: there are {}", self.documents))
            })?;
            // A document of its own for every seed and row, made when it is read.
            let mut random = ChaCha8Rng::seed_from_u64(*seed);
            random.set_stream(row as u64);
            let (words, labels) = self.document(&mut random);
            text.push(words);
            tags.push(labels);
        }
        Ok(RecallOutputs { text, tags })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recall(hint: &str) -> Recall {
        Recall {
            documents: 10,
            facts: 4,
            keys: 8,
            values: 8,
            fillers: 4,
            filler_words: 5,
            chain: 0.0,
            queries: 4,
            hint: hint.to_owned(),
        }
    }

    #[test]
    fn every_query_asks_for_a_fact_of_the_document() {
        for hint in ["answer", "filler", "none"] {
            for seed in 0..50 {
                let (text, tags) = recall(hint).document(&mut ChaCha8Rng::seed_from_u64(seed));
                let (words, tags): (Vec<&str>, Vec<&str>) =
                    (text.split(' ').collect(), tags.split(' ').collect());
                assert_eq!(words.len(), tags.len());
                let end = words.iter().position(|word| *word == ";").unwrap();
                assert_eq!(end, 12);
                let query = if hint == "none" { 2 } else { 3 };
                assert_eq!(words.len(), 13 + 4 * query);
                let mut asked = Vec::new();
                for (number, parts) in words[end + 1..].chunks(query).enumerate() {
                    let (key, value) = (parts[query - 2], parts[query - 1]);
                    let fact = words[..end].iter().position(|word| *word == key).unwrap();
                    assert_eq!(words[fact + 1], value);
                    assert_eq!(tags[end + query * (number + 1)], "answer");
                    match hint {
                        "answer" => assert_eq!(parts[0], value),
                        "filler" => assert!(parts[0].starts_with("word")),
                        _ => {}
                    }
                    asked.push(key);
                }
                asked.sort_unstable();
                asked.dedup();
                assert_eq!(asked.len(), 4);
                assert_eq!(tags.iter().filter(|tag| **tag == "answer").count(), 4);
            }
        }
    }

    #[test]
    fn fillers_follow_the_cycle_as_often_as_asked() {
        let recall = Recall { chain: 0.75, fillers: 3000, ..recall("none") };
        let (text, _) = recall.document(&mut ChaCha8Rng::seed_from_u64(3));
        let words: Vec<i64> =
            text.split(' ').filter_map(|word| word.strip_prefix("word")?.parse().ok()).collect();
        let next = words.windows(2).filter(|pair| pair[1] == (pair[0] + 1) % 5).count() as f64;
        // 75%, and one in five of the rest.
        assert!((next / 2999.0 - 0.80).abs() < 0.04, "{next}");
    }
}
