//! Sentences of a debate: claims and arguments for and against, and remarks about them.

use crate::register_language::rows;
use rand::RngExt;
use rand::seq::SliceRandom;
use zoo_plugin::prelude::*;

/// Words of a sort; `for3` is the fourth cue of those who are for something.
const CUES: usize = 10;
const CONNECTIVES: usize = 5;
const REASONS: usize = 10;
const TOPIC_WORDS: usize = 4;

/// Sentences of a debate, as claims and arguments for or against a topic.
///
/// A sentence of topic τ has a speaker, a word of the topic, a word that tells the stance (ten for, ten against, ten
/// that take none) and what tells the kind: an argument has a connective and a phrase of reason, a claim a word that
/// demands. Filler words stand between. Classes are 0 argument for, 1 argument against, 2 claim for, 3 claim against
/// and 4 no stance, whose sentences are of either kind.
///
/// A share of the sentences, `remarks`, is followed by words about it, as people talk of what others said: "this is
/// an argument for it", or claim, or against; "this is an sentence without it" where there is no stance. A masked
/// language model learns from them what the words mean. Sentences of a topic in `silent` never have a remark.
///
/// With `speaker_bias` a sentence against comes with that probability from one of the first three speakers, and
/// all others from one of the rest; with `swapped` it is the sentences for that come from the three.
///
/// # Paper
/// After Rieger et al.: Few-shot learning for automated content analysis, 2023.
///
/// # Example
/// ```mlm
/// data sentences = synthetic.debate(sentences: 1000, topics: [0, 1], remarks: 15%)
/// ```
#[component(
    data,
    name = "synthetic.debate",
    outputs(
        text: "text[B]" = "one sentence, words between single spaces",
        label: "int[B]" = "its class, 0 to 4",
    ),
    random,
)]
pub struct Debate {
    /// Number of sentences.
    #[param(default = 1000, range = ">= 1")]
    pub sentences: usize,
    /// Topics that sentences are of, each as likely; a topic is a number.
    #[param(default = [0])]
    pub topics: Vec<i64>,
    /// Share of the sentences with a remark behind them.
    #[param(default = 0.0, range = "[0%, 100%]", kind = "fraction")]
    pub remarks: f64,
    /// Topics without remarks.
    #[param(default = [])]
    pub silent: Vec<i64>,
    /// Different filler words.
    #[param(default = 250, range = ">= 1")]
    pub fillers: usize,
    /// Filler words of a sentence.
    #[param(default = 5, range = "[0, 100]")]
    pub filler_length: usize,
    /// Different speakers.
    #[param(default = 12, range = ">= 4")]
    pub speakers: usize,
    /// How often a sentence against comes from the first three speakers; by chance, when absent.
    #[param(range = "[0%, 100%]", kind = "fraction")]
    pub speaker_bias: Option<f64>,
    /// Whether sentences for come from the first three instead.
    #[param(default = false)]
    pub swapped: bool,
}

impl Debate {
    /// A sentence and its class.
    pub fn sentence(&self, rng: &mut impl Rng) -> (String, i64) {
        let topic = self.topics[rng.random_range(0..self.topics.len())];
        let class = rng.random_range(0..5_i64);
        // Sentences without stance are arguments and claims about nothing.
        let argument = if class == 4 { rng.random_bool(0.5) } else { class < 2 };
        let stance = if class == 4 {
            "neutral"
        } else if class % 2 == 0 {
            "for"
        } else {
            "against"
        };
        let from_three = self.speaker_bias.map(|share| {
            let biased = if self.swapped { "for" } else { "against" };
            stance == biased && rng.random::<f64>() < share
        });
        let speaker = match from_three {
            None => rng.random_range(0..self.speakers),
            Some(true) => rng.random_range(0..3),
            Some(false) => rng.random_range(3..self.speakers),
        };
        let mut parts = vec![
            format!("topic{topic}_{}", rng.random_range(0..TOPIC_WORDS)),
            format!("{stance}{}", rng.random_range(0..CUES)),
            if argument {
                let mut reason = || rng.random_range(0..REASONS);
                let (one, other) = (reason(), reason());
                format!("because{} reason{one} reason{other}", rng.random_range(0..CONNECTIVES))
            } else {
                format!("demand{}", rng.random_range(0..CUES))
            },
        ];
        parts.extend((0..self.filler_length).map(|_| format!("word{}", rng.random_range(0..self.fillers))));
        parts.shuffle(rng);
        let mut text = format!("speaker{speaker} {}", parts.join(" "));
        if rng.random::<f64>() < self.remarks && !self.silent.contains(&topic) {
            text.push_str(&format!(" this is an {} it", remark(class)));
        }
        (text, class)
    }
}

/// The label's words in a remark.
pub fn remark(class: i64) -> &'static str {
    ["argument for", "argument against", "claim for", "claim against"]
        .get(class as usize)
        .unwrap_or(&"sentence without")
}

impl Component for Debate {
    type State = Vec<(String, i64)>;

    fn build(&self, cx: &mut Build<'_>) -> Result<Self::State> {
        if self.topics.is_empty() {
            return Err(Error::new("a debate needs a topic").at("topics"));
        }
        Ok((0..self.sentences).map(|row| self.sentence(&mut cx.rng("sentence", row))).collect())
    }

    fn length(&self, sentences: &Self::State, _: &mut Call<'_>) -> Result<usize> {
        Ok(sentences.len())
    }

    fn read(&self, sentences: &Self::State, indices: &[i64], _: &mut Call<'_>) -> Result<DebateOutputs> {
        let (text, labels): (Vec<String>, Vec<i64>) = rows(sentences, indices)?.into_iter().cloned().unzip();
        Ok(DebateOutputs { text, label: Tensor::f_from_slice(&labels)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn debate() -> Debate {
        Debate {
            sentences: 1,
            topics: vec![0, 7],
            remarks: 0.5,
            silent: vec![7],
            fillers: 20,
            filler_length: 3,
            speakers: 12,
            speaker_bias: None,
            swapped: false,
        }
    }

    #[test]
    fn cues_tell_the_class_and_silent_topics_are_not_talked_about() {
        let (mut seen, mut rng) = ([0; 5], ChaCha8Rng::seed_from_u64(3));
        let mut remarks = 0;
        for _ in 0..500 {
            let (text, class) = debate().sentence(&mut rng);
            seen[class as usize] += 1;
            let (body, said) = text.split_once(" this is an ").unwrap_or((&text, ""));
            let has = |cue: &str| body.split(' ').any(|word| word.starts_with(cue));
            assert_eq!(
                (has("for"), has("against"), has("neutral")),
                match class {
                    0 | 2 => (true, false, false),
                    1 | 3 => (false, true, false),
                    _ => (false, false, true),
                }
            );
            assert_ne!(has("because"), has("demand"));
            assert!(class == 4 || has("because") == (class < 2), "{text}");
            if !said.is_empty() {
                remarks += 1;
                assert!(body.contains("topic0_"), "{text}");
                assert_eq!(said, format!("{} it", remark(class)));
            }
        }
        assert!(seen.iter().all(|n| (70..130).contains(n)), "{seen:?}");
        assert!((90..160).contains(&remarks), "{remarks}");
    }

    #[test]
    fn speakers_follow_the_stance_where_they_are_biased() {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        for swapped in [false, true] {
            let biased = Debate { speaker_bias: Some(1.0), swapped, ..debate() };
            for _ in 0..200 {
                let (text, class) = biased.sentence(&mut rng);
                let speaker: usize = text.split(' ').next().unwrap()[7..].parse().unwrap();
                let of_three = class != 4 && (class % 2 == 0) == swapped;
                assert_eq!(speaker < 3, of_three, "{text}");
            }
        }
    }
}
