//! The register language has the properties that its experiments rest on.

#![allow(clippy::unwrap_used, reason = "a test may")]

use rand::SeedableRng;
use std::collections::{BTreeMap, BTreeSet};
use zoo_plugin::prelude::ChaCha8Rng;
use zoo_synthetic::Language;

fn language() -> Language {
    Language {
        concepts: 40,
        synonyms: 3,
        particles: 10,
        registers: 4,
        fillers: 9,
        topics: 10,
        topic_share: 0.95,
        with_particles: true,
    }
}

fn random(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

#[test]
fn every_word_is_another_one() {
    let language = language();
    let mut words = BTreeSet::new();
    for concept in 0..40 {
        words.insert(language.particle(concept));
        words.extend((0..3).map(|synonym| language.synonym(concept, synonym)));
    }
    for register in 0..4 {
        words.extend((0..9).map(|place| language.filler(register, place)));
    }
    assert_eq!(words.len(), language.words());
    assert_eq!(words.len(), 166);
    // Also where there are more words than pairs of syllables.
    let large = Language { concepts: 1000, synonyms: 4, ..language };
    let words: BTreeSet<String> = (0..4000).map(|i| large.synonym(i / 4, i % 4)).collect();
    assert_eq!(words.len(), 4000);
}

#[test]
fn a_sentence_is_a_register_and_three_concepts_with_their_particles() {
    let language = language();
    let mut random = random(3);
    for _ in 0..200 {
        let sentence = language.sentence(&mut random);
        let text = language.text(&sentence);
        let words: Vec<&str> = text.split(' ').collect();
        assert_eq!(words.len(), 15);
        for (place, word) in words[..9].iter().enumerate() {
            assert_eq!(*word, language.filler(sentence.register, place));
        }
        for (i, concept) in sentence.concepts.iter().enumerate() {
            assert_eq!(words[9 + 2 * i], language.synonym(*concept, sentence.synonyms[i]));
            assert_eq!(words[10 + 2 * i], language.particle(*concept));
        }
        assert_eq!(sentence.concepts.iter().collect::<BTreeSet<_>>().len(), 3);
        let bare = Language { with_particles: false, ..language };
        assert_eq!(bare.text(&sentence).split(' ').count(), 12);
    }
}

#[test]
fn concepts_mostly_share_a_topic_and_all_occur() {
    let language = language();
    let mut random = random(4);
    let (mut together, mut seen) = (0, BTreeSet::new());
    for _ in 0..2000 {
        let sentence = language.sentence(&mut random);
        let topics: BTreeSet<usize> = sentence.concepts.iter().map(|c| c / 4).collect();
        together += usize::from(topics.len() == 1);
        seen.extend(sentence.concepts);
    }
    // All three of one topic: 0.95³ and a little by chance.
    assert!((1600..1900).contains(&together), "{together}");
    assert_eq!(seen.len(), 40);
}

#[test]
fn pairs_share_what_was_asked_and_no_words_where_synonyms_differ() {
    let language = language();
    for shared in 0..=3 {
        for seed in 0..100 {
            let (first, second) = language.pair(shared, true, &mut random(seed));
            let both: Vec<usize> =
                first.concepts.iter().filter(|c| second.concepts.contains(c)).copied().collect();
            assert_eq!(both.len(), shared);
            assert_eq!(first.similarity(&second), [0.0, 0.2, 0.5, 1.0][shared]);
            assert_eq!(first.similarity(&second), second.similarity(&first));
            for concept in both {
                let word = |s: &zoo_synthetic::Sentence| {
                    s.synonyms[s.concepts.iter().position(|c| *c == concept).unwrap()]
                };
                assert_ne!(word(&first), word(&second));
            }
        }
    }
}

/// Sounding alike must say nothing about meaning alike.
#[test]
fn registers_are_independent_of_similarity() {
    let language = language();
    let mut same = BTreeMap::<usize, (u32, u32)>::new();
    for seed in 0..4000 {
        let shared = seed % 4;
        let (first, second) = language.pair(shared, false, &mut random(seed as u64));
        let counts = same.entry(shared).or_default();
        counts.0 += u32::from(first.register == second.register);
        counts.1 += 1;
    }
    for (shared, (same, all)) in same {
        let share = f64::from(same) / f64::from(all);
        assert!((share - 0.25).abs() < 0.05, "{share} with {shared} shared");
    }
}

#[test]
fn small_languages_still_make_pairs() {
    let small = Language { concepts: 6, topics: 3, topic_share: 1.0, ..language() };
    small.check().unwrap();
    for seed in 0..50 {
        let (first, second) = small.pair(0, true, &mut random(seed));
        assert_eq!(first.similarity(&second), 0.0);
    }
    assert_eq!(Language { concepts: 5, topics: 1, ..language() }.check().unwrap_err().at, "concepts");
    assert_eq!(Language { topics: 41, ..language() }.check().unwrap_err().at, "topics");
}
