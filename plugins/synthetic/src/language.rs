//! A language whose sentences have a meaning that is known, in one of several styles that say nothing.

use serde::Deserialize;
use zoo_plugin::prelude::*;

/// Concepts in a sentence.
pub(crate) const CONCEPTS_PER_SENTENCE: usize = 3;

/// Sizes of the language.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct Language {
    /// What can be meant.
    pub concepts: usize,
    /// Words for the same concept.
    pub synonyms: usize,
    /// Words that follow a concept's, `concept % particles` being the one.
    pub particles: usize,
    /// Styles.
    pub registers: usize,
    /// Words that a sentence of a register has in any case, in the same order.
    pub fillers: usize,
    /// Groups of concepts that occur together.
    pub topics: usize,
    /// Share of a sentence's concepts that are of its topic.
    pub topic_share: f64,
    /// Whether particles are written at all.
    pub with_particles: bool,
}

/// A sentence as it is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sentence {
    /// Its style.
    pub register: usize,
    /// What it means, in the order of its words.
    pub concepts: [usize; CONCEPTS_PER_SENTENCE],
    /// Which of its words each concept is said with.
    pub synonyms: [usize; CONCEPTS_PER_SENTENCE],
}

const CONSONANTS: &[u8] = b"bdfghklmnprstvz";
const VOWELS: &[u8] = b"aeiou";

fn syllable(number: usize) -> [char; 2] {
    let number = number % (CONSONANTS.len() * VOWELS.len());
    [CONSONANTS[number / VOWELS.len()].into(), VOWELS[number % VOWELS.len()].into()]
}

/// The word of that number: pronounceable, and different for every number.
fn word(number: usize) -> String {
    let syllables = CONSONANTS.len() * VOWELS.len();
    // 7 has no factor in common with 75, so that the first syllable and the third tell the number; the one
    // between keeps neighbours from looking alike.
    let (low, high) = (number % syllables, number / syllables);
    [syllable(7 * low), syllable(11 * low + 3), syllable(31 * high + 1)].concat().into_iter().collect()
}

impl Language {
    /// Refuses sizes that no sentence could be made of.
    pub fn check(&self) -> Result<()> {
        let wrong = |at: &str, text: String, help: &str| Err(Error::new(text).at(at).help(help));
        if self.topics > self.concepts {
            let text = format!("{} topics are more than the {} concepts", self.topics, self.concepts);
            return wrong("topics", text, "every topic needs at least one concept");
        }
        // Two sentences that share nothing have twice as many.
        if self.concepts < 2 * CONCEPTS_PER_SENTENCE {
            let text = format!("{} concepts are too few for sentences of three", self.concepts);
            return wrong("concepts", text, "give the language at least 6");
        }
        Ok(())
    }

    /// The words of a concept.
    pub fn synonym(&self, concept: usize, synonym: usize) -> String {
        word(concept * self.synonyms + synonym)
    }

    /// The word that follows a concept's.
    pub fn particle(&self, concept: usize) -> String {
        word(self.concepts * self.synonyms + concept % self.particles)
    }

    /// The filler words of a register.
    pub fn filler(&self, register: usize, place: usize) -> String {
        word(self.concepts * self.synonyms + self.particles + register * self.fillers + place)
    }

    /// Number of different words.
    pub fn words(&self) -> usize {
        self.concepts * self.synonyms + self.particles + self.registers * self.fillers
    }

    fn topic(&self, concept: usize) -> usize {
        concept * self.topics / self.concepts
    }

    /// A concept of the topic, or of any with the share that is left.
    fn concept(&self, topic: usize, random: &mut impl Rng) -> usize {
        if random.random_bool(self.topic_share) {
            // The concepts of a topic stand side by side.
            let first = (topic * self.concepts).div_ceil(self.topics);
            let end = ((topic + 1) * self.concepts).div_ceil(self.topics);
            random.random_range(first..end)
        } else {
            random.random_range(0..self.concepts)
        }
    }

    /// Different concepts: those given and others of the first one's topic, in random order. None of
    /// `without` is among the others.
    fn meaning(
        &self,
        given: &[usize],
        without: &[usize],
        random: &mut impl Rng,
    ) -> [usize; CONCEPTS_PER_SENTENCE] {
        let mut concepts = given.to_vec();
        let topic = match given.first() {
            Some(concept) => self.topic(*concept),
            None => random.random_range(0..self.topics),
        };
        let mut draws = 0;
        while concepts.len() < CONCEPTS_PER_SENTENCE {
            // A topic may have too few concepts that are not taken; then any will do.
            let concept =
                if draws < 100 { self.concept(topic, random) } else { random.random_range(0..self.concepts) };
            draws += 1;
            if !concepts.contains(&concept) && !without.contains(&concept) {
                concepts.push(concept);
            }
        }
        for i in (1..CONCEPTS_PER_SENTENCE).rev() {
            concepts.swap(i, random.random_range(0..=i));
        }
        std::array::from_fn(|i| concepts[i])
    }

    fn spoken(&self, concepts: [usize; CONCEPTS_PER_SENTENCE], random: &mut impl Rng) -> Sentence {
        Sentence {
            register: random.random_range(0..self.registers),
            concepts,
            synonyms: std::array::from_fn(|_| random.random_range(0..self.synonyms)),
        }
    }

    /// A random sentence.
    pub fn sentence(&self, random: &mut impl Rng) -> Sentence {
        let concepts = self.meaning(&[], &[], random);
        self.spoken(concepts, random)
    }

    /// Two sentences with `shared` concepts in common, the registers independent of each other. With
    /// `different_synonyms` a shared concept is said with different words.
    pub fn pair(
        &self,
        shared: usize,
        different_synonyms: bool,
        random: &mut impl Rng,
    ) -> (Sentence, Sentence) {
        let first = self.sentence(random);
        let mut kept = first.concepts;
        for i in (1..kept.len()).rev() {
            kept.swap(i, random.random_range(0..=i));
        }
        let concepts = self.meaning(&kept[..shared.min(kept.len())], &first.concepts, random);
        let mut second = self.spoken(concepts, random);
        if different_synonyms && self.synonyms > 1 {
            for (place, concept) in second.concepts.iter().enumerate() {
                if let Some(there) = first.concepts.iter().position(|c| c == concept) {
                    let step = random.random_range(1..self.synonyms);
                    second.synonyms[place] = (first.synonyms[there] + step) % self.synonyms;
                }
            }
        }
        (first, second)
    }

    /// The sentence in words: the register's fillers, then every concept with its particle.
    pub fn text(&self, sentence: &Sentence) -> String {
        let mut words: Vec<String> = (0..self.fillers).map(|i| self.filler(sentence.register, i)).collect();
        for (concept, synonym) in sentence.concepts.iter().zip(&sentence.synonyms) {
            words.push(self.synonym(*concept, *synonym));
            if self.with_particles {
                words.push(self.particle(*concept));
            }
        }
        words.join(" ")
    }
}

impl Sentence {
    /// Jaccard similarity of what is meant: concepts in common over concepts in either, between 0 and 1.
    pub fn similarity(&self, other: &Self) -> f64 {
        let shared = self.concepts.iter().filter(|c| other.concepts.contains(c)).count();
        shared as f64 / (2 * CONCEPTS_PER_SENTENCE - shared) as f64
    }
}
